//! The workload's key and certificate, and the mesh's roots, for Envoy.
//!
//! The key is made in this process and goes to Envoy over the Unix socket that both share; it is never
//! written anywhere. A new certificate, or other roots, are pushed as soon as they are there.
//!
//! | name | what |
//! | --- | --- |
//! | `default` | the workload's certificate and its key |
//! | `ROOTCA` | the roots of the mesh and the further ones that its settings name |
//! | `file-cert:<chain>~<key>` | a certificate and its key from two files, read anew as they change |
//! | `file-root:<path>` | roots from a file, likewise |

mod files;
mod pem;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use lateen_proxy::certificates::Certificates;
use prost::Message as _;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status as GrpcStatus, Streaming};

use crate::facts::Facts;
use crate::status::Status;
use crate::wire::secret::secret::Type;
use crate::wire::secret::secret_discovery_service_server::SecretDiscoveryService;
use crate::wire::secret::{
    Any, CertificateValidationContext, DataSource, DiscoveryRequest, DiscoveryResponse, Secret,
    TlsCertificate, data_source,
};

pub use crate::wire::secret::secret_discovery_service_server::SecretDiscoveryServiceServer;

/// Type URL of [`Secret`].
const TYPE_URL: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

/// Name of the workload's own certificate.
const OWN: &str = "default";

/// Name of the mesh's roots.
const ROOTS: &str = "ROOTCA";

/// How often files are looked at.
const FILES: Duration = Duration::from_secs(5);

/// The service to which Envoy's cluster `sds-grpc` leads.
#[derive(Debug, Clone)]
pub struct Secrets {
    certificates: Arc<Certificates>,
    facts: watch::Receiver<Option<Arc<Facts>>>,
    status: Arc<Status>,
}

type Answers = Pin<Box<dyn Stream<Item = Result<DiscoveryResponse, GrpcStatus>> + Send>>;

impl Secrets {
    /// Secrets out of what the agent has.
    #[must_use]
    pub fn new(
        certificates: Arc<Certificates>,
        facts: watch::Receiver<Option<Arc<Facts>>>,
        status: Arc<Status>,
    ) -> Self {
        Self { certificates, facts, status }
    }

    /// The secret of this name; `None` while it is not there.
    async fn secret(&self, name: &str) -> Option<Secret> {
        let secret = match name {
            OWN => self.own()?,
            ROOTS => self.roots()?,
            _ => match files::read(name).await {
                Ok(secret) => secret,
                Err(error) => {
                    tracing::warn!(%error, name, "a secret cannot be had");
                    return None;
                }
            },
        };
        Some(Secret { name: name.to_owned(), r#type: Some(secret) })
    }

    fn own(&self) -> Option<Type> {
        let certificate = self.certificates.handle().get()?;
        let chain = pem::encode_all("CERTIFICATE", certificate.chain());
        let key = pem::encode("PRIVATE KEY", certificate.private_key().secret_pkcs8_der());
        Some(pair(chain.into(), key.into()))
    }

    /// What verifies peers: the roots that came with the certificate, and `caCertificates` of the
    /// mesh.
    fn roots(&self) -> Option<Type> {
        let certificate = self.certificates.handle().get()?;
        let facts = self.facts.borrow().clone()?;
        let mut roots = pem::encode_all("CERTIFICATE", certificate.roots());
        for further in &facts.settings.ca_certificates {
            roots.push_str(further.trim());
            roots.push('\n');
        }
        Some(trust(roots.into()))
    }
}

#[tonic::async_trait]
impl SecretDiscoveryService for Secrets {
    type StreamSecretsStream = Answers;

    async fn stream_secrets(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Answers>, GrpcStatus> {
        // One: the next answer is made when Envoy has taken the last one.
        let (answers, receiver) = mpsc::channel(1);
        let subscription = Subscription {
            issued: self.certificates.issued(),
            facts: self.facts.clone(),
            secrets: self.clone(),
            names: Vec::new(),
            sent: Vec::new(),
            version: 0,
            answers,
        };
        tokio::spawn(subscription.serve(request.into_inner()));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

/// One stream of Envoy: it asks for a secret and is told of each new one.
struct Subscription {
    secrets: Secrets,
    issued: watch::Receiver<bool>,
    facts: watch::Receiver<Option<Arc<Facts>>>,
    names: Vec<String>,
    sent: Vec<Any>,
    /// Counts the answers. Nothing of a secret is in it.
    version: u64,
    answers: mpsc::Sender<Result<DiscoveryResponse, GrpcStatus>>,
}

impl Subscription {
    async fn serve(mut self, mut requests: Streaming<DiscoveryRequest>) {
        let mut files = tokio::time::interval(FILES);
        files.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let has_files = self.names.iter().any(|name| files::is_file(name));
            tokio::select! {
                request = requests.next() => match request {
                    Some(Ok(request)) => self.heard(request),
                    // Envoy has gone, or does not want the secret any more.
                    Some(Err(_)) | None => return,
                },
                Ok(()) = self.issued.changed() => {}
                Ok(()) = self.facts.changed() => {}
                _ = files.tick(), if has_files => {}
                () = self.answers.closed() => return,
            }
            if self.push().await.is_err() {
                return;
            }
        }
    }

    fn heard(&mut self, request: DiscoveryRequest) {
        if let Some(refusal) = request.error_detail {
            self.secrets.status.secret_refused();
            let names = self.names.join(", ");
            tracing::error!(names, reason = refusal.message, "Envoy refuses a secret");
        }
        if self.names != request.resource_names {
            self.names = request.resource_names;
            self.sent.clear();
        }
    }

    /// Sends what differs from what was sent last, once all that is asked for is there.
    async fn push(&mut self) -> Result<(), mpsc::error::SendError<()>> {
        let mut resources = Vec::with_capacity(self.names.len());
        for name in &self.names {
            let Some(secret) = self.secrets.secret(name).await else { return Ok(()) };
            let value = secret.encode_to_vec().into();
            resources.push(Any { type_url: TYPE_URL.to_owned(), value });
        }
        if resources.is_empty() || resources == self.sent {
            return Ok(());
        }
        self.version += 1;
        self.sent.clone_from(&resources);
        let answer = DiscoveryResponse {
            version_info: self.version.to_string(),
            resources,
            type_url: TYPE_URL.to_owned(),
            nonce: self.version.to_string(),
        };
        let sent = self.answers.send(Ok(answer)).await;
        self.secrets.status.secret_pushed();
        sent.map_err(|_| mpsc::error::SendError(()))
    }
}

fn pair(chain: bytes::Bytes, key: bytes::Bytes) -> Type {
    Type::TlsCertificate(TlsCertificate {
        certificate_chain: Some(source(chain)),
        private_key: Some(source(key)),
    })
}

fn trust(roots: bytes::Bytes) -> Type {
    Type::ValidationContext(CertificateValidationContext { trusted_ca: Some(source(roots)) })
}

fn source(bytes: bytes::Bytes) -> DataSource {
    DataSource { specifier: Some(data_source::Specifier::InlineBytes(bytes)) }
}
