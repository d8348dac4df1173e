//! The native stream, from YAML to what a proxy has.

use std::fs;

use crate::support::{
    Mesh, Proxy, Seen,
    shop::{files, host, service, subscription, virtual_service},
};
use lateen_mesh::v1::resource::Body;
use tokio::time::{Duration, timeout};

async fn shop() -> Mesh {
    start(1 << 20).await
}

async fn start(chunk_bytes: usize) -> Mesh {
    let files = files();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, &**text)).collect();
    Mesh::with(&files, move |settings| settings.chunk_bytes = chunk_bytes).await
}

fn closure(service: &str) -> Vec<String> {
    let host = host(service);
    vec![
        format!("+destination/{host}/80/"),
        format!("+endpoints/{host}/80/0"),
        format!("+routes/{host}"),
    ]
}

/// Nothing comes for a while.
async fn silent(proxy: &mut Proxy) {
    let event = timeout(Duration::from_millis(300), proxy.stream.next()).await;
    assert!(event.is_err(), "unexpected {event:?}");
}

#[tokio::test]
async fn the_eager_part_comes_first_and_holds_no_details() {
    let mesh = shop().await;
    let mut proxy = mesh.proxy("shop/web-1", "shop/web");
    let names = proxy.cut().await;
    for name in ["+settings", "+inbound/shop/web-1", "+policy/istio-system/no-admin"] {
        assert!(names.iter().any(|other| other == name), "{name} is not in {names:?}");
    }
    assert!(names.iter().any(|name| name.starts_with("+directory/shop/")), "{names:?}");
    let details = ["+routes/", "+destination/", "+endpoints/", "+gateway/", "+inbound/shop/web-2"];
    for prefix in details {
        assert!(!names.iter().any(|name| name.starts_with(prefix)), "{prefix} is in {names:?}");
    }
    let Body::Settings(settings) = proxy.body("settings") else { panic!("no settings") };
    assert_eq!((&*settings.namespace, &*settings.trust_domain), ("shop", "cluster.local"));
    silent(&mut proxy).await;
}

#[tokio::test]
async fn a_subscription_brings_its_closure_and_takes_it_away() {
    let mesh = shop().await;
    let mut proxy = mesh.proxy("shop/web-1", "shop/web");
    proxy.cut().await;
    proxy.stream.subscribe([subscription("api")]);
    assert_eq!(proxy.cut().await, closure("api"));
    proxy.stream.unsubscribe([subscription("api")]);
    let went: Vec<String> = closure("api").iter().map(|name| name.replacen('+', "-", 1)).collect();
    assert_eq!(proxy.cut().await, went);
}

