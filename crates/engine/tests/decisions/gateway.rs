//! Servers of a gateway's port.

use lateen_engine::connection::Hosts;
use lateen_engine::gateway::{GatewayConnection, Terminated};
use lateen_engine::{HttpDecision, HttpScope, Plan, Reason, Request, Seen};
use lateen_mesh::v1::resource::Body;
use lateen_mesh::v1::{self, GatewayProtocol, Protocol};

use crate::fixture::*;

fn server(
    name: &str,
    protocol: GatewayProtocol,
    hosts: &[&str],
    routes: &[&str],
) -> v1::GatewayServer {
    v1::GatewayServer {
        origin: origin(name),
        name: name.to_owned(),
        number: 443,
        protocol: protocol.into(),
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        tls: Some(v1::ServerTls { secret: "secret/shop/cert".to_owned(), ..Default::default() }),
        routes: routes.iter().map(|host| format!("gateway/8443/{name}/{host}")).collect(),
    }
}

fn http_table(host: &str) -> v1::Routes {
    v1::Routes {
        host: host.to_owned(),
        http: vec![to(host, vec![backend("web", 80)])],
        origin: origin(host),
        ..Default::default()
    }
}

fn tls_table(host: &str, sni: &[&str]) -> v1::Routes {
    let matched = v1::L4Match {
        sni: sni.iter().map(|name| (*name).to_owned()).collect(),
        ..Default::default()
    };
    let rule = v1::TlsRule {
        origin: origin(host),
        matches: vec![matched],
        backends: vec![backend("db", 5432)],
    };
    v1::Routes { host: host.to_owned(), tls: vec![rule], ..Default::default() }
}

fn tcp_table(host: &str) -> v1::Routes {
    let rule = v1::TcpRule { backends: vec![backend("db", 5432)], ..Default::default() };
    v1::Routes { host: host.to_owned(), tcp: vec![rule], ..Default::default() }
}

fn gateway(
    port: u16,
    servers: Vec<v1::GatewayServer>,
    http: &[v1::Routes],
    own: &[(&str, v1::Routes)],
) -> Mesh {
    let empty = |host: &str, port| v1::Destination {
        endpoint_slices: Vec::new(),
        protocol: Protocol::Auto.into(),
        ..destination(host, port)
    };
    let name = |server: &str, host: &str| format!("gateway/{port}/{server}/{host}");
    let listener = v1::GatewayListener {
        port: port.into(),
        servers,
        http_routes: http.iter().map(|table| name("http", &table.host)).collect(),
    };
    let mut mesh = Mesh::new()
        .with("secret/shop/cert", Body::Secret(v1::Secret::default()))
        .with(&format!("gateway/{port}"), Body::Gateway(listener))
        .destination(empty("web", 80))
        .destination(empty("db", 5432));
    for table in http {
        mesh = mesh.with(&name("http", &table.host), Body::Routes(table.clone()));
    }
    for (server, table) in own {
        mesh = mesh.with(&name(server, &table.host), Body::Routes(table.clone()));
    }
    mesh
}

fn outcome(connection: &GatewayConnection<'_>) -> String {
    match connection {
        GatewayConnection::Http(scope) => format!("http on {}", scope.port),
        GatewayConnection::Tcp(forward) => format!("tcp {}", forward.destination.key().host),
        GatewayConnection::Terminate(server, Terminated::Http(_)) => {
            format!("{}: http", server.name())
        }
        GatewayConnection::Terminate(server, Terminated::Tcp(forward)) => {
            format!("{}: tcp {}", server.name(), forward.destination.key().host)
        }
        GatewayConnection::Refuse(refusal) => refusal.reason.code().to_owned(),
    }
}

fn decide(plan: &Plan, port: u16, seen: Seen<'_>) -> String {
    let gateway = plan.gateway(port).expect("the port is open");
    let address = socket("192.0.2.1:8443");
    let decision = gateway.decide(address, seen, 0);
    assert_eq!(gateway.explain(address, seen, 0).decision, decision);
    outcome(&decision)
}

fn sni(name: &str) -> Seen<'_> {
    Seen::Tls { sni: Some(name), alpn: &[] }
}

