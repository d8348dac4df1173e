//! For tests only: starting real programs, and waiting for what they do.
//!
//! - [`program`]: processes that end with the test.
//! - [`wait`]: waiting for a condition, with a limit.
//! - [`turn`]: one at a time on this machine, for what shares fixed loopback addresses.
//! - [`mesh`]: a control plane and proxies on a directory, by the built binary.
//! - [`port`]: ports that nobody else takes.
//! - [`cluster`]: a real Kubernetes.
//! - [`envoy`]: the stock Envoy.
//! - [`keys`]: an agent's secret service, for an Envoy without an agent.
//! - [`usage`]: what a process has used.

pub mod cluster;
pub mod envoy;
pub mod keys;
pub mod mesh;
pub mod port;
pub mod program;
pub mod turn;
pub mod usage;
pub mod wait;
