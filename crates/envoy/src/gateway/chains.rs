//! The filter chains of a gateway's port.

use std::collections::BTreeSet;

use envoy_types::pb::envoy::config::core::v3::TransportSocket;
use envoy_types::pb::envoy::config::listener::v3::{FilterChain, FilterChainMatch};
use envoy_types::pb::google::protobuf::Duration;
use lateen_mesh::address::Block;
use lateen_mesh::v1::{self, GatewayServer, L4Match};

use super::Servers;
use super::relay;
use crate::filter::{HttpConnectionManager, Place, RouteSource, tcp_proxy};
use crate::message::cidr;
use crate::names;
use crate::tls::downstream;

/// How long a TLS handshake may take (`istio-features.md`).
const HANDSHAKE_SECONDS: i64 = 15;

/// Which connections a filter chain takes: a server name (empty: any) and a block of addresses
/// that were dialled (`None`: any). Envoy wants each pair once in a listener.
type Taken = (String, Option<Block>);

/// Gathers the filter chains of a port.
pub(super) struct Chains<'a> {
    servers: Servers<'a>,
    taken: BTreeSet<Taken>,
    pub(super) made: Vec<FilterChain>,
}

impl<'a> Chains<'a> {
    pub(super) fn new(servers: Servers<'a>) -> Self {
        Self { servers, taken: BTreeSet::new(), made: Vec::new() }
    }

    /// Plain HTTP: one route configuration for all servers.
    pub(super) fn plain_http(&mut self, server: &GatewayServer) {
        let routes = names::gateway_http_routes(self.servers.port);
        let prefix =
            format!("outbound_{}", names::listener([0, 0, 0, 0].into(), self.servers.port));
        let chain = self.http(&prefix, routes, None);
        self.add(&[String::new()], None, FilterChain { name: server.name.clone(), ..chain });
    }

    /// TLS terminated, HTTP inside.
    pub(super) fn https(&mut self, server: &GatewayServer) -> Result<(), String> {
        let socket = terminate(server)?;
        let number = u16::try_from(server.number).unwrap_or(self.servers.port);
        let routes = names::gateway_https_routes(number, &server.name);
        let chain = self.http(&routes.clone(), routes, Some(socket));
        self.add(&server_names(server), None, FilterChain { name: server.name.clone(), ..chain });
        Ok(())
    }

    /// TLS terminated, opaque bytes inside.
    pub(super) fn terminated(&mut self, server: &GatewayServer) -> Result<(), String> {
        let socket = terminate(server)?;
        self.relay(server, &server_names(server), Some(&socket));
        Ok(())
    }

    /// Opaque bytes.
    pub(super) fn tcp(&mut self, server: &GatewayServer) {
        self.relay(server, &[String::new()], None);
    }

    /// TLS that is not terminated: by the names of the rules, within those of the server.
    pub(super) fn passthrough(&mut self, server: &GatewayServer) {
        let own = server_names(server);
        let number = server.number;
        for rule in self.tables(server).into_iter().flat_map(|table| &table.tls) {
            for (matched, subnet) in matches(&rule.matches, number) {
                let names = match matched.map_or(&[][..], |matched| &matched.sni) {
                    [] => own.clone(),
                    patterns => narrowed(patterns, &own),
                };
                let chain = self.opaque(server, &rule.backends, None);
                self.add(&names, subnet, chain);
            }
        }
    }

    /// Bytes by the TCP rules of the server's tables, the first that matches. Where none does, the
    /// connection is taken and closed.
    fn relay(&mut self, server: &GatewayServer, names: &[String], tls: Option<&TransportSocket>) {
        for rule in self.tables(server).into_iter().flat_map(|table| &table.tcp) {
            for (_, subnet) in matches(&rule.matches, server.number) {
                let chain = self.opaque(server, &rule.backends, tls);
                self.add(names, subnet, chain);
            }
        }
        let chain = self.opaque(server, &[], tls);
        self.add(names, None, chain);
    }

    /// The tables of a server with its own, in their order.
    fn tables(&self, server: &GatewayServer) -> Vec<&'a v1::Routes> {
        let model = self.servers.context.model;
        let names = server.routes.iter().filter_map(|name| lateen_mesh::name::Name::parse(name));
        names.filter_map(|name| model.routes(&name)).collect()
    }

    fn http(
        &self,
        stat_prefix: &str,
        routes: String,
        transport_socket: Option<TransportSocket>,
    ) -> FilterChain {
        let Servers { context, destined, authorization, .. } = self.servers;
        let manager = HttpConnectionManager {
            place: Place::Gateway,
            stat_prefix,
            routes: RouteSource::Resource(routes),
            admission: authorization.http(destined),
        };
        FilterChain {
            filters: vec![manager.filter(context)],
            transport_socket,
            ..FilterChain::default()
        }
    }

    fn opaque(
        &self,
        server: &GatewayServer,
        backends: &[v1::Backend],
        tls: Option<&TransportSocket>,
    ) -> FilterChain {
        let Servers { context, destined, authorization, port, .. } = self.servers;
        let number = u16::try_from(server.number).unwrap_or(port);
        let clusters = relay::clusters(context, backends, number);
        let prefix = relay::stat_prefix(&clusters, &server.name);
        let mut filters = authorization.network(destined);
        filters.push(tcp_proxy(context, Place::Gateway, &prefix, clusters, tls.is_some()));
        FilterChain {
            filters,
            transport_socket: tls.cloned(),
            name: server.name.clone(),
            ..FilterChain::default()
        }
    }

    /// Adds a chain for those connections that no earlier one takes.
    fn add(&mut self, names: &[String], subnet: Option<Block>, chain: FilterChain) {
        let mut fresh: Vec<&String> = Vec::new();
        for name in names {
            // Envoy takes the narrowest block, a mesh the first rule: what lies within an earlier one is
            // never reached.
            let shadowed = self
                .taken
                .iter()
                .any(|(other, block)| other == name && covers_block(*block, subnet));
            if !shadowed {
                self.taken.insert((name.clone(), subnet));
                fresh.push(name);
            }
        }
        if fresh.is_empty() {
            return;
        }
        // Without a name any will do, and so the others say nothing.
        let any = fresh.iter().any(|name| name.is_empty());
        let server_names = if any { Vec::new() } else { fresh.into_iter().cloned().collect() };
        let matched = FilterChainMatch {
            server_names,
            prefix_ranges: subnet.iter().map(cidr).collect(),
            ..FilterChainMatch::default()
        };
        let timeout = chain
            .transport_socket
            .as_ref()
            .map(|_| Duration { seconds: HANDSHAKE_SECONDS, nanos: 0 });
        self.made.push(FilterChain {
            filter_chain_match: Some(matched),
            transport_socket_connect_timeout: timeout,
            ..chain
        });
    }
}

