//! The template `gateway`: a Deployment of its user's own whose only container is the proxy.

use serde_json::{Map, Value, json};

use super::{Context, container, labels, volumes};
use crate::error::Error;
use crate::names;

pub(super) fn overlay(context: &Context<'_>) -> Result<Value, Error> {
    let values = &context.settings.values;
    let mut label_members = Map::new();
    labels::canonical(context, &mut label_members);
    // A gateway's ports are its user's business, and often below 1024.
    let security = match &values.gateway_security_context {
        Value::Null => json!({"sysctls": [{
            "name": "net.ipv4.ip_unprivileged_port_start",
            "value": "0",
        }]}),
        given => given.clone(),
    };
    let mut spec = json!({
        "securityContext": security,
        "containers": [container::gateway(context)?],
        "volumes": volumes::gateway(context)?,
    });
    if !values.image_pull_secrets.is_empty() {
        let secrets = values.image_pull_secrets.iter().map(|name| json!({ "name": name }));
        spec["imagePullSecrets"] = secrets.collect();
    }
    Ok(json!({
        "metadata": {
            "labels": label_members,
            "annotations": {names::REVISION: context.settings.facts.revision},
        },
        "spec": spec,
    }))
}
