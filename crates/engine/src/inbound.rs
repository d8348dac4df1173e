//! What a workload accepts: mutual TLS, protocol, and what is inside.

use std::net::{IpAddr, Ipv4Addr};

use lateen_mesh::{address, v1};
use rustc_hash::FxHashMap;

use crate::connection::{Inspect, OnSilence, Seen};
use crate::destination::Protocol;
use crate::explain::{Explained, Trace, Untraced, What, explain};
use crate::origin::{Objects, Origin};
use crate::plan::Plan;
use crate::reason::{Reason, Refusal};
use crate::retry::RetryPolicy;
use crate::upstream::{Carried, alpn};

/// Whether mutual TLS is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Mutual TLS of the mesh or plain text.
    Permissive,
    /// Mutual TLS of the mesh only.
    Strict,
    /// Plain text only.
    Disable,
}

/// The compiled `Inbound` resource.
#[derive(Debug)]
pub struct Inbound {
    workload: v1::Workload,
    ports: FxHashMap<u16, DeclaredPort>,
    default: (Mode, Origin),
    port_modes: FxHashMap<u16, (Mode, Origin)>,
    pub(crate) policies: Vec<String>,
    pub(crate) local_base: Option<Ipv4Addr>,
    only_declared: bool,
    retries: RetryPolicy,
}

/// A port that a service declares.
#[derive(Debug)]
pub struct DeclaredPort {
    protocol: Protocol,
    mode: Mode,
    origin: Origin,
    /// Host of the service that declares it.
    pub service_host: Box<str>,
    /// The service's own port.
    pub service_port: u16,
    /// Namespace of the service, for telemetry.
    pub service_namespace: Box<str>,
    /// Name of the service, for telemetry.
    pub service_name: Box<str>,
    forward_address: Option<IpAddr>,
    forward_port: Option<u16>,
}

/// A connection to one port of the workload, of which only the port is known.
#[derive(Debug, Clone, Copy)]
pub struct InboundPort<'p> {
    inbound: &'p Inbound,
    declared: Option<&'p DeclaredPort>,
    port: u16,
    mode: Mode,
    origin: &'p Origin,
}

/// What becomes of a connection to the workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InboundConnection<'p> {
    /// Serve it.
    Accept(Accept<'p>),
    /// Close it.
    Refuse(Refusal<'p>),
}

/// How a connection is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accept<'p> {
    /// Present: terminate mutual TLS of the mesh first.
    pub tls: Option<TerminateTls>,
    /// What is inside.
    pub serve: Serve,
    /// What set the mutual TLS mode.
    pub origin: &'p Origin,
}

/// How to terminate mutual TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminateTls {
    /// The one protocol to answer with; `None`: none, whatever was offered.
    pub alpn: Option<&'static [u8]>,
}

/// What a served connection carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Serve {
    /// HTTP, in the version that the handshake settled or that its first bytes tell.
    Http(Codec),
    /// Bytes to be relayed as they are.
    Tcp,
}

/// Which HTTP a connection carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// HTTP/1.
    Http1,
    /// HTTP/2.
    Http2,
    /// HTTP/2 between native peers ([`alpn::NATIVE`]), whose requests say their own version.
    Native,
    /// As the first bytes tell.
    Detect,
}

impl Plan {
    /// Begins the decision about a connection to a port of the workload, as the application knows
    /// it.
    ///
    /// # Errors
    /// When nothing may come in on that port at all.
    pub fn inbound(&self, port: u16) -> Result<InboundPort<'_>, Refusal<'_>> {
        let Some(inbound) = &self.inbound else {
            return Err(Refusal::new(Reason::NoInbound, Origin::mesh_default()));
        };
        let declared = inbound.ports.get(&port);
        let (mode, origin) = match declared {
            Some(declared) => (declared.mode, &declared.origin),
            None if inbound.only_declared => {
                return Err(Refusal::new(Reason::PortNotDeclared, Origin::mesh_default()));
            }
            None => {
                let (mode, origin) = inbound.port_modes.get(&port).unwrap_or(&inbound.default);
                (*mode, origin)
            }
        };
        Ok(InboundPort { inbound, declared, port, mode, origin })
    }
}

impl<'p> InboundPort<'p> {
    /// What must be looked at before [`Self::decide`].
    #[must_use]
    pub fn inspect(&self) -> Inspect {
        let detect = self.protocol() == Protocol::Auto;
        let (tls, http) = match self.mode {
            Mode::Permissive => (true, detect),
            Mode::Strict => (true, false),
            Mode::Disable => (false, detect),
        };
        Inspect { tls, http, on_silence: OnSilence::Wait }
    }

