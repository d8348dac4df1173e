//! HTTP/1 on both sides.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use lateen_mesh::v1::{self, HttpRule, Protocol};

use crate::mesh::{Mesh, SHOP, inbound as workload};
use crate::proxies::{self, Ca, Taking, gateway, outbound, outbound_with, run, settings};
use crate::wire::{Backend, Wire, ok};

fn shop(backend: &Backend) -> std::sync::Arc<lateen_engine::Plan> {
    Mesh::new().shop(Protocol::Http, &[backend.address], HttpRule::default()).plan()
}

#[test]
fn a_request_passes_with_its_headers_and_the_connection_stays() {
    run(async {
        let backend = Backend::echo().await;
        let plan = shop(&backend);
        let proxy = outbound(plan).await;
        let mut client = Wire::connect(proxy.address).await;

        let first = client
            .ask(&format!(
                "GET /a?b=c HTTP/1.1\r\nHost: {SHOP}\r\nX-One: 1\r\nConnection: keep-alive\r\n\r\n"
            ))
            .await;
        assert_eq!(first.start, "HTTP/1.1 200 OK");
        assert_eq!(first.header("server"), Some("envoy"));
        assert!(first.header("date").is_some() && first.header("connection").is_none());
        assert!(first.header("x-envoy-upstream-service-time").is_some());
        let seen = first.body;
        assert!(seen.starts_with("GET /a?b=c HTTP/1.1\n"), "{seen}");
        for expected in [
            "host: shop.example\n",
            "x-one: 1\n",
            "x-forwarded-proto: http\n",
            "x-envoy-attempt-count: 1\n",
            "x-request-id: ",
        ] {
            assert!(seen.contains(expected), "{expected} in {seen}");
        }
        assert!(!seen.contains("connection:"), "{seen}");

        let second = client.get("/second").await;
        assert!(second.body.starts_with("GET /second HTTP/1.1\n"));
        assert_eq!(backend.connections(), 1, "both sides are kept open");

        let lines = proxy.log(2).await;
        assert_eq!(lines[0]["path"], "/a?b=c");
        assert_eq!(lines[0]["response_code"], 200);
        assert_eq!(lines[0]["response_flags"], "-");
        assert_eq!(lines[0]["response_code_details"], "via_upstream");
        assert_eq!(lines[0]["upstream_cluster"], "outbound|80||shop.example");
        assert_eq!(lines[0]["upstream_host"], backend.address.to_string());
        assert_eq!(lines[0]["bytes_sent"], seen.len());
        assert_eq!(lines[1]["path"], "/second");
    });
}

