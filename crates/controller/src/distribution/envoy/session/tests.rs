//! Sessions with a client that does what Envoy does, through random histories.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lateen_compiler::{Client as Facts, Compiler, Options};
use lateen_envoy::{Capture, Placement, Role};
use proptest::prelude::*;

use super::*;
use crate::distribution::topics::Watcher;

/// A body that the client refuses.
const BAD: u8 = 9;

/// Route configurations that the client takes.
const ROUTES: [&str; 2] = ["r0", "r1"];

/// Resources in both parts, a session over them, and its client.
struct World {
    scope: Lowered,
    workload: Lowered,
    session: Session,
    wire: VecDeque<Update>,
    /// Name to version.
    has: BTreeMap<Kind, BTreeMap<String, String>>,
    endpoints: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Put(Kind, u8, u8),
    Remove(Kind, u8),
    /// The client answers the oldest response.
    Answer,
    /// The stream breaks, and the client comes back.
    ComeBack,
}

fn part(part: Part) -> Lowered {
    let mut compiler = Compiler::new(Options::default());
    let facts = Facts::default();
    let scope = compiler.scope(&facts);
    let placement = Placement {
        role: Role::Sidecar,
        part,
        capture: Capture::Redirect,
        ipv6: false,
        agent: false,
        telemetry: false,
    };
    Lowered::new(Watcher(0), scope, facts, placement)
}

