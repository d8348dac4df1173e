//! Routes of directory entries.

use lateen_mesh::v1::http_rule::Action;

use crate::mesh::{Mesh, ports, short};

const SERVICES: &str = "
apiVersion: v1
kind: Service
metadata: {name: known, namespace: default}
spec: {clusterIP: 2.0.0.0, ports: [{name: http, port: 80}, {name: http-alt, port: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: alt, namespace: default}
spec: {clusterIP: 2.0.0.1, ports: [{name: http, port: 80}, {name: http-alt, port: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: single, namespace: other}
spec: {clusterIP: 2.0.0.2, ports: [{name: http, port: 9000}, {name: dns, port: 53, protocol: UDP}]}
";

fn route(name: &str, created: &str, spec: &str) -> String {
    format!(
        "\n---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, \
         namespace: default, creationTimestamp: \"{created}\"}}\nspec: {spec}\n"
    )
}

fn table(text: &str, host: &str) -> Vec<String> {
    let mut mesh = Mesh::new(&format!("{SERVICES}{text}"));
    let seen = mesh.sidecar("default");
    mesh.routes(&seen, host).map(|routes| short(&routes)).unwrap_or_default()
}

const KNOWN: &str = "known.default.svc.cluster.local";
const OLD: &str = "2019-01-01T00:00:00Z";
const NEW: &str = "2021-01-01T00:00:00Z";

#[test]
fn without_a_virtual_service_the_service_answers_itself() {
    assert_eq!(table("", KNOWN), ["default[] -> known.default:0"]);
    let mut mesh = Mesh::new(SERVICES);
    let seen = mesh.sidecar("default");
    let output = mesh.output(&seen, &format!("routes/{KNOWN}")).unwrap();
    let names: Vec<String> = output.references.iter().map(ToString::to_string).collect();
    assert_eq!(names, [format!("destination/{KNOWN}/80/"), format!("destination/{KNOWN}/8080/")]);
    let retries = mesh.routes(&seen, KNOWN).unwrap().http[0].retries.clone().unwrap();
    assert_eq!(
        (retries.attempts, retries.backoff_base_ms, retries.avoid_previous_hosts),
        (2, 25, 5)
    );
    assert_eq!(
        retries.retry_on.join(","),
        "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"
    );
    assert_eq!(mesh.routes(&seen, "nobody.default.svc.cluster.local"), None);
}

#[test]
fn exact_hosts_go_before_wildcards_and_the_oldest_before_the_others() {
    let to = |hosts: &str, host: &str| {
        format!("{{hosts: [{hosts}], http: [{{route: [{{destination: {{host: {host}}}}}]}}]}}")
    };
    let wild = to("'*.cluster.local'", "single.other.svc.cluster.local");
    let exact = to("known", "alt");
    let both = route("wild", OLD, &wild) + &route("exact", NEW, &exact);
    assert_eq!(table(&both, KNOWN), ["[] -> alt.default:0"]);
    assert_eq!(table(&both, "alt.default.svc.cluster.local"), ["[] -> single.other:9000"]);
    let conflict = route("young", NEW, &exact) + &route("old", OLD, &to("known", "known"));
    assert_eq!(table(&conflict, KNOWN), ["[] -> known.default:0"]);

    let mut mesh = Mesh::new(&format!("{SERVICES}{conflict}"));
    let seen = mesh.sidecar("default");
    assert_eq!(
        mesh.said(&seen, &format!("routes/{KNOWN}")),
        [format!(
            "conflicting-hosts spec.hosts[0]: the rules for {KNOWN} are not used: VirtualService \
             default/old has the same host and is older"
        )]
    );
}

#[test]
fn hosts_that_are_no_service_are_routed_on_port_80_or_beside_a_service() {
    let mut mesh = Mesh::new(
        &(SERVICES.to_owned()
            + &route(
                "alone",
                OLD,
                "{hosts: [foo.example.com, '*.tld'], http: [{route: [{destination: {host: alt}}]}]}",
            )
            + &route(
                "beside",
                OLD,
                "{hosts: [known, bar.example.com], http: [{route: [{destination: {host: alt}}]}]}",
            )
            + &route(
                "over",
                OLD,
                "{hosts: ['*.cluster.local'], http: [{route: [{destination: {host: alt}}]}]}",
            )),
    );
    let seen = mesh.sidecar("default");
    let directory = mesh.directory(&seen);
    assert_eq!(ports(&directory["foo.example.com"]), [80]);
    assert_eq!(ports(&directory["*.tld"]), [80]);
    assert_eq!(ports(&directory["bar.example.com"]), [80, 8080]);
    assert!(!directory.contains_key("*.cluster.local"), "its services are entries of their own");
    let routes = mesh.routes(&seen, "bar.example.com").unwrap();
    assert_eq!(short(&routes), ["[] -> alt.default:0"]);
}

#[test]
fn a_port_that_no_rule_is_for_has_the_default_route() {
    let spec = "{hosts: [known], http: [{match: [{port: 8080, uri: {prefix: /a}}], route: [{destination: {host: alt}}]}]}";
    assert_eq!(
        table(&route("r", OLD, spec), KNOWN),
        ["[/a:8080] -> alt.default:0", "default[:80] -> known.default:0"]
    );
}

#[test]
fn what_is_not_there_answers_503() {
    let spec = "{hosts: [known], http: [
        {match: [{uri: {prefix: /host}}], route: [{destination: {host: nobody}}]},
        {match: [{uri: {prefix: /port}}], route: [{destination: {host: alt, port: {number: 81}}}]},
        {match: [{uri: {prefix: /subset}}], route: [{destination: {host: alt, subset: v1}}]},
        {route: [{destination: {host: alt}, weight: 1}, {destination: {host: single.other.svc.cluster.local}, weight: 3}, {destination: {host: known}, weight: 0}]}]}";
    let mut mesh = Mesh::new(&(SERVICES.to_owned() + &route("r", OLD, spec)));
    let seen = mesh.sidecar("default");
    let routes = mesh.routes(&seen, KNOWN).unwrap();
    assert_eq!(
        short(&routes),
        [
            "[/host] -> !nobody.default:0",
            "[/port] -> !alt.default:81",
            "[/subset] -> !alt.default:0#v1",
            "[] -> alt.default:0=1 single.other:9000=3",
        ]
    );
    let Some(Action::Forward(forward)) = &routes.http[0].action else { panic!() };
    assert_eq!(forward.backends[0].invalid_status, 503);
    let codes: Vec<String> = mesh
        .said(&seen, &format!("routes/{KNOWN}"))
        .iter()
        .map(|line| line.split(':').next().unwrap().to_owned())
        .collect();
    assert_eq!(
        codes,
        [
            "unknown-host spec.http[0].route[0].destination",
            "unknown-port spec.http[1].route[0].destination",
            "unknown-subset spec.http[2].route[0].destination",
        ]
    );
}

#[test]
fn matches_count_for_those_whom_they_name() {
    let spec = "{hosts: [known], gateways: [mesh, front], http: [
        {match: [{sourceLabels: {app: web}}], route: [{destination: {host: alt}}]},
        {match: [{sourceNamespace: other, uri: {prefix: /other}}], route: [{destination: {host: alt}}]},
        {match: [{gateways: [front], uri: {prefix: /front}}], route: [{destination: {host: alt}}]},
        {match: [{gateways: [mesh], sourceNamespace: nowhere, uri: {prefix: /mesh}}], redirect: {uri: /}},
        {match: [{uri: {prefix: /all}}], directResponse: {status: 418}}]}";
    let mut mesh = Mesh::new(&(SERVICES.to_owned() + &route("r", OLD, spec)));
    let table = |mesh: &mut Mesh, namespace: &str, labels: &[(&str, &str)]| {
        let seen = mesh.labelled(namespace, labels);
        short(&mesh.routes(&seen, KNOWN).unwrap())
    };
    let common = ["[/mesh] -> redirect 301", "[/all] -> respond 418"];
    assert_eq!(table(&mut mesh, "default", &[]), common);
    assert_eq!(table(&mut mesh, "default", &[("app", "web"), ("x", "y")])[1..], common);
    assert_eq!(table(&mut mesh, "other", &[]), ["[/other] -> alt.default:0", common[0], common[1]]);
    let scopes: Vec<_> =
        [&[("app", "web")][..], &[("app", "web"), ("pod", "1")], &[("pod", "2")], &[]]
            .into_iter()
            .map(|labels| mesh.labelled("default", labels).scope)
            .collect();
    assert_eq!(scopes[0], scopes[1], "labels that nobody asks for make no scope");
    assert_eq!(scopes[2], scopes[3]);
    assert_ne!(scopes[0], scopes[3]);
}

