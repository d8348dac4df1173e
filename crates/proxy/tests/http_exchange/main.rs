//! The path of a request, between peers that speak exact bytes.

mod http1;
mod http2;
mod mesh;
mod proxies;
mod replies;
mod retries;
mod wire;
