//! Delta ADS for Envoys, over real connections, by a client that is driven by hand.

use std::collections::BTreeMap;

use crate::support::{
    Mesh,
    envoy::{Client, mentions, node},
    eventually,
    shop::{files, service, virtual_service},
};
use lateen_envoy::Kind;
use tokio::time::{Duration, timeout};

/// Lets the web see the api only.
const SIDECAR: &str = "
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: web, namespace: shop}
spec:
  workloadSelector: {labels: {app: web}}
  egress: [{hosts: ['./api.shop.svc.cluster.local']}]
";

/// What is counted when something that people write was read: the shop, and one more.
const PUSHED: &str = "pilot_push_triggers{type=\"config\"} 4";

async fn shop() -> Mesh {
    start(&[]).await
}

/// The shop, with more files.
async fn start(more: &[(&str, String)]) -> Mesh {
    let mut files = files();
    files.extend(more.iter().map(|(name, text)| (*name, text.clone())));
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, &**text)).collect();
    Mesh::with(&files, |settings| {
        settings.plaintext = Some(([127, 0, 0, 1], 0).into());
        settings.compiler.local = false;
    })
    .await
}

fn cluster(service: &str) -> String {
    format!("outbound|80||{service}.shop.svc.cluster.local")
}

async fn web(mesh: &Mesh) -> Client {
    Client::connect(mesh, node("sidecar", "shop/web-1", &[])).await
}

/// A client that has everything.
async fn settled(mesh: &Mesh) -> Client {
    let mut client = web(mesh).await;
    client.take_all(&["80"]).await;
    client.silent().await;
    client
}

#[tokio::test]
async fn a_sidecar_takes_everything_in_order() {
    let mesh = shop().await;
    let client = settled(&mesh).await;
    let clusters = client.all(Kind::Cluster);
    for name in [&cluster("web"), "PassthroughCluster", "BlackHoleCluster", "inbound|8080||"] {
        assert!(clusters.contains(&name), "{name} is not in {clusters:?}");
    }
    let listeners = client.all(Kind::Listener);
    for name in ["virtualOutbound", "virtualInbound", "0.0.0.0_80"] {
        assert!(listeners.contains(&name), "{name} is not in {listeners:?}");
    }
    assert_eq!(client.all(Kind::Endpoints), [cluster("api"), cluster("db"), cluster("web")]);
    let endpoints = client.body(Kind::Endpoints, &cluster("api")).unwrap();
    assert!(mentions(endpoints, "10.1.1.1"));
    assert_eq!(client.all(Kind::Routes), ["80"]);

    let status = mesh.json("/debug/syncz").await;
    assert_eq!(status[0]["proxy"], "web-1.shop");
    assert_eq!(status[0]["data_plane"], "envoy");
    assert_eq!(status[0]["status"], "SYNCED");
    assert_eq!(status[0]["envoy"]["cds"], "SYNCED");
    assert_eq!(status[0]["envoy"]["sds"], serde_json::Value::Null);
}

#[tokio::test]
async fn an_endpoints_change_is_one_resource_to_its_subscribers() {
    let mesh = shop().await;
    let (mut one, mut other) = (settled(&mesh).await, settled(&mesh).await);
    other.give_back(Kind::Endpoints, &[&cluster("api")]);
    let seen = one.log.len();
    let moved = service("shop", "api", &[("api-1", "10.1.1.1"), ("api-2", "10.1.1.2")]);
    mesh.write("api.yaml", &moved);
    let came = one.next().await;
    assert_eq!((came.kind, came.names), (Kind::Endpoints, vec![format!("+{}", cluster("api"))]));
    assert_eq!(one.log.len(), seen + 1);
    one.silent().await;
    other.silent().await;
}

