//! The one cryptographic provider, and the versions of TLS that the mesh speaks.

use std::sync::{Arc, LazyLock};

use rustls::crypto::CryptoProvider;

/// TLS 1.3 preferred, TLS 1.2 the floor, as Istio's meshes speak it.
pub static PROTOCOL_VERSIONS: &[&rustls::SupportedProtocolVersion] =
    &[&rustls::version::TLS13, &rustls::version::TLS12];

/// aws-lc-rs with rustls' default suites: AEAD with forward secrecy only.
///
/// Istio's server also lists two TLS 1.2 suites without forward secrecy; rustls has none of these,
/// and no peer of a mesh needs them.
pub fn crypto_provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    PROVIDER.clone()
}
