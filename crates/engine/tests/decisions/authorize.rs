//! Authorization policies.

use lateen_engine::authorize::{Peer, Verdict};
use lateen_engine::{Plan, Request};
use lateen_mesh::v1::authorization_policy::Action;
use lateen_mesh::v1::resource::Body;
use lateen_mesh::v1::value_match::Kind;
use lateen_mesh::v1::{self, Attribute};
use prost::Message;

use crate::fixture::*;

fn value(kind: Kind) -> v1::ValueMatch {
    v1::ValueMatch { kind: Some(kind), ignore_case: false }
}

fn exact(text: &str) -> v1::ValueMatch {
    value(Kind::Exact(text.to_owned()))
}

fn clause(attribute: Attribute, values: Vec<v1::ValueMatch>) -> v1::Clause {
    v1::Clause { attribute: attribute.into(), values, ..Default::default() }
}

fn not(attribute: Attribute, not_values: Vec<v1::ValueMatch>) -> v1::Clause {
    v1::Clause { attribute: attribute.into(), not_values, ..Default::default() }
}

fn group(clauses: Vec<v1::Clause>) -> v1::Clauses {
    v1::Clauses { clauses }
}

fn rule(from: Vec<v1::Clauses>, to: Vec<v1::Clauses>) -> v1::AuthorizationRule {
    v1::AuthorizationRule { from, to, origin: origin("spec.rules[0]"), ..Default::default() }
}

fn rule_when(when: Vec<v1::Clause>) -> v1::AuthorizationRule {
    v1::AuthorizationRule { when, ..Default::default() }
}

fn policy(
    name: &str,
    action: Action,
    rules: Vec<v1::AuthorizationRule>,
) -> v1::AuthorizationPolicy {
    v1::AuthorizationPolicy {
        namespace: "shop".to_owned(),
        name: name.to_owned(),
        action: action.into(),
        rules,
        origin: origin("spec"),
        ..Default::default()
    }
}

fn plan(policies: Vec<v1::AuthorizationPolicy>) -> std::sync::Arc<Plan> {
    let names = policies.iter().map(|policy| format!("policy/shop/{}", policy.name)).collect();
    let mut mesh = Mesh::new().inbound(v1::Inbound { policies: names, ..Default::default() });
    for policy in policies {
        mesh = mesh.with(&format!("policy/shop/{}", policy.name), Body::Policy(policy));
    }
    mesh.plan()
}

fn peer() -> Peer<'static> {
    Peer {
        identity: Some("spiffe://cluster.local/ns/front/sa/web"),
        source: ip("10.1.0.1"),
        remote: ip("192.0.2.7"),
        destination: socket("10.1.0.2:8080"),
        sni: Some("outbound_.80_._.reviews"),
    }
}

fn request_verdict<'p>(plan: &'p Plan, peer: &Peer<'_>, request: &Request<'_>) -> Verdict<'p> {
    let verdict = plan.authorize_request(peer, request);
    assert_eq!(plan.explain_authorize_request(peer, request).decision, verdict);
    verdict
}

fn connection_verdict<'p>(plan: &'p Plan, peer: &Peer<'_>) -> Verdict<'p> {
    let verdict = plan.authorize_connection(peer);
    assert_eq!(plan.explain_authorize_connection(peer).decision, verdict);
    verdict
}

/// Whether one clause lets the peer in, by an ALLOW policy that is only it.
fn allows(clause: v1::Clause, peer: &Peer<'_>, request: &Request<'_>) -> bool {
    let plan = plan(vec![policy("p", Action::Allow, vec![rule_when(vec![clause])])]);
    request_verdict(&plan, peer, request).allowed
}