#[tokio::test]
async fn what_is_asked_for_is_always_answered() {
    let mesh = shop().await;
    let mut client = settled(&mesh).await;
    client.ask(Kind::Endpoints, &["outbound|80||nobody"]);
    let seen = client.next().await;
    assert_eq!((seen.kind, &*seen.names), (Kind::Endpoints, &["+outbound|80||nobody".into()][..]));
    // The first field of a ClusterLoadAssignment is its name.
    let body = client.body(Kind::Endpoints, "outbound|80||nobody").unwrap();
    assert_eq!(&**body, b"\x0a\x13outbound|80||nobody");

    client.ask(Kind::Routes, &["7"]);
    let seen = client.next().await;
    assert_eq!((seen.kind, &*seen.names), (Kind::Routes, &["+7".into()][..]));
    client.ask(Kind::Secret, &["kubernetes://shop/none"]);
    let seen = client.next().await;
    assert_eq!((seen.kind, &*seen.names), (Kind::Secret, &["-kubernetes://shop/none".into()][..]));

    // What comes to be later is sent.
    mesh.write("late.yaml", &service("shop", "late", &[("late-1", "10.1.5.1")]).replace("80", "7"));
    client
        .until("the routes of the new port", |client| {
            client.body(Kind::Routes, "7").is_some_and(|body| body.len() > 5)
        })
        .await;
}

#[tokio::test]
async fn a_route_never_names_a_cluster_that_has_not_come() {
    let mesh = shop().await;
    let mut client = settled(&mesh).await;
    let seen = client.log.len();
    let new = service("shop", "new", &[("new-1", "10.1.6.1")]);
    mesh.write("new.yaml", &(new + "---" + &virtual_service("web", "web", "new")));
    client
        .until("the route", |client| {
            client.body(Kind::Routes, "80").is_some_and(|body| mentions(body, &cluster("new")))
        })
        .await;
    let name = format!("+{}", cluster("new"));
    let came: Vec<Kind> =
        client.since(seen).iter().filter(|(_, n)| *n == name).map(|(k, _)| *k).collect();
    assert_eq!(came, [Kind::Cluster, Kind::Endpoints]);
    assert_eq!(client.log.last().map(|seen| seen.kind), Some(Kind::Routes));

    // Away it goes the other way round; the cluster only when the route was acknowledged.
    let seen = client.log.len();
    mesh.delete("new.yaml");
    let routes = loop {
        let response = client.receive().await;
        assert_ne!(response.removed_resources, [cluster("new")]);
        if response.type_url == Kind::Routes.type_url() {
            break response;
        }
        client.take(response);
    };
    client.silent().await;
    client.take(routes);
    client
        .until("the cluster's end", |client| client.body(Kind::Cluster, &cluster("new")).is_none())
        .await;
    let gone = client.since(seen);
    let place = |kind, name: &str| gone.iter().position(|seen| *seen == (kind, name));
    assert!(place(Kind::Routes, "+80") < place(Kind::Cluster, &format!("-{}", cluster("new"))));
}

#[tokio::test]
async fn endpoints_are_sent_again_after_each_change_of_their_cluster() {
    let mesh = shop().await;
    let mut client = settled(&mesh).await;
    let rule = "
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: api, namespace: shop}
spec:
  host: api.shop.svc.cluster.local
  trafficPolicy: {connectionPool: {tcp: {connectTimeout: 3s}}}
";
    let before = client.body(Kind::Endpoints, &cluster("api")).cloned();
    mesh.write("rule.yaml", rule);
    let first = client.next().await;
    assert_eq!(first.kind, Kind::Cluster);
    assert!(first.names.contains(&format!("+{}", cluster("api"))), "{first:?}");
    let second = client.next().await;
    assert_eq!(
        (second.kind, second.names),
        (Kind::Endpoints, vec![format!("+{}", cluster("api"))])
    );
    assert_eq!(client.body(Kind::Endpoints, &cluster("api")).cloned(), before);
    client.silent().await;
}

/// A mesh whose route configuration is so large that its virtual hosts are resources of their own.
fn many(count: u8) -> Vec<(&'static str, String)> {
    let all = (0..count).map(|index| service("shop", &format!("s{index}"), &[]));
    vec![("many.yaml", all.collect::<Vec<_>>().join("---"))]
}

fn virtual_host(service: &str) -> String {
    format!("80/{service}.shop.svc.cluster.local:80")
}

