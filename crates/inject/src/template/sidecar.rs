//! The template `sidecar`.

use serde_json::{Map, Value, json};

use super::{Context, container, init, labels, volumes};
use crate::error::Error;
use crate::names;

pub(super) fn overlay(context: &Context<'_>) -> Result<Value, Error> {
    let mut init_containers = Vec::new();
    if context.traffic.is_captured() {
        init_containers.push(init::container(context)?);
    }
    let mut proxy = container::sidecar(context)?;
    let mut spec = Map::new();
    if context.native {
        proxy["restartPolicy"] = json!("Always");
        init_containers.push(proxy);
    } else {
        spec.insert("containers".to_owned(), json!([proxy]));
    }
    if !init_containers.is_empty() {
        spec.insert("initContainers".to_owned(), Value::Array(init_containers));
    }
    spec.insert("volumes".to_owned(), volumes::sidecar(context)?);
    let secrets = &context.settings.values.image_pull_secrets;
    if !secrets.is_empty() {
        let secrets = secrets.iter().map(|name| json!({ "name": name })).collect();
        spec.insert("imagePullSecrets".to_owned(), secrets);
    }
    Ok(json!({
        "metadata": {"labels": label_members(context), "annotations": annotations(context)},
        "spec": spec,
    }))
}

fn label_members(context: &Context<'_>) -> Map<String, Value> {
    let mut members = Map::new();
    let tls = crate::json::label(context.pod, names::TLS_MODE).unwrap_or("istio");
    members.insert(names::TLS_MODE.to_owned(), json!(tls));
    labels::canonical(context, &mut members);
    members
}

fn annotations(context: &Context<'_>) -> Map<String, Value> {
    let mut members = Map::new();
    members.insert(names::REVISION.to_owned(), json!(context.settings.facts.revision));
    if let Some(first) = context.applications().next() {
        for name in [names::DEFAULT_LOGS_CONTAINER, names::DEFAULT_CONTAINER] {
            if crate::json::annotation(context.pod, name).is_none() {
                members.insert(name.to_owned(), first["name"].clone());
            }
        }
    }
    let cni = &context.settings.values.cni;
    if cni.enabled {
        if cni.provider == "multus" {
            let existing = crate::json::annotation(context.pod, names::MULTUS_NETWORKS);
            let networks = crate::traffic::multus_networks(existing);
            members.insert(names::MULTUS_NETWORKS.to_owned(), json!(networks));
        }
        for (name, value) in context.traffic.annotations() {
            members.insert(name.to_owned(), json!(value));
        }
    }
    members
}
