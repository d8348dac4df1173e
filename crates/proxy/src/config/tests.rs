use std::time::Duration;

use lateen_mesh::encoded::Encoded;
use lateen_mesh::v1::resource::Body;
use lateen_mesh::{address, v1};
use lateen_xds::client::Response;
use lateen_xds::cut::{Marker, split};

use super::store::{Outcome, Store};
use super::*;

const REVIEWS: &str = "reviews.shop.svc.cluster.local";

fn encoded(name: impl Into<Arc<str>>, body: Body) -> lateen_xds::Resource {
    let Encoded { bytes, version } =
        Encoded::new(&v1::Resource { objects: Vec::new(), body: Some(body) });
    lateen_xds::Resource { name: name.into(), version: version.to_string().into(), body: bytes }
}

fn directory(hosts: &[&str]) -> lateen_xds::Resource {
    let entries = hosts.iter().map(|host| v1::DirectoryEntry {
        host: (*host).to_owned(),
        ports: vec![address::pack_port(80, v1::Protocol::Http)],
        ..v1::DirectoryEntry::default()
    });
    let slice = v1::DirectorySlice {
        namespace: "shop".to_owned(),
        entries: entries.collect(),
        ..v1::DirectorySlice::default()
    };
    encoded("directory/shop/0", Body::Directory(slice))
}

fn settings(domain: &str) -> lateen_xds::Resource {
    let settings = v1::Settings { trust_domain: domain.to_owned(), ..v1::Settings::default() };
    encoded("settings", Body::Settings(settings))
}

/// Routes that name the destination, or one that is not there.
fn routes(host: &str, destination: &str) -> lateen_xds::Resource {
    let backend =
        v1::Backend { host: destination.to_owned(), port: 80, weight: 1, ..v1::Backend::default() };
    let rule = v1::HttpRule {
        name: "default".to_owned(),
        action: Some(v1::http_rule::Action::Forward(v1::Forward { backends: vec![backend] })),
        ..v1::HttpRule::default()
    };
    let routes = v1::Routes { host: host.to_owned(), http: vec![rule], ..v1::Routes::default() };
    encoded(format!("routes/{host}"), Body::Routes(routes))
}

fn destination(host: &str) -> lateen_xds::Resource {
    let destination = v1::Destination {
        host: host.to_owned(),
        port: 80,
        discovery: v1::Discovery::Dns.into(),
        ..v1::Destination::default()
    };
    encoded(format!("destination/{host}/80/"), Body::Destination(destination))
}

/// A cut as the control plane sends it: responses of at most `limit` bytes.
fn responses(
    sequence: u64,
    resources: Vec<lateen_xds::Resource>,
    removed: &[&str],
    limit: usize,
) -> Vec<Response> {
    let removed = removed.iter().map(|name| Arc::from(*name)).collect();
    let chunks = split(resources, removed, limit);
    let last = chunks.len() - 1;
    chunks
        .into_iter()
        .enumerate()
        .map(|(index, chunk)| {
            let marker =
                Marker { sequence, chunk: u32::try_from(index).unwrap(), last: index == last };
            end(chunk.resources, chunk.removed, marker)
        })
        .collect()
}

fn end(
    mut resources: Vec<lateen_xds::Resource>,
    removed: Vec<Arc<str>>,
    marker: Marker,
) -> Response {
    let Marker { sequence, chunk, last } = marker;
    resources.push(encoded("cut", Body::Cut(v1::Cut { sequence, chunk, last })));
    Response { resources, removed, nonce: format!("{sequence}/{chunk}") }
}

fn whole(sequence: u64, resources: Vec<lateen_xds::Resource>) -> Response {
    responses(sequence, resources, &[], usize::MAX).remove(0)
}

fn names(store: &Store) -> Vec<String> {
    store.resources().into_iter().map(|resource| resource.name).collect()
}

fn applied(outcome: Outcome) -> store::Applied {
    match outcome {
        Outcome::Applied(applied) => *applied,
        other => panic!("not applied: {other:?}"),
    }
}

fn details(host: &str) -> Vec<lateen_xds::Resource> {
    vec![routes(host, host), destination(host)]
}

#[test]
fn a_cut_takes_effect_with_its_last_response() {
    let mut store = Store::new(InForce::default());
    let mut cut = vec![settings("cluster.local"), directory(&[REVIEWS])];
    cut.extend(details(REVIEWS));
    let responses = responses(1, cut, &[], 1);
    assert_eq!(responses.len(), 5, "one for each resource, one for what is removed");
    for response in &responses[..4] {
        assert!(matches!(store.take(response), Outcome::Incomplete));
        assert_eq!(names(&store), [""; 0]);
    }
    let applied = applied(store.take(&responses[4]));
    assert!(applied.plan.has_details(REVIEWS));
    assert_eq!(names(&store).len(), 4);
}

