//! Opaque bytes: connections that are relayed, not read.

mod first;
mod relay;
#[cfg(test)]
mod tests;

pub use first::{First, first_to_speak};
pub use relay::{Counters, Ended, Relay};
