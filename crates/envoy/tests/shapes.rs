//! What the parts of a mesh become, in short.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fmt::Write as _;
use std::sync::Arc;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::listener::v3::{FilterChain, Listener, filter};
use envoy_types::pb::envoy::config::route::v3::{
    RouteConfiguration, route, route_action::ClusterSpecifier,
};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::tcp_proxy;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::UpstreamTlsContext;
use lateen_compiler::{Change, Compiler, Options, Role};
use lateen_envoy::{Capture, Kind, Lowering, Part, Placement, Pool};
use prost::Message;

/// The scope of the client of the mesh with everything in it.
fn lowering() -> Lowering {
    let mut compiler = Compiler::new(Options::default());
    let parsed = lateen_api::parse(include_str!("everything.yaml"), "mesh.yaml");
    let refused = parsed.diagnostics.iter().filter(|it| it.severity == lateen_api::Severity::Error);
    assert_eq!(refused.map(ToString::to_string).collect::<Vec<_>>(), [""; 0]);
    compiler.apply(parsed.objects.into_iter().map(Arc::new).map(Change::Upsert));
    let mut client = compiler.workload("shop", "client", Role::Sidecar).unwrap();
    client.whole_scope = true;
    let scope = compiler.scope(&client);
    let roots = compiler.roots(scope, &client);
    let closure = compiler.closure(scope, roots);
    let mut lowering = Lowering::new(Placement {
        role: lateen_envoy::Role::Sidecar,
        part: Part::Scope,
        capture: Capture::Redirect,
        ipv6: false,
        agent: true,
        telemetry: false,
    });
    let resources = closure
        .iter()
        .map(|(name, output)| (name.clone(), Some(Arc::new(output.encoded.decode().unwrap()))));
    lowering.apply(&mut Pool::default(), resources);
    lowering
}

#[test]
fn clusters() {
    let lowering = lowering();
    let mut out = String::new();
    for resource in lowering.resources(Kind::Cluster) {
        let cluster = Cluster::decode(resource.body.clone()).unwrap();
        let sockets = cluster
            .transport_socket_matches
            .iter()
            .map(|it| format!("{}: {}", it.name, tls(it.transport_socket.as_ref())));
        let all = cluster.transport_socket.as_ref().map(|it| tls(Some(it)));
        let sockets: Vec<String> = sockets.chain(all).collect();
        let http = if cluster.typed_extension_protocol_options.is_empty() { "tcp" } else { "http" };
        let istio = cluster.metadata.as_ref().map_or(0, |it| it.filter_metadata.len());
        writeln!(
            out,
            "{}\n  {http}, {:?}, connect {} s, metadata {istio}{}",
            cluster.name,
            cluster.lb_policy(),
            cluster.connect_timeout.unwrap().seconds,
            sockets.iter().map(|socket| format!("\n  {socket}")).collect::<String>(),
        )
        .unwrap();
    }
    insta::assert_snapshot!(out);
}

fn tls(socket: Option<&envoy_types::pb::envoy::config::core::v3::TransportSocket>) -> String {
    use envoy_types::pb::envoy::config::core::v3::transport_socket::ConfigType;
    let Some(ConfigType::TypedConfig(config)) = socket.and_then(|it| it.config_type.as_ref())
    else {
        return "nothing".to_owned();
    };
    if config.type_url.ends_with("RawBuffer") {
        return "plain".to_owned();
    }
    let context = UpstreamTlsContext::decode(&*config.value).unwrap();
    format!("as {:?}, ALPN {:?}", context.sni, context.common_tls_context.unwrap().alpn_protocols)
}

