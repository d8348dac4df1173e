//! PeerAuthentication, and the selector that security policies share.

use super::shared::labels;
use super::{Validator, syntax};
use crate::diagnostic::Code;
use crate::security::{LabelSelector, PeerAuthentication};

pub(super) fn peer_authentication(v: &mut Validator, policy: &PeerAuthentication) {
    selector(v, policy.selector.as_ref());
    let selects = policy.selector.as_ref().is_some_and(|it| !it.match_labels.is_empty());
    if !policy.port_level_mtls.is_empty() && !selects {
        v.conflict("portLevelMtls", "ports belong to workloads: a selector is needed");
    }
    v.each_key("portLevelMtls", &policy.port_level_mtls, |v, port, _| {
        v.check(syntax::port(*port));
    });
}

/// The workloads of a security policy.
pub(super) fn selector(v: &mut Validator, selector: Option<&LabelSelector>) {
    let Some(selector) = selector else { return };
    v.field("selector", |v| {
        if selector.match_labels.is_empty() {
            v.warn(Code::NoEffect, "the selector has no labels, so it selects every workload");
        }
        labels(v, "matchLabels", &selector.match_labels);
    });
}
