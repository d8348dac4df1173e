//! The way to the workload's own application.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use lateen_engine::Plan;
use lateen_engine::inbound::InboundPort;
use lateen_engine::upstream::Carried;

use super::deliver::{Delivery, Destined};
use super::local::Refusal;
use super::ongoing::{Application, SentTo};
use super::request::InProgress;
use crate::upstream::Source;

/// How a request reaches the application on one of its ports.
pub(super) fn delivery<'p>(
    exchange: &mut InProgress,
    plan: &'p Plan,
    port: u16,
) -> Result<Delivery<'p>, Refusal> {
    let inbound = plan.inbound(port).map_err(|refusal| Refusal::decided(&refusal))?;
    let named = exchange.downstream.application(|known| application(known, &inbound, port));
    exchange.ongoing.sent_to = SentTo::Application(named);
    // The connection may have been accepted under another policy.
    let mutual = exchange.downstream.facts.tls.is_some();
    inbound.may_go_on(mutual).map_err(|refusal| Refusal::decided(&refusal))?;
    let carried = match exchange.carried() {
        Carried::Upgrade => Carried::Upgrade,
        version => inbound.carried(version),
    };
    let (address, port) = inbound.forward();
    let local = plan.local_base().map(application_address);
    let facts = &exchange.downstream.facts;
    let host = address.or(local).unwrap_or(facts.original_destination.ip());
    let source = (local.is_none() && address.is_none()).then(|| {
        let transparent = exchange.ctx().settings.transparent;
        Source::to_application(transparent, facts.downstream_remote.ip(), host)
    });
    let address = SocketAddr::new(host, port);
    Ok(Delivery {
        to: Destined::Address { address, source },
        carried,
        retries: inbound.retries(),
        timeout: None,
        response_headers: None,
    })
}

/// Local mode: the application listens on the first address of the workload's own block.
fn application_address(base: Ipv4Addr) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(u32::from(base) | 1))
}

/// The names of the port: those known, as long as they are right.
fn application(
    known: Option<&Rc<Application>>,
    inbound: &InboundPort<'_>,
    port: u16,
) -> Rc<Application> {
    let declared = inbound.declared();
    let host = declared.map_or("", |declared| &declared.service_host);
    if let Some(known) = known
        && known.declared == declared.is_some()
        && *known.host == *host
    {
        return Rc::clone(known);
    }
    let Some(declared) = declared else {
        return Rc::new(Application { port, ..Application::default() });
    };
    let operation = format!("{host}:{}/*", declared.service_port);
    Rc::new(Application {
        port,
        declared: true,
        host: declared.service_host.clone(),
        name: declared.service_name.clone(),
        namespace: declared.service_namespace.clone(),
        operation: http::HeaderValue::try_from(operation).ok().filter(|_| !host.is_empty()),
    })
}