#[test]
fn bodies_stream_in_both_directions() {
    run(async {
        let backend = Backend::answering(|request| ok(&request.body)).await;
        let plan = shop(&backend);
        let proxy = outbound(plan).await;
        let mut client = Wire::connect(proxy.address).await;
        let chunked = client
            .ask("POST / HTTP/1.1\r\nhost: shop.example\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
            .await;
        assert_eq!(chunked.body, "hello world");
        let sized = client
            .ask("POST / HTTP/1.1\r\nhost: shop.example\r\ncontent-length: 3\r\n\r\nabc")
            .await;
        assert_eq!(sized.body, "abc");
        let lines = proxy.log(2).await;
        assert_eq!(
            (&lines[0]["bytes_received"], &lines[0]["bytes_sent"]),
            (&11.into(), &11.into())
        );
        assert_eq!(lines[1]["bytes_received"], 3);
    });
}

#[test]
fn chunked_responses_and_trailers_pass() {
    run(async {
        let backend = Backend::answering(|_| {
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
             3\r\nabc\r\n3\r\ndef\r\n0\r\nx-sum: 6\r\n\r\n"
                .to_owned()
        })
        .await;
        let proxy = outbound(shop(&backend)).await;
        let mut client = Wire::connect(proxy.address).await;
        for _ in 0..2 {
            let answer =
                client.ask("GET / HTTP/1.1\r\nhost: shop.example\r\nte: trailers\r\n\r\n").await;
            assert_eq!(answer.body, "abcdef");
            assert_eq!(answer.trailers, [("x-sum".to_owned(), "6".to_owned())]);
        }
        assert_eq!(backend.connections(), 1, "the end of the body was seen");
    });
}

#[test]
fn a_response_streams_as_it_comes() {
    run(async {
        let backend = Backend::start(|mut wire, _| async move {
            wire.message().await.expect("a request");
            wire.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n").await;
            // The rest follows when the client has read what came.
            wire.message().await;
        })
        .await;
        let proxy = outbound(shop(&backend)).await;
        let mut client = Wire::connect(proxy.address).await;
        client.send("GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n").await;
        assert_eq!(client.head().await.expect("a head").status(), 200);
        assert_eq!(client.line().await.as_deref(), Some("3"));
        assert_eq!(client.line().await.as_deref(), Some("one"));
    });
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    run(async {
        let backend = Backend::answering(|request| ok(&request.start)).await;
        let proxy = outbound(shop(&backend)).await;
        let mut client = Wire::connect(proxy.address).await;
        let requests: String = (0..5)
            .map(|number| format!("GET /{number} HTTP/1.1\r\nhost: shop.example\r\n\r\n"))
            .collect();
        client.send(requests).await;
        for number in 0..5 {
            let answer = client.message().await.expect("an answer");
            assert_eq!(answer.body, format!("GET /{number} HTTP/1.1"));
        }
    });
}

#[test]
fn continue_comes_from_the_endpoint() {
    run(async {
        let asked = Rc::new(RefCell::new(false));
        let ask = Rc::clone(&asked);
        let backend = Backend::start(move |mut wire, _| {
            let ask = Rc::clone(&ask);
            async move {
                while let Some(head) = wire.head().await {
                    assert_eq!(head.header("expect"), Some("100-continue"));
                    if head.start.starts_with("POST /refuse") {
                        wire.send("HTTP/1.1 417 No\r\ncontent-length: 0\r\n\r\n").await;
                        return;
                    }
                    assert!(wire.is_silent().await, "the body waits");
                    *ask.borrow_mut() = true;
                    wire.send("HTTP/1.1 100 Continue\r\n\r\n").await;
                    assert_eq!(wire.bytes(4).await, "body");
                    wire.send(ok("thanks")).await;
                }
            }
        })
        .await;
        let proxy = outbound(shop(&backend)).await;
        let head = |path: &str| {
            format!(
                "POST {path} HTTP/1.1\r\nhost: {SHOP}\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n"
            )
        };
        let mut client = Wire::connect(proxy.address).await;
        client.send(head("/take")).await;
        assert_eq!(client.message().await.expect("an answer").status(), 100);
        assert!(*asked.borrow(), "not before the endpoint has asked");
        client.send("body").await;
        assert_eq!(client.message().await.expect("an answer").body, "thanks");

        let mut client = Wire::connect(proxy.address).await;
        client.send(head("/refuse")).await;
        assert_eq!(client.message().await.expect("an answer").status(), 417);
    });
}

#[test]
fn an_upgrade_relays_bytes_both_ways() {
    run(async {
        let backend = Backend::start(|mut wire, _| async move {
            let request = wire.head().await.expect("a request");
            assert_eq!(request.header("upgrade"), Some("websocket"));
            assert_eq!(request.header("connection"), Some("upgrade"));
            wire.send(
                "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\
                 connection: upgrade\r\nsec-websocket-accept: x\r\n\r\nhello",
            )
            .await;
            assert_eq!(wire.bytes(5).await, "world");
            wire.send("bye").await;
        })
        .await;
        let proxy = outbound(shop(&backend)).await;
        let mut client = Wire::connect(proxy.address).await;
        client
            .send(
                "GET /chat HTTP/1.1\r\nhost: shop.example\r\nconnection: keep-alive, Upgrade\r\n\
                 upgrade: websocket\r\nsec-websocket-key: k\r\n\r\n",
            )
            .await;
        let answer = client.head().await.expect("an answer");
        assert_eq!(answer.status(), 101);
        assert_eq!(answer.header("upgrade"), Some("websocket"));
        assert_eq!(answer.header("sec-websocket-accept"), Some("x"));
        assert_eq!(client.bytes(5).await, "hello");
        client.send("world").await;
        assert_eq!(client.bytes(3).await, "bye");
        drop(client);
        let line = proxy.line().await;
        assert_eq!(line["response_code"], 101);
        assert_eq!((&line["bytes_received"], &line["bytes_sent"]), (&5.into(), &8.into()));
    });
}

#[test]
fn a_drain_closes_connections_after_their_answer() {
    run(async {
        let backend = Backend::echo().await;
        let proxy = outbound(shop(&backend)).await;
        let mut busy = Wire::connect(proxy.address).await;
        assert_eq!(busy.get("/").await.header("connection"), None);
        proxy.drain();
        let last = busy.get("/").await;
        assert_eq!(last.header("connection"), Some("close"));
        assert!(busy.is_closed().await);
    });
}

#[test]
fn a_head_that_does_not_come_in_time_is_given_up() {
    run(async {
        let mut settings = settings();
        settings.timeouts.headers = Duration::from_millis(80);
        let backend = Backend::echo().await;
        let proxy = outbound_with(shop(&backend), &Ca::new(), settings).await;
        let mut client = Wire::connect(proxy.address).await;
        assert_eq!(client.get("/").await.status(), 200);
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert_eq!(client.get("/").await.status(), 200, "idle is not late");
        client.send("GET /slow HTTP/1.1\r\nhost:").await;
        let answer = client.message().await.expect("an answer");
        assert_eq!((answer.status(), answer.body.as_str()), (408, "request header timeout"));
        assert!(client.is_closed().await);
        let lines = proxy.log(3).await;
        assert_eq!(lines[2]["reason"], "headers_timed_out");
    });
}

#[test]
fn idle_connections_are_closed() {
    run(async {
        let mut settings = settings();
        settings.timeouts.http_idle = Duration::from_millis(80);
        let backend = Backend::echo().await;
        let proxy = outbound_with(shop(&backend), &Ca::new(), settings).await;
        let mut client = Wire::connect(proxy.address).await;
        for _ in 0..4 {
            // Together longer than the limit, each pause shorter.
            tokio::time::sleep(Duration::from_millis(40)).await;
            assert_eq!(client.get("/").await.status(), 200);
        }
        assert!(client.is_closed().await);
    });
}

#[test]
fn routes_rewrite_and_change_headers() {
    run(async {
        let backend = Backend::echo().await;
        let header =
            |name: &str, value: &str| v1::Header { name: name.into(), value: value.into() };
        let operations = |set: v1::Header, remove: &str| {
            Some(v1::HeaderOperations {
                set: vec![set],
                add: Vec::new(),
                remove: vec![remove.to_owned()],
            })
        };
        let rule = HttpRule {
            matches: vec![v1::HttpMatch {
                path: Some(v1::PathMatch {
                    kind: Some(v1::path_match::Kind::Prefix("/old/".to_owned())),
                    ..v1::PathMatch::default()
                }),
                ..v1::HttpMatch::default()
            }],
            rewrite: Some(v1::Rewrite {
                path: "/new/".to_owned(),
                authority: "inner.example".to_owned(),
                ..v1::Rewrite::default()
            }),
            request_headers: operations(header("x-added", "1"), "x-secret"),
            response_headers: operations(header("x-answer", "2"), "x-hidden"),
            ..HttpRule::default()
        };
        let plan = Mesh::new().shop(Protocol::Http, &[backend.address], rule).plan();
        let proxy = outbound(plan).await;
        let answer = Wire::connect(proxy.address)
            .await
            .ask("GET /old/./a%41?q#frag HTTP/1.1\r\nhost: shop.example\r\nx-secret: s\r\n\r\n")
            .await;
        let seen = &answer.body;
        assert!(seen.starts_with("GET /new/aA?q HTTP/1.1\n"), "{seen}");
        for expected in
            ["host: inner.example\n", "x-added: 1\n", "x-envoy-original-path: /old/aA?q\n"]
        {
            assert!(seen.contains(expected), "{expected} in {seen}");
        }
        assert!(!seen.contains("x-secret"), "{seen}");
        assert_eq!(answer.header("x-answer"), Some("2"));
        let line = proxy.line().await;
        assert_eq!(
            (&line["path"], &line["authority"]),
            (&"/old/aA?q".into(), &"inner.example".into())
        );
    });
}

#[test]
fn the_scheme_is_what_the_nearest_proxy_tells() {
    run(async {
        let backend = Backend::echo().await;
        let created = v1::DirectResponse { status: 201, ..v1::DirectResponse::default() };
        let answer_here = HttpRule {
            action: Some(v1::http_rule::Action::DirectResponse(created)),
            ..HttpRule::default()
        };
        let plan = Mesh::new().shop(Protocol::Http, &[backend.address], answer_here).plan();
        let proxy = outbound(plan).await;
        for (target, told, scheme) in [
            ("/", "https", "https"),
            ("/", "HTTPS", "https"),
            ("/", "ftp", "http"),
            ("https://shop.example/", "http", "https"),
        ] {
            let request = format!(
                "GET {target} HTTP/1.1\r\nhost: {SHOP}\r\nx-forwarded-proto: {told}\r\n\r\n"
            );
            let answer = Wire::connect(proxy.address).await.ask(&request).await;
            let here = format!("{scheme}://{SHOP}/");
            assert_eq!(answer.header("location"), Some(here.as_str()), "{target} {told}");
        }
    });
}

#[test]
fn a_gateway_believes_nothing_from_outside() {
    run(async {
        let backend = Backend::echo().await;
        let rule = crate::mesh::to(SHOP, HttpRule::default());
        let mesh = Mesh::new()
            .service(SHOP, Protocol::Http, &[backend.address], Vec::new())
            .gateway(vec![rule]);
        let proxy = gateway(mesh.plan()).await;
        let answer = Wire::connect(proxy.address)
            .await
            .ask(
                "GET / HTTP/1.1\r\nhost: shop.example\r\nx-forwarded-for: 1.2.3.4\r\n\
                 x-forwarded-proto: https\r\nx-forwarded-client-cert: By=me\r\n\
                 x-envoy-retry-on: 5xx\r\nx-request-id: mine\r\nx-lateen-version: 1.1\r\n\r\n",
            )
            .await;
        assert_eq!(answer.header("server"), Some("istio-envoy"));
        let seen = &answer.body;
        for expected in [
            "x-forwarded-for: 1.2.3.4,127.0.0.1\n",
            "x-forwarded-proto: http\n",
            "x-envoy-external-address: 127.0.0.1\n",
            "x-envoy-attempt-count: 1\n",
        ] {
            assert!(seen.contains(expected), "{expected} in {seen}");
        }
        for absent in ["client-cert", "retry-on", "mine", "x-lateen"] {
            assert!(!seen.contains(absent), "{absent} in {seen}");
        }
        let unknown =
            Wire::connect(proxy.address).await.ask("GET / HTTP/1.1\r\nhost: other\r\n\r\n").await;
        assert_eq!(unknown.status(), 404);
        assert_eq!(proxy.log(2).await[1]["response_flags"], "NR");
    });
}

#[test]
fn a_sidecar_takes_out_what_nobody_proved() {
    run(async {
        let application = Backend::echo().await;
        let web = workload(application.address, Protocol::Http);
        let plan = Mesh::new().inbound(web).plan();
        let port = application.address.port();
        let proxy = proxies::inbound(plan, &Ca::new(), port, Taking::Plain).await;
        let answer = Wire::connect(proxy.address)
            .await
            .ask(
                "GET / HTTP/1.1\r\nhost: web\r\nx-forwarded-client-cert: By=me\r\n\
                 x-envoy-peer-metadata: aaaa\r\nx-envoy-peer-metadata-id: me\r\n\r\n",
            )
            .await;
        assert_eq!(answer.header("server"), Some("istio-envoy"));
        assert_eq!(
            answer.header("x-envoy-decorator-operation"),
            Some("web.shop.svc.cluster.local:80/*")
        );
        assert!(answer.header("x-envoy-peer-metadata").is_some(), "it told of itself");
        for absent in ["client-cert", "peer-metadata", "attempt-count"] {
            assert!(!answer.body.contains(absent), "{absent} in {}", answer.body);
        }
        let line = proxy.line().await;
        assert_eq!(line["upstream_cluster"], format!("inbound|{port}||"));
    });
}
