//! Another attempt, or none, and time limits.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use lateen_mesh::v1::{HttpRule, Protocol};

use crate::mesh::{Mesh, SHOP, retries};
use crate::proxies::{outbound, run};
use crate::wire::{Backend, Wire, ok, response, unused};

const DEFAULT: &str = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";

fn retrying(attempts: u32, on: &str) -> HttpRule {
    HttpRule { retries: retries(attempts, on), ..HttpRule::default() }
}

/// Fails the first requests with `failure`, then answers.
async fn failing(times: usize, failure: &'static str) -> (Backend, Rc<RefCell<Vec<String>>>) {
    let bodies = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&bodies);
    let backend = Backend::answering(move |request| {
        let mut seen = seen.borrow_mut();
        let attempt = request.header("x-envoy-attempt-count").expect("a count").to_owned();
        seen.push(format!("{attempt}:{}", request.body));
        if seen.len() <= times { failure.to_owned() } else { ok("at last") }
    })
    .await;
    (backend, bodies)
}

#[test]
fn a_dead_endpoint_is_left_for_another() {
    run(async {
        let backend = Backend::echo().await;
        let dead = unused().await;
        let plan =
            Mesh::new().shop(Protocol::Http, &[dead, backend.address], retrying(2, DEFAULT)).plan();
        let proxy = outbound(plan).await;
        let mut client = Wire::connect(proxy.address).await;
        for _ in 0..8 {
            assert_eq!(client.get("/").await.status(), 200);
        }
        let lines = proxy.log(8).await;
        assert!(lines.iter().all(|line| line["response_flags"] == "-"));
        let retried = client.get("/").await.body.contains("x-envoy-attempt-count: 2")
            || client.get("/").await.body.contains("x-envoy-attempt-count: 2");
        assert!(retried, "in turn, one of two requests meets the dead endpoint first");
    });
}

#[test]
fn the_last_failure_is_answered_when_all_attempts_are_used_up() {
    run(async {
        let plan = Mesh::new().shop(Protocol::Http, &[unused().await], retrying(2, DEFAULT)).plan();
        let proxy = outbound(plan).await;
        let answer = Wire::connect(proxy.address).await.get("/").await;
        assert_eq!(answer.status(), 503);
        assert!(answer.body.contains("retried and the latest reset reason"), "{}", answer.body);
        let line = proxy.line().await;
        assert_eq!(line["response_flags"], "URX,UF");
    });
}

#[test]
fn statuses_are_retried_where_the_route_says_so() {
    run(async {
        const UNAVAILABLE: &str =
            "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy";
        for (on, attempts, failures, status, tries) in [
            ("5xx", 3, 2, 200, 3),
            ("gateway-error", 3, 1, 200, 2),
            ("5xx", 1, 2, 503, 2),
            (DEFAULT, 2, 1, 503, 1),
            ("reset", 2, 1, 503, 1),
        ] {
            let (backend, seen) = failing(failures, UNAVAILABLE).await;
            let rule = retrying(attempts, on);
            let plan = Mesh::new().shop(Protocol::Http, &[backend.address], rule).plan();
            let proxy = outbound(plan).await;
            let answer = Wire::connect(proxy.address)
                .await
                .ask("POST / HTTP/1.1\r\nhost: shop.example\r\ncontent-length: 5\r\n\r\nhello")
                .await;
            assert_eq!(answer.status(), status, "{on} {failures}");
            let expected: Vec<_> = (1..=tries).map(|attempt| format!("{attempt}:hello")).collect();
            assert_eq!(*seen.borrow(), expected, "{on}: the body is sent again");
            let flags = &proxy.line().await["response_flags"];
            assert_eq!(flags, if status == 503 && tries > 1 { "URX" } else { "-" });
        }
    });
}

