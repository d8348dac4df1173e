//! Which listeners there should be.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use lateen_engine::Plan;

use super::Capture;
use crate::connection::Direction;
use lateen_mesh::local::{SIDECAR, shift_address};

/// A listener that there should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Listener {
    /// Where it is bound.
    pub bind: SocketAddr,
    /// Which way its connections go.
    pub direction: Direction,
    /// How the dialled address is known.
    pub capture: Capture,
}

/// The listeners of local mode, sorted by address: the workload's inbound ports and a gateway's
/// ports on its sidecar's address, and every port of each directory entry on the entry's address.
#[must_use]
pub fn wanted(plan: &Plan) -> Vec<Listener> {
    let Some(base) = plan.local_base() else { return Vec::new() };
    let mut listeners = BTreeMap::new();
    let mut add = |offset: u32, port: u16, direction: Direction| {
        let original = SocketAddr::from((Ipv4Addr::from(u32::from(base) | offset), port));
        let bind = shift_address(original);
        let capture = Capture::Address(original);
        listeners.entry(bind).or_insert(Listener { bind, direction, capture });
    };
    for port in plan.gateway_ports() {
        add(SIDECAR.into(), port, Direction::Gateway);
    }
    for port in plan.inbound_ports() {
        add(SIDECAR.into(), port, Direction::Inbound);
    }
    for entry in plan.directory().entries().iter().filter(|entry| entry.local_offset > 0) {
        for (port, _) in &entry.ports {
            add(entry.local_offset, *port, Direction::Outbound);
        }
    }
    listeners.into_values().collect()
}
