//! Filter chains from verdicts.
//!
//! Envoy narrows its choice step by step (address, server name, transport protocol, application
//! protocol) and never steps back: what one step chose and the next does not have is lost to the
//! default chain. So wherever a chain asks for more, its sisters for everything else stand beside it.

use std::collections::BTreeMap;

use envoy_types::pb::envoy::config::listener::v3::{
    FilterChain, FilterChainMatch, Listener, ListenerFilter, listener_filter,
};
use envoy_types::pb::envoy::extensions::filters::listener::http_inspector::v3::HttpInspector;
use envoy_types::pb::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;
use envoy_types::pb::google::protobuf::{Any, Duration};

use super::decide::{Seen, Situation, Target, Verdict};
use super::universe;
use crate::filter::{HttpConnectionManager, Place, RouteSource, tcp_proxy};
use crate::lowering::Context;
use crate::message::{any, cidr, millis, uint32};
use crate::names;

/// What the HTTP inspector calls HTTP.
const HTTP: [&str; 2] = ["http/1.1", "h2c"];

/// The filter chains of a listener under construction.
pub(super) struct Chains<'a> {
    context: &'a Context<'a>,
    name: &'a str,
    port: u16,
    parts: Vec<Part>,
}

/// What was decided about one target.
struct Part {
    target: Target,
    http: Verdict,
    opaque: Verdict,
    /// TLS without a name that is told apart.
    tls: Verdict,
    named: Vec<(String, Verdict)>,
    /// Some service there declares TLS.
    declares_tls: bool,
}

impl Part {
    fn inspects_tls(&self) -> bool {
        self.tls != self.opaque || self.named.iter().any(|(_, verdict)| *verdict != self.opaque)
    }

    fn inspects_http(&self) -> bool {
        self.http != self.opaque
    }
}

impl<'a> Chains<'a> {
    pub(super) fn new(context: &'a Context<'a>, name: &'a str, port: u16) -> Self {
        Self { context, name, port, parts: Vec::new() }
    }

    /// A target that is told apart.
    pub(super) fn add(&mut self, situation: &Situation<'_>) {
        let mut named = Vec::new();
        let mut tls = situation.decide(Seen::Tls(None));
        for pattern in universe::server_names(self.context, situation, self.port) {
            let verdict = situation.decide(Seen::Tls(Some(&pattern)));
            if pattern == "*" {
                tls = verdict;
            } else {
                named.push((pattern, verdict));
            }
        }
        self.parts.push(Part {
            target: situation.target,
            http: situation.decide(Seen::Http),
            opaque: situation.decide(Seen::Opaque),
            tls,
            named,
            declares_tls: situation.is_tls(),
        });
    }

    /// The target of everything else.
    pub(super) fn finish(&mut self, situation: &Situation<'_>) {
        self.add(situation);
    }

    /// The listener, without its name and address.
    pub(super) fn into_listener(self) -> Listener {
        let inspects_tls = self.parts.iter().any(Part::inspects_tls);
        let inspects_http = self.parts.iter().any(Part::inspects_http);
        let mut chains = Vec::new();
        let mut default = None;
        for part in &self.parts {
            let last = !matches!(part.target, Target::Within(_));
            self.chains_of(part, inspects_tls, last, &mut chains);
            if last {
                default = Some(self.chain(FilterChainMatch::default(), &part.opaque));
            }
        }
        // A listener with one chain has no default.
        if chains.is_empty() {
            chains.extend(default.take());
        }
        let mut listener_filters = Vec::new();
        // Where names are written, or TLS is declared, the log tells the client's name, even if all of
        // them lead to one place.
        let logs_names = |part: &Part| part.declares_tls || !part.named.is_empty();
        if inspects_tls || self.parts.iter().any(logs_names) {
            let inspector =
                TlsInspector { initial_read_buffer_size: Some(uint32(512)), ..Default::default() };
            listener_filters.push(inspector_filter("tls_inspector", any(&inspector)));
        }
        if inspects_http {
            listener_filters
                .push(inspector_filter("http_inspector", any(&HttpInspector::default())));
        }
        let detection = self.context.settings.protocol_detection_timeout_ms;
        Listener {
            filter_chains: chains,
            default_filter_chain: default,
            listener_filters_timeout: Some(if inspects_http {
                millis(detection.into())
            } else {
                Duration::default()
            }),
            continue_on_listener_filters_timeout: true,
            listener_filters,
            ..Listener::default()
        }
    }

