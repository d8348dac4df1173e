//! What exists in the scope, indexed by what decisions ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use lateen_mesh::address::Block;
use lateen_mesh::v1::{self, EntryKind};
use rustc_hash::FxHashMap;

use super::entry::{Entry, Known, is_http};
use crate::Pool;

type Hosts = BTreeSet<Arc<str>>;

/// Hardly ever more than one, sorted.
type Few = Vec<Arc<str>>;

/// The entries of all slices.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    entries: FxHashMap<Arc<str>, Arc<Entry>>,
    slices: BTreeMap<(String, u32), Vec<Arc<str>>>,
    aliases: FxHashMap<Arc<str>, Few>,
    addresses: FxHashMap<IpAddr, Few>,
    local: FxHashMap<u32, Few>,
    /// Real blocks.
    blocks: BTreeSet<(Arc<str>, Block)>,
    ports: BTreeMap<u16, OnPort>,
}

/// Who has a port, and how.
#[derive(Debug, Default)]
pub(crate) struct OnPort {
    /// Whose virtual hosts the port has.
    pub(crate) http: Hosts,
    /// Who has the port in any other way than as HTTP.
    pub(crate) other: Hosts,
    /// Who is found by server name.
    pub(crate) by_name: Hosts,
    /// Who takes every address.
    pub(crate) open: Hosts,
}

impl OnPort {
    fn is_empty(&self) -> bool {
        self.http.is_empty() && self.other.is_empty()
    }
}

/// An entry before and after.
pub(crate) type EntryChange = (Option<Arc<Entry>>, Option<Arc<Entry>>);

impl Directory {
    /// Takes changed and removed slices, and says which entries are others now.
    pub(super) fn apply(
        &mut self,
        slices: Vec<((String, u32), Option<&v1::DirectorySlice>)>,
        pool: &mut Pool,
    ) -> Vec<EntryChange> {
        let mut changes: BTreeMap<Arc<str>, EntryChange> = BTreeMap::new();
        for (key, _) in &slices {
            for host in self.slices.remove(key).into_iter().flatten() {
                if let Some(entry) = self.entries.get(&host) {
                    changes.insert(host, (Some(Arc::clone(entry)), None));
                }
            }
        }
        for (key, slice) in slices {
            let Some(slice) = slice else { continue };
            let mut hosts = Vec::with_capacity(slice.entries.len());
            for message in &slice.entries {
                let entry = Entry::new(&slice.host(message), message, pool);
                let entry = pool.entry(entry);
                let host = Arc::clone(&entry.host);
                let before = self.entries.get(&host).cloned();
                hosts.push(Arc::clone(&host));
                changes.entry(host).or_insert((before, None)).1 = Some(entry);
            }
            hosts.shrink_to_fit();
            self.slices.insert(key, hosts);
        }
        changes.retain(|_, (before, after)| before != after);
        for (host, (before, after)) in &changes {
            if let Some(before) = before {
                self.unindex(before);
                self.entries.remove(host);
            }
            if let Some(after) = after {
                self.index(after);
                self.entries.insert(Arc::clone(host), Arc::clone(after));
            }
        }
        changes.into_values().collect()
    }

    fn index(&mut self, entry: &Entry) {
        let host = &entry.host;
        for alias in &entry.aliases {
            insert(self.aliases.entry(Arc::clone(alias)).or_default(), host);
        }
        for block in &entry.blocks {
            if block.is_single() {
                insert(self.addresses.entry(block.address).or_default(), host);
            } else {
                self.blocks.insert((Arc::clone(host), *block));
            }
        }
        if entry.local_offset > 0 {
            insert(self.local.entry(entry.local_offset).or_default(), host);
        }
        for (port, protocol) in &entry.ports {
            let on_port = self.ports.entry(*port).or_default();
            if entry.is_http(*port) {
                on_port.http.insert(Arc::clone(host));
            }
            if !is_http(*protocol) {
                on_port.other.insert(Arc::clone(host));
            }
            if entry.is_found_by_name(*port) {
                on_port.by_name.insert(Arc::clone(host));
            } else if entry.is_open(*port) {
                on_port.open.insert(Arc::clone(host));
            }
        }
    }

