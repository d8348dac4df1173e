//! Whatever happened before, the result is the one from scratch.

use std::collections::BTreeMap;
use std::sync::Arc;

use lateen_api::kind::Kind;
use lateen_compiler::{Change, Changes, Client, Compiler, Options, Role, ScopeId};
use lateen_mesh::address::decode_address;
use lateen_mesh::name::Name;
use lateen_mesh::v1::resource::Body;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use prost::Message as _;

use crate::mesh::pairs;

/// An object of a small universe in one of its variants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Which {
    kind: usize,
    namespace: usize,
    name: usize,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Upsert(Which, u32),
    Remove(Which),
}

const NAMESPACES: [&str; 3] = ["a", "b", "istio-system"];

const KINDS: [Kind; 13] = [
    Kind::Service,
    Kind::ServiceEntry,
    Kind::VirtualService,
    Kind::DestinationRule,
    Kind::Gateway,
    Kind::Sidecar,
    Kind::PeerAuthentication,
    Kind::AuthorizationPolicy,
    Kind::EndpointSlice,
    Kind::Pod,
    Kind::WorkloadEntry,
    Kind::Secret,
    Kind::ConfigMap,
];

impl Which {
    fn namespace(self) -> &'static str {
        if KINDS[self.kind] == Kind::ConfigMap {
            "istio-system"
        } else {
            NAMESPACES[self.namespace]
        }
    }

    fn name(self) -> String {
        if KINDS[self.kind] == Kind::ConfigMap {
            "istio".to_owned()
        } else {
            format!("n{}", self.name)
        }
    }

    /// The object's text. Bits of the variant choose among its settings.
    fn text(self, variant: u32) -> String {
        let bit = |at: u32| variant >> at & 1 == 1;
        let pick = |at: u32, of: &[&'static str]| of[(variant >> at) as usize % of.len()];
        let hosts = [
            "n0",
            "n1",
            "n0.a.svc.cluster.local",
            "x.com",
            "*.x.com",
            "*.cluster.local",
            "y.x.com",
        ];
        let host = pick(0, &hosts);
        let other = pick(3, &["n0", "n1.b.svc.cluster.local", "x.com", "nobody"]);
        let export = pick(5, &["['*']", "[.]", "[b]"]);
        let (group, spec) = match KINDS[self.kind] {
            Kind::Service => ("v1", match variant % 4 {
                0 => format!("spec: {{clusterIP: 10.0.0.{}, selector: {{app: {}}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}", self.name + 1, pick(2, &["web", "db"])),
                1 => "spec: {clusterIP: None, ports: [{name: tcp, port: 81}, {name: http, port: 80}]}".to_owned(),
                2 => format!("spec: {{type: ExternalName, externalName: {}}}", pick(2, &["n0.a.svc.cluster.local", "x.com"])),
                _ => format!("spec: {{clusterIP: 10.0.0.9, publishNotReadyAddresses: {}, ports: [{{name: grpc, port: 80}}, {{port: 9999}}]}}", bit(3)),
            }),
            Kind::ServiceEntry => ("networking.istio.io/v1", {
                let resolution = if host.starts_with('*') { "NONE" } else { pick(3, &["STATIC", "DNS"]) };
                let location = pick(6, &["MESH_INTERNAL", "MESH_EXTERNAL"]);
                let host = if host.contains('.') { host } else { "x.com" };
                let endpoints = match (resolution, bit(4)) {
                    ("NONE", _) => String::new(),
                    ("STATIC", true) => ", endpoints: [{address: 10.5.0.1}, {address: 10.5.0.2, labels: {version: v1}, ports: {http: 1}}]".to_owned(),
                    ("DNS", true) => ", endpoints: [{address: z.com}]".to_owned(),
                    _ => ", workloadSelector: {labels: {app: web}}".to_owned(),
                };
                format!("spec: {{hosts: ['{host}'], exportTo: {export}, resolution: {resolution}, location: {location}, ports: [{{number: {}, name: http, protocol: {}}}]{endpoints}}}", pick(7, &["80", "443"]), pick(8, &["HTTP", "TLS", "TCP"]))
            }),
            Kind::VirtualService => ("networking.istio.io/v1", {
                let gateways = pick(7, &["[mesh]", "[a/n0]", "[mesh, a/n0, b/n1]"]);
                let matching = pick(9, &["", "match: [{uri: {prefix: /p}}], ", "match: [{sourceLabels: {app: web}}], ", "match: [{port: 81}], ", "match: [{gateways: [a/n0], uri: {exact: /e}}], "]);
                let subset = if bit(12) { ", subset: v1" } else { "" };
                let host = if bit(13) && gateways == "[a/n0]" { "*" } else { host };
                let tls = if bit(14) { ", tls: [{match: [{sniHosts: [x.com]}], route: [{destination: {host: x.com}}]}], tcp: [{route: [{destination: {host: n0}}]}]" } else { "" };
                let tls = if host == "x.com" { tls } else { "" };
                format!("spec: {{hosts: ['{host}'], exportTo: {export}, gateways: {gateways}, http: [{{{matching}route: [{{destination: {{host: {other}{subset}}}}}]}}]{tls}}}")
            }),
            Kind::DestinationRule => ("networking.istio.io/v1", format!(
                "spec: {{host: '{host}', exportTo: {export}, trafficPolicy: {{loadBalancer: {{simple: {}}}}}, subsets: [{{name: v1, labels: {{version: v1}}}}]{}}}",
                pick(7, &["RANDOM", "ROUND_ROBIN", "PASSTHROUGH"]),
                if bit(9) { ", workloadSelector: {labels: {app: web}}" } else { "" },
            )),
            Kind::Gateway => ("networking.istio.io/v1", {
                let server = pick(2, &[
                    "{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}",
                    "{port: {number: 80, name: http, protocol: HTTP}, hosts: ['a/x.com'], tls: {httpsRedirect: true}}",
                    "{port: {number: 443, name: https, protocol: HTTPS}, hosts: ['*.x.com'], tls: {mode: MUTUAL, credentialName: n0}}",
                    "{port: {number: 443, name: tls, protocol: TLS}, hosts: [x.com], tls: {mode: PASSTHROUGH}}",
                    "{port: {number: 80, name: tcp, protocol: TCP}, hosts: ['*']}",
                ]);
                format!("spec: {{selector: {{app: {}}}, servers: [{server}]}}", pick(0, &["front", "web"]))
            }),
            Kind::Sidecar => ("networking.istio.io/v1", format!(
                "spec: {{egress: [{{hosts: {}}}]{}{}}}",
                pick(0, &["['*/*']", "['./*']", "['a/*', '*/x.com']", "['*/*', '~b/*']"]),
                if bit(2) && self.namespace() != "istio-system" { ", workloadSelector: {labels: {app: web}}" } else { "" },
                if bit(3) { ", outboundTrafficPolicy: {mode: REGISTRY_ONLY}" } else { "" },
            )),
            Kind::PeerAuthentication => ("security.istio.io/v1", {
                let mode = pick(0, &["STRICT", "DISABLE", "UNSET"]);
                if bit(2) {
                    format!("spec: {{selector: {{matchLabels: {{app: web}}}}, mtls: {{mode: {mode}}}, portLevelMtls: {{8080: {{mode: DISABLE}}}}}}")
                } else {
                    format!("spec: {{mtls: {{mode: {mode}}}}}")
                }
            }),
            Kind::AuthorizationPolicy => ("security.istio.io/v1", format!(
                "spec: {{action: {}, rules: [{{from: [{{source: {{principals: [cluster.local/ns/a/sa/x]}}}}]}}]{}}}",
                pick(0, &["ALLOW", "DENY"]),
                if bit(1) { ", selector: {matchLabels: {app: web}}" } else { "" },
            )),
            Kind::EndpointSlice => ("discovery.k8s.io/v1", format!(
                "addressType: IPv4\nendpoints: [{{addresses: [10.1.0.1], conditions: {{ready: {}}}}}{}]\nports: [{{name: {}, port: 8080}}]",
                bit(0),
                if bit(1) { ", {addresses: [10.1.0.2], targetRef: {kind: Pod, name: n1, namespace: a}}" } else { "" },
                pick(2, &["http", "tcp"]),
            )),
            Kind::Pod => ("v1", format!(
                "spec: {{serviceAccountName: {}}}\nstatus: {{podIP: 10.1.0.{}}}",
                pick(1, &["x", "y"]),
                pick(2, &["1", "2", "3"]),
            )),
            Kind::WorkloadEntry => ("networking.istio.io/v1", format!(
                "spec: {{address: 10.2.0.{}, labels: {{app: {}}}, serviceAccount: {}}}",
                pick(0, &["1", "2"]),
                pick(1, &["web", "db"]),
                pick(2, &["x", "''"]),
            )),
            Kind::Secret => ("v1", format!("stringData: {{tls.crt: C{}, tls.key: K}}", variant % 3)),
            _ => ("v1", format!(
                "data: {{mesh: '{{trustDomain: {}, rootNamespace: {}, defaultServiceExportTo: {}, connectTimeout: {}}}'}}",
                pick(0, &["cluster.local", "td"]),
                pick(1, &["istio-system", "istio-system", "a"]),
                pick(3, &["[\"*\"]", "[.]"]),
                pick(4, &["10s", "1s"]),
            )),
        };
        let labels = match KINDS[self.kind] {
            Kind::Pod => format!(
                "app: {}, security.istio.io/tlsMode: {}",
                pick(4, &["web", "db"]),
                pick(5, &["istio", "disabled"])
            ),
            Kind::EndpointSlice => format!("kubernetes.io/service-name: {}", self.name()),
            _ => "x: y".to_owned(),
        };
        let created = pick(9, &["2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"]);
        format!(
            "apiVersion: {group}\nkind: {}\nmetadata: {{name: {}, namespace: {}, creationTimestamp: '{created}', labels: {{{labels}}}}}\n{spec}\n",
            KINDS[self.kind].name(),
            self.name(),
            self.namespace(),
        )
    }
}

