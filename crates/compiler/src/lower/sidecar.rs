//! Sidecars.

use std::sync::Arc;

use lateen_api::host::{NamespaceFilter, NamespacedHost};
use lateen_api::networking::{self, OutboundTrafficPolicyMode};
use lateen_mesh::v1::OutboundPolicy;

use super::{Fact, Lowering, port_number};
use crate::node::{EgressHost, EgressListener, Labels, NamespacePattern, Sidecar};
use crate::scope::{Selector, Selects};

impl Lowering<'_> {
    pub(super) fn sidecar(&mut self, spec: &networking::Sidecar) -> Vec<Fact> {
        let selector = spec
            .workload_selector
            .as_ref()
            .map(|selector| Labels::new(&selector.labels))
            .filter(|labels| !labels.is_empty())
            .map(|labels| Selector {
                selects: Selects::Sidecar,
                namespace: Some(self.namespace()),
                labels,
            });
        let egress = spec.egress.iter().map(|listener| {
            let hosts = listener.hosts.iter().map(|text| NamespacedHost::parse(text));
            let (except, hosts): (Vec<_>, Vec<_>) = hosts.partition(|host| host.excluded);
            EgressListener {
                port: listener.port.as_ref().and_then(|port| port_number(port.number)),
                hosts: hosts.iter().map(|host| self.egress_host(host)).collect(),
                except: except.iter().map(|host| self.egress_host(host)).collect(),
            }
        });
        vec![Fact::Sidecar(Arc::new(Sidecar {
            source: self.source(),
            namespace: self.namespace(),
            selector,
            egress: egress.collect(),
            outbound_policy: spec
                .outbound_traffic_policy
                .as_ref()
                .map(|policy| outbound_policy(policy.mode)),
        }))]
    }

    fn egress_host(&self, host: &NamespacedHost) -> EgressHost {
        EgressHost {
            namespace: self.namespace_pattern(&host.namespace),
            host: host.host.as_str().into(),
        }
    }

    pub(super) fn namespace_pattern(&self, filter: &NamespaceFilter) -> NamespacePattern {
        match filter {
            NamespaceFilter::Any => NamespacePattern::Any,
            NamespaceFilter::Own => NamespacePattern::Is(self.namespace()),
            NamespaceFilter::None => NamespacePattern::None,
            NamespaceFilter::Named(name) => NamespacePattern::Is(name.as_str().into()),
        }
    }
}

pub(super) fn outbound_policy(mode: OutboundTrafficPolicyMode) -> OutboundPolicy {
    match mode {
        OutboundTrafficPolicyMode::RegistryOnly => OutboundPolicy::RegistryOnly,
        OutboundTrafficPolicyMode::AllowAny | OutboundTrafficPolicyMode::AllowAnyDynamicDns => {
            OutboundPolicy::AllowAny
        }
    }
}
