//! AuthorizationPolicy.

use super::Validator;
use super::attachment::attachment;
use super::authorization_rule::{rule, uses_http};
use crate::diagnostic::Code;
use crate::object::ObjectMeta;
use crate::security::{ActionDetail, AuthorizationAction, AuthorizationPolicy};

/// Set to `true`, the policy's verdict is recorded but not enforced.
pub(crate) const DRY_RUN_ANNOTATION: &str = "istio.io/dry-run";

pub(super) fn authorization_policy(v: &mut Validator, policy: &AuthorizationPolicy) {
    attachment(v, policy.selector.as_ref(), policy.target_ref.as_ref(), &policy.target_refs);
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
