//! Connections to a control plane: TCP, TLS, HTTP/2.

use std::{io, sync::Arc, time::Duration};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::{
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};

/// What TLS to speak to the control plane.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Roots and client certificate. Its ALPN list is replaced by `h2`.
    pub config: Arc<ClientConfig>,
    /// The name that the server's certificate must have.
    pub server_name: ServerName<'static>,
}

/// Gives the TLS parameters of the next connection, so that rotated certificates and roots are
/// taken up.
pub type TlsSource = Arc<dyn Fn() -> io::Result<Tls> + Send + Sync>;

/// Gives the bearer token of the next connection, so that a refreshed file is read again.
pub type TokenSource = Arc<dyn Fn() -> io::Result<String> + Send + Sync>;

/// HTTP/2 pings that find out that the other side is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// Between pings.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
}

impl Default for Keepalive {
    /// 30 s and 10 s, as Istio's control plane does.
    fn default() -> Self {
        Self { interval: Duration::from_secs(30), timeout: Duration::from_secs(10) }
    }
}

/// Where the control plane is, and how it is spoken to.
#[derive(Clone)]
pub struct Target {
    /// `host:port`.
    pub authority: String,
    /// `None`: plain text.
    pub tls: Option<TlsSource>,
    /// `None`: no bearer token.
    pub token: Option<TokenSource>,
    /// For TCP and TLS together.
    pub connect_timeout: Duration,
    /// Pings.
    pub keepalive: Keepalive,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The authority is not `host:port`.
    #[error("`{0}` is no address of a control plane; `host:port` is expected")]
    Authority(String),
    /// The TLS parameters are not there.
    #[error("no TLS parameters for the control plane: {0}")]
    TlsParameters(#[source] io::Error),
    /// The token cannot be read.
    #[error("no token for the control plane: {0}")]
    Token(#[source] io::Error),
    /// The token is not fit for a header.
    #[error("the token for the control plane has characters that no header may have")]
    TokenCharacters,
    /// TCP or TLS failed.
    #[error("cannot connect to the control plane at {authority}: {reason}")]
    Connect {
        /// Where.
        authority: String,
        /// The chain of causes.
        reason: String,
    },
}

impl Target {
    /// A target with the default timeouts (10 s to connect) and no credentials.
    pub fn new(authority: impl Into<String>) -> Self {
        Self {
            authority: authority.into(),
            tls: None,
            token: None,
            connect_timeout: Duration::from_secs(10),
            keepalive: Keepalive::default(),
        }
    }

    /// Connects, TLS included. The channel does not outlive its connection by much: it tries to
    /// connect again with the same TLS parameters, so take a new one when a call fails.
    ///
    /// # Errors
    /// When the parameters are not there or the connection does not come about.
    pub async fn channel(&self) -> Result<Channel, ConnectError> {
        let uri = |scheme: &str| -> Result<Uri, ConnectError> {
            let text = format!("{scheme}://{}", self.authority);
            let uri: Uri =
                text.parse().map_err(|_| ConnectError::Authority(self.authority.clone()))?;
            match uri.port() {
                Some(_) => Ok(uri),
                None => Err(ConnectError::Authority(self.authority.clone())),
            }
        };
        let tls = match &self.tls {
            Some(source) => Some(source().map_err(ConnectError::TlsParameters)?),
            None => None,
        };
        let origin = uri(if tls.is_some() { "https" } else { "http" })?;
        let endpoint = Endpoint::from(uri("http")?)
            .origin(origin)
            .connect_timeout(self.connect_timeout)
            .http2_keep_alive_interval(self.keepalive.interval)
            .keep_alive_timeout(self.keepalive.timeout)
            .keep_alive_while_idle(true);
        let failed = |error: tonic::transport::Error| ConnectError::Connect {
            authority: self.authority.clone(),
            reason: causes(&error),
        };
        let authority: Arc<str> = self.authority.as_str().into();
        match tls {
            None => {
                let connect = tower::service_fn(move |_: Uri| dial(authority.clone()));
                endpoint.connect_with_connector(connect).await.map_err(failed)
            }
            Some(Tls { config, server_name }) => {
                let mut config = ClientConfig::clone(&config);
                config.alpn_protocols = vec![b"h2".to_vec()];
                let connector = TlsConnector::from(Arc::new(config));
                let connect = tower::service_fn(move |_: Uri| {
                    let (connector, name) = (connector.clone(), server_name.clone());
                    let authority = authority.clone();
                    async move {
                        let tcp = dial(authority).await?.into_inner();
                        Ok::<_, io::Error>(TokioIo::new(connector.connect(name, tcp).await?))
                    }
                });
                endpoint.connect_with_connector(connect).await.map_err(failed)
            }
        }
    }

    /// The `authorization` header of the next call; `None` when there is no token to send.
    ///
    /// # Errors
    /// When there should be a token and it cannot be read.
    pub fn authorization(&self) -> Result<Option<MetadataValue<Ascii>>, ConnectError> {
        let Some(source) = &self.token else { return Ok(None) };
        let token = source().map_err(ConnectError::Token)?;
        let mut value: MetadataValue<Ascii> = format!("Bearer {}", token.trim())
            .parse()
            .map_err(|_| ConnectError::TokenCharacters)?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target")
            .field("authority", &self.authority)
            .field("tls", &self.tls.is_some())
            .field("token", &self.token.is_some())
            .finish_non_exhaustive()
    }
}

async fn dial(authority: Arc<str>) -> io::Result<TokioIo<TcpStream>> {
    let stream = TcpStream::connect(&*authority).await?;
    stream.set_nodelay(true)?;
    Ok(TokioIo::new(stream))
}

/// The messages of an error and of its causes, outermost first, each once.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let message = cause.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        next = cause.source();
    }
    text
}
