//! What TLS to speak to an endpoint, and whom to expect there.

use std::sync::Arc;

use lateen_mesh::v1;

use crate::origin::{Objects, Origin};

/// ALPN names: ours, and Istio's with their meaning.
pub mod alpn {
    /// Between native peers: HTTP/2 carries requests of either version, and each arrives in its
    /// own.
    pub const NATIVE: &[u8] = b"lateen-h2";
    /// Istio: mesh mutual TLS, opaque bytes inside.
    pub const ISTIO: &[u8] = b"istio";
    /// Istio: as [`ISTIO`], with a preface of peer metadata; never offered by us.
    pub const ISTIO_PEER_EXCHANGE: &[u8] = b"istio-peer-exchange";
    /// Istio: the application speaks HTTP/1.0.
    pub const ISTIO_HTTP10: &[u8] = b"istio-http/1.0";
    /// Istio: the application speaks HTTP/1.1.
    pub const ISTIO_HTTP11: &[u8] = b"istio-http/1.1";
    /// Istio: the application speaks HTTP/2.
    pub const ISTIO_H2: &[u8] = b"istio-h2";
    /// HTTP/2.
    pub const H2: &[u8] = b"h2";
    /// HTTP/1.1.
    pub const HTTP11: &[u8] = b"http/1.1";

    /// What a client offers under mesh TLS for a request that is to travel as HTTP/1.1, unless
    /// the peer is native.
    pub const OFFER_HTTP1: &[&[u8]] = &[NATIVE, ISTIO_HTTP11, ISTIO, HTTP11];
    /// What a client offers under mesh TLS for a request that asks for an upgrade.
    pub const OFFER_UPGRADE: &[&[u8]] = &[ISTIO_HTTP11, ISTIO, HTTP11];
    /// What a client offers under mesh TLS for HTTP/2.
    pub const OFFER_HTTP2: &[&[u8]] = &[NATIVE, ISTIO_H2, ISTIO, H2];
    /// What a client offers under mesh TLS for opaque bytes.
    pub const OFFER_TCP: &[&[u8]] = &[ISTIO];
}

/// What travels inside a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Carried {
    /// HTTP/1.1.
    Http1,
    /// HTTP/1.1 that turns into another protocol (an upgrade): never inside of HTTP/2.
    Upgrade,
    /// HTTP/2.
    Http2,
    /// Opaque bytes.
    Tcp,
}

/// TLS towards one endpoint. Equal values may share connections.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum UpstreamTls {
    /// None.
    Plain,
    /// Mutual TLS of the mesh, with the workload's own certificate.
    Mesh(MeshTls),
    /// TLS without a certificate of our own.
    Simple(OriginatedTls),
    /// TLS with a certificate from files.
    Mutual {
        /// What holds for `SIMPLE` too.
        tls: OriginatedTls,
        /// Path of the certificate chain.
        certificate_file: Arc<str>,
        /// Path of the key.
        private_key_file: Arc<str>,
    },
}

/// Mutual TLS of the mesh.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MeshTls {
    /// The server name to send.
    pub sni: Arc<str>,
    /// SPIFFE IDs or other names, one of which the peer's certificate must carry. Empty: any
    /// certificate that the mesh's roots vouch for.
    pub subject_alt_names: Arc<[Arc<str>]>,
}

/// TLS to something outside of the mesh.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OriginatedTls {
    /// The server name to send; `None`: the host of the request's authority.
    pub sni: Option<Arc<str>>,
    /// One of these must be in the peer's certificate; empty: the server name.
    pub subject_alt_names: Arc<[Arc<str>]>,
    /// Path of the roots; `None`: the system's.
    pub ca_file: Option<Arc<str>>,
    /// Whether the certificate is not looked at.
    pub insecure_skip_verify: bool,
}

impl UpstreamTls {
    /// The protocols to offer, in order; empty: none. Under originated TLS HTTP/2 is offered only
    /// where the destination is declared as HTTP/2.
    #[must_use]
    pub fn offered_alpn(&self, carried: Carried) -> &'static [&'static [u8]] {
        match (self, carried) {
            (Self::Plain, _)
            | (
                Self::Simple(_) | Self::Mutual { .. },
                Carried::Http1 | Carried::Upgrade | Carried::Tcp,
            ) => &[],
            (Self::Mesh(_), Carried::Http1) => alpn::OFFER_HTTP1,
            (Self::Mesh(_), Carried::Upgrade) => alpn::OFFER_UPGRADE,
            (Self::Mesh(_), Carried::Http2) => alpn::OFFER_HTTP2,
            (Self::Mesh(_), Carried::Tcp) => alpn::OFFER_TCP,
            (Self::Simple(_) | Self::Mutual { .. }, Carried::Http2) => &[alpn::H2],
        }
    }

    /// In words, for explanations.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Plain => "plain text".to_owned(),
            Self::Mesh(tls) => format!(
                "mutual TLS of the mesh as {}, expecting {}",
                tls.sni,
                describe_names(&tls.subject_alt_names)
            ),
            Self::Simple(tls) => {
                format!("TLS as {}", tls.sni.as_deref().unwrap_or("the authority"))
            }
            Self::Mutual { tls, .. } => {
                format!("mutual TLS as {}", tls.sni.as_deref().unwrap_or("the authority"))
            }
        }
    }
}

