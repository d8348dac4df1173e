//! Answers that the proxy gives itself.

use std::time::Duration;

use lateen_mesh::v1::{self, HttpRule, Protocol, http_rule::Action};
use lateen_proxy::config::Plans;

use crate::mesh::{Mesh, SHOP};
use crate::proxies::{DIALLED, outbound, outbound_of, run};
use crate::wire::{Backend, Wire, unused};

fn rule(action: Action) -> HttpRule {
    HttpRule { name: "own".to_owned(), action: Some(action), ..HttpRule::default() }
}

/// What is sent, and what must come back: status, body, flags, details, reason.
struct Case {
    name: &'static str,
    mesh: Mesh,
    request: String,
    status: u16,
    body: &'static str,
    flags: &'static str,
    details: &'static str,
    reason: &'static str,
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: {SHOP}\r\n\r\n")
}

#[test]
fn local_replies_are_envoys() {
    run(async {
        let dead = unused().await;
        let only_admin = HttpRule {
            matches: vec![v1::HttpMatch {
                path: Some(v1::PathMatch {
                    kind: Some(v1::path_match::Kind::Prefix("/admin".to_owned())),
                    ..v1::PathMatch::default()
                }),
                ..v1::HttpMatch::default()
            }],
            ..HttpRule::default()
        };
        let registry_only = |settings: &mut v1::Settings| {
            settings.outbound_policy = v1::OutboundPolicy::RegistryOnly.into();
        };
        let invalid = Action::Forward(v1::Forward {
            backends: vec![v1::Backend {
                host: "nowhere".to_owned(),
                invalid: "no such host".to_owned(),
                invalid_status: 503,
                ..v1::Backend::default()
            }],
        });
        let shop = || Mesh::new().shop(Protocol::Http, &[], HttpRule::default());
        let cases = [
            Case {
                name: "no route",
                mesh: Mesh::new().shop(Protocol::Http, &[dead], only_admin),
                request: get("/"),
                status: 404,
                body: "",
                flags: "NR",
                details: "route_not_found",
                reason: "no_route",
            },
            Case {
                name: "not in the registry",
                mesh: shop().settings(registry_only),
                request: "GET / HTTP/1.1\r\nhost: other.example\r\n\r\n".to_owned(),
                status: 502,
                body: "",
                flags: "-",
                details: "direct_response",
                reason: "not_in_registry",
            },
            Case {
                name: "no endpoints",
                mesh: shop(),
                request: get("/"),
                status: 503,
                body: "no healthy upstream",
                flags: "UH",
                details: "no_healthy_upstream",
                reason: "no_healthy_upstream",
            },
            Case {
                name: "invalid backend",
                mesh: Mesh::new().shop(Protocol::Http, &[], rule(invalid)),
                request: get("/"),
                status: 503,
                body: "",
                flags: "NC",
                details: "cluster_not_found",
                reason: "invalid_backend",
            },
            Case {
                name: "HTTP/1.0",
                mesh: shop(),
                request: format!("GET / HTTP/1.0\r\nhost: {SHOP}\r\n\r\n"),
                status: 426,
                body: "Upgrade Required",
                flags: "DPE",
                details: "low_version",
                reason: "http_1_0",
            },
            Case {
                name: "no host",
                mesh: shop(),
                request: "GET / HTTP/1.1\r\n\r\n".to_owned(),
                status: 400,
                body: "",
                flags: "-",
                details: "missing_host_header",
                reason: "missing_host",
            },
            Case {
                name: "an upgrade that is not allowed",
                mesh: shop(),
                request: format!(
                    "GET / HTTP/1.1\r\nhost: {SHOP}\r\nconnection: upgrade\r\nupgrade: foo\r\n\r\n"
                ),
                status: 403,
                body: "",
                flags: "-",
                details: "upgrade_failed",
                reason: "upgrade_refused",
            },
            Case {
                name: "direct response",
                mesh: Mesh::new().shop(
                    Protocol::Http,
                    &[],
                    rule(Action::DirectResponse(v1::DirectResponse {
                        status: 418,
                        body: "short and stout".into(),
                    })),
                ),
                request: get("/"),
                status: 418,
                body: "short and stout",
                flags: "-",
                details: "direct_response",
                reason: "direct_response",
            },
        ];
        for case in cases {
            let proxy = outbound(case.mesh.plan()).await;
            let answer = Wire::connect(proxy.address).await.ask(&case.request).await;
            let name = case.name;
            assert_eq!((answer.status(), answer.body.as_str()), (case.status, case.body), "{name}");
            assert_eq!(answer.header("server"), Some("envoy"), "{name}");
            let content_type = (!case.body.is_empty()).then_some("text/plain");
            assert_eq!(answer.header("content-type"), content_type, "{name}");
            assert_eq!(
                answer.header("x-lateen-reason"),
                None,
                "{name}: nobody has proved who it is"
            );
            let line = proxy.line().await;
            assert_eq!(line["response_code"], case.status, "{name}");
            assert_eq!(line["response_flags"], case.flags, "{name}");
            assert_eq!(line["response_code_details"], case.details, "{name}");
            assert_eq!(line["reason"], case.reason, "{name}");
        }
    });
}

