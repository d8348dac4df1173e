//! Finding entries by address, by authority and by server name.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use smallvec::SmallVec;

use super::{Directory, Entry, EntryKind, host_matches, is_http};
use crate::authority;

/// The facts of a scope that short names and local addresses depend on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Surroundings<'p> {
    /// Namespace of the client.
    pub(crate) namespace: &'p str,
    /// `cluster.local`, say.
    pub(crate) domain: &'p str,
    /// Local mode: first address of the client's /16.
    pub(crate) local_base: Option<u32>,
}

impl Surroundings<'_> {
    /// Local mode: the offset of an address in the client's /16.
    pub(crate) fn local_offset(&self, address: IpAddr) -> Option<u32> {
        let IpAddr::V4(address) = address else { return None };
        let (base, address) = (self.local_base?, u32::from(address));
        (address & 0xffff_0000 == base & 0xffff_0000).then_some(address & 0xffff)
    }
}

/// Entries at one address, first the one that goes first.
pub(crate) type Entries<'d> = SmallVec<[&'d Arc<Entry>; 2]>;

impl Directory {
    /// Entries that have exactly this address, and the port in any other way than as HTTP.
    pub(crate) fn at_address(
        &self,
        address: IpAddr,
        port: u16,
        surroundings: &Surroundings<'_>,
    ) -> Entries<'_> {
        self.with_address(address, surroundings)
            .filter(|entry| entry.protocol(port).is_some_and(|protocol| !is_http(protocol)))
            .collect()
    }

    /// Entries of the longest block around the address, among those that have the port in any
    /// other way than as HTTP.
    pub(crate) fn at_block(&self, address: IpAddr, port: u16) -> Entries<'_> {
        let mut longest = None;
        let mut found = Entries::new();
        for (block, number) in &self.blocks {
            if longest.is_some_and(|prefix| block.prefix < prefix) {
                break;
            }
            let Some(entry) = self.get(*number).filter(|_| block.contains(address)) else {
                continue;
            };
            if entry.protocol(port).is_some_and(|protocol| !is_http(protocol)) {
                longest = Some(block.prefix);
                found.push(entry);
            }
        }
        found
    }

    /// Entries without an address that take TCP, or anything, on this port.
    pub(crate) fn at_open_port(&self, port: u16) -> Entries<'_> {
        self.all(self.open_ports.get(&port)).collect()
    }

    /// Whether some entry is found by server name on this port.
    pub(crate) fn has_tls_port(&self, port: u16) -> bool {
        self.tls_ports.contains_key(&port)
    }

    /// The entry that takes TLS with this server name on this port: the exact host, else the
    /// longest wildcard.
    pub(crate) fn by_sni(&self, sni: &str, port: u16) -> Option<&Arc<Entry>> {
        let sni = authority::lower(sni);
        self.all(self.tls_ports.get(&port))
            .filter(|entry| {
                host_matches(&entry.host, &sni)
                    || entry.aliases.iter().any(|alias| host_matches(alias, &sni))
            })
            .max_by_key(|entry| (!entry.host.starts_with('*'), entry.host.len()))
    }

    /// The entry whose virtual host an authority selects on a port, as Envoy selects it: without
    /// the authority's own port, exact names before the longest wildcard before `*`. Kubernetes
    /// services are also known by their short names and addresses, headless ones by any name
    /// below theirs.
    pub(crate) fn by_authority(
        &self,
        authority: &str,
        port: u16,
        surroundings: &Surroundings<'_>,
    ) -> Option<&Arc<Entry>> {
        let host = authority::normalized_host(authority);
        let on_port = |number: u32| self.get(number).filter(|entry| entry.is_http(port));
        if let Some(suffix) = host.strip_prefix('*') {
            return self.wildcards.get(suffix).copied().and_then(on_port);
        }
        self.by_name(&host, on_port)
            .or_else(|| self.by_short_name(&host, surroundings, on_port))
            .or_else(|| self.by_literal(&host, port, surroundings))
            .or_else(|| self.by_wildcard(&host, surroundings, on_port))
            .or_else(|| self.wildcards.get("").copied().and_then(on_port))
    }

    /// [`Self::by_authority`] without any index: every entry is asked how well it is known by the
    /// name, and the best one is taken.
    pub(crate) fn by_authority_in_order(
        &self,
        authority: &str,
        port: u16,
        surroundings: &Surroundings<'_>,
    ) -> Option<&Arc<Entry>> {
        let host = authority::normalized_host(authority);
        let mut best: Option<(Known, &Arc<Entry>)> = None;
        for entry in self.entries.iter().filter(|entry| entry.is_http(port)) {
            let known = entry.known_as(&host, surroundings);
            if let Some(known) = known
                && best.is_none_or(|(before, _)| known < before)
            {
                best = Some((known, entry));
            }
        }
        best.map(|(_, entry)| entry)
    }

    /// The entry that a host stands for on whatever port, found as an authority finds it.
    pub(crate) fn by_host(
        &self,
        host: &str,
        surroundings: &Surroundings<'_>,
    ) -> Option<&Arc<Entry>> {
        let host = authority::normalized_host(host);
        let on_any_port = |number| self.get(number);
        self.by_name(&host, on_any_port)
            .or_else(|| self.by_short_name(&host, surroundings, on_any_port))
            .or_else(|| self.by_wildcard(&host, surroundings, on_any_port))
    }

    fn by_name<'d>(
        &'d self,
        host: &str,
        on_port: impl Fn(u32) -> Option<&'d Arc<Entry>>,
    ) -> Option<&'d Arc<Entry>> {
        let exact = self.exact.get(host).copied().and_then(&on_port);
        exact.or_else(|| self.aliases.get(host)?.iter().copied().find_map(on_port))
    }

    fn by_short_name<'d>(
        &'d self,
        host: &str,
        surroundings: &Surroundings<'_>,
        on_port: impl Fn(u32) -> Option<&'d Arc<Entry>>,
    ) -> Option<&'d Arc<Entry>> {
        let full = expand(host, surroundings)?;
        let full = std::str::from_utf8(&full).ok()?;
        let kubernetes =
            |entry: &&Arc<Entry>| matches!(entry.kind, EntryKind::Kubernetes | EntryKind::Headless);
        let exact = self.exact.get(full).copied().and_then(&on_port).filter(kubernetes);
        exact.or_else(|| self.aliases.get(full)?.iter().copied().find_map(on_port))
    }

    fn by_literal(
        &self,
        host: &str,
        port: u16,
        surroundings: &Surroundings<'_>,
    ) -> Option<&Arc<Entry>> {
        let address = authority::literal(host)?;
        self.with_address(address, surroundings).find(|entry| entry.is_http(port))
    }

    /// The longest wildcard above a host. What is below any name of a headless service is one of its pods.
    fn by_wildcard<'d>(
        &'d self,
        host: &str,
        surroundings: &Surroundings<'_>,
        on_port: impl Fn(u32) -> Option<&'d Arc<Entry>>,
    ) -> Option<&'d Arc<Entry>> {
        let headless = |number| on_port(number).filter(|entry| entry.kind == EntryKind::Headless);
        authority::parents(host).find_map(|suffix| {
            let above = suffix.get(1..)?;
            let wildcard = self.wildcards.get(suffix).copied().and_then(&on_port);
            wildcard
                .or_else(|| self.by_name(above, headless))
                .or_else(|| self.by_short_name(above, surroundings, headless))
        })
    }

    /// Every entry with this single address: the one with that local address first.
    fn with_address(
        &self,
        address: IpAddr,
        surroundings: &Surroundings<'_>,
    ) -> impl Iterator<Item = &Arc<Entry>> {
        let local = surroundings.local_offset(address).and_then(|offset| self.local.get(&offset));
        self.all(local).chain(self.all(self.addresses.get(&address)))
    }
}

