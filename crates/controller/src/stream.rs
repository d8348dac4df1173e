//! The native stream's end of the xDS server: who is served, and what it says.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    sync::Arc,
    time::{Duration, SystemTime},
};

use lateen_mesh::TYPE_URL;
use lateen_xds::server::{Event, Handler, Opening, Outlet, Session};
use tokio::task::AbortHandle;
use tonic::{Code, Status};

use crate::{
    authentication::{Authenticator, Peer},
    distribution::{Candidate, Command, Distribution, Lease},
    metrics::{Metrics, Refusal},
    node::{NodeId, wants_whole_scope},
};

/// Takes streams of proxies that are who they say they are.
#[derive(Debug)]
pub(crate) struct Streams {
    pub(crate) authenticator: Authenticator,
    pub(crate) distribution: Distribution,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) max_age: Duration,
}

/// One served stream.
pub(crate) struct Served {
    lease: Lease,
    distribution: Distribution,
    expiry: AbortHandle,
}

impl Handler for Streams {
    type Session = Served;

    async fn open(&self, opening: Opening) -> Result<Served, Status> {
        let remote = opening.extensions.get::<Peer>().map(|peer| peer.remote);
        let node = opening.node.id.clone();
        self.serve(opening).await.map_err(|(refusal, status)| {
            self.metrics.stream_refused(refusal);
            let (reason, status_message) = (refusal.label(), status.message());
            tracing::warn!(node, ?remote, reason, "a stream is refused: {status_message}");
            status
        })
    }
}

impl Streams {
    async fn serve(&self, opening: Opening) -> Result<Served, (Refusal, Status)> {
        let Opening { node, type_url, mut subscribe, known, metadata, extensions, outlet } =
            opening;
        if &*type_url != TYPE_URL {
            let message = format!("`{type_url}` is not served here; `{TYPE_URL}` is");
            return Err((Refusal::BadRequest, Status::invalid_argument(message)));
        }
        let identity = self
            .authenticator
            .authenticate(&metadata, extensions.get::<Peer>(), SystemTime::now())
            .map_err(|error| (error.refusal(), error.into()))?;
        let whole_scope = wants_whole_scope(&node);
        let version = format!("{} {}", node.user_agent_name, node.user_agent_version);
        let node = NodeId::parse(&node.id)
            .map_err(|error| (Refusal::BadRequest, Status::invalid_argument(error.to_string())))?;
        // xDS' older way to say `*`: a first message that names nothing.
        if subscribe.is_empty() {
            subscribe.push("*".to_owned());
        }
        let candidate = Candidate {
            identity,
            node,
            whole_scope,
            version: version.trim().to_owned(),
            subscribe,
            known: known.into_iter().collect(),
            outlet: outlet.clone(),
        };
        let opened = self
            .distribution
            .ask(|answer| Command::Open(Box::new(candidate), answer))
            .await
            .unwrap_or_else(|| Err(Status::unavailable("the control plane is stopping")));
        let lease = opened.map_err(|status| (refusal_of(&status), status))?;
        let expiry = tokio::spawn(expire(outlet, jittered(self.max_age))).abort_handle();
        Ok(Served { lease, distribution: self.distribution.clone(), expiry })
    }
}

impl Session for Served {
    async fn handle(&mut self, event: Event) -> Result<(), Status> {
        let heard = Command::Heard(self.lease.connection(), event);
        if self.distribution.tell(heard).await {
            return Ok(());
        }
        Err(Status::unavailable("the control plane is stopping"))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.expiry.abort();
    }
}

fn refusal_of(status: &Status) -> Refusal {
    match status.code() {
        Code::PermissionDenied => Refusal::Identity,
        Code::NotFound => Refusal::UnknownWorkload,
        Code::ResourceExhausted => Refusal::BadRequest,
        _ => Refusal::Internal,
    }
}

async fn expire(outlet: Outlet, age: Duration) {
    tokio::time::sleep(age).await;
    outlet.close(Status::ok("the stream is old; prove who you are again")).await;
}

/// Up to a tenth more or less, so that streams that began together do not end together.
fn jittered(age: Duration) -> Duration {
    // The standard library's hasher keys are the randomness at hand; nothing is decided by it.
    let random = RandomState::new().build_hasher().finish();
    let share = f64::from(u32::try_from(random % 2001).unwrap_or_default()) / 10_000.0;
    age.mul_f64(0.9 + share)
}