    /// The chains of a part; `last`: what none of them takes goes to the default chain anyway.
    fn chains_of(
        &self,
        part: &Part,
        inspects_tls: bool,
        last: bool,
        chains: &mut Vec<FilterChain>,
    ) {
        let matching = || FilterChainMatch {
            prefix_ranges: match part.target {
                Target::Within(block) => vec![cidr(&block)],
                Target::At(_) | Target::Elsewhere => Vec::new(),
            },
            ..FilterChainMatch::default()
        };
        let transport = |protocol: &str| FilterChainMatch {
            transport_protocol: protocol.to_owned(),
            ..matching()
        };
        if part.named.iter().any(|(_, verdict)| *verdict != part.tls) {
            for (server_names, verdict) in grouped(&part.named) {
                let named = FilterChainMatch { server_names, ..transport("tls") };
                chains.push(self.chain(named, verdict));
            }
        }
        let tls = inspects_tls && (!last || part.tls != part.opaque);
        if part.inspects_http() {
            let application_protocols = HTTP.iter().map(|&name| name.to_owned()).collect();
            let http = FilterChainMatch { application_protocols, ..transport("raw_buffer") };
            chains.push(self.chain(http, &part.http));
            if tls {
                chains.push(self.chain(transport("tls"), &part.tls));
            }
            if !last {
                chains.push(self.chain(transport("raw_buffer"), &part.opaque));
            }
            return;
        }
        if tls && part.tls != part.opaque {
            chains.push(self.chain(transport("tls"), &part.tls));
        }
        if !last {
            chains.push(self.chain(matching(), &part.opaque));
        }
    }

    fn chain(&self, matching: FilterChainMatch, verdict: &Verdict) -> FilterChain {
        let stat_prefix = format!("outbound_{}", self.name);
        let http = |routes: String| {
            let manager = HttpConnectionManager {
                place: Place::Outbound,
                stat_prefix: &stat_prefix,
                routes: RouteSource::Resource(routes),
                admission: Vec::new(),
            };
            manager.filter(self.context)
        };
        let relay = |clusters: Vec<(String, u32)>| {
            let prefix = match clusters.as_slice() {
                [(only, _)] => only.clone(),
                _ => stat_prefix.clone(),
            };
            tcp_proxy(self.context, Place::Outbound, &prefix, clusters, false)
        };
        let to = |cluster: &str| relay(vec![(cluster.to_owned(), 1)]);
        let (name, filter) = match verdict {
            Verdict::PortRoutes => ("", http(names::port_routes(self.port))),
            Verdict::HostRoutes(host) => ("", http(names::detected_routes(host, self.port))),
            Verdict::Relay(clusters) => ("", relay(clusters.clone())),
            Verdict::Passthrough => (names::PASSTHROUGH_CHAIN, to(names::PASSTHROUGH_CLUSTER)),
            Verdict::Close => ("", to(names::BLACK_HOLE_CLUSTER)),
        };
        let anything = matching == FilterChainMatch::default();
        FilterChain {
            name: if anything { name.to_owned() } else { String::new() },
            filter_chain_match: (!anything).then_some(matching),
            filters: vec![filter],
            ..FilterChain::default()
        }
    }
}

/// Server names with the same verdict, in the order of their first.
fn grouped(named: &[(String, Verdict)]) -> Vec<(Vec<String>, &Verdict)> {
    let mut groups: BTreeMap<usize, (Vec<String>, &Verdict)> = BTreeMap::new();
    for (index, (name, verdict)) in named.iter().enumerate() {
        match groups.values_mut().find(|(_, known)| *known == verdict) {
            Some((names, _)) => names.push(name.clone()),
            None => {
                groups.insert(index, (vec![name.clone()], verdict));
            }
        }
    }
    groups.into_values().collect()
}

fn inspector_filter(name: &str, config: Any) -> ListenerFilter {
    ListenerFilter {
        name: format!("envoy.filters.listener.{name}"),
        config_type: Some(listener_filter::ConfigType::TypedConfig(config)),
        ..ListenerFilter::default()
    }
}
