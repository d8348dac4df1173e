//! The server's side of a gateway's TLS.

use std::sync::{Arc, Mutex, PoisonError};

use lateen_engine::Plan;
use lateen_engine::gateway::Server;
use lateen_engine::upstream::alpn;
use lateen_identity::crypto_provider;
use lateen_mesh::v1::{Secret, ServerTls, TlsVersion, server_tls::Mode};
use rustc_hash::FxHashMap;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::files::{Files, Loaded, Roots};
use super::names::NamedClient;

/// What HTTPS servers agree on, in the order of preference; Istio's list.
const AGREED: [&[u8]; 2] = [alpn::H2, alpn::HTTP11];

/// Beyond this many servers the configurations are built anew: most of them are of servers that
/// have gone.
const KEPT: usize = 8192;

/// Why a server has no configuration: what it names is not there or cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("server {server} has no usable certificate: {reason}")]
pub struct NoConfig {
    /// Name of the server.
    pub server: Arc<str>,
    /// What is wrong.
    pub reason: String,
}

/// The configurations of a gateway's servers, shared by the workers so that a session can be
/// resumed on any of them. One is rebuilt when its secret or files have changed, and with it the
/// key of its session tickets. A server that asks for a client's certificate resumes no session.
#[derive(Debug, Default)]
pub struct GatewayConfigs {
    files: Arc<Files>,
    built: Mutex<FxHashMap<Arc<str>, (Sources, Configs)>>,
}

/// What a configuration was built from.
#[derive(Debug, Clone)]
struct Sources {
    tls: ServerTls,
    secret: Option<Arc<Secret>>,
    ca_secret: Option<Arc<Secret>>,
    files: Option<Loaded>,
}

/// One that names protocols and one that names none, for clients that share none with us.
#[derive(Debug, Clone)]
struct Configs {
    agreed: Arc<ServerConfig>,
    none: Arc<ServerConfig>,
}

impl GatewayConfigs {
    /// The configuration of `server` for a client that offers `offered`.
    ///
    /// # Errors
    /// When the server's certificate is not there or cannot be used.
    pub async fn config(
        &self,
        plan: &Plan,
        server: &Server,
        offered: &[Box<[u8]>],
    ) -> Result<Arc<ServerConfig>, NoConfig> {
        let refuse = |reason| NoConfig { server: Arc::clone(server.name()), reason };
        let sources = self.sources(plan, server).await.map_err(refuse)?;
        let configs = match self.find(server, &sources) {
            Some(configs) => configs,
            None => {
                let configs = sources.build().map_err(refuse)?;
                self.keep(server, sources, &configs);
                configs
            }
        };
        let shared = AGREED.iter().any(|name| offered.iter().any(|other| **other == **name));
        Ok(if shared { configs.agreed } else { configs.none })
    }

    async fn sources(&self, plan: &Plan, server: &Server) -> Result<Sources, String> {
        let tls = server.tls().ok_or("it terminates no TLS")?;
        let secret = |name: &str| match name {
            "" => Ok(None),
            name => plan
                .secret(name)
                .map(|secret| Some(Arc::clone(secret)))
                .ok_or_else(|| format!("{name} is not there")),
        };
        let (secret, ca_secret) = (secret(&tls.secret)?, secret(&tls.ca_secret)?);
        let pair = match (tls.certificate_file.as_str(), tls.private_key_file.as_str()) {
            ("", _) | (_, "") => None,
            pair => Some(pair),
        };
        let roots = match tls.ca_file.as_str() {
            "" => Roots::Unneeded,
            path => Roots::File(path.to_owned()),
        };
        let files = if pair.is_some() || roots != Roots::Unneeded {
            Some(self.files.load(roots, pair).await.map_err(|error| error.to_string())?)
        } else {
            None
        };
        Ok(Sources { tls: tls.clone(), secret, ca_secret, files })
    }

    fn find(&self, server: &Server, sources: &Sources) -> Option<Configs> {
        let built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        let (from, configs) = built.get(server.name())?;
        from.same(sources).then(|| configs.clone())
    }

    fn keep(&self, server: &Server, sources: Sources, configs: &Configs) {
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if built.len() >= KEPT {
            built.clear();
        }
        built.insert(Arc::clone(server.name()), (sources, configs.clone()));
    }
}

