//! The mesh's settings, as far as injection reads them.

use serde_json::{Map, Value, json};

use crate::json::switch;
use crate::merge::merge;

/// The mesh's settings, as far as injection reads them.
#[derive(Debug, Clone)]
pub struct MeshSettings {
    /// The trust domain.
    pub trust_domain: String,
    /// Whether the application's metrics are merged with the proxy's.
    pub prometheus_merge: bool,
    /// Whether inbound traffic is passed on to the loopback address, as Istio did long ago.
    pub inbound_localhost: bool,
    /// Settings of every proxy (`defaultConfig`).
    pub proxy: ProxySettings,
    /// All of it, for templates.
    pub raw: Value,
}

impl MeshSettings {
    pub(super) fn read(raw: Value) -> Self {
        Self {
            trust_domain: raw["trustDomain"].as_str().unwrap_or("cluster.local").to_owned(),
            prometheus_merge: raw["enablePrometheusMerge"].as_bool().unwrap_or(true),
            inbound_localhost: raw["inboundTrafficPolicy"]["mode"] == "LOCALHOST",
            proxy: ProxySettings(raw["defaultConfig"].clone()),
            raw,
        }
    }
}

/// What a proxy has without being told (Istio's ProxyConfig).
fn defaults() -> Value {
    json!({
        "drainDuration": "45s",
        "terminationDrainDuration": "5s",
        "discoveryAddress": "istiod.istio-system.svc:15012",
        "proxyAdminPort": 15000,
        "statusPort": 15020,
        "statNameLength": 189,
        "configPath": "./etc/istio/proxy",
        "binaryPath": "/usr/local/bin/envoy",
        "serviceCluster": "istio-proxy",
        "controlPlaneAuthPolicy": "MUTUAL_TLS",
        "interceptionMode": "REDIRECT",
        "fileFlushInterval": "1s",
        "fileFlushMinSizeKb": 64,
        "statsCompression": true,
    })
}

/// Settings of a proxy: ProxyConfig as JSON, only what is set.
#[derive(Debug, Clone, Default)]
pub struct ProxySettings(pub Value);

impl ProxySettings {
    /// These settings with those of a pod's annotation over them.
    #[must_use]
    pub fn with(&self, annotation: &Value) -> Self {
        let mut merged = self.0.clone();
        if annotation.is_object() {
            merge(&mut merged, annotation);
        }
        Self(merged)
    }

    /// One more setting.
    #[must_use]
    pub fn with_field(&self, field: &str, value: Value) -> Self {
        self.with(&Value::Object(Map::from_iter([(field.to_owned(), value)])))
    }

    /// What differs from the default, as the proxy is told.
    #[must_use]
    pub fn differences(&self) -> Value {
        let defaults = defaults();
        let members = self.0.as_object().into_iter().flatten();
        members
            .filter(|(field, value)| defaults.get(field.as_str()) != Some(value))
            .map(|(field, value)| (field.clone(), value.clone()))
            .collect::<Map<_, _>>()
            .into()
    }

    /// How connections get to the proxy.
    #[must_use]
    pub fn interception_mode(&self) -> &str {
        self.0["interceptionMode"].as_str().unwrap_or("REDIRECT")
    }

    /// The port for health, merged metrics and probes.
    #[must_use]
    pub fn status_port(&self) -> u16 {
        let port = self.0["statusPort"].as_u64().and_then(|port| u16::try_from(port).ok());
        port.unwrap_or(15020)
    }

    /// Whether the application starts after the proxy.
    #[must_use]
    pub fn holds_application(&self) -> bool {
        match &self.0["holdApplicationUntilProxyStarts"] {
            Value::Bool(hold) => *hold,
            Value::String(text) => switch(text).unwrap_or(false),
            _ => false,
        }
    }

    /// Environment variables of the proxy.
    pub fn metadata(&self) -> impl Iterator<Item = (&str, String)> {
        let members = self.0["proxyMetadata"].as_object().into_iter().flatten();
        members.map(|(name, value)| match value.as_str() {
            Some(text) => (name.as_str(), text.to_owned()),
            None => (name.as_str(), value.to_string()),
        })
    }
}