fn name(kind: Kind, number: u8) -> String {
    match kind {
        Kind::Cluster | Kind::Endpoints => format!("outbound|{number}"),
        Kind::Listener => format!("l{number}"),
        Kind::VirtualHost => format!("r{}/h{number}", number % 2),
        _ => format!("r{number}"),
    }
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            scope: part(Part::Scope),
            workload: part(Part::Workload),
            session: Session::new(true),
            wire: VecDeque::new(),
            has: BTreeMap::new(),
            endpoints: BTreeSet::new(),
        };
        world.come_back();
        world
    }

    fn parts(&self) -> Parts<'_> {
        Parts { scope: &self.scope, workload: &self.workload }
    }

    fn ask(&mut self, kind: Kind, request: Request) {
        for name in &request.subscribe {
            self.scope.reserve(kind, name);
        }
        let parts = Parts { scope: &self.scope, workload: &self.workload };
        self.session.ask(kind, request, parts);
    }

    /// What Envoy says first, on a new stream.
    fn come_back(&mut self) {
        self.session = Session::new(true);
        self.wire.clear();
        for kind in
            [Kind::Cluster, Kind::Endpoints, Kind::Listener, Kind::Routes, Kind::VirtualHost]
        {
            let subscribe: Vec<String> = match kind {
                Kind::Endpoints if self.endpoints.is_empty() => continue,
                Kind::Endpoints => self.endpoints.iter().cloned().collect(),
                Kind::Routes => ROUTES.map(ToOwned::to_owned).into(),
                _ => Vec::new(),
            };
            let known = self.has.get(&kind).cloned().unwrap_or_default();
            self.ask(kind, Request { subscribe, unsubscribe: Vec::new(), known });
        }
    }

    fn step(&mut self, step: Step) {
        let changed = match step {
            Step::Put(kind, number, content) => {
                let mut body = Vec::new();
                prost::encoding::string::encode(1, &format!("{number} {content}"), &mut body);
                if kind == Kind::Routes {
                    // Virtual hosts are resources of their own.
                    body.extend([0x4a, 0]);
                }
                let resource = Resource::new(name(kind, number).into(), body);
                Some(self.scope.file(kind, Arc::new(resource)))
            }
            Step::Remove(kind, number) => self.scope.strike(kind, &name(kind, number)),
            Step::Answer => {
                self.answer();
                None
            }
            Step::ComeBack => {
                self.come_back();
                None
            }
        };
        let parts = Parts { scope: &self.scope, workload: &self.workload };
        if let Some(changed) = changed {
            self.session.mark(changed.kind, Part::Scope, changed.number, parts);
        }
        self.wire.extend(self.session.advance(parts, 20));
    }

    fn answer(&mut self) {
        let Some(update) = self.wire.pop_front() else { return };
        let kind = Kind::of_type_url(&update.type_url).expect("a kind");
        let bad = format!(" {BAD}");
        if update.resources.iter().any(|resource| resource.body.ends_with(bad.as_bytes())) {
            let parts = Parts { scope: &self.scope, workload: &self.workload };
            return self.session.refused(kind, "it is bad", parts);
        }
        let has = self.has.entry(kind).or_default();
        for name in &update.removed {
            has.remove(&**name);
        }
        for resource in &update.resources {
            has.insert(resource.name.to_string(), resource.version.to_string());
        }
        if kind == Kind::Cluster {
            self.follow_clusters();
        }
        self.session.acknowledged(kind);
    }

    /// Asks for the endpoints of new clusters, gives those of others back.
    fn follow_clusters(&mut self) {
        let clusters: BTreeSet<String> = self.has[&Kind::Cluster].keys().cloned().collect();
        let subscribe: Vec<String> = clusters.difference(&self.endpoints).cloned().collect();
        let unsubscribe: Vec<String> = self.endpoints.difference(&clusters).cloned().collect();
        if let Some(has) = self.has.get_mut(&Kind::Endpoints) {
            has.retain(|name, _| clusters.contains(name));
        }
        self.endpoints = clusters;
        if !subscribe.is_empty() || !unsubscribe.is_empty() {
            let known = BTreeMap::new();
            self.ask(Kind::Endpoints, Request { subscribe, unsubscribe, known });
        }
    }

    /// Answers until there is nothing more; then the client has what there is.
    fn conclude(&mut self) {
        self.wire.extend(
            self.session.advance(Parts { scope: &self.scope, workload: &self.workload }, 20),
        );
        for _ in 0..2000 {
            if self.wire.is_empty() {
                break;
            }
            self.step(Step::Answer);
        }
        assert!(self.wire.is_empty(), "it does not end");
        assert!(self.session.is_settled() && !self.session.is_in_flight());
        for kind in
            [Kind::Cluster, Kind::Endpoints, Kind::Listener, Kind::Routes, Kind::VirtualHost]
        {
            let table = self.parts().tables(kind)[0];
            let bad = format!(" {BAD}");
            let mut refused = BTreeSet::new();
            let mut wanted = BTreeMap::new();
            for number in table.present() {
                let resource = table.get(number).expect("it is present");
                let name = table.name(number).to_string();
                if resource.body.ends_with(bad.as_bytes()) {
                    refused.insert(name);
                } else {
                    wanted.insert(name, resource.version_text.to_string());
                }
            }
            let mut has = self.has.get(&kind).cloned().unwrap_or_default();
            if matches!(kind, Kind::Endpoints | Kind::Routes) {
                // What is asked for and is not there was answered with nothing.
                let asked = |name: &String| {
                    self.endpoints.contains(name) || ROUTES.contains(&name.as_str())
                };
                wanted.retain(|name, _| asked(name));
                has.retain(|name, _| wanted.contains_key(name));
            }
            has.retain(|name, _| !refused.contains(name));
            assert_eq!(has, wanted, "{kind:?}");
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kind = || {
        prop::sample::select(vec![
            Kind::Cluster,
            Kind::Endpoints,
            Kind::Listener,
            Kind::Routes,
            Kind::VirtualHost,
        ])
    };
    let number = |kind: Kind| if kind == Kind::Routes { 0..2_u8 } else { 0..6 };
    let put = kind().prop_flat_map(move |kind| {
        (number(kind), 0..=BAD).prop_map(move |(number, content)| {
            // A route configuration that is refused has no virtual hosts to speak of.
            let content = if kind == Kind::Routes { content % BAD } else { content };
            Step::Put(kind, number, content)
        })
    });
    let remove = kind()
        .prop_flat_map(move |kind| number(kind).prop_map(move |number| Step::Remove(kind, number)));
    let step = prop_oneof![
        8 => put,
        3 => remove,
        8 => Just(Step::Answer),
        1 => Just(Step::ComeBack),
    ];
    prop::collection::vec(step, 0..120)
}

proptest! {
    #[test]
    fn clients_converge(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.conclude();
    }
}
