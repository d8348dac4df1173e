//! What a scenario says: the schema of `exchanges.yaml`, as `README.md` explains it.
//!
//! - `load`: a scenario from its folder, checked.
//! - `write`: a scenario as a folder.
//! - `field`: the fields of the API that a scenario covers.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::side::protocol::Engine;

pub mod field;
pub mod load;
mod span;
mod text;
pub mod write;

pub use field::FieldName;
pub use span::Span;
pub use text::{documents_of_yaml, json_of_yaml};

/// The workload in front of which the outbound sidecar stands, `namespace/name`.
pub const CLIENT: &str = "default/client";
/// The workload in front of which the inbound sidecar stands.
pub const SERVER: &str = "default/server";
/// The gateway's workload.
pub const GATEWAY: &str = "istio-system/gateway";

/// A mesh, and what is exchanged through it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Name of the scenario: its folder's.
    pub name: String,
    /// What it shows, in a sentence.
    pub why: String,
    /// The fields of the API that it covers: without any one of them an expectation fails.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldName>,
    /// Names for which the bed makes a key and a certificate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<String>,
    /// What names outside of the mesh resolve to; others do not exist.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dns: BTreeMap<String, Vec<IpAddr>>,
    /// Servers beside the applications of the mesh's workloads: name to address.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub servers: BTreeMap<String, SocketAddr>,
    /// Workloads and servers that refuse connections.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusing: Vec<String>,
    /// Workloads and servers that never answer an attempt to connect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hanging: Vec<String>,
    /// What is exchanged, one after another.
    pub exchanges: Vec<Exchange>,
    /// The mesh: file names and texts. Not part of `exchanges.yaml`.
    #[serde(skip)]
    pub mesh: BTreeMap<String, String>,
}

/// One connection of a client through the proxy under test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// Its name within the scenario.
    pub name: String,
    /// Which proxy it goes through.
    pub place: Place,
    /// Where the client connects to.
    pub to: Target,
    /// The workload from whose address the client connects; by default the client's own
    /// application for outbound, and an address outside of the mesh for the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The version of HTTP that the client speaks.
    #[serde(default, skip_serializing_if = "is_default")]
    pub http: HttpVersion,
    /// Whether the client speaks TLS, and how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ClientTls>,
    /// What the backends do; those that are not named answer 200 with their name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub backends: BTreeMap<String, Vec<Behaviour>>,
    /// Requests over one connection, one after another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<Request>,
    /// Bytes instead of requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Bytes>,
}

/// Which proxy an exchange goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// The sidecar of [`CLIENT`].
    Outbound,
    /// The sidecar of [`SERVER`].
    Inbound,
    /// The gateway.
    Gateway,
}

/// Where a client connects to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Host of a service, as the directory names it (`reviews.default.svc.cluster.local`); a host
    /// without a dot is one of the namespace `default`. For outbound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The service's port, the port of the server's application, or the gateway's port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// An address instead of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
}

/// The version of HTTP that a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum HttpVersion {
    /// HTTP/1.1.
    #[default]
    #[serde(rename = "1")]
    Http1,
    /// HTTP/2; without TLS, by prior knowledge.
    #[serde(rename = "2")]
    Http2,
}

/// How a client speaks TLS.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientTls {
    /// The server's name; none is sent without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// What is offered by ALPN. By default: what a sidecar offers when there is an `identity`, else
    /// the version of HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpn: Option<Vec<String>>,
    /// Present a certificate of the mesh, for `namespace/service account` or a whole SPIFFE ID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Present the certificate of this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// Offer only this version, `1.2` or `1.3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<TlsVersion>,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    Tls13,
}

/// What a backend does with one request (or connection, when it is not spoken to in HTTP). The last
/// one of a list holds for all further.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Behaviour {
    /// The status; 200 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Headers of the answer, each as `name: value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// The body; by default the backend's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Trailers, each as `name: value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trailers: Vec<String>,
    /// How long it waits before it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Span>,
    /// What it does instead of answering.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead: Option<Instead>,
    /// Bytes that it sends as soon as it is connected to, before anything is received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
}

/// What a backend does instead of answering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Instead {
    /// Closes the connection.
    Close,
    /// Resets the connection (TCP RST); over HTTP/2, the stream with `INTERNAL_ERROR`.
    Reset,
    /// Over HTTP/2, resets the stream with `REFUSED_STREAM`; else as [`Instead::Reset`].
    RefuseStream,
    /// Sends the head and half of the body, then resets as [`Instead::Reset`] does.
    ResetInBody,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The method.
    #[serde(default = "get", skip_serializing_if = "is_get")]
    pub method: String,
    /// The path with the query, sent as it is.
    #[serde(default = "root", skip_serializing_if = "is_root")]
    pub path: String,
    /// The `host` header, or `:authority`. By default the target's host (with its port, unless it is
    /// 80 or 443); `""` sends none over HTTP/1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
    /// Headers, each as `name: value`, sent in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// The body; none by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Trailers, each as `name: value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trailers: Vec<String>,
    /// How often it is sent.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub times: u32,
    /// Where it goes is left to chance (load balancing, weights): between the sides distributions
    /// are compared instead of destinations.
    #[serde(default, skip_serializing_if = "is_default")]
    pub chance: bool,
    /// What may differ between the sides here, by the name that a difference is printed with, each
    /// with the reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub varies: BTreeMap<String, String>,
    /// What must be seen, on both sides.
    #[serde(default, skip_serializing_if = "is_default")]
    pub expect: Expect,
}

