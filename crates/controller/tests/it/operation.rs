//! What can be seen from outside, and how it starts and stops.

use std::{fs, net::SocketAddr, time::Duration};

use crate::support::{
    Mesh, Proxy, Seen,
    shop::{files, service, subscription, virtual_service},
};
use lateen_controller::{Controller, Settings, StartError};

async fn shop() -> Mesh {
    let files = files();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, &**text)).collect();
    Mesh::start(&files).await
}

#[tokio::test]
async fn health_version_and_metrics_are_served() {
    let mesh = shop().await;
    assert_eq!(mesh.page("/ready").await, (200, "ready\n".to_owned()));
    assert_eq!(mesh.page("/version").await.0, 200);
    assert_eq!(mesh.page("/nothing").await.0, 404);
    let (status, page) = mesh.page("/metrics").await;
    assert_eq!(status, 200);
    for line in ["pilot_services 3", "pilot_virt_services 1", "istio_build{"] {
        assert!(page.contains(line), "{line} is not in\n{page}");
    }
}

#[tokio::test]
async fn the_status_follows_each_proxy() {
    let mesh = shop().await;
    assert_eq!(mesh.json("/debug/syncz").await, serde_json::json!([]));
    let mut proxy = mesh.proxy("shop/web-1", "shop/web");
    proxy.cut().await;
    let synced = || async { mesh.json("/debug/syncz").await[0]["status"] == "SYNCED" };
    proxy.undisturbed(crate::support::eventually("the first cut is taken", synced)).await;
    let status = mesh.json("/debug/syncz").await;
    assert_eq!(status[0]["proxy"], "web-1.shop");
    assert_eq!(status[0]["proxy_type"], "sidecar");
    assert_eq!(status[0]["cut"], 1);
    assert_eq!(status[0]["pending"], 0);
    assert_eq!(status[0]["hosts"], 0);
    assert_eq!(status[0]["last_nack"], serde_json::Value::Null);
    assert_eq!(status[0]["proxy_version"], "test");

    mesh.write("cart.yaml", &service("shop", "cart", &[("cart-1", "10.1.3.1")]));
    proxy.cut().await;
    let taken = || async { mesh.json("/debug/syncz").await[0]["cut"] == 2 };
    proxy.undisturbed(crate::support::eventually("the second cut is taken", taken)).await;
    let (_, page) = mesh.page("/metrics").await;
    assert!(page.contains("pilot_proxy_convergence_time_count 1"), "{page}");
    assert!(page.contains("pilot_xds_pushes{type=\"native\"} 2"), "{page}");

    // An agent's own stream is no further proxy, and has no more than what the agent reads.
    let target = mesh.target("shop/web");
    let mut agent = Proxy::saying(target, "sidecar", "shop/web-1", &["*"], &["LATEEN_AGENT"]);
    agent.cut().await;
    assert_eq!(agent.names(), ["inbound/shop/web-1", "settings"]);
    assert_eq!(mesh.json("/debug/syncz").await.as_array().map(Vec::len), Some(1));
    let (_, page) = mesh.page("/metrics").await;
    assert!(page.contains("pilot_xds{version=\"0.1.0\"} 1"), "{page}");
    drop(agent);

    drop(proxy);
    let gone = || async { mesh.json("/debug/syncz").await == serde_json::json!([]) };
    crate::support::eventually("the proxy is gone", gone).await;
}

#[tokio::test]
async fn diagnostics_come_from_reading_and_from_linking() {
    let mesh = shop().await;
    mesh.write("broken.yaml", "apiVersion: v1\nkind: [");
    mesh.write("vs.yaml", &virtual_service("api", "api", "nowhere"));
    let has = |code: &'static str, text: &'static str| {
        let mesh = &mesh;
        move || async move {
            let all = mesh.json("/debug/diagnostics").await;
            let all = all.as_array().expect("a list").clone();
            all.iter().any(|one| {
                let message = one["message"].as_str().unwrap_or_default();
                one["code"] == code
                    && (message.contains(text)
                        || one["file"].as_str().unwrap_or_default().contains(text))
            })
        }
    };
    crate::support::eventually("the syntax error", has("syntax", "broken.yaml")).await;

    // What links badly is known when somebody uses it.
    let mut proxy = mesh.proxy("shop/web-1", "shop/web");
    proxy.cut().await;
    proxy.stream.subscribe([subscription("api")]);
    proxy.cut().await;
    let all = mesh.json("/debug/diagnostics").await;
    let linked = all.as_array().expect("a list").iter().any(|one| {
        one["object"] == "VirtualService shop/api"
            && one["message"].as_str().is_some_and(|message| message.contains("nowhere"))
    });
    assert!(linked, "{all:#}");

    fs::remove_file(mesh.yaml().join("broken.yaml")).unwrap();
    let gone = || async {
        let all = mesh.json("/debug/diagnostics").await;
        all.as_array().is_some_and(|all| all.iter().all(|one| one["code"] != "syntax"))
    };
    crate::support::eventually("the syntax error is gone", gone).await;
}

