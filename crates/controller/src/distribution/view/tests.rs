//! A view against a catalog made by hand, and against random histories.

use std::collections::BTreeMap;

use lateen_mesh::{
    encoded::Encoded,
    v1::{Resource as Message, Settings, resource::Body},
};
use proptest::prelude::*;

use super::*;

/// Resources by name: content and references.
#[derive(Debug, Clone, Default)]
struct Mesh {
    roots: Vec<Name>,
    outputs: BTreeMap<Name, Arc<Output>>,
}

impl Mesh {
    fn set(&mut self, name: &str, content: &str, references: &[&str]) {
        let body =
            Body::Settings(Settings { namespace: content.to_owned(), ..Settings::default() });
        let encoded = Arc::new(Encoded::new(&Message { objects: Vec::new(), body: Some(body) }));
        let references = references.iter().map(|name| parse(name)).collect();
        let output = Arc::new(Output { encoded, references, diagnostics: Vec::new() });
        self.outputs.insert(parse(name), output);
    }

    fn remove(&mut self, name: &str) {
        self.outputs.remove(&parse(name));
    }
}

impl Catalog for Mesh {
    fn roots(&mut self) -> Vec<Name> {
        self.roots.clone()
    }

    fn output(&mut self, name: &Name) -> Option<Arc<Output>> {
        self.outputs.get(name).cloned()
    }

    fn audience(&self, _: &Name) -> Audience {
        Audience::Everyone
    }
}

fn parse(name: &str) -> Name {
    Name::parse(name).unwrap_or_else(|| panic!("{name} is no name"))
}

/// A client that does what it is told, with its view.
struct Client {
    mesh: Mesh,
    topics: Topics,
    view: View,
    /// What it has: name to version.
    has: BTreeMap<String, String>,
    /// Hosts of which it was told that they do not exist.
    missing: Vec<String>,
}

impl Client {
    fn new(mesh: Mesh, subscribe: &[&str]) -> Self {
        let mut view = View::new(Watcher(7));
        view.subscribe(subscribe.iter().map(ToString::to_string).collect(), &[]);
        let (topics, has) = (Topics::default(), BTreeMap::new());
        Self { mesh, topics, view, has, missing: Vec::new() }
    }

    fn mark(&mut self, names: &[&str]) {
        for name in names {
            if let Some(topic) = self.topics.find(Audience::Everyone, &parse(name))
                && !self.topics.watchers(topic).is_empty()
            {
                self.view.mark(topic);
            }
        }
    }

    /// The next cut: names with `+` or `-`.
    fn advance(&mut self) -> Option<(Vec<String>, Difference)> {
        let difference = self.view.advance(&mut self.topics, &mut self.mesh)?;
        let came = difference.resources.iter().map(|resource| format!("+{}", resource.name));
        let went = difference.removed.iter().map(|name| format!("-{name}"));
        Some((came.chain(went).collect(), difference))
    }

    /// Takes the next cut.
    fn take(&mut self) -> Vec<String> {
        let Some((names, difference)) = self.advance() else { return Vec::new() };
        self.apply(&difference);
        self.view.acknowledge(&mut self.topics);
        names
    }

    fn apply(&mut self, difference: &Difference) {
        for name in &difference.removed {
            if name.starts_with("host/") {
                self.missing.push(name.to_string());
            } else {
                self.has.remove(&**name);
            }
        }
        for resource in &difference.resources {
            self.has.insert(resource.name.to_string(), resource.version.to_string());
        }
    }

    /// Refuses the next cut.
    fn refuse(&mut self) -> Vec<String> {
        let Some((names, _)) = self.advance() else { return Vec::new() };
        self.view.refuse();
        names
    }

    fn names(&self) -> Vec<&str> {
        self.has.keys().map(String::as_str).collect()
    }

    /// The same client on a new connection.
    fn reconnect(self, subscribe: &[&str]) -> Self {
        let mut topics = self.topics;
        self.view.close(&mut topics);
        assert_eq!(topics.len(), 0, "a closed view holds nothing");
        let mut client = Self::new(self.mesh, subscribe);
        client.view.knows(self.has.clone(), &mut client.topics, &client.mesh);
        client.has = self.has;
        client
    }
}

