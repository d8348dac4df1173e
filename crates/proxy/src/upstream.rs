//! Dialling: a target's address, the connection and its TLS, within one time limit.

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use lateen_engine::destination::Address;
use lateen_engine::upstream::{Carried, UpstreamTls};
use lateen_identity::trust::IdentityRefused;
use rustls_pki_types::ServerName;
use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::connection::{ClientIo, Transport};
use crate::dns::{Resolver, Unresolved};
use crate::tls::{ClientConfigs, unexpected_name};
use lateen_mesh::local::{is_in_mesh, shift_address};

/// Where to dial and how.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where the endpoint listens.
    pub address: Address,
    /// Its port, as in the model: local mode's shift is the dialler's business.
    pub port: u16,
    /// For the connection and its TLS handshake together.
    pub connect_timeout: Duration,
    /// What to speak on it.
    pub tls: Arc<UpstreamTls>,
    /// What will travel inside: decides which protocols TLS offers.
    pub carried: Carried,
    /// Server name for TLS towards the outside that has none of its own: the request's authority
    /// without its port.
    pub authority: Option<Arc<str>>,
    /// Address to dial from; `None`: the system's choice.
    pub source: Option<Source>,
}

/// An address to dial from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// One of this machine's.
    Own(IpAddr),
    /// The client's, whose packets are led back here by a mark (TPROXY). Needs CAP_NET_ADMIN.
    Client(IpAddr),
}

/// From where captured connections reach the application, so that they are not captured again:
/// Istio's addresses.
const PASSTHROUGH: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(127, 0, 0, 6), Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6));

/// The mark by which packets to foreign addresses are routed to this machine: Istio's.
const TRANSPARENT_MARK: u32 = 1337;

impl Source {
    /// From where a captured connection of a client goes on to the application.
    #[must_use]
    pub fn to_application(transparent: bool, client: IpAddr, application: IpAddr) -> Self {
        let client = client.to_canonical();
        let same_family = client.is_ipv4() == application.is_ipv4();
        // From the pod itself it would be captured again.
        if transparent && same_family && client != application && !client.is_loopback() {
            return Self::Client(client);
        }
        Self::Own(match application {
            IpAddr::V4(_) => PASSTHROUGH.0.into(),
            IpAddr::V6(_) => PASSTHROUGH.1.into(),
        })
    }

    fn bind(self, socket: &TcpSocket) -> io::Result<()> {
        let address = match self {
            Self::Own(address) => address,
            Self::Client(address) => {
                let socket = SockRef::from(socket);
                match address {
                    IpAddr::V4(_) => socket.set_ip_transparent_v4(true)?,
                    IpAddr::V6(_) => socket.set_ip_transparent_v6(true)?,
                }
                socket.set_mark(TRANSPARENT_MARK)?;
                address
            }
        };
        socket.bind(SocketAddr::new(address, 0))
    }
}

impl Target {
    /// An endpoint that the plan picked.
    #[must_use]
    pub fn endpoint(
        picked: &lateen_engine::Target,
        carried: Carried,
        connect_timeout: Duration,
    ) -> Self {
        Self {
            address: picked.endpoint.address.clone(),
            port: picked.endpoint.key.port,
            connect_timeout,
            tls: Arc::clone(&picked.tls),
            carried,
            authority: None,
            source: None,
        }
    }

    /// An address that no destination lists, in plain text: passthrough, or the application.
    #[must_use]
    pub fn address(address: SocketAddr, connect_timeout: Duration) -> Self {
        Self {
            address: Address::Ip(std::iter::once(address.ip()).collect()),
            port: address.port(),
            connect_timeout,
            tls: Arc::new(UpstreamTls::Plain),
            carried: Carried::Tcp,
            authority: None,
            source: None,
        }
    }
}

/// Why an endpoint could not be dialled.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The connection or the handshake did not come about in time.
    #[error("no connection within {0:?}")]
    Timeout(Duration),
    /// Nobody listens there.
    #[error("delayed connect error: Connection refused")]
    Refused,
    /// The connection failed otherwise.
    #[error("connection failed: {0}")]
    Io(#[source] io::Error),
    /// The peer's certificate is good, but it is somebody else's.
    #[error("{0}")]
    Identity(String),
    /// The handshake failed: the certificate, the version, or what the peer said.
    #[error("TLS handshake failed: {0}")]
    Tls(String),
    /// Mutual TLS is needed and the workload has no certificate yet.
    #[error("the workload has no certificate yet")]
    NoCertificate,
    /// The endpoint is a name that has no address.
    #[error(transparent)]
    Unresolved(Unresolved),
    /// A file or a name that the TLS settings give cannot be used.
    #[error("TLS settings cannot be used: {0}")]
    Settings(String),
}

