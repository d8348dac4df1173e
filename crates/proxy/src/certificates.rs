//! The workload's key and certificate.
