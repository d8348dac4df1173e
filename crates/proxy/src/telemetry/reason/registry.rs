//! The registry of reasons: one entry each, in the order of `docs/reasons.md`.

use super::{Facts, Reached, Side, Text};
use crate::telemetry::flags::Flags;

/// Declares the enum, the list of all, and what is known of each.
macro_rules! registry {
    ($($(#[doc = $meaning:literal])+ $name:ident = $code:literal {
        advice: $advice:literal,
        side: $side:ident,
        reached: $reached:ident,
        flags: $flags:ident,
        status: $status:expr,
        text: $text:expr $(,)?
    })+) => {
        /// Why the proxy answered by itself, or why an exchange ended badly.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[doc = $meaning])+ $name,)+
        }

        impl Reason {
            /// Every reason, in the order of `docs/reasons.md`.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// What the registry says of it.
            #[must_use]
            pub const fn facts(self) -> &'static Facts {
                match self {
                    $(Self::$name => const {
                        &Facts {
                            code: $code,
                            meaning: concat!($($meaning),+),
                            advice: $advice,
                            side: Side::$side,
                            reached: Reached::$reached,
                            flags: Flags::$flags,
                            status: $status,
                            text: $text,
                        }
                    },)+
                }
            }
        }
    };
}

/// Fixed details and body.
const fn fixed(details: &'static str, body: &'static str) -> Text {
    Text::Fixed { details, body }
}

