//! Which pods should have a sidecar and have none, or an outdated one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Finding, POD, REPLICA_SET, is_lateens, kind, label, name};
use crate::cluster::{Cluster, ClusterError};

/// Namespaces in which nothing is ever injected.
const IGNORED: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", "local-path-storage"];

/// What is known of the mesh's revisions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revisions {
    /// What namespaces and pods are labelled with → the revision that it stands for; Lateen's only.
    pub by_label: BTreeMap<String, String>,
    /// The tag of a revision's images.
    pub tags: BTreeMap<String, String>,
}

/// Checks the pods of all namespaces that ask for sidecars of Lateen's.
///
/// # Errors
/// When the API server does not answer.
pub async fn check(cluster: &Cluster) -> Result<Vec<Finding>, ClusterError> {
    let revisions = revisions(cluster).await?;
    let namespaces = cluster.list(kind("v1", "Namespace"), "", "").await?;
    let pods = cluster.list(&POD, "", "").await?;
    let owners = cluster.list(&REPLICA_SET, "", "").await?;
    Ok(findings(&revisions, &namespaces, &pods, &owners))
}

async fn revisions(cluster: &Cluster) -> Result<Revisions, ClusterError> {
    let mut revisions = Revisions::default();
    let webhooks = kind("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration");
    for webhook in cluster.list(webhooks, "", "app=sidecar-injector").await? {
        if !is_lateens(&webhook) {
            continue;
        }
        let revision = label(&webhook, "istio.io/rev").to_owned();
        let tag = label(&webhook, "istio.io/tag");
        let called = if tag.is_empty() { revision.clone() } else { tag.to_owned() };
        revisions.by_label.insert(called, revision);
    }
    let settings =
        cluster.list(kind("v1", "ConfigMap"), "", "app.kubernetes.io/part-of=lateen").await?;
    for map in settings.iter().filter(|map| name(map).starts_with("istio-sidecar-injector")) {
        let values = map["data"]["values"].as_str().unwrap_or_default();
        let values: Value = serde_json::from_str(values).unwrap_or_default();
        let tag = match &values["global"]["tag"] {
            Value::String(tag) => tag.clone(),
            Value::Null => continue,
            other => other.to_string(),
        };
        revisions.tags.insert(label(map, "istio.io/rev").to_owned(), tag);
    }
    Ok(revisions)
}

/// What is wrong with the sidecars of pods; one word where nothing is.
#[must_use]
pub fn findings(
    revisions: &Revisions,
    namespaces: &[Value],
    pods: &[Value],
    owners: &[Value],
) -> Vec<Finding> {
    let namespaces: BTreeMap<&str, &Value> = namespaces.iter().map(|it| (name(it), it)).collect();
    let mut findings = Vec::new();
    let mut meshed = 0_usize;
    let mut in_mesh = BTreeSet::new();
    for pod in pods {
        let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
        let Some(wanted) = namespaces.get(namespace).and_then(|it| wanted(it, pod)) else {
            continue;
        };
        let Some(revision) = revisions.by_label.get(wanted) else { continue };
        let title = format!("pod {namespace}/{}", name(pod));
        let wrong = match proxy(pod) {
            None => Some(format!("{title} has no sidecar")),
            Some(proxy) => outdated(pod, proxy, revision, revisions.tags.get(revision))
                .map(|why| format!("{title} has an outdated sidecar: {why}")),
        };
        match wrong {
            Some(text) => findings.push(Finding::bad(text).with(remedy(pod, namespace, owners))),
            None => {
                meshed += 1;
                in_mesh.insert(namespace);
            }
        }
    }
    if findings.is_empty() {
        let text = match meshed {
            0 => "no pod is in the mesh yet".to_owned(),
            _ => format!("{meshed} pods of {} namespaces have current sidecars", in_mesh.len()),
        };
        findings.push(Finding::good(text));
    }
    findings
}

/// The revision that a pod is to be injected by, as labels name it; none where it is not to be. The
/// rules are those of the webhooks' selectors and of injection itself.
fn wanted<'o>(namespace: &'o Value, pod: &'o Value) -> Option<&'o str> {
    let done = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    let ends = !pod["metadata"]["deletionTimestamp"].is_null();
    if done || ends || pod["spec"]["hostNetwork"] == true || IGNORED.contains(&name(namespace)) {
        return None;
    }
    let asks = match label(pod, "sidecar.istio.io/inject") {
        "" => {
            pod["metadata"]["annotations"]["sidecar.istio.io/inject"].as_str().unwrap_or_default()
        }
        label => label,
    };
    if asks == "false" || is_lateens(pod) {
        return None;
    }
    let (of_namespace, of_pod) = (label(namespace, "istio.io/rev"), label(pod, "istio.io/rev"));
    match label(namespace, "istio-injection") {
        "enabled" => Some("default"),
        "" if !of_namespace.is_empty() => Some(of_namespace),
        "" if !of_pod.is_empty() => Some(of_pod),
        "" if label(pod, "sidecar.istio.io/inject") == "true" => Some("default"),
        _ => None,
    }
}

/// The proxy's container.
fn proxy(pod: &Value) -> Option<&Value> {
    ["initContainers", "containers"]
        .iter()
        .flat_map(|key| pod["spec"][*key].as_array().into_iter().flatten())
        .find(|container| container["name"] == "istio-proxy")
}

/// Why a sidecar is not what would be injected now.
fn outdated(pod: &Value, proxy: &Value, revision: &str, tag: Option<&String>) -> Option<String> {
    let injected = pod["metadata"]["annotations"]["istio.io/rev"].as_str().unwrap_or_default();
    if injected != revision {
        return Some(format!("of revision {injected:?}, and {revision:?} is asked for"));
    }
    let image = proxy["image"].as_str().unwrap_or_default();
    let own = pod["metadata"]["annotations"]["sidecar.istio.io/proxyImage"].as_str();
    if own.is_some_and(|own| own.contains('/')) {
        return None;
    }
    let has = image.rsplit('/').next().and_then(|image| image.split_once(':')).map(|(_, tag)| tag);
    let tag = tag?;
    (has != Some(tag.as_str())).then(|| format!("its image is {image}, and the tag is {tag} now"))
}

/// The command that gives a pod another sidecar: its workload starts anew.
fn remedy(pod: &Value, namespace: &str, owners: &[Value]) -> String {
    let owner = |object: &Value| {
        let references = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        let controller = references.clone().find(|it| it["controller"] == true);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        controller.map(|it| (text(&it["kind"]), text(&it["name"])))
    };
    let mut found = owner(pod);
    if let Some((kind, set)) = &found
        && kind == "ReplicaSet"
    {
        let set = owners
            .iter()
            .find(|it| name(it) == set && it["metadata"]["namespace"].as_str() == Some(namespace));
        found = set.and_then(owner).or(found);
    }
    match found {
        Some((kind, workload))
            if matches!(kind.as_str(), "Deployment" | "StatefulSet" | "DaemonSet") =>
        {
            let kind = kind.to_lowercase();
            format!("kubectl rollout restart {kind}/{workload} --namespace {namespace}")
        }
        Some(_) => format!("kubectl delete pod {} --namespace {namespace}", name(pod)),
        None => format!(
            "kubectl get pod {pod} --namespace {namespace} --output yaml | kubectl replace --force --filename -",
            pod = name(pod)
        ),
    }
}
