//! `lateen addresses`: where everything is in local mode.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context;
use comfy_table::{Table, presets};
use lateen_compiler::Client;
use lateen_engine::Plan;
use lateen_mesh::local::{self, shift_address};
use lateen_proxy::settings::Ports;
use serde::{Deserialize, Serialize};

use super::offline::Offline;
use crate::output::Format;

/// What the command line asks for.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every address follows from the YAML alone: workload W owns 127.W.0.0/16, its application listens on \
127.W.0.1, its proxy on 127.W.0.2, and each service has an address of its own behind them. Ports \
below 1024 are 20000 higher.

Exit code: 0, or 2 when the folder cannot be read.

Examples:
  lateen addresses --dir mesh
  lateen addresses --dir mesh -o json | jq -r '.workloads[] | select(.name == \"visitor\").services'")]
pub struct Arguments {
    /// Folder with the mesh's YAML.
    #[arg(long)]
    dir: PathBuf,
    #[command(flatten)]
    format: Format,
}

/// Where each workload's application listens, where its proxy does, and at which address it sees
/// each service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// In the order of namespace and name.
    pub workloads: Vec<WorkloadAddresses>,
}

/// Addresses of one workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadAddresses {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its service account.
    pub service_account: String,
    /// Where its application listens.
    pub application: IpAddr,
    /// Where its proxy takes inbound connections; absent without a sidecar.
    pub proxy: Option<IpAddr>,
    /// `/healthz/ready` of its proxy.
    pub health: Option<SocketAddr>,
    /// `/stats/prometheus` of its proxy.
    pub metrics: Option<SocketAddr>,
    /// The proxy's admin page.
    pub admin: Option<SocketAddr>,
    /// The ports that services declare on it.
    pub ports: Vec<PortAddresses>,
    /// The ports that a gateway opens.
    pub listeners: Vec<ListenerAddress>,
    /// The services, as this workload sees them.
    pub services: Vec<ServiceAddress>,
}

/// One port of an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortAddresses {
    /// The port as the YAML has it.
    pub port: u16,
    /// Where the application listens.
    pub application: SocketAddr,
    /// Where the proxy takes connections for it.
    pub inbound: Option<SocketAddr>,
}

/// One port of a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerAddress {
    /// The port as the YAML has it.
    pub port: u16,
    /// Where the gateway listens.
    pub address: SocketAddr,
}

/// One port of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceAddress {
    /// Host of the service.
    pub host: String,
    /// The port as the YAML has it.
    pub port: u16,
    /// Where it is dialled.
    pub address: SocketAddr,
}

/// Runs the command; its exit code.
pub fn run(arguments: &Arguments) -> anyhow::Result<i32> {
    let printed = Addresses::of_directory(&arguments.dir)
        .and_then(|addresses| arguments.format.print(&addresses, Addresses::text));
    arguments.format.conclude(printed.map(|()| 0))
}

impl Addresses {
    /// The addresses of what is in a directory.
    pub fn of_directory(dir: &Path) -> anyhow::Result<Self> {
        let mut offline = Offline::load(dir)?;
        offline.warn();
        let mut workloads = Vec::new();
        for client in offline.clients() {
            let plan = offline.directory_plan(&client)?;
            if let Some(base) = plan.local_base() {
                workloads.push(WorkloadAddresses::new(&client, base, &plan));
            } else {
                let Client { namespace, name, .. } = &client;
                eprintln!("{namespace}/{name} has no address: all 254 are taken");
            }
        }
        Ok(Self { workloads })
    }

    fn text(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(["WORKLOAD", "WHAT", "PORT", "ADDRESS"]);
        for workload in &self.workloads {
            let mut first = format!("{}/{}", workload.namespace, workload.name);
            for (what, port, address) in workload.rows() {
                table.add_row([std::mem::take(&mut first), what, port, address.to_string()]);
            }
        }
        table.trim_fmt()
    }

    fn workload(&self, namespace: &str, name: &str) -> anyhow::Result<&WorkloadAddresses> {
        self.workloads
            .iter()
            .find(|workload| workload.namespace == namespace && workload.name == name)
            .with_context(|| format!("there is no workload {namespace}/{name}"))
    }

    /// Where the workload's application listens for `port`.
    pub fn application(
        &self,
        namespace: &str,
        name: &str,
        port: u16,
    ) -> anyhow::Result<SocketAddr> {
        let workload = self.workload(namespace, name)?;
        let found = workload.ports.iter().find(|entry| entry.port == port);
        Ok(found
            .with_context(|| format!("no service declares port {port} of {namespace}/{name}"))?
            .application)
    }

