//! Delta xDS over gRPC, generic over what it carries.
//!
//! The transport between a control plane and its clients: resources have a name, a version and
//! bytes; what the bytes mean is not known here. The wire is Envoy's
//! (`envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources`).
//!
//! - [`resource`]: a named, versioned body, shared by reference on both sides.
//! - [`client`]: one stream to a control plane, kept up: connecting with TLS and a token,
//!   reconnecting with back-off, telling the server what is known already.
//! - [`server`]: accepting streams: what a client says is classified (first message, ACK, NACK,
//!   changed subscriptions) and given to a [`server::Handler`]; one response of a type is in
//!   flight at a time; bodies are sent without being copied.
//! - [`cut`]: many resources that take effect together: splitting a cut into responses, and
//!   assembling it again.
//! - [`ca`]: the messages and stubs of Istio's certificate service, which is served on the same
//!   port.
//! - [`wire`]: the xDS messages.
//!
//! There is no clock of decisions in here but that of the transport (connect timeouts, keepalive,
//! back-off, whose randomness comes in by argument).

pub mod client;
pub mod cut;
pub mod resource;
pub mod server;

pub use resource::Resource;

/// The xDS messages, generated from `proto/envoy/service/discovery/v3/discovery.proto` (which
/// documents them).
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod wire {
    include!("generated/envoy.service.discovery.v3.rs");
}

/// Istio's certificate service, generated from `proto/istio/v1/auth/ca.proto` (which documents
/// it).
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod ca {
    include!("generated/istio.v1.auth.rs");
}