/// Two hosts that share a destination's endpoints, and an eager part.
fn shop() -> Mesh {
    let mut mesh =
        Mesh { roots: vec![parse("settings"), parse("inbound/shop/web")], ..Mesh::default() };
    mesh.set("settings", "1", &[]);
    mesh.set("inbound/shop/web", "1", &["policy/shop/deny"]);
    mesh.set("policy/shop/deny", "1", &[]);
    mesh.set("routes/a", "1", &["destination/a/80/", "destination/b/80/"]);
    mesh.set("routes/b", "1", &["destination/b/80/"]);
    mesh.set("destination/a/80/", "1", &["endpoints/a/80/0"]);
    mesh.set("destination/b/80/", "1", &["endpoints/b/80/0"]);
    mesh.set("endpoints/a/80/0", "1", &[]);
    mesh.set("endpoints/b/80/0", "1", &[]);
    mesh
}

#[test]
fn the_eager_part_is_the_closure_of_the_roots() {
    let mut client = Client::new(shop(), &["*"]);
    assert_eq!(client.take(), ["+inbound/shop/web", "+policy/shop/deny", "+settings"]);
    assert_eq!(client.take(), Vec::<String>::new());
}

#[test]
fn a_subscription_is_a_closure_and_ends_with_it() {
    let mut client = Client::new(shop(), &["*"]);
    client.take();
    client.view.subscribe(vec!["host/a".to_owned(), "host/b".to_owned()], &[]);
    let closure = [
        "+destination/a/80/",
        "+destination/b/80/",
        "+endpoints/a/80/0",
        "+endpoints/b/80/0",
        "+routes/a",
        "+routes/b",
    ];
    assert_eq!(client.take(), closure);
    client.view.subscribe(Vec::new(), &["host/a".to_owned()]);
    assert_eq!(client.take(), ["-destination/a/80/", "-endpoints/a/80/0", "-routes/a"]);
    client.view.subscribe(Vec::new(), &["host/b".to_owned()]);
    client.take();
    assert_eq!(client.names(), ["inbound/shop/web", "policy/shop/deny", "settings"]);
}

#[test]
fn what_moves_from_one_user_to_another_is_not_sent_again() {
    let mut client = Client::new(shop(), &["host/a"]);
    client.take();
    client.mesh.set("routes/a", "2", &["destination/b/80/"]);
    client.mesh.set("destination/b/80/", "2", &["endpoints/a/80/0", "endpoints/b/80/0"]);
    client.mark(&["routes/a", "destination/b/80/"]);
    assert_eq!(client.take(), ["+destination/b/80/", "+routes/a", "-destination/a/80/"]);
}

#[test]
fn only_what_changed_in_bytes_is_sent() {
    let mut client = Client::new(shop(), &["host/a"]);
    client.take();
    client.mesh.set("endpoints/a/80/0", "2", &[]);
    client.mark(&["endpoints/a/80/0", "routes/a"]);
    assert_eq!(client.take(), ["+endpoints/a/80/0"]);
    client.mark(&["endpoints/a/80/0"]);
    assert_eq!(client.take(), Vec::<String>::new());
}

#[test]
fn changes_while_a_cut_is_in_flight_are_one_cut() {
    let mut client = Client::new(shop(), &["host/a"]);
    let (_, first) = client.advance().unwrap();
    for content in ["2", "3", "4"] {
        client.mesh.set("endpoints/a/80/0", content, &[]);
        client.mark(&["endpoints/a/80/0"]);
        client.mesh.set("routes/a", content, &["destination/a/80/"]);
        client.mark(&["routes/a"]);
    }
    client.apply(&first);
    client.view.acknowledge(&mut client.topics);
    let second = ["+endpoints/a/80/0", "+routes/a", "-destination/b/80/", "-endpoints/b/80/0"];
    assert_eq!(client.take(), second);
}

#[test]
fn an_unknown_host_is_answered_once_and_followed() {
    let mut client = Client::new(shop(), &["host/c"]);
    assert_eq!(client.take(), ["-host/c"]);
    client.mark(&["routes/c"]);
    assert_eq!(client.take(), Vec::<String>::new());
    client.mesh.set("routes/c", "1", &[]);
    client.mark(&["routes/c"]);
    assert_eq!(client.take(), ["+routes/c"]);
    client.mesh.remove("routes/c");
    client.mark(&["routes/c"]);
    assert_eq!(client.take(), ["-host/c", "-routes/c"]);
}