/// Bytes that are sent instead of requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bytes {
    /// What the client sends; `\r`, `\n`, `\0` and `\xNN` are escapes of a double-quoted text of
    /// YAML.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub send: String,
    /// The client keeps its side open until it has received something. Without it, it closes its
    /// side at once; Envoy drops a connection that is half closed before it knows what to do with it.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub wait: bool,
    /// How many connections.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub times: u32,
    /// Where it goes is left to chance.
    #[serde(default, skip_serializing_if = "is_default")]
    pub chance: bool,
    /// What must be seen, on both sides.
    #[serde(default, skip_serializing_if = "is_default")]
    pub expect: Expect,
}

/// What must be seen. What is not named may be anything, as long as both sides agree.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// The status that the client receives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How it ends for the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
    /// The body that the client receives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Headers that the client receives: the value, a list of values, or null for none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub response_headers: BTreeMap<String, Wanted>,
    /// Trailers that the client receives.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub response_trailers: BTreeMap<String, Wanted>,
    /// The bytes that the client receives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receive: Option<String>,
    /// The common names or first DNS name of the certificate that the client is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// The protocol that the client is given by ALPN; `""` for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpn: Option<String>,
    /// Which backend answered (for the last attempt): `namespace/workload` or the name of a server,
    /// several of which any will do, or `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<Destination>,
    /// How often backends were asked (mirrors included).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// Weights by which `times` requests are distributed over backends.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub distribution: BTreeMap<String, f64>,
    /// Whether backends are asked in turn: with two of them never one twice in a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turns: Option<bool>,
    /// What the last backend saw.
    #[serde(default, skip_serializing_if = "is_default")]
    pub seen: Seen,
    /// Backends that were asked beside (mirrors).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirrored: Option<Vec<String>>,
    /// The response flags in the proxy's access log, `-` for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flags: Option<String>,
    /// The reason code that the native proxy logs; stock Envoy has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Fields of the proxy's access log, by the names in `README.md`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub log: BTreeMap<String, Wanted>,
    /// The text line in the proxy's access log, when the mesh sets a format of its own. Exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_line: Option<String>,
    /// The shortest and the longest time until the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub takes: Option<(Span, Span)>,
    /// What must be seen on the native side beside the rest: for what differs deliberately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native: Option<Box<Expect>>,
    /// The same on Envoy's side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envoy: Option<Box<Expect>>,
}

impl Expect {
    /// What must be seen on one side alone.
    #[must_use]
    pub fn alone(&self, engine: Engine) -> Option<&Self> {
        match engine {
            Engine::Native => self.native.as_deref(),
            Engine::Envoy => self.envoy.as_deref(),
        }
    }
}

/// What the last backend saw.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// The method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The path with the query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
    /// Headers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Wanted>,
    /// Trailers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub trailers: BTreeMap<String, Wanted>,
    /// The body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The bytes, where it was not HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<String>,
    /// The version of HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpVersion>,
    /// The port at which it listens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Whether it was spoken to in TLS: `none`, `mesh` (with a certificate of the mesh) or `tls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<SeenTls>,
    /// The server's name in TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// Identity of the caller in TLS: the URI or else the common name of its certificate; `""` for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
}

/// Which TLS a backend saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeenTls {
    /// None.
    None,
    /// As sidecars speak it with each other.
    Mesh,
    /// As clients of any server do.
    Tls,
}

/// How an exchange ends for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// A whole response, or bytes and then an end of the stream.
    Complete,
    /// Closed without a (whole) response or without a byte.
    Closed,
    /// Reset, the connection or the stream.
    Reset,
    /// The connection was refused.
    Refused,
    /// The TLS handshake failed.
    Handshake,
    /// Nothing within ten seconds.
    Timeout,
}

/// Where a request may go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Destination {
    /// This backend, or `none`.
    One(String),
    /// Any of these.
    AnyOf(Vec<String>),
}

/// What a header must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Wanted {
    /// Absent.
    Absent,
    /// Once, with this value.
    One(String),
    /// With these values, in order.
    Many(Vec<String>),
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_yes(flag: &bool) -> bool {
    *flag
}

fn get() -> String {
    "GET".to_owned()
}

fn is_get(method: &str) -> bool {
    method == "GET"
}

fn root() -> String {
    "/".to_owned()
}

fn is_root(path: &str) -> bool {
    path == "/"
}

fn once() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_once(times: &u32) -> bool {
    *times == 1
}