#[test]
fn a_connection_that_ends_before_the_answer_is_a_reset() {
    run(async {
        for (on, with_reset, status) in [
            ("reset", false, 200),
            ("reset", true, 200),
            (DEFAULT, false, 503),
            (DEFAULT, true, 503),
        ] {
            let backend = Backend::start(move |mut wire, number| async move {
                wire.message().await.expect("a request");
                if number == 0 {
                    if with_reset {
                        wire.reset();
                    }
                    return;
                }
                wire.send(ok("second")).await;
            })
            .await;
            let plan = Mesh::new().shop(Protocol::Http, &[backend.address], retrying(2, on)).plan();
            let proxy = outbound(plan).await;
            let answer = Wire::connect(proxy.address).await.get("/").await;
            assert_eq!(answer.status(), status, "{on}");
            let line = proxy.line().await;
            if status == 503 {
                assert_eq!(line["response_flags"], "UC");
                assert_eq!(line["reason"], "upstream_closed");
                assert_eq!(
                    answer.body,
                    "upstream connect error or disconnect/reset before headers. \
                     reset reason: connection termination"
                );
            }
        }
    });
}

#[test]
fn an_idle_connection_that_was_closed_costs_no_attempt() {
    run(async {
        let backend = Backend::start(|mut wire, _| async move {
            let request = wire.message().await.expect("a request");
            assert_eq!(request.header("x-envoy-attempt-count"), Some("1"));
            wire.send(ok("once")).await;
        })
        .await;
        let plan = Mesh::new().shop(Protocol::Http, &[backend.address], HttpRule::default()).plan();
        let proxy = outbound(plan).await;
        let mut client = Wire::connect(proxy.address).await;
        for _ in 0..5 {
            assert_eq!(client.get("/").await.status(), 200);
            // The end of the back end's connection is on its way.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(backend.connections(), 5);
    });
}

#[test]
fn a_body_that_outgrew_what_is_kept_is_sent_once() {
    run(async {
        let (backend, seen) =
            failing(1, "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").await;
        let plan = Mesh::new().shop(Protocol::Http, &[backend.address], retrying(2, "5xx")).plan();
        let proxy = outbound(plan).await;
        let body = "x".repeat(lateen_proxy::http::REPLAY_LIMIT + 1);
        let request = format!(
            "POST / HTTP/1.1\r\nhost: {SHOP}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        assert_eq!(Wire::connect(proxy.address).await.ask(&request).await.status(), 503);
        assert_eq!(seen.borrow().len(), 1);
    });
}

#[test]
fn a_try_that_takes_too_long_is_given_up() {
    run(async {
        let backend = Backend::start(|mut wire, number| async move {
            while wire.message().await.is_some() {
                if number == 0 {
                    assert!(wire.is_closed().await, "the attempt is cancelled");
                    return;
                }
                wire.send(ok("quick")).await;
            }
        })
        .await;
        let mut rule = retrying(2, "reset");
        if let Some(retries) = &mut rule.retries {
            retries.per_try_timeout_ms = 50;
        }
        let plan = Mesh::new().shop(Protocol::Http, &[backend.address], rule).plan();
        let proxy = outbound(plan).await;
        let answer = Wire::connect(proxy.address).await.get("/").await;
        assert_eq!((answer.status(), answer.body.as_str()), (200, "quick"));
        assert_eq!(proxy.line().await["response_flags"], "-");
    });
}

#[test]
fn the_timeout_covers_the_exchange_and_starts_after_the_request() {
    run(async {
        let backend = Backend::start(|mut wire, _| async move {
            while let Some(request) = wire.message().await {
                if request.body == "slow sender" {
                    let limit = request.header("x-envoy-expected-rq-timeout-ms");
                    assert_eq!(limit, Some("150"));
                    wire.send(ok("in time")).await;
                }
            }
        })
        .await;
        let rule = HttpRule { timeout_ms: 150, ..HttpRule::default() };
        let plan = Mesh::new().shop(Protocol::Http, &[backend.address], rule).plan();
        let proxy = outbound(plan).await;

        let mut slow = Wire::connect(proxy.address).await;
        slow.send("POST / HTTP/1.1\r\nhost: shop.example\r\ncontent-length: 11\r\n\r\nslow ").await;
        tokio::time::sleep(Duration::from_millis(250)).await;
        slow.send("sender").await;
        assert_eq!(slow.message().await.expect("an answer").body, "in time");

        let began = Instant::now();
        let answer = Wire::connect(proxy.address).await.get("/").await;
        assert_eq!((answer.status(), answer.body.as_str()), (504, "upstream request timeout"));
        assert!(began.elapsed() >= Duration::from_millis(150));
        let lines = proxy.log(2).await;
        assert_eq!(lines[1]["response_flags"], "UT");
        assert_eq!(lines[1]["response_code_details"], "response_timeout");
    });
}

#[test]
fn a_response_that_stalls_is_cut_off_by_the_timeout() {
    run(async {
        let backend = Backend::start(|mut wire, _| async move {
            wire.message().await.expect("a request");
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf ").await;
            assert!(wire.is_closed().await);
        })
        .await;
        let rule = HttpRule { timeout_ms: 100, ..HttpRule::default() };
        let plan = Mesh::new().shop(Protocol::Http, &[backend.address], rule).plan();
        let proxy = outbound(plan).await;
        let mut client = Wire::connect(proxy.address).await;
        client.send("GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n").await;
        assert_eq!(client.head().await.expect("a head").status(), 200);
        assert_eq!(client.bytes(5).await, "half ");
        assert!(client.is_closed().await);
        let line = proxy.line().await;
        assert_eq!(line["response_flags"], "UT");
        assert_eq!(line["reason"], "timed_out_midway");
        assert_eq!(line["bytes_sent"], 5);
    });
}

#[test]
fn a_client_that_leaves_ends_the_attempt() {
    run(async {
        let gone = Rc::new(RefCell::new(false));
        let seen = Rc::clone(&gone);
        let backend = Backend::start(move |mut wire, _| {
            let seen = Rc::clone(&seen);
            async move {
                wire.message().await.expect("a request");
                *seen.borrow_mut() = wire.is_closed().await;
            }
        })
        .await;
        let plan = Mesh::new().shop(Protocol::Http, &[backend.address], HttpRule::default()).plan();
        let proxy = outbound(plan).await;
        let mut client = Wire::connect(proxy.address).await;
        client.send("GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n").await;
        while backend.connections() == 0 {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        drop(client);
        let line = proxy.line().await;
        assert_eq!((&line["response_flags"], &line["response_code"]), (&"DC".into(), &0.into()));
        assert_eq!(line["reason"], "downstream_closed");
        while !*gone.borrow() {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn a_broken_response_is_a_protocol_error() {
    run(async {
        let backend = Backend::start(|mut wire, _| async move {
            wire.message().await.expect("a request");
            wire.send("this is not HTTP\r\n\r\n").await;
        })
        .await;
        let plan = Mesh::new().shop(Protocol::Http, &[backend.address], HttpRule::default()).plan();
        let proxy = outbound(plan).await;
        assert_eq!(Wire::connect(proxy.address).await.get("/").await.status(), 502);
        assert_eq!(proxy.line().await["response_flags"], "UPE");
        let large = format!("HTTP/1.1 200 OK\r\nx-a: {}\r\n\r\n", "a".repeat(61 * 1024));
        let backend = Backend::answering(move |_| large.clone()).await;
        let plan = Mesh::new().shop(Protocol::Http, &[backend.address], HttpRule::default()).plan();
        let proxy = outbound(plan).await;
        assert_eq!(Wire::connect(proxy.address).await.get("/").await.status(), 502);
        assert_eq!(proxy.line().await["reason"], "upstream_headers_too_large");
    });
}

#[test]
fn a_response_of_the_application_is_passed_on_whatever_its_status() {
    run(async {
        let backend = Backend::answering(|_| response("500 Oops", "it broke")).await;
        let plan =
            Mesh::new().shop(Protocol::Http, &[backend.address], retrying(2, DEFAULT)).plan();
        let proxy = outbound(plan).await;
        let answer = Wire::connect(proxy.address).await.get("/").await;
        assert_eq!((answer.status(), answer.body.as_str()), (500, "it broke"));
        let line = proxy.line().await;
        assert_eq!(
            (&line["response_flags"], &line["reason"]),
            (&"-".into(), &serde_json::Value::Null)
        );
    });
}