fn clients() -> Vec<Client> {
    let client = |role, namespace: &str, name: &str, labels: &[(&str, &str)]| Client {
        role,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        labels: pairs(labels),
        addresses: vec!["10.1.0.1".parse().unwrap()],
        whole_scope: true,
        ..Client::default()
    };
    vec![
        client(Role::Sidecar, "a", "n0", &[("app", "web")]),
        client(Role::Sidecar, "b", "n1", &[]),
        client(Role::Sidecar, "istio-system", "c", &[("app", "db")]),
        client(Role::Gateway, "a", "g", &[("app", "front")]),
        client(Role::Gateway, "b", "h", &[("app", "web")]),
    ]
}

/// Bytes, references and number of diagnostics by name.
type Outputs = BTreeMap<Name, (Vec<u8>, Vec<Name>, usize)>;

/// Every output of one client.
fn outputs(compiler: &mut Compiler, client: &Client) -> Outputs {
    let scope = compiler.scope(client);
    let roots = compiler.roots(scope, client);
    let closure = compiler.closure(scope, roots);
    let outputs = closure.into_iter().map(|(name, output)| {
        let said = output.diagnostics.len();
        (name, (output.encoded.bytes.to_vec(), output.references.clone(), said))
    });
    outputs.collect()
}

/// Every output of every client, from scratch for each: nothing is shared between scopes.
fn from_scratch(state: &BTreeMap<Which, String>) -> Vec<Outputs> {
    let alone = |client| {
        let mut compiler = compiler();
        compiler.apply(state.values().flat_map(|text| valid(text)));
        for other in clients() {
            compiler.scope(&other);
        }
        outputs(&mut compiler, client)
    };
    clients().iter().map(alone).collect()
}

