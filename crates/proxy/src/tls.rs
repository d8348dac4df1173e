//! TLS configurations.
