//! The control plane under many Envoys: what a change costs, and what a thousand that connect at
//! once cost.
//!
//! - [`mesh`]: YAML of a mesh of any size.
//! - [`site`]: a control plane over it, as a process of its own, and what that has used.
//! - [`client`]: an Envoy as the control plane sees it, over a real connection, counting what comes.
//! - [`envoy`]: the real Envoy on the same stream.
//! - [`wire`]: the little of Envoy's messages that a client has to read.

pub mod client;
pub mod envoy;
pub mod mesh;
pub mod site;
pub mod wire;
