//! HTTP/2 on either side or both.

use std::cell::RefCell;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};
use lateen_engine::upstream::alpn;
use lateen_mesh::v1::{self, HttpRule, Protocol};
use tokio::net::{TcpListener, TcpStream};

use crate::mesh::{Mesh, SHOP, inbound as workload, retries};
use crate::proxies::{self, Ca, Taking, outbound, run, settings};
use crate::wire::{Backend, Wire, ok};

/// A connection of a client.
async fn connect(address: SocketAddr) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(address).await.expect("connected");
    let (sender, connection) = h2::client::handshake(stream).await.expect("a handshake");
    tokio::task::spawn_local(async move {
        // How it ends is seen by the streams.
        let _ = connection.await;
    });
    sender
}

fn request(method: &str, path: &str) -> Request<()> {
    Request::builder()
        .method(method)
        .uri(format!("http://{SHOP}{path}"))
        .version(Version::HTTP_2)
        .body(())
        .expect("a request")
}

/// What came back.
#[derive(Debug)]
struct Answer {
    head: http::response::Parts,
    body: String,
    trailers: Option<HeaderMap>,
}

async fn read(body: &mut RecvStream) -> Result<(String, Option<HeaderMap>), h2::Error> {
    let mut text = String::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        text += std::str::from_utf8(&data).expect("text");
    }
    Ok((text, body.trailers().await?))
}

async fn send(
    sender: &SendRequest<Bytes>,
    request: Request<()>,
    body: Option<&str>,
) -> Result<Answer, h2::Error> {
    let mut sender = sender.clone().ready().await?;
    let (response, mut stream) = sender.send_request(request, body.is_none())?;
    if let Some(body) = body {
        stream.send_data(Bytes::copy_from_slice(body.as_bytes()), true)?;
    }
    let (head, mut body) = response.await?.into_parts();
    let (body, trailers) = read(&mut body).await?;
    Ok(Answer { head, body, trailers })
}

/// A back end of HTTP/2; `serve` is given each stream, with its number from 0.
async fn backend<F>(
    serve: impl Fn(Request<RecvStream>, SendResponse<Bytes>, usize) -> F + 'static,
) -> SocketAddr
where
    F: Future<Output = ()> + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let serve = Rc::new(serve);
    let count = Rc::new(RefCell::new(0));
    tokio::task::spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (serve, count) = (Rc::clone(&serve), Rc::clone(&count));
            tokio::task::spawn_local(async move {
                let mut connection = h2::server::handshake(stream).await.expect("a handshake");
                while let Some(Ok((request, respond))) = connection.accept().await {
                    let number = *count.borrow();
                    *count.borrow_mut() += 1;
                    tokio::task::spawn_local(serve(request, respond, number));
                }
            });
        }
    });
    address
}

/// Answers like a gRPC server: what came, and a status in trailers.
async fn grpc_echo(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, _: usize) {
    let (head, mut body) = request.into_parts();
    let (text, _) = read(&mut body).await.expect("a body");
    let mut response = Response::new(());
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    let seen = format!("{:?} {} {}", head.version, head.method, head.uri);
    response.headers_mut().insert("x-seen", HeaderValue::try_from(seen).expect("valid"));
    let mut stream = respond.send_response(response, false).expect("a head");
    stream.send_data(Bytes::from(text), false).expect("data");
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("5"));
    trailers.insert("grpc-message", HeaderValue::from_static("none such"));
    stream.send_trailers(trailers).expect("trailers");
}

fn shop(protocol: Protocol, address: SocketAddr) -> std::sync::Arc<lateen_engine::Plan> {
    Mesh::new().shop(protocol, &[address], HttpRule::default()).plan()
}

#[test]
fn grpc_passes_with_its_trailers() {
    run(async {
        let address = backend(grpc_echo).await;
        let proxy = outbound(shop(Protocol::Grpc, address)).await;
        let sender = connect(proxy.address).await;
        let mut call = request("POST", "/shop.Shop/Get");
        call.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
        call.headers_mut().insert("te", HeaderValue::from_static("trailers"));
        let answer = send(&sender, call, Some("\0\0\0\0\u{5}hello")).await.expect("an answer");
        assert_eq!(answer.head.status, StatusCode::OK);
        assert_eq!(answer.body, "\0\0\0\0\u{5}hello");
        assert_eq!(
            answer.head.headers["x-seen"],
            "HTTP/2.0 POST http://shop.example/shop.Shop/Get"
        );
        let trailers = answer.trailers.expect("trailers");
        assert_eq!(trailers["grpc-status"], "5");
        assert_eq!(trailers["grpc-message"], "none such");
        let line = proxy.line().await;
        assert_eq!(line["protocol"], "HTTP/2");
        assert_eq!(line["response_flags"], "-");
        let metrics: String = proxy.metrics();
        assert!(metrics.contains("grpc_response_status=\"5\""), "{metrics}");
        assert!(metrics.contains("request_protocol=\"grpc\""), "{metrics}");
        assert!(metrics.contains("istio_request_messages_total{"), "{metrics}");
    });
}