#[test]
fn every_attribute_is_read() {
    use Attribute::*;
    let cidr = |text: &str| value(Kind::Cidr(block(text)));
    let prefix = |text: &str| value(Kind::Prefix(text.to_owned()));
    let suffix = |text: &str| value(Kind::Suffix(text.to_owned()));
    let any_case = |text: &str| v1::ValueMatch { ignore_case: true, ..exact(text) };
    let header = |values| v1::Clause { key: "x-group".to_owned(), ..clause(Header, values) };
    let map = headers(&[("x-group", "a"), ("x-group", "b")]);
    let request = get("Reviews.Shop:80", "/admin/x?y=z", &map);
    for (clause, expected) in [
        (clause(Principal, vec![exact("cluster.local/ns/front/sa/web")]), true),
        (clause(Principal, vec![exact("spiffe://cluster.local/ns/front/sa/web")]), false),
        (clause(Principal, vec![prefix("cluster.local/ns/front/")]), true),
        (clause(Principal, vec![suffix("/sa/web")]), true),
        (clause(Principal, vec![value(Kind::Present(true))]), true),
        (clause(Namespace, vec![exact("front")]), true),
        (clause(Namespace, vec![exact("fron")]), false),
        (clause(ServiceAccount, vec![exact("front/web")]), true),
        (clause(TrustDomain, vec![exact("cluster.local")]), true),
        (clause(SourceIp, vec![cidr("10.0.0.0/8")]), true),
        (clause(SourceIp, vec![cidr("10.1.0.1")]), true),
        (clause(SourceIp, vec![cidr("192.0.2.0/24")]), false),
        (clause(RemoteIp, vec![cidr("192.0.2.0/24")]), true),
        (clause(DestinationIp, vec![cidr("10.1.0.2")]), true),
        (clause(DestinationPort, vec![value(Kind::Port(8080))]), true),
        (clause(DestinationPort, vec![value(Kind::Port(80))]), false),
        (clause(Sni, vec![prefix("outbound_")]), true),
        (clause(Host, vec![any_case("reviews.shop:80")]), true),
        (clause(Host, vec![exact("reviews.shop:80")]), false),
        (clause(Host, vec![any_case("reviews.shop")]), false),
        (clause(Method, vec![exact("GET")]), true),
        (clause(Path, vec![exact("/admin/x")]), true),
        (clause(Path, vec![value(Kind::PathTemplate("/admin/{*}".to_owned()))]), true),
        (clause(Path, vec![value(Kind::Regex("/admin/[a-z]".to_owned()))]), true),
        (clause(Path, vec![value(Kind::Regex("/admin".to_owned()))]), false),
        // Each value by itself.
        (header(vec![exact("a,b")]), false),
        (header(vec![exact("a")]), true),
        (header(vec![exact("b")]), true),
        (v1::Clause { key: "x-group".to_owned(), ..not(Header, vec![exact("b")]) }, false),
        (clause(Method, vec![exact("POST"), exact("GET")]), true),
        (not(Method, vec![exact("POST")]), true),
        (not(Method, vec![exact("POST"), exact("GET")]), false),
        (not(Namespace, vec![exact("front")]), false),
        (clause(Method, Vec::new()), true),
    ] {
        assert_eq!(allows(clause.clone(), &peer(), &request), expected, "{clause:?}");
    }
}

#[test]
fn without_an_identity_nothing_about_it_matches() {
    use Attribute::*;
    let none = headers(&[]);
    let request = get("reviews", "/", &none);
    let stranger = Peer { identity: None, sni: None, ..peer() };
    for attribute in [Principal, Namespace, ServiceAccount, TrustDomain, Sni] {
        assert!(!allows(clause(attribute, vec![value(Kind::Present(true))]), &stranger, &request));
        assert!(allows(not(attribute, vec![value(Kind::Present(true))]), &stranger, &request));
    }
    let odd = Peer { identity: Some("deny"), ..peer() };
    assert!(allows(clause(Principal, vec![exact("deny")]), &odd, &request));
    assert!(!allows(clause(Namespace, vec![value(Kind::Present(true))]), &odd, &request));
}

#[test]
fn actions_are_evaluated_in_order() {
    let everything = || vec![v1::AuthorizationRule { origin: origin("r"), ..Default::default() }];
    let nothing = || vec![rule_when(vec![clause(Attribute::Method, vec![exact("PUT")])])];
    let of = |action, rules| policy(&format!("{action:?}").to_lowercase(), action, rules);
    let none = headers(&[]);
    let request = get("reviews", "/", &none);
    for (policies, allowed, detail) in [
        (vec![], true, None),
        (vec![of(Action::Allow, everything())], true, Some("allow")),
        (vec![of(Action::Allow, nothing())], false, None),
        (vec![of(Action::Allow, Vec::new())], false, None),
        (vec![of(Action::Deny, everything())], false, Some("deny")),
        (vec![of(Action::Deny, nothing())], true, None),
        (vec![of(Action::Deny, Vec::new())], true, None),
        (
            vec![of(Action::Allow, everything()), of(Action::Deny, everything())],
            false,
            Some("deny"),
        ),
        (
            vec![of(Action::Deny, everything()), of(Action::Custom, everything())],
            false,
            Some("custom"),
        ),
        (vec![of(Action::Custom, nothing()), of(Action::Allow, everything())], true, Some("allow")),
        (vec![of(Action::Audit, everything())], true, None),
    ] {
        let plan = plan(policies.clone());
        let verdict = request_verdict(&plan, &peer(), &request);
        assert_eq!(verdict.allowed, allowed, "{policies:?}");
        let decided = verdict.decided_by.map(|matched| matched.policy.name().to_owned());
        assert_eq!(decided.as_deref(), detail, "{policies:?}");
    }
    let plan = plan(vec![of(Action::Audit, everything()), of(Action::Deny, everything())]);
    let verdict = request_verdict(&plan, &peer(), &request);
    assert_eq!(verdict.audited.len(), 1);
    assert_eq!(
        verdict.detail(),
        "rbac_access_denied_matched_policy[ns[shop]-policy[deny]-rule[0]]"
    );
    assert_eq!(verdict.origin().field, "r");
}

