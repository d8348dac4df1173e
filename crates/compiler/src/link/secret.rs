//! `secret/<namespace>/<name>`: a certificate with its key, for gateways of its own namespace only.

use lateen_mesh::v1::{self, resource::Body};

use super::Linker;
use crate::client::Role;

impl Linker<'_> {
    /// A secret that is not there is there without content: a server that names it fails handshakes, and
    /// the others go on.
    pub(super) fn secret(&mut self, namespace: &str, name: &str) -> Option<Body> {
        if self.scope.role() != Role::Gateway || !self.scope.is_in(&namespace.into()) {
            return None;
        }
        let secret = self.query.secret(namespace, name).map(|secret| v1::Secret {
            certificate_chain: secret.certificate_chain.clone().into(),
            private_key: secret.private_key.clone().into(),
            ca_certificates: secret.ca_certificates.clone().into(),
        });
        Some(Body::Secret(secret.unwrap_or_default()))
    }
}
