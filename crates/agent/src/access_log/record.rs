//! What an entry says, in the words of a native proxy's records.

use std::collections::BTreeMap;

use http::HeaderValue;
use lateen_proxy::connection::Direction;
use lateen_proxy::telemetry::{Cluster, Peer};
use prost_types::value::Kind;

use crate::wire::access_log::AccessLogCommon;

/// Namespace of the dynamic metadata with what a peer said of itself.
const PEER: &str = "lateen.peer";

/// Where Envoy made the entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Place(pub(super) Direction);

impl Place {
    /// Reads `<place>-<protocol>`; the protocol is seen by the kind of the entries.
    pub(super) fn of_log(name: &str) -> Option<Self> {
        match name.rsplit_once('-')?.0 {
            "outbound" => Some(Self(Direction::Outbound)),
            "inbound" => Some(Self(Direction::Inbound)),
            "gateway" => Some(Self(Direction::Gateway)),
            _ => None,
        }
    }
}

/// The value of a custom tag; empty if it is absent.
pub(super) fn tag<'a>(tags: &'a BTreeMap<String, String>, name: &str) -> &'a str {
    match tags.get(name).map(String::as_str) {
        None | Some("-") => "",
        Some(value) => value,
    }
}

/// The cluster that Envoy chose, by its name. The suffixes by which Lateen tells two clusters of one
/// destination apart are no part of Istio's name.
pub(super) fn cluster(name: &str) -> Cluster<'_> {
    let name = name.strip_suffix(";http").or_else(|| name.strip_suffix(";tcp")).unwrap_or(name);
    match name {
        "PassthroughCluster" => return Cluster::Passthrough,
        "BlackHoleCluster" => return Cluster::BlackHole,
        "InboundPassthroughCluster" => return Cluster::InboundPassthrough,
        _ => {}
    }
    let mut parts = name.splitn(4, '|');
    let mut next = || parts.next().unwrap_or_default();
    let (direction, port, subset, host) = (next(), next().parse(), next(), next());
    match (direction, port) {
        ("outbound", Ok(port)) => Cluster::Outbound { port, subset, host },
        ("inbound", Ok(port)) => Cluster::Inbound { port },
        _ => Cluster::None,
    }
}

/// What the control plane says of the endpoint that was chosen:
/// `<workload>;<namespace>;<canonical name>;<canonical revision>;<cluster>`, and its labels.
pub(super) fn endpoint<'a>(workload: &'a str, app: &'a str, version: &'a str) -> Peer<'a> {
    let mut parts = workload.splitn(5, ';');
    let mut next = || parts.next().unwrap_or_default();
    let (workload, namespace, canonical_name, canonical_revision, cluster) =
        (next(), next(), next(), next(), next());
    Peer { workload, namespace, canonical_name, canonical_revision, app, version, cluster }
}

/// The two headers in which the peer said who it is: its metadata, and its id.
pub(super) fn peer_headers(common: &AccessLogCommon) -> Option<(HeaderValue, HeaderValue)> {
    let fields = &common.metadata.as_ref()?.filter_metadata.get(PEER)?.fields;
    let field = |name: &str| match fields.get(name)?.kind.as_ref()? {
        Kind::StringValue(text) => HeaderValue::try_from(text).ok(),
        _ => None,
    };
    Some((field("metadata")?, field("id")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_from_the_logs_name() {
        for (name, direction) in [
            ("outbound-http", Some(Direction::Outbound)),
            ("inbound-tcp", Some(Direction::Inbound)),
            ("gateway-http", Some(Direction::Gateway)),
            ("sideways-http", None),
            ("outbound", None),
        ] {
            assert_eq!(Place::of_log(name).map(|place| place.0), direction, "{name}");
        }
    }

    #[test]
    fn clusters_are_read_from_istios_names() {
        let web = |subset| Cluster::Outbound { port: 80, subset, host: "web.shop.svc" };
        for (name, expected) in [
            ("outbound|80||web.shop.svc", web("")),
            ("outbound|80|v1|web.shop.svc;http", web("v1")),
            ("outbound|80||web.shop.svc;tcp", web("")),
            ("inbound|8080||", Cluster::Inbound { port: 8080 }),
            ("PassthroughCluster", Cluster::Passthrough),
            ("BlackHoleCluster", Cluster::BlackHole),
            ("InboundPassthroughCluster", Cluster::InboundPassthrough),
            ("", Cluster::None),
            ("agent", Cluster::None),
            ("outbound|no port||web", Cluster::None),
        ] {
            assert_eq!(cluster(name), expected, "{name}");
        }
    }

    #[test]
    fn endpoints_are_read_from_their_metadata() {
        let peer = endpoint("web;shop;web-canonical;v1;east", "web", "v1");
        let expected = Peer {
            workload: "web",
            namespace: "shop",
            canonical_name: "web-canonical",
            canonical_revision: "v1",
            app: "web",
            version: "v1",
            cluster: "east",
        };
        assert_eq!(peer, expected);
        assert_eq!(endpoint("", "", ""), Peer::default());
    }
}
