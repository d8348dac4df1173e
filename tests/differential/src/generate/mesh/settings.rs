//! The mesh's settings.

use serde_json::{Value, json};

use super::object;
use crate::generate::random::Random;

/// The settings, as the ConfigMap that holds them.
pub(super) fn settings(random: &mut Random) -> Value {
    let mut mesh = json!({});
    if random.percent(50) {
        let mode = random.one(&["REGISTRY_ONLY", "ALLOW_ANY"]);
        mesh["outboundTrafficPolicy"] = json!({ "mode": mode });
    }
    if random.percent(40) {
        let normalization =
            random.one(&["NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES", "DEFAULT"]);
        mesh["pathNormalization"] = json!({ "normalization": normalization });
    }
    if random.percent(15) {
        mesh["enableAutoMtls"] = json!(random.percent(50));
    }
    if random.percent(15) {
        mesh["defaultHttpRetryPolicy"] =
            json!({ "attempts": random.pick(&[1, 2]), "retryOn": "5xx", "backoff": "1ms" });
    }
    if random.percent(10) {
        mesh["trustDomainAliases"] = json!(["old.domain"]);
    }
    let mut settings = object(("v1", "ConfigMap"), "istio-system", "istio", &Value::Null);
    settings["data"] = json!({ "mesh": mesh.to_string() });
    settings
}
