//! The side of an exchange that comes from a client.

mod drain;
mod http1;
mod http2;
mod io;

pub(super) use http1::serve as serve_http1;
pub(super) use http2::serve as serve_http2;
pub(super) use io::{Activity, WatchedIo, looks_like_http2};