/// How an entry is known by a name; the smallest goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Known {
    Exactly,
    ByAlias,
    ByShortName,
    ByShortAlias,
    ByLocalAddress,
    ByAddress,
    /// By the length of the suffix, the longest first; a wildcard before a headless service, that by its host
    /// before its aliases and its short names.
    BySuffix(std::cmp::Reverse<usize>, Suffix),
    ByAnything,
}

/// What ends like a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Suffix {
    Wildcard,
    Host,
    Alias,
    ShortName,
    ShortAlias,
}

impl Entry {
    fn known_as(&self, host: &str, surroundings: &Surroundings<'_>) -> Option<Known> {
        let is = |name: &str| name == &*self.host;
        let alias = |name: &str| self.aliases.iter().any(|alias| &**alias == name);
        let short = expand(host, surroundings);
        let short = short.as_ref().and_then(|full| std::str::from_utf8(full).ok());
        let address = authority::literal(host);
        let local = address.and_then(|address| surroundings.local_offset(address));
        let kubernetes = matches!(self.kind, EntryKind::Kubernetes | EntryKind::Headless);
        let below = |suffix: &str| host.len() > suffix.len() && host.ends_with(suffix);
        if host.starts_with('*') {
            // No name of a host: whoever sends it means that very pattern.
            is(host).then_some(Known::Exactly)
        } else if is(host) {
            Some(Known::Exactly)
        } else if alias(host) {
            Some(Known::ByAlias)
        } else if kubernetes && short.is_some_and(is) {
            Some(Known::ByShortName)
        } else if short.is_some_and(alias) {
            Some(Known::ByShortAlias)
        } else if local.is_some_and(|offset| offset == self.local_offset && offset > 0) {
            Some(Known::ByLocalAddress)
        } else if address.is_some_and(|address| {
            self.blocks.iter().any(|block| block.is_single() && block.address == address)
        }) {
            Some(Known::ByAddress)
        } else if is("*") {
            Some(Known::ByAnything)
        } else if let Some(suffix) = self.host.strip_prefix('*').filter(|suffix| below(suffix)) {
            Some(Known::BySuffix(std::cmp::Reverse(suffix.len()), Suffix::Wildcard))
        } else if self.kind == EntryKind::Headless {
            authority::parents(host).find_map(|suffix| {
                let known = self.above(suffix.get(1..)?, surroundings)?;
                Some(Known::BySuffix(std::cmp::Reverse(suffix.len()), known))
            })
        } else {
            None
        }
    }

