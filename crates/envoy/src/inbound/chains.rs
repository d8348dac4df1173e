//! Which filter chains a port has: the matrix of `istio-contracts.md` §11.

use envoy_types::pb::envoy::config::listener::v3::{FilterChain, FilterChainMatch};
use lateen_mesh::v1::MtlsMode;

use super::{Carries, Workload, routes};
use crate::filter::{Destined, HttpConnectionManager, Place, RouteSource, tcp_proxy};
use crate::message::uint32;
use crate::tls::downstream;

/// ALPN that says: mutual TLS of the mesh, HTTP inside.
const MESH_HTTP: [&str; 3] = ["istio-http/1.0", "istio-http/1.1", "istio-h2"];
/// ALPN that says: mutual TLS of the mesh, anything inside.
const MESH_TCP: [&str; 2] = ["istio-peer-exchange", "istio"];
/// What the HTTP inspector makes of plain text.
const PLAIN_HTTP: [&str; 2] = ["http/1.1", "h2c"];

/// One kind of connection: how it is told apart, and how it is served.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kind {
    transport: &'static str,
    alpn: Vec<&'static str>,
    /// Mutual TLS of the mesh is terminated.
    mutual: bool,
    http: bool,
}

impl Kind {
    fn mutual(alpn: &[&'static str], http: bool) -> Self {
        Self { transport: "tls", alpn: alpn.to_vec(), mutual: true, http }
    }

    fn plain(alpn: &[&'static str], http: bool) -> Self {
        Self { transport: "raw_buffer", alpn: alpn.to_vec(), mutual: false, http }
    }

    /// The application's own TLS.
    fn opaque_tls() -> Self {
        Self { transport: "tls", alpn: Vec::new(), mutual: false, http: false }
    }
}

fn kinds(mode: MtlsMode, carries: Carries) -> Vec<Kind> {
    let mesh = [MESH_TCP.as_slice(), MESH_HTTP.as_slice()].concat();
    match (mode, carries) {
        (MtlsMode::Permissive, Carries::Http) => {
            vec![Kind::mutual(&mesh, true), Kind::plain(&[], true)]
        }
        (MtlsMode::Permissive, Carries::Tcp) => {
            vec![Kind::mutual(&mesh, false), Kind::opaque_tls(), Kind::plain(&[], false)]
        }
        (MtlsMode::Permissive, Carries::Either) => vec![
            Kind::mutual(&MESH_HTTP, true),
            Kind::plain(&PLAIN_HTTP, true),
            Kind::mutual(&MESH_TCP, false),
            Kind::plain(&[], false),
            Kind::opaque_tls(),
        ],
        (MtlsMode::Strict, Carries::Http) => vec![Kind::mutual(&[], true)],
        (MtlsMode::Strict, Carries::Tcp) => vec![Kind::mutual(&[], false)],
        (MtlsMode::Strict, Carries::Either) => {
            vec![Kind::mutual(&MESH_HTTP, true), Kind::mutual(&[], false)]
        }
        (MtlsMode::Disable, Carries::Http) => vec![Kind::plain(&[], true)],
        (MtlsMode::Disable, Carries::Tcp) => vec![Kind::plain(&[], false)],
        (MtlsMode::Disable, Carries::Either) => {
            vec![Kind::plain(&PLAIN_HTTP, true), Kind::plain(&[], false)]
        }
    }
}

/// Whether it must be looked whether connections begin with TLS.
pub(super) fn inspects_tls(mode: MtlsMode) -> bool {
    mode != MtlsMode::Disable
}

/// Whether it must be looked whether connections begin with HTTP.
pub(super) fn inspects_http(mode: MtlsMode, carries: Carries) -> bool {
    kinds(mode, carries).iter().any(|kind| kind.alpn == PLAIN_HTTP)
}

/// The filter chains of one port, or of all that have none.
pub(super) struct Chains<'a> {
    pub(super) mode: MtlsMode,
    pub(super) carries: Carries,
    /// Which connections are meant; `None`: all of the listener.
    pub(super) port: Option<u16>,
    /// Names of the chains that carry HTTP, and of the others.
    pub(super) names: (&'a str, &'a str),
    /// Beginning of the names of HTTP statistics.
    pub(super) stat_prefix: &'a str,
    /// The cluster of the application.
    pub(super) cluster: &'a str,
    pub(super) destined: Destined,
    pub(super) routes: routes::Application<'a>,
}

impl Chains<'_> {
    pub(super) fn build(&self, workload: &Workload<'_>) -> Vec<FilterChain> {
        let kinds = kinds(self.mode, self.carries);
        kinds.into_iter().map(|kind| self.chain(workload, &kind)).collect()
    }

