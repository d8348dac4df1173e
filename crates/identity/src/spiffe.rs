//! SPIFFE IDs as Istio writes them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

const SCHEME: &str = "spiffe://";
const NAMESPACE: &str = "/ns/";
const SERVICE_ACCOUNT: &str = "/sa/";

/// `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`: the identity of a workload.
///
/// One shared string with the places of its parts, so that a clone is cheap and the text is at hand.
/// Two identities are equal when their text is.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SpiffeId {
    uri: Arc<str>,
    /// Where the trust domain ends.
    domain_end: usize,
    /// Where the namespace ends.
    namespace_end: usize,
}

/// Why a text is no identity of a workload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSpiffeId {
    /// The text does not have the five parts of a workload's identity.
    #[error("`{0}` is not of the form spiffe://<trust domain>/ns/<namespace>/sa/<service account>")]
    Form(String),
    /// A part is empty or holds a character that a SPIFFE ID cannot carry.
    #[error("the {part} `{text}` of an identity may hold letters, digits, `.`, `-` and `_` only")]
    Part {
        /// Which part: `trust domain`, `namespace` or `service account`.
        part: &'static str,
        /// What stood there.
        text: String,
    },
}

impl SpiffeId {
    /// Builds an identity from its parts. An `@` in the trust domain becomes `.`, as in Istio.
    ///
    /// # Errors
    /// A part that is empty or holds a character outside letters, digits, `.`, `-`, `_`.
    pub fn new(
        trust_domain: &str,
        namespace: &str,
        service_account: &str,
    ) -> Result<Self, InvalidSpiffeId> {
        let trust_domain = trust_domain.replace('@', ".");
        check("trust domain", &trust_domain)?;
        check("namespace", namespace)?;
        check("service account", service_account)?;
        let uri = format!(
            "{SCHEME}{trust_domain}{NAMESPACE}{namespace}{SERVICE_ACCOUNT}{service_account}"
        );
        let domain_end = SCHEME.len() + trust_domain.len();
        let namespace_end = domain_end + NAMESPACE.len() + namespace.len();
        Ok(Self { uri: uri.into(), domain_end, namespace_end })
    }

    /// The whole URI.
    pub fn as_str(&self) -> &str {
        &self.uri
    }

    /// The trust domain, such as `cluster.local`.
    pub fn trust_domain(&self) -> &str {
        &self.uri[SCHEME.len()..self.domain_end]
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.uri[self.domain_end + NAMESPACE.len()..self.namespace_end]
    }

    /// The service account.
    pub fn service_account(&self) -> &str {
        &self.uri[self.namespace_end + SERVICE_ACCOUNT.len()..]
    }

    /// What Istio's policies call the principal: the URI without its scheme.
    pub fn principal(&self) -> &str {
        &self.uri[SCHEME.len()..]
    }

    /// The same workload in another trust domain; for trust domain aliases.
    ///
    /// # Errors
    /// A trust domain that cannot stand in an identity.
    pub fn in_trust_domain(&self, trust_domain: &str) -> Result<Self, InvalidSpiffeId> {
        Self::new(trust_domain, self.namespace(), self.service_account())
    }
}

impl FromStr for SpiffeId {
    type Err = InvalidSpiffeId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = || InvalidSpiffeId::Form(text.to_owned());
        let rest = text.strip_prefix(SCHEME).ok_or_else(form)?;
        let parts: Vec<&str> = rest.split('/').collect();
        let [trust_domain, "ns", namespace, "sa", service_account] = parts[..] else {
            return Err(form());
        };
        check("trust domain", trust_domain)?;
        Self::new(trust_domain, namespace, service_account)
    }
}

impl TryFrom<String> for SpiffeId {
    type Error = InvalidSpiffeId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SpiffeId> for String {
    fn from(id: SpiffeId) -> Self {
        id.uri.as_ref().to_owned()
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.uri)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.uri)
    }
}

/// The trust domain of any SPIFFE URI, of whatever path: what stands between scheme and first `/`.
pub(crate) fn trust_domain_of(uri: &str) -> Option<&str> {
    let (domain, path) = uri.strip_prefix(SCHEME)?.split_once('/')?;
    (!domain.is_empty() && !path.is_empty()).then_some(domain)
}

/// The SPIFFE specification's characters. Capitals are taken as they are, since Kubernetes' service
/// accounts and Istio's trust domains are compared byte for byte.
fn check(part: &'static str, text: &str) -> Result<(), InvalidSpiffeId> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if text.is_empty() || matches!(text, "." | "..") || !text.bytes().all(allowed) {
        return Err(InvalidSpiffeId::Part { part, text: text.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
