//! One entry of the directory, and under what names it is known.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use lateen_mesh::address::{Block, unpack_port};
use lateen_mesh::v1::{self, EntryKind, Protocol};

use crate::Pool;

/// A host, where it is, and its ports.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    pub(crate) host: Arc<str>,
    pub(crate) kind: EntryKind,
    pub(crate) ports: Box<[(u16, Protocol)]>,
    pub(crate) blocks: Box<[Block]>,
    pub(crate) aliases: Box<[Arc<str>]>,
    /// Local mode: offset of its address in the client's own /16; 0: none.
    pub(crate) local_offset: u32,
}

/// How an entry is known by a domain; the smallest goes first where several claim it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Known {
    Exactly,
    ByAlias,
    ByShortName,
    ByShortAlias,
    ByLocalAddress,
    ByAddress,
    BySuffix,
    Below,
}

impl Entry {
    pub(super) fn new(host: &str, message: &v1::DirectoryEntry, pool: &mut Pool) -> Self {
        Self {
            host: pool.name(host),
            kind: message.kind(),
            ports: message.ports.iter().filter_map(|packed| unpack_port(*packed)).collect(),
            blocks: message.addresses.iter().filter_map(|bytes| Block::decode(bytes)).collect(),
            aliases: message.aliases.iter().map(|alias| pool.name(alias)).collect(),
            local_offset: message.local_offset,
        }
    }

    /// The declared protocol of a port; `None`: it has no such port.
    pub(crate) fn protocol(&self, port: u16) -> Option<Protocol> {
        self.ports.iter().find(|(number, _)| *number == port).map(|(_, protocol)| *protocol)
    }

    /// Whether it takes part in the HTTP tables of a port: declared as HTTP, or not declared and
    /// without an address, so that nothing but an authority tells what is meant.
    pub(crate) fn is_http(&self, port: u16) -> bool {
        self.protocol(port).is_some_and(|protocol| {
            is_http(protocol)
                || (protocol == Protocol::Auto && self.blocks.is_empty() && self.local_offset == 0)
        })
    }

    /// Whether its address decides on this port, and requests have a table of their own.
    pub(crate) fn is_detected(&self, port: u16) -> bool {
        self.protocol(port) == Some(Protocol::Auto)
    }

    /// Its addresses that are no blocks.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.blocks.iter().filter(|block| block.is_single()).map(|block| block.address)
    }

    /// Whether it is found by server name on a port: TLS without an address of its own.
    pub(super) fn is_found_by_name(&self, port: u16) -> bool {
        self.protocol(port) == Some(Protocol::Tls) && self.addresses().next().is_none()
    }

    /// Whether every address on a port is its own, because it has none.
    pub(super) fn is_open(&self, port: u16) -> bool {
        self.blocks.is_empty()
            && self.kind == EntryKind::Service
            && self.protocol(port).is_some_and(|protocol| !is_http(protocol))
            && !self.is_found_by_name(port)
    }

    /// The domains of its virtual hosts. An authority's port does not count, and a final dot does
    /// not either, which Envoy has to be told.
    pub(crate) fn domains(&self, settings: &v1::Settings) -> Vec<(Known, String)> {
        let mut domains = Vec::new();
        let kubernetes = matches!(self.kind, EntryKind::Kubernetes | EntryKind::Headless);
        let known = if self.host.starts_with('*') { Known::BySuffix } else { Known::Exactly };
        push_name(&mut domains, known, &self.host);
        for alias in &self.aliases {
            push_name(&mut domains, Known::ByAlias, alias);
        }
        if kubernetes {
            for short in short_names(&self.host, settings) {
                push_name(&mut domains, Known::ByShortName, &short);
            }
        }
        for alias in &self.aliases {
            for short in short_names(alias, settings) {
                push_name(&mut domains, Known::ByShortAlias, &short);
            }
        }
        if self.local_offset > 0 {
            // Every client sees it in a /16 of its own, and they share this table.
            let [.., third, fourth] = Ipv4Addr::from(self.local_offset).octets();
            domains.push((Known::ByLocalAddress, format!("*.{third}.{fourth}")));
        }
        for address in self.addresses() {
            let text = match address {
                IpAddr::V4(address) => address.to_string(),
                IpAddr::V6(address) => format!("[{address}]"),
            };
            domains.push((Known::ByAddress, text));
        }
        if self.kind == EntryKind::Headless {
            // Its pods are called by a name below any of its own.
            let names = domains.iter().filter(|(known, _)| *known != Known::ByAddress);
            let names = names.filter(|(known, _)| *known != Known::ByLocalAddress);
            let names: Vec<String> = names.map(|(_, name)| format!("*.{name}")).collect();
            domains.extend(names.into_iter().map(|name| (Known::Below, name)));
        }
        let mut distinct: Vec<(Known, String)> = Vec::with_capacity(domains.len());
        for (known, domain) in domains {
            if !distinct.iter().any(|(_, other)| *other == domain) {
                distinct.push((known, domain));
            }
        }
        distinct
    }
}

