//! TLS on both sides of a connection: which configuration, from which certificates.
//!
//! Configurations are built once and kept; a connection costs a look-up. The mesh's own take
//! certificate, roots and trust domains from handles at each handshake, so that a rotation needs no
//! new configuration. Sessions are never resumed in the mesh: a resumed session would carry the
//! peer's old certificate past its rotation, and pooled connections make handshakes rare.

mod client;
mod files;
mod gateway;
mod handshake;
mod inbound;
mod names;
#[cfg(test)]
mod tests;

pub use client::ClientConfigs;
pub use gateway::{GatewayConfigs, NoConfig};
pub use handshake::{AcceptError, accept};
pub use inbound::MeshServer;
pub(crate) use names::unexpected_name;
