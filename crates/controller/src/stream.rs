//! The streams' end of the xDS server: who is served, and what it says. Native streams and Envoys' are
//! told apart by the type that their first message asks for.

use std::{
    collections::{BTreeMap, hash_map::RandomState},
    hash::{BuildHasher, Hasher},
    sync::Arc,
    time::{Duration, SystemTime},
};

use lateen_compiler::Role;
use lateen_envoy::Kind;
use lateen_identity::SpiffeId;
use lateen_mesh::TYPE_URL;
use lateen_xds::{
    server::{Event, Handler, Opening, Outlet, Session},
    wire::Node,
};
use tokio::task::AbortHandle;
use tonic::{Code, Status};

use crate::{
    authentication::{Authenticator, Peer, Proof},
    distribution::{Caller, Candidate, Command, CutsOf, Distribution, Lease, Request, Wants},
    metrics::{Metrics, Refusal},
    node::{InvalidNodeId, NodeId, beside, described, is_agent, wants_whole_scope},
};

/// Takes streams of proxies.
#[derive(Debug)]
pub(crate) struct Streams {
    /// Proxies have to prove who they are; `None`: on the plain-text port they say it.
    pub(crate) authenticator: Option<Authenticator>,
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
        let Opening { node, type_url, subscribe, known, metadata, extensions, outlet } = opening;
        let Some(wants) = wants(&node, &type_url, subscribe, known) else {
            let message = format!(
                "`{type_url}` is not served here; `{TYPE_URL}` is, and clusters, endpoints, \
                 listeners, routes and secrets of Envoy's API v3",
            );
            return Err((Refusal::BadRequest, Status::invalid_argument(message)));
        };
        let id = NodeId::parse(&node.id).map_err(|error| bad_node(&error))?;
        let caller = match &self.authenticator {
            Some(authenticator) => {
                let peer = extensions.get::<Peer>();
                let proof = authenticator.authenticate(&metadata, peer, SystemTime::now()).await;
                let proof = proof.map_err(|error| (error.refusal(), error.into()))?;
                let identity = of_its_pod(proof, &id)?;
                let may_have_secrets = match id.role {
                    Role::Gateway => authenticator.may_have_secrets(&identity).await,
                    // Where nobody is asked, the record alone says who is a gateway.
                    Role::Sidecar => Ok(!authenticator.reviews_secrets()),
                };
                let may_have_secrets =
                    may_have_secrets.map_err(|status| (Refusal::Internal, status))?;
                Caller::Proven(identity, may_have_secrets)
            }
            None => {
                Caller::Said(Box::new(described(&node, &id).map_err(|error| bad_node(&error))?))
            }
        };
        let version = format!("{} {}", node.user_agent_name, program_version(&node));
        let candidate = Candidate {
            caller,
            node: id,
            version: version.trim().to_owned(),
            wants,
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

/// What the first message asks for; `None`: a type that is not served.
fn wants(
    node: &Node,
    type_url: &str,
    mut subscribe: Vec<String>,
    known: BTreeMap<String, String>,
) -> Option<Wants> {
    if type_url == TYPE_URL {
        // xDS' older way to say `*`: a first message that names nothing.
        if subscribe.is_empty() {
            subscribe.push("*".to_owned());
        }
        let known = known.into_iter().collect();
        let of = if is_agent(node) {
            CutsOf::Workload
        } else if wants_whole_scope(node) {
            CutsOf::WholeScope
        } else {
            CutsOf::Scope
        };
        return Some(Wants::Cuts { of, subscribe, known });
    }
    let kind = Kind::of_type_url(type_url)?;
    let request = Request { subscribe, unsubscribe: Vec::new(), known };
    Some(Wants::Kinds { kind, request, beside: beside(node) })
}

/// Envoy says its version in numbers.
fn program_version(node: &Node) -> String {
    let Some(built) = node.user_agent_build_version.as_ref().and_then(|built| built.version) else {
        return node.user_agent_version.clone();
    };
    format!("{}.{}.{}", built.major_number, built.minor_number, built.patch)
}

/// Whoever proves which pod it is is served as that one.
fn of_its_pod(proof: Proof, node: &NodeId) -> Result<SpiffeId, (Refusal, Status)> {
    let Proof { identity, pod } = proof;
    match pod {
        Some(pod) if pod != node.name => {
            let message = format!(
                "{identity} may not be served as workload {}/{}: its token is bound to the pod {pod}",
                node.namespace, node.name,
            );
            Err((Refusal::Identity, Status::permission_denied(message)))
        }
        _ => Ok(identity),
    }
}

fn bad_node(error: &InvalidNodeId) -> (Refusal, Status) {
    (Refusal::BadRequest, Status::invalid_argument(error.to_string()))
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