#[test]
fn server_names_choose_the_server() {
    use GatewayProtocol::{Https, TlsPassthrough, TlsTerminated};
    let plan = gateway(
        8443,
        vec![
            server("any", Https, &["*"], &["*"]),
            server("wild", Https, &["*.shop.ext"], &["*.shop.ext"]),
            server("one", Https, &["one.shop.ext"], &["one.shop.ext"]),
            server("pass", TlsPassthrough, &["*"], &["pass.shop.ext", "*.raw.ext"]),
            server("bytes", TlsTerminated, &["bytes.ext"], &["bytes.ext"]),
        ],
        &[],
        &[
            ("any", http_table("*")),
            ("wild", http_table("*.shop.ext")),
            ("one", http_table("one.shop.ext")),
            ("pass", tls_table("pass.shop.ext", &["pass.shop.ext"])),
            ("pass", tls_table("*.raw.ext", &["*.raw.ext"])),
            ("bytes", tcp_table("bytes.ext")),
        ],
    )
    .plan();
    for (name, expected) in [
        ("one.shop.ext", "one: http"),
        ("ONE.shop.ext", "one: http"),
        ("two.shop.ext", "wild: http"),
        // The rule's own name is what passes through, though the server takes any.
        ("pass.shop.ext", "tcp db"),
        ("x.raw.ext", "tcp db"),
        ("raw.ext", "any: http"),
        ("bytes.ext", "bytes: tcp db"),
        ("elsewhere", "any: http"),
    ] {
        assert_eq!(decide(&plan, 8443, sni(name)), expected, "{name}");
    }
    assert_eq!(decide(&plan, 8443, Seen::Tls { sni: None, alpn: &[] }), "any: http");
    assert_eq!(decide(&plan, 8443, Seen::Http1), "tls_required");
    assert!(plan.gateway(8443).expect("open").inspect().tls);
    assert!(plan.gateway(80).is_none());
    assert_eq!(plan.gateway_ports(), [8443]);
}

#[test]
fn a_port_is_open_where_a_server_takes_anything() {
    use GatewayProtocol::{Https, Tcp, TlsPassthrough, TlsTerminated};
    let own = |protocol| server("own", protocol, &["*"], &["a.ext"]);
    let of = |servers, tables: &[(&str, v1::Routes)]| gateway(8443, servers, &[], tables).plan();
    for protocol in [Https, TlsTerminated, Tcp] {
        let plan = of(vec![own(protocol)], &[("own", http_table("a.ext"))]);
        assert_eq!(plan.gateway_ports(), [8443], "{protocol:?}");
    }
    let routed = of(vec![own(TlsPassthrough)], &[("own", tls_table("a.ext", &["a.ext"]))]);
    assert_eq!(routed.gateway_ports(), [8443]);
    let unused = of(vec![own(TlsPassthrough)], &[("own", http_table("a.ext"))]);
    assert!(unused.gateway_ports().is_empty() && unused.gateway(8443).is_some());
}

#[test]
fn nobody_takes_an_unknown_server_name() {
    let one = server("one", GatewayProtocol::Https, &["one.ext"], &[]);
    let plan = gateway(8443, vec![one], &[], &[]).plan();
    assert_eq!(decide(&plan, 8443, sni("two.ext")), "no_server");
    assert_eq!(decide(&plan, 8443, Seen::Tls { sni: None, alpn: &[] }), "no_server");
}

#[test]
fn plain_servers_take_bytes_as_they_are() {
    let plain =
        v1::GatewayServer { number: 80, ..server("plain", GatewayProtocol::Http, &["*"], &[]) };
    let plan = gateway(8080, vec![plain], &[http_table("*")], &[]).plan();
    assert_eq!(decide(&plan, 8080, Seen::Http1), "http on 80");
    assert_eq!(decide(&plan, 8080, Seen::Nothing), "http on 80");
    assert!(!plan.gateway(8080).expect("open").inspect().needed());
    let tcp = v1::GatewayServer {
        routes: vec!["gateway/9000/tcp/*".to_owned()],
        ..server("tcp", GatewayProtocol::Tcp, &["*"], &[])
    };
    let plan = gateway(9000, vec![tcp], &[], &[("tcp", tcp_table("*"))]).plan();
    assert_eq!(decide(&plan, 9000, Seen::Nothing), "tcp db");
    assert_eq!(decide(&plan, 9000, sni("x")), "tcp db");
}

