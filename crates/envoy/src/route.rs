//! Route configurations and virtual hosts.

use envoy_types::pb::envoy::config::core::v3::Metadata;
use envoy_types::pb::envoy::config::route::v3::{
    DirectResponseAction, Route, RouteConfiguration, RouteMatch, Vhds, VirtualHost, route,
    route_match, virtual_host,
};
use envoy_types::pb::google::protobuf::{
    BoolValue, Struct, UInt32Value, UInt64Value, Value, value,
};
use lateen_mesh::name::Name;
use lateen_mesh::v1::{self, GatewayProtocol};

use crate::Kind;
use crate::lowering::{Context, Output, TableKey};
use crate::message::ads;
use crate::names;

mod action;
mod headers;
mod matching;
mod redirect;
mod retry;
mod rule;

/// The largest body of a direct response: Istio's limit.
const MAX_BODY: u32 = 1 << 20;

/// Whom a route configuration sends what no virtual host takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Catch {
    /// The outbound policy decides.
    OutboundPolicy,
    /// Nobody: 404. The port is for the name.
    Nobody(u16),
}

/// Name and catch of the table of a port in the mesh.
pub(crate) fn port_frame(port: u16) -> (String, Catch) {
    (names::port_routes(port), Catch::OutboundPolicy)
}

/// Name and catch of the table that a gateway's plain HTTP servers share.
pub(crate) fn gateway_http_frame(port: u16) -> (String, Catch) {
    (names::gateway_http_routes(port), Catch::Nobody(port))
}

/// Name and catch of the table of a gateway's HTTPS server; `None` for servers of other kinds.
pub(crate) fn gateway_server_frame(
    port: u16,
    server: &v1::GatewayServer,
) -> Option<(String, Catch)> {
    let https = server.protocol() == GatewayProtocol::Https;
    let number = u16::try_from(server.number).unwrap_or_default();
    https.then(|| (names::gateway_https_routes(number, &server.name), Catch::Nobody(port)))
}

/// Whether requests come to such a server as they are.
pub(crate) fn is_plain_http(protocol: GatewayProtocol) -> bool {
    match protocol {
        GatewayProtocol::Http => true,
        GatewayProtocol::Https
        | GatewayProtocol::TlsPassthrough
        | GatewayProtocol::Tcp
        | GatewayProtocol::TlsTerminated => false,
    }
}

/// A route configuration. `catch`: what becomes of hosts without a virtual host, unless one of the
/// virtual hosts takes them all. `split`: the virtual hosts are resources of their own.
pub(crate) fn configuration(
    context: &Context<'_>,
    name: &str,
    mut virtual_hosts: Vec<VirtualHost>,
    catch: Option<Catch>,
    split: bool,
) -> RouteConfiguration {
    match catch {
        Some(Catch::OutboundPolicy) => virtual_hosts.push(catch_all(context)),
        Some(Catch::Nobody(port)) if virtual_hosts.is_empty() && !split => {
            virtual_hosts.push(VirtualHost {
                name: names::black_hole(port),
                domains: vec!["*".to_owned()],
                ..VirtualHost::default()
            });
        }
        Some(Catch::Nobody(_)) | None => {}
    }
    RouteConfiguration {
        name: name.to_owned(),
        virtual_hosts,
        vhds: split.then(|| Vhds { config_source: Some(ads(None)) }),
        validate_clusters: Some(BoolValue { value: false }),
        max_direct_response_body_size_bytes: Some(UInt32Value { value: MAX_BODY }),
        ignore_port_in_host_matching: true,
        ..RouteConfiguration::default()
    }
}

/// What becomes of requests to hosts that the port does not have.
fn catch_all(context: &Context<'_>) -> VirtualHost {
    let (name, action) = if context.passes_through() {
        let action = route::Action::Route(action::to_cluster(names::PASSTHROUGH_CLUSTER));
        (names::ALLOW_ANY, action)
    } else {
        (names::BLOCK_ALL, respond(502))
    };
    VirtualHost {
        name: name.to_owned(),
        domains: vec!["*".to_owned()],
        routes: vec![Route { name: name.to_owned(), ..everything(action) }],
        include_request_attempt_count: true,
        ..VirtualHost::default()
    }
}

fn respond(status: u32) -> route::Action {
    route::Action::DirectResponse(DirectResponseAction {
        status,
        ..DirectResponseAction::default()
    })
}

/// A route that every request matches.
fn everything(action: route::Action) -> Route {
    Route {
        r#match: Some(RouteMatch {
            path_specifier: Some(route_match::PathSpecifier::Prefix("/".to_owned())),
            ..RouteMatch::default()
        }),
        action: Some(action),
        ..Route::default()
    }
}