#[test]
fn rules_that_apply_nowhere_leave_the_default() {
    let spec = "{hosts: [known], http: [{match: [{sourceLabels: {app: web}}], route: [{destination: {host: alt}}]}]}";
    assert_eq!(table(&route("r", OLD, spec), KNOWN), ["default[] -> known.default:0"]);
}

#[test]
fn export_and_sidecar_decide_who_applies_a_virtual_service() {
    let spec = "{hosts: [known], exportTo: [.], http: [{route: [{destination: {host: alt}}]}]}";
    let sidecar = "
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: narrow}
spec: {egress: [{hosts: ['*/known.default.svc.cluster.local']}]}
";
    let mut mesh = Mesh::new(&(SERVICES.to_owned() + &route("r", OLD, spec) + sidecar));
    let seen = mesh.sidecar("other");
    assert_eq!(short(&mesh.routes(&seen, KNOWN).unwrap()), ["default[] -> known.default:0"]);
    let changed =
        route("r", OLD, &spec.replace("[.]", "['*']").replace("[known]", "['*.cluster.local']"));
    mesh.apply(&changed);
    let seen = mesh.sidecar("narrow");
    assert_eq!(
        short(&mesh.routes(&seen, KNOWN).unwrap()),
        ["[] -> alt.default:0"],
        "routes reach what a Sidecar does not import"
    );
    assert_eq!(mesh.routes(&seen, "alt.default.svc.cluster.local"), None);
}