fn route<'p>(plan: &'p Plan, hosts: Hosts, request: &Request<'_>) -> HttpDecision<'p> {
    let scope = HttpScope { port: 443, destination: socket("192.0.2.1:8443"), hosts };
    let decision = plan.route(&scope, request, 0);
    assert_eq!(plan.explain_route(&scope, request, 0).decision, decision);
    decision
}

#[test]
fn virtual_hosts_are_chosen_by_authority() {
    let plain = server("plain", GatewayProtocol::Http, &["*"], &[]);
    let hosts = ["one.ext", "*.ext", "*.two.ext", "*"];
    let tables = hosts.map(http_table);
    let plan = gateway(8080, vec![plain.clone()], &tables, &[]).plan();
    let none = headers(&[]);
    for (authority, expected) in [
        ("one.ext", "one.ext"),
        ("One.ext:8080", "one.ext"),
        ("x.ext", "*.ext"),
        ("x.two.ext", "*.two.ext"),
        ("two.ext", "*.ext"),
        ("other", "*"),
    ] {
        let decision = route(&plan, Hosts::GatewayHttp(8080), &get(authority, "/", &none));
        let HttpDecision::Forward(forward) = decision else { panic!("{authority}: {decision:?}") };
        assert_eq!(forward.route_name, expected, "{authority}");
        assert_eq!(forward.virtual_host, expected, "{authority}");
    }
    let plan = gateway(8080, vec![plain], &[http_table("one.ext")], &[]).plan();
    for hosts in
        [Hosts::GatewayHttp(8080), Hosts::GatewayHttp(1), Hosts::GatewayServer(8080, "x".into())]
    {
        let decision = route(&plan, hosts, &get("two.ext", "/", &none));
        let HttpDecision::Refuse(refusal) = decision else { panic!("{decision:?}") };
        assert_eq!((refusal.reason, refusal.status), (Reason::NoRoute, 404));
        assert_eq!((refusal.reason.flag(), refusal.virtual_host), ("NR", ""));
    }
}

#[test]
fn https_redirect_answers_plain_requests() {
    let table = v1::Routes { https_redirect: true, ..http_table("one.ext") };
    let plain = server("plain", GatewayProtocol::Http, &["*"], &[]);
    let plan = gateway(8080, vec![plain], &[table], &[]).plan();
    let none = headers(&[]);
    for (authority, expected) in [
        ("one.ext", "https://one.ext/a?b"),
        ("one.ext:80", "https://one.ext:80/a?b"),
        ("one.ext:8080", "https://one.ext:8080/a?b"),
    ] {
        let decision = route(&plan, Hosts::GatewayHttp(8080), &get(authority, "/a?b", &none));
        let HttpDecision::Redirect(location) = decision else { panic!("{decision:?}") };
        assert_eq!((location.status, location.location.as_str()), (301, expected));
        assert_eq!(location.virtual_host, "one.ext");
    }
    let request = Request { scheme: "https", ..get("one.ext", "/", &none) };
    let decision = route(&plan, Hosts::GatewayHttp(8080), &request);
    assert!(matches!(decision, HttpDecision::Forward(_)), "{decision:?}");
    // What the client calls it (HTTP/2) does not make the connection a safe one.
    let plain = headers(&[("x-forwarded-proto", "http")]);
    let request = Request { scheme: "https", ..get("one.ext", "/", &plain) };
    let decision = route(&plan, Hosts::GatewayHttp(8080), &request);
    assert!(matches!(decision, HttpDecision::Redirect(_)), "{decision:?}");
}

#[test]
fn towards_sniffed_ports_a_gateway_speaks_http1() {
    use lateen_engine::upstream::Carried;
    let plain = server("plain", GatewayProtocol::Http, &["*"], &[]);
    let plan = gateway(8080, vec![plain], &[http_table("*")], &[]).plan();
    let destination = plan.destinations().next().expect("a destination");
    assert_eq!(plan.carried(destination, Carried::Http2), Carried::Http1);
    assert_eq!(plan.carried(destination, Carried::Tcp), Carried::Tcp);
    assert_eq!(destination.carried(Carried::Http2), Carried::Http2);
}
