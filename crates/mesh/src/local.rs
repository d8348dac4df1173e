//! Local mode: where workloads and services have their places in 127.0.0.0/8.
//!
//! Workload *w* owns 127.*w*.0.0/16: its application listens on 127.*w*.0.1, its proxy takes
//! connections on 127.*w*.0.2, and it sees the service with offset *o* at 127.*w*.0.0 + *o*.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Ports below 1024 are moved up by this number, since opening them takes privileges.
pub const PORT_SHIFT: u16 = 20_000;

/// Where the application listens, in its workload's /16.
pub const APPLICATION: u16 = 1;

/// Where the proxy takes inbound connections (a gateway, all of them), in its workload's /16.
pub const SIDECAR: u16 = 2;

/// Offsets below are kept for the workload itself.
pub const FIRST_OFFSET: u16 = 256;

/// The port of the socket that stands for `port`.
#[must_use]
pub const fn shift_port(port: u16) -> u16 {
    if port < 1024 { port + PORT_SHIFT } else { port }
}

/// The socket that stands for `address`.
#[must_use]
pub const fn shift_address(mut address: SocketAddr) -> SocketAddr {
    address.set_port(shift_port(address.port()));
    address
}

/// An address of a workload's /16.
#[must_use]
pub fn address(base: Ipv4Addr, offset: u16) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(base) | u32::from(offset))
}

/// Whether `address` belongs to a workload of local mode: 127.*w*.0.0/16, *w* from 1. What else
/// listens on loopback is outside of the mesh, and its ports are what they are.
#[must_use]
pub const fn is_in_mesh(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let octets = address.octets();
            octets[0] == 127 && octets[1] != 0
        }
        IpAddr::V6(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn privileged_ports_are_shifted() {
        for (port, socket) in [(80, 20_080), (1023, 21_023), (1024, 1024), (8080, 8080)] {
            assert_eq!(shift_port(port), socket);
        }
        let given: SocketAddr = "127.7.1.0:80".parse().unwrap();
        assert_eq!(shift_address(given), "127.7.1.0:20080".parse().unwrap());
        assert_eq!(address(Ipv4Addr::new(127, 7, 0, 0), SIDECAR), Ipv4Addr::new(127, 7, 0, 2));
    }

    #[test]
    fn the_first_slash_16_is_outside_of_the_mesh() {
        for (text, inside) in
            [("127.0.0.1", false), ("127.1.0.1", true), ("127.254.1.0", true), ("10.0.0.1", false)]
        {
            assert_eq!(is_in_mesh(text.parse().unwrap()), inside, "{text}");
        }
        assert!(!is_in_mesh("::1".parse().unwrap()));
    }
}
