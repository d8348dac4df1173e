//! The mesh model lowered to Envoy v3 resources.
