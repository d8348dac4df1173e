//! Who calls: by client certificate or by token.

use std::{net::SocketAddr, time::SystemTime};

use lateen_identity::{SpiffeId, TokenError, TokenVerifier};
use tokio::sync::watch;
use tonic::{Status, metadata::MetadataMap};

use crate::{
    distribution::Facts,
    kubernetes::{
        access::SecretAccess,
        reviews::{ReviewError, TokenReviews},
    },
    metrics::Refusal,
};

/// What the connection says of the caller; the TLS listener puts it to each request.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// Where it calls from.
    pub(crate) remote: SocketAddr,
    /// Whether it presented a certificate, which then was verified.
    pub(crate) has_certificate: bool,
    /// The identity in it.
    pub(crate) identity: Option<SpiffeId>,
}

/// Finds out who calls.
#[derive(Debug, Clone)]
pub(crate) struct Authenticator {
    tokens: Tokens,
    /// Who knows which gateways may have keys; `None`: all may.
    secrets: Option<SecretAccess>,
    facts: watch::Receiver<Facts>,
}

/// Who knows whose a token is.
#[derive(Debug, Clone)]
pub(crate) enum Tokens {
    /// We signed it ourselves.
    Local(TokenVerifier),
    /// The API server did.
    Reviewed(Box<TokenReviews>),
}

/// What a caller proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proof {
    /// Its namespace and service account, in the mesh's own trust domain.
    pub(crate) identity: SpiffeId,
    /// The pod that its token is bound to.
    pub(crate) pod: Option<String>,
}

/// A caller who did not prove who it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unauthenticated {
    /// Nothing was presented.
    #[error("no credentials: present a client certificate or `authorization: Bearer <token>`")]
    NoCredentials,
    /// The header is there, but is no bearer token.
    #[error("the authorization header is not `Bearer <token>`")]
    NotBearer,
    /// The token is refused.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The API server does not say whose the token is.
    #[error(transparent)]
    Review(#[from] ReviewError),
    /// The certificate or the token names no workload.
    #[error("the credentials presented identify no workload")]
    NoIdentity,
}

impl Unauthenticated {
    /// What it is counted as.
    pub(crate) fn refusal(&self) -> Refusal {
        match self {
            Self::NoCredentials => Refusal::NoCredentials,
            Self::NotBearer | Self::Token(TokenError::Malformed(_)) => Refusal::Malformed,
            Self::Token(TokenError::Foreign) => Refusal::Foreign,
            Self::Token(TokenError::WrongAudience { .. }) => Refusal::WrongAudience,
            Self::Token(TokenError::Expired { .. }) => Refusal::Expired,
            Self::Token(TokenError::NotYetValid { .. }) => Refusal::NotYetValid,
            Self::Review(ReviewError::Refused(_)) => Refusal::Foreign,
            Self::Review(ReviewError::Unavailable(_)) => Refusal::Internal,
            Self::NoIdentity | Self::Review(ReviewError::NoAccount(_)) => Refusal::NoIdentity,
        }
    }
}

impl From<Unauthenticated> for Status {
    fn from(error: Unauthenticated) -> Self {
        let text = error.to_string();
        match error {
            // It may be a good token all the same.
            Unauthenticated::Review(ReviewError::Unavailable(_)) => Status::unavailable(text),
            _ => Status::unauthenticated(text),
        }
    }
}

impl Authenticator {
    pub(crate) fn new(
        tokens: Tokens,
        secrets: Option<SecretAccess>,
        facts: watch::Receiver<Facts>,
    ) -> Self {
        Self { tokens, secrets, facts }
    }

    /// Whether somebody has to be asked who may have secrets.
    pub(crate) fn reviews_secrets(&self) -> bool {
        self.secrets.is_some()
    }

    /// Whether a gateway may have the secrets of its namespace.
    ///
    /// # Errors
    /// Nobody can be asked now.
    pub(crate) async fn may_have_secrets(&self, identity: &SpiffeId) -> Result<bool, Status> {
        let Some(secrets) = &self.secrets else { return Ok(true) };
        let unavailable = |error| {
            let text = format!("whether {identity} may have keys is not known: {error}");
            Status::unavailable(text)
        };
        let may = secrets.review(identity).await.map_err(unavailable)?;
        if !may {
            tracing::warn!(
                %identity,
                "a gateway gets no certificates: its account may not list secrets of its namespace"
            );
        }
        Ok(may)
    }

    /// The caller's identity, in the mesh's own trust domain (a certificate may be of one of its
    /// aliases). A certificate that identifies a workload decides; the token is read otherwise, so
    /// that a proxy whose token file went stale is still served as who it is.
    pub(crate) async fn authenticate(
        &self,
        metadata: &MetadataMap,
        peer: Option<&Peer>,
        now: SystemTime,
    ) -> Result<Proof, Unauthenticated> {
        let trust_domain = self.facts.borrow().trust_domains[0].clone();
        if let Some(identity) = peer.and_then(|peer| peer.identity.as_ref()) {
            let identity = identity.in_trust_domain(&trust_domain);
            let identity = identity.map_err(|_| Unauthenticated::NoIdentity)?;
            return Ok(Proof { identity, pod: None });
        }
        let Some(header) = metadata.get("authorization") else {
            return Err(match peer {
                Some(peer) if peer.has_certificate => Unauthenticated::NoIdentity,
                _ => Unauthenticated::NoCredentials,
            });
        };
        let header = header.to_str().map_err(|_| Unauthenticated::NotBearer)?;
        let (scheme, token) = header.split_once(' ').ok_or(Unauthenticated::NotBearer)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Unauthenticated::NotBearer);
        }
        let (identity, pod) = match &self.tokens {
            Tokens::Local(verifier) => {
                (verifier.verify(token.trim(), now)?.identity(&trust_domain), None)
            }
            Tokens::Reviewed(reviews) => {
                let account = reviews.review(token.trim()).await?;
                let identity = SpiffeId::new(&trust_domain, &account.namespace, &account.name);
                (identity, account.pod)
            }
        };
        let identity = identity.map_err(|_| Unauthenticated::NoIdentity)?;
        Ok(Proof { identity, pod })
    }
}
