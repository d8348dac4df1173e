//! What exists in a scope: hosts, addresses and ports, whether or not their details are here.

use std::net::IpAddr;
use std::sync::Arc;

use lateen_mesh::address::{Block, unpack_port};
use lateen_mesh::v1;
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use crate::destination::Protocol;

mod lookup;

pub(crate) use lookup::{Entries, Surroundings};

/// The kind of an entry, which says under what names it is known.
pub use v1::EntryKind;

/// One entry: a host and where it is, without how it is reached.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// Exact host, `*.suffix` or `*`, lower case. What is subscribed to.
    pub host: Arc<str>,
    /// Namespace of its service.
    pub namespace: Arc<str>,
    /// What it is.
    pub kind: EntryKind,
    /// Its ports with their declared protocols.
    pub ports: SmallVec<[(u16, Protocol); 2]>,
    /// Addresses and blocks; for a headless service those of its endpoints.
    pub blocks: SmallVec<[Block; 1]>,
    /// Further hosts under which it is known.
    pub aliases: Box<[Arc<str>]>,
    /// Local mode: offset of its address in the client's own /16; 0: none.
    pub local_offset: u32,
}

impl Entry {
    fn compile(
        host: &str,
        message: &v1::DirectoryEntry,
        namespace: &Arc<str>,
    ) -> Result<Self, String> {
        if host.is_empty() || host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(format!("host {host:?} is empty or not in lower case"));
        }
        if !is_pattern(host) {
            return Err(format!("host {host:?}: `*` may only stand for whole first labels"));
        }
        let ports = message
            .ports
            .iter()
            .map(|packed| unpack_port(*packed).ok_or_else(|| format!("{host}: port {packed}")))
            .collect::<Result<_, _>>()?;
        let blocks = message
            .addresses
            .iter()
            .map(|bytes| Block::decode(bytes).ok_or_else(|| format!("{host}: bad address")))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            kind: EntryKind::try_from(message.kind).unwrap_or(EntryKind::Service),
            host: host.into(),
            namespace: Arc::clone(namespace),
            ports,
            blocks,
            aliases: message.aliases.iter().map(|alias| alias.as_str().into()).collect(),
            local_offset: message.local_offset,
        })
    }

    /// The declared protocol of a port; `None`: it has no such port.
    #[must_use]
    pub fn protocol(&self, port: u16) -> Option<Protocol> {
        self.ports.iter().find(|(number, _)| *number == port).map(|(_, protocol)| *protocol)
    }

    /// Whether it takes part in the HTTP tables of a port: declared as HTTP, or not declared and
    /// without an address, so that nothing but an authority tells what is meant.
    #[must_use]
    pub fn is_http(&self, port: u16) -> bool {
        self.protocol(port).is_some_and(|protocol| {
            is_http(protocol)
                || (protocol == Protocol::Auto && self.blocks.is_empty() && self.local_offset == 0)
        })
    }

    fn has_single_address(&self) -> bool {
        self.blocks.iter().any(Block::is_single)
    }
}

/// Whether a declared protocol is a kind of HTTP.
pub(crate) const fn is_http(protocol: Protocol) -> bool {
    match protocol {
        Protocol::Http | Protocol::Http2 | Protocol::Grpc | Protocol::GrpcWeb => true,
        Protocol::Auto | Protocol::Tcp | Protocol::Tls => false,
    }
}

/// A compiled `DirectorySlice`.
#[derive(Debug)]
pub(crate) struct Slice {
    entries: Vec<Arc<Entry>>,
}

impl Slice {
    pub(crate) fn compile(message: &v1::DirectorySlice) -> Result<Self, String> {
        let namespace = message.namespace.as_str().into();
        let compile = |entry| Entry::compile(&message.host(entry), entry, &namespace).map(Arc::new);
        let entries = message.entries.iter().map(compile).collect::<Result<_, _>>()?;
        Ok(Self { entries })
    }
}

type Indexes = SmallVec<[u32; 1]>;

