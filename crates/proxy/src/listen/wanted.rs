//! Which listeners there should be.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use lateen_engine::Plan;

use super::Capture;
use crate::connection::Direction;
use crate::settings::{Role, Settings};
use lateen_mesh::address::decode_address;
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

/// The listeners that there should be, sorted.
///
/// In local mode, by address: the workload's inbound ports and a gateway's ports on its sidecar's
/// address, and every port of each directory entry on the entry's address. In a pod, on all addresses
/// of the families that it has: a gateway's ports, or the two to which traffic is captured.
#[must_use]
pub fn wanted(plan: &Plan, settings: &Settings) -> Vec<Listener> {
    match plan.local_base() {
        Some(base) => of_local_mode(plan, base),
        None if settings.local => Vec::new(),
        None => of_pod(plan, settings),
    }
}

fn of_pod(plan: &Plan, settings: &Settings) -> Vec<Listener> {
    let mut listeners = Vec::new();
    let ports = plan.gateway_ports();
    let is_gateway = settings.role == Role::Gateway || !ports.is_empty();
    for address in unspecified(plan) {
        let mut add = |port, direction, capture| {
            let bind = SocketAddr::new(address, port);
            listeners.push(Listener { bind, direction, capture });
        };
        if is_gateway {
            for port in &ports {
                add(*port, Direction::Gateway, Capture::Own);
            }
            continue;
        }
        let inbound = if settings.transparent { Capture::Transparent } else { Capture::Redirected };
        add(settings.ports.outbound, Direction::Outbound, Capture::Redirected);
        add(settings.ports.inbound, Direction::Inbound, inbound);
    }
    listeners.sort_unstable();
    listeners
}

/// All addresses, of each family that the workload has.
fn unspecified(plan: &Plan) -> Vec<IpAddr> {
    let addresses = plan.workload().map(|workload| workload.addresses.as_slice()).unwrap_or(&[]);
    let decoded = || addresses.iter().filter_map(|bytes| decode_address(bytes));
    let mut families = Vec::new();
    if decoded().any(|address| address.is_ipv4()) || decoded().next().is_none() {
        families.push(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    }
    if decoded().any(|address| address.is_ipv6()) {
        families.push(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    }
    families
}

fn of_local_mode(plan: &Plan, base: Ipv4Addr) -> Vec<Listener> {
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
