//! What a change costs in a large mesh: outputs computed again, and bytes to each subscriber.
//!
//! There are 50 subscribers, one sidecar in each of the first 50 namespaces. Each has the directory, the routes of ten
//! services of its own namespace and ten of the next, and of one service that all of them call. With twice the services
//! the same edits must cost the same, but for those that concern the whole mesh by nature.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lateen_api::kind::Kind;
use lateen_api::{Object, Spec};
use lateen_compiler::{Audience, Change, Changes, Client, Compiler, ScopeId};
use lateen_mesh::encoded::Version;
use lateen_mesh::name::Name;

use crate::mesh::{Mesh, pairs, parse};

const SERVICES_PER_NAMESPACE: usize = 100;
const SUBSCRIBERS: usize = 50;
const USED: usize = 10;

/// The endpoints of every service: last byte of the address, and whether it is ready.
const STANDARD: [(u8, bool); 2] = [(1, true), (2, true)];

struct Subscriber {
    client: Client,
    scope: ScopeId,
    has: BTreeMap<Name, Version>,
}

/// What an edit cost.
#[derive(Debug, PartialEq, Eq)]
struct Cost {
    /// Outputs computed.
    linked: u64,
    /// Subscribers that were sent anything.
    reached: usize,
    /// Bytes to the subscriber that was sent the most.
    bytes: usize,
}

fn cost(linked: u64, reached: usize, bytes: usize) -> Cost {
    Cost { linked, reached, bytes }
}

fn host(namespace: usize, service: usize) -> String {
    format!("s{service}.n{namespace}.svc.cluster.local")
}

fn service(namespace: usize, service: usize) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: s{service}, namespace: n{namespace}}}\n\
         spec: {{clusterIP: {}, ports: [{{name: http, port: 80}}]}}\n---\n",
        address(namespace, service)
    )
}

fn slice(namespace: usize, service: usize, endpoints: &[(u8, bool)]) -> String {
    let endpoints: Vec<String> = endpoints
        .iter()
        .map(|(last, ready)| {
            format!("{{addresses: [172.16.{service}.{last}], conditions: {{ready: {ready}}}}}")
        })
        .collect();
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: s{service}-x, namespace: n{namespace}, \
         labels: {{kubernetes.io/service-name: s{service}}}}}\naddressType: IPv4\n\
         endpoints: [{}]\nports: [{{name: http, port: 8080}}]\n---\n",
        endpoints.join(", ")
    )
}

/// The same as `service` makes.
fn service_like(any: &Object, namespace: usize, service: usize) -> Object {
    let mut object = any.clone();
    object.meta.name = format!("s{service}");
    object.meta.namespace = format!("n{namespace}");
    let Spec::Service(spec) = &mut object.spec else { panic!("a service") };
    spec.spec.as_mut().unwrap().cluster_ip = address(namespace, service);
    object
}

/// The same as `slice` makes, with the standard endpoints.
fn slice_like(any: &Object, namespace: usize, service: usize) -> Object {
    let mut object = any.clone();
    object.meta.name = format!("s{service}-x");
    object.meta.namespace = format!("n{namespace}");
    object.meta.labels = pairs(&[("kubernetes.io/service-name", &format!("s{service}"))]);
    let Spec::EndpointSlice(spec) = &mut object.spec else { panic!("a slice") };
    for (endpoint, (last, _)) in spec.endpoints.iter_mut().zip(STANDARD) {
        endpoint.addresses = vec![format!("172.16.{service}.{last}")];
    }
    object
}

fn address(namespace: usize, service: usize) -> String {
    format!("10.{}.{}.{service}", namespace % 256, namespace / 256)
}

fn route(weight: u32, swapped: bool) -> String {
    let rules = [
        "{match: [{uri: {prefix: /a}}], route: [{destination: {host: s1}}]}",
        "{match: [{uri: {prefix: /b}}], route: [{destination: {host: s2}}]}",
    ];
    let (first, second) = if swapped { (rules[1], rules[0]) } else { (rules[0], rules[1]) };
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: s0, namespace: n0}}\n\
         spec: {{hosts: [s0], http: [{first}, {second}, {{route: [{{destination: {{host: s0}}, weight: {weight}}}, \
         {{destination: {{host: s1}}, weight: {}}}]}}]}}\n---\n",
        100 - weight
    )
}

struct Large {
    mesh: Mesh,
    subscribers: Vec<Subscriber>,
}

