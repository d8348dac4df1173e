//! Who a workload is, and how it proves it.
//!
//! An identity is a SPIFFE ID, `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`
//! ([`SpiffeId`]). It travels in the certificate that a workload presents in mutual TLS. This crate
//! holds both ends of that and the pieces between them, and knows nothing of sockets or runtimes:
//!
//! * [`authority`]: the certificate authority of the control plane. It signs a request for the
//!   identity of the authenticated *caller*; what the request itself asks for is never read.
//! * [`token`]: the tokens by which a workload authenticates when it has no certificate yet, as the
//!   control plane signs and verifies them in local mode.
//! * [`workload`]: the side of the proxy: a key and a request, the certificate made from the
//!   answer, when to renew it, and the handle from which rustls takes it.
//! * [`trust`]: whom a proxy believes: the roots and trust domains, swapped while in use, and the
//!   rustls verifiers over them.
//! * [`peer`]: what is read out of a peer's certificate: identity, names, subject, hash.
//! * [`private_file`]: files that only their owner may read.
//!
//! Time comes in by argument, or through rustls' own clock. Keys, serial numbers and token names
//! come from the operating system's random source by way of aws-lc-rs, the only cryptographic
//! provider.

pub mod authority;
pub mod peer;
pub mod private_file;
pub mod token;
pub mod trust;
pub mod workload;

#[cfg(test)]
mod openssl;
mod provider;
mod spiffe;

pub use authority::{AuthoritySettings, CertificateAuthority, IssuedChain, SignError};
pub use peer::{PeerCertificate, peer_identity};
pub use provider::{PROTOCOL_VERSIONS, crypto_provider};
pub use spiffe::{InvalidSpiffeId, SpiffeId};
pub use token::{Caller, TokenError, TokenIssuer, TokenVerifier};
pub use trust::{MeshTrust, PeerVerifier, ServerIdentityVerifier};
pub use workload::{CertificateHandle, KeyAndCsr, WorkloadCertificate};
