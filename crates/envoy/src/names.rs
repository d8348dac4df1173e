//! Istio's names, which existing tools read.

use std::net::IpAddr;

/// Cluster for what leaves the mesh as it was dialled.
pub const PASSTHROUGH_CLUSTER: &str = "PassthroughCluster";
/// Cluster without endpoints.
pub const BLACK_HOLE_CLUSTER: &str = "BlackHoleCluster";
/// Cluster for inbound connections to ports that no service declares.
pub const INBOUND_PASSTHROUGH_CLUSTER: &str = "InboundPassthroughCluster";
/// Listener that takes what iptables captured on its way out.
pub const VIRTUAL_OUTBOUND: &str = "virtualOutbound";
/// Listener that takes what iptables captured on its way in.
pub const VIRTUAL_INBOUND: &str = "virtualInbound";
/// Port of [`VIRTUAL_OUTBOUND`].
pub const OUTBOUND_PORT: u16 = 15001;
/// Port of [`VIRTUAL_INBOUND`].
pub const INBOUND_PORT: u16 = 15006;
/// Filter chain of direct connections to [`OUTBOUND_PORT`].
pub const OUTBOUND_BLACK_HOLE_CHAIN: &str = "virtualOutbound-blackhole";
/// Filter chain of what nothing else takes on [`VIRTUAL_OUTBOUND`].
pub const OUTBOUND_CATCH_ALL_CHAIN: &str = "virtualOutbound-catchall-tcp";
/// Filter chain of direct connections to [`INBOUND_PORT`].
pub const INBOUND_BLACK_HOLE_CHAIN: &str = "virtualInbound-blackhole";
/// Filter chain of HTTP to ports that no service declares.
pub const INBOUND_CATCH_ALL_HTTP_CHAIN: &str = "virtualInbound-catchall-http";
/// Filter chain of what none of a listener's own take.
pub const PASSTHROUGH_CHAIN: &str = "PassthroughFilterChain";
/// Virtual host of what is passed through.
pub const ALLOW_ANY: &str = "allow_any";
/// Virtual host of what is answered with 502.
pub const BLOCK_ALL: &str = "block_all";
/// SDS name of the workload's own certificate.
pub const WORKLOAD_CERTIFICATE: &str = "default";
/// SDS name of the mesh's roots.
pub const ROOTS: &str = "ROOTCA";
/// Static cluster of the agent's SDS.
pub const SDS_CLUSTER: &str = "sds-grpc";
/// Static cluster that takes access logs.
pub const ACCESS_LOG_CLUSTER: &str = "lateen-access-log";
/// Environment variable with the value of [`PEER_METADATA_HEADER`].
pub const PEER_METADATA_VARIABLE: &str = "LATEEN_PEER_METADATA";
/// Environment variable with the value of [`PEER_METADATA_ID_HEADER`].
pub const PEER_METADATA_ID_VARIABLE: &str = "LATEEN_PEER_METADATA_ID";
/// What a proxy says of its workload: a serialised struct in base64.
pub const PEER_METADATA_HEADER: &str = "x-envoy-peer-metadata";
/// The id of the node that says it.
pub const PEER_METADATA_ID_HEADER: &str = "x-envoy-peer-metadata-id";

/// What a cluster carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Carried {
    /// Requests.
    Http,
    /// Opaque bytes.
    Tcp,
}

/// `outbound|<port>|<subset>|<host>`: a destination, its endpoints, and the cluster for what its
/// port is declared for.
#[must_use]
pub fn outbound(host: &str, port: u16, subset: &str) -> String {
    format!("outbound|{port}|{subset}|{host}")
}

/// `inbound|<application's port>||`.
#[must_use]
pub fn inbound(port: u16) -> String {
    format!("inbound|{port}||")
}

/// Server name by which mesh mutual TLS asks for a destination.
#[must_use]
pub fn sni(host: &str, port: u16, subset: &str) -> String {
    format!("outbound_.{port}_.{subset}_.{host}")
}

/// `<address>_<port>`: a listener at one address.
#[must_use]
pub fn listener(address: IpAddr, port: u16) -> String {
    format!("{address}_{port}")
}

/// `<port>`: routes of everything that is HTTP on a port.
#[must_use]
pub fn port_routes(port: u16) -> String {
    port.to_string()
}

/// `<host>:<port>`: routes of a port whose protocol is detected.
#[must_use]
pub fn detected_routes(host: &str, port: u16) -> String {
    format!("{host}:{port}")
}

/// `http.<port>`: routes of a gateway's plain HTTP servers on a port.
#[must_use]
pub fn gateway_http_routes(port: u16) -> String {
    format!("http.{port}")
}

/// `https.<number>.<port name>.<gateway>.<namespace>`: routes of a gateway's HTTPS server, from its
/// port number and its name in the model (`<namespace>.<gateway>.<server or port name>`).
#[must_use]
pub fn gateway_https_routes(number: u16, server: &str) -> String {
    let mut parts = server.splitn(3, '.');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(namespace), Some(gateway), Some(port)) => {
            format!("https.{number}.{port}.{gateway}.{namespace}")
        }
        _ => format!("https.{number}.{server}"),
    }
}

/// `<host>:<port>`: a virtual host.
#[must_use]
pub fn virtual_host(host: &str, port: u16) -> String {
    format!("{host}:{port}")
}

/// `blackhole:<port>`: the virtual host of a gateway's port without routes.
#[must_use]
pub fn black_hole(port: u16) -> String {
    format!("blackhole:{port}")
}

/// `kubernetes://<namespace>/<name>`: a gateway's certificate.
#[must_use]
pub fn secret(namespace: &str, name: &str) -> String {
    format!("kubernetes://{namespace}/{name}")
}

/// `kubernetes://<namespace>/<name>-cacert`: the roots of a gateway's clients.
#[must_use]
pub fn ca_secret(namespace: &str, name: &str) -> String {
    format!("kubernetes://{namespace}/{name}-cacert")
}

/// The cluster of a destination for one use. A destination has Istio's name for what its port is
/// declared for, and for requests where the protocol is detected; the other use has `;tcp` or
/// `;http` appended, because stock Envoy cannot choose the ALPN by what a connection carries.
#[must_use]
pub fn cluster(
    host: &str,
    port: u16,
    subset: &str,
    protocol: lateen_mesh::v1::Protocol,
    carried: Carried,
) -> String {
    let name = outbound(host, port, subset);
    if natural_use(protocol) == carried {
        return name;
    }
    match carried {
        Carried::Http => name + ";http",
        Carried::Tcp => name + ";tcp",
    }
}

/// What the cluster with Istio's name carries.
#[must_use]
pub const fn natural_use(protocol: lateen_mesh::v1::Protocol) -> Carried {
    use lateen_mesh::v1::Protocol;
    match protocol {
        Protocol::Tcp | Protocol::Tls => Carried::Tcp,
        Protocol::Auto | Protocol::Http | Protocol::Http2 | Protocol::Grpc | Protocol::GrpcWeb => {
            Carried::Http
        }
    }
}
