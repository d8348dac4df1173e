//! The chained CNI plugin: pods are captured by the node, before any of their containers runs, and need
//! neither a privileged init container nor `NET_ADMIN`.
//!
//! Two programs share this. The *plugin* (`plugin/main.rs`) is what the container runtime starts for
//! each pod; it knows nothing and may nothing beyond passing the question, and the pod's network
//! namespace as an open file, to the *node agent* (`lateen cni agent`), which asks the API server about
//! the pod and writes the rules. Nothing here reads a file, runs a program or asks for the time.
//!
//! - [`protocol`]: the CNI specification's side: calls, results, errors.
//! - [`chain`]: what the plugin answers to a call, and when it asks the agent.
//! - [`wire`]: what plugin and agent say to each other.
//! - [`pod`]: whether a pod is captured, and whether it raced the plugin.
//! - [`conflist`]: the plugin put into a network configuration, and taken out of it.

pub mod chain;
pub mod conflist;
pub mod pod;
pub mod protocol;
pub mod wire;
