//! Metrics, access log, reasons and the ring of failures.
