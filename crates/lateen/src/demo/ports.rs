//! Free ports on loopback.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// An address on which nobody listens just now.
pub fn free() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