/// Dials endpoints for one worker.
#[derive(Debug)]
pub struct Dialer {
    local: bool,
    configs: ClientConfigs,
    resolver: Resolver,
    /// Which of a name's addresses comes first at the next dial.
    turn: Cell<usize>,
}

impl Dialer {
    /// `local`: local mode, where ports below 1024 are 20000 higher on the wire.
    #[must_use]
    pub fn new(local: bool, configs: ClientConfigs, resolver: Resolver) -> Self {
        Self { local, configs, resolver, turn: Cell::new(0) }
    }

    /// Connects, and does the TLS handshake.
    ///
    /// # Errors
    /// When there is no connection in time or the peer is not who it should be.
    pub async fn dial(&self, target: &Target) -> Result<ClientIo, DialError> {
        let limit = target.connect_timeout;
        tokio::time::timeout(limit, self.connect(target))
            .await
            .unwrap_or(Err(DialError::Timeout(limit)))
    }

    async fn connect(&self, target: &Target) -> Result<ClientIo, DialError> {
        let config = self.configs.config(&target.tls, target.carried).await?;
        let transport = match &target.address {
            Address::Unix(path) => {
                let stream = UnixStream::connect(&**path).await.map_err(failed)?;
                Transport::Unix(stream)
            }
            Address::Ip(addresses) => {
                self.connect_one_of(addresses.iter().copied(), target).await?
            }
            Address::Name(name) => {
                let addresses = self.resolver.resolve(name).await?;
                let turn = self.turn.replace(self.turn.get().wrapping_add(1)) % addresses.len();
                let (later, first) = addresses.split_at(turn);
                self.connect_one_of(first.iter().chain(later).copied(), target).await?
            }
        };
        let Some(config) = config else { return Ok(ClientIo::Plain(transport)) };
        let name = server_name(target)?;
        let stream =
            TlsConnector::from(config).connect(name, transport).await.map_err(handshake_failed)?;
        Ok(ClientIo::Tls(Box::new(stream)))
    }

    /// Tries the addresses in order; the error is that of the last one.
    async fn connect_one_of(
        &self,
        addresses: impl Iterator<Item = IpAddr>,
        target: &Target,
    ) -> Result<Transport, DialError> {
        let mut failure = DialError::Settings("the endpoint has no address".to_owned());
        for address in addresses {
            match self.connect_tcp(address, target).await {
                Ok(stream) => return Ok(Transport::Tcp(stream)),
                Err(error) => failure = failed(error),
            }
        }
        Err(failure)
    }

    async fn connect_tcp(&self, address: IpAddr, target: &Target) -> io::Result<TcpStream> {
        let mut address = SocketAddr::new(address, target.port);
        if self.local && is_in_mesh(address.ip()) {
            address = shift_address(address);
        }
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        if let Some(source) = target.source {
            source.bind(&socket)?;
        }
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// The name to ask for in TLS, and for the outside to look for in the certificate.
fn server_name(target: &Target) -> Result<ServerName<'static>, DialError> {
    let name = match &*target.tls {
        UpstreamTls::Plain => None,
        UpstreamTls::Mesh(mesh) => Some(&mesh.sni),
        UpstreamTls::Simple(tls) | UpstreamTls::Mutual { tls, .. } => tls.sni.as_ref(),
    };
    if let Some(name) = name.or(target.authority.as_ref()) {
        return ServerName::try_from(name.to_string())
            .map_err(|_| DialError::Settings(format!("`{name}` is no server name")));
    }
    match &target.address {
        Address::Name(name) => ServerName::try_from(name.to_string())
            .map_err(|_| DialError::Settings(format!("`{name}` is no server name"))),
        Address::Ip(addresses) => addresses
            .first()
            .map(|address| ServerName::from(*address))
            .ok_or_else(|| DialError::Settings("the endpoint has no address".to_owned())),
        Address::Unix(path) => {
            Err(DialError::Settings(format!("TLS to unix:{path} needs an explicit `sni`")))
        }
    }
}

fn failed(error: io::Error) -> DialError {
    if error.kind() == io::ErrorKind::ConnectionRefused {
        DialError::Refused
    } else {
        DialError::Io(error)
    }
}

/// rustls puts its own errors into `io::Error`.
fn handshake_failed(error: io::Error) -> DialError {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return DialError::Io(error);
    };
    let refused = IdentityRefused::find(tls).map(ToString::to_string);
    match refused.or_else(|| unexpected_name(tls)) {
        Some(why) => DialError::Identity(why),
        None => DialError::Tls(tls.to_string()),
    }
}

impl From<Unresolved> for DialError {
    fn from(unresolved: Unresolved) -> Self {
        Self::Unresolved(unresolved)
    }
}

#[cfg(test)]
pub(crate) mod tests;
