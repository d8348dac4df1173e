//! The chart's values, under Istio's names, with its defaults.

use serde_json::{Value, json};

use super::SettingsError;

/// Which data plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Engine {
    /// Lateen's own proxy.
    #[default]
    Native,
    /// A stock Envoy.
    Envoy,
}

impl Engine {
    /// The engine of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "native" => Some(Self::Native),
            "envoy" => Some(Self::Envoy),
            _ => None,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Envoy => "envoy",
        }
    }
}

/// The chart's values, as far as injection reads them.
#[derive(Debug, Clone)]
pub struct Values {
    /// Where images are (`global.hub`).
    pub hub: String,
    /// Which images (`global.tag`).
    pub tag: String,
    /// `global.imagePullPolicy`; empty: the cluster's default.
    pub image_pull_policy: String,
    /// `global.imagePullSecrets`.
    pub image_pull_secrets: Vec<String>,
    /// The control plane's namespace (`global.istioNamespace`).
    pub root_namespace: String,
    /// `global.platform`.
    pub platform: String,
    /// `global.network`.
    pub network: String,
    /// `global.multiCluster.clusterName`.
    pub cluster: String,
    /// `global.meshID`; empty: the trust domain.
    pub mesh_id: String,
    /// `global.caAddress`; empty: the control plane.
    pub ca_address: String,
    /// `global.mountMtlsCerts`.
    pub mount_mtls_certs: bool,
    /// `global.nativeNftables`: rules are written by nft.
    pub nftables: bool,
    /// `global.logAsJson`.
    pub log_as_json: bool,
    /// Whether sidecars are init containers that stay (`pilot.env.ENABLE_NATIVE_SIDECARS`: `true`, `false`;
    /// none for `auto`: as the nodes have it).
    pub native_sidecars: Option<bool>,
    /// The data plane of pods that name none (`proxy.engine`).
    pub engine: Engine,
    /// `global.proxy`.
    pub proxy: Proxy,
    /// `global.proxy_init`.
    pub init: Init,
    /// `pilot.cni`.
    pub cni: Cni,
    /// `sidecarInjectorWebhook.rewriteAppHTTPProbe`.
    pub rewrite_probes: bool,
    /// The gateways' pod security context (`gateways.securityContext`); null: Istio's.
    pub gateway_security_context: Value,
    /// All of it, for templates.
    pub raw: Value,
}

/// `global.proxy`.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// The image's name, or all of it if it has a slash.
    pub image: String,
    /// The same for the engine `envoy` (`global.proxy.envoyImage`, Lateen's own).
    pub envoy_image: String,
    /// The cluster's domain.
    pub cluster_domain: String,
    /// The log level.
    pub log_level: String,
    /// See `traffic.sidecar.istio.io/includeOutboundIPRanges`.
    pub include_ip_ranges: String,
    /// See `traffic.sidecar.istio.io/excludeOutboundIPRanges`.
    pub exclude_ip_ranges: String,
    /// See `traffic.sidecar.istio.io/includeInboundPorts`.
    pub include_inbound_ports: String,
    /// See `traffic.sidecar.istio.io/excludeInboundPorts`.
    pub exclude_inbound_ports: String,
    /// See `traffic.sidecar.istio.io/includeOutboundPorts`.
    pub include_outbound_ports: String,
    /// See `traffic.sidecar.istio.io/excludeOutboundPorts`.
    pub exclude_outbound_ports: String,
    /// The port for health; `0`: none.
    pub status_port: String,
    /// When the proxy counts as ready.
    pub readiness: Readiness,
    /// Failures that the startup probe allows; `None`: there is no such probe.
    pub startup_failures: Option<u64>,
    /// Whether applications start after the proxy.
    pub hold_application: bool,
    /// Requests and limits; entries that are null are left out.
    pub resources: Value,
    /// Whether the proxy is privileged.
    pub privileged: bool,
    /// A lifecycle of the user's own; null: none.
    pub lifecycle: Value,
    /// The seccomp profile; null: none.
    pub seccomp_profile: Value,
}

/// When the proxy counts as ready.
#[derive(Debug, Clone)]
pub struct Readiness {
    /// `readinessInitialDelaySeconds`.
    pub initial_delay: String,
    /// `readinessPeriodSeconds`.
    pub period: String,
    /// `readinessFailureThreshold`.
    pub failures: String,
}

/// `global.proxy_init`.
#[derive(Debug, Clone)]
pub struct Init {
    /// The image's name; empty: the proxy's.
    pub image: String,
}

/// `pilot.cni`.
#[derive(Debug, Clone)]
pub struct Cni {
    /// Whether a CNI plugin captures the traffic.
    pub enabled: bool,
    /// `default` (chained) or `multus`.
    pub provider: String,
}

