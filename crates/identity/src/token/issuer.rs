//! Signing.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;

use super::claims::{ALGORITHM, Audience, Claims, Header, seconds, subject};
use super::{AUDIENCE, LOCAL_ISSUER, TokenVerifier};
use crate::peer::hexadecimal;
use crate::private_file::{self, FileError};

const KEY_FILE: &str = "token-key.pem";

/// Signs tokens for service accounts with a key of its own.
pub struct TokenIssuer {
    key: EcdsaKeyPair,
    key_id: String,
}

/// Why there is no key to sign tokens with.
#[derive(Debug, thiserror::Error)]
pub enum TokenKeyError {
    /// The key's file cannot be read or written, or others can read it.
    #[error(transparent)]
    File(#[from] FileError),
    /// The key's file holds something else.
    #[error("{path} holds no ECDSA P-256 key in PKCS #8: {reason}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The cryptographic library failed.
    #[error("the cryptographic library cannot {0}")]
    Cryptography(&'static str),
}

impl TokenIssuer {
    /// Uses the key in `token-key.pem` of the state folder, which is made at the first start.
    ///
    /// # Errors
    /// The file cannot be read or written, others can read it, or it holds something else.
    pub fn load_or_create(state_dir: &Path) -> Result<Self, TokenKeyError> {
        let path = state_dir.join(KEY_FILE);
        let pem = match private_file::read_private(&path) {
            Err(error) if error.is_missing() => {
                private_file::create_private_dir(state_dir)?;
                private_file::create_private(&path, new_key()?.as_bytes())?;
                private_file::read_private(&path)?
            }
            read => read?,
        };
        let malformed = |reason: String| TokenKeyError::Malformed { path: path.clone(), reason };
        let der = PrivatePkcs8KeyDer::from_pem_slice(&pem)
            .map_err(|error| malformed(error.to_string()))?;
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_pkcs8_der())
                .map_err(|error| malformed(error.to_string()))?;
        let digest =
            aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.public_key().as_ref());
        let key_id = hexadecimal(&digest.as_ref()[..8]);
        Ok(Self { key, key_id })
    }

    /// A token for a service account, valid from `now` for `lifetime` (whole seconds).
    ///
    /// # Errors
    /// The cryptographic library fails.
    pub fn issue(
        &self,
        namespace: &str,
        service_account: &str,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<String, TokenKeyError> {
        let mut name = [0; 16];
        SystemRandom::new()
            .fill(&mut name)
            .map_err(|_| TokenKeyError::Cryptography("make random numbers"))?;
        let issued = seconds(now);
        self.sign(&Claims {
            iss: LOCAL_ISSUER.to_owned(),
            sub: subject(namespace, service_account),
            aud: Audience::Many(vec![AUDIENCE.to_owned()]),
            exp: issued.saturating_add(lifetime.as_secs()),
            nbf: issued,
            iat: issued,
            jti: hexadecimal(&name),
        })
    }

    /// The verifier of this issuer's tokens.
    pub fn verifier(&self) -> TokenVerifier {
        TokenVerifier::new(self.key.public_key().as_ref().to_vec())
    }

    pub(super) fn sign(&self, claims: &Claims) -> Result<String, TokenKeyError> {
        let header = Header {
            alg: ALGORITHM.to_owned(),
            typ: Some("JWT".to_owned()),
            kid: Some(self.key_id.clone()),
            crit: None,
        };
        let message = format!("{}.{}", encode_json(&header), encode_json(claims));
        let signature = self
            .key
            .sign(&SystemRandom::new(), message.as_bytes())
            .map_err(|_| TokenKeyError::Cryptography("sign a token"))?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl std::fmt::Debug for TokenIssuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenIssuer").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

fn new_key() -> Result<String, TokenKeyError> {
    let key = rcgen::KeyPair::generate()
        .map_err(|_| TokenKeyError::Cryptography("generate an ECDSA key"))?;
    Ok(key.serialize_pem())
}

fn encode_json(value: &impl serde::Serialize) -> String {
    let json = serde_json::to_vec(value).expect("strings and numbers always become JSON");
    URL_SAFE_NO_PAD.encode(json)
}
