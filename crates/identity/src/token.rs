//! Local mode's tokens: JWTs that the control plane signs for each service account and verifies
//! when a workload asks for its certificate.
//!
//! They carry the claims that a Kubernetes service account token carries, as far as the mesh reads
//! them, so that the rest of the code does not know the difference. One algorithm is spoken, ES256;
//! what names another is refused before anything else is looked at.

mod claims;
mod issuer;
mod verifier;

pub use issuer::{TokenIssuer, TokenKeyError};
pub use verifier::{Caller, TokenError, TokenVerifier};

/// The audience that Istio's workloads ask for.
pub const AUDIENCE: &str = "istio-ca";

/// The issuer named in local mode's tokens.
pub const LOCAL_ISSUER: &str = "lateen-local";

#[cfg(test)]
mod tests;
