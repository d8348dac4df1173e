//! Which workloads and namespaces labels select.

use std::collections::BTreeMap;

use crate::mesh_config::{KubernetesLabelSelector, LabelSelectorRequirement};

/// Whether `labels` has every label of `wanted` with the same value. No label wanted: yes.
pub fn selects(wanted: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(name, value)| labels.get(name) == Some(value))
}

impl KubernetesLabelSelector {
    /// Whether all labels and expressions hold. An empty selector selects everything.
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        selects(&self.match_labels, labels)
            && self.match_expressions.iter().all(|expression| expression.holds(labels))
    }
}

impl LabelSelectorRequirement {
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        match self.operator.as_str() {
            "In" => value.is_some_and(|value| self.values.contains(value)),
            "NotIn" => value.is_none_or(|value| !self.values.contains(value)),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            // Validation refuses others.
            _ => false,
        }
    }
}