#[test]
fn nobody_listening_is_a_connect_failure() {
    run(async {
        let plan = Mesh::new().shop(Protocol::Http, &[unused().await], HttpRule::default()).plan();
        let proxy = outbound(plan).await;
        let answer = Wire::connect(proxy.address).await.get("/").await;
        assert_eq!(answer.status(), 503);
        assert_eq!(
            answer.body,
            "upstream connect error or disconnect/reset before headers. reset reason: \
             remote connection failure"
        );
        let line = proxy.line().await;
        assert_eq!(line["response_flags"], "UF");
        assert_eq!(line["reason"], "connect_failed");
        assert!(line["upstream_host"].is_string(), "the endpoint that was tried: {line}");
    });
}

#[test]
fn a_redirect_says_where_to() {
    run(async {
        let redirect = v1::Redirect {
            scheme: "https".to_owned(),
            path: "/new".to_owned(),
            status: 302,
            ..v1::Redirect::default()
        };
        let mesh = Mesh::new().shop(Protocol::Http, &[], rule(Action::Redirect(redirect)));
        let proxy = outbound(mesh.plan()).await;
        let answer = Wire::connect(proxy.address).await.get("/old?q=1").await;
        assert_eq!(answer.status(), 302);
        assert_eq!(answer.header("location"), Some("https://shop.example/new?q=1"));
        let line = proxy.line().await;
        assert_eq!(line["route_name"], "own");
        assert_eq!(line["reason"], "redirect");
    });
}

#[test]
fn grpc_is_refused_in_grpc() {
    run(async {
        let proxy =
            outbound(Mesh::new().shop(Protocol::Http, &[], HttpRule::default()).plan()).await;
        let answer = Wire::connect(proxy.address)
            .await
            .ask("POST /s/m HTTP/1.1\r\nhost: shop.example\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\n\r\n")
            .await;
        assert_eq!((answer.status(), answer.body.as_str()), (200, ""));
        assert_eq!(answer.header("grpc-status"), Some("14"));
        assert_eq!(answer.header("grpc-message"), Some("no healthy upstream"));
        assert_eq!(answer.header("content-type"), Some("application/grpc"));
        assert_eq!(proxy.line().await["response_flags"], "UH");
    });
}

#[test]
fn headers_are_limited() {
    run(async {
        let plan = || Mesh::new().shop(Protocol::Http, &[], HttpRule::default()).plan();
        let many = "x-a: 1\r\n".repeat(101);
        let large = format!("x-a: {}\r\n", "a".repeat(61 * 1024));
        for headers in [many, large] {
            let proxy = outbound(plan()).await;
            let mut client = Wire::connect(proxy.address).await;
            client.send(format!("GET / HTTP/1.1\r\nhost: {SHOP}\r\n{headers}\r\n")).await;
            assert_eq!(client.message().await.expect("an answer").status(), 431);
            let line = proxy.line().await;
            assert_eq!(line["response_code"], 431);
            assert_eq!(line["response_flags"], "DPE");
        }
    });
}