#[tokio::test]
async fn virtual_hosts_come_with_their_route_configuration() {
    let mesh = start(&many(40)).await;
    let mut client = settled(&mesh).await;
    assert!(client.all(Kind::VirtualHost).is_empty());
    // Envoy asks for them when it has the route configuration, naming nothing.
    client.ask(Kind::VirtualHost, &[]);
    client.until("virtual hosts", |client| client.all(Kind::VirtualHost).len() >= 43).await;
    client.silent().await;

    // An edit sends one, and little.
    mesh.write("route.yaml", &virtual_service("web", "web", "api"));
    let seen = client.next().await;
    assert_eq!(
        (seen.kind, seen.names),
        (Kind::VirtualHost, vec![format!("+{}", virtual_host("web"))])
    );
    assert!(seen.bytes < 2000, "{}", seen.bytes);
    // Nothing names the web itself any more.
    client.settle().await;
    let rest = client.since(client.log.len() - 1);
    assert_eq!(rest, [(Kind::Cluster, &*format!("-{}", cluster("web")))]);

    // A service that goes: its virtual host first, its cluster last.
    let length = client.log.len();
    mesh.delete("db.yaml");
    client
        .until("its cluster's end", |client| client.body(Kind::Cluster, &cluster("db")).is_none())
        .await;
    let gone = client.since(length);
    let place = |kind, name: String| gone.iter().position(|seen| *seen == (kind, name.as_str()));
    let host = place(Kind::VirtualHost, format!("-{}", virtual_host("db")));
    assert!(
        host.is_some() && host < place(Kind::Cluster, format!("-{}", cluster("db"))),
        "{gone:?}"
    );

    // Asked for anew, the route configuration is answered, and its virtual hosts are sent again.
    client.has.remove(&Kind::VirtualHost);
    client.give_back(Kind::Routes, &["80"]);
    client.ask(Kind::Routes, &["80"]);
    let seen = client.next().await;
    assert_eq!((seen.kind, &*seen.names), (Kind::Routes, &["+80".to_owned()][..]));
    client.until("virtual hosts", |client| client.all(Kind::VirtualHost).len() >= 42).await;
    client.silent().await;
}

#[tokio::test]
async fn coming_back_transfers_nothing_that_is_known() {
    let mesh = start(&many(40)).await;
    let mut client = settled(&mesh).await;
    client.ask(Kind::VirtualHost, &[]);
    client.until("virtual hosts", |client| client.all(Kind::VirtualHost).len() >= 43).await;
    let had: BTreeMap<Kind, Vec<String>> =
        client.has.iter().map(|(kind, has)| (*kind, has.keys().cloned().collect())).collect();
    let mut client = client.come_back(&mesh, node("sidecar", "shop/web-1", &[])).await;
    client.silent().await;
    eventually("it is synced", async || {
        let status = mesh.json("/debug/syncz").await;
        status.as_array().is_some_and(|all| all.len() == 1 && all[0]["status"] == "SYNCED")
    })
    .await;

    // Something changed meanwhile, and something went.
    drop(std::mem::take(&mut client.log));
    let away = client;
    mesh.write("api.yaml", &service("shop", "api", &[("api-1", "10.1.1.7")]));
    mesh.delete("db.yaml");
    mesh.write("route.yaml", &virtual_service("web", "web", "api"));
    eventually("the mesh is read", async || {
        let (_, page) = mesh.page("/metrics").await;
        page.contains("pilot_virt_services 2")
    })
    .await;
    let mut client = away.come_back(&mesh, node("sidecar", "shop/web-1", &[])).await;
    client
        .until("its cluster's end", |client| client.body(Kind::Cluster, &cluster("db")).is_none())
        .await;
    client.silent().await;
    let mut came = client.since(0);
    came.sort_unstable();
    came.dedup();
    let (api, web, db) = (cluster("api"), virtual_host("web"), virtual_host("db"));
    for (kind, name) in [
        (Kind::Endpoints, format!("+{api}")),
        (Kind::VirtualHost, format!("+{web}")),
        (Kind::VirtualHost, format!("-{db}")),
    ] {
        assert!(came.contains(&(kind, name.as_str())), "{kind:?} {name} is not in {came:?}");
    }
    // No route names `web` any more: it goes with `db`, and nothing else comes or goes.
    let gone = [format!("-{}", cluster("db")), format!("-{}", cluster("web"))];
    let others = came.iter().filter(|(kind, name)| {
        !(matches!(kind, Kind::Cluster | Kind::Endpoints) && gone.iter().any(|gone| gone == name))
    });
    assert_eq!(others.count(), 3, "{came:?}");
    assert!(had[&Kind::Cluster].len() > came.len());
}

