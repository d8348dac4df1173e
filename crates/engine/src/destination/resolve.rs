//! Joining a destination to its endpoint slices.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Destination, Discovery, Endpoint, Health, PoolKey, Slice, Spec, Target};
use crate::upstream::UpstreamTls;

impl Destination {
    /// The destination with those endpoints of the slices that its subset selects.
    pub(crate) fn resolve<'s>(spec: Arc<Spec>, slices: impl Iterator<Item = &'s Slice>) -> Self {
        let mut targets = Vec::new();
        match spec.discovery {
            Discovery::Passthrough => {}
            Discovery::Dns => targets.extend(spec.dns.iter().cloned()),
            Discovery::Endpoints => targets.extend(
                slices
                    .flat_map(|slice| &slice.endpoints)
                    .filter(|endpoint| spec.selects(endpoint))
                    .cloned(),
            ),
        }
        let targets = spec.targets(targets);
        let mut destination = Self {
            spec,
            targets,
            eligible: Vec::new(),
            cumulative: Vec::new(),
            equal_weights: true,
        };
        destination.weigh();
        destination
    }

    fn weigh(&mut self) {
        let mut sum = 0;
        let mut first = None;
        for (index, target) in (0..).zip(&self.targets) {
            if target.endpoint.health != Health::Healthy {
                continue;
            }
            let weight = target.endpoint.weight;
            self.equal_weights &= *first.get_or_insert(weight) == weight;
            sum += u64::from(weight);
            self.eligible.push(index);
            self.cumulative.push(sum);
        }
    }
}

impl Spec {
    fn selects(&self, endpoint: &Endpoint) -> bool {
        self.subset_labels
            .iter()
            .all(|(name, value)| endpoint.template.label(name) == Some(&**value))
    }

    /// TLS is the same for every endpoint that is marked alike and has the same identity, so
    /// those share one value.
    fn targets(&self, endpoints: Vec<Arc<Endpoint>>) -> Vec<Target> {
        let mut shared: BTreeMap<(bool, Option<Arc<str>>), Arc<UpstreamTls>> = BTreeMap::new();
        endpoints
            .into_iter()
            .map(|endpoint| {
                let marks = (endpoint.mesh_tls, endpoint.template.identity.clone());
                let tls = shared.entry(marks).or_insert_with_key(|(mesh_tls, identity)| {
                    Arc::new(self.tls.towards(*mesh_tls, identity.as_ref()))
                });
                let tls = Arc::clone(tls);
                let pool = Arc::new(PoolKey::new(endpoint.key.clone(), Arc::clone(&tls)));
                Target { endpoint, tls, pool }
            })
            .collect()
    }
}
