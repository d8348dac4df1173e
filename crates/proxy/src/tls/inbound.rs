//! The server's side of the mesh's mutual TLS.

use std::sync::Arc;

use lateen_engine::upstream::alpn;
use lateen_identity::{
    CertificateHandle, MeshTrust, PROTOCOL_VERSIONS, PeerVerifier, crypto_provider,
};
use rustls::ServerConfig;
use rustls::server::NoServerSessionStorage;

/// The configurations of a workload's inbound side: one for each protocol that can be agreed on.
///
/// A server whose ALPN list shares nothing with the client's must refuse the connection in rustls;
/// Istio's peers expect it to go on without a protocol, as BoringSSL does. So the engine chooses the
/// protocol from what the client offered, and the configuration names only that one.
#[derive(Debug)]
pub struct MeshServer {
    none: Arc<ServerConfig>,
    agreed: [(&'static [u8], Arc<ServerConfig>); 3],
}

/// Everything that the engine may choose.
const AGREED: [&[u8]; 3] = [alpn::NATIVE, alpn::H2, alpn::HTTP11];

impl MeshServer {
    /// A client certificate is always required: plain text and foreign TLS are told apart before
    /// the handshake, by the engine's decision.
    ///
    /// # Errors
    /// When the provider lacks what the versions need.
    pub fn new(
        certificate: &Arc<CertificateHandle>,
        trust: &Arc<MeshTrust>,
    ) -> Result<Self, rustls::Error> {
        let build = |protocol: Option<&[u8]>| -> Result<Arc<ServerConfig>, rustls::Error> {
            let mut config = ServerConfig::builder_with_provider(crypto_provider())
                .with_protocol_versions(PROTOCOL_VERSIONS)?
                .with_client_cert_verifier(PeerVerifier::required(Arc::clone(trust)))
                .with_cert_resolver(Arc::<CertificateHandle>::clone(certificate));
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
            config.alpn_protocols = protocol.into_iter().map(<[u8]>::to_vec).collect();
            Ok(Arc::new(config))
        };
        Ok(Self {
            none: build(None)?,
            agreed: [
                (AGREED[0], build(Some(AGREED[0]))?),
                (AGREED[1], build(Some(AGREED[1]))?),
                (AGREED[2], build(Some(AGREED[2]))?),
            ],
        })
    }

    /// The configuration that answers with `protocol`.
    #[must_use]
    pub fn config(&self, protocol: Option<&[u8]>) -> Arc<ServerConfig> {
        let config = protocol
            .and_then(|protocol| self.agreed.iter().find(|(name, _)| *name == protocol))
            .map_or(&self.none, |(_, config)| config);
        Arc::clone(config)
    }
}
