//! One stream that is served.

use std::time::{Instant, SystemTime};

use lateen_compiler::{Client, ScopeId};
use lateen_envoy::Kind;
use lateen_xds::server::Outlet;
use tonic::Status;

use super::{
    CutsOf,
    admission::Caller,
    delivery::{Delivery, close},
    envoy::{Beside, PartIds, Session},
    view::View,
};
use crate::{
    node::NodeId,
    rfc3339,
    status::{DataPlane, EnvoySync, ProxyStatus, SyncState},
};

/// See the module.
pub(super) struct Connection {
    pub(super) caller: Caller,
    pub(super) node: NodeId,
    pub(super) client: Client,
    pub(super) scope: ScopeId,
    /// The facts of the client may have changed: what it is sent is of a scope that may not be its
    /// own.
    pub(super) is_rescoped: bool,
    pub(super) plane: Plane,
    /// When the oldest change was noticed that is not on its way yet (for an Envoy: not acknowledged).
    pub(super) stale_since: Option<Instant>,
    pub(super) version: String,
    pub(super) since: SystemTime,
    pub(super) acknowledged: u64,
    pub(super) refusal: Option<(String, SystemTime)>,
}

/// What is at the other end.
pub(super) enum Plane {
    /// A proxy of ours.
    Native(Box<Native>),
    /// An Envoy.
    Envoy(Box<Envoy>),
}

/// What a proxy of ours wants and has.
pub(super) struct Native {
    pub(super) of: CutsOf,
    pub(super) view: View,
    pub(super) delivery: Delivery,
}

/// What an Envoy wants and has.
pub(super) struct Envoy {
    pub(super) session: Session,
    pub(super) parts: PartIds,
    pub(super) beside: Beside,
    pub(super) outlet: Outlet,
}

impl Plane {
    /// Whether it is one.
    pub(super) fn is_proxy(&self) -> bool {
        !matches!(self, Self::Native(native) if native.of == CutsOf::Workload)
    }

    /// Ends the stream.
    pub(super) fn close(self, status: Status, runtime: &tokio::runtime::Handle) {
        match self {
            Self::Native(native) => native.delivery.close(status, runtime),
            Self::Envoy(envoy) => close(envoy.outlet, status, runtime),
        }
    }
}

impl Connection {
    /// Whether there is a proxy at the other end.
    pub(super) fn is_proxy(&self) -> bool {
        self.plane.is_proxy()
    }

    /// What its proxy runs on.
    pub(super) fn status(&self) -> ProxyStatus {
        let (is_settled, is_refused) = match &self.plane {
            Plane::Native(native) => {
                let view = &native.view;
                (!view.is_in_flight() && !view.is_stale(), view.held_back() > 0)
            }
            Plane::Envoy(envoy) => {
                let session = &envoy.session;
                let is_refused = |kind: &Kind| session.state(*kind) == Some(SyncState::Refused);
                (session.is_settled(), Kind::ALL.iter().any(is_refused))
            }
        };
        let status = match (is_settled && !self.is_rescoped, is_refused) {
            (false, _) => SyncState::Pending,
            (true, true) => SyncState::Refused,
            (true, false) => SyncState::Synced,
        };
        let (data_plane, envoy, pending, hosts) = match &self.plane {
            Plane::Native(native) => {
                let view = &native.view;
                (DataPlane::Native, None, view.pending(), view.hosts())
            }
            Plane::Envoy(envoy) => {
                let session = &envoy.session;
                let sync = EnvoySync {
                    cds: session.state(Kind::Cluster),
                    eds: session.state(Kind::Endpoints),
                    lds: session.state(Kind::Listener),
                    rds: session.state(Kind::Routes),
                    vhds: session.state(Kind::VirtualHost),
                    sds: session.state(Kind::Secret),
                };
                (DataPlane::Envoy, Some(sync), session.pending(), session.names())
            }
        };
        ProxyStatus {
            proxy: self.node.to_string(),
            proxy_type: self.node.proxy_type().to_owned(),
            data_plane,
            identity: self.caller.to_string(),
            proxy_version: self.version.clone(),
            status,
            envoy,
            connected_since: rfc3339(self.since),
            cut: self.acknowledged,
            pending,
            hosts,
            last_nack: self.refusal.as_ref().map(|(reason, _)| reason.clone()),
            last_nack_at: self.refusal.as_ref().map(|(_, at)| rfc3339(*at)),
        }
    }
}