/// Outputs that changed without a word, although the client's scope is the same.
fn untold(
    compiler: &mut Compiler,
    changes: &[Changes],
    before: &[(ScopeId, Outputs)],
    now: &[Outputs],
) -> Vec<String> {
    let mut untold = Vec::new();
    for ((client, (scope, before)), now) in clients().iter().zip(before).zip(now) {
        if compiler.scope(client) != *scope {
            continue;
        }
        for (name, output) in before {
            let told = (Compiler::audience(*scope, name), name.clone());
            if now.get(name).is_some_and(|now| now.0 != output.0)
                && !changes.iter().any(|changes| changes.stale.contains(&told))
            {
                untold.push(format!("{}: {name}", client.name));
            }
        }
    }
    untold
}

/// Names of the outputs that are not the same.
fn differences(one: &[Outputs], other: &[Outputs]) -> Vec<String> {
    let mut differing = Vec::new();
    for (at, (one, other)) in one.iter().zip(other).enumerate() {
        for name in one.keys().chain(other.keys()) {
            if one.get(name) != other.get(name) {
                let decode = |outputs: &Outputs| {
                    let (bytes, references, said) = outputs.get(name)?;
                    let resource = lateen_mesh::v1::Resource::decode(bytes.as_slice()).unwrap();
                    Some((resource, references.clone(), *said))
                };
                let (one, other) = (decode(one), decode(other));
                differing.push(format!("client {at}: {name}: {one:?} instead of {other:?}"));
            }
        }
    }
    differing
}