#[tokio::test]
async fn what_is_refused_is_held_back_and_the_rest_goes_on() {
    let mesh = start(&many(40)).await;
    let mut client = settled(&mesh).await;
    client.ask(Kind::VirtualHost, &[]);
    client.until("virtual hosts", |client| client.all(Kind::VirtualHost).len() >= 43).await;
    // It cannot stand one that names the api; it does not say which.
    client.refuses = Box::new(|kind, name, body| {
        let bad = kind == Kind::VirtualHost
            && name == "80/web.shop.svc.cluster.local:80"
            && mentions(body, &cluster("api"));
        bad.then(|| "there is something wrong".to_owned())
    });
    let routes = virtual_service("web", "web", "api")
        + "---"
        + &virtual_service("db", "db", "api")
        + "---"
        + &virtual_service("s1", "s1", "api");
    mesh.write("routes.yaml", &routes);
    let is_new = |client: &Client, name: &str| {
        let body = client.body(Kind::VirtualHost, &virtual_host(name));
        body.is_some_and(|body| mentions(body, &cluster("api")))
    };
    client.until("the good ones", |client| is_new(client, "db") && is_new(client, "s1")).await;
    client.settle().await;
    eventually("the refusal shows", async || {
        let status = mesh.json("/debug/syncz").await;
        status[0]["envoy"]["vhds"] == "REFUSED"
            && status[0]["status"] == "REFUSED"
            && status[0]["last_nack"] == "there is something wrong"
    })
    .await;
    assert!(!is_new(&client, "web"));
    let (_, metrics) = mesh.page("/metrics").await;
    let rejects =
        metrics.lines().find(|line| line.starts_with("pilot_total_xds_rejects{type=\"vhds\"}"));
    assert!(rejects.is_some_and(|line| !line.ends_with(" 0")), "{rejects:?}");

    // Other kinds go on, and when it changes it is sent.
    mesh.write("api.yaml", &service("shop", "api", &[("api-1", "10.1.1.7")]));
    let seen = client.next().await;
    assert_eq!(seen.kind, Kind::Endpoints);
    mesh.write("routes.yaml", &virtual_service("web", "web", "db"));
    client
        .until("the corrected one", |client| {
            let body = client.body(Kind::VirtualHost, &virtual_host("web"));
            body.is_some_and(|body| mentions(body, &cluster("db")))
        })
        .await;
    eventually("it is synced", async || mesh.json("/debug/syncz").await[0]["status"] == "SYNCED")
        .await;
}

#[tokio::test]
async fn by_plain_text_a_node_is_believed_unless_the_record_knows_better() {
    let mesh = shop().await;
    mesh.write("sidecar.yaml", SIDECAR);
    eventually("the mesh is read", async || mesh.page("/metrics").await.1.contains(PUSHED)).await;
    // A pod that nobody applied is what it says, one that somebody applied is not.
    for (workload, label, is_selected) in
        [("stranger", "web", true), ("stranger", "api", false), ("web-1", "api", true)]
    {
        let node = node("sidecar", &format!("shop/{workload}"), &[("app", label)]);
        let mut client = Client::connect(&mesh, node).await;
        client.take_all(&["80"]).await;
        let clusters = client.all(Kind::Cluster);
        assert_eq!(!clusters.contains(&&*cluster("db")), is_selected, "{workload}: {clusters:?}");
    }

    // One of another namespace than its metadata says is refused.
    let mut liar = node("sidecar", "shop/liar", &[]);
    liar.id = "sidecar~10.9.9.9~liar.front~front.svc.cluster.local".to_owned();
    let mut refused = AdsProbe::open(&mesh, liar).await;
    let status = refused.status().await;
    assert_eq!(status.code(), tonic::Code::InvalidArgument, "{status:?}");
    assert!(status.message().contains("NAMESPACE"), "{status:?}");

    // A gateway gets no keys.
    let mut gateway = Client::connect(&mesh, node("router", "front/gateway-1", &[])).await;
    gateway.take_all(&["http.8080"]).await;
    assert!(gateway.all(Kind::Listener).contains(&"0.0.0.0_8080"), "{:?}", gateway.log);
}