#[test]
fn what_is_no_http_is_answered_and_logged() {
    run(async {
        let proxy = outbound(Mesh::new().plan()).await;
        let mut client = Wire::connect(proxy.address).await;
        client.send("\u{1}\u{2}nonsense\r\n\r\n").await;
        assert_eq!(client.message().await.expect("an answer").status(), 400);
        assert!(client.is_closed().await);
        let line = proxy.line().await;
        assert_eq!((&line["response_code"], &line["reason"]), (&400.into(), &"bad_request".into()));
    });
}

#[test]
fn an_unknown_host_is_passed_through_to_where_it_was_dialled() {
    run(async {
        let proxy = outbound(Mesh::new().plan()).await;
        let answer = Wire::connect(proxy.address)
            .await
            .ask("GET / HTTP/1.1\r\nhost: other.example\r\n\r\n")
            .await;
        assert_eq!(answer.status(), 503);
        let line = proxy.line().await;
        assert_eq!(line["upstream_cluster"], "PassthroughCluster");
        assert_eq!(line["upstream_host"], DIALLED);
        assert_eq!(line["response_flags"], "UF");
    });
}

#[test]
fn details_that_do_not_come_have_a_reason_of_their_own() {
    run(async {
        let proxy = outbound(Mesh::new().entry_without_details(SHOP).plan()).await;
        let answer = Wire::connect(proxy.address).await.get("/").await;
        assert_eq!(answer.status(), 503);
        let line = proxy.line().await;
        let details = line["response_code_details"].as_str().expect("details");
        assert!(details.starts_with("lateen_"), "neither NR nor passthrough: {details}");
    });
}

#[test]
fn waiting_for_details_takes_nothing_of_the_applications_time() {
    run(async {
        let backend =
            Backend::answering(|_| "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned()).await;
        let rule = HttpRule { timeout_ms: 300, ..HttpRule::default() };
        let details = Mesh::new().shop(Protocol::Http, &[backend.address], rule).plan();
        let (plans, mut asked) = Plans::asking(Mesh::new().entry_without_details(SHOP).plan());
        let proxy = outbound_of(plans.clone()).await;
        let mut client = Wire::connect(proxy.address).await;
        client.send(get("/")).await;
        assert_eq!(asked.recv().await.as_deref(), Some(SHOP));
        tokio::time::sleep(Duration::from_millis(400)).await;
        plans.replace(details);
        assert_eq!(client.message().await.expect("an answer").status(), 200);
    });
}

#[test]
fn a_refused_upload_reads_its_answer() {
    run(async {
        let proxy =
            outbound(Mesh::new().shop(Protocol::Http, &[], HttpRule::default()).plan()).await;
        let mut client = Wire::connect(proxy.address).await;
        let body = "x".repeat(256 * 1024);
        client
            .send(format!(
                "POST / HTTP/1.1\r\nhost: {SHOP}\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            ))
            .await;
        assert_eq!(client.message().await.expect("an answer").status(), 503);
    });
}

#[test]
fn heads_have_no_body() {
    run(async {
        let backend = Backend::answering(|_| {
            "HTTP/1.1 200 OK\r\ncontent-length: 12\r\nx-app: 1\r\n\r\n".to_owned()
        })
        .await;
        let plan = Mesh::new().shop(Protocol::Http, &[backend.address], HttpRule::default()).plan();
        let proxy = outbound(plan).await;
        let mut client = Wire::connect(proxy.address).await;
        for _ in 0..2 {
            let answer = client.ask("HEAD / HTTP/1.1\r\nhost: shop.example\r\n\r\n").await;
            assert_eq!(answer.header("content-length"), Some("12"));
            assert_eq!(answer.header("x-app"), Some("1"));
        }
        assert_eq!(backend.connections(), 1);
        let absent = client.ask("HEAD / HTTP/1.1\r\nhost: other\r\nconnection: close\r\n\r\n");
        assert_eq!(absent.await.status(), 503);
        assert!(client.is_closed().await);
    });
}
