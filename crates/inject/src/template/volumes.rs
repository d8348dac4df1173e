//! The volumes of a pod with a proxy, and where the proxy mounts them.

use serde_json::{Map, Value, json};

use super::Context;
use crate::error::Error;
use crate::json::annotation;
use crate::names;
use crate::setting::Setting;

/// How long a token of the workload is valid, in seconds.
const TOKEN_LIFETIME: u32 = 43_200;

/// The volumes of a pod with a sidecar.
pub(super) fn sidecar(context: &Context<'_>) -> Result<Value, Error> {
    let mut volumes = proxy();
    volumes.push(json!({
        "name": "istio-ca-crl",
        "configMap": {"name": "istio-ca-crl", "optional": true},
    }));
    if context.settings.values.mount_mtls_certs {
        let account = context.pod["spec"]["serviceAccountName"].as_str().unwrap_or_default();
        let account = if account.is_empty() { "default" } else { account };
        volumes.push(json!({
            "name": "istio-certs",
            "secret": {"optional": true, "secretName": format!("istio.{account}")},
        }));
    }
    if let Some(config_map) = annotation(context.pod, names::BOOTSTRAP_OVERRIDE) {
        volumes.push(json!({"name": "custom-bootstrap-volume", "configMap": {"name": config_map}}));
    }
    for (name, source) in by_name(context, names::USER_VOLUME)? {
        volumes.push(with_name(name, source));
    }
    Ok(volumes.into())
}

/// The volumes of a gateway.
pub(super) fn gateway(context: &Context<'_>) -> Result<Value, Error> {
    let mut volumes = proxy();
    for (name, source) in by_name(context, names::USER_VOLUME)? {
        volumes.push(with_name(name, source));
    }
    Ok(volumes.into())
}

fn proxy() -> Vec<Value> {
    let field = |path: &str, field: &str| json!({"path": path, "fieldRef": {"fieldPath": field}});
    vec![
        json!({"name": "workload-socket", "emptyDir": {}}),
        json!({"name": "credential-socket", "emptyDir": {}}),
        json!({"name": "workload-certs", "emptyDir": {}}),
        json!({"name": "istio-envoy", "emptyDir": {"medium": "Memory"}}),
        json!({"name": "istio-data", "emptyDir": {}}),
        json!({"name": "istio-podinfo", "downwardAPI": {"items": [
            field("labels", "metadata.labels"),
            field("annotations", "metadata.annotations"),
        ]}}),
        json!({"name": "istio-token", "projected": {"sources": [{"serviceAccountToken": {
            "audience": "istio-ca",
            "expirationSeconds": TOKEN_LIFETIME,
            "path": "istio-token",
        }}]}}),
        json!({"name": "istiod-ca-cert", "configMap": {"name": "istio-ca-root-cert"}}),
    ]
}

/// Where a sidecar mounts them.
pub(super) fn sidecar_mounts(context: &Context<'_>) -> Result<Value, Error> {
    let mut mounts = proxy_mounts(Some("/var/run/secrets/istio/crl"));
    if context.settings.values.mount_mtls_certs {
        mounts.push(json!({"name": "istio-certs", "mountPath": "/etc/certs/", "readOnly": true}));
    }
    if annotation(context.pod, names::BOOTSTRAP_OVERRIDE).is_some() {
        mounts.push(json!({
            "name": "custom-bootstrap-volume",
            "mountPath": "/etc/istio/custom-bootstrap",
        }));
    }
    for (name, mount) in by_name(context, names::USER_VOLUME_MOUNT)? {
        mounts.push(with_name(name, mount));
    }
    Ok(mounts.into())
}

/// Where a gateway mounts them.
pub(super) fn gateway_mounts(context: &Context<'_>) -> Result<Value, Error> {
    let mut mounts = proxy_mounts(None);
    for (name, mount) in by_name(context, names::USER_VOLUME_MOUNT)? {
        mounts.push(with_name(name, mount));
    }
    Ok(mounts.into())
}

fn proxy_mounts(revocations: Option<&str>) -> Vec<Value> {
    let mount = |name: &str, path: &str| json!({"name": name, "mountPath": path});
    let mut mounts = vec![
        mount("workload-socket", "/var/run/secrets/workload-spiffe-uds"),
        mount("credential-socket", "/var/run/secrets/credential-uds"),
        mount("workload-certs", "/var/run/secrets/workload-spiffe-credentials"),
        mount("istiod-ca-cert", "/var/run/secrets/istio"),
    ];
    mounts.extend(revocations.map(|path| mount("istio-ca-crl", path)));
    mounts.extend([
        mount("istio-data", "/var/lib/istio/data"),
        mount("istio-envoy", "/etc/istio/proxy"),
        mount("istio-token", "/var/run/secrets/tokens"),
        mount("istio-podinfo", "/etc/istio/pod"),
    ]);
    mounts
}

/// What an annotation says, by name.
type Named = Vec<(String, Map<String, Value>)>;

/// What an annotation says by name, sorted.
fn by_name(context: &Context<'_>, name: &'static str) -> Result<Named, Error> {
    let setting = Setting::new(context.pod, name, "", "{}");
    let mut entries = Vec::new();
    for (volume, value) in setting.object()? {
        let Value::Object(value) = value else {
            let fault = format!("{volume:?} must have a JSON object");
            return Err(Error::setting(&format!("the annotation {name}"), setting.text, fault));
        };
        entries.push((volume, value));
    }
    entries.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(entries)
}

fn with_name(name: String, mut members: Map<String, Value>) -> Value {
    members.shift_insert(0, "name".to_owned(), Value::String(name));
    Value::Object(members)
}
