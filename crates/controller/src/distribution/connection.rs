//! One stream that is served.

use std::time::{Instant, SystemTime};

use lateen_compiler::{Client, ScopeId};
use lateen_identity::SpiffeId;

use super::{delivery::Delivery, view::View};
use crate::{
    node::NodeId,
    rfc3339,
    status::{ProxyStatus, SyncState},
};

/// See the module.
pub(super) struct Connection {
    pub(super) identity: SpiffeId,
    pub(super) node: NodeId,
    pub(super) client: Client,
    pub(super) scope: ScopeId,
    /// The facts of the client may have changed: the view is of a scope that may not be its own.
    pub(super) is_rescoped: bool,
    pub(super) view: View,
    pub(super) delivery: Delivery,
    /// When the oldest change was noticed that is not on its way yet.
    pub(super) stale_since: Option<Instant>,
    pub(super) version: String,
    pub(super) since: SystemTime,
    pub(super) acknowledged: u64,
    pub(super) refusal: Option<(String, SystemTime)>,
}

impl Connection {
    /// What its proxy runs on.
    pub(super) fn status(&self) -> ProxyStatus {
        let state = if self.view.is_in_flight() || self.view.is_stale() || self.is_rescoped {
            SyncState::Pending
        } else if self.view.held_back() > 0 {
            SyncState::Refused
        } else {
            SyncState::Synced
        };
        ProxyStatus {
            proxy: self.node.to_string(),
            proxy_type: self.node.proxy_type().to_owned(),
            identity: self.identity.to_string(),
            proxy_version: self.version.clone(),
            status: state,
            connected_since: rfc3339(self.since),
            cut: self.acknowledged,
            pending: self.view.pending(),
            hosts: self.view.hosts(),
            last_nack: self.refusal.as_ref().map(|(reason, _)| reason.clone()),
            last_nack_at: self.refusal.as_ref().map(|(_, at)| rfc3339(*at)),
        }
    }
}