#[tokio::test]
async fn an_unknown_host_is_answered_and_followed() {
    let mesh = shop().await;
    let mut proxy = mesh.proxy("shop/web-1", "shop/web");
    proxy.cut().await;
    proxy.stream.subscribe([subscription("cart")]);
    assert_eq!(proxy.cut().await, [format!("-{}", subscription("cart"))]);
    mesh.write("cart.yaml", &service("shop", "cart", &[("cart-1", "10.1.3.1")]));
    let names = proxy.cut().await;
    for name in closure("cart") {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    assert!(names.iter().any(|name| name.starts_with("+directory/shop/")), "{names:?}");
    mesh.delete("cart.yaml");
    let names = proxy.cut().await;
    assert!(names.contains(&format!("-{}", subscription("cart"))), "{names:?}");
    assert!(names.contains(&format!("-routes/{}", host("cart"))), "{names:?}");
}

#[tokio::test]
async fn an_edit_goes_to_those_who_use_it() {
    let mesh = shop().await;
    let mut user = mesh.proxy("shop/web-1", "shop/web");
    let mut other = mesh.proxy("shop/db-1", "shop/db");
    user.cut().await;
    other.cut().await;
    user.stream.subscribe([subscription("api")]);
    user.cut().await;
    other.stream.subscribe([subscription("web")]);
    other.cut().await;

    let pods = [("api-1", "10.1.1.1"), ("api-2", "10.1.1.2")];
    mesh.write("api.yaml", &service("shop", "api", &pods));
    assert_eq!(user.cut().await, [format!("+endpoints/{}/80/0", host("api"))]);
    let Body::Endpoints(slice) = user.body(&format!("endpoints/{}/80/0", host("api"))) else {
        panic!("no endpoints")
    };
    assert_eq!(slice.endpoints.len(), 2);

    mesh.write("vs.yaml", &virtual_service("api", "api", "db"));
    let names = user.cut().await;
    assert!(names.contains(&format!("+routes/{}", host("api"))), "{names:?}");
    assert!(names.contains(&format!("+destination/{}/80/", host("db"))), "{names:?}");
    assert!(names.contains(&format!("+endpoints/{}/80/0", host("db"))), "{names:?}");
    assert!(names.contains(&format!("-endpoints/{}/80/0", host("api"))), "{names:?}");
    silent(&mut other).await;
}

#[tokio::test]
async fn a_gateway_takes_its_whole_scope() {
    let mesh = shop().await;
    let target = mesh.target("front/gateway");
    let mut gateway = Proxy::new(target, "router", "front/gateway-1", &["*"]);
    let names = gateway.cut().await;
    for name in ["+gateway/8080".to_owned(), "+gateway/8080/http/shop.example.com".to_owned()]
        .into_iter()
        .chain(closure("web").into_iter().filter(|name| !name.starts_with("+routes")))
    {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    assert!(!names.iter().any(|name| name.starts_with("+directory")), "{names:?}");
}

#[tokio::test]
async fn a_sidecar_takes_its_whole_scope_when_it_asks_to() {
    let mesh = shop().await;
    let target = mesh.target("shop/web");
    let mut proxy = Proxy::eager(target, "sidecar", "shop/web-1", &["*"], true);
    let names = proxy.cut().await;
    for name in ["web", "api", "db"].into_iter().flat_map(closure) {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
}

#[tokio::test]
async fn coming_back_transfers_nothing_that_is_known() {
    let mut mesh = shop().await;
    let mut proxy = mesh.proxy("shop/web-1", "shop/web");
    proxy.cut().await;
    proxy.stream.subscribe([subscription("api")]);
    proxy.cut().await;
    let before = proxy.versions();

    proxy.stream.reconnect();
    proxy.connect().await;
    silent(&mut proxy).await;

    mesh.stop().await;
    assert!(matches!(proxy.next().await, Seen::Disconnected(_)));
    mesh.restart().await;
    proxy.connect().await;
    silent(&mut proxy).await;
    assert_eq!(proxy.versions(), before);

    // What changed while it was away comes, and what went is removed; nothing else.
    mesh.stop().await;
    mesh.write("api.yaml", &service("shop", "api", &[("api-7", "10.1.1.7")]));
    mesh.delete("front.yaml");
    mesh.restart().await;
    let names = proxy.cut().await;
    assert!(names.contains(&format!("+endpoints/{}/80/0", host("api"))), "{names:?}");
    assert!(names.contains(&"-policy/istio-system/no-admin".to_owned()), "{names:?}");
    assert!(!names.contains(&"+settings".to_owned()), "{names:?}");
    assert!(!names.contains(&format!("+routes/{}", host("api"))), "{names:?}");
}

#[tokio::test]
async fn a_refused_cut_is_remembered_and_not_sent_again() {
    let mesh = shop().await;
    let mut proxy = mesh.proxy("shop/web-1", "shop/web");
    proxy.cut().await;
    proxy.stream.subscribe([subscription("api")]);
    proxy.cut().await;
    let routes = format!("routes/{}", host("api"));
    let good = proxy.versions();

    proxy.refuses = Some(routes.clone());
    mesh.write("vs.yaml", &virtual_service("api", "api", "db"));
    assert!(matches!(proxy.next().await, Seen::Refused(_)));
    assert_eq!(proxy.versions(), good);
    let status = proxy
        .undisturbed(async {
            crate::support::eventually("the refusal", || async {
                mesh.json("/debug/syncz").await[0]["status"] == "REFUSED"
            })
            .await;
            mesh.json("/debug/syncz").await
        })
        .await;
    assert_eq!(status[0]["proxy"], "web-1.shop");
    assert_eq!(status[0]["last_nack"], format!("{routes} is not to my taste"));
    let (_, metrics) = mesh.page("/metrics").await;
    assert!(metrics.contains("pilot_total_xds_rejects{type=\"native\"} 1"), "{metrics}");

    // Others go on, and so does whatever does not touch the refused cut.
    let mut other = mesh.proxy("shop/db-1", "shop/db");
    other.cut().await;
    mesh.write("web.yaml", &service("shop", "web", &[("web-1", "10.1.0.1")]));
    proxy.stream.subscribe([subscription("web")]);
    proxy
        .until("web", |proxy| proxy.resources.contains_key(&format!("routes/{}", host("web"))))
        .await;

    proxy.refuses = None;
    mesh.write("vs.yaml", &virtual_service("api", "api", "web"));
    proxy.until("the good route", |proxy| proxy.versions()[&routes] != good[&routes]).await;
    crate::support::eventually("the state is good", || async {
        mesh.json("/debug/syncz").await.as_array().is_some_and(|all| {
            all.iter().any(|proxy| proxy["proxy"] == "web-1.shop" && proxy["status"] == "SYNCED")
        })
    })
    .await;
}

#[tokio::test]
async fn a_proxy_that_does_not_answer_delays_nobody() {
    let mesh = shop().await;
    let mut slow = mesh.proxy("shop/web-1", "shop/web");
    // It takes the first cut, and never says so.
    slow.connect().await;
    let event = slow.event().await;
    assert!(matches!(event, lateen_xds::client::Event::Response(_)), "{event:?}");

    let mut quick = mesh.proxy("shop/web-2", "shop/web");
    quick.cut().await;
    quick.stream.subscribe([subscription("api")]);
    quick.cut().await;
    let endpoints = format!("endpoints/{}/80/0", host("api"));
    for last in 2..6 {
        let before = quick.versions();
        let (pod, address) = (format!("api-{last}"), format!("10.1.1.{last}"));
        mesh.write("api.yaml", &service("shop", "api", &[(&pod, &address)]));
        quick.until("the edit", |proxy| proxy.versions()[&endpoints] != before[&endpoints]).await;
    }
    let status = mesh.json("/debug/syncz").await;
    assert_eq!(status[0]["proxy"], "web-1.shop");
    assert_eq!(status[0]["status"], "PENDING");
    assert_eq!(status[0]["cut"], 0);
}

#[tokio::test]
async fn what_a_client_that_goes_changes_is_told_to_the_others() {
    let mesh = shop().await;
    let whole = service("shop", "db", &[("db-1", "10.1.2.1")]);
    let (endpoints, pod) = whole.rsplit_once("---").expect("a pod at the end");
    mesh.write("db.yaml", endpoints);
    mesh.write("pod.yaml", pod);
    let slice = format!("endpoints/{}/80/0", host("db"));
    let mut user = mesh.proxy("shop/web-1", "shop/web");
    user.cut().await;
    user.stream.subscribe([subscription("db")]);
    user.cut().await;
    let described = user.versions()[&slice].clone();
    for _ in 0..3 {
        let mut leaver = mesh.proxy("shop/db-1", "shop/db");
        leaver.until("the eager part", |proxy| proxy.resources.contains_key("settings")).await;
        // Its pod goes, while the endpoint stays: nobody knows whose it is.
        fs::remove_file(mesh.yaml().join("pod.yaml")).expect("it is removed");
        let Seen::Disconnected(_) = leaver.next().await else { panic!("still served") };
        user.until("the stranger", |proxy| proxy.versions()[&slice] != described).await;
        let mut other = mesh.proxy("shop/web-2", "shop/web");
        other.cut().await;
        other.stream.subscribe([subscription("db")]);
        other.cut().await;
        let expected = other.versions()[&slice].clone();
        user.until("the same", |proxy| proxy.versions()[&slice] == expected).await;
        mesh.write("pod.yaml", pod);
        user.until("the pod", |proxy| proxy.versions()[&slice] == described).await;
    }
}

#[tokio::test]
async fn clients_that_hang_up_at_any_moment_leave_nothing_behind() {
    let mesh = shop().await;
    for step in 0..200 {
        let mut proxy = mesh.proxy("shop/web-1", "shop/web");
        let patience = Duration::from_micros(step * 50);
        let _ = timeout(patience, async {
            loop {
                proxy.next().await;
            }
        })
        .await;
    }
    crate::support::eventually("all are gone", || async {
        mesh.json("/debug/syncz").await == serde_json::json!([])
    })
    .await;
    let mut proxy = mesh.proxy("shop/web-1", "shop/web");
    proxy.cut().await;
}

#[tokio::test]
async fn a_cut_that_breaks_off_anywhere_leaves_the_old_state_or_the_new() {
    let mesh = start(64).await;
    let mut proxy = mesh.proxy("shop/web-1", "shop/web");
    proxy.until("the eager part", |proxy| proxy.resources.contains_key("settings")).await;
    proxy.stream.subscribe([subscription("api")]);
    let routes = format!("routes/{}", host("api"));
    proxy.until("api", |proxy| proxy.resources.contains_key(&routes)).await;

    for (round, parts) in (0..8).enumerate() {
        let old = proxy.versions();
        // One batch: the route leads elsewhere, to a destination that was not there.
        let destination = if round % 2 == 0 { "db" } else { "api" };
        mesh.write("vs.yaml", &virtual_service("api", "api", destination));
        let mut taken = 0;
        let is_complete = loop {
            if taken == parts {
                break false;
            }
            match proxy.next().await {
                Seen::Part => taken += 1,
                Seen::Applied(_) => break true,
                // The round before ended with a whole cut, and then with the wire.
                Seen::Connected => {}
                other => panic!("{other:?}"),
            }
        };
        // The wire is cut here: nothing of an incomplete cut is visible, and the next connection
        // brings the rest, if only as much as was not known.
        assert_eq!(proxy.versions() == old, !is_complete, "after {parts} parts");
        proxy.disconnect();
        let endpoints = format!("endpoints/{}/80/0", host(destination));
        proxy.until("the new state", |proxy| proxy.resources.contains_key(&endpoints)).await;
        consistent(&proxy);
    }
}

/// Whatever a resource names is there.
fn consistent(proxy: &Proxy) {
    for name in proxy.names() {
        let named: Vec<String> = match proxy.body(name) {
            Body::Routes(routes) => routes
                .http
                .iter()
                .filter_map(|rule| match rule.action.as_ref()? {
                    lateen_mesh::v1::http_rule::Action::Forward(forward) => Some(forward),
                    _ => None,
                })
                .flat_map(|forward| &forward.backends)
                .map(|backend| {
                    let port = if backend.port == 0 { 80 } else { backend.port };
                    format!("destination/{}/{port}/{}", backend.host, backend.subset)
                })
                .collect(),
            Body::Destination(destination) => destination.endpoint_slices,
            Body::Inbound(inbound) => inbound.policies,
            _ => Vec::new(),
        };
        for other in named {
            assert!(proxy.resources.contains_key(&other), "{name} names {other}");
        }
    }
}

#[tokio::test]
async fn files_written_together_are_one_cut() {
    let mesh = shop().await;
    let mut proxy = mesh.proxy("shop/web-1", "shop/web");
    proxy.cut().await;
    proxy.stream.subscribe([subscription("api")]);
    proxy.cut().await;
    mesh.write("cart.yaml", &service("shop", "cart", &[("cart-1", "10.1.3.1")]));
    mesh.write("vs.yaml", &virtual_service("api", "api", "cart"));
    let names = proxy.cut().await;
    for name in [
        format!("+routes/{}", host("api")),
        format!("+destination/{}/80/", host("cart")),
        format!("+endpoints/{}/80/0", host("cart")),
    ] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    consistent(&proxy);
}

#[tokio::test]
async fn a_workload_that_goes_is_served_no_more_and_comes_back() {
    let mesh = shop().await;
    let mut proxy = mesh.proxy("shop/db-1", "shop/db");
    proxy.cut().await;
    let target_token = mesh.token("shop/db");
    mesh.delete("db.yaml");
    let Seen::Disconnected(end) = proxy.next().await else { panic!("still served") };
    assert_eq!(end.code, Some(tonic::Code::NotFound));
    assert!(end.reason.contains("shop/db-1"), "{}", end.reason);
    crate::support::eventually("the token is gone", || async {
        !mesh.state().join("tokens/shop/db").exists()
    })
    .await;
    mesh.write("db.yaml", &service("shop", "db", &[("db-1", "10.1.2.1")]));
    proxy.connect().await;
    assert_ne!(mesh.token("shop/db"), target_token);
}