#[test]
fn nothing_matched_is_named_so() {
    let plan = plan(vec![policy("p", Action::Allow, Vec::new())]);
    let verdict = connection_verdict(&plan, &peer());
    assert_eq!(verdict.detail(), "rbac_access_denied_matched_policy[none]");
}

#[test]
fn from_to_and_when_combine() {
    let from = |account: &str| group(vec![clause(Attribute::ServiceAccount, vec![exact(account)])]);
    let to = |method: &str, path: &str| {
        let method = clause(Attribute::Method, vec![exact(method)]);
        group(vec![method, clause(Attribute::Path, vec![exact(path)])])
    };
    let rules = vec![v1::AuthorizationRule {
        when: vec![not(Attribute::Sni, vec![exact("bad")])],
        ..rule(vec![from("x/y"), from("front/web")], vec![to("GET", "/a"), to("PUT", "/b")])
    }];
    let plan = plan(vec![policy("p", Action::Allow, rules)]);
    let none = headers(&[]);
    for (method, path, sni, expected) in [
        ("GET", "/a", "good", true),
        ("PUT", "/b", "good", true),
        ("GET", "/b", "good", false),
        ("GET", "/a", "bad", false),
    ] {
        let request = Request { method, ..get("reviews", path, &none) };
        let peer = Peer { sni: Some(sni), ..peer() };
        let verdict = request_verdict(&plan, &peer, &request);
        assert_eq!(verdict.allowed, expected, "{method} {path} {sni}");
    }
    let stranger = Peer { identity: Some("spiffe://cluster.local/ns/x/sa/z"), ..peer() };
    assert!(!request_verdict(&plan, &stranger, &get("reviews", "/a", &none)).allowed);
}

#[test]
fn on_opaque_bytes_http_fields_make_allow_stricter_and_deny_broader() {
    let ports = || clause(Attribute::DestinationPort, vec![value(Kind::Port(8080))]);
    let method = || clause(Attribute::Method, vec![exact("GET")]);
    let namespace = |name: &str| group(vec![clause(Attribute::Namespace, vec![exact(name)])]);
    for (action, rules, allowed) in [
        (Action::Allow, vec![rule(vec![], vec![group(vec![ports()])])], true),
        (Action::Allow, vec![rule(vec![], vec![group(vec![ports(), method()])])], false),
        // One field of HTTP anywhere takes the whole rule out.
        (
            Action::Allow,
            vec![rule(vec![], vec![group(vec![ports()]), group(vec![method()])])],
            false,
        ),
        (Action::Deny, vec![rule(vec![], vec![group(vec![ports(), method()])])], false),
        (Action::Deny, vec![rule(vec![], vec![group(vec![method()])])], false),
        (Action::Deny, vec![rule(vec![namespace("back")], vec![group(vec![method()])])], true),
        (Action::Deny, vec![rule(vec![namespace("front")], vec![group(vec![method()])])], false),
    ] {
        let plan = plan(vec![policy("p", action, rules.clone())]);
        assert_eq!(connection_verdict(&plan, &peer()).allowed, allowed, "{action:?} {rules:?}");
    }
}

#[test]
fn what_is_not_understood_fails_closed() {
    let none = headers(&[]);
    let request = get("reviews", "/", &none);
    let unsupported = || clause(Attribute::Unsupported, vec![exact("claim")]);
    let unknown = || v1::Clause { attribute: 99, ..Default::default() };
    let valueless = || clause(Attribute::Method, vec![v1::ValueMatch::default()]);
    for doubtful in [unsupported, unknown, valueless] {
        for (action, allowed) in [
            (Action::Allow, false),
            (Action::Deny, false),
            (Action::Custom, false),
            (Action::Audit, true),
        ] {
            let plan = plan(vec![policy("p", action, vec![rule_when(vec![doubtful()])])]);
            let verdict = request_verdict(&plan, &peer(), &request);
            assert_eq!(verdict.allowed, allowed, "{action:?} {:?}", doubtful());
        }
        // Beside it, an alternative that is understood still counts.
        let rules = vec![rule(vec![group(vec![doubtful()]), group(vec![])], vec![])];
        let plan = plan(vec![policy("p", Action::Allow, rules)]);
        assert!(request_verdict(&plan, &peer(), &request).allowed);
    }
    let action = v1::AuthorizationPolicy { action: 99, ..policy("p", Action::Allow, Vec::new()) };
    assert!(!request_verdict(&plan(vec![action]), &peer(), &request).allowed);
}

