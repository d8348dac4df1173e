//! What a policy is attached to: workloads by labels, or objects by reference.

use super::Validator;
use super::peer_authentication::selector;
use crate::security::{LabelSelector, PolicyTargetReference};

/// What a policy can be attached to.
const TARGETS: [(&str, &str); 4] = [
    ("gateway.networking.k8s.io", "Gateway"),
    ("gateway.networking.k8s.io", "GatewayClass"),
    ("", "Service"),
    ("networking.istio.io", "ServiceEntry"),
];

/// `selector`, `targetRef` and `targetRefs`, which exclude each other.
pub(super) fn attachment(
    v: &mut Validator,
    labels: Option<&LabelSelector>,
    single: Option<&PolicyTargetReference>,
    several: &[PolicyTargetReference],
) {
    selector(v, labels);
    let attached = single.is_some() || !several.is_empty();
    if labels.is_some() && attached {
        v.conflict("selector", "`selector` excludes `targetRefs`");
    }
    if single.is_some() && !several.is_empty() {
        v.conflict("targetRef", "`targetRef` excludes `targetRefs`");
    }
    if let Some(it) = single {
        v.field("targetRef", |v| target(v, it));
    }
    targets(v, several);
}

/// `targetRefs`.
pub(super) fn targets(v: &mut Validator, several: &[PolicyTargetReference]) {
    v.each("targetRefs", several, target);
}

fn target(v: &mut Validator, target: &PolicyTargetReference) {
    if target.name.is_empty() {
        v.missing("name", "the name is needed");
    }
    let group = if target.group == "core" { "" } else { target.group.as_str() };
    if !TARGETS.contains(&(group, target.kind.as_str())) {
        let message =
            format!("a policy cannot be attached to `{}` `{}`", target.group, target.kind);
        v.check_field("kind", Err(message));
    }
    if !target.namespace.is_empty() {
        let message = "a policy is attached to objects of its own namespace; leave it out";
        v.check_field("namespace", Err(message.to_owned()));
    }
}