/// The wire breaks behind every message of a cut: there is the old state or the new one, and the
/// next stream brings the new one, whatever has come before.
#[test]
fn a_cut_that_breaks_anywhere_is_seen_whole_or_not_at_all() {
    let old = vec![settings("old.example"), directory(&["old"])];
    let mut new = vec![settings("new.example"), directory(&["new", REVIEWS])];
    new.extend(details(REVIEWS));
    new.extend(details("new"));
    let cut = || responses(2, new.clone(), &[], 1);
    for broken_after in 0..=cut().len() {
        let mut store = Store::new(InForce::default());
        applied(store.take(&whole(1, old.clone())));
        let before = store.resources();
        for (index, response) in cut().iter().take(broken_after).enumerate() {
            let complete = index == cut().len() - 1;
            assert_eq!(matches!(store.take(response), Outcome::Applied(_)), complete);
        }
        store.forget_partial();
        let expected = if broken_after == cut().len() { names(&store).len() } else { before.len() };
        assert_eq!(store.resources().len(), expected, "broken after {broken_after}");
        if broken_after < cut().len() {
            assert_eq!(store.resources(), before, "broken after {broken_after}");
        }
        let again = cut();
        let (last, first) = again.split_last().unwrap();
        for response in first {
            assert!(matches!(store.take(response), Outcome::Incomplete));
        }
        let plan = applied(store.take(last)).plan;
        assert_eq!(plan.settings().message().trust_domain, "new.example");
        assert!(plan.has_details("new") && plan.has_details(REVIEWS) && !plan.knows("old"));
    }
}

#[test]
fn what_is_refused_changes_nothing_and_takes_effect_when_mended() {
    let mut store = Store::new(InForce::default());
    applied(store.take(&whole(1, vec![settings("cluster.local"), directory(&["a", "b"])])));
    let good = store.resources();

    // `b` is fine, and goes down with `a`, whose destination is not there.
    let mut cut = vec![routes("a", "nowhere")];
    cut.extend(details("b"));
    let Outcome::Refused(reason) = store.take(&whole(2, cut)) else { panic!("not refused") };
    assert!(reason.contains("routes/a"), "{reason}");
    assert_eq!(store.resources(), good);

    // Something else changes meanwhile: it is not held up.
    let plan = applied(store.take(&whole(3, vec![settings("else.example")]))).plan;
    assert_eq!(plan.settings().message().trust_domain, "else.example");
    assert!(!plan.has_details("b"));

    // The control plane sends `a` mended, and not `b`: it has sent that already.
    let applied = applied(store.take(&whole(4, details("a"))));
    assert!(applied.plan.has_details("a") && applied.plan.has_details("b"));
    let told: Vec<_> = applied.cut.resources.iter().map(|resource| &*resource.name).collect();
    assert!(told.contains(&"routes/b"), "the next stream is told of it: {told:?}");
}

#[test]
fn removals_and_hosts_that_do_not_exist() {
    let mut store = Store::new(InForce::default());
    let mut cut = vec![directory(&[REVIEWS])];
    cut.extend(details(REVIEWS));
    applied(store.take(&whole(1, cut)));
    let name = format!("routes/{REVIEWS}");
    let removal = responses(2, Vec::new(), &[&name, "host/no.such.host"], usize::MAX).remove(0);
    let applied = applied(store.take(&removal));
    assert!(!applied.plan.has_details(REVIEWS));
    assert_eq!(applied.unknown, ["no.such.host"]);
    assert!(!names(&store).contains(&name));
}

#[test]
fn what_makes_no_sense_is_broken() {
    let cut = encoded("cut", Body::Cut(v1::Cut::default()));
    let marker = |sequence, chunk| Marker { sequence, chunk, last: false };
    let table = [
        ("nothing", vec![Response { resources: vec![], removed: vec![], nonce: String::new() }]),
        (
            "no cut at the end",
            vec![Response {
                resources: vec![cut, settings("a")],
                removed: vec![],
                nonce: String::new(),
            }],
        ),
        (
            "a cut that is none",
            vec![Response {
                resources: vec![lateen_xds::Resource { name: "cut".into(), ..settings("a") }],
                removed: vec![],
                nonce: String::new(),
            }],
        ),
        ("out of order", vec![end(vec![], vec![], marker(1, 1))]),
        (
            "two cuts at once",
            vec![end(vec![], vec![], marker(1, 0)), end(vec![], vec![], marker(2, 0))],
        ),
    ];
    for (case, responses) in table {
        let mut store = Store::new(InForce::default());
        let outcome = responses.iter().map(|response| store.take(response)).last().unwrap();
        assert!(matches!(outcome, Outcome::Broken(_)), "{case}: {outcome:?}");
        // The next stream begins afresh.
        store.forget_partial();
        applied(store.take(&whole(9, vec![settings("cluster.local")])));
    }
}