impl Sources {
    fn same(&self, other: &Self) -> bool {
        let same_secret =
            |one: &Option<Arc<Secret>>, other: &Option<Arc<Secret>>| match (one, other) {
                (None, None) => true,
                (Some(one), Some(other)) => Arc::ptr_eq(one, other) || one == other,
                _ => false,
            };
        let same_files = match (&self.files, &other.files) {
            (None, None) => true,
            (Some(one), Some(other)) => one.same(other),
            _ => false,
        };
        same_files
            && same_secret(&self.secret, &other.secret)
            && same_secret(&self.ca_secret, &other.ca_secret)
            && self.tls == other.tls
    }

    fn build(&self) -> Result<Configs, String> {
        let (chain, key) = self.pair()?;
        let builder = ServerConfig::builder_with_provider(crypto_provider())
            .with_protocol_versions(versions(&self.tls)?)
            .map_err(|error| error.to_string())?;
        let (builder, mutual) = match self.tls.mode() {
            Mode::Simple => (builder.with_no_client_auth(), false),
            Mode::Mutual => (builder.with_client_cert_verifier(self.client_verifier()?), true),
        };
        let mut none = builder.with_single_cert(chain, key).map_err(|error| error.to_string())?;
        if mutual {
            none.session_storage = Arc::new(NoServerSessionStorage {});
            none.send_tls13_tickets = 0;
        } else {
            none.ticketer =
                rustls::crypto::aws_lc_rs::Ticketer::new().map_err(|error| error.to_string())?;
        }
        let mut agreed = none.clone();
        agreed.alpn_protocols = AGREED.iter().map(|name| name.to_vec()).collect();
        Ok(Configs { agreed: Arc::new(agreed), none: Arc::new(none) })
    }

    fn pair(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
        if let Some((chain, key)) = self.files.as_ref().and_then(|files| files.pair.as_ref()) {
            return Ok((chain.to_vec(), key.clone_key()));
        }
        let secret = self.secret.as_ref().ok_or("neither a secret nor files are named")?;
        let chain = certificates(&secret.certificate_chain)
            .map_err(|error| format!("certificate chain of {}: {error}", self.tls.secret))?;
        let key = PrivateKeyDer::from_pem_slice(&secret.private_key)
            .map_err(|error| format!("private key of {}: {error}", self.tls.secret))?;
        Ok((chain, key))
    }

    fn client_verifier(&self) -> Result<Arc<dyn ClientCertVerifier>, String> {
        let verifier = WebPkiClientVerifier::builder_with_provider(
            Arc::new(self.client_roots()?),
            crypto_provider(),
        )
        .build()
        .map_err(|error| format!("authorities of clients: {error}"))?;
        if self.tls.subject_alt_names.is_empty() {
            return Ok(verifier);
        }
        Ok(Arc::new(NamedClient::new(verifier, self.tls.subject_alt_names.clone())))
    }

    /// Authorities of clients: a secret of their own, else beside the certificate, else a file.
    fn client_roots(&self) -> Result<RootCertStore, String> {
        let secrets = [&self.ca_secret, &self.secret].into_iter().flatten();
        let written = secrets.map(|secret| &secret.ca_certificates).find(|pem| !pem.is_empty());
        if let Some(pem) = written {
            let mut store = RootCertStore::empty();
            for root in certificates(pem).map_err(|error| format!("authorities: {error}"))? {
                store.add(root).map_err(|error| format!("authorities: {error}"))?;
            }
            return Ok(store);
        }
        self.files
            .as_ref()
            .filter(|files| !files.roots.is_empty())
            .map(|files| files.roots.as_ref().clone())
            .ok_or_else(|| "MUTUAL without the authorities of clients".to_owned())
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())?;
    if chain.is_empty() { Err("no certificate in it".to_owned()) } else { Ok(chain) }
}

/// The versions between the minimum and the maximum; 1.2 to 1.3 where nothing is set.
pub(super) fn versions(
    tls: &ServerTls,
) -> Result<&'static [&'static SupportedProtocolVersion], String> {
    static BOTH: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
    match (tls.minimum(), tls.maximum()) {
        (TlsVersion::TlsVersion13, TlsVersion::TlsVersion12) => {
            Err("the minimum version of TLS is above the maximum".to_owned())
        }
        (TlsVersion::TlsVersion13, _) => Ok(&BOTH[..1]),
        (_, TlsVersion::TlsVersion12) => Ok(&BOTH[1..]),
        _ => Ok(&BOTH),
    }
}
