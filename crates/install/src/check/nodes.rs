//! The CNI plugin: whether the nodes have it where pods are injected for it.

use serde_json::Value;

use super::{Finding, called, kind, label, name};
use crate::cluster::{Cluster, ClusterError};

/// The agents of the nodes, and control planes (`planes`) whose pods count on a plugin that nobody installed.
pub(super) async fn check(
    cluster: &Cluster,
    planes: &[Value],
) -> Result<Vec<Finding>, ClusterError> {
    // Istio's agents have the label, too.
    let agents = cluster.list(kind("apps/v1", "DaemonSet"), "", "k8s-app=istio-cni-node").await?;
    let (ours, theirs): (Vec<_>, Vec<_>) =
        agents.iter().partition(|agent| label(agent, "app.kubernetes.io/part-of") == "lateen");
    let mut findings: Vec<Finding> = ours.iter().map(|agent| agents_of(agent)).collect();
    for plane in planes {
        let revision = label(plane, "istio.io/rev");
        if ours.iter().any(|agent| label(agent, "istio.io/rev") == revision)
            || !counts_on_a_plugin(cluster, plane).await?
        {
            continue;
        }
        let plane = called(plane);
        findings.push(if theirs.is_empty() {
            let text = format!("pods of {plane} wait for a CNI plugin, and there is none");
            Finding::bad(text).with("lateen upgrade --set cni.enabled=true")
        } else {
            Finding::notice(format!("pods of {plane} are captured by Istio's CNI plugin"))
        });
    }
    Ok(findings)
}

fn agents_of(agent: &Value) -> Finding {
    let number = |field: &str| agent["status"][field].as_u64().unwrap_or(0);
    let (ready, wanted) = (number("numberReady"), number("desiredNumberScheduled"));
    let namespace = agent["metadata"]["namespace"].as_str().unwrap_or_default();
    let text =
        format!("CNI plugin, {namespace}/{}: {ready} of {wanted} nodes have it", name(agent));
    if ready == wanted {
        return Finding::good(text);
    }
    let selector = format!("k8s-app=istio-cni-node,istio.io/rev={}", label(agent, "istio.io/rev"));
    let remedy = format!("kubectl describe pods --namespace {namespace} --selector {selector}");
    Finding::bad(text).with(remedy)
}

/// Whether a control plane injects for a plugin, by the values of its injector.
async fn counts_on_a_plugin(cluster: &Cluster, plane: &Value) -> Result<bool, ClusterError> {
    let suffix = name(plane).strip_prefix("istiod").unwrap_or_default();
    let namespace = plane["metadata"]["namespace"].as_str().unwrap_or_default();
    let injector = format!("istio-sidecar-injector{suffix}");
    let map = cluster.get(kind("v1", "ConfigMap"), namespace, &injector).await?;
    let values = map.and_then(|map| {
        serde_json::from_str::<Value>(map["data"]["values"].as_str().unwrap_or_default()).ok()
    });
    Ok(values.is_some_and(|values| values["pilot"]["cni"]["enabled"] == true))
}
