//! AuthorizationPolicy.

use super::authorization_rule::{rule, uses_http};
use super::peer_authentication::selector;
use super::{Validator, syntax};
use crate::diagnostic::Code;
use crate::object::ObjectMeta;
use crate::security::{
    ActionDetail, AuthorizationAction, AuthorizationPolicy, PolicyTargetReference,
};

/// Set to `true`, the policy's verdict is recorded but not enforced.
pub(crate) const DRY_RUN_ANNOTATION: &str = "istio.io/dry-run";

/// What a policy can be attached to.
const TARGETS: [(&str, &str); 4] = [
    ("gateway.networking.k8s.io", "Gateway"),
    ("gateway.networking.k8s.io", "GatewayClass"),
    ("", "Service"),
    ("networking.istio.io", "ServiceEntry"),
];

pub(super) fn authorization_policy(
    v: &mut Validator,
    policy: &AuthorizationPolicy,
    meta: &ObjectMeta,
) {
    selector(v, policy.selector.as_ref());
    targets(v, policy, &meta.namespace);
    check_action(v, policy);
    let custom = policy.action == AuthorizationAction::Custom;
    v.each("rules", &policy.rules, |v, it| rule(v, it, custom));
    if policy.action == AuthorizationAction::Deny {
        v.each("rules", &policy.rules, |v, it| {
            if uses_http(it) {
                let message = "on ports that are not HTTP, the parts about requests are dropped and more \
                               is denied; name the `ports` meant";
                v.warn(Code::Inconsistent, message);
            }
        });
    }
}

/// The annotation that makes a policy a dry run.
pub(super) fn dry_run(v: &mut Validator, policy: &AuthorizationPolicy, meta: &ObjectMeta) {
    let Some(value) = meta.annotations.get(DRY_RUN_ANNOTATION) else { return };
    v.field("metadata", |v| {
        v.each_key("annotations", [(&DRY_RUN_ANNOTATION, value)], |v, _, value| {
            let enforceable =
                matches!(policy.action, AuthorizationAction::Allow | AuthorizationAction::Deny);
            if !matches!(value.as_str(), "true" | "false") {
                v.error(Code::BadValue, format!("`{value}` is neither `true` nor `false`"));
            } else if !enforceable {
                let message = format!("a dry run of {} is not possible", policy.action);
                v.error(Code::Inconsistent, message);
            }
        });
    });
}

fn check_action(v: &mut Validator, policy: &AuthorizationPolicy) {
    let provider = policy.action_detail.as_ref().map(|ActionDetail::Provider(it)| it);
    match (policy.action, provider) {
        (AuthorizationAction::Custom, None) => v.missing("provider", "CUSTOM needs a provider"),
        (AuthorizationAction::Custom, Some(provider)) if provider.name.is_empty() => {
            v.field("provider", |v| v.missing("name", "CUSTOM needs a provider's name"));
        }
        (AuthorizationAction::Custom, Some(_)) | (_, None) => {}
        (_, Some(_)) => v.conflict("provider", "a provider is for action CUSTOM only"),
    }
    let needs_rules =
        matches!(policy.action, AuthorizationAction::Deny | AuthorizationAction::Custom);
    if needs_rules && policy.rules.is_empty() {
        let message = format!(
            "{} without rules matches nothing; add the empty rule `{{}}` to match everything",
            policy.action
        );
        v.missing("rules", message);
    }
}

fn targets(v: &mut Validator, policy: &AuthorizationPolicy, namespace: &str) {
    let attached = policy.target_ref.is_some() || !policy.target_refs.is_empty();
    if policy.selector.is_some() && attached {
        v.conflict("selector", "`selector` excludes `targetRefs`");
    }
    if policy.target_ref.is_some() && !policy.target_refs.is_empty() {
        v.conflict("targetRef", "`targetRef` excludes `targetRefs`");
    }
    if let Some(it) = &policy.target_ref {
        v.field("targetRef", |v| target(v, it, namespace));
    }
    v.each("targetRefs", &policy.target_refs, |v, it| target(v, it, namespace));
}

fn target(v: &mut Validator, target: &PolicyTargetReference, namespace: &str) {
    if target.name.is_empty() {
        v.missing("name", "the name is needed");
    }
    let group = if target.group == "core" { "" } else { target.group.as_str() };
    if !TARGETS.contains(&(group, target.kind.as_str())) {
        let message =
            format!("a policy cannot be attached to `{}` `{}`", target.group, target.kind);
        v.check_field("kind", Err(message));
    }
    if !target.namespace.is_empty() && target.namespace != namespace {
        let message = "a policy is attached to objects of its own namespace only";
        v.check_field("namespace", Err(message.to_owned()));
    }
    if !target.namespace.is_empty() {
        v.check_field("namespace", namespace_name(&target.namespace));
    }
}

fn namespace_name(name: &str) -> syntax::Check {
    if syntax::is_namespace(name) { Ok(()) } else { Err(format!("`{name}` is not a namespace")) }
}
