//! The mesh model.
//!
//! What the control plane knows of the mesh, as protobuf messages and as the Rust types made from
//! them. Front ends (the compiler) write it, back ends (the native proxy's engine, the lowering to
//! Envoy) read it; neither knows of the other. There is no behaviour here beyond naming, encoding
//! and small conversions.
//!
//! - [`v1`]: the messages; `proto/lateen/mesh/v1/mesh.proto` is where they are documented.
//! - [`name`]: names of resources on the wire, made from the users' names only.
//! - [`access_log`]: Istio's default formats.
//! - [`address`]: addresses and CIDRs in the compact form that the messages use.
//! - [`directory`]: hosts in a slice of the directory.
//! - [`encoded`]: a resource as bytes with its version, a hash of those bytes.
//! - [`endpoint`]: endpoints in a slice, and what they have in common.
//! - [`local`]: local mode's addresses and ports.

pub mod access_log;
pub mod address;
mod attribute;
pub mod directory;
pub mod encoded;
pub mod endpoint;
pub mod local;
pub mod name;

/// The messages of `lateen.mesh.v1`, generated from the `.proto` file (which documents them).
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod v1 {
    include!("generated/lateen.mesh.v1.rs");
}

/// Type URL of [`v1::Resource`] on the delta xDS stream.
pub const TYPE_URL: &str = "type.lateen.dev/lateen.mesh.v1.Resource";
