//! Which protocol a port speaks, from what its owner declares.

use std::fmt;

/// What a port speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// HTTP/1.1.
    Http,
    /// HTTP/2 without TLS.
    Http2,
    /// gRPC.
    Grpc,
    /// gRPC-Web.
    GrpcWeb,
    /// HTTP within TLS, which the mesh does not open.
    Https,
    /// Anything within TLS, which the mesh does not open.
    Tls,
    /// Anything over TCP.
    Tcp,
    /// MongoDB's protocol.
    Mongo,
    /// MySQL's protocol.
    Mysql,
    /// Redis' protocol.
    Redis,
    /// UDP, which the mesh leaves alone.
    Udp,
    /// HTTP CONNECT.
    HttpProxy,
    /// HTTP within HTTP CONNECT within mutual TLS.
    Hbone,
    /// Not declared: found out from the traffic.
    Unknown,
}

/// Ports of well-known protocols in which the server speaks first: SMTP, DNS, MySQL, MongoDB. They
/// are never sniffed.
const NEVER_SNIFFED: [u32; 4] = [25, 53, 3306, 27017];

impl Protocol {
    /// Reads a protocol's name in any case, as the `protocol` of an Istio port has it. Anything
    /// else is unknown.
    pub fn parse(name: &str) -> Protocol {
        match name.to_ascii_lowercase().as_str() {
            "http" => Protocol::Http,
            "http2" => Protocol::Http2,
            "grpc" => Protocol::Grpc,
            "grpc-web" => Protocol::GrpcWeb,
            "https" => Protocol::Https,
            "tls" => Protocol::Tls,
            "tcp" => Protocol::Tcp,
            "mongo" => Protocol::Mongo,
            "mysql" => Protocol::Mysql,
            "redis" => Protocol::Redis,
            "udp" => Protocol::Udp,
            "http_proxy" => Protocol::HttpProxy,
            "hbone" => Protocol::Hbone,
            _ => Protocol::Unknown,
        }
    }

    /// What a port of a Kubernetes Service speaks: what `app_protocol` says, else what the name
    /// begins with, else TCP on the ports of protocols in which the server speaks first, else not
    /// declared. `transport` is TCP, UDP or SCTP.
    pub fn of_service_port(
        number: u32,
        name: &str,
        app_protocol: Option<&str>,
        transport: &str,
    ) -> Protocol {
        if transport.eq_ignore_ascii_case("UDP") {
            return Protocol::Udp;
        }
        if let Some(app_protocol) = app_protocol {
            match app_protocol.to_ascii_lowercase().as_str() {
                "kubernetes.io/h2c" => return Protocol::Http2,
                "kubernetes.io/ws" => return Protocol::Http,
                "kubernetes.io/wss" => return Protocol::Https,
                "" => {}
                // A declared protocol that nobody knows is no reason to go by the name.
                other => return Protocol::from_name(other),
            }
        }
        match Protocol::from_name(name) {
            Protocol::Unknown if NEVER_SNIFFED.contains(&number) => Protocol::Tcp,
            protocol => protocol,
        }
    }

    /// The protocol that a name begins with, up to the first `-`.
    fn from_name(name: &str) -> Protocol {
        let name = name.to_ascii_lowercase();
        if name == "grpc-web" || name.starts_with("grpc-web-") {
            return Protocol::GrpcWeb;
        }
        Protocol::parse(name.split('-').next().unwrap_or_default())
    }

    /// Whether requests are routed one by one.
    pub fn is_http(self) -> bool {
        matches!(
            self,
            Protocol::Http
                | Protocol::Http2
                | Protocol::Grpc
                | Protocol::GrpcWeb
                | Protocol::HttpProxy
        )
    }

    /// Whether the destination is talked to in HTTP/2.
    pub fn is_http2(self) -> bool {
        matches!(self, Protocol::Http2 | Protocol::Grpc | Protocol::GrpcWeb)
    }

    /// Whether bytes are carried without looking into them.
    pub fn is_tcp(self) -> bool {
        matches!(
            self,
            Protocol::Tcp
                | Protocol::Https
                | Protocol::Tls
                | Protocol::Mongo
                | Protocol::Mysql
                | Protocol::Redis
        )
    }

    /// Whether the application itself speaks TLS, so that connections are routed by server name.
    pub fn is_tls(self) -> bool {
        matches!(self, Protocol::Https | Protocol::Tls)
    }

    /// Whether the protocol is found out from the traffic.
    pub fn is_sniffed(self) -> bool {
        self == Protocol::Unknown
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Http => "HTTP",
            Protocol::Http2 => "HTTP2",
            Protocol::Grpc => "GRPC",
            Protocol::GrpcWeb => "GRPC-WEB",
            Protocol::Https => "HTTPS",
            Protocol::Tls => "TLS",
            Protocol::Tcp => "TCP",
            Protocol::Mongo => "MONGO",
            Protocol::Mysql => "MYSQL",
            Protocol::Redis => "REDIS",
            Protocol::Udp => "UDP",
            Protocol::HttpProxy => "HTTP_PROXY",
            Protocol::Hbone => "HBONE",
            Protocol::Unknown => "UNKNOWN",
        })
    }
}
