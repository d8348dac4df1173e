//! `lateen check`: whether a cluster can be installed into, and how an installation is.

mod nodes;
pub mod sidecars;

use serde_json::Value;

use crate::cluster::{Cluster, ClusterError};
use crate::kinds::{KINDS, Kind};
use crate::record::revision_label;

/// Pods, which nobody installs.
pub const POD: Kind =
    Kind { group: "", version: "v1", kind: "Pod", plural: "pods", namespaced: true };

const REPLICA_SET: Kind = Kind {
    group: "apps",
    version: "v1",
    kind: "ReplicaSet",
    plural: "replicasets",
    namespaced: true,
};

/// The oldest minor version of Kubernetes 1 that the chart is for.
const OLDEST: u32 = 29;

/// How a finding is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// As it should be.
    Good,
    /// Worth knowing.
    Notice,
    /// Something does not work, or will not.
    Bad,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How it is to be taken.
    pub level: Level,
    /// What it is.
    pub text: String,
    /// The command that mends it, where there is one.
    pub remedy: Option<String>,
}

impl Finding {
    pub(crate) fn good(text: impl Into<String>) -> Self {
        Self { level: Level::Good, text: text.into(), remedy: None }
    }

    pub(crate) fn notice(text: impl Into<String>) -> Self {
        Self { level: Level::Notice, text: text.into(), remedy: None }
    }

    pub(crate) fn bad(text: impl Into<String>) -> Self {
        Self { level: Level::Bad, text: text.into(), remedy: None }
    }

    pub(crate) fn with(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

pub(crate) fn kind(api_version: &str, kind: &str) -> &'static Kind {
    Kind::find(api_version, kind).expect("invariant: the kind is in the table")
}

fn label<'o>(object: &'o Value, name: &str) -> &'o str {
    object["metadata"]["labels"][name].as_str().unwrap_or_default()
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn is_lateens(object: &Value) -> bool {
    label(object, "app.kubernetes.io/part-of") == "lateen"
}

/// Whether a cluster can be installed into: its version, what its user may, what is there already.
///
/// # Errors
/// When the API server does not answer.
pub async fn before(cluster: &Cluster, namespace: &str) -> Result<Vec<Finding>, ClusterError> {
    let mut findings = vec![version(cluster).await?];
    let mut forbidden = Vec::new();
    for kind in KINDS.iter().filter(|kind| kind.kind != "Secret" && kind.kind != "Lease") {
        for verb in ["create", "patch"] {
            if !cluster.may(verb, kind, namespace).await? {
                forbidden.push(format!("{verb} {}", kind.plural));
            }
        }
    }
    findings.push(if forbidden.is_empty() {
        Finding::good("you may make everything that an installation consists of")
    } else {
        Finding::bad(format!("you may not {}", forbidden.join(", ")))
    });
    findings.extend(definitions(cluster, false).await?);
    if crate::remove::istio_remains(cluster).await? {
        findings.push(
            Finding::notice(
                "an Istio is installed; Lateen goes beside it, with its CA and a revision",
            )
            .with("lateen install --revision lateen"),
        );
    }
    Ok(findings)
}

async fn version(cluster: &Cluster) -> Result<Finding, ClusterError> {
    let (version, minor) = cluster.version().await?;
    Ok(if minor >= OLDEST {
        Finding::good(format!("Kubernetes {version}"))
    } else {
        Finding::bad(format!("Kubernetes {version}: 1.{OLDEST} or newer is needed"))
    })
}

/// The definitions of kinds: whose they are, and whether they are in force.
async fn definitions(cluster: &Cluster, installed: bool) -> Result<Vec<Finding>, ClusterError> {
    let definitions = kind("apiextensions.k8s.io/v1", "CustomResourceDefinition");
    let (mut missing, mut foreign, mut idle, mut ours) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for wanted in lateen_api::crd::definitions() {
        let name = name(&wanted).to_owned();
        let Some(found) = cluster.get(definitions, "", &name).await? else {
            missing.push(name);
            continue;
        };
        let mut conditions = found["status"]["conditions"].as_array().into_iter().flatten();
        if !conditions.any(|it| it["type"] == "Established" && it["status"] == "True") {
            idle.push(name);
        } else if is_lateens(&found) {
            ours += 1;
        } else {
            foreign.push(name);
        }
    }
    let mut findings = Vec::new();
    if ours > 0 {
        findings.push(Finding::good(format!("{ours} kinds of objects are defined")));
    }
    if !foreign.is_empty() {
        let text = format!("kept as somebody else defined them: {}", foreign.join(", "));
        findings.push(Finding::notice(text));
    }
    if !idle.is_empty() {
        findings.push(Finding::bad(format!("not established: {}", idle.join(", "))));
    }
    if installed && !missing.is_empty() {
        let text = format!("kinds that are not defined: {}", missing.join(", "));
        findings.push(Finding::bad(text).with("lateen crds | kubectl apply --server-side -f -"));
    }
    Ok(findings)
}

/// A control plane of Lateen: namespace and revision, by its Deployment.
async fn control_planes(cluster: &Cluster) -> Result<Vec<Value>, ClusterError> {
    let labels = "app=istiod,app.kubernetes.io/part-of=lateen";
    cluster.list(kind("apps/v1", "Deployment"), "", labels).await
}

