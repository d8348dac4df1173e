//! Which namespaces see an object.

use std::collections::BTreeSet;

use crate::object::ObjectMeta;

/// The annotation by which a Kubernetes Service says who sees it, as a list separated by commas.
pub const EXPORT_TO_ANNOTATION: &str = "networking.istio.io/exportTo";

/// Which namespaces see an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Visibility {
    /// All.
    Everywhere,
    /// These. Empty: none.
    Namespaces(BTreeSet<String>),
}

impl Visibility {
    /// Reads `exportTo` of an object in `namespace`; where it says nothing, `defaults` (from
    /// MeshConfig) hold, and where these say nothing, everyone sees the object.
    pub fn parse<'a>(
        export_to: impl IntoIterator<Item = &'a str>,
        defaults: impl IntoIterator<Item = &'a str>,
        namespace: &str,
    ) -> Self {
        let mut entries = export_to.into_iter().peekable();
        if entries.peek().is_some() {
            return Self::read(entries, namespace);
        }
        let mut defaults = defaults.into_iter().peekable();
        if defaults.peek().is_some() {
            return Self::read(defaults, namespace);
        }
        Visibility::Everywhere
    }

    /// Who sees a Kubernetes Service: what its annotation says, else `defaults`.
    pub fn of_service<'a>(
        meta: &'a ObjectMeta,
        defaults: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let annotation = meta.annotations.get(EXPORT_TO_ANNOTATION).map_or("", String::as_str);
        let entries = annotation.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        Self::parse(entries, defaults, &meta.namespace)
    }

    fn read<'a>(entries: impl Iterator<Item = &'a str>, namespace: &str) -> Self {
        let mut namespaces = BTreeSet::new();
        for entry in entries {
            match entry {
                "*" => return Visibility::Everywhere,
                "." => namespaces.insert(namespace.to_owned()),
                "~" => continue,
                name => namespaces.insert(name.to_owned()),
            };
        }
        Visibility::Namespaces(namespaces)
    }

    /// Whether a namespace sees the object.
    pub fn includes(&self, namespace: &str) -> bool {
        match self {
            Visibility::Everywhere => true,
            Visibility::Namespaces(namespaces) => namespaces.contains(namespace),
        }
    }

    /// Whether only the object's own namespace sees it.
    pub fn is_private_to(&self, namespace: &str) -> bool {
        match self {
            Visibility::Everywhere => false,
            Visibility::Namespaces(namespaces) => {
                namespaces.len() == 1 && namespaces.contains(namespace)
            }
        }
    }
}
