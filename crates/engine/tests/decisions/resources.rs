//! Cuts: all or nothing, and what is not touched stays.

use std::sync::Arc;

use lateen_engine::balance::{Draw, Idle};
use lateen_engine::{Cut, DestinationKey, Resources};
use lateen_mesh::v1::resource::Body;
use lateen_mesh::v1::{self, Protocol};

use crate::fixture::*;

fn base() -> Mesh {
    Mesh::new()
        .entries(vec![entry("a.ext", &[], &[(80, Protocol::Http)])])
        .service("a.ext", &[(80, Protocol::Http)])
        .service("b.ext", &[(80, Protocol::Http)])
}

fn key(host: &str) -> DestinationKey {
    DestinationKey { host: host.into(), port: 80, subset: "".into() }
}

fn removing(names: &[&str]) -> Cut {
    Cut { upserts: Vec::new(), removed: names.iter().map(|name| (*name).to_owned()).collect() }
}

/// Applies a cut that must be refused, and sees that nothing has changed.
fn refused(resources: &mut Resources, cut: &Cut) -> String {
    let before = Arc::clone(resources.plan());
    let mut names: Vec<String> = resources.names().map(str::to_owned).collect();
    let rejected = resources.apply(cut).expect_err("the cut is wrong");
    assert!(Arc::ptr_eq(&before, resources.plan()));
    let mut after: Vec<String> = resources.names().map(str::to_owned).collect();
    names.sort();
    after.sort();
    assert_eq!(names, after);
    rejected.to_string()
}

