//! The mesh on a real Kubernetes.
//!
//! - `tests/api.rs`: the cluster of *api* depth itself.
