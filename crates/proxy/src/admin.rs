//! Health, Prometheus metrics and the administrative endpoints.