#[test]
fn other_names_cannot_be_subscribed_to() {
    let mut client = Client::new(shop(), &["inbound/shop/web", "routes/a", "nonsense"]);
    assert_eq!(client.take(), ["-inbound/shop/web", "-nonsense", "-routes/a"]);
    assert_eq!(client.take(), Vec::<String>::new());
}

#[test]
fn a_client_that_comes_back_is_sent_nothing_it_has() {
    let subscribe = ["*", "host/a"];
    let mut client = Client::new(shop(), &subscribe);
    client.take();
    let mut client = client.reconnect(&subscribe);
    assert_eq!(client.take(), Vec::<String>::new());

    client.has.insert("routes/gone".to_owned(), "0".repeat(32));
    client.has.insert("from/another/mesh".to_owned(), "?".to_owned());
    client.has.insert("settings".to_owned(), "?".to_owned());
    client.has.remove("policy/shop/deny");
    let mut client = client.reconnect(&["*"]);
    let removed = [
        "-destination/a/80/",
        "-destination/b/80/",
        "-endpoints/a/80/0",
        "-endpoints/b/80/0",
        "-from/another/mesh",
        "-routes/a",
        "-routes/gone",
    ];
    let came = ["+policy/shop/deny", "+settings"];
    assert_eq!(client.take(), [&came[..], &removed[..]].concat());
    assert_eq!(client.take(), Vec::<String>::new());
}

#[test]
fn what_was_refused_waits_until_something_of_it_changes() {
    let mut client = Client::new(shop(), &["host/a", "host/b"]);
    client.take();
    client.mesh.set("routes/a", "bad", &["destination/a/80/"]);
    client.mesh.set("endpoints/a/80/0", "2", &[]);
    client.mark(&["routes/a", "endpoints/a/80/0"]);
    assert_eq!(client.refuse(), ["+endpoints/a/80/0", "+routes/a"]);
    assert_eq!(client.view.held_back(), 2);
    client.mark(&["routes/a", "endpoints/a/80/0"]);
    assert_eq!(client.take(), Vec::<String>::new(), "it is what was refused already");

    // What has nothing to do with it goes on.
    client.mesh.set("endpoints/b/80/0", "2", &[]);
    client.mark(&["endpoints/b/80/0"]);
    assert_eq!(client.take(), ["+endpoints/b/80/0"]);

    // What needs it takes it along; what changes it brings all of it again.
    client.mesh.set("destination/a/80/", "2", &["endpoints/a/80/0"]);
    client.mark(&["destination/a/80/"]);
    assert_eq!(client.refuse(), ["+destination/a/80/", "+endpoints/a/80/0", "+routes/a"]);
    client.mesh.set("routes/a", "good", &["destination/a/80/"]);
    client.mark(&["routes/a"]);
    assert_eq!(client.take(), ["+destination/a/80/", "+endpoints/a/80/0", "+routes/a"]);
    assert_eq!(client.view.held_back(), 0);
}

#[test]
fn what_was_refused_and_taken_back_is_not_sent() {
    let mut client = Client::new(shop(), &["host/b"]);
    client.take();
    client.mesh.set("routes/b", "bad", &["destination/b/80/"]);
    client.mark(&["routes/b"]);
    client.refuse();
    client.mesh.set("routes/b", "1", &["destination/b/80/"]);
    client.mark(&["routes/b"]);
    assert_eq!(client.take(), Vec::<String>::new());
    assert_eq!(client.view.held_back(), 0);
}

#[test]
fn what_is_refused_and_then_unwanted_is_forgotten() {
    let mut client = Client::new(shop(), &["host/b"]);
    client.refuse();
    client.view.subscribe(Vec::new(), &["host/b".to_owned()]);
    assert_eq!(client.take(), Vec::<String>::new());
    assert_eq!(client.view.held_back(), 0);
    assert_eq!(client.topics.len(), 0);
}

/// What happens to a client, with small numbers for names and contents.
#[derive(Debug, Clone)]
enum Step {
    Set { name: usize, content: u8, references: Vec<usize> },
    Remove { name: usize },
    Subscribe { host: usize },
    Unsubscribe { host: usize },
    Take,
    Refuse,
    Reconnect,
}

const HOSTS: usize = 3;
const DESTINATIONS: usize = 3;