#[test]
fn many_exchanges_share_connections() {
    run(async {
        let address = backend(grpc_echo).await;
        let proxy = outbound(shop(Protocol::Http2, address)).await;
        let sender = connect(proxy.address).await;
        let body = "x".repeat(300 * 1024);
        let mut calls = Vec::new();
        for number in 0..20 {
            let (sender, body) = (sender.clone(), body.clone());
            calls.push(tokio::task::spawn_local(async move {
                let sender = sender.ready().await.expect("ready");
                exchange(sender, &format!("/{number}"), &body).await
            }));
        }
        for call in calls {
            assert_eq!(call.await.expect("no panic"), body.len());
        }
    });
}

/// Sends a body at the pace of the windows, and reads one back. Its length.
async fn exchange(mut sender: SendRequest<Bytes>, path: &str, body: &str) -> usize {
    let (response, mut stream) = sender.send_request(request("POST", path), false).expect("sent");
    let mut rest = Bytes::copy_from_slice(body.as_bytes());
    let upload = async {
        while !rest.is_empty() {
            stream.reserve_capacity(rest.len());
            let capacity = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
            let piece = capacity.expect("open").expect("capacity").min(rest.len());
            let piece = rest.split_to(piece);
            stream.send_data(piece, rest.is_empty()).expect("sent");
        }
    };
    let download = async {
        let mut body = response.await.expect("a response").into_body();
        read(&mut body).await.expect("a body").0.len()
    };
    tokio::join!(upload, download).1
}

#[test]
fn each_side_may_speak_its_own_version() {
    run(async {
        let http1 = Backend::echo().await;
        let proxy = outbound(shop(Protocol::Http, http1.address)).await;
        let sender = connect(proxy.address).await;
        let mut get = request("GET", "/two-to-one");
        get.headers_mut().append("cookie", HeaderValue::from_static("a=1"));
        get.headers_mut().append("cookie", HeaderValue::from_static("b=2"));
        let answer = send(&sender, get, None).await.expect("an answer");
        assert!(answer.body.starts_with("GET /two-to-one HTTP/1.1\n"), "{}", answer.body);
        assert!(answer.body.contains("host: shop.example\n"), "{}", answer.body);
        assert!(answer.body.contains("cookie: a=1; b=2\n"), "{}", answer.body);
        assert!(answer.head.headers.get("connection").is_none());
        let post = send(&sender, request("POST", "/"), Some("body")).await.expect("an answer");
        assert!(post.body.contains("transfer-encoding: chunked\n"), "{}", post.body);
        assert!(post.body.ends_with("\n\nbody"), "{}", post.body);

        let proxy = outbound(shop(Protocol::Http2, backend(grpc_echo).await)).await;
        let mut client = Wire::connect(proxy.address).await;
        let answer = client
            .ask("POST /one-to-two HTTP/1.1\r\nhost: shop.example\r\ncontent-length: 4\r\n\r\nbody")
            .await;
        assert_eq!(answer.body, "body");
        assert_eq!(answer.header("x-seen"), Some("HTTP/2.0 POST http://shop.example/one-to-two"));
        assert_eq!(client.get("/again").await.status(), 200, "the connection stays");
    });
}

#[test]
fn an_undeclared_protocol_keeps_the_callers_version() {
    run(async {
        let proxy = proxies::sniffed(shop(Protocol::Auto, backend(grpc_echo).await)).await;
        let sender = connect(proxy.address).await;
        let answer = send(&sender, request("GET", "/"), None).await.expect("an answer");
        assert_eq!(answer.head.headers["x-seen"], "HTTP/2.0 GET http://shop.example/");

        let proxy = proxies::sniffed(shop(Protocol::Auto, Backend::echo().await.address)).await;
        let answer = Wire::connect(proxy.address).await.get("/").await;
        assert!(answer.body.starts_with("GET / HTTP/1.1\n"), "{}", answer.body);
    });
}

