//! Verifying.

use std::time::{Duration, SystemTime};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;

use super::claims::{ALGORITHM, Claims, Header, seconds, service_account};
use super::{AUDIENCE, LOCAL_ISSUER};
use crate::{InvalidSpiffeId, SpiffeId};

/// Longer than any token that was ever meant for us.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Whom a token speaks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Caller {
    /// The namespace.
    pub namespace: String,
    /// The service account.
    pub service_account: String,
}

impl Caller {
    /// The caller's identity in a trust domain.
    ///
    /// # Errors
    /// A part that cannot stand in an identity.
    pub fn identity(&self, trust_domain: &str) -> Result<SpiffeId, InvalidSpiffeId> {
        SpiffeId::new(trust_domain, &self.namespace, &self.service_account)
    }
}

/// Why a token is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The text is no token of ours: not three parts, not JSON, another algorithm, no service
    /// account in it.
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    /// Somebody else signed it, or it was changed.
    #[error("the token is not signed by this control plane")]
    Foreign,
    /// It was made for others to read.
    #[error("the token is for audience {found:?}, not for `{AUDIENCE}`")]
    WrongAudience {
        /// The audiences named in it.
        found: Vec<String>,
    },
    /// Its time is over.
    #[error("the token expired {ago:?} ago; a fresh one is written to the same file")]
    Expired {
        /// For how long.
        ago: Duration,
    },
    /// Its time has not come.
    #[error("the token is not valid for another {wait:?}; compare the clocks")]
    NotYetValid {
        /// For how much longer.
        wait: Duration,
    },
}

impl TokenError {
    /// A stable word for metrics and logs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::Foreign => "foreign",
            Self::WrongAudience { .. } => "wrong-audience",
            Self::Expired { .. } => "expired",
            Self::NotYetValid { .. } => "not-yet-valid",
        }
    }
}

/// Verifies the tokens of one [`super::TokenIssuer`].
#[derive(Debug, Clone)]
pub struct TokenVerifier {
    public_key: UnparsedPublicKey<Vec<u8>>,
}

impl TokenVerifier {
    /// Verifies with an uncompressed P-256 point.
    pub(super) fn new(public_key: Vec<u8>) -> Self {
        Self { public_key: UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public_key) }
    }

    /// Says whom `token` speaks for at `now`. Clocks are compared to the second, without leeway:
    /// issuer and verifier are one process.
    ///
    /// # Errors
    /// One for each way in which a token can be refused; what the token claims is looked at only
    /// after its signature was found good.
    pub fn verify(&self, token: &str, now: SystemTime) -> Result<Caller, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::Malformed("it is longer than 16 KiB"));
        }
        let (message, signature) =
            token.rsplit_once('.').ok_or(TokenError::Malformed("it has no signature"))?;
        let (header, claims) = message
            .split_once('.')
            .filter(|(_, claims)| !claims.contains('.'))
            .ok_or(TokenError::Malformed("it does not have three parts"))?;
        let header: Header = decode_json(header)?;
        if header.alg != ALGORITHM {
            return Err(TokenError::Malformed("its algorithm is not ES256"));
        }
        if header.crit.is_some() {
            return Err(TokenError::Malformed("it demands extensions that are not known here"));
        }
        let signature = decode(signature)?;
        self.public_key.verify(message.as_bytes(), &signature).map_err(|_| TokenError::Foreign)?;
        judge(&decode_json(claims)?, seconds(now))
    }
}

fn judge(claims: &Claims, now: u64) -> Result<Caller, TokenError> {
    if claims.iss != LOCAL_ISSUER {
        return Err(TokenError::Foreign);
    }
    if !claims.aud.names().iter().any(|name| name == AUDIENCE) {
        return Err(TokenError::WrongAudience { found: claims.aud.names().to_vec() });
    }
    if now < claims.nbf {
        return Err(TokenError::NotYetValid { wait: Duration::from_secs(claims.nbf - now) });
    }
    if now >= claims.exp {
        return Err(TokenError::Expired { ago: Duration::from_secs(now - claims.exp) });
    }
    let (namespace, account) = service_account(&claims.sub)
        .ok_or(TokenError::Malformed("its subject is no service account"))?;
    Ok(Caller { namespace: namespace.to_owned(), service_account: account.to_owned() })
}

fn decode_json<T: DeserializeOwned>(part: &str) -> Result<T, TokenError> {
    serde_json::from_slice(&decode(part)?)
        .map_err(|_| TokenError::Malformed("a part is not the JSON of a token"))
}

fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed("a part is not base64url"))
}