impl Values {
    pub(super) fn read(raw: Value) -> Result<Self, SettingsError> {
        let engine_name = text(&raw, "proxy.engine", Engine::default().name());
        let engine = Engine::named(&engine_name).ok_or_else(|| SettingsError::Value {
            what: "the injector's values",
            path: "proxy.engine".to_owned(),
            fault: format!("{engine_name:?} is no data plane: native or envoy"),
        })?;
        let secrets = at(&raw, "global.imagePullSecrets").as_array().into_iter().flatten();
        let secret_name =
            |secret: &Value| secret.as_str().or_else(|| secret["name"].as_str()).map(str::to_owned);
        let platform = text(&raw, "global.platform", "");
        let native = text(&raw, "pilot.env.ENABLE_NATIVE_SIDECARS", "auto");
        let native_sidecars = match native.as_str() {
            "auto" => None,
            other => Some(crate::json::switch(other).ok_or_else(|| SettingsError::Value {
                what: "the injector's values",
                path: "pilot.env.ENABLE_NATIVE_SIDECARS".to_owned(),
                fault: format!("{other:?} is none of true, false and auto"),
            })?),
        };
        Ok(Self {
            hub: text(&raw, "global.hub", "ghcr.io/lateen"),
            tag: text(&raw, "global.tag", env!("CARGO_PKG_VERSION")),
            image_pull_policy: text(&raw, "global.imagePullPolicy", ""),
            image_pull_secrets: secrets.filter_map(secret_name).collect(),
            root_namespace: text(&raw, "global.istioNamespace", "istio-system"),
            platform: if platform.is_empty() { text(&raw, "platform", "") } else { platform },
            network: text(&raw, "global.network", ""),
            cluster: text(&raw, "global.multiCluster.clusterName", "Kubernetes"),
            mesh_id: text(&raw, "global.meshID", ""),
            ca_address: text(&raw, "global.caAddress", ""),
            mount_mtls_certs: flag(&raw, "global.mountMtlsCerts", false),
            nftables: flag(&raw, "global.nativeNftables", false),
            log_as_json: flag(&raw, "global.logAsJson", false),
            native_sidecars,
            engine,
            proxy: Proxy::read(&raw),
            init: Init { image: text(&raw, "global.proxy_init.image", "") },
            cni: Cni {
                enabled: flag(&raw, "pilot.cni.enabled", false),
                provider: text(&raw, "pilot.cni.provider", "default"),
            },
            rewrite_probes: flag(&raw, "sidecarInjectorWebhook.rewriteAppHTTPProbe", true),
            gateway_security_context: at(&raw, "gateways.securityContext").clone(),
            raw,
        })
    }
}

impl Proxy {
    fn read(raw: &Value) -> Self {
        let text =
            |field: &str, default: &str| text(raw, &format!("global.proxy.{field}"), default);
        let flag = |field: &str, default| flag(raw, &format!("global.proxy.{field}"), default);
        let startup = flag("startupProbe.enabled", true);
        let failures = at(raw, "global.proxy.startupProbe.failureThreshold").as_u64();
        let resources = at(raw, "global.proxy.resources");
        let default_resources = json!({
            "requests": {"cpu": "100m", "memory": "128Mi"},
            "limits": {"cpu": "2000m", "memory": "1024Mi"},
        });
        Self {
            image: text("image", "lateen-proxy"),
            envoy_image: text("envoyImage", "lateen-proxy-envoy"),
            cluster_domain: text("clusterDomain", "cluster.local"),
            log_level: text("logLevel", "warning"),
            include_ip_ranges: text("includeIPRanges", "*"),
            exclude_ip_ranges: text("excludeIPRanges", ""),
            include_inbound_ports: text("includeInboundPorts", "*"),
            exclude_inbound_ports: text("excludeInboundPorts", ""),
            include_outbound_ports: text("includeOutboundPorts", ""),
            exclude_outbound_ports: text("excludeOutboundPorts", ""),
            status_port: text("statusPort", "15020"),
            readiness: Readiness {
                initial_delay: text("readinessInitialDelaySeconds", "0"),
                period: text("readinessPeriodSeconds", "15"),
                failures: text("readinessFailureThreshold", "4"),
            },
            startup_failures: startup.then(|| failures.unwrap_or(600)),
            hold_application: flag("holdApplicationUntilProxyStarts", false),
            resources: if resources.is_null() { default_resources } else { resources.clone() },
            privileged: flag("privileged", false),
            lifecycle: at(raw, "global.proxy.lifecycle").clone(),
            seccomp_profile: at(raw, "global.proxy.seccompProfile").clone(),
        }
    }
}

/// What stands at a path with dots; null where nothing does.
fn at<'a>(raw: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(raw, |value, field| &value[field])
}

/// A scalar as text; `--set` makes numbers and switches of what is meant as text. An empty text that
/// was written counts as such.
fn text(raw: &Value, path: &str, default: &str) -> String {
    match at(raw, path) {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        _ => default.to_owned(),
    }
}

fn flag(raw: &Value, path: &str, default: bool) -> bool {
    match at(raw, path) {
        Value::Bool(value) => *value,
        Value::String(text) => crate::json::switch(text).unwrap_or(default),
        _ => default,
    }
}
