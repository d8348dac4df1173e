//! A control plane as a whole, over real connections.

mod envoy_stream;
mod identity;
mod native_stream;
mod operation;
mod real_envoy;
mod support;