#[test]
fn a_reset_of_the_endpoint_reaches_the_client_with_its_code() {
    run(async {
        let address = backend(|request, mut respond, _| async move {
            let mut stream = respond.send_response(Response::new(()), false).expect("a head");
            stream.send_data(Bytes::from_static(b"half"), false).expect("data");
            drop(request);
            tokio::time::sleep(std::time::Duration::from_millis(30)).await;
            stream.send_reset(Reason::ENHANCE_YOUR_CALM);
        })
        .await;
        let proxy = outbound(shop(Protocol::Http2, address)).await;
        let sender = connect(proxy.address).await;
        let error = send(&sender, request("GET", "/"), None).await.expect_err("a reset");
        assert_eq!(error.reason(), Some(Reason::ENHANCE_YOUR_CALM));
        let line = proxy.line().await;
        assert_eq!(line["reason"], "upstream_reset_midway");
        assert_eq!(line["response_flags"], "UR");
        assert_eq!(line["response_code"], 200);
    });
}

#[test]
fn a_refused_stream_is_tried_again() {
    run(async {
        let address = backend(|_request, mut respond, number| async move {
            if number == 0 {
                respond.send_reset(Reason::REFUSED_STREAM);
            } else {
                respond.send_response(Response::new(()), true).expect("a head");
            }
        })
        .await;
        let rule = HttpRule { retries: retries(2, "refused-stream"), ..HttpRule::default() };
        let proxy = outbound(Mesh::new().shop(Protocol::Http2, &[address], rule).plan()).await;
        let sender = connect(proxy.address).await;
        let answer = send(&sender, request("GET", "/"), None).await.expect("an answer");
        assert_eq!(answer.head.status, StatusCode::OK);
    });
}

#[test]
fn a_reset_of_the_client_cancels_the_request() {
    run(async {
        let cancelled = Rc::new(RefCell::new(None));
        let seen = Rc::clone(&cancelled);
        let address = backend(move |_request, mut respond, _| {
            let seen = Rc::clone(&seen);
            async move {
                let reason = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
                *seen.borrow_mut() = Some(reason.expect("a reset"));
            }
        })
        .await;
        let proxy = outbound(shop(Protocol::Http2, address)).await;
        let mut sender = connect(proxy.address).await;
        let (response, mut stream) =
            sender.send_request(request("POST", "/"), false).expect("sent");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        stream.send_reset(Reason::CANCEL);
        drop((stream, response));
        while cancelled.borrow().is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        assert_eq!(*cancelled.borrow(), Some(Reason::CANCEL));
        let line = proxy.line().await;
        assert_eq!(line["reason"], "downstream_reset");
        // The connection goes on.
        assert!(sender.ready().await.is_ok());
    });
}

#[test]
fn a_connection_that_says_goaway_is_replaced() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let connections = Rc::new(RefCell::new(0));
        let counter = Rc::clone(&connections);
        tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *counter.borrow_mut() += 1;
                tokio::task::spawn_local(async move {
                    let mut connection = h2::server::handshake(stream).await.expect("a handshake");
                    while let Some(Ok((_, mut respond))) = connection.accept().await {
                        respond.send_response(Response::new(()), true).expect("a head");
                        connection.graceful_shutdown();
                    }
                });
            }
        });
        let proxy = outbound(shop(Protocol::Http2, address)).await;
        let mut client = Wire::connect(proxy.address).await;
        for _ in 0..5 {
            assert_eq!(client.get("/").await.status(), 200);
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert_eq!(*connections.borrow(), 5);
    });
}

#[test]
fn a_drain_says_goaway_and_finishes_what_is_in_flight() {
    run(async {
        let backend = Backend::start(|mut wire, _| async move {
            wire.message().await.expect("a request");
            tokio::time::sleep(std::time::Duration::from_millis(80)).await;
            wire.send(ok("finished")).await;
        })
        .await;
        let proxy = outbound(shop(Protocol::Http, backend.address)).await;
        let stream = TcpStream::connect(proxy.address).await.expect("connected");
        let (mut sender, connection) = h2::client::handshake(stream).await.expect("a handshake");
        let closed = tokio::task::spawn_local(connection);
        let (response, _) = sender.send_request(request("GET", "/"), true).expect("sent");
        while backend.connections() == 0 {
            tokio::task::yield_now().await;
        }
        proxy.drain();
        let mut body = response.await.expect("an answer").into_body();
        assert_eq!(read(&mut body).await.expect("a body").0, "finished");
        closed.await.expect("no panic").expect("a clean end");
    });
}

