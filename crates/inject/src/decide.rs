//! Whether a pod is injected: first by the webhooks' selectors, which the API server evaluates,
//! then by the injector's own policy.

use std::collections::BTreeMap;
use std::fmt;

use lateen_api::mesh_config::{KubernetesLabelSelector, LabelSelectorRequirement};
use serde_json::Value;

use crate::json::{annotation, label, labels};
use crate::names;
use crate::settings::{InjectorConfig, Policy};

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// One webhook of a mutating webhook configuration.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// Its name.
    pub name: &'static str,
    /// Which namespaces it is for.
    pub namespaces: KubernetesLabelSelector,
    /// Which pods in them.
    pub pods: KubernetesLabelSelector,
}

impl Webhook {
    /// Whether the API server calls it for a pod with these labels in a namespace with those.
    #[must_use]
    pub fn matches(&self, namespace: &Labels, pod: &Labels) -> bool {
        self.namespaces.selects(namespace) && self.pods.selects(pod)
    }
}

/// The webhooks of a revision (`default`: the one without a name), as Istio's chart installs them.
/// `enable_by_default`: pods of namespaces without a label are injected, too (default revision).
#[must_use]
pub fn webhooks(revision: &str, enable_by_default: bool) -> Vec<Webhook> {
    let not_refused = requirement(names::INJECT, "NotIn", &["false"]);
    let no_revision = requirement(names::REVISION, "DoesNotExist", &[]);
    let no_injection = requirement(names::NAMESPACE_INJECTION, "DoesNotExist", &[]);
    let this_revision = requirement(names::REVISION, "In", &[revision]);
    let mut webhooks = vec![
        Webhook {
            name: "rev.namespace.sidecar-injector.istio.io",
            namespaces: selector([this_revision.clone(), no_injection.clone()]),
            pods: selector([not_refused.clone()]),
        },
        Webhook {
            name: "rev.object.sidecar-injector.istio.io",
            namespaces: selector([no_revision.clone(), no_injection.clone()]),
            pods: selector([not_refused.clone(), this_revision]),
        },
    ];
    if revision != names::DEFAULT_REVISION {
        return webhooks;
    }
    webhooks.push(Webhook {
        name: "namespace.sidecar-injector.istio.io",
        namespaces: selector([requirement(names::NAMESPACE_INJECTION, "In", &["enabled"])]),
        pods: selector([not_refused]),
    });
    webhooks.push(Webhook {
        name: "object.sidecar-injector.istio.io",
        namespaces: selector([no_injection.clone(), no_revision.clone()]),
        pods: selector([requirement(names::INJECT, "In", &["true"]), no_revision.clone()]),
    });
    if enable_by_default {
        let name = "kubernetes.io/metadata.name";
        let ordinary = requirement(name, "NotIn", &names::IGNORED_NAMESPACES);
        webhooks.push(Webhook {
            name: "auto.sidecar-injector.istio.io",
            namespaces: selector([no_injection, no_revision.clone(), ordinary]),
            pods: selector([requirement(names::INJECT, "DoesNotExist", &[]), no_revision]),
        });
    }
    webhooks
}

fn selector<const N: usize>(
    requirements: [LabelSelectorRequirement; N],
) -> KubernetesLabelSelector {
    KubernetesLabelSelector { match_expressions: requirements.into(), ..Default::default() }
}

fn requirement(key: &str, operator: &str, values: &[&str]) -> LabelSelectorRequirement {
    LabelSelectorRequirement {
        key: key.to_owned(),
        operator: operator.to_owned(),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    }
}

/// Whether a pod is injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It is.
    Inject,
    /// It is not, because.
    Skip(Reason),
}

/// Why a pod is not injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Rules of capture would be the node's.
    HostNetwork,
    /// The namespace is one of Kubernetes' own.
    IgnoredNamespace,
    /// The pod's label or annotation refuses.
    Refused,
    /// A selector of the injector's configuration says never.
    NeverSelector,
    /// Nobody asked for it, and the policy is to inject on demand.
    NotAskedFor,
    /// The policy is none that is known, so that nothing is injected.
    Off,
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::HostNetwork => "it is on the host's network",
            Self::IgnoredNamespace => "its namespace belongs to Kubernetes",
            Self::Refused => "its label or annotation sidecar.istio.io/inject refuses",
            Self::NeverSelector => "a neverInjectSelector matches its labels",
            Self::NotAskedFor => "the policy is `disabled`, and the pod does not ask",
            Self::Off => "the injector's policy is neither `enabled` nor `disabled`",
        })
    }
}

/// Decides about a pod for which a webhook was called (Istio: `injectRequired`). The label goes
/// before the annotation; selectors count only where neither says anything.
#[must_use]
pub fn decide(pod: &Value, namespace: &str, config: &InjectorConfig) -> Decision {
    if pod["spec"]["hostNetwork"] == true {
        return Decision::Skip(Reason::HostNetwork);
    }
    if names::IGNORED_NAMESPACES.contains(&namespace) {
        return Decision::Skip(Reason::IgnoredNamespace);
    }
    let asked = label(pod, names::INJECT).or_else(|| annotation(pod, names::INJECT));
    let labels = labels(pod);
    let any = |selectors: &[KubernetesLabelSelector]| {
        selectors.iter().any(|selector| !is_empty(selector) && selector.selects(&labels))
    };
    let wanted = match asked {
        Some("true") => Some(Ok(())),
        Some("false") => Some(Err(Reason::Refused)),
        _ if any(&config.never_inject) => Some(Err(Reason::NeverSelector)),
        _ if any(&config.always_inject) => Some(Ok(())),
        _ => None,
    };
    match (&config.policy, wanted) {
        (Policy::Unknown(_), _) => Decision::Skip(Reason::Off),
        (Policy::Disabled, None) => Decision::Skip(Reason::NotAskedFor),
        (_, Some(Err(reason))) => Decision::Skip(reason),
        (Policy::Enabled, None) | (_, Some(Ok(()))) => Decision::Inject,
    }
}

/// An empty selector in the injector's configuration selects nothing.
fn is_empty(selector: &KubernetesLabelSelector) -> bool {
    selector.match_labels.is_empty() && selector.match_expressions.is_empty()
}
