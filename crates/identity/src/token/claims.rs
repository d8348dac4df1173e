//! The two JSON halves of a token.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

pub(super) const ALGORITHM: &str = "ES256";
const SUBJECT_PREFIX: &str = "system:serviceaccount:";

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) alg: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) typ: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) kid: Option<String>,
    /// Extensions that a verifier must understand (RFC 7515, section 4.1.11); we understand none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) crit: Option<serde_json::Value>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) sub: String,
    pub(super) aud: Audience,
    /// Seconds since 1970, as are the next two.
    pub(super) exp: u64,
    #[serde(default)]
    pub(super) nbf: u64,
    #[serde(default)]
    pub(super) iat: u64,
    #[serde(default)]
    pub(super) jti: String,
}

/// One audience or several, as RFC 7519 allows.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Audience {
    Many(Vec<String>),
    One(String),
}

impl Audience {
    pub(super) fn names(&self) -> &[String] {
        match self {
            Self::Many(names) => names,
            Self::One(name) => std::slice::from_ref(name),
        }
    }
}

/// The subject of a service account's token.
pub(super) fn subject(namespace: &str, service_account: &str) -> String {
    format!("{SUBJECT_PREFIX}{namespace}:{service_account}")
}

/// Namespace and service account of a subject.
pub(super) fn service_account(subject: &str) -> Option<(&str, &str)> {
    let (namespace, account) = subject.strip_prefix(SUBJECT_PREFIX)?.split_once(':')?;
    let complete = !namespace.is_empty() && !account.is_empty() && !account.contains(':');
    complete.then_some((namespace, account))
}

/// Seconds since 1970; before that counts as 1970.
pub(super) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}
