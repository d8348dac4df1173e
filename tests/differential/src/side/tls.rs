//! TLS of backends and clients: certificates of the mesh and of the scenario; whatever the other
//! end shows is taken and noted.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use lateen_identity::peer::PeerCertificate;
use lateen_identity::{
    AuthoritySettings, CertificateAuthority, KeyAndCsr, SpiffeId, crypto_provider,
};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::{LazyConfigAcceptor, TlsConnector};

use super::stream::Stream;
use crate::scenario::{ClientTls, TlsVersion};

/// Trust domain of a mesh that names none.
pub const TRUST_DOMAIN: &str = "cluster.local";

/// Where certificates come from.
pub struct Keys {
    state: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Contents by name of file.
    files: BTreeMap<String, String>,
    /// The one that answers where no name fits.
    first: Option<String>,
    trust_domain: String,
    authority: Option<Arc<CertificateAuthority>>,
    mesh: HashMap<String, Arc<CertifiedKey>>,
}

/// A connection whose TLS was taken off.
pub struct Accepted {
    pub stream: Stream,
    pub sni: String,
    /// Who called, by certificate; empty without one.
    pub peer: String,
    /// Whether it is how sidecars speak with each other.
    pub is_mesh: bool,
}

/// A connection that TLS was put on.
pub struct Connected {
    pub stream: Stream,
    /// Whom the server's certificate is for.
    pub certificate: String,
    pub alpn: String,
}

impl Keys {
    /// Certificates of the mesh are signed by the authority in the control plane's state folder.
    pub fn new(state: &Path) -> Self {
        Self { state: state.to_owned(), inner: Mutex::default() }
    }

