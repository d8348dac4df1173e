//! Secrets with certificates, in the layouts that Istio's gateways read.

use std::sync::Arc;

use lateen_api::kubernetes;

use super::{Fact, Lowering};
use crate::node::Secret;

impl Lowering<'_> {
    pub(super) fn secret(&mut self, secret: &kubernetes::Secret) -> Vec<Fact> {
        let read = |keys: [&str; 2]| {
            let found = keys.iter().find_map(|key| secret.bytes(key));
            found.map(<[u8]>::to_vec).unwrap_or_default()
        };
        let certificate_chain = read(["tls.crt", "cert"]);
        let private_key = read(["tls.key", "key"]);
        let ca_certificates = read(["ca.crt", "cacert"]);
        if certificate_chain.is_empty() && private_key.is_empty() && ca_certificates.is_empty() {
            return Vec::new();
        }
        let node =
            Secret { source: self.source(), certificate_chain, private_key, ca_certificates };
        vec![Fact::Secret((self.namespace(), self.name()), Arc::new(node))]
    }
}
