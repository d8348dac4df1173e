//! Certificates of gateways.

use envoy_types::pb::envoy::config::core::v3::{DataSource, data_source};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, Secret, TlsCertificate, secret,
};
use lateen_mesh::v1;

use crate::lowering::Output;
use crate::{Kind, names};

/// The secrets of `secret/<namespace>/<name>`: the certificate under
/// `kubernetes://<namespace>/<name>`, the clients' roots under the same with `-cacert`.
///
/// What has roots and no certificate is such a secret itself (`<name>-cacert`): its roots stand
/// under its own name.
pub(crate) fn lower(namespace: &str, name: &str, secret: &v1::Secret, out: &mut Output) {
    let own = names::secret(namespace, name);
    let has_pair = !secret.certificate_chain.is_empty() && !secret.private_key.is_empty();
    if has_pair {
        let pair = TlsCertificate {
            certificate_chain: Some(inline(&secret.certificate_chain)),
            private_key: Some(inline(&secret.private_key)),
            ..TlsCertificate::default()
        };
        put(own.clone(), secret::Type::TlsCertificate(pair), out);
    }
    if !secret.ca_certificates.is_empty() {
        let roots = CertificateValidationContext {
            trusted_ca: Some(inline(&secret.ca_certificates)),
            ..CertificateValidationContext::default()
        };
        let name = if has_pair { names::ca_secret(namespace, name) } else { own };
        put(name, secret::Type::ValidationContext(roots), out);
    }
}

fn put(name: String, content: secret::Type, out: &mut Output) {
    let message = Secret { name: name.clone(), r#type: Some(content) };
    out.put(Kind::Secret, name, &message);
}

fn inline(pem: &[u8]) -> DataSource {
    DataSource {
        specifier: Some(data_source::Specifier::InlineBytes(pem.to_vec())),
        ..DataSource::default()
    }
}
