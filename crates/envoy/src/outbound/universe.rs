//! Everything that has to be told apart on a port.

use std::collections::BTreeSet;

use lateen_mesh::address::Block;
use lateen_mesh::name::Name;
use lateen_mesh::v1;

use super::decide::Situation;
use crate::lowering::{Context, Entry, is_http};

/// The blocks of addresses on a port: those of entries, and those that their rules ask for.
pub(super) fn blocks(context: &Context<'_>, port: u16) -> BTreeSet<Block> {
    let directory = &context.model.directory;
    let Some(on_port) = directory.on_port(port) else { return BTreeSet::new() };
    let other = |entry: &Entry| entry.protocol(port).is_some_and(|protocol| !is_http(protocol));
    let mut blocks = BTreeSet::new();
    let mut deciding: Vec<&Entry> = Vec::new();
    for (entry, block) in directory.blocks().filter(|(entry, _)| other(entry)) {
        blocks.insert(block);
        deciding.push(entry);
    }
    deciding.extend(directory.all(Some(&on_port.by_name)));
    deciding.extend(directory.all(Some(&on_port.open)));
    for entry in deciding {
        let Some(table) = routes(context, entry) else { continue };
        let subnets = matches(table, port).flat_map(|matched| &matched.destination_subnets);
        blocks.extend(subnets.filter_map(|bytes| Block::decode(bytes)));
    }
    blocks
}

/// The server names on a port, narrower patterns and wider ones: those of entries, and those that
/// their rules ask for.
pub(super) fn server_names(
    context: &Context<'_>,
    situation: &Situation<'_>,
    port: u16,
) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in situation.tls_entries() {
        let table = routes(context, entry);
        let asked = table.into_iter().flat_map(|table| matches(table, port));
        let asked: Vec<String> = asked
            .flat_map(|matched| &matched.sni)
            .map(|pattern| pattern.to_ascii_lowercase())
            .collect();
        if entry.protocol(port) == Some(v1::Protocol::Tls) && !situation.is_by_address() {
            names.insert(entry.host.to_string());
            names.extend(entry.aliases.iter().map(ToString::to_string));
        }
        names.extend(asked);
    }
    names
}

fn routes<'a>(context: &Context<'a>, entry: &Entry) -> Option<&'a v1::Routes> {
    context.model.routes(&Name::Routes(entry.host.to_string()))
}

fn matches(table: &v1::Routes, port: u16) -> impl Iterator<Item = &v1::L4Match> {
    let tcp = table.tcp.iter().flat_map(|rule| &rule.matches);
    let tls = table.tls.iter().flat_map(|rule| &rule.matches);
    tcp.chain(tls).filter(move |matched| matched.port == 0 || matched.port == u32::from(port))
}
