//! What is lowered step by step is what is lowered at once, and a change costs what it should.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::sync::Arc;

use lateen_compiler::{Change, Client, Compiler, Options, Role};
use lateen_envoy::{Capture, Effects, Kind, Lowering, Part, Placement, Pool};
use lateen_mesh::name::Name;
use lateen_mesh::v1;
use proptest::prelude::*;

type Model = BTreeMap<Name, Arc<v1::Resource>>;

/// The model as the client `shop/client` sees it.
fn model(documents: &[&str], local: bool) -> Model {
    let mut compiler = Compiler::new(Options { local, ..Options::default() });
    let objects = documents.iter().flat_map(|text| lateen_api::parse(text, "mesh.yaml").objects);
    compiler.apply(objects.map(Arc::new).map(Change::Upsert));
    let mut client = compiler.workload("shop", "client", Role::Sidecar).unwrap_or(Client {
        namespace: "shop".to_owned(),
        name: "client".to_owned(),
        ..Client::default()
    });
    client.whole_scope = true;
    let scope = compiler.scope(&client);
    let roots = compiler.roots(scope, &client);
    let closure = compiler.closure(scope, roots);
    let decode = |output: &lateen_compiler::Output| Arc::new(output.encoded.decode().unwrap());
    closure.iter().map(|(name, output)| (name.clone(), decode(output))).collect()
}

fn placements(local: bool) -> [Placement; 2] {
    [Part::Scope, Part::Workload].map(|part| Placement {
        role: lateen_envoy::Role::Sidecar,
        part,
        capture: if local { Capture::Local } else { Capture::Redirect },
        ipv6: !local,
        agent: true,
        telemetry: true,
    })
}

fn differences(before: &Model, after: &Model) -> Vec<(Name, Option<Arc<v1::Resource>>)> {
    let gone = before.keys().filter(|name| !after.contains_key(name));
    let changed = after.iter().filter(|(name, resource)| before.get(name) != Some(resource));
    gone.map(|name| (name.clone(), None))
        .chain(changed.map(|(name, resource)| (name.clone(), Some(Arc::clone(resource)))))
        .collect()
}

fn content(lowering: &Lowering) -> BTreeMap<(Kind, String), Vec<u8>> {
    let each = Kind::ALL.into_iter().flat_map(|kind| {
        lowering.resources(kind).map(move |it| ((kind, it.name.to_string()), it.body.to_vec()))
    });
    each.collect()
}

fn problems(lowering: &Lowering) -> Vec<String> {
    let mut problems: Vec<String> = lowering.problems().map(ToString::to_string).collect();
    problems.sort();
    problems
}

/// The effects tell exactly what is different.
fn follow(known: &mut BTreeMap<(Kind, String), Vec<u8>>, effects: &Effects, now: &Lowering) {
    for (kind, resource) in &effects.changed {
        assert_eq!(now.get(*kind, &resource.name), Some(&**resource));
        let name = resource.name.to_string();
        let before = known.insert((*kind, name), resource.body.to_vec());
        assert_ne!(before, Some(resource.body.to_vec()), "{resource:?} did not change");
    }
    for (kind, name) in &effects.removed {
        assert!(known.remove(&(*kind, name.to_string())).is_some(), "{kind:?} {name}");
    }
}

