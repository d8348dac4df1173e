//! The client's side of TLS: towards the mesh and towards the outside.

use std::cell::RefCell;
use std::hash::Hash;
use std::sync::Arc;

use lateen_engine::upstream::{Carried, MeshTls, OriginatedTls, UpstreamTls};
use lateen_identity::{
    CertificateHandle, MeshTrust, PROTOCOL_VERSIONS, ServerIdentityVerifier, crypto_provider,
};
use rustc_hash::FxHashMap;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::client::danger::ServerCertVerifier;

use super::files::{Files, Loaded, Roots};
use super::names::{AnyServer, NamedServer};
use crate::upstream::DialError;

/// The client configurations of one worker, built when they are first needed.
#[derive(Debug)]
pub struct ClientConfigs {
    certificate: Arc<CertificateHandle>,
    trust: Arc<MeshTrust>,
    files: Arc<Files>,
    mesh: RefCell<FxHashMap<MeshKey, Arc<ClientConfig>>>,
    originated: RefCell<FxHashMap<OriginatedKey, (Loaded, Arc<ClientConfig>)>>,
}

/// What makes two mesh configurations the same. The server name is the connection's own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct MeshKey {
    expected: Arc<[Arc<str>]>,
    carried: Carried,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct OriginatedKey {
    tls: UpstreamTls,
    carried: Carried,
}

/// Beyond this many configurations of a kind a worker starts over: what is in use comes back at
/// the next dial, and what is not would never go otherwise.
const KEPT: usize = 4096;

impl ClientConfigs {
    /// Takes certificates and roots from the handles at each handshake.
    #[must_use]
    pub fn new(certificate: Arc<CertificateHandle>, trust: Arc<MeshTrust>) -> Self {
        Self {
            certificate,
            trust,
            files: Arc::new(Files::default()),
            mesh: RefCell::default(),
            originated: RefCell::default(),
        }
    }

    /// The configuration to speak `tls` with, for what is carried; `None` for plain text.
    ///
    /// # Errors
    /// [`DialError::NoCertificate`] for mutual TLS without a certificate yet,
    /// [`DialError::Settings`] when a file that the settings name cannot be used.
    pub async fn config(
        &self,
        tls: &UpstreamTls,
        carried: Carried,
    ) -> Result<Option<Arc<ClientConfig>>, DialError> {
        match tls {
            UpstreamTls::Plain => Ok(None),
            UpstreamTls::Mesh(mesh) => self.mesh(tls, mesh, carried).map(Some),
            UpstreamTls::Simple(originated) => {
                self.originated(tls, originated, None, carried).await.map(Some)
            }
            UpstreamTls::Mutual { tls: originated, certificate_file, private_key_file } => {
                let client = Some((&**certificate_file, &**private_key_file));
                self.originated(tls, originated, client, carried).await.map(Some)
            }
        }
    }

    fn mesh(
        &self,
        tls: &UpstreamTls,
        mesh: &MeshTls,
        carried: Carried,
    ) -> Result<Arc<ClientConfig>, DialError> {
        if self.certificate.get().is_none() {
            return Err(DialError::NoCertificate);
        }
        let key = MeshKey { expected: Arc::clone(&mesh.subject_alt_names), carried };
        if let Some(config) = self.mesh.borrow().get(&key) {
            return Ok(Arc::clone(config));
        }
        let expected = key.expected.iter().map(ToString::to_string).collect();
        let verifier = ServerIdentityVerifier::new(Arc::clone(&self.trust), expected);
        let config = self
            .builder()?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(Arc::<CertificateHandle>::clone(&self.certificate));
        let config = finish(config, tls, carried, Resumption::disabled());
        keep(&self.mesh, key, Arc::clone(&config));
        Ok(config)
    }

    async fn originated(
        &self,
        tls: &UpstreamTls,
        originated: &OriginatedTls,
        client: Option<(&str, &str)>,
        carried: Carried,
    ) -> Result<Arc<ClientConfig>, DialError> {
        let roots = match originated.ca_file.as_deref() {
            _ if originated.insecure_skip_verify => Roots::Unneeded,
            Some(path) => Roots::File(path.to_owned()),
            None => Roots::System,
        };
        let loaded = self
            .files
            .load(roots, client)
            .await
            .map_err(|error| DialError::Settings(error.to_string()))?;
        let key = OriginatedKey { tls: tls.clone(), carried };
        if let Some((from, config)) = self.originated.borrow().get(&key)
            && from.same(&loaded)
        {
            return Ok(Arc::clone(config));
        }
        let verifier: Arc<dyn ServerCertVerifier> = if originated.insecure_skip_verify {
            Arc::new(AnyServer)
        } else {
            let expected = &originated.subject_alt_names;
            NamedServer::new(Arc::clone(&loaded.roots), Arc::clone(expected))?
        };
        let builder = self.builder()?.dangerous().with_custom_certificate_verifier(verifier);
        let config = match &loaded.pair {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder
                .with_client_auth_cert(chain.to_vec(), key.clone_key())
                .map_err(|error| DialError::Settings(error.to_string()))?,
        };
        let config = finish(config, tls, carried, Resumption::default());
        keep(&self.originated, key, (loaded, Arc::clone(&config)));
        Ok(config)
    }

    fn builder(
        &self,
    ) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, DialError> {
        ClientConfig::builder_with_provider(crypto_provider())
            .with_protocol_versions(PROTOCOL_VERSIONS)
            .map_err(|error| DialError::Settings(error.to_string()))
    }
}

fn finish(
    mut config: ClientConfig,
    tls: &UpstreamTls,
    carried: Carried,
    resumption: Resumption,
) -> Arc<ClientConfig> {
    config.resumption = resumption;
    config.alpn_protocols = tls.offered_alpn(carried).iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

fn keep<K: Eq + Hash, V>(map: &RefCell<FxHashMap<K, V>>, key: K, value: V) {
    let mut map = map.borrow_mut();
    if map.len() >= KEPT {
        map.clear();
    }
    map.insert(key, value);
}
