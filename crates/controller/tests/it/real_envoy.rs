//! Delta ADS, asked by a real Envoy.

use crate::support::{
    Mesh, eventually,
    real_envoy::{Envoy, is_alone},
    shop::{files, service, virtual_service},
};

async fn shop(count: u8) -> Mesh {
    let mut files = files();
    let many = (0..count).map(|index| {
        service(
            "shop",
            &format!("s{index}"),
            &[(&format!("s{index}-1"), &format!("10.2.0.{index}"))],
        )
    });
    files.push(("many.yaml", many.collect::<Vec<_>>().join("---")));
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, &**text)).collect();
    Mesh::with(&files, |settings| {
        settings.plaintext = Some(([127, 0, 0, 1], 0).into());
        settings.compiler.local = false;
    })
    .await
}

async fn synced(mesh: &Mesh) {
    eventually("Envoy has everything", async || {
        let status = mesh.json("/debug/syncz").await;
        let all = status.as_array().expect("a list");
        !all.is_empty()
            && all.iter().all(|one| one["status"] == "SYNCED" && one["envoy"]["lds"] == "SYNCED")
    })
    .await;
}

fn rule(name: &str, timeout: u8) -> String {
    format!(
        "
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}, namespace: shop}}
spec:
  host: {name}.shop.svc.cluster.local
  trafficPolicy: {{connectionPool: {{tcp: {{connectTimeout: {timeout}s}}}}}}
"
    )
}

/// Waits until a page of Envoy's has a text.
macro_rules! shows {
    ($envoy:expr, $page:ident, $text:expr) => {
        let deadline = tokio::time::Instant::now() + crate::support::LIMIT;
        loop {
            let page = $envoy.$page().await;
            if page.contains($text) {
                break;
            }
            assert!(tokio::time::Instant::now() < deadline, "{} is not in {page}", $text);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
}

async fn follows(count: u8) {
    let mut mesh = shop(count).await;
    let folder = tempfile::tempdir().expect("a folder");
    let mut envoy = Envoy::start(&mesh, "sidecar", "shop/web-1", folder.path()).await;
    envoy.live().await;
    synced(&mesh).await;
    envoy.is_well().await;
    let active = envoy.active().await;
    for name in [
        "outbound|80||api.shop.svc.cluster.local",
        "inbound|8080||",
        "virtualInbound",
        "0.0.0.0_80",
    ] {
        assert!(active.iter().any(|other| other == name), "{name} is not in {active:?}");
    }

    mesh.write("route.yaml", &virtual_service("db", "db", "api"));
    shows!(envoy, routes, "shop/virtual-service/db");
    mesh.write("api.yaml", &service("shop", "api", &[("api-1", "10.1.1.7")]));
    shows!(envoy, endpoints, "10.1.1.7");
    mesh.write("rule.yaml", &rule("api", 3));
    let late = service("shop", "late", &[("late-1", "10.1.7.1")]);
    mesh.write("late.yaml", &(late + "---" + &virtual_service("web", "web", "late")));
    shows!(envoy, endpoints, "outbound|80||late.shop.svc.cluster.local::10.1.7.1");
    for step in 0..20 {
        mesh.write("rule.yaml", &rule("api", 4 + step));
        mesh.write(
            "route.yaml",
            &virtual_service("db", "db", ["api", "web"][usize::from(step % 2)]),
        );
        let address = format!("10.3.0.{step}");
        mesh.write("api.yaml", &service("shop", "api", &[("api-1", &address)]));
        mesh.write("other.yaml", &service("shop", &format!("o{}", step % 3), &[("o-1", &address)]));
    }
    shows!(envoy, endpoints, "outbound|80||api.shop.svc.cluster.local::10.3.0.19");
    synced(&mesh).await;
    mesh.delete("late.yaml");
    mesh.delete("other.yaml");
    mesh.delete("route.yaml");
    let deadline = tokio::time::Instant::now() + crate::support::LIMIT;
    while envoy.active().await.iter().any(|name| name.contains("||late.")) {
        assert!(tokio::time::Instant::now() < deadline, "the service does not go");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    synced(&mesh).await;
    envoy.is_well().await;

    // Without the control plane it works on, and it comes back when that does.
    let address = mesh.plaintext();
    mesh.stop().await;
    mesh.write("api.yaml", &service("shop", "api", &[("api-1", "10.1.1.8")]));
    mesh.restart_with(move |settings| settings.plaintext = Some(address)).await;
    shows!(envoy, endpoints, "10.1.1.8");
    synced(&mesh).await;
    envoy.is_well().await;
}

#[tokio::test]
async fn an_envoy_follows_the_mesh() {
    if is_alone("real_envoy::an_envoy_follows_the_mesh") {
        follows(4).await;
    }
}

#[tokio::test]
async fn an_envoy_follows_a_mesh_of_many_virtual_hosts() {
    if is_alone("real_envoy::an_envoy_follows_a_mesh_of_many_virtual_hosts") {
        follows(60).await;
    }
}

#[tokio::test]
async fn a_table_may_grow_until_its_virtual_hosts_are_resources_and_shrink_again() {
    if !is_alone(
        "real_envoy::a_table_may_grow_until_its_virtual_hosts_are_resources_and_shrink_again",
    ) {
        return;
    }
    let mesh = shop(0).await;
    let folder = tempfile::tempdir().expect("a folder");
    let mut envoy = Envoy::start(&mesh, "sidecar", "shop/web-1", folder.path()).await;
    envoy.live().await;
    for round in 0..3 {
        let many = (0..40).map(|index| service("shop", &format!("r{round}-{index}"), &[]));
        mesh.write("grown.yaml", &many.collect::<Vec<_>>().join("---"));
        shows!(envoy, routes, &format!("80/r{round}-39.shop.svc.cluster.local:80"));
        mesh.write("route.yaml", &virtual_service("db", "db", "api"));
        shows!(envoy, routes, "shop/virtual-service/db");
        synced(&mesh).await;
        envoy.is_well().await;
        mesh.delete("route.yaml");
        mesh.delete("grown.yaml");
        let deadline = tokio::time::Instant::now() + crate::support::LIMIT;
        while envoy.routes().await.contains("\"80/") {
            assert!(tokio::time::Instant::now() < deadline, "{}", envoy.routes().await);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        shows!(envoy, routes, "\"db.shop.svc.cluster.local:80\"");
        synced(&mesh).await;
        envoy.is_well().await;
    }
}

#[tokio::test]
async fn a_gateway_is_served() {
    if !is_alone("real_envoy::a_gateway_is_served") {
        return;
    }
    let mesh = shop(2).await;
    let folder = tempfile::tempdir().expect("a folder");
    let mut envoy = Envoy::start(&mesh, "router", "front/gateway-1", folder.path()).await;
    envoy.live().await;
    synced(&mesh).await;
    envoy.is_well().await;
    let active = envoy.active().await;
    assert!(active.iter().any(|name| name == "0.0.0.0_8080"), "{active:?}");
    shows!(envoy, routes, "shop.example.com");
}
