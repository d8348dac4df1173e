//! Certificates of gateways.

use envoy_types::pb::envoy::config::core::v3::{DataSource, data_source};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, Secret, TlsCertificate, secret,
};
use lateen_mesh::name::Name;
use lateen_mesh::v1;

use crate::lowering::{Context, Output};
use crate::{Kind, names};

const ROOTS_SUFFIX: &str = "-cacert";

/// The secrets of `secret/<namespace>/<name>`: the certificate under
/// `kubernetes://<namespace>/<name>`, the clients' roots under the same with `-cacert`.
///
/// What has roots and no certificate is such a secret itself (`<name>-cacert`): its roots stand
/// under its own name.
///
/// Of roots beside a certificate and those in a secret of their own, the latter count, as Istio has
/// it.
pub(crate) fn lower(
    context: &Context<'_>,
    namespace: &str,
    name: &str,
    secret: &v1::Secret,
    out: &mut Output,
) {
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
    let of_its_own = Name::Secret { namespace: namespace.to_owned(), name: roots_of(name) };
    let elsewhere = has_pair && context.model.secret(&of_its_own).is_some();
    if !secret.ca_certificates.is_empty() && !elsewhere {
        let roots = CertificateValidationContext {
            trusted_ca: Some(inline(&secret.ca_certificates)),
            ..CertificateValidationContext::default()
        };
        let name = if has_pair { names::ca_secret(namespace, name) } else { own };
        put(name, secret::Type::ValidationContext(roots), out);
    }
}

/// The name of the secret with the roots that belong to a certificate.
pub(crate) fn roots_of(name: &str) -> String {
    format!("{name}{ROOTS_SUFFIX}")
}

/// The name of the certificate that a secret with roots belongs to.
pub(crate) fn certificate_of(name: &str) -> Option<&str> {
    name.strip_suffix(ROOTS_SUFFIX)
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Capture, Lowering, Part, Placement, Pool, Role};

    /// The roots that each secret ends up with.
    fn roots(lowering: &Lowering) -> Vec<(String, Vec<u8>)> {
        let secrets = lowering.resources(Kind::Secret).filter_map(|resource| {
            let secret = <Secret as prost::Message>::decode(resource.body.clone()).unwrap();
            match secret.r#type? {
                secret::Type::ValidationContext(context) => {
                    let source = context.trusted_ca?.specifier?;
                    let data_source::Specifier::InlineBytes(pem) = source else { return None };
                    Some((secret.name, pem))
                }
                _ => None,
            }
        });
        secrets.collect()
    }

    #[test]
    fn roots_of_their_own_stand_in_for_those_beside_the_certificate() {
        let mut lowering = Lowering::new(Placement {
            role: Role::Gateway,
            part: Part::Scope,
            capture: Capture::Redirect,
            ipv6: false,
            agent: false,
            telemetry: false,
        });
        let mut pool = Pool::default();
        let mut apply = |name: &str, secret: Option<v1::Secret>| {
            let id = Name::Secret { namespace: "edge".to_owned(), name: name.to_owned() };
            let resource = secret.map(|secret| {
                Arc::new(v1::Resource {
                    objects: Vec::new(),
                    body: Some(v1::resource::Body::Secret(secret)),
                })
            });
            lowering.apply(&mut pool, [(id, resource)]);
            roots(&lowering)
        };
        let pair = |key: &'static [u8]| v1::Secret {
            certificate_chain: b"chain"[..].into(),
            private_key: key.into(),
            ca_certificates: b"beside"[..].into(),
        };
        let own = v1::Secret { ca_certificates: b"own"[..].into(), ..v1::Secret::default() };
        let found = |pem: &[u8]| vec![("kubernetes://edge/web-cacert".to_owned(), pem.to_vec())];
        assert_eq!(apply("web", Some(pair(b"key"))), found(b"beside"));
        assert_eq!(apply("web-cacert", Some(own)), found(b"own"));
        assert_eq!(apply("web", Some(pair(b"another"))), found(b"own"));
        assert_eq!(apply("web-cacert", None), found(b"beside"));
    }
}