#[test]
fn every_setting_of_a_rule_arrives() {
    let spec = "{hosts: [known], http: [{name: all, match: [{name: m, uri: {exact: /A}, ignoreUriCase: true, method: {exact: GET},
          authority: {prefix: known}, scheme: {exact: https}, headers: {X-One: {exact: a}, x-any: {}},
          withoutHeaders: {x-no: {regex: b.*}}, queryParams: {q: {prefix: z}}, port: 80}],
        rewrite: {uri: /b}, timeout: 1.5s, retries: {attempts: 3, perTryTimeout: 250ms, retryOn: '5xx,503', backoff: 10ms, retryIgnorePreviousHosts: false},
        headers: {request: {set: {Host: new.example.com, X-S: '1'}, add: {X-A: '2'}, remove: [X-R]}, response: {add: {x-r: '3'}}},
        route: [{destination: {host: alt}, headers: {request: {set: {x-d: '4'}}}}]}]}";
    let mut mesh = Mesh::new(&(SERVICES.to_owned() + &route("r", OLD, spec)));
    let seen = mesh.sidecar("default");
    let routes = mesh.routes(&seen, KNOWN).unwrap();
    insta::assert_debug_snapshot!(routes.http[0]);
}

#[test]
fn tls_and_tcp_fall_back_to_the_service() {
    let text = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: out, namespace: default}
spec: {hosts: [a.example.com, b.example.com], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}, {number: 9000, name: tcp, protocol: TCP}, {number: 8443, name: tls-2, protocol: TLS}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: sni, namespace: default}
spec:
  hosts: [a.example.com]
  tls: [{match: [{port: 443, sniHosts: [a.example.com]}], route: [{destination: {host: b.example.com, port: {number: 443}}}]}]
  tcp: [{match: [{port: 9000, destinationSubnets: [10.0.0.0/8]}], route: [{destination: {host: b.example.com, port: {number: 9000}}}]}]
";
    let mut mesh = Mesh::new(text);
    let seen = mesh.sidecar("default");
    assert_eq!(
        short(&mesh.routes(&seen, "a.example.com").unwrap()),
        [
            "tcp[:9000] -> b.example.com:9000",
            "tcp[] -> a.example.com:0",
            "tls[a.example.com:443] -> b.example.com:443",
            "tls[a.example.com:8443] -> a.example.com:0",
        ]
    );
}

#[test]
fn external_names_stand_for_what_they_point_at() {
    let text = "
apiVersion: v1
kind: Service
metadata: {name: alias, namespace: default}
spec: {type: ExternalName, externalName: known.default.svc.cluster.local}
---
apiVersion: v1
kind: Service
metadata: {name: second, namespace: default}
spec: {type: ExternalName, externalName: alias.default.svc.cluster.local}
";
    let alias = route(
        "alias",
        OLD,
        "{hosts: [alias], http: [{match: [{uri: {prefix: /one}}], route: [{destination: {host: alias}}]}]}",
    );
    let mut mesh = Mesh::new(&format!("{SERVICES}---\n{text}"));
    let seen = mesh.sidecar("default");
    assert_eq!(
        mesh.directory(&seen)[KNOWN].aliases,
        [
            "alias",
            "alias.default",
            "alias.default.svc",
            "alias.default.svc.cluster.local",
            "second",
            "second.default",
            "second.default.svc",
            "second.default.svc.cluster.local",
        ]
    );
    mesh.apply(&alias);
    let directory = mesh.directory(&seen);
    assert_eq!(ports(&directory["alias.default.svc.cluster.local"]), [80, 8080]);
    assert!(!directory[KNOWN].aliases.contains(&"alias.default.svc.cluster.local".to_owned()));
    let routes = mesh.routes(&seen, "alias.default.svc.cluster.local").unwrap();
    assert_eq!(short(&routes), ["[/one] -> known.default:0"]);
}