    fn unindex(&mut self, entry: &Entry) {
        let host = &entry.host;
        for alias in &entry.aliases {
            remove(&mut self.aliases, alias, host);
        }
        for block in &entry.blocks {
            if block.is_single() {
                remove(&mut self.addresses, &block.address, host);
            } else {
                self.blocks.remove(&(Arc::clone(host), *block));
            }
        }
        remove(&mut self.local, &entry.local_offset, host);
        for (port, _) in &entry.ports {
            let Some(on_port) = self.ports.get_mut(port) else { continue };
            for hosts in
                [&mut on_port.http, &mut on_port.other, &mut on_port.by_name, &mut on_port.open]
            {
                hosts.remove(host);
            }
            if on_port.is_empty() {
                self.ports.remove(port);
            }
        }
    }

    /// The entry of a host or a pattern.
    pub(crate) fn entry(&self, host: &str) -> Option<&Entry> {
        self.entries.get(host).map(Arc::as_ref)
    }

    /// Every entry, in no order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().map(Arc::as_ref)
    }

    /// Who has a port.
    pub(crate) fn on_port(&self, port: u16) -> Option<&OnPort> {
        self.ports.get(&port)
    }

    /// Every port that some entry has.
    pub(crate) fn ports(&self) -> impl Iterator<Item = u16> {
        self.ports.keys().copied()
    }

    /// Whether some entry is found by authority on this port.
    pub(crate) fn is_http_port(&self, port: u16) -> bool {
        self.on_port(port).is_some_and(|on_port| !on_port.http.is_empty())
    }

    /// Entries with this single address, by host.
    pub(crate) fn with_address(&self, address: IpAddr) -> impl Iterator<Item = &Entry> {
        self.few(self.addresses.get(&address))
    }

    /// Entries with this offset in the client's /16, by host.
    pub(crate) fn with_offset(&self, offset: u32) -> impl Iterator<Item = &Entry> {
        self.few(self.local.get(&offset))
    }

    /// Entries with real blocks, and those blocks.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = (&Entry, Block)> {
        self.blocks.iter().filter_map(|(host, block)| Some((self.entry(host)?, *block)))
    }

    /// Those entries, by host.
    pub(crate) fn all<'d>(&'d self, hosts: Option<&'d Hosts>) -> impl Iterator<Item = &'d Entry> {
        hosts.into_iter().flatten().filter_map(|host| self.entry(host))
    }

    fn few<'d>(&'d self, hosts: Option<&'d Few>) -> impl Iterator<Item = &'d Entry> {
        hosts.into_iter().flatten().filter_map(|host| self.entry(host))
    }

    /// The domains by which an entry is known on a port: those that no other entry has a better
    /// claim to.
    pub(crate) fn domains(&self, entry: &Entry, port: u16, settings: &v1::Settings) -> Vec<String> {
        let mut domains = entry.domains(settings);
        domains.retain(|(known, domain)| {
            !self.rivals(domain, settings).any(|(rival, other)| {
                other.host != entry.host
                    && other.is_http(port)
                    && (rival, &other.host) < (*known, &entry.host)
            })
        });
        domains.into_iter().map(|(_, domain)| domain).collect()
    }

    /// Every entry that claims a domain on some port, and how.
    pub(crate) fn rivals<'d>(
        &'d self,
        domain: &str,
        settings: &v1::Settings,
    ) -> impl Iterator<Item = (Known, &'d Entry)> {
        let claimed = Claimed::new(domain, settings);
        let mut candidates: Vec<&Entry> = Vec::new();
        candidates.extend(self.entry(claimed.name));
        candidates.extend(self.few(self.aliases.get(claimed.name)));
        if let Some(full) = &claimed.full {
            candidates.extend(self.entry(full));
            candidates.extend(self.few(self.aliases.get(full.as_str())));
        }
        if let Some((name, full)) = &claimed.below {
            for above in [Some(*name), full.as_deref()].into_iter().flatten() {
                candidates.extend(self.entry(above));
                candidates.extend(self.few(self.aliases.get(above)));
            }
        }
        candidates.extend(claimed.address.into_iter().flat_map(|it| self.with_address(it)));
        candidates.extend(claimed.offset.into_iter().flat_map(|it| self.with_offset(it)));
        let known: Vec<_> =
            candidates.into_iter().filter_map(|entry| Some((claimed.by(entry)?, entry))).collect();
        known.into_iter()
    }
}

