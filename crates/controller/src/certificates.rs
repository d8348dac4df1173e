//! Istio's certificate service.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use lateen_identity::SignError;
use lateen_xds::ca::{
    IstioCertificateRequest, IstioCertificateResponse,
    istio_certificate_service_server::IstioCertificateService,
};
use tonic::{Request, Response, Status};

use crate::{
    authentication::{Authenticator, Peer},
    authority::Authority,
    metrics::{Metrics, Refusal},
};

/// Signs requests of authenticated callers, each for the caller's own identity.
#[derive(Debug)]
pub(crate) struct Certificates {
    pub(crate) authority: Authority,
    pub(crate) authenticator: Authenticator,
    pub(crate) metrics: Arc<Metrics>,
}

#[tonic::async_trait]
impl IstioCertificateService for Certificates {
    async fn create_certificate(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        self.metrics.csr();
        let remote = request.extensions().get::<Peer>().map(|peer| peer.remote);
        self.create(&request).await.map(Response::new).map_err(|(refusal, status)| {
            self.metrics.csr_refused(refusal);
            let (reason, message) = (refusal.label(), status.message());
            tracing::warn!(?remote, reason, "a certificate is refused: {message}");
            status
        })
    }
}

impl Certificates {
    async fn create(
        &self,
        request: &Request<IstioCertificateRequest>,
    ) -> Result<IstioCertificateResponse, (Refusal, Status)> {
        let now = SystemTime::now();
        let proof = self
            .authenticator
            .authenticate(request.metadata(), request.extensions().get::<Peer>(), now)
            .await
            .map_err(|error| (error.refusal(), error.into()))?;
        let identity = proof.identity;
        let message = request.get_ref();
        let requested = u64::try_from(message.validity_duration).map_err(|_| {
            let text = "a certificate cannot be valid for less than no time";
            (Refusal::Lifetime, Status::invalid_argument(text))
        })?;
        let chain = self
            .authority
            .current()
            .sign(&message.csr, &identity, Duration::from_secs(requested), now)
            .map_err(|error| refused(&error))?;
        self.metrics.certificate_issued();
        let lifetime = chain.not_after.duration_since(now).unwrap_or_default();
        tracing::info!(%identity, serial = chain.serial, ?lifetime, "a certificate is signed");
        Ok(IstioCertificateResponse { cert_chain: chain.cert_chain })
    }
}

fn refused(error: &SignError) -> (Refusal, Status) {
    let refusal = match error {
        SignError::WeakKey(_) => Refusal::WeakKey,
        SignError::Malformed(_) | SignError::BadSignature => Refusal::BadRequest,
        SignError::LifetimeTooLong { .. } => Refusal::Lifetime,
        SignError::AuthorityExpired | SignError::Cryptography(_) => {
            return (Refusal::Internal, Status::internal(error.to_string()));
        }
    };
    (refusal, Status::invalid_argument(error.to_string()))
}