    /// Where the workload's proxy takes connections for `port`.
    pub fn inbound(&self, namespace: &str, name: &str, port: u16) -> anyhow::Result<SocketAddr> {
        let workload = self.workload(namespace, name)?;
        workload
            .ports
            .iter()
            .find(|entry| entry.port == port)
            .and_then(|entry| entry.inbound)
            .with_context(|| format!("no proxy takes port {port} of {namespace}/{name}"))
    }

    /// Where the gateway listens for `port`.
    pub fn listener(&self, namespace: &str, name: &str, port: u16) -> anyhow::Result<SocketAddr> {
        let workload = self.workload(namespace, name)?;
        let found = workload.listeners.iter().find(|entry| entry.port == port);
        Ok(found.with_context(|| format!("{namespace}/{name} opens no port {port}"))?.address)
    }

    /// Where the workload dials `port` of the service `host`.
    pub fn service(
        &self,
        namespace: &str,
        name: &str,
        host: &str,
        port: u16,
    ) -> anyhow::Result<SocketAddr> {
        let workload = self.workload(namespace, name)?;
        let found = workload.services.iter().find(|entry| entry.host == host && entry.port == port);
        Ok(found
            .with_context(|| format!("{namespace}/{name} sees no service {host}:{port}"))?
            .address)
    }
}

impl WorkloadAddresses {
    fn new(client: &Client, base: Ipv4Addr, plan: &Plan) -> Self {
        let at = |offset| IpAddr::V4(local::address(base, offset));
        let (application, proxy) = (at(local::APPLICATION), at(local::SIDECAR));
        let proxy = has_proxy(client).then_some(proxy);
        let own = Ports::default();
        let bound = |port| proxy.map(|address| SocketAddr::new(address, port));
        let socket = |address, port| shift_address(SocketAddr::new(address, port));
        let port = |port| PortAddresses {
            port,
            application: application_socket(plan, application, port),
            inbound: proxy.map(|address| socket(address, port)),
        };
        let listener = |port| Some(ListenerAddress { port, address: socket(proxy?, port) });
        Self {
            namespace: client.namespace.clone(),
            name: client.name.clone(),
            service_account: match client.service_account.as_str() {
                "" => "default".to_owned(),
                account => account.to_owned(),
            },
            application,
            proxy,
            health: bound(own.health),
            metrics: bound(own.metrics),
            admin: bound(own.admin),
            ports: plan.inbound_ports().into_iter().map(port).collect(),
            listeners: plan.gateway_ports().into_iter().filter_map(listener).collect(),
            services: if proxy.is_some() { services(base, plan) } else { Vec::new() },
        }
    }

    /// What there is, its port, and its address.
    fn rows(&self) -> Vec<(String, String, SocketAddr)> {
        let mut rows = Vec::new();
        for entry in &self.ports {
            let port = entry.port.to_string();
            rows.push(("application".to_owned(), port.clone(), entry.application));
            rows.extend(entry.inbound.map(|address| ("inbound".to_owned(), port, address)));
        }
        for entry in &self.listeners {
            rows.push(("gateway".to_owned(), entry.port.to_string(), entry.address));
        }
        for (what, address) in
            [("health", self.health), ("metrics", self.metrics), ("admin", self.admin)]
        {
            rows.extend(address.map(|it| (what.to_owned(), it.port().to_string(), it)));
        }
        for entry in &self.services {
            rows.push((entry.host.clone(), entry.port.to_string(), entry.address));
        }
        rows
    }
}

/// As the compiler has it: without a cluster every workload has a proxy that does not say otherwise.
fn has_proxy(client: &Client) -> bool {
    let label = |name: &str| client.labels.get(name).map(String::as_str);
    label("sidecar.istio.io/inject") != Some("false")
        && label("security.istio.io/tlsMode").is_none_or(|mode| mode == "istio")
}

/// Where the application listens for a port that is dialled.
fn application_socket(plan: &Plan, application: IpAddr, port: u16) -> SocketAddr {
    let (address, port) = plan.inbound(port).map_or((None, port), |inbound| inbound.forward());
    shift_address(SocketAddr::new(address.unwrap_or(application), port))
}

fn services(base: Ipv4Addr, plan: &Plan) -> Vec<ServiceAddress> {
    let mut services = Vec::new();
    for entry in plan.directory().entries() {
        let Ok(offset @ 1..) = u16::try_from(entry.local_offset) else { continue };
        for (port, _) in &entry.ports {
            let address = SocketAddr::new(local::address(base, offset).into(), *port);
            let address = shift_address(address);
            services.push(ServiceAddress { host: entry.host.to_string(), port: *port, address });
        }
    }
    services
}

#[cfg(test)]
mod tests;