#[test]
fn a_policy_with_a_field_of_the_future_denies() {
    let none = headers(&[]);
    let request = get("reviews", "/", &none);
    for (action, allowed) in [(Action::Allow, false), (Action::Deny, false), (Action::Audit, true)]
    {
        let matching = policy("p", action, vec![rule_when(vec![])]);
        let known = encode(Body::Policy(matching.clone())).to_vec();
        // Field 1000 of the policy, a varint; the policy is the last field of the resource.
        let mut inner = matching.encode_to_vec();
        inner.extend_from_slice(&[0xc0, 0x3e, 0x01]);
        let head = known.len() - matching.encode_to_vec().len() - 2;
        let mut bytes = known[..head].to_vec();
        bytes.push(9 << 3 | 2);
        bytes.push(u8::try_from(inner.len()).expect("short"));
        bytes.extend_from_slice(&inner);
        let mut mesh = Mesh::new().inbound(v1::Inbound {
            policies: vec!["policy/shop/p".to_owned()],
            ..Default::default()
        });
        mesh.0.upserts.push(("policy/shop/p".to_owned(), bytes.into()));
        let plan = mesh.plan();
        let verdict = request_verdict(&plan, &peer(), &request);
        assert_eq!(verdict.allowed, allowed, "{action:?}");
        let by_whole = verdict.decided_by.is_some_and(|matched| matched.rule.is_none());
        assert_eq!(by_whole, action == Action::Deny, "{action:?}");
    }
}

#[test]
fn dry_runs_are_reported_and_never_enforced() {
    let none = headers(&[]);
    let request = get("reviews", "/", &none);
    let dry = |name: &str, action| v1::AuthorizationPolicy {
        dry_run: true,
        ..policy(name, action, vec![rule_when(vec![])])
    };
    let plan = plan(vec![
        dry("custom", Action::Custom),
        dry("deny", Action::Deny),
        dry("allow", Action::Allow),
    ]);
    let verdict = request_verdict(&plan, &peer(), &request);
    assert!(verdict.allowed && verdict.decided_by.is_none());
    let names: Vec<&str> = verdict.shadow.iter().map(|matched| matched.policy.name()).collect();
    assert_eq!(names, ["custom", "deny", "allow"]);
}

#[test]
fn requests_with_a_token_that_nobody_can_check_are_refused() {
    let place = |attribute, key: &str, value| v1::Clause {
        key: key.to_owned(),
        ..clause(attribute, vec![value])
    };
    let present = || value(Kind::Present(true));
    let bearer = value(Kind::Prefix("Bearer ".to_owned()));
    let places = vec![
        rule_when(vec![place(Attribute::Header, "authorization", bearer)]),
        rule_when(vec![place(Attribute::QueryParameter, "access_token", present())]),
        rule_when(vec![place(Attribute::Cookie, "session", present())]),
    ];
    let plan = plan(vec![
        policy("tokens", Action::Authenticate, places),
        policy("all", Action::Allow, vec![rule_when(vec![])]),
    ]);
    for (path, sent, refused) in [
        ("/", ("accept", "*/*"), None),
        ("/", ("authorization", "Basic YTpi"), None),
        ("/", ("authorization", "Bearer a.b.c"), Some(0)),
        ("/?x=1&access_token=a.b.c", ("accept", "*/*"), Some(1)),
        ("/access_token=a", ("accept", "*/*"), None),
        ("/?x=access_token", ("accept", "*/*"), None),
        ("/", ("cookie", "a=1; session=a.b.c"), Some(2)),
        ("/", ("cookie", "a=session; sessions=1"), None),
    ] {
        let map = headers(&[sent]);
        let request = get("reviews", path, &map);
        let verdict = request_verdict(&plan, &peer(), &request);
        assert_eq!(verdict.allowed, refused.is_none(), "{path} {sent:?}");
        let decided = verdict.decided_by.expect("the ALLOW policy matches everything");
        assert_eq!(decided.rule, Some(refused.unwrap_or(0)), "{path} {sent:?}");
        let tokens = decided.policy.action() == lateen_engine::authorize::Action::Authenticate;
        assert_eq!(tokens, refused.is_some(), "{path} {sent:?}");
    }
    // Opaque bytes carry no token.
    assert!(connection_verdict(&plan, &peer()).allowed);
}
