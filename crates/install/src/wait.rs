//! Waiting until what was installed serves.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::cluster::{Cluster, ClusterError};
use crate::record::Owned;

/// How often the cluster is asked.
const PERIOD: Duration = Duration::from_millis(500);

/// Why waiting was in vain.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// A cluster that refuses.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// Not ready in time.
    #[error("not ready within {} s: {}", .limit.as_secs(), .waiting.join("; "))]
    Late {
        /// How long was waited.
        limit: Duration,
        /// What is not ready, and what its pods say.
        waiting: Vec<String>,
    },
}

/// Waits until every pod of the Deployments and DaemonSets is of their newest kind and available. `ready` is
/// told each that is.
///
/// # Errors
/// When the limit is over, with what the pods say.
pub async fn workloads(
    cluster: &Cluster,
    wanted: &[Owned],
    limit: Duration,
    ready: &mut dyn FnMut(&Owned),
) -> Result<(), WaitError> {
    let end = Instant::now() + limit;
    let mut waiting: Vec<&Owned> = wanted.iter().collect();
    loop {
        let mut still = Vec::new();
        for workload in waiting {
            let found = cluster.get(workload.kind, &workload.namespace, &workload.name).await?;
            if found.is_some_and(|found| is_ready(&found)) {
                ready(workload);
            } else {
                still.push(workload);
            }
        }
        waiting = still;
        if waiting.is_empty() {
            return Ok(());
        }
        if Instant::now() >= end {
            break;
        }
        tokio::time::sleep(PERIOD).await;
    }
    let mut said = Vec::new();
    for workload in waiting {
        said.push(format!("{workload}: {}", reasons(cluster, workload).await?));
    }
    Err(WaitError::Late { limit, waiting: said })
}

/// Whether a workload's pods are all new and all available.
fn is_ready(workload: &Value) -> bool {
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let status = &workload["status"];
    if number(&status["observedGeneration"]) < number(&workload["metadata"]["generation"]) {
        return false;
    }
    if workload["kind"] == "DaemonSet" {
        let wanted = number(&status["desiredNumberScheduled"]);
        return number(&status["updatedNumberScheduled"]) >= wanted
            && number(&status["numberAvailable"]) >= wanted;
    }
    let wanted = workload["spec"]["replicas"].as_u64().unwrap_or(1);
    number(&status["updatedReplicas"]) >= wanted
        && number(&status["availableReplicas"]) >= wanted
        && number(&status["replicas"]) <= number(&status["updatedReplicas"])
}

/// What the pods of a workload wait for.
async fn reasons(cluster: &Cluster, workload: &Owned) -> Result<String, ClusterError> {
    let namespace = &workload.namespace;
    let Some(found) = cluster.get(workload.kind, namespace, &workload.name).await? else {
        return Ok("it is not there".to_owned());
    };
    let labels = found["spec"]["selector"]["matchLabels"].as_object().into_iter().flatten();
    let labels: Vec<String> =
        labels.filter_map(|(name, value)| Some(format!("{name}={}", value.as_str()?))).collect();
    let pods = cluster.list(&crate::check::POD, namespace, &labels.join(",")).await?;
    if pods.is_empty() {
        let conditions = found["status"]["conditions"].as_array().into_iter().flatten();
        let messages: Vec<&str> = conditions
            .filter(|condition| {
                condition["status"] != "True" || condition["type"] == "ReplicaFailure"
            })
            .filter_map(|condition| condition["message"].as_str())
            .collect();
        return Ok(format!("no pods; {}", messages.join(", ")));
    }
    let reasons: BTreeSet<String> = pods.iter().flat_map(pod_reasons).collect();
    Ok(reasons.into_iter().collect::<Vec<_>>().join(", "))
}

fn pod_reasons(pod: &Value) -> Vec<String> {
    let status = &pod["status"];
    let containers = ["initContainerStatuses", "containerStatuses"]
        .iter()
        .flat_map(|key| status[*key].as_array().into_iter().flatten());
    let mut reasons: Vec<String> = containers
        .filter_map(|container| {
            let waiting = &container["state"]["waiting"];
            let reason = waiting["reason"].as_str()?;
            let message = waiting["message"].as_str().unwrap_or_default();
            Some(format!("{}: {reason} {message}", container["name"].as_str()?).trim().to_owned())
        })
        .collect();
    if reasons.is_empty() {
        reasons.push(format!("pods are {}", status["phase"].as_str().unwrap_or("unknown")));
    }
    reasons
}
