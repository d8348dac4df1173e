//! Which encryption a workload demands.

use std::sync::Arc;

use lateen_mesh::v1::{MtlsMode, Origin};

use super::Linker;
use crate::node::{Labels, Mode, PeerAuthentication};

/// Istio's default where nothing is written.
const DEFAULT: MtlsMode = MtlsMode::Permissive;

/// A mode and what says so.
pub(super) type Decided = (MtlsMode, Option<Origin>);

/// The modes of a workload.
pub(super) struct Modes {
    /// For ports that have no mode of their own.
    pub workload: Decided,
    /// By the workload's port, sorted.
    pub ports: Vec<(u16, Decided)>,
}

impl Modes {
    pub fn port(&self, port: u16) -> &Decided {
        let own = self.ports.iter().find(|(number, _)| *number == port);
        own.map_or(&self.workload, |(_, decided)| decided)
    }
}

impl<'a> Linker<'a> {
    /// What the namespace says, else the mesh; none where neither does.
    pub(super) fn namespace_mode(&mut self, namespace: &Arc<str>) -> (Mode, Option<Origin>) {
        let root = self.query.root_namespace();
        for level in [namespace, root] {
            let general = self.query.authentications(level).iter();
            let general = general.filter(|policy| policy.selector.is_none());
            // Only the oldest of a level counts, whether it sets a mode or not.
            if let Some(policy) = general.clone().next()
                && let Some(mode) = policy.mode
            {
                return (Some(mode), self.provenance.origin(&policy.source, "spec.mtls"));
            }
        }
        (None, None)
    }

    /// What applies to a workload with these labels.
    pub(super) fn modes(&mut self, namespace: &Arc<str>, labels: &Labels) -> Modes {
        let root = self.query.root_namespace();
        let policy = self.selecting_policy(namespace, root, labels);
        let (inherited, origin) = self.namespace_mode(namespace);
        let mut workload = (inherited.unwrap_or(DEFAULT), origin);
        let Some(policy) = policy else { return Modes { workload, ports: Vec::new() } };
        if let Some(mode) = policy.mode {
            workload = (mode, self.provenance.origin(&policy.source, "spec.mtls"));
        }
        let mut ports: Vec<(u16, Decided)> = Vec::new();
        for (port, mode) in &policy.ports {
            if let Some(mode) = mode {
                let field = format!("spec.portLevelMtls[{port}]");
                let origin = self.provenance.origin(&policy.source, &field);
                ports.push((*port, (*mode, origin)));
            }
        }
        ports.sort_by_key(|(port, _)| *port);
        Modes { workload, ports }
    }

    /// The oldest policy of the namespace that selects the workload. Those of the root namespace select
    /// nobody elsewhere, and in the root namespace itself they are ignored as well.
    fn selecting_policy(
        &self,
        namespace: &Arc<str>,
        root: &Arc<str>,
        labels: &Labels,
    ) -> Option<&'a Arc<PeerAuthentication>> {
        if namespace == root {
            return None;
        }
        self.query.authentications(namespace).iter().find(|policy| {
            policy.selector.as_ref().is_some_and(|selector| selector.select_labels(labels))
        })
    }
}