#[test]
fn a_successor_starts_with_what_its_predecessor_had() {
    let mut predecessor = Store::new(InForce::default());
    let mut cut = vec![settings("cluster.local"), directory(&[REVIEWS])];
    cut.extend(details(REVIEWS));
    applied(predecessor.take(&whole(1, cut)));

    let mut successor = Store::new(InForce::default());
    let inherited = successor.inherit(predecessor.resources()).unwrap();
    assert!(inherited.plan.has_details(REVIEWS));
    assert_eq!(successor.resources(), predecessor.resources());

    let broken = vec![Resource {
        name: "settings".to_owned(),
        version: String::new(),
        body: Bytes::from_static(b"\xff"),
    }];
    assert!(Store::new(InForce::default()).inherit(broken).is_err());
}

/// Plans with a status, and where the hosts that workers ask for come out.
fn plans(connected: bool) -> (Plans, mpsc::Receiver<String>) {
    let (plans, wanted) = Plans::new();
    {
        let mut status = plans.shared.lock_status();
        status.connected = connected;
        status.since = Some(Instant::now());
    }
    (plans, wanted)
}

fn plan_with(host: &str) -> Arc<Plan> {
    let mut cut = vec![directory(&[host])];
    cut.extend(details(host));
    applied(Store::new(InForce::default()).take(&whole(1, cut))).plan
}

const LIMIT: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn details_that_arrive_end_the_wait() {
    let (plans, mut wanted) = plans(true);
    let (first, second, answered) =
        tokio::join!(plans.need(REVIEWS, LIMIT), plans.need(REVIEWS, LIMIT), async {
            assert_eq!(wanted.recv().await.as_deref(), Some(REVIEWS));
            // A plan that says nothing of it does not end the wait.
            plans.swap(Arc::new(Plan::default()));
            tokio::time::sleep(Duration::from_millis(300)).await;
            plans.swap(plan_with(REVIEWS));
            wanted.try_recv().is_err()
        });
    assert_eq!((first, second), (Ok(()), Ok(())));
    assert!(answered, "asked for once");
    assert_eq!(plans.need(REVIEWS, LIMIT).await, Ok(()), "without asking");
    assert!(*plans.ready().borrow());
}

#[tokio::test(start_paused = true)]
async fn details_that_do_not_arrive_have_a_reason() {
    let (connected, _wanted) = plans(true);
    let start = Instant::now();
    assert_eq!(connected.need(REVIEWS, LIMIT).await, Err(NeedError::TimedOut));
    assert_eq!(start.elapsed(), LIMIT);

    let (away, _wanted) = plans(false);
    let start = Instant::now();
    assert_eq!(away.need(REVIEWS, LIMIT).await, Err(NeedError::Disconnected));
    assert_eq!(start.elapsed(), LIMIT, "it may come back at once");
    tokio::time::sleep(LIMIT).await;
    let start = Instant::now();
    assert_eq!(away.need(REVIEWS, LIMIT).await, Err(NeedError::Disconnected));
    assert_eq!(start.elapsed(), Duration::ZERO, "away for good: said at once");

    let (plans, _wanted) = plans(true);
    let (answer, ()) = tokio::join!(plans.need("no.such.host", LIMIT), async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        plans.shared.demand.unknown("no.such.host");
        plans.announce();
    });
    assert_eq!(answer, Err(NeedError::Unknown));
}

/// Who asks between the two steps of a swap would decide on the plan before once more, so it waits.
#[tokio::test(start_paused = true)]
async fn details_are_there_when_the_version_says_so() {
    let (plans, _wanted) = plans(true);
    let before = plans.version();
    plans.shared.plan.store(plan_with(REVIEWS));
    let mut need = std::pin::pin!(plans.need(REVIEWS, LIMIT));
    assert!(futures_util::poll!(&mut need).is_pending());
    plans.announce();
    assert_eq!(need.await, Ok(()));
    assert!(plans.version() > before);
}

/// The answer is about a moment at which there was no such host.
#[tokio::test(start_paused = true)]
async fn a_host_that_is_in_the_directory_is_asked_for_again() {
    let (plans, mut wanted) = plans(true);
    let known = vec![directory(&[REVIEWS])];
    let known = applied(Store::new(InForce::default()).take(&whole(1, known))).plan;
    let (answer, ()) = tokio::join!(plans.need(REVIEWS, LIMIT), async {
        assert_eq!(wanted.recv().await.as_deref(), Some(REVIEWS));
        plans.shared.demand.unknown(REVIEWS);
        plans.swap(known);
        assert_eq!(wanted.recv().await.as_deref(), Some(REVIEWS));
        plans.swap(plan_with(REVIEWS));
    });
    assert_eq!(answer, Ok(()));
}

#[test]
fn every_failure_has_a_reason_of_its_own_side() {
    for (error, code) in [
        (NeedError::TimedOut, "details_timed_out"),
        (NeedError::Unknown, "details_timed_out"),
        (NeedError::Disconnected, "control_plane_away"),
        (NeedError::Overloaded, "too_many_pending_details"),
    ] {
        assert_eq!(error.reason().code(), code);
    }
}