#[tokio::test]
async fn a_broken_file_changes_nothing_for_proxies() {
    let mesh = shop().await;
    let mut proxy = mesh.proxy("shop/web-1", "shop/web");
    proxy.cut().await;
    proxy.stream.subscribe([subscription("api")]);
    proxy.cut().await;
    mesh.write("api.yaml", "apiVersion: v1\nkind: [");
    let reported = || async {
        let all = mesh.json("/debug/diagnostics").await;
        all.as_array().is_some_and(|all| all.iter().any(|one| one["code"] == "syntax"))
    };
    proxy.undisturbed(crate::support::eventually("the syntax error", reported)).await;
    let quiet = tokio::time::timeout(Duration::from_millis(200), proxy.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
}

#[tokio::test]
async fn an_old_stream_ends_and_its_client_comes_back_for_nothing() {
    let files = files();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, &**text)).collect();
    let age = Duration::from_millis(300);
    let mesh = Mesh::with(&files, move |settings| settings.max_stream_age = age).await;
    let mut proxy = mesh.proxy("shop/web-1", "shop/web");
    proxy.cut().await;
    let mut ends = 0;
    while ends < 3 {
        match proxy.next().await {
            Seen::Disconnected(end) => {
                assert_eq!(end.code, Some(tonic::Code::Ok));
                ends += 1;
            }
            Seen::Connected => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn the_servers_certificate_rotates_while_proxies_connect() {
    let files = files();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, &**text)).collect();
    let lifetime = Duration::from_secs(2);
    let mesh = Mesh::with(&files, move |settings| {
        settings.serving_lifetime = lifetime;
        // Tokens count in whole seconds.
        settings.token_lifetime = 2 * lifetime;
    })
    .await;
    let token = mesh.token("shop/web");
    let mut proxy = mesh.proxy("shop/web-1", "shop/web");
    proxy.cut().await;
    let deadline = tokio::time::Instant::now() + 4 * lifetime;
    let mut connections = 0;
    while tokio::time::Instant::now() < deadline {
        proxy.disconnect();
        // Neither the certificate that was served first nor the first token would do by now.
        match proxy.next().await {
            Seen::Connected => connections += 1,
            other => panic!("after {connections} connections: {other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(connections > 10, "{connections}");
    assert_ne!(mesh.token("shop/web"), token);
}

#[tokio::test]
async fn stopping_ends_streams_with_a_reason() {
    let mut mesh = shop().await;
    let mut proxy = mesh.proxy("shop/web-1", "shop/web");
    proxy.cut().await;
    let (seen, ()) = tokio::join!(proxy.next(), mesh.stop());
    let Seen::Disconnected(end) = seen else { panic!("{seen:?}") };
    assert_eq!(end.code, Some(tonic::Code::Unavailable));
    assert!(end.reason.contains("stopping"), "{}", end.reason);
    assert!(tokio::net::TcpStream::connect(mesh.discovery()).await.is_err());
}

#[tokio::test]
async fn dropping_it_stops_it_too() {
    let mut mesh = shop().await;
    let mut proxy = mesh.proxy("shop/web-1", "shop/web");
    proxy.cut().await;
    mesh.abandon();
    let Seen::Disconnected(end) = proxy.next().await else { panic!("still connected") };
    assert!(!end.reason.is_empty());
    crate::support::eventually("the port is free", || async {
        tokio::net::TcpListener::bind(mesh.discovery()).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_start_that_fails_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let missing = Settings::new(folder.path().join("none"), listen, folder.path().join("state"));
    let error = Controller::start(missing).await.expect_err("there is no folder");
    assert!(matches!(error, StartError::Source(_)), "{error}");

    let taken = std::net::TcpListener::bind(listen).unwrap();
    let address = taken.local_addr().unwrap();
    let busy = Settings::new(folder.path(), address, folder.path().join("state"));
    let error = Controller::start(busy).await.expect_err("the port is taken");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}