impl Large {
    fn new(services: usize) -> Self {
        let mut mesh = Mesh::new(&route(90, false));
        let one = |text: &str| match parse(text).remove(0) {
            Change::Upsert(object) => (*object).clone(),
            Change::Remove(object) => panic!("{object}"),
        };
        // Reading thousands of texts would take longer than all that is measured here.
        let (any_service, any_slice) = (one(&service(0, 0)), one(&slice(0, 0, &STANDARD)));
        let mut batch = Vec::new();
        for namespace in 0..services / SERVICES_PER_NAMESPACE {
            for at in 0..SERVICES_PER_NAMESPACE {
                batch.push(service_like(&any_service, namespace, at));
                batch.push(slice_like(&any_slice, namespace, at));
            }
        }
        let batch = batch.into_iter().map(|object| Change::Upsert(Arc::new(object)));
        mesh.compiler.apply(batch);
        let subscribers = (0..SUBSCRIBERS)
            .map(|namespace| {
                let client = Client {
                    namespace: format!("n{namespace}"),
                    name: "client".to_owned(),
                    ..Client::default()
                };
                let scope = mesh.compiler.scope(&client);
                Subscriber { client, scope, has: BTreeMap::new() }
            })
            .collect();
        let mut large = Self { mesh, subscribers };
        large.deliver();
        large
    }

    /// Brings every subscriber up to date; says who was sent how much.
    fn deliver(&mut self) -> Vec<usize> {
        let compiler = &mut self.mesh.compiler;
        self.subscribers
            .iter_mut()
            .enumerate()
            .map(|(at, each)| each.update(at, compiler))
            .collect()
    }

    /// Applies an edit and counts. What is not stale is not looked at, but for the roots.
    fn edit(&mut self, text: &str) -> Cost {
        let before = self.mesh.compiler.counters().linked;
        let changes = self.mesh.apply(text);
        self.settle(before, &changes)
    }

    fn settle(&mut self, before: u64, changes: &Changes) -> Cost {
        let sent = self.deliver();
        let linked = self.mesh.compiler.counters().linked - before;
        let reached = sent.iter().filter(|bytes| **bytes > 0).count();
        // Everybody who was sent something had a stale output, or new roots.
        let concerned: BTreeSet<Audience> = changes.stale.iter().map(|(who, _)| *who).collect();
        let everyone = concerned.contains(&Audience::Everyone) || !changes.roots.is_empty();
        for (subscriber, bytes) in self.subscribers.iter().zip(&sent) {
            let expected = everyone || concerned.contains(&Audience::Scope(subscriber.scope));
            assert!(
                expected || *bytes == 0,
                "{:?} was not said to be concerned",
                subscriber.client
            );
        }
        Cost { linked, reached, bytes: sent.into_iter().max().unwrap_or_default() }
    }
}

impl Subscriber {
    fn update(&mut self, at: usize, compiler: &mut Compiler) -> usize {
        let mut names = compiler.roots(self.scope, &self.client);
        for namespace in [at, at + 1] {
            names.extend(
                (0..USED).map(|service| Name::Host(host(namespace % SUBSCRIBERS, service))),
            );
        }
        names.push(Name::Host(host(0, 0)));
        let mut sent = 0;
        let mut has = BTreeMap::new();
        for (name, output) in compiler.closure(self.scope, names) {
            if self.has.get(&name) != Some(&output.encoded.version) {
                sent += output.encoded.bytes.len();
            }
            has.insert(name, output.encoded.version);
        }
        self.has = has;
        sent
    }
}

fn entry(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}, namespace: n0}}\nspec: {spec}\n"
    )
}

/// The edits that concern a part of the mesh, with what each cost.
fn local_edits(large: &mut Large) -> Vec<(&'static str, Cost)> {
    let mut costs = Vec::new();
    let mut edit = |name, text: &str| costs.push((name, large.edit(text)));
    edit("nothing", &service(3, 3));
    edit("an endpoint comes", &slice(3, 3, &[(1, true), (2, true), (3, true)]));
    edit("an endpoint turns unready", &slice(3, 3, &[(1, true), (2, true), (3, false)]));
    edit("an endpoint goes", &slice(3, 3, &[(1, true), (2, true)]));
    edit("an endpoint comes that everybody uses", &slice(0, 0, &[(1, true), (2, true), (3, true)]));
    edit("an endpoint comes that nobody uses", &slice(3, 90, &[(1, true), (2, true), (3, true)]));
    edit("a weight", &route(80, false));
    edit("a rule moved", &route(80, true));
    edit(
        "a wildcard host added",
        &entry(
            "wild",
            "{hosts: ['*.wild.example.com'], ports: [{number: 80, name: http, protocol: HTTP}]}",
        ),
    );
    edit(
        "a CIDR added",
        &entry(
            "cidr",
            "{hosts: [cidr.example.com], addresses: [10.250.0.0/16], ports: [{number: 9000, name: tcp, protocol: TCP}]}",
        ),
    );
    edit(
        "a namespace's label",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: n3, labels: {team: red}}\n",
    );
    edit(
        "a rule for one service in the root namespace",
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: one, namespace: istio-system}\nspec: {host: s3.n3.svc.cluster.local, trafficPolicy: {loadBalancer: {simple: RANDOM}}}\n",
    );
    edit(
        "a Sidecar added",
        "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: default, namespace: n3}\n\
         spec: {egress: [{hosts: ['./*', 'n0/*', 'n4/*']}]}\n",
    );
    large.mesh.remove(Kind::Sidecar, "n3", "default");
    large.deliver();
    costs
}

