//! Sidecar.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::server_tls::server_tls;
use super::shared::{bind_address, destination, workload_selector};
use super::traffic_policy::connection_pool;
use super::{Validator, syntax};
use crate::diagnostic::Code;
use crate::networking::{
    IstioEgressListener, IstioIngressListener, OutboundTrafficPolicy, OutboundTrafficPolicyMode,
    ServerTlsMode, ServerTlsSettings, Sidecar, SidecarPort,
};
use crate::protocol::Protocol;

pub(super) fn sidecar(v: &mut Validator, sidecar: &Sidecar) {
    let empty = sidecar.ingress.is_empty()
        && sidecar.egress.is_empty()
        && sidecar.outbound_traffic_policy.is_none()
        && sidecar.inbound_connection_pool.is_none();
    if empty {
        v.error(Code::MissingField, "a Sidecar needs `ingress`, `egress` or a policy");
    }
    workload_selector(v, sidecar.workload_selector.as_ref());
    connection_pool(v, "inboundConnectionPool", sidecar.inbound_connection_pool.as_ref());
    let mut ports = BTreeSet::new();
    v.each("ingress", &sidecar.ingress, |v, it| {
        ingress(v, it);
        let number = it.port.as_ref().map_or(0, |port| port.number);
        if !ports.insert(number) {
            let message = format!("port {number} is taken twice");
            v.field("port", |v| v.error(Code::Inconsistent, message));
        }
    });
    egress_listeners(v, &sidecar.egress);
    if let Some(it) = &sidecar.outbound_traffic_policy {
        v.field("outboundTrafficPolicy", |v| outbound_policy(v, it));
    }
}

fn ingress(v: &mut Validator, listener: &IstioIngressListener) {
    match &listener.port {
        Some(port) => {
            v.field("port", |v| {
                v.check_field("number", syntax::port(port.number));
                listener_protocol(v, port);
            });
            let http = listener.connection_pool.as_ref().is_some_and(|pool| pool.http.is_some());
            if http && Protocol::parse(&port.protocol).is_tcp() {
                v.field("connectionPool", |v| {
                    v.warn(Code::NoEffect, "`http` has no effect on a TCP port");
                });
            }
        }
        None => v.missing("port", "the port is needed"),
    }
    if listener.bind.starts_with("unix://") {
        v.check_field("bind", Err("a Unix socket cannot be captured".to_owned()));
    } else {
        bind_address(v, &listener.bind, 0);
    }
    v.check_field("defaultEndpoint", default_endpoint(&listener.default_endpoint));
    connection_pool(v, "connectionPool", listener.connection_pool.as_ref());
    if let Some(tls) = &listener.tls {
        v.field("tls", |v| ingress_tls(v, tls));
    }
}

/// Empty, `unix://PATH`, or one of `127.0.0.1`, `[::1]`, `0.0.0.0`, `[::]` with a port.
fn default_endpoint(endpoint: &str) -> syntax::Check {
    if endpoint.is_empty() {
        return Ok(());
    }
    if let Some(path) = endpoint.strip_prefix("unix://") {
        return syntax::unix_path(path);
    }
    let parsed: Option<SocketAddr> = endpoint.parse().ok();
    let valid = parsed.is_some_and(|address| {
        (address.ip().is_loopback() || address.ip().is_unspecified()) && address.port() > 0
    });
    if valid {
        return Ok(());
    }
    Err(format!("`{endpoint}` is not `127.0.0.1:PORT`, `0.0.0.0:PORT` or `unix://PATH`"))
}

/// A sidecar terminates TLS with certificates in files only.
fn ingress_tls(v: &mut Validator, tls: &ServerTlsSettings) {
    for (name, set) in [
        ("httpsRedirect", tls.https_redirect),
        ("credentialName", !tls.credential_name.is_empty()),
        ("credentialNames", !tls.credential_names.is_empty()),
        ("tlsCertificates", !tls.tls_certificates.is_empty()),
    ] {
        if set {
            v.conflict(name, "sidecars take no such setting");
        }
    }
    if matches!(tls.mode, ServerTlsMode::IstioMutual | ServerTlsMode::AutoPassthrough) {
        v.check_field("mode", Err(format!("sidecars do not take {}", tls.mode)));
    }
    server_tls(v, tls);
}

fn egress_listeners(v: &mut Validator, listeners: &[IstioEgressListener]) {
    let mut binds = BTreeSet::new();
    let mut left = listeners.len();
    v.each("egress", listeners, |v, listener| {
        left -= 1;
        if listener.port.is_none() && left > 0 {
            v.missing("port", "only the last listener may leave out its port");
        }
        egress(v, listener);
        let place = listener.port.as_ref().map(|port| (port.number, listener.bind.clone()));
        if place.is_some_and(|place| !binds.insert(place)) {
            v.error(Code::Inconsistent, "another listener has the same port and bind address");
        }
    });
}

fn egress(v: &mut Validator, listener: &IstioEgressListener) {
    if let Some(port) = &listener.port {
        v.field("port", |v| {
            if !listener.bind.starts_with("unix://") {
                v.check_field("number", syntax::port(port.number));
            }
            listener_protocol(v, port);
        });
    }
    bind_address(v, &listener.bind, listener.port.as_ref().map_or(0, |port| port.number));
    if listener.hosts.is_empty() {
        v.missing("hosts", "the services are needed, `NAMESPACE/HOST`");
    }
    v.each("hosts", &listener.hosts, |v, host| v.check(egress_host(host)));
}

fn listener_protocol(v: &mut Validator, port: &SidecarPort) {
    if !port.protocol.is_empty() {
        v.check_field("protocol", syntax::protocol(&port.protocol));
    }
}

/// `namespace/dnsName`, or `~namespace/dnsName` to take away again.
fn egress_host(host: &str) -> syntax::Check {
    let Some((namespace, name)) = host.split_once('/') else {
        return Err(format!("`{host}` is not of the form `NAMESPACE/HOST`"));
    };
    let excluded = namespace.strip_prefix('~').filter(|rest| !rest.is_empty());
    let namespace = excluded.unwrap_or(namespace);
    if !matches!(namespace, "*" | "." | "~") && !syntax::is_namespace(namespace) {
        return Err(format!("`{namespace}` in `{host}` is not a namespace"));
    }
    if name.starts_with('*') && name != "*" && !name.starts_with("*.") {
        return Err(format!("`{name}` is not `*`, a host or `*.` and a suffix"));
    }
    syntax::wildcard_domain(name)
}

fn outbound_policy(v: &mut Validator, policy: &OutboundTrafficPolicy) {
    let Some(proxy) = &policy.egress_proxy else { return };
    if policy.mode == OutboundTrafficPolicyMode::RegistryOnly {
        v.conflict("egressProxy", "nothing unknown passes with REGISTRY_ONLY");
    }
    destination(v, "egressProxy", Some(proxy));
    v.field("egressProxy", |v| {
        if proxy.host.starts_with('*') {
            v.check_field("host", syntax::fqdn(&proxy.host));
        }
        if proxy.port.is_none() {
            v.missing("port", "the port is needed");
        }
    });
}
