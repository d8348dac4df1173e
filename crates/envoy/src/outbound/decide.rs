//! The engine's outbound order (`lateen_engine::outbound`), over sets of connections that Envoy can
//! tell apart by address, by server name, and by what the first bytes are.

use std::net::IpAddr;
use std::sync::Arc;

use lateen_mesh::address::Block;
use lateen_mesh::name::Name;
use lateen_mesh::v1::{self, Discovery, Protocol};

use crate::lowering::{Context, Entry, covers, is_http};
use crate::names::{self, Carried};

/// Where connections were dialled to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// This address.
    At(IpAddr),
    /// Anywhere in the block, but for smaller blocks that are told apart too.
    Within(Block),
    /// At none of the addresses and blocks that are told apart.
    Elsewhere,
}

/// What was seen of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen<'a> {
    /// HTTP in plain text.
    Http,
    /// TLS with server names of this pattern, but for narrower ones that are told apart too; `None`:
    /// without a name, or with one of no pattern.
    Tls(Option<&'a str>),
    /// Anything else.
    Opaque,
}

/// What becomes of connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// HTTP, by the table of the port.
    PortRoutes,
    /// HTTP, by the table of this host.
    HostRoutes(Arc<str>),
    /// Bytes, to these clusters by weight.
    Relay(Vec<(String, u32)>),
    /// To where they were dialled.
    Passthrough,
    /// Nowhere.
    Close,
}

/// The entries that matter for connections to a target's port.
#[derive(Debug)]
pub(super) struct Situation<'a> {
    context: &'a Context<'a>,
    pub(super) target: Target,
    port: u16,
    /// They alone decide, if there are any.
    by_address: Vec<&'a Entry>,
    /// Whether they are there by a block, not by their own address.
    by_block: bool,
    /// Found by server name.
    by_name: Vec<&'a Entry>,
    /// Without any address.
    open: Vec<&'a Entry>,
}

impl<'a> Situation<'a> {
    /// Whether some service there declares TLS.
    pub(super) fn is_tls(&self) -> bool {
        let entries = self.by_address.iter().chain(&self.by_name).chain(&self.open);
        entries.into_iter().any(|entry| entry.protocol(self.port) == Some(Protocol::Tls))
    }

    pub(super) fn new(context: &'a Context<'a>, target: Target, port: u16) -> Self {
        let directory = &context.model.directory;
        let on_port = directory.on_port(port);
        let by_name = directory.all(on_port.map(|it| &it.by_name)).collect();
        let open = directory.all(on_port.map(|it| &it.open)).collect();
        let mut by_address = match target {
            Target::At(address) => at_address(context, address, port),
            Target::Within(_) | Target::Elsewhere => Vec::new(),
        };
        let by_block = by_address.is_empty();
        if by_block {
            by_address = at_block(context, target, port);
        }
        Self { context, target, port, by_address, by_block, by_name, open }
    }

    /// Whether an entry's own address decides.
    pub(super) fn is_by_address(&self) -> bool {
        !self.by_block
    }

