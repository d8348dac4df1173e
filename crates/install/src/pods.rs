//! Pods as people name them: by their own names, or by those of the workloads that they belong to.

use serde_json::Value;

use crate::check::POD;
use crate::cluster::{Cluster, ClusterError};

/// Namespace and name of what people write: NAMESPACE/NAME, or as Istio has it and `proxy-status` prints it,
/// NAME.NAMESPACE.
#[must_use]
pub fn parse(text: &str) -> Option<(&str, &str)> {
    let reversed = || text.rsplit_once('.').map(|(name, namespace)| (namespace, name));
    let parts = text.split_once('/').or_else(reversed);
    parts.filter(|(namespace, name)| !namespace.is_empty() && !name.is_empty())
}

/// The name of the pod that is meant by `name`, in a namespace of a cluster: see [`meant`].
///
/// # Errors
/// When the API server does not list the pods.
pub async fn find(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
) -> Result<Option<String>, ClusterError> {
    let pods = cluster.list(&POD, namespace, "").await?;
    Ok(meant(&pods, namespace, name).map(str::to_owned))
}

/// The name of the pod that is meant by `name`: the pod of that name, else the first running one of the
/// workload of that name (Deployment, StatefulSet, DaemonSet, Job, ReplicaSet). `pods` may be mixed with objects of
/// other kinds and of other namespaces.
#[must_use]
pub fn meant<'o>(objects: &'o [Value], namespace: &str, name: &str) -> Option<&'o str> {
    let pods = || {
        objects.iter().filter(|object| {
            object["kind"] == "Pod" && object["metadata"]["namespace"] == namespace
        })
    };
    let running = |pod: &&Value| {
        pod["status"]["phase"] == "Running" && pod["metadata"]["deletionTimestamp"].is_null()
    };
    let own = pods().find(|pod| pod["metadata"]["name"] == name);
    let found = own.or_else(|| pods().filter(running).find(|pod| belongs(pod, name)));
    found.and_then(|pod| pod["metadata"]["name"].as_str())
}

/// Whether a pod belongs to the workload. The ReplicaSets of a Deployment are named by it and by the hash of the
/// pod's template, which is a label of the pod.
fn belongs(pod: &Value, workload: &str) -> bool {
    let owners = pod["metadata"]["ownerReferences"].as_array();
    let Some(owner) = owners.into_iter().flatten().find(|owner| owner["controller"] == true) else {
        return false;
    };
    let owner_name = owner["name"].as_str().unwrap_or_default();
    let hash = pod["metadata"]["labels"]["pod-template-hash"].as_str();
    let deployment = hash
        .filter(|_| owner["kind"] == "ReplicaSet")
        .and_then(|hash| owner_name.strip_suffix(hash)?.strip_suffix('-'));
    owner_name == workload || deployment == Some(workload)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, phase: &str, owner: (&str, &str)) -> Value {
        json!({
            "kind": "Pod",
            "metadata": {
                "namespace": "shop", "name": name,
                "labels": { "pod-template-hash": "7d4c9" },
                "ownerReferences": [{ "controller": true, "kind": owner.0, "name": owner.1 }],
            },
            "status": { "phase": phase },
        })
    }

    #[test]
    fn a_name_has_a_namespace() {
        for (written, read) in [
            ("shop/web-1", Some(("shop", "web-1"))),
            ("shop/web.1", Some(("shop", "web.1"))),
            ("web-1.shop", Some(("shop", "web-1"))),
            ("web.1.shop", Some(("shop", "web.1"))),
            ("web-1", None),
            ("/web-1", None),
            ("web-1.", None),
        ] {
            assert_eq!(parse(written), read, "{written}");
        }
    }

    #[test]
    fn a_pod_is_meant_by_its_name_or_by_its_workloads() {
        let objects = [
            json!({ "kind": "Service", "metadata": { "namespace": "shop", "name": "web" } }),
            pod("web-7d4c9-aaaaa", "Pending", ("ReplicaSet", "web-7d4c9")),
            pod("web-7d4c9-bbbbb", "Running", ("ReplicaSet", "web-7d4c9")),
            pod("store-0", "Running", ("StatefulSet", "store")),
        ];
        for (name, wanted) in [
            ("web-7d4c9-aaaaa", Some("web-7d4c9-aaaaa")),
            ("web", Some("web-7d4c9-bbbbb")),
            ("web-7d4c9", Some("web-7d4c9-bbbbb")),
            ("store", Some("store-0")),
            ("we", None),
            ("", None),
        ] {
            assert_eq!(meant(&objects, "shop", name), wanted, "{name}");
        }
        assert_eq!(meant(&objects, "other", "web"), None);
    }
}