/// The object of a text, unless it is not valid: some combinations of settings are none.
fn valid(text: &str) -> Vec<Change> {
    let objects = lateen_api::parse(text, "object.yaml").objects;
    objects.into_iter().map(|object| Change::Upsert(Arc::new(object))).collect()
}

fn compiler() -> Compiler {
    Compiler::new(Options::default())
}

fn step() -> impl Strategy<Value = Step> {
    let which =
        (0..KINDS.len(), 0..NAMESPACES.len(), 0..2usize).prop_map(|(kind, namespace, name)| {
            // There is one ConfigMap only.
            let only = KINDS[kind] == Kind::ConfigMap;
            if only {
                Which { kind, namespace: 0, name: 0 }
            } else {
                Which { kind, namespace, name }
            }
        });
    prop_oneof![
        4 => (which.clone(), any::<u32>()).prop_map(|(which, variant)| Step::Upsert(which, variant)),
        1 => which.prop_map(Step::Remove),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn incremental_equals_from_scratch(batches in vec(vec(step(), 1..6), 1..12)) {
        let mut incremental = compiler();
        let mut state: BTreeMap<Which, String> = BTreeMap::new();
        let mut before: Vec<(ScopeId, Outputs)> = Vec::new();
        for batch in batches {
            let mut changes = Vec::new();
            for step in batch {
                match step {
                    Step::Upsert(which, variant) => {
                        let text = which.text(variant);
                        let parsed = valid(&text);
                        if !parsed.is_empty() {
                            changes.extend(parsed);
                            state.insert(which, text);
                        }
                    }
                    Step::Remove(which) => {
                        let Some(text) = state.remove(&which) else { continue };
                        for change in valid(&text) {
                            if let Change::Upsert(object) = change {
                                changes.push(Change::Remove(object.reference()));
                            }
                        }
                    }
                }
            }
            let told = incremental.apply(changes);
            let scopes: Vec<ScopeId> =
                clients().iter().map(|client| incremental.scope(client)).collect();
            let told = [told, incremental.settle_clients()];
            let now: Vec<Outputs> =
                clients().iter().map(|client| outputs(&mut incremental, client)).collect();
            let differing = differences(&now, &from_scratch(&state));
            prop_assert!(differing.is_empty(), "{differing:#?}\n{state:#?}");
            let untold = untold(&mut incremental, &told, &before, &now);
            prop_assert!(untold.is_empty(), "{untold:#?}\n{state:#?}");
            before = scopes.into_iter().zip(now).collect();
        }
    }
}

/// What a reference names is there, whatever the mesh looks like.
#[test]
fn references_never_dangle() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..64 {
        let steps = vec(step(), 20..60).new_tree(&mut runner).unwrap().current();
        let mut mesh = compiler();
        for step in steps {
            if let Step::Upsert(which, variant) = step {
                mesh.apply(valid(&which.text(variant)));
            }
        }
        for client in clients() {
            let scope = mesh.scope(&client);
            let roots = mesh.roots(scope, &client);
            for (name, output) in mesh.closure(scope, roots) {
                for reference in &output.references {
                    assert!(mesh.output(scope, reference).is_some(), "{name} names {reference}");
                }
                if let Some(Body::Endpoints(slice)) = output.encoded.decode().unwrap().body {
                    for endpoint in slice.endpoints {
                        assert!(
                            endpoint.addresses.iter().all(|each| decode_address(each).is_some())
                        );
                        assert!((endpoint.template as usize) < slice.templates.len());
                    }
                }
            }
        }
    }
}
