//! Which namespaces belong to the mesh: MeshConfig's `discoverySelectors`.

use std::collections::{BTreeMap, BTreeSet};

use lateen_api::mesh_config::KubernetesLabelSelector;

/// The namespaces with their labels, and what selects them.
#[derive(Debug, Default)]
pub struct Selection {
    selectors: Vec<KubernetesLabelSelector>,
    namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// Those that a selector selects; without selectors nobody asks.
    selected: BTreeSet<String>,
}

impl Selection {
    /// Whether objects of the namespace belong to the mesh; those of no namespace always do. Without
    /// selectors all namespaces do.
    pub fn sees(&self, namespace: &str) -> bool {
        namespace.is_empty() || self.selectors.is_empty() || self.selected.contains(namespace)
    }

    /// Takes in the selectors, of which one has to hold; answers whether other namespaces belong to the
    /// mesh now.
    pub fn set_selectors(&mut self, selectors: Vec<KubernetesLabelSelector>) -> bool {
        let had_none = self.selectors.is_empty();
        let has_none = selectors.is_empty();
        self.selectors = selectors;
        let changed = self.select_again();
        had_none != has_none || !has_none && changed
    }

    /// Takes in a namespace's labels (`None`: it is gone); answers the same.
    pub fn set_namespace(&mut self, name: &str, labels: Option<&BTreeMap<String, String>>) -> bool {
        match labels {
            Some(labels) => {
                self.namespaces.insert(name.to_owned(), labels.clone());
            }
            None => {
                self.namespaces.remove(name);
            }
        }
        self.select_again() && !self.selectors.is_empty()
    }

    /// All namespaces, of the mesh or not.
    pub fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.namespaces.keys().map(String::as_str)
    }

    fn select_again(&mut self) -> bool {
        let is_selected = |labels: &BTreeMap<String, String>| {
            self.selectors.iter().any(|selector| selector.selects(labels))
        };
        let selected = self.namespaces.iter().filter(|(_, labels)| is_selected(labels));
        let selected: BTreeSet<String> = selected.map(|(name, _)| name.clone()).collect();
        let changed = selected != self.selected;
        self.selected = selected;
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(name: &str, value: &str) -> BTreeMap<String, String> {
        [(name.to_owned(), value.to_owned())].into()
    }

    fn selector(name: &str, value: &str) -> KubernetesLabelSelector {
        KubernetesLabelSelector { match_labels: labels(name, value), ..Default::default() }
    }

    #[test]
    fn any_selector_lets_a_namespace_in() {
        let mut selection = Selection::default();
        assert!(!selection.set_namespace("shop", Some(&labels("mesh", "on"))));
        assert!(!selection.set_namespace("other", Some(&labels("team", "b"))));
        assert!(selection.sees("shop") && selection.sees("unheard"));

        assert!(selection.set_selectors(vec![selector("mesh", "on"), selector("team", "a")]));
        assert!(selection.sees("shop") && selection.sees(""));
        assert!(!selection.sees("other") && !selection.sees("unheard"));

        assert!(selection.set_namespace("other", Some(&labels("team", "a"))));
        assert!(selection.sees("other"));
        assert!(!selection.set_namespace("other", Some(&labels("team", "a"))), "as it was");
        assert!(selection.set_namespace("other", None));
        assert!(!selection.sees("other"));

        assert!(!selection.set_selectors(vec![selector("mesh", "on")]), "the same are in");
        assert!(selection.set_selectors(Vec::new()));
        assert!(selection.sees("other"));
    }
}