fn describe_names(names: &[Arc<str>]) -> String {
    if names.is_empty() { "any identity of the mesh".to_owned() } else { names.join(" or ") }
}

/// The compiled TLS settings of a destination, before an endpoint is known.
#[derive(Debug)]
pub(crate) struct TlsPolicy {
    pub(crate) origin: Origin,
    mode: v1::upstream_tls::Mode,
    mesh_sni: Arc<str>,
    /// Those of the DestinationRule or ServiceEntry.
    written: Arc<[Arc<str>]>,
    /// The union of the service's accounts.
    identities: Arc<[Arc<str>]>,
    originated: Option<UpstreamTls>,
}

impl TlsPolicy {
    /// # Errors
    /// When the mode is not known, or MUTUAL lacks its files.
    pub(crate) fn compile(
        destination: &v1::Destination,
        objects: &Objects,
    ) -> Result<Self, String> {
        let absent = v1::UpstreamTls::default();
        let message = destination.tls.as_ref().unwrap_or(&absent);
        let mode = v1::upstream_tls::Mode::try_from(message.mode)
            .map_err(|_| format!("TLS mode {} is not known", message.mode))?;
        let written = shared(&message.subject_alt_names);
        let mesh_sni = match message.sni.as_str() {
            "" => format!(
                "outbound_.{}_.{}_.{}",
                destination.port, destination.subset, destination.host
            )
            .into(),
            sni => Arc::from(sni),
        };
        Ok(Self {
            origin: objects.resolve(message.origin.as_ref())?,
            mode,
            mesh_sni,
            originated: originated(mode, message, &written)?,
            written,
            identities: shared(&destination.identities),
        })
    }

    /// What to speak to an endpoint: `marked` if mesh TLS is spoken there, and its own identity
    /// where it has one. Whom to expect: what is written, else the endpoint's identity, else the
    /// union of the service's accounts.
    pub(crate) fn towards(&self, marked: bool, identity: Option<&Arc<str>>) -> UpstreamTls {
        use v1::upstream_tls::Mode;
        let mesh = match self.mode {
            Mode::Auto => marked,
            Mode::Mesh => true,
            Mode::Disable | Mode::Simple | Mode::Mutual => false,
        };
        if !mesh {
            return self.originated.clone().unwrap_or(UpstreamTls::Plain);
        }
        let subject_alt_names = match identity {
            _ if !self.written.is_empty() => Arc::clone(&self.written),
            Some(identity) => Arc::from([Arc::clone(identity)]),
            None => Arc::clone(&self.identities),
        };
        UpstreamTls::Mesh(MeshTls { sni: Arc::clone(&self.mesh_sni), subject_alt_names })
    }
}

fn shared(names: &[String]) -> Arc<[Arc<str>]> {
    names.iter().map(|name| Arc::from(name.as_str())).collect()
}

fn originated(
    mode: v1::upstream_tls::Mode,
    message: &v1::UpstreamTls,
    written: &Arc<[Arc<str>]>,
) -> Result<Option<UpstreamTls>, String> {
    use v1::upstream_tls::Mode;
    let set = |text: &str| (!text.is_empty()).then(|| Arc::from(text));
    let tls = OriginatedTls {
        sni: set(&message.sni),
        subject_alt_names: Arc::clone(written),
        ca_file: set(&message.ca_file),
        insecure_skip_verify: message.insecure_skip_verify,
    };
    Ok(match mode {
        Mode::Auto | Mode::Disable | Mode::Mesh => None,
        Mode::Simple => Some(UpstreamTls::Simple(tls)),
        Mode::Mutual => {
            let (Some(certificate_file), Some(private_key_file)) =
                (set(&message.certificate_file), set(&message.private_key_file))
            else {
                return Err("TLS mode MUTUAL needs a certificate and a key".to_owned());
            };
            Some(UpstreamTls::Mutual { tls, certificate_file, private_key_file })
        }
    })
}
