//! The backends of a rule and the choice among them.

use std::net::SocketAddr;
use std::sync::Arc;

use lateen_mesh::v1;
use smallvec::SmallVec;

use super::HeaderOperations;
use crate::destination::{Destination, DestinationKey, Discovery};
use crate::explain::{Drawn, Trace, What};
use crate::joined;
use crate::origin::{Objects, Origin};
use crate::plan::Plan;
use crate::reason::{Reason, Refusal};

/// A compiled backend.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) origin: Origin,
    /// Port 0: the listener's.
    pub(crate) key: DestinationKey,
    pub(crate) authority: Option<Box<str>>,
    pub(crate) request_headers: HeaderOperations,
    pub(crate) response_headers: HeaderOperations,
    invalid: Option<Invalid>,
}

/// A backend that cannot be reached, and how requests to it are answered.
#[derive(Debug)]
struct Invalid {
    why: Box<str>,
    status: u16,
}

/// The backends of a rule with their running sum of weights.
#[derive(Debug)]
pub(crate) struct Backends {
    list: SmallVec<[Backend; 1]>,
    cumulative: SmallVec<[u64; 1]>,
}

/// The destinations that a table refers to by name.
pub(crate) type BackendRefs = Vec<DestinationKey>;

impl Backends {
    pub(crate) fn compile(messages: &[v1::Backend], objects: &Objects) -> Result<Self, String> {
        let mut sum = 0;
        let cumulative = messages
            .iter()
            .map(|message| {
                sum += u64::from(message.weight);
                sum
            })
            .collect();
        let list = messages
            .iter()
            .map(|message| Backend::compile(message, objects))
            .collect::<Result<_, _>>()?;
        Ok(Self { list, cumulative })
    }

    /// The destinations that must be there; those at the listener's port are not among them.
    pub(crate) fn references(&self, refs: &mut BackendRefs) {
        let named = self.list.iter().filter(|it| it.invalid.is_none() && it.key.port != 0);
        refs.extend(named.map(|backend| backend.key.clone()));
    }

    /// The backend that a random number falls on, and its destination at this listener's port.
    /// `dialled` is where the client wanted to go.
    pub(crate) fn choose<'p, T: Trace>(
        &'p self,
        plan: &'p Plan,
        port: u16,
        dialled: SocketAddr,
        random: u64,
        rule: &'p Origin,
        trace: &mut T,
    ) -> Result<(&'p Backend, &'p Arc<Destination>), Refusal<'p>> {
        trace.drawn(|| self.draws());
        let Some(backend) = self.draw(random) else {
            trace.step(What::Backend, rule, false, || "no backend has any weight".to_owned());
            return Err(Refusal::new(Reason::NoBackend, rule));
        };
        let origin = &backend.origin;
        if let Some(invalid) = &backend.invalid {
            trace.step(What::Backend, origin, false, || invalid.why.to_string());
            return Err(Refusal {
                status: invalid.status,
                detail: &invalid.why,
                backend: Some(&backend.key),
                response_headers: [Some(&backend.response_headers), None],
                ..Refusal::new(Reason::InvalidBackend, origin)
            });
        }
        let Some(destination) = plan.destination_at(&backend.key, port) else {
            trace.step(What::Backend, origin, false, || {
                format!("{} has no port {port}", backend.key.host)
            });
            return Err(Refusal {
                detail: "the service does not have the listener's port",
                backend: Some(&backend.key),
                response_headers: [Some(&backend.response_headers), None],
                ..Refusal::new(Reason::InvalidBackend, origin)
            });
        };
        // Only an address that somebody else has can be dialled as it is.
        if destination.discovery() == Discovery::Passthrough && plan.is_own_address(dialled) {
            trace.step(What::Backend, destination.origin(), false, || {
                format!("{} is dialled as it is, but {dialled} leads back here", destination.key())
            });
            return Err(Refusal {
                detail: "the host has no endpoints but the address that is dialled, and that one \
                         is the proxy's own",
                ..Refusal::new(Reason::PassthroughLoop, destination.origin())
            });
        }
        trace.step(What::Backend, origin, true, || {
            let weights = self.cumulative.last().copied().unwrap_or(0);
            match self.list.len() {
                1 => format!("{}, the only one", destination.key()),
                _ => format!("{}, by weight of {weights}", destination.key()),
            }
        });
        Ok((backend, destination))
    }

    /// For each backend that can be drawn a random number that falls on it.
    fn draws(&self) -> Vec<Drawn> {
        let mut before = 0;
        let mut draws = Vec::new();
        for sum in &self.cumulative {
            let weight = sum - before;
            if weight > 0 || self.list.len() == 1 {
                draws.push(Drawn { random: before, weight });
            }
            before = *sum;
        }
        draws
    }

    /// A single backend takes everything, whatever its weight.
    fn draw(&self, random: u64) -> Option<&Backend> {
        if let [only] = self.list.as_slice() {
            return Some(only);
        }
        let total = self.cumulative.last().copied().filter(|total| *total > 0)?;
        let position = random % total;
        self.list.get(self.cumulative.partition_point(|sum| *sum <= position))
    }
}

impl Backend {
    fn compile(message: &v1::Backend, objects: &Objects) -> Result<Self, String> {
        let (request_headers, authority) =
            HeaderOperations::compile(message.request_headers.as_ref(), &joined::REQUEST)?;
        let (response_headers, _) =
            HeaderOperations::compile(message.response_headers.as_ref(), &joined::RESPONSE)?;
        let port = u16::try_from(message.port)
            .map_err(|_| format!("backend {}: port {}", message.host, message.port))?;
        let invalid = (!message.invalid.is_empty()).then(|| Invalid {
            why: message.invalid.as_str().into(),
            status: u16::try_from(message.invalid_status)
                .ok()
                .filter(|status| (400..600).contains(status))
                .unwrap_or(503),
        });
        Ok(Self {
            origin: objects.resolve(message.origin.as_ref())?,
            key: DestinationKey {
                host: message.host.as_str().into(),
                port,
                subset: message.subset.as_str().into(),
            },
            authority,
            request_headers,
            response_headers,
            invalid,
        })
    }
}
