//! One request for a certificate.

use std::time::{Duration, SystemTime};

use lateen_identity::workload::CertificateError;
use lateen_identity::{KeyAndCsr, WorkloadCertificate};
use lateen_xds::ca::IstioCertificateRequest;
use lateen_xds::ca::istio_certificate_service_client::IstioCertificateServiceClient;
use lateen_xds::client::ConnectError;

use crate::config::Credentials;

/// For the whole call, beside the time to connect.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    /// The control plane was not reached, or there is no token.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The authority refused.
    #[error("the certificate authority refused: {} ({:?})", .0.message(), .0.code())]
    Refused(Box<tonic::Status>),
    /// The authority did not answer in time.
    #[error("the certificate authority did not answer within {0:?}")]
    Timeout(Duration),
    /// No key, or an answer that is of no use.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// Makes a key and has it certified.
pub(super) async fn certificate(
    credentials: &std::sync::Arc<Credentials>,
) -> Result<WorkloadCertificate, RequestError> {
    let target = credentials.target();
    let key = KeyAndCsr::generate()?;
    let mut client = IstioCertificateServiceClient::new(target.channel().await?);
    let mut request = tonic::Request::new(IstioCertificateRequest {
        csr: key.csr_pem().to_owned(),
        // None is asked for: the authority's default holds, 24 hours.
        validity_duration: 0,
        metadata: None,
    });
    if let Some(authorization) = target.authorization()? {
        request.metadata_mut().insert("authorization", authorization);
    }
    let response = tokio::time::timeout(TIMEOUT, client.create_certificate(request))
        .await
        .map_err(|_| RequestError::Timeout(TIMEOUT))?
        .map_err(|status| RequestError::Refused(Box::new(status)))?;
    Ok(key.certificate(&response.into_inner().cert_chain, SystemTime::now())?)
}
