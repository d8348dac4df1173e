//! ServiceEntry and WorkloadEntry.

use std::collections::BTreeSet;

use super::shared::{export_to, labels, workload_selector};
use super::{Validator, syntax};
use crate::diagnostic::Code;
use crate::networking::{Location, Resolution, ServiceEntry, ServicePort, WorkloadEntry};
use crate::protocol::Protocol;

pub(super) fn service_entry(v: &mut Validator, entry: &ServiceEntry, namespace: &str) {
    if entry.hosts.is_empty() {
        v.missing("hosts", "a ServiceEntry needs a host");
    }
    v.each("hosts", &entry.hosts, |v, host| {
        if host == "*" {
            v.error(Code::BadValue, "the host cannot be `*`");
        } else {
            v.check(syntax::wildcard_domain(host));
        }
    });
    v.each("addresses", &entry.addresses, |v, address| v.check(syntax::ip_or_cidr(address)));
    ports(v, entry);
    if entry.workload_selector.is_some() && !entry.endpoints.is_empty() {
        v.conflict("endpoints", "`endpoints` excludes `workloadSelector`");
    }
    workload_selector(v, entry.workload_selector.as_ref());
    check_resolution(v, entry);
    v.each("endpoints", &entry.endpoints, |v, endpoint| check_endpoint(v, endpoint, entry));
    export_to(v, &entry.export_to, namespace, true);
}

fn ports(v: &mut Validator, entry: &ServiceEntry) {
    let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    v.each("ports", &entry.ports, |v, port| {
        service_port(v, port);
        if !names.insert(port.name.clone()) {
            let message = format!("the name `{}` is used twice", port.name);
            v.field("name", |v| v.error(Code::Inconsistent, message));
        }
        if !numbers.insert(port.number) {
            let message = format!("the number {} is used twice", port.number);
            v.field("number", |v| v.error(Code::Inconsistent, message));
        }
        if captures_everything(entry, port) {
            let message = "without `addresses` every connection to this port, to whatever address, is taken for \
                           this service";
            v.warn(Code::Inconsistent, message);
        }
        if port.target_port != 0 && port.target_port != port.number {
            let dialled = entry.resolution == Resolution::None;
            if dialled {
                let message = "not looked at: with resolution NONE the dialled port is kept";
                v.field("targetPort", |v| v.warn(Code::NoEffect, message));
            }
        }
    });
}

fn service_port(v: &mut Validator, port: &ServicePort) {
    v.check_field("number", syntax::port(port.number));
    if port.name.is_empty() {
        v.missing("name", "the port needs a name");
    } else {
        v.check_field("name", syntax::port_name(&port.name));
    }
    if !port.protocol.is_empty() {
        v.check_field("protocol", syntax::protocol(&port.protocol));
    }
    if port.target_port != 0 {
        v.check_field("targetPort", syntax::port(port.target_port));
    }
}

/// TCP without a virtual address is told apart by port only, unless an address is allocated.
fn captures_everything(entry: &ServiceEntry, port: &ServicePort) -> bool {
    let protocol = Protocol::parse(&port.protocol);
    let by_port_only = protocol == Protocol::Tcp || protocol.is_sniffed();
    let allocated = entry.resolution != Resolution::None
        && !entry.hosts.iter().any(|host| host.starts_with('*'));
    entry.addresses.is_empty() && by_port_only && !allocated
}

fn check_resolution(v: &mut Validator, entry: &ServiceEntry) {
    let block = entry.addresses.iter().any(|address| address.contains('/'));
    if block && !matches!(entry.resolution, Resolution::None | Resolution::Static) {
        let message =
            format!("CIDR blocks need resolution NONE or STATIC, not {}", entry.resolution);
        v.conflict("addresses", message);
    }
    match entry.resolution {
        Resolution::None => {
            if !entry.endpoints.is_empty() {
                v.conflict("endpoints", "resolution NONE keeps the dialled address");
            }
            if entry.workload_selector.is_some() {
                let message = "not looked at: resolution NONE keeps the dialled address";
                v.field("workloadSelector", |v| v.warn(Code::NoEffect, message));
            }
        }
        Resolution::Static => check_unix_endpoints(v, entry),
        Resolution::Dns | Resolution::DnsRoundRobin => check_dns(v, entry),
        Resolution::DynamicDns => check_dynamic_dns(v, entry),
    }
}

