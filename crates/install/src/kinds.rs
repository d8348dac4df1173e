//! The kinds that an installation is made of, in the order in which they are applied.

use kube::core::ApiResource;
use serde_json::Value;

/// A kind.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its group; empty for the core.
    pub group: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Its name.
    pub kind: &'static str,
    /// Its name in URLs.
    pub plural: &'static str,
    /// Whether its objects belong to namespaces.
    pub namespaced: bool,
}

const fn kind(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    namespaced: bool,
) -> Kind {
    Kind { group, version, kind, plural, namespaced }
}

/// All of them. What others need comes first; webhooks come last, when somebody is to answer them.
pub const KINDS: &[Kind] = &[
    kind("", "v1", "Namespace", "namespaces", false),
    kind("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", true),
    kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", true),
    kind("", "v1", "ServiceAccount", "serviceaccounts", true),
    kind("", "v1", "Secret", "secrets", true),
    kind("", "v1", "ConfigMap", "configmaps", true),
    kind(
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        false,
    ),
    kind("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", false),
    kind("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", false),
    kind("rbac.authorization.k8s.io", "v1", "Role", "roles", true),
    kind("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", true),
    kind("", "v1", "Service", "services", true),
    kind("apps", "v1", "DaemonSet", "daemonsets", true),
    kind("apps", "v1", "Deployment", "deployments", true),
    kind("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", true),
    kind("coordination.k8s.io", "v1", "Lease", "leases", true),
    kind(
        "admissionregistration.k8s.io",
        "v1",
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
        false,
    ),
    kind(
        "admissionregistration.k8s.io",
        "v1",
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
        false,
    ),
];

impl Kind {
    /// The kind of an object, if it is one of these.
    #[must_use]
    pub fn of(object: &Value) -> Option<&'static Self> {
        Self::find(object["apiVersion"].as_str()?, object["kind"].as_str()?)
    }

    /// The kind of this name, if it is one of these.
    #[must_use]
    pub fn find(api_version: &str, kind: &str) -> Option<&'static Self> {
        KINDS.iter().find(|known| known.kind == kind && known.api_version() == api_version)
    }

    /// `GROUP/VERSION`, or the version alone.
    #[must_use]
    pub fn api_version(&self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// Where it comes in the order of [`KINDS`].
    #[must_use]
    pub fn place(&self) -> usize {
        KINDS.iter().position(|known| known == self).unwrap_or(KINDS.len())
    }

    /// For the client.
    #[must_use]
    pub(crate) fn resource(&self) -> ApiResource {
        ApiResource {
            group: self.group.to_owned(),
            version: self.version.to_owned(),
            api_version: self.api_version(),
            kind: self.kind.to_owned(),
            plural: self.plural.to_owned(),
        }
    }
}
