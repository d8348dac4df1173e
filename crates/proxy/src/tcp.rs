//! Relaying of bytes.
