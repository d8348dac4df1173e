//! Host names: how short ones are expanded, which patterns match which names, and which pattern
//! wins.

use std::borrow::Cow;
use std::cmp::Ordering;

/// The full name of a host that an object in `namespace` names: a name without dots is a service of
/// that namespace, `reviews` → `reviews.default.svc.cluster.local`; anything else, `*` included, is
/// taken as it is, in lower case. `domain` is the cluster's, without a dot at either end.
pub fn resolve_host(host: &str, namespace: &str, domain: &str) -> String {
    let host = host.to_ascii_lowercase();
    if host.is_empty() || host.contains(['.', '*', ':']) {
        return host;
    }
    service_host(&host, namespace, domain)
}

/// The full name of a Kubernetes service.
pub fn service_host(name: &str, namespace: &str, domain: &str) -> String {
    format!("{name}.{namespace}.svc.{domain}")
}

/// A host name, or a pattern for several: `*` alone, or `*.` or `*-` and so on before a name's end.
///
/// Patterns are ordered as they are tried: exact names first, then the longest wildcard, then `*`;
/// among equals by the alphabet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPattern(String);

impl HostPattern {
    /// The pattern, in lower case.
    pub fn new(text: &str) -> Self {
        Self(text.to_ascii_lowercase())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it stands for several names.
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with('*')
    }

    /// Whether a name fits. Case is ignored.
    pub fn matches(&self, name: &str) -> bool {
        let name = lower(name);
        match self.0.strip_prefix('*') {
            Some(end) => name.len() >= end.len() && name.ends_with(end),
            None => *name == self.0,
        }
    }

    /// Whether every name that fits `other` fits this one, too.
    pub fn covers(&self, other: &HostPattern) -> bool {
        match (self.0.strip_prefix('*'), other.0.strip_prefix('*')) {
            (Some(end), Some(other_end)) => other_end.ends_with(end),
            (Some(_), None) => self.matches(&other.0),
            (None, Some(_)) => false,
            (None, None) => self.0 == other.0,
        }
    }

    /// Whether some name fits both.
    pub fn overlaps(&self, other: &HostPattern) -> bool {
        self.covers(other) || other.covers(self)
    }
}

impl Ord for HostPattern {
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |pattern: &HostPattern| (pattern.is_wildcard(), usize::MAX - pattern.0.len());
        let by_length = match (self.is_wildcard(), other.is_wildcard()) {
            (false, false) => Ordering::Equal,
            _ => rank(self).cmp(&rank(other)),
        };
        by_length.then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for HostPattern {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl std::fmt::Display for HostPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The pattern among these that a name is served by: an exact one, else the longest wildcard.
pub fn most_specific<'a>(
    name: &str,
    patterns: impl IntoIterator<Item = &'a HostPattern>,
) -> Option<&'a HostPattern> {
    patterns.into_iter().filter(|pattern| pattern.matches(name)).min()
}

/// The patterns that can match a name, the most specific first: itself, then each parent with a
/// wildcard, then `*`. `a.b.c` → `a.b.c`, `*.b.c`, `*.c`, `*`.
pub fn candidates(name: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let parents = name.match_indices('.').map(|(dot, _)| Cow::Owned(format!("*{}", &name[dot..])));
    let all = (name != "*").then_some(Cow::Borrowed("*"));
    let parents = parents.filter(move |parent| *parent != name);
    std::iter::once(Cow::Borrowed(name)).chain(parents).chain(all)
}

fn lower(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

/// A host with the namespace that it is looked for in: `istio-system/*.example.com`, `./reviews`,
/// `*/*`. Gateways and Sidecars name hosts so.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NamespacedHost {
    /// The namespace.
    pub namespace: NamespaceFilter,
    /// Whether the host is taken away instead of added (`~namespace/host`, Sidecars only).
    pub excluded: bool,
    /// The host.
    pub host: HostPattern,
}

/// Which namespaces are meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NamespaceFilter {
    /// All of them (`*`, or nothing for a Gateway).
    Any,
    /// The object's own (`.`).
    Own,
    /// None (`~`).
    None,
    /// This one.
    Named(String),
}

impl NamespaceFilter {
    /// Whether `namespace` is meant by an object in `own`.
    pub fn includes(&self, namespace: &str, own: &str) -> bool {
        match self {
            NamespaceFilter::Any => true,
            NamespaceFilter::Own => namespace == own,
            NamespaceFilter::None => false,
            NamespaceFilter::Named(name) => namespace == name,
        }
    }
}

impl NamespacedHost {
    /// Reads `[namespace/]host`. Without a namespace any is meant.
    pub fn parse(text: &str) -> Self {
        let (namespace, host) = text.split_once('/').unwrap_or(("*", text));
        let (excluded, namespace) = match namespace.strip_prefix('~') {
            Some(rest) if !rest.is_empty() => (true, rest),
            _ => (false, namespace),
        };
        let namespace = match namespace {
            "*" => NamespaceFilter::Any,
            "." => NamespaceFilter::Own,
            "~" => NamespaceFilter::None,
            name => NamespaceFilter::Named(name.to_owned()),
        };
        Self { namespace, excluded, host: HostPattern::new(host) }
    }
}