/// The virtual host of a host in a table; `None`: the table has no such host.
pub(crate) fn virtual_host(
    context: &Context<'_>,
    key: &TableKey,
    host: &str,
    out: &mut Output,
) -> Option<VirtualHost> {
    let (port, domains, name) = match key {
        TableKey::Port(port) => {
            let directory = &context.model.directory;
            let entry = directory.entry(host).filter(|entry| entry.is_http(*port))?;
            let domains = directory.domains(entry, *port, context.settings);
            (*port, domains, Name::Routes(host.to_owned()))
        }
        TableKey::GatewayHttp(port) => (*port, pattern(host), gateway_routes(*port, "http", host)),
        TableKey::GatewayServer(port, server) => {
            (*port, pattern(host), gateway_routes(*port, server, host))
        }
    };
    if domains.is_empty() {
        return None;
    }
    let at = At { port: match_port(context, key, port), name: &name };
    let mut virtual_host = made(context, at, out);
    virtual_host.name = names::virtual_host(host, port);
    virtual_host.domains = domains;
    Some(virtual_host)
}

/// The port that matches and backends without one mean: at a gateway the server's number.
fn match_port(context: &Context<'_>, key: &TableKey, port: u16) -> u16 {
    let listener = || context.model.gateway(&Name::Gateway(port));
    let server = match key {
        TableKey::Port(_) => None,
        TableKey::GatewayHttp(_) => listener().and_then(|listener| {
            listener.servers.iter().find(|server| is_plain_http(server.protocol()))
        }),
        TableKey::GatewayServer(_, name) => listener()
            .and_then(|listener| listener.servers.iter().find(|server| server.name == **name)),
    };
    server.and_then(|server| u16::try_from(server.number).ok()).unwrap_or(port)
}

fn gateway_routes(port: u16, server: &str, host: &str) -> Name {
    Name::GatewayRoutes { port, server: server.to_owned(), host: host.to_owned() }
}

/// A gateway's host as domains, with and without the final dot of a whole name.
fn pattern(host: &str) -> Vec<String> {
    if host == "*" { vec![host.to_owned()] } else { vec![host.to_owned(), format!("{host}.")] }
}

/// `<host>:<port>`: the one virtual host of a port whose protocol is detected.
pub(crate) fn detected(context: &Context<'_>, host: &str, port: u16, out: &mut Output) {
    let entry = context.model.directory.entry(host).filter(|entry| entry.is_detected(port));
    if entry.is_none() {
        return;
    }
    let name = names::detected_routes(host, port);
    let mut virtual_host = made(context, At { port, name: &Name::Routes(host.to_owned()) }, out);
    virtual_host.name = names::virtual_host(host, port);
    virtual_host.domains = vec!["*".to_owned()];
    let table = configuration(context, &name, vec![virtual_host], None, false);
    out.put(Kind::Routes, name, &table);
}

/// Where a table of the model is lowered.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a> {
    /// The port that matches compare with, and that backends without a port mean.
    port: u16,
    /// The table's name in the model.
    name: &'a Name,
}

impl At<'_> {
    /// The scheme of its requests.
    fn scheme(&self) -> &'static str {
        // A table of a gateway's server of its own is one behind TLS.
        let behind_tls =
            matches!(self.name, Name::GatewayRoutes { server, .. } if server != "http");
        if behind_tls { "https" } else { "http" }
    }
}

/// Bytes of a request's body that are kept for another attempt: what Envoy keeps over HTTP/1, also where it
/// would keep a whole window of HTTP/2 (16 MiB).
const REPLAY_LIMIT: u64 = 1024 * 1024;

/// The virtual host of a table, without its names. A table that is not there is answered with 503.
fn made(context: &Context<'_>, at: At<'_>, out: &mut Output) -> VirtualHost {
    let Some(table) = context.model.routes(at.name) else {
        return VirtualHost { routes: vec![everything(respond(503))], ..VirtualHost::default() };
    };
    let mut routes = Vec::new();
    for rule in &table.http {
        rule::lower(context, at, rule, &mut routes, out);
    }
    let require_tls = if table.https_redirect {
        virtual_host::TlsRequirementType::All
    } else {
        virtual_host::TlsRequirementType::None
    };
    VirtualHost {
        routes,
        require_tls: require_tls.into(),
        include_request_attempt_count: true,
        request_body_buffer_limit: Some(UInt64Value { value: REPLAY_LIMIT }),
        ..VirtualHost::default()
    }
}

/// `istio.config`: the object that a route comes from.
fn metadata(object: Option<&v1::ObjectRef>) -> Option<Metadata> {
    let path = config_path(object?)?;
    let value = Value { kind: Some(value::Kind::StringValue(path)) };
    let content = Struct { fields: [("config".to_owned(), value)].into() };
    Some(Metadata {
        filter_metadata: [("istio".to_owned(), content)].into(),
        ..Metadata::default()
    })
}

/// `/apis/<group>/<version>/namespaces/<namespace>/<kind>/<name>` of an object of Istio's; `None`
/// for any other.
pub(crate) fn config_path(object: &v1::ObjectRef) -> Option<String> {
    let (api, kind) = match object.kind.as_str() {
        "VirtualService" => ("networking.istio.io/v1", "virtual-service"),
        "DestinationRule" => ("networking.istio.io/v1", "destination-rule"),
        "ServiceEntry" => ("networking.istio.io/v1", "service-entry"),
        "HTTPRoute" => ("gateway.networking.k8s.io/v1", "http-route"),
        _ => return None,
    };
    Some(format!("/apis/{api}/namespaces/{}/{kind}/{}", object.namespace, object.name))
}