fn changed(effects: &Effects) -> Vec<(Kind, &str)> {
    effects.changed.iter().map(|(kind, resource)| (*kind, &*resource.name)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn step_by_step_is_as_at_once(
        states in prop::collection::vec(any::<u32>(), 1..5),
        local in any::<bool>(),
    ) {
        let mesh = include_str!("everything.yaml");
        let documents: Vec<&str> = mesh.split("\n---\n").collect();
        for placement in placements(local) {
            let mut pool = Pool::default();
            let mut lowering = Lowering::new(placement);
            let mut before = Model::new();
            let mut known = BTreeMap::new();
            for state in &states {
                let is_kept = |index: usize| index < 3 || state & 1 << (index % 32) != 0;
                let kept = documents.iter().enumerate().filter(|(index, _)| is_kept(*index));
                let after = model(&kept.map(|(_, text)| *text).collect::<Vec<_>>(), local);
                let effects = lowering.apply(&mut pool, differences(&before, &after));
                follow(&mut known, &effects, &lowering);
                before = after;
                let mut fresh = Lowering::new(placement);
                fresh.apply(&mut Pool::default(), differences(&Model::new(), &before));
                prop_assert_eq!(&content(&lowering), &content(&fresh));
                prop_assert_eq!(&known, &content(&fresh));
                prop_assert_eq!(problems(&lowering), problems(&fresh));
            }
        }
    }
}

/// A mesh of so many services on port 80, with endpoints behind the first of them.
fn services(count: usize, route: &str, pods: usize) -> Vec<String> {
    let mut documents = vec![
        "apiVersion: v1\nkind: Pod\nmetadata: {name: client, namespace: shop}\n\
         spec: {serviceAccountName: client}\nstatus: {podIP: 10.1.0.1}\n"
            .to_owned(),
    ];
    for number in 0..count {
        documents.push(format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: s{number}, namespace: shop}}\n\
             spec: {{clusterIP: 10.2.0.{number}, selector: {{app: s{number}}}, \
             ports: [{{name: http, port: 80}}]}}\n"
        ));
    }
    let endpoints: Vec<String> =
        (0..pods).map(|number| format!("{{addresses: [10.3.0.{number}]}}")).collect();
    documents.push(format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: s0-1, \
         namespace: shop, labels: {{kubernetes.io/service-name: s0}}}}\naddressType: IPv4\n\
         ports: [{{name: http, port: 8080}}]\nendpoints: [{}]\n",
        endpoints.join(", ")
    ));
    documents.push(format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: s1, \
         namespace: shop}}\nspec: {{hosts: [s1], http: [{{match: [{{uri: {{prefix: {route}}}}}], \
         route: [{{destination: {{host: s1}}}}]}}]}}\n"
    ));
    documents
}

fn seen(documents: &[String]) -> Model {
    model(&documents.iter().map(String::as_str).collect::<Vec<_>>(), false)
}

#[test]
fn a_change_costs_one_small_resource() {
    for (count, edited) in
        [(4, (Kind::Routes, "80")), (40, (Kind::VirtualHost, "80/s1.shop.svc.cluster.local:80"))]
    {
        let mut pool = Pool::default();
        let mut lowering = Lowering::new(placements(false)[0]);
        let first = seen(&services(count, "/a", 2));
        lowering.apply(&mut pool, differences(&Model::new(), &first));
        let second = seen(&services(count, "/b", 2));
        let effects = lowering.apply(&mut pool, differences(&first, &second));
        let (kind, name) = edited;
        assert_eq!(changed(&effects), [(kind, name)], "{count}");
        let size = lowering.get(kind, name).unwrap().body.len();
        assert!(kind == Kind::Routes || size < 1_000, "{size} bytes");
        let third = seen(&services(count, "/b", 3));
        let effects = lowering.apply(&mut pool, differences(&second, &third));
        let endpoints = "outbound|80||s0.shop.svc.cluster.local";
        assert_eq!(changed(&effects), [(Kind::Endpoints, endpoints)], "{count}");
        assert!(effects.removed.is_empty());
    }
}

#[test]
fn a_table_is_split_when_it_is_large_and_joined_when_it_is_small_again() {
    let mut pool = Pool::default();
    let mut lowering = Lowering::new(placements(false)[0]);
    let mut before = Model::new();
    for (count, split) in [(8, false), (9, true), (5, true), (4, false), (8, false)] {
        let after = seen(&services(count, "/a", 0));
        lowering.apply(&mut pool, differences(&before, &after));
        before = after;
        let virtual_hosts = lowering.resources(Kind::VirtualHost).count();
        assert_eq!(virtual_hosts, if split { count } else { 0 }, "{count}");
    }
}
