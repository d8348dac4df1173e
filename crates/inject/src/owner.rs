//! Which workload a pod belongs to, by its controller; the rules of Istio's injector and telemetry.

use serde_json::Value;

use crate::json::label;
use crate::names;

/// The workload of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// `apps/v1`, `v1`, …
    pub api_version: String,
    /// `Deployment`, `Pod`, …
    pub kind: String,
    /// Its name; may be empty where nothing has one yet.
    pub name: String,
}

impl Owner {
    fn new(api_version: &str, kind: &str, name: impl Into<String>) -> Self {
        Self { api_version: api_version.to_owned(), kind: kind.to_owned(), name: name.into() }
    }

    /// The workload that created a pod: what made its ReplicaSet, Job or ReplicationController where
    /// the name tells, else its controller, else the pod itself.
    #[must_use]
    pub fn of_pod(pod: &Value) -> Self {
        let metadata = &pod["metadata"];
        let references = metadata["ownerReferences"].as_array().into_iter().flatten();
        let controller = references.clone().find(|owner| owner["controller"] == true);
        let Some(owner) = controller else {
            let generated =
                metadata["generateName"].as_str().map(|name| name.trim_end_matches('-'));
            let name = metadata["name"].as_str().filter(|name| !name.is_empty()).or(generated);
            return Self::new("v1", "Pod", name.unwrap_or_default());
        };
        let text = |field: &str| owner[field].as_str().unwrap_or_default();
        let name = text("name");
        match text("kind") {
            "ReplicaSet" => Self::of_replica_set(pod, name, text("apiVersion")),
            "Job" => match cron_job(name) {
                Some(cron_job) => Self::new("batch/v1", "CronJob", cron_job),
                None => Self::new("batch/v1", "Job", name),
            },
            "ReplicationController" => {
                let config = label(pod, "deploymentconfig");
                let numbered = name.rsplit_once('-').filter(|(_, number)| is_number(number));
                match (config, numbered) {
                    (Some(config), Some((stem, _))) if config == stem => {
                        Self::new("apps.openshift.io/v1", "DeploymentConfig", stem)
                    }
                    _ => Self::new("v1", "ReplicationController", name),
                }
            }
            kind => Self::new(text("apiVersion"), kind, name),
        }
    }

    fn of_replica_set(pod: &Value, name: &str, api_version: &str) -> Self {
        for (hash, api_version, kind) in [
            ("pod-template-hash", "apps/v1", "Deployment"),
            ("rollouts-pod-template-hash", "argoproj.io/v1alpha1", "Rollout"),
        ] {
            let stem = label(pod, hash).and_then(|hash| name.strip_suffix(hash)?.strip_suffix('-'));
            if let Some(stem) = stem {
                return Self::new(api_version, kind, stem);
            }
        }
        Self::new(api_version, "ReplicaSet", name)
    }

    /// The workload's name: what its label says, else the owner's.
    #[must_use]
    pub fn workload_name(&self, pod: &Value) -> String {
        label(pod, names::WORKLOAD_NAME).unwrap_or(&self.name).to_owned()
    }

    /// How Istio writes it: `kubernetes://apis/<version>/namespaces/<namespace>/<kind>s/<name>`.
    #[must_use]
    pub fn reference(&self, namespace: &str) -> String {
        let Self { api_version, kind, name } = self;
        let kind = kind.to_lowercase();
        format!("kubernetes://apis/{api_version}/namespaces/{namespace}/{kind}s/{name}")
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Jobs of a CronJob end in the time in minutes, of 8 to 10 digits.
fn cron_job(job: &str) -> Option<&str> {
    let (stem, number) = job.rsplit_once('-')?;
    (is_number(number) && (8..=10).contains(&number.len())).then_some(stem)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_owner_is_what_people_made() {
        let pod = |kind: &str, version: &str, name: &str, labels: Value| {
            json!({"metadata": {"name": "a-pod", "labels": labels, "ownerReferences": [
                {"controller": true, "kind": kind, "apiVersion": version, "name": name},
            ]}})
        };
        let none = || json!({});
        for (pod, expected) in [
            (
                pod("ReplicaSet", "apps/v1", "web-6d5f", json!({"pod-template-hash": "6d5f"})),
                "kubernetes://apis/apps/v1/namespaces/shop/deployments/web",
            ),
            (
                pod(
                    "ReplicaSet",
                    "apps/v1",
                    "web-6d5f",
                    json!({"rollouts-pod-template-hash": "6d5f"}),
                ),
                "kubernetes://apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/web",
            ),
            (
                pod("ReplicaSet", "apps/v1", "web", none()),
                "kubernetes://apis/apps/v1/namespaces/shop/replicasets/web",
            ),
            (
                pod("Job", "batch/v1", "night-28123456", none()),
                "kubernetes://apis/batch/v1/namespaces/shop/cronjobs/night",
            ),
            (
                pod("Job", "batch/v1", "night-1", none()),
                "kubernetes://apis/batch/v1/namespaces/shop/jobs/night-1",
            ),
            (
                pod("ReplicationController", "v1", "web-3", json!({"deploymentconfig": "web"})),
                "kubernetes://apis/apps.openshift.io/v1/namespaces/shop/deploymentconfigs/web",
            ),
            (
                pod("StatefulSet", "apps/v1", "db", none()),
                "kubernetes://apis/apps/v1/namespaces/shop/statefulsets/db",
            ),
            (
                json!({"metadata": {"generateName": "solo-"}}),
                "kubernetes://apis/v1/namespaces/shop/pods/solo",
            ),
        ] {
            assert_eq!(Owner::of_pod(&pod).reference("shop"), expected);
        }
    }
}