    /// How a headless service is known by the name that is above those of its pods.
    fn above(&self, name: &str, surroundings: &Surroundings<'_>) -> Option<Suffix> {
        let alias = |name: &str| self.aliases.iter().any(|alias| &**alias == name);
        let short = expand(name, surroundings);
        let short = short.as_ref().and_then(|full| std::str::from_utf8(full).ok());
        if name == &*self.host {
            Some(Suffix::Host)
        } else if alias(name) {
            Some(Suffix::Alias)
        } else if short.is_some_and(|full| full == &*self.host) {
            Some(Suffix::ShortName)
        } else {
            short.is_some_and(alias).then_some(Suffix::ShortAlias)
        }
    }
}

/// The whole name of what may be a Kubernetes service's short one: `name` (in the client's own
/// namespace), `name.ns`, `name.ns.svc`.
pub(crate) fn expand(host: &str, surroundings: &Surroundings<'_>) -> Option<SmallVec<[u8; 128]>> {
    let Surroundings { namespace, domain, .. } = surroundings;
    let mut full = Text(SmallVec::new());
    match host.bytes().filter(|byte| *byte == b'.').count() {
        0 => write!(full, "{host}.{namespace}.svc.{domain}"),
        1 => write!(full, "{host}.svc.{domain}"),
        2 if host.ends_with(".svc") => write!(full, "{host}.{domain}"),
        _ => return None,
    }
    .ok()?;
    Some(full.0)
}

/// Text on the stack.
struct Text(SmallVec<[u8; 128]>);

impl std::fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}