/// How the installations of a cluster are; `None` where there is none. `version` is this program's.
///
/// # Errors
/// When the API server does not answer.
pub async fn after(cluster: &Cluster, version: &str) -> Result<Option<Vec<Finding>>, ClusterError> {
    let planes = control_planes(cluster).await?;
    if planes.is_empty() {
        return Ok(None);
    }
    let mut findings = vec![self::version(cluster).await?];
    findings.extend(definitions(cluster, true).await?);
    for plane in &planes {
        findings.push(control_plane(plane));
        findings.extend(skew(plane, version));
    }
    findings.extend(webhooks(cluster).await?);
    findings.extend(gateways(cluster).await?);
    findings.extend(scaling(cluster).await?);
    findings.extend(nodes::check(cluster, &planes).await?);
    findings.extend(sidecars::check(cluster).await?);
    Ok(Some(findings))
}

/// A control plane as people name it.
fn called(plane: &Value) -> String {
    let namespace = plane["metadata"]["namespace"].as_str().unwrap_or_default();
    format!("revision {} in {namespace}", revision_label(label(plane, "istio.io/rev")))
}

fn control_plane(plane: &Value) -> Finding {
    let available = plane["status"]["availableReplicas"].as_u64().unwrap_or(0);
    let wanted = plane["spec"]["replicas"].as_u64().unwrap_or(1);
    let text = format!("control plane, {}: {available} of {wanted} replicas serve", called(plane));
    let namespace = plane["metadata"]["namespace"].as_str().unwrap_or_default();
    if available == 0 {
        let remedy = format!("kubectl describe pods --namespace {namespace} --selector app=istiod");
        return Finding::bad(text).with(remedy);
    }
    if available < wanted { Finding::notice(text) } else { Finding::good(text) }
}

/// A control plane of another version than this program.
fn skew(plane: &Value, version: &str) -> Option<Finding> {
    let theirs = label(plane, "app.kubernetes.io/version");
    (theirs != version).then(|| {
        let text = format!("{} has version {theirs}, this program {version}", called(plane));
        Finding::notice(text).with("lateen upgrade")
    })
}

/// The webhooks: whether they lead to a service that is there, by a certificate that is there.
async fn webhooks(cluster: &Cluster) -> Result<Vec<Finding>, ClusterError> {
    let mut findings = Vec::new();
    for configuration in ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"] {
        let configuration = kind("admissionregistration.k8s.io/v1", configuration);
        let ours = cluster.list(configuration, "", "app.kubernetes.io/part-of=lateen").await?;
        for webhook in &ours {
            findings.push(webhook_finding(cluster, configuration, webhook).await?);
        }
    }
    Ok(findings)
}

async fn webhook_finding(
    cluster: &Cluster,
    configuration: &Kind,
    webhook: &Value,
) -> Result<Finding, ClusterError> {
    let title = format!("{} {}", configuration.kind, name(webhook));
    let client = &webhook["webhooks"][0]["clientConfig"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (service, namespace) =
        (text(&client["service"]["name"]), text(&client["service"]["namespace"]));
    if cluster.get(kind("v1", "Service"), &namespace, &service).await?.is_none() {
        let text =
            format!("{title} leads to the service {namespace}/{service}, which is not there");
        let remedy = format!("kubectl delete {} {}", configuration.plural, name(webhook));
        return Ok(Finding::bad(text).with(remedy));
    }
    let entries = webhook["webhooks"].as_array().into_iter().flatten();
    let unsigned =
        entries.filter(|entry| text(&entry["clientConfig"]["caBundle"]).is_empty()).count();
    Ok(if unsigned > 0 {
        Finding::bad(format!("{title}: the control plane has not written its certificate yet"))
    } else {
        Finding::good(title)
    })
}

async fn gateways(cluster: &Cluster) -> Result<Vec<Finding>, ClusterError> {
    let deployments = kind("apps/v1", "Deployment");
    let ours =
        cluster.list(deployments, "", "app.kubernetes.io/part-of=lateen,app!=istiod").await?;
    Ok(ours
        .iter()
        .map(|gateway| {
            let available = gateway["status"]["availableReplicas"].as_u64().unwrap_or(0);
            let namespace = gateway["metadata"]["namespace"].as_str().unwrap_or_default();
            let text = format!("gateway {namespace}/{}: {available} replicas serve", name(gateway));
            if available == 0 { Finding::bad(text) } else { Finding::good(text) }
        })
        .collect())
}

/// Autoscalers that nobody tells the load: they warn in their events, and change nothing.
async fn scaling(cluster: &Cluster) -> Result<Option<Finding>, ClusterError> {
    let scalers = kind("autoscaling/v2", "HorizontalPodAutoscaler");
    let ours = cluster.list(scalers, "", "app.kubernetes.io/part-of=lateen").await?;
    if ours.is_empty() || cluster.serves("metrics.k8s.io").await? {
        return Ok(None);
    }
    let names: Vec<&str> = ours.iter().map(name).collect();
    let names = names.join(", ");
    let text = format!("no metrics are served: the autoscalers {names} keep replicas as they are");
    let remedy =
        "install metrics-server, or set autoscaleEnabled=false for the control plane and gateways";
    Ok(Some(Finding::notice(text).with(remedy)))
}