/// A domain that entries may claim.
struct Claimed<'d> {
    /// Without the final dot.
    name: &'d str,
    full: Option<String>,
    /// What all names below it are claimed with, in short and whole.
    below: Option<(&'d str, Option<String>)>,
    address: Option<IpAddr>,
    offset: Option<u32>,
}

impl<'d> Claimed<'d> {
    fn new(domain: &'d str, settings: &v1::Settings) -> Self {
        let name = domain.strip_suffix('.').filter(|name| !name.is_empty()).unwrap_or(domain);
        let literal = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        Self {
            name,
            full: full_name(name, settings),
            below: name.strip_prefix("*.").map(|above| (above, full_name(above, settings))),
            address: literal.unwrap_or(domain).parse().ok(),
            offset: local_offset(domain),
        }
    }

    /// How an entry claims it, in its best way.
    fn by(&self, entry: &Entry) -> Option<Known> {
        let kubernetes = matches!(entry.kind, EntryKind::Kubernetes | EntryKind::Headless);
        let alias = |name: &str| entry.aliases.iter().any(|alias| **alias == *name);
        let full = self.full.as_deref();
        Some(if *entry.host == *self.name {
            if entry.host.starts_with('*') { Known::BySuffix } else { Known::Exactly }
        } else if alias(self.name) {
            Known::ByAlias
        } else if kubernetes && full.is_some_and(|full| full == &*entry.host) {
            Known::ByShortName
        } else if full.is_some_and(alias) {
            Known::ByShortAlias
        } else if self.offset.is_some_and(|it| it == entry.local_offset && it > 0) {
            Known::ByLocalAddress
        } else if self.address.is_some_and(|it| entry.addresses().any(|own| own == it)) {
            Known::ByAddress
        } else if entry.kind == EntryKind::Headless
            && self.below.as_ref().is_some_and(|(name, full)| {
                let is = |name: &str| *name == *entry.host || alias(name);
                is(name) || full.as_deref().is_some_and(is)
            })
        {
            Known::Below
        } else {
            return None;
        })
    }
}

/// The whole name of what may be a short one.
fn full_name(name: &str, settings: &v1::Settings) -> Option<String> {
    let (namespace, domain) = (&settings.namespace, &settings.cluster_domain);
    match name.bytes().filter(|byte| *byte == b'.').count() {
        0 => Some(format!("{name}.{namespace}.svc.{domain}")),
        1 => Some(format!("{name}.svc.{domain}")),
        2 if name.ends_with(".svc") => Some(format!("{name}.{domain}")),
        _ => None,
    }
}

/// Reads `*.<third>.<fourth>`, the form of a local address that all clients share.
fn local_offset(domain: &str) -> Option<u32> {
    let (third, fourth) = domain.strip_prefix("*.")?.split_once('.')?;
    Some(u32::from(third.parse::<u8>().ok()?) << 8 | u32::from(fourth.parse::<u8>().ok()?))
}

fn insert(hosts: &mut Few, host: &Arc<str>) {
    if let Err(at) = hosts.binary_search(host) {
        hosts.reserve_exact(1);
        hosts.insert(at, Arc::clone(host));
    }
}

fn remove<K: std::hash::Hash + Eq>(index: &mut FxHashMap<K, Few>, key: &K, host: &Arc<str>) {
    if let Some(hosts) = index.get_mut(key) {
        hosts.retain(|known| known != host);
        if hosts.is_empty() {
            index.remove(key);
        }
    }
}
