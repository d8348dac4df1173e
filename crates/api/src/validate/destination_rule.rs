//! DestinationRule.

use std::collections::BTreeSet;

use super::shared::{export_to, labels, subset_name, workload_selector};
use super::traffic_policy::traffic_policy;
use super::{Validator, syntax};
use crate::diagnostic::Code;
use crate::networking::DestinationRule;

pub(super) fn destination_rule(v: &mut Validator, rule: &DestinationRule, namespace: &str) {
    if rule.host.is_empty() {
        v.missing("host", "a DestinationRule needs a host");
    } else {
        v.check_field("host", syntax::wildcard_domain(&rule.host));
    }
    traffic_policy(v, rule.traffic_policy.as_ref());
    let mut names = BTreeSet::new();
    v.each("subsets", &rule.subsets, |v, subset| {
        v.check_field("name", subset_name(&subset.name));
        if !names.insert(subset.name.clone()) {
            v.field("name", |v| {
                let message = format!("`{}` is defined before; the first counts", subset.name);
                v.warn(Code::NoEffect, message);
            });
        }
        labels(v, "labels", &subset.labels);
        traffic_policy(v, subset.traffic_policy.as_ref());
    });
    export_to(v, &rule.export_to, namespace, false);
    workload_selector(v, rule.workload_selector.as_ref());
    let exported = rule.export_to.iter().any(|entry| entry != ".");
    if rule.workload_selector.is_some() && exported {
        v.conflict("exportTo", "a rule with `workloadSelector` is seen in its own namespace only");
    }
}
