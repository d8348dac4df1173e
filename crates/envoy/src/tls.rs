//! TLS contexts.

mod downstream;
mod upstream;