/// A call that is expected to be refused.
struct AdsProbe {
    call: Result<(), tonic::Status>,
}

impl AdsProbe {
    async fn open(mesh: &Mesh, node: lateen_xds::wire::Node) -> Self {
        use lateen_xds::wire::{
            DeltaDiscoveryRequest,
            aggregated_discovery_service_client::AggregatedDiscoveryServiceClient,
        };
        let address = format!("http://{}", mesh.plaintext());
        let mut client =
            AggregatedDiscoveryServiceClient::connect(address).await.expect("a connection");
        let first = DeltaDiscoveryRequest {
            node: Some(node),
            type_url: Kind::Cluster.type_url().to_owned(),
            ..DeltaDiscoveryRequest::default()
        };
        let call = client.delta_aggregated_resources(tokio_stream::iter([first])).await;
        Self { call: call.map(drop) }
    }

    async fn status(&mut self) -> tonic::Status {
        self.call.clone().expect_err("a refusal")
    }
}

#[tokio::test]
async fn a_client_of_another_scope_is_sent_the_difference() {
    let mesh = shop().await;
    let mut client = settled(&mesh).await;
    let seen = client.log.len();
    mesh.write("sidecar.yaml", SIDECAR);
    client
        .until("what it may not see goes", |client| {
            client.body(Kind::Cluster, &cluster("db")).is_none()
        })
        .await;
    client.silent().await;
    let came = client.since(seen);
    assert!(client.body(Kind::Cluster, &cluster("api")).is_some());
    let again = (Kind::Endpoints, format!("+{}", cluster("api")));
    assert!(!came.contains(&(again.0, again.1.as_str())), "{came:?}");
    mesh.delete("sidecar.yaml");
    client
        .until("it comes back", |client| client.body(Kind::Endpoints, &cluster("db")).is_some())
        .await;
}

#[tokio::test]
async fn many_clients_share_and_only_subscribers_hear() {
    let mesh = start(&many(40)).await;
    let mut clients = Vec::new();
    for index in 0..200 {
        let name = format!("shop/client-{index}");
        clients.push(Client::connect(&mesh, node("sidecar", &name, &[])).await);
    }
    let mut tasks = tokio::task::JoinSet::new();
    for mut client in clients {
        tasks.spawn(async move {
            client.take_all(&["80"]).await;
            client.ask(Kind::VirtualHost, &[]);
            client.until("virtual hosts", |c| c.all(Kind::VirtualHost).len() >= 43).await;
            client
        });
    }
    let mut clients = tasks.join_all().await;
    eventually("all are synced", async || {
        let status = mesh.json("/debug/syncz").await;
        status.as_array().is_some_and(|all| all.iter().all(|one| one["status"] == "SYNCED"))
    })
    .await;
    let (subscribers, rest) = clients.split_at_mut(100);
    for client in rest.iter_mut() {
        client.give_back(Kind::Endpoints, &[&cluster("api")]);
    }
    mesh.write("api.yaml", &service("shop", "api", &[("api-1", "10.1.1.9")]));
    for client in subscribers {
        let seen = client.next().await;
        assert_eq!(
            (seen.kind, seen.names),
            (Kind::Endpoints, vec![format!("+{}", cluster("api"))])
        );
    }
    let quiet = rest.iter_mut().map(|client| timeout(Duration::from_millis(100), client.receive()));
    for quiet in quiet {
        assert!(quiet.await.is_err());
    }
}
