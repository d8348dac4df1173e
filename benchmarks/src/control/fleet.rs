//! All clients of one mode.

use std::fmt;
use std::time::{Duration, Instant};

use lateen_scale_tests::client::{Client as Envoy, Count, Counts, Workload};
use lateen_scale_tests::mesh::{Size, namespace};
use lateen_scale_tests::site::Site;
use lateen_scale_tests::wire::type_url;
use tokio::task::JoinSet;

use super::load::{Writer, pod_name};
use super::native::{self, Identity};

/// How long anything else than connecting may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Services that a native client uses.
const USED: usize = 20;

/// How often it is looked whether something has come; when it came is noted where it comes.
const PAUSE: Duration = Duration::from_millis(10);

/// What is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// An endpoint comes or goes.
    Endpoint,
    /// A route is edited.
    Route,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Endpoint => "an endpoint more or less",
            Self::Route => "an edited route",
        })
    }
}

/// Clients that are about to connect.
pub enum Waiting {
    Native { site: std::net::SocketAddr, root: String, identities: Vec<Identity> },
    Envoys { site: std::net::SocketAddr, workloads: Vec<Workload> },
}

/// Clients that have connected.
pub struct Fleet(Vec<Member>);

enum Member {
    Native(native::Client),
    Envoy(Envoy),
}

impl Member {
    fn complete(&self) -> anyhow::Result<()> {
        match self {
            Self::Native(client) => client.complete(),
            Self::Envoy(client) => client.complete(),
        }
    }

    fn counts(&self) -> Counts {
        match self {
            Self::Native(client) => client.counts(),
            Self::Envoy(client) => client.counts(),
        }
    }

    fn bytes(&self) -> u64 {
        self.counts().into_values().map(|count| count.bytes).sum()
    }

    /// Whether it hears of changes of a host.
    fn hears_of(&self, host: &str) -> bool {
        match self {
            Self::Native(client) => client.uses(host),
            Self::Envoy(_) => true,
        }
    }

    fn arrived(&self, change: Change) -> (Count, Option<Instant>) {
        match (self, change) {
            (Self::Native(client), Change::Endpoint) => client.arrived("endpoints"),
            (Self::Native(client), Change::Route) => client.arrived("routes"),
            (Self::Envoy(client), Change::Endpoint) => client.arrived(type_url::ENDPOINTS),
            (Self::Envoy(client), Change::Route) => client.arrived(type_url::VIRTUAL_HOST),
        }
    }
}

impl Fleet {
    /// Native clients: each uses the first service, which all of them do, and those of its own namespace.
    pub async fn native(
        site: &Site,
        writer: &Writer,
        size: Size,
        clients: usize,
    ) -> anyhow::Result<Waiting> {
        let root = writer.root(&namespace(0)).await?;
        let mut identities = Vec::with_capacity(clients);
        for number in 0..clients {
            let service = number % size.services;
            let (namespace, pod) =
                (size.namespace(service), pod_name(service, number / size.services));
            let own = (service % size.namespaces..size.services).step_by(size.namespaces);
            let mut hosts: Vec<String> =
                std::iter::once(0).chain(own).take(USED).map(|it| size.host(it)).collect();
            hosts.dedup();
            let token = writer.token(&namespace, &pod).await?;
            identities.push(Identity { namespace, pod, token, hosts });
        }
        Ok(Waiting::Native { site: site.native, root, identities })
    }

    /// Envoys.
    pub fn envoys(site: &Site, size: Size, clients: usize) -> Waiting {
        let workload = |number: usize| {
            let service = number % size.services;
            Workload {
                namespace: size.namespace(service),
                name: pod_name(service, number / size.services),
            }
        };
        Waiting::Envoys { site: site.discovery, workloads: (0..clients).map(workload).collect() }
    }

    /// Bytes that came to all of them.
    pub fn bytes(&self) -> u64 {
        self.0.iter().map(Member::bytes).sum()
    }

    /// Bytes that came to one of them, by kind of resource.
    pub fn counts_of_one(&self) -> Counts {
        self.0.first().map(Member::counts).unwrap_or_default()
    }

    /// How many hear of changes of a host.
    pub fn listeners(&self, host: &str) -> usize {
        self.0.iter().filter(|member| member.hears_of(host)).count()
    }

    /// Listens for a change of a host that follows.
    pub fn listen(&self, change: Change, host: &str) -> Listening {
        let before = self.0.iter().map(|each| Before {
            hears: each.hears_of(host),
            responses: each.arrived(change).0.responses,
            bytes: each.bytes(),
        });
        Listening { change, before: before.collect() }
    }
}

impl Waiting {
    /// Connects all of them at once; comes back when each has everything.
    pub async fn connect(self, patience: Duration) -> anyhow::Result<Fleet> {
        let mut members = Vec::new();
        match self {
            Self::Native { site, root, identities } => {
                let tls = native::tls(&root)?;
                members.extend(identities.into_iter().map(|identity| {
                    Member::Native(native::Client::connect(site, tls.clone(), identity))
                }));
            }
            Self::Envoys { site, workloads } => {
                let mut connecting = JoinSet::new();
                for workload in workloads {
                    connecting.spawn(async move { Envoy::connect(site, &workload).await });
                }
                while let Some(client) = connecting.join_next().await {
                    members.push(Member::Envoy(client??));
                }
            }
        }
        let deadline = Instant::now() + patience;
        for member in &members {
            while let Err(missing) = member.complete() {
                anyhow::ensure!(Instant::now() < deadline, "not in time: {missing:#}");
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(Fleet(members))
    }
}

/// What each client had before a change.
pub struct Listening {
    change: Change,
    before: Vec<Before>,
}

struct Before {
    /// The client is to hear of the change.
    hears: bool,
    /// Responses of the kind.
    responses: u64,
    /// Bytes of all kinds.
    bytes: u64,
}

impl Listening {
    /// When the last of those who are to hear of it did.
    pub async fn last(&self, fleet: &Fleet) -> anyhow::Result<Instant> {
        let deadline = Instant::now() + PATIENCE;
        let mut last: Option<Instant> = None;
        let members = fleet.0.iter().zip(&self.before);
        for (member, before) in members.filter(|(_, before)| before.hears) {
            loop {
                let (count, at) = member.arrived(self.change);
                if count.responses > before.responses {
                    last = last.max(at);
                    break;
                }
                member.complete()?;
                anyhow::ensure!(Instant::now() < deadline, "a client heard nothing of a change");
                tokio::time::sleep(PAUSE).await;
            }
        }
        last.ok_or_else(|| anyhow::anyhow!("nobody is to hear of it"))
    }

    /// Bytes to the client that was sent most.
    ///
    /// # Errors
    /// When a client was sent something of which it was not to hear.
    pub fn most_bytes(&self, fleet: &Fleet) -> anyhow::Result<u64> {
        let mut most = 0;
        for (member, before) in fleet.0.iter().zip(&self.before) {
            let bytes = member.bytes() - before.bytes;
            anyhow::ensure!(before.hears || bytes == 0, "{bytes} bytes to a client of other hosts");
            most = most.max(bytes);
        }
        Ok(most)
    }
}
