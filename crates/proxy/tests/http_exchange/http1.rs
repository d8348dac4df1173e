//! HTTP/1 on both sides.

use lateen_mesh::v1::{HttpRule, Protocol};

use crate::mesh::{Mesh, SHOP};
use crate::proxies::{outbound, run};
use crate::wire::{Backend, Wire, ok};

#[test]
fn a_request_passes_with_its_headers_and_the_connection_stays() {
    run(async {
        let backend = Backend::echo().await;
        let plan = Mesh::new().shop(Protocol::Http, &[backend.address], HttpRule::default()).plan();
        let proxy = outbound(plan).await;
        let mut client = Wire::connect(proxy.address).await;

        let first = client
            .ask(&format!("GET /a?b=c HTTP/1.1\r\nHost: {SHOP}\r\nX-One: 1\r\nConnection: keep-alive\r\n\r\n"))
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
        let plan = Mesh::new().shop(Protocol::Http, &[backend.address], HttpRule::default()).plan();
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
        assert_eq!((&lines[0]["bytes_received"], &lines[0]["bytes_sent"]), (&11.into(), &11.into()));
        assert_eq!(lines[1]["bytes_received"], 3);
    });
}
