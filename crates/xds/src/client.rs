//! The client's side: one stream, kept up.

mod backoff;
mod connect;
mod stream;

pub use backoff::Backoff;
pub use connect::{ConnectError, Keepalive, Target, Tls, TlsSource, TokenSource};
pub use stream::{DeltaStream, Disconnected, Event, Response, Settings};
