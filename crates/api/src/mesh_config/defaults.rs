//! What holds where the user's settings say nothing, as Istio has it.

use crate::duration::Duration;
use crate::mesh_config::{
    InboundTrafficPolicy, IngressControllerMode, MeshConfig, MeshOutboundTrafficPolicy,
    PathNormalization, ProxyConfig, ProxyPathNormalization,
};
use crate::message::{Decoder, names};
use crate::networking::{LocalityLoadBalancerSetting, OutboundTrafficPolicyMode};
use crate::value::Entry;

impl MeshConfig {
    /// The settings of a mesh whose user has set nothing.
    pub fn with_defaults() -> Self {
        let everywhere = || vec!["*".to_owned()];
        Self {
            proxy_listen_port: 15001,
            proxy_inbound_listen_port: 15006,
            connect_timeout: Some(Duration::from_secs(10)),
            protocol_detection_timeout: Some(Duration::ZERO),
            ingress_class: "istio".to_owned(),
            ingress_service: "istio-ingressgateway".to_owned(),
            ingress_controller_mode: IngressControllerMode::Strict,
            enable_tracing: true,
            default_config: Some(Box::new(ProxyConfig::with_defaults())),
            outbound_traffic_policy: Some(MeshOutboundTrafficPolicy {
                mode: OutboundTrafficPolicyMode::AllowAny,
            }),
            inbound_traffic_policy: Some(InboundTrafficPolicy::default()),
            enable_auto_mtls: Some(true),
            trust_domain: "cluster.local".to_owned(),
            default_service_export_to: everywhere(),
            default_virtual_service_export_to: everywhere(),
            default_destination_rule_export_to: everywhere(),
            root_namespace: "istio-system".to_owned(),
            locality_lb_setting: Some(LocalityLoadBalancerSetting {
                enabled: Some(true),
                ..Default::default()
            }),
            dns_refresh_rate: Some(Duration::from_secs(60)),
            enable_prometheus_merge: Some(true),
            path_normalization: Some(ProxyPathNormalization {
                normalization: PathNormalization::Base,
            }),
            hbone_idle_timeout: Some(Duration::from_secs(3600)),
            ..Default::default()
        }
    }

    /// Lays the user's settings over these, as Istio does: what is written replaces what was, lists
    /// as a whole, but `defaultConfig` is merged field by field, its `proxyMetadata` key by key,
    /// and trust domain aliases add up.
    pub(crate) fn merge(&mut self, entries: &[Entry], decoder: &mut Decoder) {
        let aliases = self.trust_domain_aliases.clone();
        decoder.members(self, entries, &["defaultConfig", "default_config"]);
        for alias in aliases {
            if !self.trust_domain_aliases.contains(&alias) {
                self.trust_domain_aliases.push(alias);
            }
        }
        let wanted = |entry: &&Entry| names::is_spelling_of(&entry.key, "defaultConfig");
        let Some(entry) = entries.iter().find(wanted).filter(|entry| !entry.value.is_null()) else {
            return;
        };
        decoder.field("defaultConfig", entry.position, |decoder| {
            let Some(entries) = entry.value.entries() else {
                return decoder.expected(&entry.value, "a mapping");
            };
            let proxy = self.default_config.get_or_insert_default();
            let metadata = std::mem::take(&mut proxy.proxy_metadata);
            decoder.members(proxy.as_mut(), entries, &[]);
            for (name, value) in metadata {
                proxy.proxy_metadata.entry(name).or_insert(value);
            }
        });
    }

    /// What becomes of traffic to unknown destinations.
    pub fn outbound_mode(&self) -> OutboundTrafficPolicyMode {
        let policy = self.outbound_traffic_policy.as_ref();
        policy.map_or(OutboundTrafficPolicyMode::AllowAny, |policy| policy.mode)
    }

    /// Whether sidecars use mutual TLS with each other by themselves.
    pub fn auto_mtls(&self) -> bool {
        self.enable_auto_mtls.unwrap_or(true)
    }
}

impl ProxyConfig {
    /// The settings of a proxy whose user has set nothing.
    pub fn with_defaults() -> Self {
        Self {
            config_path: "./etc/istio/proxy".to_owned(),
            binary_path: "/usr/local/bin/envoy".to_owned(),
            drain_duration: Some(Duration::from_secs(45)),
            termination_drain_duration: Some(Duration::from_secs(5)),
            discovery_address: "istiod.istio-system.svc:15012".to_owned(),
            proxy_admin_port: 15000,
            status_port: 15020,
            stat_name_length: 189,
            file_flush_interval: Some(Duration::from_secs(1)),
            file_flush_min_size_kb: Some(64),
            stats_compression: Some(true),
            ..Default::default()
        }
    }
}
