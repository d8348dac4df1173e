//! The certificate authority of a cluster: Istio's secrets `cacerts`, plugged in by an operator, or
//! `istio-ca-secret`, made by whichever control plane comes first.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use lateen_identity::authority::AuthorityError;
use lateen_identity::{AuthoritySettings, CertificateAuthority, SignError};

use super::{MANAGED_BY, MANAGER, asked, refusal};

/// The authority that an operator plugs in.
const PLUGGED_IN: &str = "cacerts";

/// The authority that is made at the first start.
pub(super) const OWN: &str = "istio-ca-secret";

/// The type of that secret.
const OWN_TYPE: &str = "istio.io/ca-root";

/// How long to wait before the API server is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// Why a cluster's authority cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The API server refuses.
    #[error("the secret {namespace}/{name} cannot be read or made: {source}")]
    Refused {
        /// The secret's namespace.
        namespace: String,
        /// The secret's name.
        name: &'static str,
        /// What the API server says.
        source: Box<kube::Error>,
    },
    /// What is in the secret is of no use.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// A root cannot be made.
    #[error("a root for the mesh cannot be made: {0}")]
    Make(#[from] SignError),
}

/// An authority, and where it was found.
pub(crate) struct Loaded {
    pub(crate) authority: CertificateAuthority,
    /// The secret's name.
    pub(crate) secret: &'static str,
    /// What stands in it.
    pub(crate) data: Data,
}

/// Loads the authority, or makes one: of several control planes that start at once all end up with the
/// same. What is there is not written. Waits for an API server that does not answer.
///
/// # Errors
/// The API server refuses, or a secret is of no use.
pub(crate) async fn load_or_create(
    client: &Client,
    namespace: &str,
    settings: AuthoritySettings,
) -> Result<Loaded, SecretError> {
    let secrets = Secrets { api: Api::namespaced(client.clone(), namespace), namespace };
    if let Some(data) = secrets.get(PLUGGED_IN).await? {
        return secrets.loaded(PLUGGED_IN, data, settings);
    }
    let data = match secrets.get(OWN).await? {
        Some(data) => data,
        None => {
            secrets.create(CertificateAuthority::make_secret(&settings, SystemTime::now())?).await?
        }
    };
    secrets.loaded(OWN, data, settings)
}

/// What stands in a secret.
pub(crate) type Data = BTreeMap<String, Vec<u8>>;

struct Secrets<'a> {
    api: Api<Secret>,
    namespace: &'a str,
}

impl Secrets<'_> {
    async fn get(&self, name: &'static str) -> Result<Option<Data>, SecretError> {
        loop {
            match asked(self.api.get_opt(name)).await {
                Ok(secret) => return Ok(secret.map(data)),
                Err(error) => self.bear(name, error).await?,
            }
        }
    }

    /// Makes the secret, or reads the one that another control plane made first.
    async fn create(&self, made: Data) -> Result<Data, SecretError> {
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(OWN.to_owned()),
                labels: Some([(MANAGED_BY.to_owned(), MANAGER.to_owned())].into()),
                ..ObjectMeta::default()
            },
            data: Some(made.into_iter().map(|(name, bytes)| (name, ByteString(bytes))).collect()),
            type_: Some(OWN_TYPE.to_owned()),
            ..Secret::default()
        };
        let parameters =
            PostParams { field_manager: Some(MANAGER.to_owned()), ..Default::default() };
        loop {
            match asked(self.api.create(&parameters, &secret)).await {
                Ok(secret) => {
                    tracing::info!(namespace = self.namespace, secret = OWN, "a root was made");
                    return Ok(data(secret));
                }
                Err(error) if refusal(&error) == Some(409) => {
                    if let Some(data) = self.get(OWN).await? {
                        return Ok(data);
                    }
                }
                Err(error) => self.bear(OWN, error).await?,
            }
        }
    }

    /// Waits, unless the API server says that waiting is of no use.
    async fn bear(&self, name: &'static str, error: kube::Error) -> Result<(), SecretError> {
        if refusal(&error).is_some_and(|status| (400..429).contains(&status)) {
            let (namespace, source) = (self.namespace.to_owned(), Box::new(error));
            return Err(SecretError::Refused { namespace, name, source });
        }
        tracing::warn!(%error, secret = name, "the API server does not answer; it is asked again");
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }

    fn loaded(
        &self,
        secret: &'static str,
        data: Data,
        settings: AuthoritySettings,
    ) -> Result<Loaded, SecretError> {
        let authority = read(self.namespace, secret, data.clone(), settings)?;
        tracing::info!(secret, "the certificate authority is loaded");
        Ok(Loaded { authority, secret, data })
    }
}

/// The authority in the data of a secret.
pub(super) fn read(
    namespace: &str,
    name: &'static str,
    mut data: Data,
    settings: AuthoritySettings,
) -> Result<CertificateAuthority, AuthorityError> {
    let is_empty = |key: &str| data.get(key).is_none_or(Vec::is_empty);
    // A self-signed certificate is its own root (Istio leaves the root's key empty or out).
    if name == OWN && is_empty("root-cert.pem") {
        let root = data.get("ca-cert.pem").cloned().unwrap_or_default();
        data.insert("root-cert.pem".to_owned(), root);
    }
    let secret = PathBuf::from(format!("secret/{namespace}/{name}"));
    CertificateAuthority::of_secret(&data, &secret, settings, SystemTime::now())
}

/// What stands in a secret.
pub(super) fn data(secret: Secret) -> Data {
    let data = secret.data.unwrap_or_default();
    data.into_iter().map(|(name, bytes)| (name, bytes.0)).collect()
}