#[test]
fn http1_travels_over_http2_between_native_peers_and_arrives_as_itself() {
    run(async {
        for (protocol, travels) in [(alpn::NATIVE, "h2"), (alpn::HTTP11, "http/1.1")] {
            let application = Backend::echo().await;
            let ca = Ca::new();
            let web = workload(application.address, Protocol::Http);
            let taking = Taking::Mesh(protocol);
            let port = application.address.port();
            let server = proxies::inbound(Mesh::new().inbound(web).plan(), &ca, port, taking).await;
            let mesh = Mesh::new().shop(Protocol::Http, &[server.address], HttpRule::default());
            let client = proxies::outbound_with(mesh.mesh_tls().plan(), &ca, settings()).await;
            let mut wires = Vec::new();
            for _ in 0..3 {
                wires.push(Wire::connect(client.address).await);
            }
            for wire in &mut wires {
                let answer = wire.get("/through").await;
                assert_eq!(answer.status(), 200, "{travels}: {}", answer.body);
                assert!(answer.body.starts_with("GET /through HTTP/1.1\n"), "{}", answer.body);
                assert!(!answer.body.contains("x-lateen"), "{}", answer.body);
                assert!(!answer.body.contains("x-envoy-peer-metadata"), "{}", answer.body);
                let client_cert = "x-forwarded-client-cert: \
                    By=spiffe://cluster.local/ns/shop/sa/web;Hash=";
                assert!(answer.body.contains(client_cert), "{}", answer.body);
                let subject = "Subject=\"\";URI=spiffe://cluster.local/ns/shop/sa/caller";
                assert!(answer.body.contains(subject), "{}", answer.body);
                assert_eq!(answer.header("x-envoy-peer-metadata"), None);
                assert_eq!(answer.header("x-envoy-decorator-operation"), None);
            }
            let lines = server.log(3).await;
            assert!(lines.iter().all(|line| line["protocol"] == "HTTP/1.1"), "{lines:?}");
            let metrics = server.metrics();
            assert!(metrics.contains("source_workload=\"caller\""), "{metrics}");
            assert!(
                metrics.contains("source_principal=\"spiffe://cluster.local/ns/shop/sa/caller\""),
                "{metrics}"
            );
            let metrics = client.metrics();
            assert!(metrics.contains("destination_workload=\"web\""), "{metrics}");
        }
    });
}

#[test]
fn a_refusal_tells_its_reason_to_the_peer_that_proved_itself() {
    run(async {
        let application = Backend::echo().await;
        let ca = Ca::new();
        let mut web = workload(application.address, Protocol::Http);
        web.policies = vec!["policy/shop/none".to_owned()];
        // An ALLOW policy without rules allows nothing.
        let policy = v1::AuthorizationPolicy {
            namespace: "shop".to_owned(),
            name: "none".to_owned(),
            ..v1::AuthorizationPolicy::default()
        };
        let plan = Mesh::new().inbound(web).policy("none", policy).plan();
        let port = application.address.port();
        let server = proxies::inbound(plan, &ca, port, Taking::Mesh(alpn::NATIVE)).await;
        let mesh = Mesh::new().shop(Protocol::Http, &[server.address], HttpRule::default());
        let client = proxies::outbound_with(mesh.mesh_tls().plan(), &ca, settings()).await;
        let answer = Wire::connect(client.address).await.get("/").await;
        assert_eq!((answer.status(), answer.body.as_str()), (403, "RBAC: access denied"));
        assert_eq!(answer.header("x-lateen-reason"), Some("authorization_denied"));
        let line = server.line().await;
        assert_eq!(line["response_code_details"], "rbac_access_denied_matched_policy[none]");
        assert_eq!(application.connections(), 0);
    });
}

#[test]
fn an_idle_connection_says_goaway() {
    run(async {
        let mut settings = settings();
        settings.timeouts.http_idle = std::time::Duration::from_millis(80);
        let backend = Backend::echo().await;
        let plan = shop(Protocol::Http, backend.address);
        let proxy = proxies::outbound_with(plan, &Ca::new(), settings).await;
        let stream = TcpStream::connect(proxy.address).await.expect("connected");
        let (sender, connection) = h2::client::handshake(stream).await.expect("a handshake");
        let closed = tokio::task::spawn_local(connection);
        let answer = send(&sender, request("GET", "/"), None).await.expect("an answer");
        assert_eq!(answer.head.status, StatusCode::OK);
        closed.await.expect("no panic").expect("a clean end");
    });
}
