//! The mesh on loopback against programs that we did not write: NGINX, curl, openssl, grpcio,
//! websockets, h2load, Prometheus. The tests are in `tests/`, the other programs' scripts in
//! `peers/`; here is what several tests share.

pub mod generate;
pub mod load;
pub mod peers;
pub mod yaml;