/// The entries of all slices, with the indexes that decisions need.
#[derive(Debug, Default)]
pub struct Directory {
    /// Sorted by host, so that what wins does not depend on how slices are cut.
    entries: Vec<Arc<Entry>>,
    /// Exact hosts.
    exact: FxHashMap<Arc<str>, u32>,
    /// Hosts known by another name; kept apart since a host of its own goes first.
    aliases: FxHashMap<Arc<str>, Indexes>,
    /// `*.suffix` by `.suffix`; `*` by the empty text.
    wildcards: FxHashMap<Box<str>, u32>,
    /// Single addresses.
    addresses: FxHashMap<IpAddr, Indexes>,
    /// Real blocks, the longest prefix first.
    blocks: Vec<(Block, u32)>,
    /// By `local_offset`.
    local: FxHashMap<u32, Indexes>,
    /// Ports that some entry declares as HTTP.
    http_ports: FxHashSet<u16>,
    /// TLS ports of entries without an address, by port: found by server name.
    tls_ports: FxHashMap<u16, Indexes>,
    /// TCP and sniffed ports of entries without any address: every address is theirs.
    open_ports: FxHashMap<u16, Indexes>,
}

impl Directory {
    pub(crate) fn new<'s>(slices: impl Iterator<Item = &'s Slice>) -> Self {
        let mut entries: Vec<_> = slices.flat_map(|slice| &slice.entries).map(Arc::clone).collect();
        entries.sort_by(|one, other| {
            (&one.host, &one.namespace).cmp(&(&other.host, &other.namespace))
        });
        // The control plane resolves duplicates; should one slip through, one of them wins always.
        entries.dedup_by(|later, first| later.host == first.host);
        let mut directory = Self { entries, ..Self::default() };
        for number in 0..u32::try_from(directory.entries.len()).unwrap_or(u32::MAX) {
            let entry = Arc::clone(&directory.entries[number as usize]);
            directory.index_names(&entry, number);
            directory.index_addresses(&entry, number);
        }
        directory.blocks.sort_by_key(|(block, number)| {
            (block.address.is_ipv6(), std::cmp::Reverse(block.prefix), *number)
        });
        directory
    }

    fn index_names(&mut self, entry: &Entry, number: u32) {
        match entry.host.strip_prefix('*') {
            Some(suffix) => {
                self.wildcards.entry(suffix.into()).or_insert(number);
            }
            None => {
                self.exact.entry(Arc::clone(&entry.host)).or_insert(number);
            }
        }
        for alias in &entry.aliases {
            self.aliases.entry(Arc::clone(alias)).or_default().push(number);
        }
    }

    fn index_addresses(&mut self, entry: &Entry, number: u32) {
        for block in &entry.blocks {
            if block.is_single() {
                self.addresses.entry(block.address).or_default().push(number);
            } else {
                self.blocks.push((*block, number));
            }
        }
        if entry.local_offset > 0 {
            self.local.entry(entry.local_offset).or_default().push(number);
        }
        for (port, protocol) in &entry.ports {
            if entry.is_http(*port) {
                self.http_ports.insert(*port);
            }
            if is_http(*protocol) {
                continue;
            }
            if *protocol == Protocol::Tls && !entry.has_single_address() {
                self.tls_ports.entry(*port).or_default().push(number);
            } else if entry.blocks.is_empty() && entry.kind == EntryKind::Service {
                self.open_ports.entry(*port).or_default().push(number);
            }
        }
    }

    /// All entries, sorted by host.
    #[must_use]
    pub fn entries(&self) -> &[Arc<Entry>] {
        &self.entries
    }

    /// The entry that can be subscribed to as `host/<host>`.
    #[must_use]
    pub fn entry(&self, host: &str) -> Option<&Arc<Entry>> {
        match host.strip_prefix('*') {
            Some(suffix) => self.wildcards.get(suffix),
            None => self.exact.get(host),
        }
        .and_then(|number| self.get(*number))
    }

    /// Whether some entry declares the port as HTTP.
    #[must_use]
    pub fn is_http_port(&self, port: u16) -> bool {
        self.http_ports.contains(&port)
    }

    fn get(&self, number: u32) -> Option<&Arc<Entry>> {
        self.entries.get(number as usize)
    }

    fn all<'d>(&'d self, numbers: Option<&'d Indexes>) -> impl Iterator<Item = &'d Arc<Entry>> {
        numbers.into_iter().flatten().filter_map(|number| self.get(*number))
    }
}

/// Whether a host is exact, `*.suffix` or `*`.
pub(crate) fn is_pattern(host: &str) -> bool {
    match host.strip_prefix('*') {
        Some(suffix) => (suffix.is_empty() || suffix.starts_with('.')) && !suffix.contains('*'),
        None => !host.contains('*'),
    }
}

/// Whether a pattern (`exact`, `*.suffix`, `*`; lower case) matches a host (lower case).
#[must_use]
pub fn host_matches(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
        None => pattern == host,
    }
}