    fn chain(&self, workload: &Workload<'_>, kind: &Kind) -> FilterChain {
        let context = workload.context;
        let mut filters = Vec::new();
        if kind.http {
            let manager = HttpConnectionManager {
                place: Place::Inbound,
                stat_prefix: self.stat_prefix,
                routes: RouteSource::Inline(Box::new(self.routes.lower(context, self.cluster))),
                admission: workload.authorization.http(self.destined),
            };
            filters.push(manager.filter(context));
        } else {
            filters.extend(workload.authorization.network(self.destined));
            let clusters = vec![(self.cluster.to_owned(), 1)];
            filters.push(tcp_proxy(context, Place::Inbound, self.cluster, clusters, kind.mutual));
        }
        let (http, tcp) = self.names;
        FilterChain {
            filter_chain_match: Some(FilterChainMatch {
                destination_port: self.port.map(|port| uint32(port.into())),
                transport_protocol: kind.transport.to_owned(),
                application_protocols: kind.alpn.iter().map(|&name| name.to_owned()).collect(),
                ..FilterChainMatch::default()
            }),
            filters,
            transport_socket: kind.mutual.then(|| downstream::mesh(context.settings)),
            name: if kind.http { http } else { tcp }.to_owned(),
            ..FilterChain::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One line for each kind of connection: what it is told apart by → how it is served.
    fn matrix(mode: MtlsMode, carries: Carries) -> Vec<String> {
        let line = |kind: &Kind| {
            let alpn = kind.alpn.join(",");
            let tls = if kind.mutual { "mTLS" } else { "as it is" };
            let inside = if kind.http { "HTTP" } else { "TCP" };
            format!("{} [{alpn}] → {tls}, {inside}", kind.transport)
        };
        kinds(mode, carries).iter().map(line).collect()
    }

    #[test]
    fn the_matrix_is_istios() {
        const ALL: &str = "istio-peer-exchange,istio,istio-http/1.0,istio-http/1.1,istio-h2";
        const HTTP: &str = "istio-http/1.0,istio-http/1.1,istio-h2";
        use Carries::{Either, Http, Tcp};
        use MtlsMode::{Disable, Permissive, Strict};
        let cases: [(MtlsMode, Carries, Vec<String>); 9] = [
            (
                Permissive,
                Http,
                vec![format!("tls [{ALL}] → mTLS, HTTP"), "raw_buffer [] → as it is, HTTP".into()],
            ),
            (
                Permissive,
                Tcp,
                vec![
                    format!("tls [{ALL}] → mTLS, TCP"),
                    "tls [] → as it is, TCP".into(),
                    "raw_buffer [] → as it is, TCP".into(),
                ],
            ),
            (
                Permissive,
                Either,
                vec![
                    format!("tls [{HTTP}] → mTLS, HTTP"),
                    "raw_buffer [http/1.1,h2c] → as it is, HTTP".into(),
                    "tls [istio-peer-exchange,istio] → mTLS, TCP".into(),
                    "raw_buffer [] → as it is, TCP".into(),
                    "tls [] → as it is, TCP".into(),
                ],
            ),
            (Strict, Http, vec!["tls [] → mTLS, HTTP".into()]),
            (Strict, Tcp, vec!["tls [] → mTLS, TCP".into()]),
            (
                Strict,
                Either,
                vec![format!("tls [{HTTP}] → mTLS, HTTP"), "tls [] → mTLS, TCP".into()],
            ),
            (Disable, Http, vec!["raw_buffer [] → as it is, HTTP".into()]),
            (Disable, Tcp, vec!["raw_buffer [] → as it is, TCP".into()]),
            (
                Disable,
                Either,
                vec![
                    "raw_buffer [http/1.1,h2c] → as it is, HTTP".into(),
                    "raw_buffer [] → as it is, TCP".into(),
                ],
            ),
        ];
        for (mode, carries, expected) in cases {
            assert_eq!(matrix(mode, carries), expected, "{mode:?} {carries:?}");
        }
    }
}
