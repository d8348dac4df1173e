//! The path of a request, between peers that speak exact bytes.

mod http1;
mod mesh;
mod proxies;
mod wire;
