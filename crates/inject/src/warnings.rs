//! What a pod asks for and does not get.

use serde_json::Value;

use crate::json::annotation;
use crate::names;
use crate::settings::Engine;

const ENVOY_STATISTICS: &str =
    "it chooses among Envoy's own statistics, of which the proxy has none";

/// Annotations of Istio's that are not honoured, whichever the engine is.
const NOT_HONOURED: [(&str, &str); 15] = [
    ("sidecar.istio.io/bootstrapOverride", "the proxy's bootstrap cannot be replaced"),
    ("sidecar.istio.io/enableCoreDump", "where a node writes core dumps is no pod's to say"),
    ("sidecar.istio.io/componentLogLevel", "write sidecar.istio.io/logLevel"),
    ("sidecar.istio.io/proxyImageType", "there is one type of image"),
    ("sidecar.istio.io/statsInclusionPrefixes", ENVOY_STATISTICS),
    ("sidecar.istio.io/statsInclusionSuffixes", ENVOY_STATISTICS),
    ("sidecar.istio.io/statsInclusionRegexps", ENVOY_STATISTICS),
    ("sidecar.istio.io/statsHistogramBuckets", ENVOY_STATISTICS),
    ("sidecar.istio.io/statsHistogramBins", ENVOY_STATISTICS),
    ("sidecar.istio.io/statsFlushInterval", ENVOY_STATISTICS),
    ("sidecar.istio.io/statsEvictionInterval", ENVOY_STATISTICS),
    ("sidecar.istio.io/statsCompression", "metrics are sent as they are"),
    ("sidecar.istio.io/extraStatTags", "write a Telemetry resource"),
    (
        "readiness.status.sidecar.istio.io/applicationPorts",
        "Istio does not honour it either; the application's probes tell",
    ),
    ("sidecar.istio.io/controlPlaneAuthPolicy", "the control plane is always authenticated"),
];

/// Annotations of these families that are honoured.
const HONOURED: [&str; 30] = [
    names::INJECT,
    names::STATUS,
    names::NATIVE_SIDECAR,
    names::PROXY_IMAGE,
    names::LOG_LEVEL,
    names::AGENT_LOG_LEVEL,
    names::DISCOVERY_ADDRESS,
    names::USER_VOLUME,
    names::USER_VOLUME_MOUNT,
    names::NET_BIND_SERVICE,
    names::REWRITE_PROBES,
    names::STATUS_PORT,
    names::PROXY_CPU,
    names::PROXY_MEMORY,
    names::PROXY_CPU_LIMIT,
    names::PROXY_MEMORY_LIMIT,
    names::INTERCEPTION_MODE,
    names::KUBEVIRT_INTERFACES,
    names::INCLUDE_OUTBOUND_RANGES,
    names::EXCLUDE_OUTBOUND_RANGES,
    names::INCLUDE_INBOUND_PORTS,
    names::EXCLUDE_INBOUND_PORTS,
    names::INCLUDE_OUTBOUND_PORTS,
    names::EXCLUDE_OUTBOUND_PORTS,
    names::EXCLUDE_INTERFACES,
    names::READINESS_DELAY,
    names::READINESS_PERIOD,
    names::READINESS_FAILURES,
    names::OVERRIDES,
    names::PROXY_CONFIG,
];

const FAMILIES: [&str; 5] = [
    "sidecar.istio.io/",
    "traffic.sidecar.istio.io/",
    "status.sidecar.istio.io/",
    "readiness.status.sidecar.istio.io/",
    "proxy.istio.io/",
];

/// What kubectl prints about an injected pod, as its user wrote it.
pub(crate) fn of_pod(pod: &Value, engine: Engine) -> Vec<String> {
    let mut warnings = Vec::new();
    for (name, _) in pod["metadata"]["annotations"].as_object().into_iter().flatten() {
        if let Some((_, why)) = NOT_HONOURED.iter().find(|(known, _)| known == name) {
            warnings.push(format!("the annotation {name} is not honoured: {why}"));
        } else if name == names::AGENT_LOG_LEVEL && engine == Engine::Native {
            let instead = names::LOG_LEVEL;
            warnings.push(format!("the annotation {name} has no effect here; write {instead}"));
        } else if name == names::KUBEVIRT_INTERFACES {
            let instead = names::REROUTE_INTERFACES;
            warnings.push(format!("the annotation {name} is an older name; write {instead}"));
        } else if FAMILIES.iter().any(|family| name.starts_with(family))
            && !HONOURED.contains(&name.as_str())
        {
            warnings.push(format!("the annotation {name} is not known"));
        }
    }
    warnings.extend(proxy_config(pod));
    warnings
}

/// What is wrong in the proxy's own settings, by the mesh's rules for them.
fn proxy_config(pod: &Value) -> Vec<String> {
    use lateen_api::{Code, Severity};
    let Some(text) = annotation(pod, names::PROXY_CONFIG) else { return Vec::new() };
    let indented: String = text.lines().map(|line| format!("  {line}\n")).collect();
    let origin = format!("the annotation {}", names::PROXY_CONFIG);
    let parsed = lateen_api::parse_mesh_config(&format!("defaultConfig:\n{indented}"), &origin);
    let wrong = parsed.diagnostics.into_iter().filter(|diagnostic| {
        // Which settings of a proxy are honoured is the proxy's to say.
        diagnostic.severity != Severity::Info && diagnostic.code != Code::FieldNotHonoured
    });
    wrong
        .map(|diagnostic| {
            let field =
                diagnostic.field.strip_prefix("defaultConfig.").unwrap_or(&diagnostic.field);
            format!("{origin}: {field}: {}", diagnostic.message)
        })
        .collect()
}