/// The edits that concern everything that somebody uses.
fn wide_edits(large: &mut Large) -> Vec<(&'static str, Cost)> {
    let mut costs = Vec::new();
    let mut edit = |name, text: &str| costs.push((name, large.edit(text)));
    edit(
        "a rule for all services in the root namespace",
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: all, namespace: istio-system}\nspec: {host: '*.local', trafficPolicy: {loadBalancer: {simple: RANDOM}}}\n",
    );
    edit(
        "the mesh's access log",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {mesh: 'accessLogFile: /dev/stdout'}\n",
    );
    edit(
        "the mesh's connect timeout",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {mesh: '{accessLogFile: /dev/stdout, connectTimeout: 3s}'}\n",
    );
    costs
}

#[test]
fn edits_cost_what_they_affect_whatever_the_size_of_the_mesh() {
    let local = [
        ("nothing", cost(0, 0, 0)),
        ("an endpoint comes", cost(1, 2, 132)),
        ("an endpoint turns unready", cost(1, 2, 134)),
        ("an endpoint goes", cost(1, 2, 103)),
        ("an endpoint comes that everybody uses", cost(1, 50, 132)),
        ("an endpoint comes that nobody uses", cost(0, 0, 0)),
        ("a weight", cost(1, 50, 702)),
        ("a rule moved", cost(1, 50, 702)),
        ("a wildcard host added", cost(1, 50, 1111)),
        ("a CIDR added", cost(1, 50, 1143)),
        ("a namespace's label", cost(0, 0, 0)),
        ("a rule for one service in the root namespace", cost(1, 2, 204)),
        ("a Sidecar added", cost(51, 0, 0)),
    ];
    let wide = [
        ("a rule for all services in the root namespace", cost(500, 50, 4772)),
        ("the mesh's access log", cost(50, 50, 152)),
        ("the mesh's connect timeout", cost(1050, 50, 4924)),
    ];
    for services in [5_000, 10_000] {
        let mut large = Large::new(services);
        assert_eq!(local_edits(&mut large), local, "{services} services");
        assert_eq!(wide_edits(&mut large), wide, "{services} services");
    }
}

#[test]
fn one_edited_field_at_a_gateway_with_5000_routes_costs_one_table() {
    let gateway = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: gw, namespace: n0}\n\
         spec: {selector: {istio: front}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}\n---\n";
    let route = |at: usize, timeout: u32| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: r{at}, namespace: n0}}\n\
             spec: {{hosts: [h{at}.example.com], gateways: [gw], http: [{{timeout: {timeout}s, \
             route: [{{destination: {{host: s0}}}}]}}]}}\n---\n"
        )
    };
    let mut mesh = Mesh::new(&format!("{gateway}{}", service(0, 0)));
    let Change::Upsert(any) = parse(&route(0, 1)).remove(0) else { panic!("a route") };
    let routes = (0..5_000).map(|at| {
        let mut object = (*any).clone();
        object.meta.name = format!("r{at}");
        let Spec::VirtualService(spec) = &mut object.spec else { panic!("a route") };
        spec.hosts = vec![format!("h{at}.example.com")];
        Change::Upsert(Arc::new(object))
    });
    mesh.compiler.apply(routes.collect::<Vec<_>>());
    let seen = mesh.gateway("edge", &[("istio", "front")]);
    let deliver = |mesh: &mut Mesh| -> BTreeMap<Name, (Version, usize)> {
        let roots = mesh.compiler.roots(seen.scope, &seen.client);
        let closure = mesh.compiler.closure(seen.scope, roots).into_iter();
        closure
            .map(|(name, output)| (name, (output.encoded.version, output.encoded.bytes.len())))
            .collect()
    };
    let before = deliver(&mut mesh);
    assert!(before.len() > 5_000);
    let linked = mesh.compiler.counters().linked;
    mesh.apply(&route(2_500, 7));
    let after = deliver(&mut mesh);
    let changed: Vec<String> = after
        .iter()
        .filter(|(name, output)| before.get(*name) != Some(*output))
        .map(|(name, (_, bytes))| format!("{name}: {bytes} bytes"))
        .collect();
    assert_eq!(changed, ["gateway/80/http/h2500.example.com: 234 bytes"]);
    assert_eq!(mesh.compiler.counters().linked - linked, 2, "the table, and the listener's list");
}