registry! {
    /// No rule of the route table matched the request.
    NoRoute = "no_route" {
        advice: "`lateen explain` lists the rules and why each did not match; at a gateway, look \
                 whether a VirtualService names both the host and the gateway.",
        side: Policy, reached: No, flags: NO_ROUTE, status: Some(404),
        text: fixed("route_not_found", ""),
    }
    /// The host or address is not in the mesh and the outbound policy is REGISTRY_ONLY.
    NotInRegistry = "not_in_registry" {
        advice: "Add a ServiceEntry for it, or look whether a Sidecar or `exportTo` hides it.",
        side: Policy, reached: No, flags: NONE, status: Some(502),
        text: fixed("direct_response", ""),
    }
    /// A route redirects the request.
    Redirect = "redirect" {
        advice: "Nothing: the rule that decided says where to.",
        side: Policy, reached: No, flags: NONE, status: Some(301),
        text: fixed("direct_response", ""),
    }
    /// The gateway's server redirects plain HTTP to HTTPS.
    HttpsRedirect = "https_redirect" {
        advice: "Nothing: call it with https.",
        side: Policy, reached: No, flags: NONE, status: Some(301),
        text: fixed("direct_response", ""),
    }
    /// A route answers by itself.
    DirectResponse = "direct_response" {
        advice: "Nothing: the rule that decided says what is answered.",
        side: Policy, reached: No, flags: NONE, status: Some(200),
        text: fixed("direct_response", ""),
    }
    /// The route names a destination that does not exist (a host, port or subset).
    InvalidBackend = "invalid_backend" {
        advice: "`lateen analyze` names the reference; look for a subset that no DestinationRule \
                 defines, or a host that is not visible here.",
        side: Policy, reached: No, flags: NO_CLUSTER, status: Some(503),
        text: fixed("cluster_not_found", ""),
    }
    /// The rule that matched has no backend with a weight.
    NoBackend = "no_backend" {
        advice: "Give one of the rule's destinations a weight above zero.",
        side: Policy, reached: No, flags: NO_CLUSTER, status: Some(503),
        text: fixed("cluster_not_found", ""),
    }
    /// The address that was dialled leads back to this proxy, so it is not passed through.
    PassthroughLoop = "passthrough_loop" {
        advice: "The client dials the proxy's own address; look where its address comes from. In \
                 local mode a ServiceEntry with `resolution: NONE` cannot be reached: give it DNS.",
        side: Policy, reached: No, flags: NONE, status: Some(502),
        text: fixed("direct_response", ""),
    }
    /// The control plane did not send the details of a known destination in time.
    DetailsTimedOut = "details_timed_out" {
        advice: "Look at the load of the control plane and at `lateen proxy-status`; a sidecar \
                 that takes its whole scope eagerly never waits.",
        side: Mesh, reached: No, flags: NO_CLUSTER, status: Some(503),
        text: fixed("lateen_details_timed_out", ""),
    }
    /// The destination was not used before, and the control plane is away.
    ControlPlaneAway = "control_plane_away" {
        advice: "Bring the control plane back; a sidecar that takes its whole scope eagerly does \
                 not depend on it for a first call.",
        side: Mesh, reached: No, flags: NO_CLUSTER, status: Some(503),
        text: fixed("lateen_control_plane_away", ""),
    }
    /// The proxy waits for so many destinations already that it does not ask for another.
    TooManyPendingDetails = "too_many_pending_details" {
        advice: "Something calls very many destinations for the first time at once; look at the \
                 ring of failures for which.",
        side: Mesh, reached: No, flags: UPSTREAM_OVERFLOW, status: Some(503),
        text: fixed("lateen_too_many_pending_details", ""),
    }
    /// The destination has no endpoint that is healthy.
    NoHealthyUpstream = "no_healthy_upstream" {
        advice: "Look whether the service has ready endpoints, and whether the subset's labels \
                 select any of them.",
        side: Upstream, reached: No, flags: NO_HEALTHY_UPSTREAM, status: Some(503),
        text: fixed("no_healthy_upstream", "no healthy upstream"),
    }
    /// The destination's host name could not be resolved.
    DnsFailed = "dns_failed" {
        advice: "Resolve the host name from the proxy's own machine or pod.",
        side: Upstream, reached: No, flags: NO_HEALTHY_UPSTREAM, status: Some(503),
        text: fixed("no_healthy_upstream", "no healthy upstream"),
    }
    /// The endpoint refused the connection or is not reachable.
    ConnectFailed = "connect_failed" {
        advice: "Look whether the application listens on this port and address, and whether a \
                 network policy is in the way.",
        side: Upstream, reached: No, flags: UPSTREAM_CONNECTION_FAILURE, status: Some(503),
        text: Text::Reset("remote connection failure"),
    }
    /// The endpoint did not accept the connection in time.
    ConnectTimedOut = "connect_timed_out" {
        advice: "Packets are dropped or the endpoint is overloaded: look for network policies and \
                 at the endpoint's accept queue.",
        side: Upstream, reached: No, flags: UPSTREAM_CONNECTION_FAILURE, status: Some(503),
        text: Text::Reset("connection timeout"),
    }
    /// The TLS handshake with the endpoint failed.
    UpstreamTlsFailed = "upstream_tls_failed" {
        advice: "The failure of the transport says why; usual causes are an endpoint without a \
                 sidecar under ISTIO_MUTUAL, and certificates of another root.",
        side: Upstream, reached: No, flags: UPSTREAM_CONNECTION_FAILURE, status: Some(503),
        text: Text::Reset("remote connection failure"),
    }
    /// The endpoint's certificate is not that of an expected identity.
    UpstreamIdentityMismatch = "upstream_identity_mismatch" {
        advice: "Compare the endpoint's service account with the expected identities, and with \
                 `subjectAltNames` of the DestinationRule or ServiceEntry.",
        side: Upstream, reached: No, flags: UPSTREAM_CONNECTION_FAILURE, status: Some(503),
        text: Text::Reset("remote connection failure"),
    }
    /// TLS to the destination cannot be set up as it is configured.
    UpstreamTlsMisconfigured = "upstream_tls_misconfigured" {
        advice: "Look whether the files that the DestinationRule names are there and readable for \
                 the proxy.",
        side: Policy, reached: No, flags: UPSTREAM_CONNECTION_FAILURE, status: Some(503),
        text: Text::Reset("local connection failure"),
    }
    /// Mutual TLS is called for and the proxy has no certificate of its own (yet).
    NoWorkloadCertificate = "no_workload_certificate" {
        advice: "Look at the proxy's log for refused certificate requests, and at the control \
                 plane's.",
        side: Mesh, reached: No, flags: UPSTREAM_CONNECTION_FAILURE, status: Some(503),
        text: Text::Reset("local connection failure"),
    }
    /// The endpoint closed the connection before it answered.
    UpstreamClosed = "upstream_closed" {
        advice: "The application ended the connection, often on a keep-alive limit shorter than \
                 its clients' or on a crash.",
        side: Upstream, reached: Maybe, flags: UPSTREAM_CONNECTION_TERMINATION, status: Some(503),
        text: Text::Reset("connection termination"),
    }
    /// The endpoint reset the stream before it answered.
    UpstreamReset = "upstream_reset" {
        advice: "Look at the application's log: it refused or gave up this request.",
        side: Upstream, reached: Maybe, flags: UPSTREAM_RESET, status: Some(503),
        text: Text::Reset("remote reset"),
    }
    /// The endpoint refused the stream unseen.
    UpstreamRefusedStream = "upstream_refused_stream" {
        advice: "The endpoint is shutting down or at its limit of streams; the request is safe to \
                 send again.",
        side: Upstream, reached: No, flags: UPSTREAM_RESET, status: Some(503),
        text: Text::Reset("remote refused stream reset"),
    }
    /// The endpoint closed the connection after the response had begun.
    UpstreamClosedMidway = "upstream_closed_midway" {
        advice: "The response was cut off: look for a crash or a time limit in the application.",
        side: Upstream, reached: Yes, flags: UPSTREAM_CONNECTION_TERMINATION, status: None,
        text: Text::ResetMidway("connection termination"),
    }
    /// The endpoint ended an HTTP/1 response before it was complete.
    UpstreamTruncated = "upstream_truncated" {
        advice: "The response was cut off: look for a crash or a time limit in the application, or for \
                 a `content-length` that says too much.",
        side: Upstream, reached: Yes, flags: UPSTREAM_PROTOCOL_ERROR, status: None,
        text: Text::ResetMidway("protocol error"),
    }
    /// The endpoint reset the stream after the response had begun.
    UpstreamResetMidway = "upstream_reset_midway" {
        advice: "The response was cut off: look at the application's log.",
        side: Upstream, reached: Yes, flags: UPSTREAM_RESET, status: None,
        text: Text::ResetMidway("remote reset"),
    }
    /// What the endpoint answered is not the protocol that was expected of it.
    UpstreamProtocolError = "upstream_protocol_error" {
        advice: "Look whether the port's name or `appProtocol` says what the application speaks.",
        side: Upstream, reached: Maybe, flags: UPSTREAM_PROTOCOL_ERROR, status: Some(502),
        text: Text::Reset("protocol error"),
    }
    /// The endpoint's response headers exceed the limit.
    UpstreamHeadersTooLarge = "upstream_headers_too_large" {
        advice: "The application sends more header bytes or headers than the proxy accepts.",
        side: Upstream, reached: Yes, flags: UPSTREAM_PROTOCOL_ERROR, status: Some(502),
        text: Text::Reset("protocol error"),
    }
    /// A limit on connections or requests to the destination is reached.
    Overflow = "overflow" {
        advice: "Look at `connectionPool` of the DestinationRule; the answer carries \
                 `x-envoy-overloaded: true`.",
        side: Policy, reached: No, flags: UPSTREAM_OVERFLOW, status: Some(503),
        text: Text::Reset("overflow"),
    }
    /// The request was not answered within the route's timeout.
    RequestTimedOut = "request_timed_out" {
        advice: "Compare the rule's `timeout` with the time that the application takes.",
        side: Upstream, reached: Maybe, flags: UPSTREAM_TIMEOUT, status: Some(504),
        text: fixed("response_timeout", "upstream request timeout"),
    }
    /// The last attempt was not answered within `perTryTimeout`.
    TryTimedOut = "try_timed_out" {
        advice: "Compare the rule's `perTryTimeout` with the time that the application takes.",
        side: Upstream, reached: Maybe, flags: UPSTREAM_TIMEOUT, status: Some(504),
        text: fixed("upstream_per_try_timeout", "upstream request timeout"),
    }
    /// The timeout ended the exchange after the response had begun.
    TimedOutMidway = "timed_out_midway" {
        advice: "The response was cut off: the rule's `timeout` covers it to its end.",
        side: Upstream, reached: Yes, flags: UPSTREAM_TIMEOUT, status: None,
        text: fixed("response_timeout", ""),
    }
    /// An AuthorizationPolicy denies the request or the connection.
    AuthorizationDenied = "authorization_denied" {
        advice: "The deciding object is the DENY rule that matched; where none is named, no ALLOW \
                 rule matched. `lateen explain` shows each rule's clauses.",
        side: Policy, reached: No, flags: NONE, status: Some(403),
        text: fixed("rbac_access_denied_matched_policy[none]", "RBAC: access denied"),
    }
    /// A CUSTOM AuthorizationPolicy matched, and its provider cannot be asked.
    CustomAuthorizationDenied = "custom_authorization_denied" {
        advice: "External authorization is not honoured yet and fails closed: use ALLOW and DENY.",
        side: Policy, reached: No, flags: EXTERNAL_AUTHORIZATION, status: Some(403),
        text: fixed("ext_authz_error", "RBAC: access denied"),
    }
    /// The request has a token that a RequestAuthentication is about, and tokens cannot be checked.
    TokenNotChecked = "token_not_checked" {
        advice: "JSON Web Tokens are not honoured yet and fail closed: send the request without one, or \
                 take the RequestAuthentication away.",
        side: Policy, reached: No, flags: NONE, status: Some(401),
        text: fixed(
            "jwt_authn_access_denied{Jwks_doesn't_have_key_to_match_kid_or_alg_from_Jwt}",
            "Jwks doesn't have key to match kid or alg from Jwt",
        ),
    }
    /// Plain text on a port that takes mutual TLS only.
    MtlsRequired = "mtls_required" {
        advice: "The caller has no sidecar, or a DestinationRule turns its mutual TLS off; a \
                 PeerAuthentication makes the port STRICT.",
        side: Downstream, reached: No, flags: NO_ROUTE, status: None,
        text: fixed("filter_chain_not_found", ""),
    }
    /// Nothing on this port accepts a connection of this kind.
    ProtocolMismatch = "protocol_mismatch" {
        advice: "TLS was sent to a plain-text port, or TLS that is not the mesh's to an HTTP port.",
        side: Downstream, reached: No, flags: NO_ROUTE, status: None,
        text: fixed("filter_chain_not_found", ""),
    }
    /// Plain text on a port of a gateway that terminates TLS.
    TlsRequired = "tls_required" {
        advice: "Call it with https.",
        side: Downstream, reached: No, flags: NO_ROUTE, status: None,
        text: fixed("filter_chain_not_found", ""),
    }
    /// The proxy does not know (yet) what its workload accepts.
    NoInbound = "no_inbound" {
        advice: "The control plane has sent no inbound configuration: look at `lateen proxy-status`.",
        side: Mesh, reached: No, flags: NO_ROUTE, status: None,
        text: fixed("lateen_no_inbound", ""),
    }
    /// No server of the gateway has a host for the server name (SNI) that was sent.
    NoServer = "no_server" {
        advice: "Compare the name with `hosts` of the Gateway's servers; curl needs `--resolve`, \
                 not only a Host header.",
        side: Policy, reached: No, flags: NO_ROUTE, status: None,
        text: fixed("filter_chain_not_found", ""),
    }
    /// The port is not declared, and only declared ports are accepted.
    PortNotDeclared = "port_not_declared" {
        advice: "Look at `ingress` of the Sidecar resource.",
        side: Policy, reached: No, flags: NO_ROUTE, status: None,
        text: fixed("filter_chain_not_found", ""),
    }
    /// The server's certificate is not there (yet) or cannot be used.
    NoServerCertificate = "no_server_certificate" {
        advice: "Look at the Secret that the Gateway's `credentialName` names: it must be in the \
                 gateway's namespace and hold `tls.crt` and `tls.key`.",
        side: Policy, reached: No, flags: NO_ROUTE, status: None,
        text: fixed("lateen_no_server_certificate", ""),
    }
    /// The TLS handshake with the client failed.
    DownstreamTlsFailed = "downstream_tls_failed" {
        advice: "The failure of the transport says why; a client certificate may be missing, \
                 expired, or of another root.",
        side: Downstream, reached: No, flags: DOWNSTREAM_PROTOCOL_ERROR, status: None,
        text: fixed("downstream_transport_failure", ""),
    }
    /// The client did not finish the TLS handshake in time.
    HandshakeTimedOut = "handshake_timed_out" {
        advice: "The client is slow or does not speak TLS.",
        side: Downstream, reached: No, flags: DOWNSTREAM_PROTOCOL_ERROR, status: None,
        text: fixed("transport_socket_timeout", ""),
    }
    /// The client's request is not valid HTTP.
    BadRequest = "bad_request" {
        advice: "Look at what the client sends; a client that does not speak HTTP on an HTTP port \
                 ends here too.",
        side: Downstream, reached: No, flags: DOWNSTREAM_PROTOCOL_ERROR, status: Some(400),
        text: fixed("http1.codec_error", "Bad Request"),
    }
    /// The request has no Host.
    MissingHost = "missing_host" {
        advice: "HTTP/1.1 requires a Host header.",
        side: Downstream, reached: No, flags: NONE, status: Some(400),
        text: fixed("missing_host_header", ""),
    }
    /// The request's path cannot be normalised.
    BadPath = "bad_path" {
        advice: "The path holds an escape or bytes that path normalisation refuses.",
        side: Downstream, reached: No, flags: NONE, status: Some(400),
        text: fixed("path_normalization_failed", ""),
    }
    /// HTTP/1.0 is not accepted.
    Http10 = "http_1_0" {
        advice: "Let the client speak HTTP/1.1.",
        side: Downstream, reached: No, flags: DOWNSTREAM_PROTOCOL_ERROR, status: Some(426),
        text: fixed("low_version", "Upgrade Required"),
    }
    /// The body's transfer coding is not `chunked`.
    UnknownTransferEncoding = "unknown_transfer_encoding" {
        advice: "HTTP/1.1 bodies are sent with `content-length` or `transfer-encoding: chunked`.",
        side: Downstream, reached: No, flags: DOWNSTREAM_PROTOCOL_ERROR, status: Some(501),
        text: fixed("http1.invalid_transfer_encoding", "Not Implemented"),
    }
    /// The request asks for an upgrade that is not allowed.
    UpgradeRefused = "upgrade_refused" {
        advice: "Only `websocket` is upgraded to.",
        side: Policy, reached: No, flags: NONE, status: Some(403),
        text: fixed("upgrade_failed", ""),
    }
    /// The request's headers are larger than the limit.
    HeadersTooLarge = "headers_too_large" {
        advice: "The limit is 60 KiB unless set otherwise; cookies are the usual cause.",
        side: Downstream, reached: No, flags: DOWNSTREAM_PROTOCOL_ERROR, status: Some(431),
        text: fixed("http1.headers_too_large", "Request Header Fields Too Large"),
    }
    /// The request has more headers than the limit.
    TooManyHeaders = "too_many_headers" {
        advice: "The limit is 100 headers unless set otherwise.",
        side: Downstream, reached: No, flags: DOWNSTREAM_PROTOCOL_ERROR, status: Some(431),
        text: fixed("http1.too_many_headers", "Request Header Fields Too Large"),
    }
    /// The client did not send the request's headers in time.
    HeadersTimedOut = "headers_timed_out" {
        advice: "The client is slow or holds connections open on purpose.",
        side: Downstream, reached: No, flags: NONE, status: Some(408),
        text: fixed("request_header_timeout", "request header timeout"),
    }
    /// The client closed the connection before the exchange was over.
    DownstreamClosed = "downstream_closed" {
        advice: "The client gave up: compare its own timeout with the time that the answer takes.",
        side: Downstream, reached: Maybe, flags: DOWNSTREAM_CONNECTION_TERMINATION, status: None,
        text: fixed("downstream_remote_disconnect", ""),
    }
    /// The client reset the stream before the exchange was over.
    DownstreamReset = "downstream_reset" {
        advice: "The client gave up this request, and kept its connection.",
        side: Downstream, reached: Maybe, flags: DOWNSTREAM_RESET, status: None,
        text: fixed("http2.remote_reset", ""),
    }
    /// The client broke HTTP in the middle of an exchange.
    DownstreamProtocolError = "downstream_protocol_error" {
        advice: "Look at what the client sends.",
        side: Downstream, reached: Maybe, flags: DOWNSTREAM_PROTOCOL_ERROR, status: Some(400),
        text: fixed("codec_error", "Bad Request"),
    }
    /// The proxy has as many connections as it may have.
    ConnectionLimit = "connection_limit" {
        advice: "Look at who holds so many connections, or raise the limit.",
        side: Mesh, reached: No, flags: UPSTREAM_OVERFLOW, status: None,
        text: fixed("lateen_connection_limit", ""),
    }
    /// Nothing was sent in either direction for longer than the idle timeout.
    IdleTimedOut = "idle_timed_out" {
        advice: "Let the client or the server send keep-alives.",
        side: Policy, reached: Yes, flags: NONE, status: None,
        text: fixed("idle_timeout", ""),
    }
    /// The proxy was shut down and the exchange did not end within the drain duration.
    DrainTimedOut = "drain_timed_out" {
        advice: "Long exchanges need a longer drain duration, and a longer grace period of the pod.",
        side: Mesh, reached: Maybe, flags: LOCAL_RESET, status: None,
        text: fixed("lateen_drain_timed_out", ""),
    }
    /// A fault in the proxy itself ended the connection.
    ProxyPanic = "proxy_panic" {
        advice: "This is a bug in Lateen: please report it with the proxy's log.",
        side: Mesh, reached: Maybe, flags: LOCAL_RESET, status: Some(500),
        text: fixed("lateen_panic", ""),
    }
}