#[test]
fn routes() {
    let lowering = lowering();
    let mut out = String::new();
    for resource in lowering.resources(Kind::Routes) {
        let table = RouteConfiguration::decode(resource.body.clone()).unwrap();
        writeln!(out, "{}", table.name).unwrap();
        for host in &table.virtual_hosts {
            writeln!(out, "  {} {:?}", host.name, host.domains).unwrap();
            for route in &host.routes {
                let matched = route.r#match.as_ref().unwrap();
                let path = format!("{:?}", matched.path_specifier.as_ref().unwrap());
                let conditions = matched.headers.len() + matched.query_parameters.len();
                let more =
                    if conditions > 0 { format!(" and {conditions}") } else { String::new() };
                let action = action(route.action.as_ref().unwrap());
                writeln!(out, "    {:?} {path}{more} -> {action}", route.name).unwrap();
            }
        }
    }
    insta::assert_snapshot!(out);
}

fn action(action: &route::Action) -> String {
    match action {
        route::Action::Route(action) => {
            let to = match action.cluster_specifier.as_ref().unwrap() {
                ClusterSpecifier::Cluster(name) => name.clone(),
                ClusterSpecifier::WeightedClusters(weighted) => weighted
                    .clusters
                    .iter()
                    .map(|it| format!("{} {}", it.weight.unwrap().value, it.name))
                    .collect::<Vec<_>>()
                    .join(", "),
                other => format!("{other:?}"),
            };
            let retries = action.retry_policy.as_ref().map_or("", |policy| &policy.retry_on);
            format!("{to}, timeout {} s, retry [{retries}]", action.timeout.unwrap().seconds)
        }
        route::Action::DirectResponse(response) => format!("status {}", response.status),
        route::Action::Redirect(redirect) => format!("redirect to {}", redirect.host_redirect),
        other => format!("{other:?}"),
    }
}

#[test]
fn listeners() {
    let lowering = lowering();
    let mut out = String::new();
    for resource in lowering.resources(Kind::Listener) {
        let listener = Listener::decode(resource.body.clone()).unwrap();
        let inspectors: Vec<_> = listener
            .listener_filters
            .iter()
            .map(|it| it.name.rsplit('.').next().unwrap())
            .collect();
        writeln!(out, "{} {inspectors:?}", listener.name).unwrap();
        for chain in &listener.filter_chains {
            writeln!(out, "  {}", described(chain)).unwrap();
        }
        if let Some(chain) = &listener.default_filter_chain {
            writeln!(out, "  else {}", described(chain)).unwrap();
        }
    }
    insta::assert_snapshot!(out);
}

fn described(chain: &FilterChain) -> String {
    let mut asks = Vec::new();
    if let Some(matching) = &chain.filter_chain_match {
        asks.extend(matching.destination_port.map(|port| format!("port {}", port.value)));
        asks.extend(
            matching.prefix_ranges.iter().map(|range| {
                format!("{}/{}", range.address_prefix, range.prefix_len.unwrap().value)
            }),
        );
        asks.extend(matching.server_names.iter().cloned());
        asks.push(matching.transport_protocol.clone());
        asks.extend(matching.application_protocols.iter().cloned());
    }
    let Some(filter::ConfigType::TypedConfig(config)) = &chain.filters[0].config_type else {
        panic!("a filter without configuration");
    };
    let does = if config.type_url.ends_with("TcpProxy") {
        match TcpProxy::decode(&*config.value).unwrap().cluster_specifier.unwrap() {
            tcp_proxy::ClusterSpecifier::Cluster(name) => name,
            tcp_proxy::ClusterSpecifier::WeightedClusters(weighted) => weighted
                .clusters
                .iter()
                .map(|it| format!("{} {}", it.weight, it.name))
                .collect::<Vec<_>>()
                .join(", "),
        }
    } else {
        match HttpConnectionManager::decode(&*config.value).unwrap().route_specifier.unwrap() {
            RouteSpecifier::Rds(rds) => format!("HTTP by {}", rds.route_config_name),
            other => format!("{other:?}"),
        }
    };
    let name = if chain.name.is_empty() { String::new() } else { format!("({}) ", chain.name) };
    format!("{name}[{}] -> {does}", asks.join(" "))
}
