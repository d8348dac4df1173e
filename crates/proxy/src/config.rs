//! The client of the native stream.
