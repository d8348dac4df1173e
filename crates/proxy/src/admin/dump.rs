//! What the administrative endpoints show, as JSON.

use jiff::Timestamp;
use lateen_mesh::v1::{self, resource::Body};
use prost::Message;
use serde_json::{Value, json};

use super::Admin;
use crate::certificates::Certificates;
use crate::handover::Resource;
use crate::settings::Role;

/// The resources in force whose name contains `part`.
pub(super) fn config(admin: &Admin, part: Option<&str>) -> Value {
    let resources = admin.plans.resources();
    let shown =
        resources.iter().filter(|resource| part.is_none_or(|part| resource.name.contains(part)));
    json!({
        "cut": admin.plans.status().cut,
        "resources": shown.map(resource).collect::<Vec<_>>(),
    })
}

fn resource(resource: &Resource) -> Value {
    let Resource { name, version, body } = resource;
    let content = match v1::Resource::decode(body.clone()) {
        Ok(mut decoded) => {
            if let Some(Body::Secret(secret)) = &mut decoded.body {
                secret.private_key = "[not shown]".into();
            }
            serde_json::to_value(&decoded)
                .map(prune)
                .unwrap_or_else(|error| json!({ "unreadable": error.to_string() }))
        }
        Err(error) => json!({ "unreadable": error.to_string() }),
    };
    json!({ "name": name, "version": version, "bytes": body.len(), "content": content })
}

/// Without the fields that have their default value, as protobuf's own JSON leaves them out.
fn prune(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(name, value)| (name, prune(value)))
                .filter(|(_, value)| !is_default(value))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(prune).collect()),
        other => other,
    }
}

fn is_default(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(_) => false,
    }
}

/// The workload's certificate.
pub(super) fn certificates(certificates: &Certificates) -> Value {
    let status = certificates.status();
    let time = |time| Timestamp::try_from(time).map(|time| time.to_string()).ok();
    let certificate = status.certificate.map(|certificate| {
        json!({
            "identity": certificate.identity().as_str(),
            "not_before": time(certificate.not_before()),
            "not_after": time(certificate.not_after()),
            "chain_length": certificate.chain().len(),
            "roots": certificate.roots().len(),
        })
    });
    json!({
        "certificate": certificate,
        "issued": status.renewals,
        "failures": status.failures,
        "last_error": status.last_error,
    })
}

/// Version, settings, and how the proxy stands.
pub(super) fn server_info(admin: &Admin) -> Value {
    let settings = &admin.settings;
    let status = admin.plans.status();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "state": admin.unready().unwrap_or("LIVE"),
        "uptime_seconds": admin.started.elapsed().as_secs(),
        "node": crate::config::node_id(settings),
        "role": match settings.role {
            Role::Sidecar => "sidecar",
            Role::Gateway => "gateway",
        },
        "workers": settings.workers,
        "active_connections": admin.telemetry.active_connections(),
        "control_plane": {
            "address": settings.controller,
            "connected": status.connected,
            "for_seconds": status.since.map(|since| since.elapsed().as_secs()),
            "connections": status.connections,
            "last_error": status.last_error,
            "cut": status.cut,
            "applied": status.applied,
            "rejected": status.rejected,
            "rejection": status.rejection,
            "subscriptions": status.subscriptions,
        },
    })
}
