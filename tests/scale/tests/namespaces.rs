//! What another namespace with clients costs the control plane: little, since most of what its clients see
//! is what others see.

use std::time::Duration;

use lateen_scale_tests::client::{Client, Workload};
use lateen_scale_tests::mesh::{Size, namespace};
use lateen_scale_tests::site::Site;

const SIZE: Size = Size { services: 1000, endpoints: 2, namespaces: 16 };

/// Megabytes (PSS) for each namespace whose clients take all services. It takes about one; a copy of
/// what all of them see would be seven.
const MOST: f64 = 2.5;

/// How long a client may take to have everything.
const PATIENCE: Duration = Duration::from_secs(120);

async fn connect(site: &Site, number: usize) -> Client {
    let workload = Workload { namespace: namespace(number), name: format!("simulated-{number}") };
    let client = Client::connect(site.discovery, &workload).await.expect("a client");
    let complete = tokio::time::timeout(PATIENCE, async {
        while client.complete().is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    if complete.await.is_err() {
        client.complete().expect("in time");
    }
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn a_further_namespace_costs_little() {
    let endpoints: String = (0..SIZE.services).map(|it| SIZE.endpoints(it, |_| true)).collect();
    let site = Site::start(&[("mesh.yaml", &SIZE.yaml()), ("endpoints.yaml", &endpoints)])
        .expect("a control plane");
    // What is there once for all comes with the first of them, and what an allocator keeps ready.
    let mut clients = Vec::new();
    for number in 0..4 {
        clients.push(connect(&site, number).await);
    }
    let before = site.memory().expect("it runs");
    for number in 4..SIZE.namespaces {
        clients.push(connect(&site, number).await);
    }
    let after = site.memory().expect("it runs");
    let further = f64::from(u32::try_from(SIZE.namespaces - 4).expect("few"));
    let each = (after - before) / further;
    println!(
        "{before:.0} MB with 4 namespaces, {after:.0} MB with {}: {each:.2} MB each",
        SIZE.namespaces
    );
    assert!(each <= MOST, "a further namespace costs {each:.2} MB");
}