    /// The files of another scenario.
    pub fn set(&self, files: BTreeMap<String, String>, first: Option<&String>, trust_domain: &str) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.files = files;
        inner.first = first.cloned();
        trust_domain.clone_into(&mut inner.trust_domain);
    }

    /// Takes TLS off; `identity` is the backend's as its sidecar.
    pub async fn accept(&self, stream: Stream, identity: Option<&str>) -> io::Result<Accepted> {
        let socket = stream.socket()?;
        let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
        let hello = start.client_hello();
        let sni = hello.server_name().unwrap_or_default().to_owned();
        let offered: Vec<Vec<u8>> =
            hello.alpn().map(|all| all.map(<[u8]>::to_vec).collect()).unwrap_or_default();
        let speaks_mesh =
            |protocol: &Vec<u8>| protocol.starts_with(b"istio") || protocol.starts_with(b"lateen");
        let is_mesh = identity.is_some() && offered.iter().any(speaks_mesh);
        let key = match identity {
            Some(identity) if is_mesh => self.mesh(identity),
            _ => self.named(&sni),
        };
        let key = key.map_err(io::Error::other)?;
        let mut config = ServerConfig::builder_with_provider(crypto_provider())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_client_cert_verifier(Arc::new(Anyone { mandatory: is_mesh }))
            .with_cert_resolver(Arc::new(SingleCertAndKey::from((*key).clone())));
        // A sidecar of Istio's knows nothing of Lateen's own protocol.
        let known = |protocol: &&Vec<u8>| {
            protocol.starts_with(b"istio") || [&b"h2"[..], b"http/1.1"].contains(&&***protocol)
        };
        config.alpn_protocols = offered.iter().find(known).cloned().into_iter().collect();
        let tls = start.into_stream(Arc::new(config)).await?;
        let peer = tls.get_ref().1.peer_certificates().map(|chain| name(chain)).unwrap_or_default();
        Ok(Accepted { stream: Stream::layered(tls, socket), sni, peer, is_mesh })
    }

    /// Puts TLS on, as a client.
    pub async fn connect(
        &self,
        stream: Stream,
        tls: &ClientTls,
        alpn: Vec<String>,
    ) -> io::Result<Connected> {
        let versions: &[&rustls::SupportedProtocolVersion] = match tls.version {
            None => rustls::ALL_VERSIONS,
            Some(TlsVersion::Tls12) => &[&rustls::version::TLS12],
            Some(TlsVersion::Tls13) => &[&rustls::version::TLS13],
        };
        let builder = ClientConfig::builder_with_provider(crypto_provider())
            .with_protocol_versions(versions)
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone { mandatory: false }));
        let key = match (&tls.identity, &tls.certificate) {
            (Some(identity), _) => Some(self.mesh(identity)),
            (None, Some(name)) => Some(self.file(name)),
            (None, None) => None,
        };
        let mut config = match key.transpose().map_err(io::Error::other)? {
            Some(key) => {
                let key = SingleCertAndKey::from((*key).clone());
                builder.with_client_cert_resolver(Arc::new(key))
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.into_iter().map(String::into_bytes).collect();
        config.enable_sni = tls.sni.is_some();
        let server = tls.sni.clone().unwrap_or_else(|| "none.invalid".to_owned());
        let server = ServerName::try_from(server).map_err(io::Error::other)?;
        let socket = stream.socket()?;
        let tls = TlsConnector::from(Arc::new(config)).connect(server, stream).await?;
        let (_, session) = tls.get_ref();
        let certificate = session.peer_certificates().map(|all| name(all)).unwrap_or_default();
        let alpn = session.alpn_protocol().map(String::from_utf8_lossy).unwrap_or_default();
        let alpn = alpn.into_owned();
        Ok(Connected { stream: Stream::layered(tls, socket), certificate, alpn })
    }

    /// The certificate for a server's name, else the scenario's first.
    fn named(&self, sni: &str) -> anyhow::Result<Arc<CertifiedKey>> {
        self.file(sni).or_else(|error| {
            let first = self.inner.lock().unwrap_or_else(PoisonError::into_inner).first.clone();
            match first {
                Some(first) => self.file(&first),
                None => Err(error),
            }
        })
    }

    fn file(&self, name: &str) -> anyhow::Result<Arc<CertifiedKey>> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let text = |kind: &str| {
            let file = format!("{name}.{kind}");
            inner.files.get(&file).with_context(|| format!("there is no {file}"))
        };
        let chain = CertificateDer::pem_slice_iter(text("crt")?.as_bytes())
            .collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(text("key")?.as_bytes())?;
        Ok(Arc::new(CertifiedKey::from_der(chain, key, &crypto_provider())?))
    }

    /// A certificate of the mesh for `namespace/account`, or for a SPIFFE ID.
    fn mesh(&self, identity: &str) -> anyhow::Result<Arc<CertifiedKey>> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let id: SpiffeId = match identity.strip_prefix("spiffe://") {
            Some(_) => identity.parse()?,
            None => {
                let (namespace, account) =
                    identity.split_once('/').context("an identity is namespace/account")?;
                SpiffeId::new(&inner.trust_domain, namespace, account)?
            }
        };
        if let Some(key) = inner.mesh.get(id.as_str()) {
            return Ok(Arc::clone(key));
        }
        let now = SystemTime::now();
        let authority = match &inner.authority {
            Some(authority) => Arc::clone(authority),
            None => {
                let settings = AuthoritySettings::new(TRUST_DOMAIN);
                let made = CertificateAuthority::load_or_create(&self.state, settings, now)?;
                inner.authority.insert(Arc::new(made)).clone()
            }
        };
        let request = KeyAndCsr::generate()?;
        let issued = authority.sign(request.csr_pem(), &id, Duration::ZERO, now)?;
        let key = request.certificate(&issued.cert_chain, now)?.certified_key();
        inner.mesh.insert(id.as_str().to_owned(), Arc::clone(&key));
        Ok(key)
    }
}

/// Whom a certificate is for: its first URI, DNS name, or its subject.
fn name(chain: &[CertificateDer<'_>]) -> String {
    let Some(read) = chain.first().and_then(PeerCertificate::read) else { return String::new() };
    let mut names = read.uris.into_iter().chain(read.dns_names);
    names.next().unwrap_or(read.subject)
}

/// Takes every certificate: the bed notes what it is shown, and the scenario says what it expects.
#[derive(Debug)]
struct Anyone {
    mandatory: bool,
}

impl Anyone {
    fn provider() -> Arc<CryptoProvider> {
        crypto_provider()
    }
}

impl rustls::client::danger::ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &Self::provider().signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &Self::provider().signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        Self::provider().signature_verification_algorithms.supported_schemes()
    }
}

impl rustls::server::danger::ClientCertVerifier for Anyone {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[rustls::DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<rustls::server::danger::ClientCertVerified, rustls::Error> {
        Ok(rustls::server::danger::ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::client::danger::ServerCertVerifier::verify_tls12_signature(self, message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::client::danger::ServerCertVerifier::verify_tls13_signature(self, message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        Self::provider().signature_verification_algorithms.supported_schemes()
    }
}