    /// What becomes of the connection.
    #[must_use]
    pub fn decide(&self, seen: Seen<'_>) -> InboundConnection<'p> {
        self.decide_traced(seen, &mut Untraced)
    }

    /// [`Self::decide`], explained.
    #[must_use]
    pub fn explain(&self, seen: Seen<'_>) -> Explained<InboundConnection<'p>> {
        explain(|trace| self.decide_traced(seen, trace))
    }

    /// Whether a connection that was accepted under an earlier plan may go on under this one.
    /// `mutual`: its peer has proved an identity of the mesh. What would be accepted today in a
    /// stricter form only may not; what has become stricter than need be may.
    ///
    /// # Errors
    /// When plain text is not accepted any more.
    pub fn may_go_on(&self, mutual: bool) -> Result<(), Refusal<'p>> {
        match self.mode {
            Mode::Strict if !mutual => Err(Refusal::new(Reason::MtlsRequired, self.origin)),
            Mode::Strict | Mode::Permissive | Mode::Disable => Ok(()),
        }
    }

    /// The declared protocol; sniffed for a port that no service declares.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.declared.map_or(Protocol::Auto, |declared| declared.protocol)
    }

    /// The service's side of it; `None`: no service declares the port (`inbound passthrough`).
    #[must_use]
    pub fn declared(&self) -> Option<&'p DeclaredPort> {
        self.declared
    }

    /// The mutual TLS mode.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What set the mutual TLS mode.
    #[must_use]
    pub fn origin(&self) -> &'p Origin {
        self.origin
    }

    /// Where the application listens: an address (`None`: the workload's own) and a port.
    #[must_use]
    pub fn forward(&self) -> (Option<IpAddr>, u16) {
        let address = self.declared.and_then(|declared| declared.forward_address);
        let port = self.declared.and_then(|declared| declared.forward_port);
        (address, port.unwrap_or(self.port))
    }

    /// The version in which HTTP is spoken to the application: as declared, else the caller's.
    #[must_use]
    pub fn carried(&self, downstream: Carried) -> Carried {
        match self.protocol() {
            Protocol::Http2 | Protocol::Grpc => Carried::Http2,
            Protocol::Http | Protocol::GrpcWeb => Carried::Http1,
            Protocol::Auto | Protocol::Tcp | Protocol::Tls => downstream,
        }
    }

    /// Retries towards the application: what was certainly not delivered, and never for gRPC.
    #[must_use]
    pub fn retries(&self) -> Option<&'p RetryPolicy> {
        let grpc = matches!(self.protocol(), Protocol::Grpc | Protocol::GrpcWeb);
        (!grpc).then_some(&self.inbound.retries)
    }

    fn decide_traced<T: Trace>(&self, seen: Seen<'_>, trace: &mut T) -> InboundConnection<'p> {
        let decision = match (self.mode, seen) {
            (Mode::Permissive, Seen::Tls { alpn, .. }) => self.permissive_tls(alpn),
            (Mode::Strict, Seen::Tls { alpn, .. }) => Ok(self.mutual(alpn, self.strict_http(alpn))),
            (Mode::Strict, _) => Err(Reason::MtlsRequired),
            (Mode::Permissive | Mode::Disable, _) => Ok(self.plain(seen)),
        };
        trace.step(What::Inbound, self.origin, decision.is_ok(), || {
            format!(
                "port {}, {:?}, {:?}: {}",
                self.port,
                self.protocol(),
                self.mode,
                seen.describe()
            )
        });
        match decision {
            Ok(accept) => InboundConnection::Accept(accept),
            Err(reason) => InboundConnection::Refuse(Refusal::new(reason, self.origin)),
        }
    }

    /// Only a client that offers one of the mesh's protocols speaks its mutual TLS; other TLS is
    /// the application's own, which an HTTP port cannot take.
    fn permissive_tls(&self, offered: &[&[u8]]) -> Result<Accept<'p>, Reason> {
        let mesh_http = offers(offered, MESH_HTTP);
        let mesh = mesh_http || offers(offered, MESH_TCP);
        match self.kind() {
            Kind::Http if mesh => Ok(self.mutual(offered, true)),
            Kind::Http => Err(Reason::ProtocolMismatch),
            Kind::Tcp if mesh => Ok(self.mutual(offered, false)),
            Kind::Detected if mesh => Ok(self.mutual(offered, mesh_http)),
            Kind::Tcp | Kind::Detected => Ok(self.accept(None, Serve::Tcp)),
        }
    }

    fn strict_http(&self, offered: &[&[u8]]) -> bool {
        match self.kind() {
            Kind::Http => true,
            Kind::Tcp => false,
            Kind::Detected => offers(offered, MESH_HTTP),
        }
    }

    fn mutual(&self, offered: &[&[u8]], http: bool) -> Accept<'p> {
        let served: &[&'static [u8]] =
            if http { &[alpn::NATIVE, alpn::H2, alpn::HTTP11] } else { &[alpn::H2, alpn::HTTP11] };
        let alpn = served.iter().copied().find(|served| offered.contains(served));
        let serve = if http { Serve::Http(codec(alpn, offered)) } else { Serve::Tcp };
        self.accept(Some(TerminateTls { alpn }), serve)
    }

    fn plain(&self, seen: Seen<'_>) -> Accept<'p> {
        let codec = match seen {
            Seen::Http1 => Codec::Http1,
            Seen::Http2 => Codec::Http2,
            Seen::Nothing | Seen::Opaque | Seen::Tls { .. } => Codec::Detect,
        };
        match self.kind() {
            Kind::Http => self.accept(None, Serve::Http(codec)),
            Kind::Detected if seen.is_http() => self.accept(None, Serve::Http(codec)),
            Kind::Tcp | Kind::Detected => self.accept(None, Serve::Tcp),
        }
    }

    fn accept(&self, tls: Option<TerminateTls>, serve: Serve) -> Accept<'p> {
        Accept { tls, serve, origin: self.origin }
    }

    fn kind(&self) -> Kind {
        match self.protocol() {
            Protocol::Auto => Kind::Detected,
            Protocol::Tcp | Protocol::Tls => Kind::Tcp,
            Protocol::Http | Protocol::Http2 | Protocol::Grpc | Protocol::GrpcWeb => Kind::Http,
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Http,
    Tcp,
    Detected,
}

/// Protocols that say: mutual TLS of the mesh, HTTP inside.
const MESH_HTTP: &[&[u8]] = &[alpn::NATIVE, alpn::ISTIO_HTTP10, alpn::ISTIO_HTTP11, alpn::ISTIO_H2];
/// Those of them that say: HTTP/1 inside.
const MESH_HTTP1: &[&[u8]] = &[alpn::ISTIO_HTTP10, alpn::ISTIO_HTTP11];
/// Protocols that say: mutual TLS of the mesh, anything inside.
const MESH_TCP: &[&[u8]] = &[alpn::ISTIO, alpn::ISTIO_PEER_EXCHANGE];

fn offers(offered: &[&[u8]], any: &[&[u8]]) -> bool {
    offered.iter().any(|name| any.contains(name))
}

fn codec(negotiated: Option<&[u8]>, offered: &[&[u8]]) -> Codec {
    match negotiated {
        Some(alpn::NATIVE) => Codec::Native,
        Some(alpn::H2) => Codec::Http2,
        Some(_) => Codec::Http1,
        // A client that cannot choose its offer for each connection names both versions.
        None if offered.contains(&alpn::ISTIO_H2) && !offers(offered, MESH_HTTP1) => Codec::Http2,
        None => Codec::Detect,
    }
}

impl Inbound {
    pub(crate) fn compile(message: v1::Inbound, objects: &Objects) -> Result<Self, String> {
        let mut ports = FxHashMap::default();
        for port in &message.ports {
            let (number, declared) = DeclaredPort::compile(port, objects)?;
            ports.entry(number).or_insert(declared);
        }
        let mut port_modes = FxHashMap::default();
        for port in &message.port_mtls {
            let set = (mode(port.mtls)?, objects.resolve(port.origin.as_ref())?);
            port_modes.insert(number(port.port)?, set);
        }
        let local_base = match address::decode_address(&message.local_base) {
            Some(IpAddr::V4(base)) => Some(base),
            None if message.local_base.is_empty() => None,
            Some(IpAddr::V6(_)) | None => return Err("local base of other than 4 bytes".to_owned()),
        };
        let retries = v1::RetryPolicy {
            attempts: 2,
            retry_on: vec!["reset-before-request".to_owned()],
            ..v1::RetryPolicy::default()
        };
        Ok(Self {
            ports,
            default: (mode(message.mtls)?, objects.resolve(message.mtls_origin.as_ref())?),
            port_modes,
            local_base,
            only_declared: message.only_declared,
            retries: RetryPolicy::compile(&retries, objects)?,
            workload: message.workload.unwrap_or_default(),
            policies: message.policies,
        })
    }

    pub(crate) fn workload(&self) -> &v1::Workload {
        &self.workload
    }

    pub(crate) fn declared_ports(&self) -> Vec<u16> {
        let mut ports: Vec<_> = self.ports.keys().copied().collect();
        ports.sort_unstable();
        ports
    }
}

impl DeclaredPort {
    fn compile(message: &v1::InboundPort, objects: &Objects) -> Result<(u16, Self), String> {
        let forward_address = match message.forward_address.as_ref() {
            [] => None,
            bytes => Some(address::decode_address(bytes).ok_or("forward address")?),
        };
        let forward_port = number(message.forward_port)?;
        let declared = Self {
            protocol: Protocol::try_from(message.protocol).unwrap_or(Protocol::Auto),
            mode: mode(message.mtls)?,
            origin: objects.resolve(message.mtls_origin.as_ref())?,
            service_host: message.service_host.as_str().into(),
            service_port: number(message.service_port)?,
            service_namespace: message.service_namespace.as_str().into(),
            service_name: message.service_name.as_str().into(),
            forward_address,
            forward_port: (forward_port > 0).then_some(forward_port),
        };
        Ok((number(message.port)?, declared))
    }
}

fn number(port: u32) -> Result<u16, String> {
    u16::try_from(port).map_err(|_| format!("port {port}"))
}

/// A mode that is not known must not open anything.
fn mode(value: i32) -> Result<Mode, String> {
    match v1::MtlsMode::try_from(value) {
        Ok(v1::MtlsMode::Permissive) => Ok(Mode::Permissive),
        Ok(v1::MtlsMode::Strict) => Ok(Mode::Strict),
        Ok(v1::MtlsMode::Disable) => Ok(Mode::Disable),
        Err(_) => Err(format!("mutual TLS mode {value} is not known")),
    }
}
