//! Everything that can be set.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use lateen_compiler::Options;

/// Where a control plane is at home.
#[derive(Debug, Clone)]
pub enum Place {
    /// A folder of YAML.
    Directory {
        /// The folder with the mesh's YAML, followed as it changes.
        dir: PathBuf,
        /// The state folder: root certificate, keys, tokens, the accounts of workloads.
        state: PathBuf,
    },
    /// A cluster of Kubernetes.
    Cluster(Cluster),
}

/// A cluster.
#[derive(Clone)]
pub struct Cluster {
    /// How its API server is reached.
    pub client: kube::Client,
    /// Who this is among the control planes of the mesh: the name of its pod.
    pub identity: String,
}

/// Why a cluster cannot be asked anything.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig is of no use.
    #[error("the kubeconfig {file} is of no use: {source}", file = file.display())]
    Kubeconfig {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: Box<kube::config::KubeconfigError>,
    },
    /// This is no pod of a cluster.
    #[error("this does not run in a cluster ({0}); name a kubeconfig")]
    NotInCluster(#[from] kube::config::InClusterError),
    /// No client can be made.
    #[error("no client for the API server can be made: {0}")]
    Client(#[from] Box<kube::Error>),
}

impl Cluster {
    /// The cluster of a kubeconfig, or the one that this runs in. Nothing is asked yet.
    ///
    /// # Errors
    /// The kubeconfig is of no use, or there is no cluster about.
    pub async fn connect(
        kubeconfig: Option<&Path>,
        identity: impl Into<String>,
    ) -> Result<Self, ConnectError> {
        let mut config = match kubeconfig {
            Some(file) => {
                let failed = |source: kube::config::KubeconfigError| ConnectError::Kubeconfig {
                    file: file.to_owned(),
                    source: Box::new(source),
                };
                let read = kube::config::Kubeconfig::read_from(file).map_err(failed)?;
                kube::Config::from_custom_kubeconfig(read, &Default::default())
                    .await
                    .map_err(failed)?
            }
            None => kube::Config::incluster()?,
        };
        config.connect_timeout = Some(Duration::from_secs(10));
        let client = kube::Client::try_from(config).map_err(Box::new)?;
        Ok(Self { client, identity: identity.into() })
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// Settings of a control plane; [`Settings::new`] and [`Settings::in_cluster`] have the defaults.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where objects come from, and where keys are kept.
    pub place: Place,
    /// Where proxies connect to (the native stream and the certificate service, over TLS). Port 0
    /// takes a free one.
    pub listen: SocketAddr,
    /// Where proxies connect to by plain text, for debugging and load tools: nowhere. Istio has it on
    /// port 15010. Nobody is asked there who they are, and no keys are sent. Port 0 takes a free one.
    pub plaintext: Option<SocketAddr>,
    /// Where health, metrics and debug pages are served: 127.0.0.1:15014, as Istio's. Port 0 takes
    /// a free one. Debug pages answer to loopback only.
    pub monitoring: SocketAddr,
    /// Where the API server calls the webhooks of injection and validation: nowhere. Istio has them on port
    /// 15017. In a cluster only. Port 0 takes a free one.
    pub webhooks: Option<SocketAddr>,
    /// What the compiler must know beside the objects.
    pub compiler: Options,
    /// Lifetime of a workload's certificate when none is requested: 24 h (Istio's
    /// `DEFAULT_WORKLOAD_CERT_TTL`).
    pub certificate_lifetime: Duration,
    /// The longest lifetime that may be requested: 90 days (`MAX_WORKLOAD_CERT_TTL`).
    pub max_certificate_lifetime: Duration,
    /// Lifetime of a root that is made or renewed here: 3650 days (`CITADEL_SELF_SIGNED_CA_CERT_TTL`).
    pub root_lifetime: Duration,
    /// How often it is looked whether a root of our own is near its end: 1 h. In a cluster only.
    pub root_check: Duration,
    /// Lifetime of the server's own certificate, renewed at half of it: 24 h.
    pub serving_lifetime: Duration,
    /// Lifetime of the tokens in the state folder, written anew at half of it: 1 h.
    pub token_lifetime: Duration,
    /// Bytes of resources in one response, about: 1 MiB. A larger cut travels in chunks.
    pub chunk_bytes: usize,
    /// Bytes of the largest request that is taken: 16 MiB, the names and versions of what a
    /// large gateway knows.
    pub max_request_bytes: usize,
    /// Connections at a time: 10,000. Further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// How long a TLS handshake may take: 10 s.
    pub handshake_timeout: Duration,
    /// How long a stream is served before the client has to come back and prove itself again, ± a
    /// tenth: 30 min, as Istio's (`PILOT_GRPC_MAX_CONNECTION_AGE`). Coming back transfers nothing.
    pub max_stream_age: Duration,
    /// How long open calls may take to end when the control plane stops: 5 s.
    pub stop_timeout: Duration,
}

impl Settings {
    /// The defaults, for a folder of YAML in local mode.
    pub fn new(dir: impl Into<PathBuf>, listen: SocketAddr, state: impl Into<PathBuf>) -> Self {
        let place = Place::Directory { dir: dir.into(), state: state.into() };
        Self::at(place, listen, Options { local: true, ..Options::default() })
    }

    /// The defaults in a cluster.
    #[must_use]
    pub fn in_cluster(cluster: Cluster, listen: SocketAddr) -> Self {
        Self::at(Place::Cluster(cluster), listen, Options::default())
    }

    fn at(place: Place, listen: SocketAddr, compiler: Options) -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            place,
            listen,
            plaintext: None,
            webhooks: None,
            monitoring: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 15014),
            compiler,
            certificate_lifetime: DAY,
            max_certificate_lifetime: 90 * DAY,
            root_lifetime: 3650 * DAY,
            root_check: Duration::from_secs(60 * 60),
            serving_lifetime: DAY,
            token_lifetime: Duration::from_secs(60 * 60),
            chunk_bytes: 1 << 20,
            max_request_bytes: 16 << 20,
            max_connections: 10_000,
            handshake_timeout: Duration::from_secs(10),
            max_stream_age: Duration::from_secs(30 * 60),
            stop_timeout: Duration::from_secs(5),
        }
    }
}
