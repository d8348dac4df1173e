//! Ports for programs that are started later, perhaps again and again.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr, TcpListener};

use anyhow::Context;

/// Neither among those that the system gives to connections (32768 and up by default,
/// `net.ipv4.ip_local_port_range`), nor among Kubernetes' node ports (30000 to 32767), nor among those of
/// a mesh (15000 to 15090): nobody takes one while its program is away.
const FIRST: u64 = 18_000;
const COUNT: u64 = 12_000;

/// How many are tried.
const TRIES: u64 = 1_000;

/// A port of an address where nobody listens just now.
///
/// # Errors
/// When the address is not of this machine, or hardly a port of it is free.
pub fn free(address: IpAddr) -> anyhow::Result<u16> {
    TcpListener::bind((address, 0))
        .with_context(|| format!("{address} is no address of this machine"))?;
    // Each has keys of its own, which the system chose: tests beside each other begin elsewhere.
    let begin = RandomState::new().hash_one(address) % COUNT;
    (0..TRIES)
        .filter_map(|step| u16::try_from(FIRST + (begin + step) % COUNT).ok())
        .find(|port| TcpListener::bind((address, *port)).is_ok())
        .with_context(|| format!("{address} has no free port"))
}

/// An address on loopback where nobody listens just now.
///
/// # Errors
/// As [`free`].
pub fn free_on_loopback() -> anyhow::Result<SocketAddr> {
    let loopback = std::net::Ipv4Addr::LOCALHOST.into();
    Ok(SocketAddr::new(loopback, free(loopback)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_not_given() -> anyhow::Result<()> {
        let first = free_on_loopback()?;
        let held = TcpListener::bind(first)?;
        for _ in 0..100 {
            let other = free_on_loopback()?;
            assert_ne!(other, first);
            assert!((18_000..30_000).contains(&other.port()), "{other}");
        }
        drop(held);
        Ok(())
    }
}
