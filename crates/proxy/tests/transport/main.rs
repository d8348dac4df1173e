//! Connections through a proxy's workers and listeners, over real sockets in local mode's addresses.
//!
//! The plans are built from the messages that a control plane would send; no control plane runs.
//! The other ends are plain sockets, `openssl s_client`, and a second proxy.

#![allow(clippy::unwrap_used)]

mod gateway;
mod inbound;
mod mesh;
mod openssl;
mod outbound;
mod replacement;
mod revoked;
mod site;
mod whole;
