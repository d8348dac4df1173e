//! Why the mesh answers, or closes, by itself.

use crate::destination::DestinationKey;
use crate::origin::Origin;
use crate::route::HeaderOperations;

/// Who is to look into a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The caller sent what cannot be served.
    Downstream,
    /// What the user configured says so.
    Configuration,
    /// The destination has nothing to serve with.
    Upstream,
    /// The mesh itself is not ready.
    Mesh,
}

/// A stable reason code of a decision that refuses. None of these has let anything reach the
/// application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The virtual host exists, but none of its routes matches; or a gateway has no such host.
    NoRoute,
    /// REGISTRY_ONLY: nothing in the scope has this host or address.
    NotInRegistry,
    /// The host is known, its details have not arrived.
    DetailsMissing,
    /// A backend that cannot be reached as written (unknown host or subset).
    InvalidBackend,
    /// All weights of a rule are zero, or it has no backends.
    NoBackend,
    /// The destination has no endpoint that may be picked.
    NoHealthyUpstream,
    /// Dialling the address that the client dialled would lead back to this proxy.
    PassthroughLoop,
    /// The port takes mutual TLS only.
    MtlsRequired,
    /// The port of a gateway terminates TLS, and the client did not speak it.
    TlsRequired,
    /// What the client speaks is not what the port takes.
    ProtocolMismatch,
    /// Only declared ports are served, and this is none.
    PortNotDeclared,
    /// No server of the gateway takes this server name, or there is no such port.
    NoServer,
    /// An authorization policy denies, or none allows.
    AuthorizationDenied,
    /// The path cannot be normalised.
    BadPath,
    /// The plan has no `inbound` resource, so nothing may come in.
    NoInbound,
}

impl Reason {
    /// Every reason, for registries and documentation.
    pub const ALL: [Self; 15] = [
        Self::NoRoute,
        Self::NotInRegistry,
        Self::DetailsMissing,
        Self::InvalidBackend,
        Self::NoBackend,
        Self::NoHealthyUpstream,
        Self::PassthroughLoop,
        Self::MtlsRequired,
        Self::TlsRequired,
        Self::ProtocolMismatch,
        Self::PortNotDeclared,
        Self::NoServer,
        Self::AuthorizationDenied,
        Self::BadPath,
        Self::NoInbound,
    ];

    /// The code as logs, headers and documentation write it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoRoute => "no_route",
            Self::NotInRegistry => "not_in_registry",
            Self::DetailsMissing => "details_missing",
            Self::InvalidBackend => "invalid_backend",
            Self::NoBackend => "no_backend",
            Self::NoHealthyUpstream => "no_healthy_upstream",
            Self::PassthroughLoop => "passthrough_loop",
            Self::MtlsRequired => "mtls_required",
            Self::TlsRequired => "tls_required",
            Self::ProtocolMismatch => "protocol_mismatch",
            Self::PortNotDeclared => "port_not_declared",
            Self::NoServer => "no_server",
            Self::AuthorizationDenied => "authorization_denied",
            Self::BadPath => "bad_path",
            Self::NoInbound => "no_inbound",
        }
    }

    /// The HTTP status that Envoy answers with in the same case. A backend may carry its own.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::NoRoute | Self::NoServer => 404,
            Self::NotInRegistry | Self::PassthroughLoop => 502,
            Self::AuthorizationDenied => 403,
            Self::BadPath => 400,
            Self::DetailsMissing
            | Self::InvalidBackend
            | Self::NoBackend
            | Self::NoHealthyUpstream
            | Self::MtlsRequired
            | Self::TlsRequired
            | Self::ProtocolMismatch
            | Self::PortNotDeclared
            | Self::NoInbound => 503,
        }
    }

    /// The body of the answer, as Envoy's.
    #[must_use]
    pub const fn body(self) -> &'static str {
        match self {
            Self::NoHealthyUpstream => "no healthy upstream",
            Self::AuthorizationDenied => "RBAC: access denied",
            _ => "",
        }
    }

    /// Envoy's response flag; `-` for none.
    #[must_use]
    pub const fn flag(self) -> &'static str {
        match self {
            Self::NoRoute | Self::NoServer | Self::MtlsRequired | Self::TlsRequired => "NR",
            Self::ProtocolMismatch | Self::PortNotDeclared | Self::NoInbound => "NR",
            Self::InvalidBackend | Self::NoBackend | Self::DetailsMissing => "NC",
            Self::NoHealthyUpstream => "UH",
            Self::BadPath => "DPE",
            Self::NotInRegistry | Self::PassthroughLoop | Self::AuthorizationDenied => "-",
        }
    }

    /// Who is to look into it.
    #[must_use]
    pub const fn side(self) -> Side {
        match self {
            Self::MtlsRequired
            | Self::TlsRequired
            | Self::ProtocolMismatch
            | Self::NoServer
            | Self::BadPath => Side::Downstream,
            Self::NoRoute
            | Self::NotInRegistry
            | Self::InvalidBackend
            | Self::NoBackend
            | Self::PassthroughLoop
            | Self::PortNotDeclared
            | Self::AuthorizationDenied => Side::Configuration,
            Self::NoHealthyUpstream => Side::Upstream,
            Self::DetailsMissing | Self::NoInbound => Side::Mesh,
        }
    }
}

/// A connection or request that the mesh refuses by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal<'p> {
    /// Why.
    pub reason: Reason,
    /// HTTP status of the answer; meaningless for connections.
    pub status: u16,
    /// What decided.
    pub origin: &'p Origin,
    /// More for logs: what the compiler said of an invalid backend, say; may be empty.
    pub detail: &'p str,
    /// The backend that was chosen and cannot be reached, for [`Reason::InvalidBackend`].
    pub backend: Option<&'p DestinationKey>,
    /// Pattern of the virtual host that the request fell under, where there is one; else empty.
    pub virtual_host: &'p str,
    /// Name of the route that matched, where one did; may be empty.
    pub route_name: &'p str,
    /// What the backend that was chosen, and then the route that matched, do to the headers of the
    /// answer.
    pub response_headers: [Option<&'p HeaderOperations>; 2],
}

impl<'p> Refusal<'p> {
    pub(crate) fn new(reason: Reason, origin: &'p Origin) -> Self {
        Self {
            reason,
            status: reason.status(),
            origin,
            detail: "",
            backend: None,
            virtual_host: "",
            route_name: "",
            response_headers: [None, None],
        }
    }
}
