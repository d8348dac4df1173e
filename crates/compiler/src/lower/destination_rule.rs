//! DestinationRules.

use std::sync::Arc;

use lateen_api::networking::{
    ClientTlsMode, ClientTlsSettings, ConnectionPoolSettings, DestinationRule, LbPolicy,
    LoadBalancerSettings, SimpleLb, TrafficPolicy as ApiPolicy,
};
use lateen_mesh::v1::{self, load_balancing::Policy, upstream_tls::Mode};

use super::{Fact, Lowering, millis_u32, port_number};
use crate::node::{Blocks, ExportTo, Labels, LoadBalancing, Rule, Subset, TrafficPolicy};
use crate::scope::{Selector, Selects};

impl Lowering<'_> {
    pub(super) fn destination_rule(&mut self, spec: &DestinationRule) -> Vec<Fact> {
        let policy = spec.traffic_policy.as_ref();
        let policy = policy.map(|policy| traffic_policy("spec.trafficPolicy", policy));
        let mut subsets = Vec::new();
        for (at, subset) in spec.subsets.iter().enumerate() {
            let field = format!("spec.subsets[{at}]");
            let policy = subset.traffic_policy.as_ref();
            let policy =
                policy.map(|policy| traffic_policy(&format!("{field}.trafficPolicy"), policy));
            subsets.push(Subset {
                name: subset.name.as_str().into(),
                labels: Labels::new(&subset.labels),
                policy,
                field,
            });
        }
        let selector = spec.workload_selector.as_ref().map(|selector| Selector {
            selects: Selects::Rule,
            namespace: Some(self.namespace()),
            labels: Labels::new(&selector.labels),
        });
        vec![Fact::Rule(Arc::new(Rule {
            source: self.source(),
            namespace: self.namespace(),
            host: self.host(&spec.host),
            export_to: ExportTo::read(
                spec.export_to.iter().map(String::as_str),
                &self.object.meta.namespace,
            ),
            selector,
            policy,
            subsets,
        }))]
    }
}

fn traffic_policy(field: &str, policy: &ApiPolicy) -> Arc<TrafficPolicy> {
    let own = blocks(
        field,
        policy.load_balancer.as_ref(),
        policy.connection_pool.as_ref(),
        policy.tls.as_ref(),
    );
    let mut ports = Vec::new();
    for (at, settings) in policy.port_level_settings.iter().enumerate() {
        let port = settings.port.as_ref().and_then(|port| port_number(port.number));
        let Some(port) = port else { continue };
        let port_blocks = blocks(
            &format!("{field}.portLevelSettings[{at}]"),
            settings.load_balancer.as_ref(),
            settings.connection_pool.as_ref(),
            settings.tls.as_ref(),
        );
        ports.push((port, port_blocks));
    }
    Arc::new(TrafficPolicy { blocks: own, ports })
}

fn blocks(
    field: &str,
    balancer: Option<&LoadBalancerSettings>,
    pool: Option<&ConnectionPoolSettings>,
    tls: Option<&ClientTlsSettings>,
) -> Blocks {
    Blocks {
        load_balancing: balancer
            .map(|balancer| load_balancing(&format!("{field}.loadBalancer"), balancer)),
        connection_pool: pool.map(|pool| {
            let timeout = pool.tcp.as_ref().and_then(|tcp| tcp.connect_timeout);
            timeout.map(|timeout| millis_u32(Some(timeout)))
        }),
        tls: tls.map(|tls| upstream_tls(&format!("{field}.tls"), tls)),
    }
}

fn upstream_tls(field: &str, tls: &ClientTlsSettings) -> v1::UpstreamTls {
    let mode = match tls.mode {
        ClientTlsMode::Disable => Mode::Disable,
        ClientTlsMode::Simple => Mode::Simple,
        ClientTlsMode::Mutual => Mode::Mutual,
        ClientTlsMode::IstioMutual => Mode::Mesh,
    };
    v1::UpstreamTls {
        mode: mode.into(),
        origin: Some(v1::Origin { object: 1, field: field.to_owned() }),
        sni: tls.sni.clone(),
        subject_alt_names: tls.subject_alt_names.clone(),
        ca_file: tls.ca_certificates.clone(),
        certificate_file: tls.client_certificate.clone(),
        private_key_file: tls.private_key.clone(),
        insecure_skip_verify: tls.insecure_skip_verify.unwrap_or_default(),
    }
}

fn load_balancing(field: &str, balancer: &LoadBalancerSettings) -> LoadBalancing {
    // Hashing is not honoured yet: it falls back to what is balanced by default.
    let simple = match &balancer.lb_policy {
        Some(LbPolicy::Simple(simple)) => *simple,
        Some(LbPolicy::ConsistentHash(_)) | None => SimpleLb::Unspecified,
    };
    let policy = match simple {
        SimpleLb::Random => Policy::Random,
        SimpleLb::RoundRobin => Policy::RoundRobin,
        SimpleLb::Unspecified
        | SimpleLb::LeastConn
        | SimpleLb::LeastRequest
        | SimpleLb::Passthrough => Policy::LeastRequest,
    };
    LoadBalancing { policy, passthrough: simple == SimpleLb::Passthrough, field: field.to_owned() }
}