fn check_unix_endpoints(v: &mut Validator, entry: &ServiceEntry) {
    let unix = entry.endpoints.iter().any(|endpoint| endpoint.address.starts_with("unix://"));
    if unix && entry.ports.len() != 1 {
        v.conflict("ports", "an endpoint that is a Unix socket needs exactly one port");
    }
}

fn check_dns(v: &mut Validator, entry: &ServiceEntry) {
    if entry.endpoints.is_empty() && entry.workload_selector.is_none() {
        v.each("hosts", &entry.hosts, |v, host| {
            if host.starts_with('*') {
                let message = format!("`{host}` cannot be looked up; add endpoints");
                v.error(Code::Inconsistent, message);
            }
        });
    }
    if entry.resolution == Resolution::DnsRoundRobin && entry.endpoints.len() > 1 {
        v.conflict("endpoints", "DNS_ROUND_ROBIN takes one endpoint at most");
    }
}

fn check_dynamic_dns(v: &mut Validator, entry: &ServiceEntry) {
    v.each("hosts", &entry.hosts, |v, host| {
        if !host.starts_with('*') {
            v.error(Code::Inconsistent, "DYNAMIC_DNS needs a wildcard host");
        }
    });
    for (name, set) in [
        ("endpoints", !entry.endpoints.is_empty()),
        ("addresses", !entry.addresses.is_empty()),
        ("workloadSelector", entry.workload_selector.is_some()),
    ] {
        if set {
            v.conflict(name, "DYNAMIC_DNS looks up what the request names");
        }
    }
    if entry.location == Location::MeshInternal {
        v.conflict("location", "DYNAMIC_DNS needs location MESH_EXTERNAL");
    }
    v.each("ports", &entry.ports, |v, port| {
        let protocol = Protocol::parse(&port.protocol);
        if !(protocol.is_http() || protocol.is_tls()) {
            let message = "DYNAMIC_DNS needs requests that name their host: HTTP or TLS";
            v.conflict("protocol", message);
        }
    });
}

fn check_endpoint(v: &mut Validator, endpoint: &WorkloadEntry, entry: &ServiceEntry) {
    let unix = endpoint.address.starts_with("unix://");
    workload(v, endpoint);
    match entry.resolution {
        Resolution::Static
            if !unix && !endpoint.address.is_empty() && !syntax::is_ip(&endpoint.address) =>
        {
            let message = format!("`{}` is not an IP address", endpoint.address);
            v.check_field("address", Err(message));
        }
        Resolution::Dns | Resolution::DnsRoundRobin if unix => {
            v.check_field("address", Err("a Unix socket needs resolution STATIC".to_owned()));
        }
        _ => {}
    }
    let names: BTreeSet<&str> = entry.ports.iter().map(|port| port.name.as_str()).collect();
    v.each_key("ports", &endpoint.ports, |v, name, _| {
        if !names.contains(name.as_str()) {
            let message = format!("the ServiceEntry has no port named `{name}`");
            v.error(Code::Inconsistent, message);
        }
    });
}

/// A WorkloadEntry, alone or as an endpoint.
pub(super) fn workload(v: &mut Validator, workload: &WorkloadEntry) {
    let address = &workload.address;
    if let Some(path) = address.strip_prefix("unix://") {
        v.check_field("address", syntax::unix_path(path));
        if !workload.ports.is_empty() {
            v.conflict("ports", "a Unix socket has no ports");
        }
    } else if !address.is_empty() {
        if !syntax::is_ip(address) {
            v.check_field("address", syntax::fqdn(address));
        }
    } else if workload.network.is_empty() {
        v.missing("address", "an address is needed");
    } else {
        v.field("address", |v| {
            v.warn(
                Code::NoEffect,
                "without an address it is reached through its network's gateway",
            );
        });
    }
    v.each_key("ports", &workload.ports, |v, name, number| {
        v.check(syntax::port_name(name));
        v.check(syntax::port(*number));
    });
    labels(v, "labels", &workload.labels);
}
