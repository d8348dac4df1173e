//! What the bed and its sides say to each other: one JSON value a line.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::observe::Exchanged;
use crate::scenario::Scenario;

/// The operator of access logs for the native proxy's reason codes, which stock Envoy would refuse.
pub const REASON: &str = "%LATEEN_REASON%";

/// Which data plane a side runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// `lateen proxy`.
    Native,
    /// `lateen proxy --engine envoy`.
    Envoy,
}

impl Engine {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Envoy => "envoy",
        }
    }
}

/// What the bed asks of a side.
#[derive(Debug, Serialize, Deserialize)]
pub enum Command {
    /// Start the control plane and the proxies on this mesh.
    Start(Box<Prepared>),
    /// Replace the mesh, run the exchanges.
    Run(Box<Prepared>),
    /// What was seen of that, with what the access logs said since.
    Late,
    /// What the control plane refused and the proxies complained about since the last time.
    Complaints,
}

/// What a side answers.
#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    /// It is ready.
    Started,
    /// What was seen, exchange by exchange.
    Ran(Ran),
    /// The complaints.
    Complaints(Vec<String>),
    /// It cannot go on, because of this.
    Failed(String),
}

/// What was seen of a scenario.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Ran {
    /// Exchange by exchange.
    pub exchanges: Vec<Exchanged>,
    /// How long it took until the proxies ran on the mesh, in milliseconds.
    pub switch: u64,
    /// How long the exchanges took, in milliseconds.
    pub exchanging: u64,
}

/// A scenario made ready for a side.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Prepared {
    /// Which mesh in a row this is, from 1.
    pub generation: u64,
    /// The mesh, as one file.
    pub mesh: String,
    /// Names and contents of the files with certificates and keys.
    pub files: BTreeMap<String, String>,
    /// Where the backends listen.
    pub backends: Vec<BackendPlace>,
    /// Sockets by `namespace/workload`, `host`, `port`: the places that clients dial.
    pub places: Places,
    /// The trust domain of identities that clients present.
    pub trust_domain: String,
    /// Where the access log goes, when not to standard output.
    pub log_file: Option<std::path::PathBuf>,
    /// Whether the mesh has an access log format of its own.
    pub own_log_format: bool,
    /// Whether the first exchange that is not as expected ends the run, and nobody waits long: all
    /// that the strip test asks.
    pub stripped: bool,
    /// The scenario.
    pub scenario: Scenario,
}

impl Prepared {
    /// The mesh as an engine can have it.
    #[must_use]
    pub fn mesh_of(&self, engine: Engine) -> String {
        match engine {
            Engine::Native => self.mesh.clone(),
            Engine::Envoy => self.mesh.replace(REASON, ""),
        }
    }
}

/// Where one backend listens.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BackendPlace {
    /// `namespace/workload`, or the name of a server.
    pub name: String,
    /// The address.
    pub address: SocketAddr,
    /// The port as the mesh has it.
    pub port: u16,
    /// The identity that it has as its sidecar; none without.
    pub identity: Option<String>,
}

/// Where clients connect to and from.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Places {
    /// The client's view of services: `host:port`.
    pub services: BTreeMap<String, SocketAddr>,
    /// The server's inbound ports.
    pub inbound: BTreeMap<u16, SocketAddr>,
    /// The gateway's ports.
    pub gateway: BTreeMap<u16, SocketAddr>,
    /// Where each workload's application has its address.
    pub applications: BTreeMap<String, std::net::IpAddr>,
    /// `/healthz/ready` of the proxies under test.
    pub health: Vec<SocketAddr>,
}
