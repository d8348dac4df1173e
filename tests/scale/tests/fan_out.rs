//! What one change sends, to whom: 1,000 services with 10 endpoints each, 200 connected Envoys, three of
//! them real.

use std::collections::BTreeMap;
use std::time::Duration;

use lateen_scale_tests::client::{Client, Counts, Workload, since};
use lateen_scale_tests::envoy::Envoy;
use lateen_scale_tests::mesh::{Size, namespace};
use lateen_scale_tests::site::Site;
use lateen_scale_tests::wire::type_url;
use lateen_testkit::envoy;
use lateen_testkit::keys::Keys;

const SIZE: Size = Size { services: 1000, endpoints: 10, namespaces: 50 };

/// Simulated clients; with the real ones, 200.
const SIMULATED: usize = 197;

/// Namespaces whose workloads see no services but their own.
const SECLUDED: std::ops::Range<usize> = 40..50;

/// Where the service that changes is: not in a secluded namespace.
const CHANGED: usize = 7;

/// Real Envoys, each with the number of its namespace.
const REAL: [(&str, usize); 3] = [("real-1", 0), ("real-2", CHANGED), ("real-3", SECLUDED.start)];

/// How long the clients may take to have what they should.
const PATIENCE: Duration = Duration::from_secs(120);

/// What an edited route may cost each subscriber.
const MOST_BYTES: u64 = 2_000;

/// Whether workloads of a namespace see the service that changes.
fn sees(home: usize) -> bool {
    !SECLUDED.contains(&home)
}

struct Fleet {
    site: Site,
    /// With the number of its namespace.
    clients: Vec<(usize, Client)>,
    real: Vec<Envoy>,
}

impl Fleet {
    async fn start() -> Self {
        let all: String = (0..SIZE.services)
            .filter(|service| *service != CHANGED)
            .map(|service| SIZE.endpoints(service, |_| true))
            .collect();
        let secluded: String = SECLUDED.map(|number| Size::secluded(&namespace(number))).collect();
        let site = Site::start(&[
            ("mesh.yaml", &SIZE.yaml()),
            ("endpoints.yaml", &all),
            ("changed.yaml", &SIZE.endpoints(CHANGED, |_| true)),
            ("route.yaml", &SIZE.route(CHANGED, "before")),
            ("secluded.yaml", &secluded),
        ])
        .expect("a control plane");
        let mut clients = Vec::new();
        for number in 0..SIMULATED {
            let home = number % SIZE.namespaces;
            let workload =
                Workload { namespace: namespace(home), name: format!("simulated-{number}") };
            let client = Client::connect(site.discovery, &workload).await.expect("a client");
            clients.push((home, client));
        }
        let keys = Keys::start().await.expect("keys");
        let mut real = REAL.map(|(name, home)| {
            let workload = Workload { namespace: namespace(home), name: name.to_owned() };
            let binary = envoy::binary().expect("Envoy");
            Envoy::start(&binary, keys, &site.logs(), site.discovery, &workload)
                .expect("Envoy starts")
        });
        for (_, client) in &clients {
            until(|| client.complete()).await;
        }
        let per_namespace = SIZE.services / SIZE.namespaces;
        for (envoy, services) in real.iter_mut().zip([SIZE.services, SIZE.services, per_namespace])
        {
            envoy.settled(services as u64).expect("Envoy has everything");
        }
        Self { site, clients, real: real.into() }
    }

    /// How many updates each real Envoy has taken, of all kinds.
    fn updates(&self) -> Vec<u64> {
        let taken = |envoy: &Envoy| envoy.sum("", "update_success").expect("numbers");
        self.real.iter().map(taken).collect()
    }

    /// Waits until the real Envoys that see the service have taken one update more than `before`; the
    /// others none.
    async fn one_update_since(&self, before: &[u64]) {
        let expected: Vec<u64> = before
            .iter()
            .zip(REAL)
            .map(|(before, (_, home))| before + u64::from(sees(home)))
            .collect();
        until(|| {
            let now = self.updates();
            anyhow::ensure!(now == expected, "{before:?}, then {now:?}, not {expected:?}");
            Ok(())
        })
        .await;
    }

    fn counts(&self) -> Vec<Counts> {
        self.clients.iter().map(|(_, client)| client.counts()).collect()
    }

    /// Writes a file, and gives what each client got because of it.
    async fn change(&self, name: &str, text: &str, kind: &str) -> Vec<(usize, Counts)> {
        let before = self.counts();
        self.site.write(name, text).expect("a file");
        let mut all = Vec::new();
        for ((home, client), before) in self.clients.iter().zip(&before) {
            if sees(*home) {
                until(|| {
                    let came = since(before, &client.counts());
                    anyhow::ensure!(came.contains_key(kind), "nothing came: {came:?}");
                    Ok(())
                })
                .await;
            }
            all.push((*home, before));
        }
        // What else there is to send is sent and acknowledged by then.
        self.site.at_rest().expect("the control plane is at rest");
        all.into_iter()
            .zip(&self.clients)
            .map(|((home, before), (_, client))| (home, since(before, &client.counts())))
            .collect()
    }
}

async fn until(mut condition: impl FnMut() -> anyhow::Result<()>) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while condition().is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    if waited.await.is_err() {
        condition().expect("in time");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_reaches_its_subscribers_and_nobody_else() {
    let fleet = Fleet::start().await;

    let changed = SIZE.endpoints(CHANGED, |endpoint| endpoint != 3);
    let mut report = BTreeMap::new();
    let updates = fleet.updates();
    for (home, came) in fleet.change("changed.yaml", &changed, type_url::ENDPOINTS).await {
        if !sees(home) {
            assert_eq!(came, Counts::new(), "who does not see the service hears nothing");
            continue;
        }
        assert_eq!(came.keys().collect::<Vec<_>>(), [type_url::ENDPOINTS]);
        let count = came[type_url::ENDPOINTS];
        assert_eq!((count.responses, count.resources, count.removed), (1, 1, 0));
        report.insert("an endpoint", count.bytes);
    }
    fleet.one_update_since(&updates).await;

    let edited = SIZE.route(CHANGED, "after");
    let updates = fleet.updates();
    for (home, came) in fleet.change("route.yaml", &edited, type_url::VIRTUAL_HOST).await {
        if !sees(home) {
            assert_eq!(came, Counts::new(), "who does not see the route hears nothing");
            continue;
        }
        let bytes: u64 = came.values().map(|count| count.bytes).sum();
        assert!(bytes <= MOST_BYTES, "an edited route costs {bytes} bytes: {came:?}");
        assert_eq!(came[type_url::VIRTUAL_HOST].resources, 1, "{came:?}");
        report.insert("a route", bytes);
    }
    fleet.one_update_since(&updates).await;
    println!("bytes to each subscriber: {report:?}");

    assert_eq!(fleet.site.refused().expect("a count"), 0.0);
    for envoy in &fleet.real {
        assert_eq!(envoy.sum("", "update_rejected").expect("numbers"), 0);
        envoy.content().expect("no complaint");
    }
}
