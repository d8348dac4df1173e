//! Whom a proxy believes.

mod signatures;
mod verifier;

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::CertificateDer;

pub use verifier::{IdentityRefused, PeerVerifier, ServerIdentityVerifier};

use crate::{crypto_provider, spiffe};

/// The mesh's roots and trust domains, shared by every verifier and swapped while in use: a
/// handshake sees the old or the new ones, never a mixture.
///
/// A TLS session that is resumed is not verified again. Where what is swapped here shall count from
/// the next connection on, and where a session must not outlive its certificates, resumption has to
/// be switched off in the configuration (`Resumption::disabled`, `NoServerSessionStorage`, no
/// tickets).
#[derive(Debug)]
pub struct MeshTrust {
    current: ArcSwap<Snapshot>,
}

#[derive(Debug, Clone)]
struct Snapshot {
    roots: Arc<RootCertStore>,
    /// Verifies a client's chain against the same roots.
    client_chain: Arc<dyn ClientCertVerifier>,
    /// Empty: any trust domain.
    trust_domains: Arc<[String]>,
}

/// Why roots cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// Without a root every peer would be refused.
    #[error("there is no root certificate among what was given")]
    NoRoots,
    /// A root is not an X.509 certificate.
    #[error("root certificate {position} cannot be read: {reason}")]
    BadRoot {
        /// Which one, from 1.
        position: usize,
        /// What is wrong with it.
        reason: String,
    },
}

impl MeshTrust {
    /// Trusts chains that end in one of `roots` and whose SPIFFE ID lies in one of `trust_domains`
    /// (the mesh's own and its aliases; none at all means any).
    ///
    /// # Errors
    /// No root, or one that cannot be read.
    pub fn new(
        roots: &[CertificateDer<'_>],
        trust_domains: impl IntoIterator<Item = String>,
    ) -> Result<Arc<Self>, TrustError> {
        let trust_domains = trust_domains.into_iter().collect();
        let snapshot = Snapshot::new(roots, trust_domains)?;
        Ok(Arc::new(Self { current: ArcSwap::from_pointee(snapshot) }))
    }

    /// Replaces the roots.
    ///
    /// # Errors
    /// No root, or one that cannot be read; the former roots then stay.
    pub fn set_roots(&self, roots: &[CertificateDer<'_>]) -> Result<(), TrustError> {
        let replacement = Snapshot::new(roots, Arc::default())?;
        self.current.rcu(|current| Snapshot {
            trust_domains: current.trust_domains.clone(),
            ..replacement.clone()
        });
        Ok(())
    }

    /// Replaces the trust domains.
    pub fn set_trust_domains(&self, trust_domains: impl IntoIterator<Item = String>) {
        let trust_domains: Arc<[String]> = trust_domains.into_iter().collect();
        self.current.rcu(|current| Snapshot {
            trust_domains: trust_domains.clone(),
            ..Snapshot::clone(current)
        });
    }
}

impl Snapshot {
    fn new(roots: &[CertificateDer<'_>], trust_domains: Arc<[String]>) -> Result<Self, TrustError> {
        let mut store = RootCertStore::empty();
        for (index, root) in roots.iter().enumerate() {
            store.add(root.clone()).map_err(|error| TrustError::BadRoot {
                position: index + 1,
                reason: error.to_string(),
            })?;
        }
        let roots = Arc::new(store);
        let client_chain =
            WebPkiClientVerifier::builder_with_provider(roots.clone(), crypto_provider())
                .build()
                .map_err(|_| TrustError::NoRoots)?;
        Ok(Self { roots, client_chain, trust_domains })
    }

    /// Whether one of the URI names is a SPIFFE ID of a trusted domain. Only the domain counts, so
    /// that workloads of another SPIFFE issuer with paths of their own are let through to policy.
    fn trusts_one_of(&self, uris: &[String]) -> bool {
        uris.iter().filter_map(|uri| spiffe::trust_domain_of(uri)).any(|domain| {
            self.trust_domains.is_empty()
                || self.trust_domains.iter().any(|trusted| trusted == domain)
        })
    }
}

#[cfg(test)]
mod tests;
