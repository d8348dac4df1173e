//! Gateway.

use std::collections::BTreeSet;

use super::server_tls::server_tls;
use super::shared::{bind_address, labels};
use super::{Validator, syntax};
use crate::diagnostic::Code;
use crate::networking::{Gateway, Port, Server, ServerTlsSettings};
use crate::object::ObjectMeta;
use crate::protocol::Protocol;

/// Marks objects that upstream's translation of the Gateway API makes; these may name the namespace
/// `~` for none.
const SEMANTICS_ANNOTATION: &str = "internal.istio.io/gateway-semantics";

pub(super) fn gateway(v: &mut Validator, gateway: &Gateway, meta: &ObjectMeta) {
    if gateway.servers.is_empty() {
        v.missing("servers", "a Gateway needs at least one server");
    }
    labels(v, "selector", &gateway.selector);
    let from_gateway_api = meta.annotations.contains_key(SEMANTICS_ANNOTATION);
    let mut names = BTreeSet::new();
    v.each("servers", &gateway.servers, |v, it| {
        server(v, it, from_gateway_api);
        let name = it.port.as_ref().map_or("", |port| port.name.as_str());
        if !name.is_empty() && !names.insert(name.to_owned()) {
            let message = format!("the port name `{name}` is used twice in this Gateway");
            v.field("port", |v| v.field("name", |v| v.error(Code::Inconsistent, message)));
        }
    });
}

fn server(v: &mut Validator, server: &Server, from_gateway_api: bool) {
    if server.hosts.is_empty() {
        v.missing("hosts", "a server needs hosts; `*` means all");
    }
    v.each("hosts", &server.hosts, |v, host| server_host(v, host, from_gateway_api));
    match &server.port {
        None => v.missing("port", "a server needs a port"),
        Some(port) => {
            v.field("port", |v| server_port(v, port, &server.bind));
            check_tls_presence(v, Protocol::parse(&port.protocol), server.tls.as_ref());
        }
    }
    bind_address(v, &server.bind, server.port.as_ref().map_or(0, |port| port.number));
    if let Some(tls) = &server.tls {
        v.field("tls", |v| server_tls(v, tls));
    }
}

/// `dnsName` or `namespace/dnsName`.
fn server_host(v: &mut Validator, host: &str, from_gateway_api: bool) {
    let (namespace, name) = host.split_once('/').unwrap_or(("*", host));
    let namespace_valid = match namespace {
        "*" | "." => true,
        "~" => from_gateway_api,
        name => syntax::is_namespace(name),
    };
    if !namespace_valid {
        v.error(Code::BadValue, format!("`{namespace}` in `{host}` is not a namespace"));
    }
    if !syntax::is_ip(name) {
        v.check(syntax::wildcard_domain(name));
    }
}

fn server_port(v: &mut Validator, port: &Port, bind: &str) {
    if !(bind.starts_with("unix://") && port.number == 0) {
        v.check_field("number", syntax::port(port.number));
    }
    if port.name.is_empty() {
        v.missing("name", "a server's port needs a name");
    } else {
        v.check_field("name", syntax::port_name(&port.name));
    }
    if port.protocol.is_empty() {
        v.missing("protocol", "a server's port needs a protocol");
    } else {
        v.check_field("protocol", syntax::protocol(&port.protocol));
    }
    if port.target_port != 0 {
        v.field("targetPort", |v| {
            v.warn(Code::NoEffect, "not looked at: the gateway's Service says its target port");
        });
    }
}

/// Servers with a TLS protocol need settings; others take none, but for a redirect to HTTPS.
fn check_tls_presence(v: &mut Validator, protocol: Protocol, tls: Option<&ServerTlsSettings>) {
    match tls {
        None if protocol.is_tls() => v.missing("tls", format!("{protocol} needs TLS settings")),
        Some(tls) if protocol.is_http() => {
            let redirect_only =
                ServerTlsSettings { https_redirect: tls.https_redirect, ..Default::default() };
            if *tls != redirect_only {
                let message = format!("{protocol} is plain text: only `httpsRedirect` may be set");
                v.field("tls", |v| v.error(Code::Inconsistent, message));
            }
        }
        _ => {}
    }
}
