//! What a workload accepts: inbound listeners and clusters.
//!
//! Captured by iptables, everything comes to `virtualInbound`, whose filter chains are told apart by
//! the port that was dialled; in local mode each port that a service declares has a listener of its
//! own at the workload's sidecar address. Gateways accept nothing for themselves.

mod chains;
mod cluster;
mod listener;
mod routes;

use std::net::{IpAddr, Ipv4Addr};

use lateen_mesh::address::decode_address;
use lateen_mesh::v1::{self, MtlsMode, Protocol};

use crate::filter::{Authorization, access_log_problems};
use crate::lowering::{Context, Output};
use crate::placement::{Capture, Role};

/// The listeners and clusters of `inbound/<namespace>/<name>`.
pub(crate) fn lower(
    context: &Context<'_>,
    inbound: &v1::Inbound,
    objects: &[v1::ObjectRef],
    out: &mut Output,
) {
    if context.placement.role == Role::Gateway {
        return;
    }
    for problem in context.settings.access_log.iter().flat_map(access_log_problems) {
        out.problem(&[], None, problem);
    }
    let authorization = Authorization::new(context, &inbound.policies, out);
    let own = inbound.workload.iter().flat_map(|workload| &workload.addresses);
    let workload = Workload {
        context,
        authorization,
        // By capture, what is dialled says where the application listens.
        local_base: local_base(inbound).filter(|_| context.placement.capture == Capture::Local),
        addresses: own.filter_map(|bytes| decode_address(bytes)).collect(),
    };
    let ports = ports(inbound, objects, out);
    match (context.placement.capture, workload.local_base) {
        (Capture::Redirect, _) => {
            cluster::passthrough(&workload, inbound, out);
            listener::virtual_inbound(&workload, inbound, &ports, out);
        }
        (Capture::Local, Some(base)) => {
            let declared = ports.iter().filter(|port| port.declared.is_some());
            declared.for_each(|port| listener::local(&workload, port, base, out));
        }
        (Capture::Local, None) => {}
    }
    for port in &ports {
        cluster::declared(&workload, port, out);
    }
}

/// What all listeners of a workload share.
struct Workload<'a> {
    context: &'a Context<'a>,
    authorization: Authorization<'a>,
    local_base: Option<Ipv4Addr>,
    addresses: Vec<IpAddr>,
}

/// A port with a mode of its own.
#[derive(Debug, Clone, Copy)]
struct Port<'a> {
    number: u16,
    mode: MtlsMode,
    /// `None`: no service declares it.
    declared: Option<&'a v1::InboundPort>,
}

/// What connections to a port carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carries {
    Http,
    Tcp,
    /// One or the other, as the first bytes tell.
    Either,
}

impl Port<'_> {
    fn protocol(&self) -> Protocol {
        self.declared.map_or(Protocol::Auto, v1::InboundPort::protocol)
    }

    fn carries(&self) -> Carries {
        carries(self.protocol())
    }
}

fn carries(protocol: Protocol) -> Carries {
    match protocol {
        Protocol::Auto => Carries::Either,
        Protocol::Tcp | Protocol::Tls => Carries::Tcp,
        Protocol::Http | Protocol::Http2 | Protocol::Grpc | Protocol::GrpcWeb => Carries::Http,
    }
}

/// The ports with a mode of their own, sorted; the first of several that a number is given.
fn ports<'a>(
    inbound: &'a v1::Inbound,
    objects: &[v1::ObjectRef],
    out: &mut Output,
) -> Vec<Port<'a>> {
    let declared = inbound
        .ports
        .iter()
        .map(|port| (port.port, mode(port.mtls), Some(port), port.mtls_origin.as_ref()));
    let others = inbound.port_mtls.iter().filter(|_| !inbound.only_declared);
    let others = others.map(|port| (port.port, mode(port.mtls), None, port.origin.as_ref()));
    let mut ports: Vec<Port<'a>> = Vec::new();
    for (number, mode, declared, origin) in declared.chain(others) {
        match u16::try_from(number) {
            Ok(number) if ports.iter().all(|port| port.number != number) => {
                ports.push(Port { number, mode, declared });
            }
            Ok(_) => {}
            Err(_) => out.problem(objects, origin, format!("{number} is no port")),
        }
    }
    ports.sort_by_key(|port| port.number);
    ports
}

/// A mode that is not known must not open anything.
fn mode(value: i32) -> MtlsMode {
    MtlsMode::try_from(value).unwrap_or(MtlsMode::Strict)
}

fn local_base(inbound: &v1::Inbound) -> Option<Ipv4Addr> {
    match decode_address(&inbound.local_base) {
        Some(IpAddr::V4(base)) => Some(base),
        Some(IpAddr::V6(_)) | None => None,
    }
}
