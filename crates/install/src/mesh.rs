//! The mesh's objects as a cluster has them, for commands that compile them without a control plane.

use kube::api::{ApiResource, ListParams};
use serde_json::Value;

use crate::cluster::{Cluster, ClusterError, refused};

/// Kubernetes' own kinds that a mesh is compiled from: group, version, kind, plural.
const BUILT_IN: [(&str, &str, &str, &str); 5] = [
    ("", "v1", "Namespace", "namespaces"),
    ("", "v1", "Node", "nodes"),
    ("", "v1", "Service", "services"),
    ("", "v1", "Pod", "pods"),
    ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices"),
];

fn resource(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    let api_version =
        if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version,
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    }
}

/// Every object that a mesh is compiled from, but for secrets: what a kind that is not installed has is
/// nothing. `revision` and `namespace` say whose settings count.
///
/// # Errors
/// When the API server refuses to list something.
pub async fn objects(
    cluster: &Cluster,
    namespace: &str,
    revision: &str,
) -> Result<Vec<Value>, ClusterError> {
    let mut found = Vec::new();
    for (group, version, kind, plural) in BUILT_IN {
        found.extend(all(cluster, &resource(group, version, kind, plural)).await?);
    }
    for definition in lateen_api::crd::definitions() {
        let spec = &definition["spec"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut versions = spec["versions"].as_array().into_iter().flatten();
        let version = versions.find(|version| version["storage"] == true);
        let version = version.map(|version| text(&version["name"])).unwrap_or_default();
        let names = &spec["names"];
        let (kind, plural) = (text(&names["kind"]), text(&names["plural"]));
        let resource = resource(&text(&spec["group"]), &version, &kind, &plural);
        found.extend(all(cluster, &resource).await?);
    }
    let suffix = if revision.is_empty() { String::new() } else { format!("-{revision}") };
    let maps = crate::check::kind("v1", "ConfigMap");
    found.extend(cluster.get(maps, namespace, &format!("istio{suffix}")).await?);
    Ok(found)
}

async fn all(cluster: &Cluster, resource: &ApiResource) -> Result<Vec<Value>, ClusterError> {
    let api = kube::Api::<kube::api::DynamicObject>::all_with(cluster.client().clone(), resource);
    let list = match api.list(&ListParams::default()).await {
        Ok(list) => list,
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(Vec::new()),
        Err(error) => return Err(refused(format!("the list of {}", resource.plural), error)),
    };
    Ok(list
        .items
        .iter()
        .map(|object| {
            let mut object = serde_json::to_value(object).unwrap_or_default();
            object["apiVersion"] = resource.api_version.as_str().into();
            object["kind"] = resource.kind.as_str().into();
            object
        })
        .collect())
}