/// Names by level: routes, destinations, endpoints; references go one level down.
fn name(number: usize) -> String {
    match number {
        0..HOSTS => format!("routes/h{number}"),
        _ if number < HOSTS + DESTINATIONS => format!("destination/d{number}/80/"),
        _ => format!("endpoints/e{number}/80/0"),
    }
}

fn below(number: usize, choice: usize) -> Option<usize> {
    match number {
        0..HOSTS => Some(HOSTS + choice % DESTINATIONS),
        _ if number < HOSTS + DESTINATIONS => Some(HOSTS + DESTINATIONS + choice % DESTINATIONS),
        _ => None,
    }
}

fn step() -> impl Strategy<Value = Step> {
    let names = 0..HOSTS + 2 * DESTINATIONS;
    prop_oneof![
        4 => (names.clone(), 0_u8..3, prop::collection::vec(0_usize..9, 0..3))
            .prop_map(|(name, content, references)| Step::Set { name, content, references }),
        1 => names.prop_map(|name| Step::Remove { name }),
        2 => (0..HOSTS).prop_map(|host| Step::Subscribe { host }),
        1 => (0..HOSTS).prop_map(|host| Step::Unsubscribe { host }),
        3 => Just(Step::Take),
        1 => Just(Step::Refuse),
        1 => Just(Step::Reconnect),
    ]
}

fn run(client: Client, step: Step, subscribed: &mut [bool; HOSTS]) -> Client {
    let mut client = client;
    match step {
        Step::Set { name: number, content, references } => {
            let references: std::collections::BTreeSet<String> = references
                .into_iter()
                .filter_map(|choice| below(number, choice).map(name))
                .collect();
            let references: Vec<&str> = references.iter().map(String::as_str).collect();
            client.mesh.set(&name(number), &format!("{content}{references:?}"), &references);
            client.mark(&[&name(number)]);
        }
        Step::Remove { name: number } => {
            client.mesh.remove(&name(number));
            client.mark(&[&name(number)]);
        }
        Step::Subscribe { host } => {
            subscribed[host] = true;
            client.view.subscribe(vec![format!("host/h{host}")], &[]);
        }
        Step::Unsubscribe { host } => {
            subscribed[host] = false;
            client.view.subscribe(Vec::new(), &[format!("host/h{host}")]);
        }
        Step::Take => drop(client.take()),
        Step::Refuse => drop(client.refuse()),
        Step::Reconnect => client = client.reconnect(&subscriptions(subscribed)),
    }
    client
}

fn subscriptions(subscribed: &[bool; HOSTS]) -> Vec<&'static str> {
    let hosts = ["host/h0", "host/h1", "host/h2"];
    hosts.into_iter().zip(subscribed).filter(|(_, wanted)| **wanted).map(|(host, _)| host).collect()
}

/// What the client should have: the closure of its subscriptions.
fn closure(mesh: &mut Mesh, subscribed: &[bool; HOSTS]) -> BTreeMap<String, String> {
    let mut open: Vec<Name> = (0..HOSTS)
        .filter(|host| subscribed[*host])
        .map(|host| Name::Routes(format!("h{host}")))
        .collect();
    let mut found = BTreeMap::new();
    while let Some(name) = open.pop() {
        if let Some(output) = mesh.output(&name) {
            open.extend(output.references.iter().cloned());
            found.insert(name.to_string(), output.encoded.version.to_string());
        }
    }
    found
}

proptest! {
    /// Whatever happens, a client that takes what it is sent ends up with what it should have; one
    /// that refused something does so when it comes back.
    #[test]
    fn clients_converge(steps in prop::collection::vec(step(), 0..60)) {
        let mut subscribed = [false; HOSTS];
        let mut client = Client::new(Mesh::default(), &[]);
        for step in steps {
            client = run(client, step, &mut subscribed);
        }
        if client.view.held_back() > 0 {
            client = client.reconnect(&subscriptions(&subscribed));
        }
        client.take();
        let expected = closure(&mut client.mesh, &subscribed);
        prop_assert_eq!(&client.has, &expected);
        prop_assert!(!client.view.is_stale());
        prop_assert!(client.advance().is_none());

        let subscribe: Vec<String> =
            subscriptions(&subscribed).into_iter().map(str::to_owned).collect();
        client.view.subscribe(Vec::new(), &subscribe);
        client.take();
        prop_assert_eq!(client.topics.len(), 0, "nothing is held for a client that wants nothing");
    }
}
