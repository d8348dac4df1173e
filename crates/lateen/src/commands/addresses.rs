//! `lateen addresses`: where everything is in local mode.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::output::Format;

/// What the command line asks for.
#[derive(Debug, clap::Args)]
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

impl Addresses {
    fn workload(&self, namespace: &str, name: &str) -> anyhow::Result<&WorkloadAddresses> {
        self.workloads
            .iter()
            .find(|workload| workload.namespace == namespace && workload.name == name)
            .with_context(|| format!("there is no workload {namespace}/{name}"))
    }

    /// Where the workload's application listens for `port`.
    pub fn application(&self, namespace: &str, name: &str, port: u16) -> anyhow::Result<SocketAddr> {
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
        let found =
            workload.services.iter().find(|entry| entry.host == host && entry.port == port);
        Ok(found
            .with_context(|| format!("{namespace}/{name} sees no service {host}:{port}"))?
            .address)
    }
}