#[test]
fn a_cut_is_applied_whole_or_not_at_all() {
    let mut resources = Resources::new();
    resources.apply(&base().0).expect("a good cut");
    let bad = v1::HttpRule { action: None, ..to("bad", Vec::new()) };
    let table = v1::Routes { host: "a.ext".into(), http: vec![bad], ..Default::default() };
    let mut cut = Mesh::default().service("c.ext", &[(80, Protocol::Http)]).routes(table).0;
    cut.removed.push("routes/b.ext".to_owned());
    assert_eq!(refused(&mut resources, &cut), r#"routes/a.ext: rule "bad" does nothing"#);
    assert!(resources.plan().has_details("b.ext") && !resources.plan().has_details("c.ext"));
    // The next good cut is applied to what was there before.
    resources.apply(&Mesh::default().service("c.ext", &[(80, Protocol::Http)]).0).expect("good");
    assert!(resources.plan().has_details("a.ext") && resources.plan().has_details("c.ext"));
}

#[test]
fn dangling_references_are_refused() {
    let mut resources = Resources::new();
    resources.apply(&base().0).expect("a good cut");
    let table = |backends| v1::Routes {
        host: "a.ext".to_owned(),
        http: vec![to("r", backends)],
        ..Default::default()
    };
    let policies = |names: &[&str]| v1::Inbound {
        policies: names.iter().map(|name| (*name).to_owned()).collect(),
        ..Default::default()
    };
    let listener = v1::GatewayListener {
        port: 80,
        http_routes: vec!["gateway/80/http/x".to_owned()],
        servers: Vec::new(),
    };
    for (cut, expected) in [
        (
            Mesh::default().routes(table(vec![backend("gone.ext", 80)])).0,
            "routes/a.ext: refers to destination/gone.ext/80/, which is not there",
        ),
        (
            Mesh::default().destination(destination("c.ext", 80)).0,
            "destination/c.ext/80/: refers to endpoints/c.ext/80/0, which is not there",
        ),
        (
            removing(&["endpoints/b.ext/80/0"]),
            "destination/b.ext/80/: refers to endpoints/b.ext/80/0, which is not there",
        ),
        (
            Mesh::default().inbound(policies(&["policy/shop/p"])).0,
            "inbound/shop/reviews-1: refers to policy/shop/p, which is not there",
        ),
        (
            Mesh::default().with("gateway/80", Body::Gateway(listener)).0,
            "gateway/80: refers to gateway/80/http/x, which is not there",
        ),
    ] {
        assert_eq!(refused(&mut resources, &cut), expected);
    }
    // A table that names a destination keeps it from going away.
    resources.apply(&Mesh::default().routes(table(vec![backend("b.ext", 80)])).0).expect("good");
    let cut = removing(&["destination/b.ext/80/"]);
    let expected = "routes/a.ext: refers to destination/b.ext/80/, which is not there";
    assert_eq!(refused(&mut resources, &cut), expected);
    let both = removing(&[
        "destination/b.ext/80/",
        "endpoints/b.ext/80/0",
        "routes/b.ext",
        "routes/a.ext",
    ]);
    resources.apply(&both).expect("everything that names it goes too");
    assert!(!resources.plan().has_details("b.ext"));
}

#[test]
fn broken_resources_are_named_with_their_reason() {
    let mut resources = Resources::new();
    let routes = |http| v1::Routes { host: "a.ext".to_owned(), http, ..Default::default() };
    let matching = |regex: &str| {
        let kind = v1::path_match::Kind::Regex(regex.to_owned());
        routes(vec![when(to("r", Vec::new()), vec![path(kind)])])
    };
    let dangling_origin = v1::HttpRule {
        origin: Some(v1::Origin { object: 7, field: String::new() }),
        ..to("r", Vec::new())
    };
    let header = v1::Header { name: "not a name".into(), value: String::new() };
    let bad_header = v1::HttpRule {
        request_headers: Some(v1::HeaderOperations { set: vec![header], ..Default::default() }),
        ..to("r", Vec::new())
    };
    for (mesh, name, reason) in [
        (Mesh::default().routes(matching("(")), "routes/a.ext", "regex"),
        (Mesh::default().routes(routes(vec![dangling_origin])), "routes/a.ext", "origin"),
        (Mesh::default().routes(routes(vec![bad_header])), "routes/a.ext", "not a name"),
        (
            Mesh::default().with("routes/b.ext", Body::Routes(routes(vec![]))),
            "routes/b.ext",
            "one kind",
        ),
        (Mesh::default().with("settings", Body::Routes(routes(vec![]))), "settings", "one kind"),
        (Mesh::default().with("nonsense", Body::Routes(routes(vec![]))), "nonsense", "known kind"),
        (Mesh::default().entries(vec![entry("UPPER", &[], &[])]), "directory/shop/0", "lower case"),
        (
            Mesh::default().entries(vec![entry("a.*.b", &[], &[])]),
            "directory/shop/0",
            "first labels",
        ),
    ] {
        let rejected = resources.apply(&mesh.0).expect_err("wrong");
        assert_eq!(rejected.resources.len(), 1);
        assert_eq!(rejected.resources[0].name, name);
        assert!(rejected.resources[0].reason.contains(reason), "{rejected}");
    }
    let cut = Cut { upserts: vec![("settings".into(), vec![0xff].into())], ..Default::default() };
    assert!(resources.apply(&cut).is_err());
}

#[test]
fn what_a_cut_does_not_touch_is_shared_with_the_plan_before() {
    let mut resources = Resources::new();
    let before = resources.apply(&base().0).expect("good");
    let slice = slice("a.ext", 80, vec![endpoint("a", 80), endpoint("b", 80)]);
    let cut = Mesh::default().with("endpoints/a.ext/80/0", Body::Endpoints(slice));
    let after = resources.apply(&cut.0).expect("good");
    let of = |plan: &lateen_engine::Plan, host| {
        Arc::clone(plan.destination(&key(host)).expect("it is there"))
    };
    assert!(Arc::ptr_eq(&of(&before, "b.ext"), &of(&after, "b.ext")));
    assert!(!Arc::ptr_eq(&of(&before, "a.ext"), &of(&after, "a.ext")));
    assert_eq!(of(&before, "a.ext").targets().len(), 1);
    assert_eq!(of(&after, "a.ext").targets().len(), 2);
    assert!(std::ptr::eq(before.directory(), after.directory()));
    let cut = Mesh::default().entries(vec![entry("c.ext", &[], &[(80, Protocol::Http)])]);
    let later = resources.apply(&cut.0).expect("good");
    assert!(!std::ptr::eq(after.directory(), later.directory()));
    assert!(later.knows("c.ext") && !later.knows("a.ext"));
}

#[test]
fn the_end_of_a_cut_changes_nothing() {
    let mut resources = Resources::new();
    let cut = base().with("cut", Body::Cut(v1::Cut { sequence: 1, chunk: 0, last: true }));
    resources.apply(&cut.0).expect("good");
    assert!(resources.names().all(|name| name != "cut"));
}

#[test]
fn a_proxy_serves_one_workload() {
    let two = Mesh::new()
        .inbound(v1::Inbound::default())
        .with("inbound/shop/reviews-2", Body::Inbound(v1::Inbound::default()));
    let rejected = two.try_plan().expect_err("two workloads");
    assert_eq!(rejected.resources[0].name, "inbound/shop/reviews-2");
}

#[test]
fn an_endpoint_that_needs_another_way_is_kept_but_never_picked() {
    let tunnelled = v1::Endpoint { reach: v1::endpoint::Reach::Hbone.into(), ..endpoint("a", 80) };
    let plan = Mesh::new()
        .destination(destination("a.ext", 80))
        .with("endpoints/a.ext/80/0", Body::Endpoints(slice("a.ext", 80, vec![tunnelled])))
        .plan();
    let destination = plan.destination(&key("a.ext")).expect("it is there");
    let explained = destination.explain_pick(&Idle, Draw::first(1, 1));
    assert_eq!(explained.decision, None);
    assert!(explained.steps[0].why.ends_with("unreachable"), "{:?}", explained.steps);
}

#[test]
fn subsets_and_plain_endpoints_are_resolved() {
    let templated = |name: &str, template| v1::Endpoint { template, ..endpoint(name, 80) };
    let subset = |subset: &str, version: &str| v1::Destination {
        subset: subset.to_owned(),
        subset_labels: [("version".to_owned(), version.to_owned())].into(),
        ..destination("a.ext", 80)
    };
    let plan = Mesh::new()
        .destination(subset("one", "v1"))
        .destination(subset("two", "v2"))
        .destination(subset("none", "v3"))
        .with(
            "endpoints/a.ext/80/0",
            Body::Endpoints(slice("a.ext", 80, vec![templated("a", 0), templated("b", 1)])),
        )
        .plan();
    for (subset, expected) in
        [("one", vec!["c1/shop/a"]), ("two", vec!["c1/shop/b"]), ("none", vec![])]
    {
        let key = DestinationKey { subset: subset.into(), ..key("a.ext") };
        let destination = plan.destination(&key).expect("it is there");
        let uids: Vec<&str> =
            destination.targets().iter().map(|target| &*target.endpoint.key.uid).collect();
        assert_eq!(uids, expected, "{subset}");
    }
}
