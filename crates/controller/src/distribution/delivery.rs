//! Cuts on their way to one client: chunk by chunk, one in flight.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use lateen_mesh::{
    TYPE_URL,
    encoded::Encoded,
    name::Name,
    v1::{self, resource::Body},
};
use lateen_xds::{
    Resource,
    cut::{Chunk, split},
    server::{Outlet, Update},
};
use tonic::Status;

use super::view::Difference;

/// The way to one client.
#[derive(Debug)]
pub(super) struct Delivery {
    outlet: Outlet,
    type_url: Arc<str>,
    cut: Option<Undelivered>,
}

/// A cut that the client has not acknowledged whole.
#[derive(Debug)]
struct Undelivered {
    sequence: u64,
    /// When the oldest change in it was noticed; `None`: it answers a subscription.
    since: Option<Instant>,
    next: u32,
    rest: VecDeque<Chunk>,
}

/// A cut that the client acknowledged whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Delivered {
    pub(super) sequence: u64,
    pub(super) since: Option<Instant>,
}

impl Delivery {
    pub(super) fn new(outlet: Outlet) -> Self {
        Self { outlet, type_url: TYPE_URL.into(), cut: None }
    }

    /// Starts to send a cut; the one before was answered. How many bytes of bodies it has.
    pub(super) fn start(
        &mut self,
        difference: Difference,
        sequence: u64,
        since: Option<Instant>,
        chunk_bytes: usize,
    ) -> usize {
        let size = difference.resources.iter().map(|resource| resource.body.len()).sum();
        let rest = split(difference.resources, difference.removed, chunk_bytes).into();
        self.cut = Some(Undelivered { sequence, since, next: 0, rest });
        self.send_next();
        size
    }

    /// The client took the chunk in flight: the next one follows, or the cut is delivered.
    pub(super) fn acknowledged(&mut self) -> Option<Delivered> {
        let cut = self.cut.as_ref()?;
        if cut.rest.is_empty() {
            let delivered = Delivered { sequence: cut.sequence, since: cut.since };
            self.cut = None;
            return Some(delivered);
        }
        self.send_next();
        None
    }

    /// The client refused the chunk in flight, and with it the cut.
    pub(super) fn refused(&mut self) {
        self.cut = None;
    }

    /// Ends the stream.
    pub(super) fn close(self, status: Status, runtime: &tokio::runtime::Handle) {
        close(self.outlet, status, runtime);
    }

    fn send_next(&mut self) {
        let Some(cut) = &mut self.cut else { return };
        let Some(Chunk { mut resources, removed }) = cut.rest.pop_front() else { return };
        let (sequence, chunk, last) = (cut.sequence, cut.next, cut.rest.is_empty());
        cut.next += 1;
        resources.push(marker(v1::Cut { sequence, chunk, last }));
        let update = Update {
            type_url: self.type_url.clone(),
            resources,
            removed,
            system_version: sequence.to_string().into(),
            tag: sequence,
        };
        if self.outlet.try_send(update).is_err() {
            tracing::debug!("a cut was not sent: the stream has ended");
        }
    }
}

/// Ends a stream, from where nothing can wait.
pub(super) fn close(outlet: Outlet, status: Status, runtime: &tokio::runtime::Handle) {
    runtime.spawn(async move { outlet.close(status).await });
}

/// The last resource of every response.
fn marker(cut: v1::Cut) -> Resource {
    let encoded = Encoded::new(&v1::Resource { objects: Vec::new(), body: Some(Body::Cut(cut)) });
    Resource {
        name: Name::Cut.to_string().into(),
        version: encoded.version.to_string().into(),
        body: encoded.bytes,
    }
}