/// Whether one block (`None`: every address) has all addresses of another.
fn covers_block(outer: Option<Block>, inner: Option<Block>) -> bool {
    match (outer, inner) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(outer), Some(inner)) => outer.prefix <= inner.prefix && outer.contains(inner.address),
    }
}

fn terminate(server: &GatewayServer) -> Result<TransportSocket, String> {
    let tls = server.tls.as_ref().ok_or("it has no certificate")?;
    downstream::gateway(tls)
}

/// The names that a server takes, in lower case; one empty name where it takes any.
fn server_names(server: &GatewayServer) -> Vec<String> {
    if server.hosts.iter().any(|host| host == "*") {
        return vec![String::new()];
    }
    server.hosts.iter().map(|host| host.to_ascii_lowercase()).collect()
}

/// The names that a rule and a server have in common.
fn narrowed(patterns: &[String], own: &[String]) -> Vec<String> {
    let mut names = Vec::new();
    for pattern in patterns.iter().map(|pattern| pattern.to_ascii_lowercase()) {
        let pattern = if pattern == "*" { String::new() } else { pattern };
        for host in own {
            if covers(host, &pattern) {
                names.push(pattern.clone());
            } else if covers(&pattern, host) {
                names.push(host.clone());
            }
        }
    }
    names.dedup();
    names
}

/// Whether every name that `narrow` means is one of `wide`; empty means any name.
fn covers(wide: &str, narrow: &str) -> bool {
    match wide.strip_prefix('*') {
        _ if wide.is_empty() || wide == narrow => true,
        Some(suffix) => {
            let rest = narrow.strip_prefix('*').unwrap_or(narrow);
            rest.len() > suffix.len() && rest.ends_with(suffix)
        }
        None => false,
    }
}

/// The matches of a rule at a server of this number, each with one of its blocks of addresses.
fn matches(matches: &[L4Match], number: u32) -> Vec<(Option<&L4Match>, Option<Block>)> {
    if matches.is_empty() {
        return vec![(None, None)];
    }
    let here = matches.iter().filter(|matched| matched.port == 0 || matched.port == number);
    here.flat_map(|matched| {
        let subnets = &matched.destination_subnets;
        let blocks: Vec<Option<Block>> = match subnets.as_slice() {
            [] => vec![None],
            // A block that cannot be read is none that anything lies in.
            subnets => subnets.iter().filter_map(|bytes| Block::decode(bytes)).map(Some).collect(),
        };
        blocks.into_iter().map(move |block| (Some(matched), block))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_and_servers_meet_in_the_narrower_name() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        for (patterns, own, expected) in [
            (&["a.com"][..], &[""][..], &["a.com"][..]),
            (&["*.com"], &["a.com", "b.org"], &["a.com"]),
            (&["A.com"], &["*.com"], &["a.com"]),
            (&["*.a.com"], &["*.com"], &["*.a.com"]),
            (&["*"], &["*.com"], &["*.com"]),
            (&["*"], &[""], &[""]),
            (&["b.org"], &["*.com"], &[]),
            (&["com"], &["*.com"], &[]),
        ] {
            assert_eq!(
                narrowed(&names(patterns), &names(own)),
                names(expected),
                "{patterns:?} {own:?}"
            );
        }
    }

    #[test]
    fn a_block_covers_those_within_it() {
        let block = |text: &str, prefix| Some(Block { address: text.parse().unwrap(), prefix });
        for (outer, inner, covers) in [
            (None, None, true),
            (None, block("10.0.0.0", 8), true),
            (block("10.0.0.0", 8), None, false),
            (block("10.0.0.0", 8), block("10.1.0.0", 16), true),
            (block("10.1.0.0", 16), block("10.0.0.0", 8), false),
            (block("10.1.0.0", 16), block("10.2.0.1", 32), false),
            (block("0.0.0.0", 0), block("::", 0), false),
        ] {
            assert_eq!(covers_block(outer, inner), covers, "{outer:?} {inner:?}");
        }
    }

    #[test]
    fn matches_are_taken_apart_by_address() {
        let block = |text: &str| Block::single(text.parse().unwrap());
        let matched = L4Match {
            destination_subnets: vec![block("10.0.0.1").encode(), block("10.0.0.2").encode()],
            port: 443,
            ..L4Match::default()
        };
        let blocks = |number| -> Vec<Option<Block>> {
            let found = matches(std::slice::from_ref(&matched), number);
            found.into_iter().map(|(_, block)| block).collect()
        };
        assert_eq!(blocks(443), [Some(block("10.0.0.1")), Some(block("10.0.0.2"))]);
        assert_eq!(blocks(80), []);
        assert_eq!(matches(&[], 80), [(None, None)]);
    }
}