fn push_name(domains: &mut Vec<(Known, String)>, known: Known, name: &str) {
    domains.push((known, name.to_owned()));
    if name != "*" {
        domains.push((known, format!("{name}.")));
    }
}

/// The short names of a Kubernetes service: `name` in the client's own namespace, `name.ns`,
/// `name.ns.svc`.
fn short_names(host: &str, settings: &v1::Settings) -> Vec<String> {
    let suffix = format!(".svc.{}", settings.cluster_domain);
    let Some(short) = host.strip_suffix(&suffix) else { return Vec::new() };
    let Some((name, namespace)) = short.split_once('.') else { return Vec::new() };
    if name.is_empty() || name.starts_with('*') || namespace.is_empty() || namespace.contains('.') {
        return Vec::new();
    }
    let mut names = vec![short.to_owned(), format!("{short}.svc")];
    if namespace == settings.namespace {
        names.push(name.to_owned());
    }
    names
}

/// Whether a declared protocol is a kind of HTTP.
pub(crate) const fn is_http(protocol: Protocol) -> bool {
    match protocol {
        Protocol::Http | Protocol::Http2 | Protocol::Grpc | Protocol::GrpcWeb => true,
        Protocol::Auto | Protocol::Tcp | Protocol::Tls => false,
    }
}

/// Whether a pattern (`exact`, `*.suffix`, `*`) covers a name, or all that another pattern covers.
/// Both in lower case.
pub(crate) fn covers(pattern: &str, name: &str) -> bool {
    match (pattern.strip_prefix('*'), name.strip_prefix('*')) {
        (None, _) => pattern == name,
        (Some(suffix), Some(inner)) => inner.ends_with(suffix),
        (Some(suffix), None) => name.len() > suffix.len() && name.ends_with(suffix),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_cover_names_and_narrower_patterns() {
        for (pattern, name, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "*.b", false),
            ("*.b", "a.b", true),
            ("*.b", ".b", false),
            ("*.b", "*.a.b", true),
            ("*.b", "*.b", true),
            ("*.a.b", "*.b", false),
            ("*", "*.b", true),
            ("*", "a", true),
            ("*.b", "ab", false),
        ] {
            assert_eq!(covers(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn pods_of_headless_services_are_called_below_any_of_their_names() {
        let settings = v1::Settings {
            namespace: "shop".to_owned(),
            cluster_domain: "cluster.local".to_owned(),
            ..v1::Settings::default()
        };
        let message = v1::DirectoryEntry {
            host: "db.shop.svc.cluster.local".to_owned(),
            kind: EntryKind::Headless.into(),
            aliases: vec!["base.ext".to_owned()],
            addresses: vec![lateen_mesh::address::encode_address(Ipv4Addr::LOCALHOST.into())],
            ..v1::DirectoryEntry::default()
        };
        let entry = Entry::new(&message.host, &message, &mut Pool::default());
        let domains = entry.domains(&settings);
        let below = domains.iter().filter(|(known, _)| *known == Known::Below);
        let below: Vec<&str> = below.map(|(_, name)| name.as_str()).collect();
        let names = ["db.shop.svc.cluster.local", "base.ext", "db.shop", "db.shop.svc", "db"];
        let expected: Vec<String> =
            names.iter().flat_map(|name| [format!("*.{name}"), format!("*.{name}.")]).collect();
        assert_eq!(below, expected);
    }

    #[test]
    fn kubernetes_services_have_short_names() {
        let settings = v1::Settings {
            namespace: "shop".to_owned(),
            cluster_domain: "cluster.local".to_owned(),
            ..v1::Settings::default()
        };
        for (host, expected) in [
            ("a.shop.svc.cluster.local", vec!["a.shop", "a.shop.svc", "a"]),
            ("a.other.svc.cluster.local", vec!["a.other", "a.other.svc"]),
            ("*.shop.svc.cluster.local", vec![]),
            ("x.a.shop.svc.cluster.local", vec![]),
            ("example.com", vec![]),
        ] {
            assert_eq!(short_names(host, &settings), expected, "{host}");
        }
    }
}
