//! Conditions and back-off of retries.

use std::sync::Arc;
use std::time::Duration;

use lateen_engine::retry::{Attempt, RetryPolicy};
use lateen_engine::{HttpDecision, Plan};
use lateen_mesh::v1::{self, Protocol};

use crate::fixture::*;

fn plan(policy: v1::RetryPolicy) -> Arc<Plan> {
    let rule = v1::HttpRule { retries: Some(policy), ..to("r", vec![backend("a.ext", 80)]) };
    Mesh::new()
        .entries(vec![entry("a.ext", &[], &[(80, Protocol::Http)])])
        .destination(v1::Destination { endpoint_slices: Vec::new(), ..destination("a.ext", 80) })
        .routes(v1::Routes { host: "a.ext".to_owned(), http: vec![rule], ..Default::default() })
        .plan()
}

fn with<R>(policy: v1::RetryPolicy, check: impl FnOnce(&RetryPolicy) -> R) -> R {
    let plan = plan(policy);
    let none = headers(&[]);
    let HttpDecision::Forward(forward) = plan.route(&on_port(80), &get("a.ext", "/", &none), 0)
    else {
        panic!("not forwarded")
    };
    check(forward.retries.expect("a policy"))
}

fn on(conditions: &[&str]) -> v1::RetryPolicy {
    v1::RetryPolicy {
        attempts: 2,
        retry_on: conditions.iter().map(|name| (*name).to_owned()).collect(),
        origin: origin("spec.http[0].retries"),
        ..Default::default()
    }
}

#[test]
fn conditions_mean_what_envoy_means() {
    let none = headers(&[]);
    let limited = headers(&[("x-envoy-ratelimited", "true")]);
    let grpc = |status: &'static str| headers(&[("grpc-status", status)]);
    let grpc: Vec<_> = ["0", "1", "4", "8", "13", "14"].map(grpc).into();
    let status = |status| Attempt::Response { status, headers: &none };
    let of_grpc = |index: usize| Attempt::Response { status: 200, headers: &grpc[index] };
    let unlimited = Attempt::Response { status: 503, headers: &limited };
    for (condition, attempt, expected) in [
        ("5xx", status(500), true),
        ("5xx", status(499), false),
        ("5xx", Attempt::Reset, true),
        ("5xx", Attempt::PerTryTimeout, true),
        ("5xx", Attempt::ConnectFailure, true),
        ("5xx", Attempt::RefusedStream, true),
        ("gateway-error", status(500), false),
        ("gateway-error", status(502), true),
        ("gateway-error", status(504), true),
        ("gateway-error", Attempt::Reset, true),
        ("reset", Attempt::Reset, true),
        ("reset", Attempt::ConnectFailure, true),
        ("reset", status(503), false),
        ("reset-before-request", Attempt::ResetBeforeRequest, true),
        ("reset-before-request", Attempt::ConnectFailure, true),
        ("reset-before-request", Attempt::Reset, false),
        ("reset-before-request", Attempt::PerTryTimeout, false),
        ("connect-failure", Attempt::ConnectFailure, true),
        ("connect-failure", Attempt::Reset, false),
        ("connect-failure", status(503), false),
        ("refused-stream", Attempt::RefusedStream, true),
        ("refused-stream", Attempt::Reset, false),
        ("retriable-4xx", status(409), true),
        ("retriable-4xx", status(404), false),
        ("retriable-status-codes", status(418), true),
        ("retriable-status-codes", status(503), false),
        ("cancelled", of_grpc(1), true),
        ("deadline-exceeded", of_grpc(2), true),
        ("resource-exhausted", of_grpc(3), true),
        ("internal", of_grpc(4), true),
        ("unavailable", of_grpc(5), true),
        ("unavailable", of_grpc(0), false),
        ("unavailable", of_grpc(1), false),
        ("unavailable", status(503), false),
        ("5xx", unlimited, false),
        ("envoy-ratelimited", unlimited, true),
        ("no-such-condition", status(503), false),
    ] {
        let policy = v1::RetryPolicy { retriable_status_codes: vec![418], ..on(&[condition]) };
        let (decided, explained) =
            with(policy, |policy| (policy.retries(attempt, 0), policy.explain_retries(attempt, 0)));
        assert_eq!(decided, expected, "{condition} {attempt:?}");
        assert_eq!(explained.decision, decided);
        assert_eq!(explained.steps[0].origin.field, "spec.http[0].retries");
    }
}

#[test]
fn attempts_are_retries_beyond_the_first() {
    with(on(&["connect-failure"]), |policy| {
        for (made, expected) in [(0, true), (1, true), (2, false)] {
            assert_eq!(policy.retries(Attempt::ConnectFailure, made), expected, "{made}");
        }
    });
    with(v1::RetryPolicy { attempts: 0, ..on(&["5xx"]) }, |policy| {
        assert!(!policy.retries(Attempt::Reset, 0));
    });
}

#[test]
fn backoff_doubles_up_to_ten_times_its_base_with_full_jitter() {
    for (base, retry, longest) in [
        (0, 1, 25),
        (0, 2, 50),
        (0, 4, 200),
        (0, 5, 250),
        (0, 40, 250),
        (100, 1, 100),
        (100, 9, 1000),
    ] {
        let policy = v1::RetryPolicy { backoff_base_ms: base, ..on(&[]) };
        with(policy, |policy| {
            let longest = Duration::from_millis(longest);
            let nanos = u64::try_from(longest.as_nanos()).expect("short");
            assert_eq!(policy.backoff(retry, nanos - 1), longest - Duration::from_nanos(1));
            assert_eq!(policy.backoff(retry, nanos), Duration::ZERO);
        });
    }
}

#[test]
fn limits_are_passed_on() {
    let policy = v1::RetryPolicy { per_try_timeout_ms: 2, avoid_previous_hosts: 5, ..on(&[]) };
    with(policy, |policy| {
        assert_eq!(policy.per_try_timeout(), Some(Duration::from_millis(2)));
        assert_eq!(policy.avoid_previous_hosts(), 5);
        assert_eq!(policy.attempts(), 2);
    });
}