    /// The entries of which any may decide about TLS.
    pub(super) fn tls_entries(&self) -> impl Iterator<Item = &'a Entry> {
        let (one, other): (&[&Entry], &[&Entry]) = if self.by_address.is_empty() {
            (&self.by_name, &self.open)
        } else {
            (&self.by_address, &[])
        };
        one.iter().chain(other).copied().collect::<Vec<_>>().into_iter()
    }

    pub(super) fn decide(&self, seen: Seen<'_>) -> Verdict {
        if !self.by_address.is_empty() {
            return self.first_of(&self.by_address, seen).unwrap_or_else(|| self.fall_through());
        }
        if seen == Seen::Http && self.context.model.directory.is_http_port(self.port) {
            return Verdict::PortRoutes;
        }
        if let Seen::Tls(Some(name)) = seen
            && let Some(verdict) = self.by_server_name(name, seen)
        {
            return verdict;
        }
        self.first_of(&self.open, seen).unwrap_or_else(|| self.fall_through())
    }

    /// The most specific host that covers the name.
    fn by_server_name(&self, name: &str, seen: Seen<'_>) -> Option<Verdict> {
        let fitting = self.by_name.iter().filter(|entry| {
            covers(&entry.host, name) || entry.aliases.iter().any(|alias| covers(alias, name))
        });
        let entry = fitting.max_by_key(|entry| (!entry.host.starts_with('*'), entry.host.len()))?;
        self.enter(entry, seen)
    }

    fn first_of(&self, entries: &[&Entry], seen: Seen<'_>) -> Option<Verdict> {
        entries
            .iter()
            .filter(|entry| self.name_fits(entry, seen))
            .find_map(|it| self.enter(it, seen))
    }

    /// A declared TLS port of an entry that is only a block shares its addresses with others, so the
    /// server name must be the entry's.
    fn name_fits(&self, entry: &Entry, seen: Seen<'_>) -> bool {
        if !self.by_block || entry.protocol(self.port) != Some(Protocol::Tls) {
            return true;
        }
        // An open entry is never one of TLS.
        let Seen::Tls(Some(name)) = seen else { return false };
        let own_rules = self.routes(entry).is_some_and(|table| !table.tls.is_empty());
        own_rules || covers(&entry.host, name)
    }

    fn enter(&self, entry: &Entry, seen: Seen<'_>) -> Option<Verdict> {
        if seen == Seen::Http && entry.protocol(self.port) == Some(Protocol::Auto) {
            return Some(Verdict::HostRoutes(Arc::clone(&entry.host)));
        }
        let Some(table) = self.routes(entry) else { return Some(Verdict::Close) };
        let tls = match seen {
            Seen::Tls(name) => {
                table.tls.iter().find(|it| self.matches(&it.matches, name)).map(|it| &it.backends)
            }
            Seen::Http | Seen::Opaque => None,
        };
        let tcp =
            || table.tcp.iter().find(|it| self.matches(&it.matches, None)).map(|it| &it.backends);
        Some(self.relay(tls.or_else(tcp)?))
    }

    fn routes(&self, entry: &Entry) -> Option<&'a v1::Routes> {
        self.context.model.routes(&Name::Routes(entry.host.to_string()))
    }

    fn matches(&self, matches: &[v1::L4Match], name: Option<&str>) -> bool {
        matches.is_empty()
            || matches.iter().any(|matched| {
                (matched.port == 0 || matched.port == u32::from(self.port))
                    && (matched.destination_subnets.is_empty() || self.is_in(matched))
                    && (matched.sni.is_empty() || is_named(matched, name))
            })
    }

    fn is_in(&self, matched: &v1::L4Match) -> bool {
        let mut subnets = matched.destination_subnets.iter().filter_map(|it| Block::decode(it));
        subnets.any(|subnet| contains(&subnet, self.target))
    }

    fn relay(&self, backends: &[v1::Backend]) -> Verdict {
        let cluster = |backend: &v1::Backend| {
            let destination = self.context.destination(backend, self.port);
            let usable = backend.invalid.is_empty()
                && destination.is_some_and(|it| {
                    it.discovery() != Discovery::Passthrough
                        || !self.context.passthrough_is_a_loop()
                });
            if usable {
                self.context.cluster(backend, self.port, Carried::Tcp)
            } else {
                names::BLACK_HOLE_CLUSTER.to_owned()
            }
        };
        let clusters: Vec<(String, u32)> = match backends {
            // A single backend takes everything, whatever its weight.
            [only] => vec![(cluster(only), 1)],
            several => {
                let drawn = several.iter().filter(|backend| backend.weight > 0);
                drawn.map(|backend| (cluster(backend), backend.weight)).collect()
            }
        };
        if clusters.iter().all(|(name, _)| name == names::BLACK_HOLE_CLUSTER) {
            return Verdict::Close;
        }
        Verdict::Relay(clusters)
    }

    fn fall_through(&self) -> Verdict {
        if self.context.passes_through() { Verdict::Passthrough } else { Verdict::Close }
    }
}

fn is_named(matched: &v1::L4Match, name: Option<&str>) -> bool {
    name.is_some_and(|name| {
        matched.sni.iter().any(|pattern| covers(&pattern.to_ascii_lowercase(), name))
    })
}

/// Whether all of a target lies in a block.
fn contains(block: &Block, target: Target) -> bool {
    match target {
        Target::At(address) => block.contains(address),
        Target::Within(inner) => block.prefix <= inner.prefix && block.contains(inner.address),
        Target::Elsewhere => false,
    }
}

/// Entries that have exactly this address, and the port in any other way than as HTTP.
fn at_address<'a>(context: &Context<'a>, address: IpAddr, port: u16) -> Vec<&'a Entry> {
    let directory = &context.model.directory;
    let offset = match (context.model.local_base(), address) {
        (Some(base), IpAddr::V4(address)) => {
            let (base, address) = (u32::from(base), u32::from(address));
            (base >> 16 == address >> 16).then_some(address & 0xffff)
        }
        _ => None,
    };
    let local = offset.into_iter().flat_map(|offset| directory.with_offset(offset));
    local.chain(directory.with_address(address)).filter(|entry| is_other(entry, port)).collect()
}

/// Entries of the longest block around the target, among those that have the port in any other way
/// than as HTTP.
fn at_block<'a>(context: &Context<'a>, target: Target, port: u16) -> Vec<&'a Entry> {
    let around = || {
        let blocks = context.model.directory.blocks();
        blocks.filter(|(entry, block)| is_other(entry, port) && contains(block, target))
    };
    let longest = around().map(|(_, block)| block.prefix).max();
    around().filter(|(_, block)| Some(block.prefix) == longest).map(|(entry, _)| entry).collect()
}

fn is_other(entry: &Entry, port: u16) -> bool {
    entry.protocol(port).is_some_and(|protocol| !is_http(protocol))
}
