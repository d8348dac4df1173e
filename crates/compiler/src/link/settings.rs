//! `settings`: what holds for everything in a scope.

use lateen_mesh::v1::{self, resource::Body};

use super::Linker;

impl Linker<'_> {
    pub(super) fn settings(&mut self) -> Body {
        let mesh = self.query.mesh();
        let sidecar = self.scope.sidecar();
        let chosen = sidecar.and_then(|sidecar| Some((sidecar, sidecar.outbound_policy?)));
        let (policy, origin) = match chosen {
            Some((sidecar, policy)) => {
                (policy, self.provenance.origin(&sidecar.source, "spec.outboundTrafficPolicy"))
            }
            None => {
                let field = "data.mesh.outboundTrafficPolicy";
                (mesh.outbound_policy, self.provenance.origin_of(mesh.source.as_ref(), field))
            }
        };
        Body::Settings(v1::Settings {
            trust_domain: mesh.trust.domain.clone(),
            trust_domain_aliases: mesh.trust.aliases.clone(),
            cluster_domain: self.query.options.cluster_domain.clone(),
            root_namespace: mesh.root_namespace.to_string(),
            cluster_id: self.query.options.cluster_id.clone(),
            namespace: self.scope.namespace().to_string(),
            outbound_policy: policy.into(),
            outbound_policy_origin: origin,
            protocol_detection_timeout_ms: mesh.protocol_detection_timeout_ms,
            access_log: Some(mesh.access_log.clone()),
            connect_timeout_ms: mesh.traffic.connect_timeout_ms,
            merge_slashes: matches!(
                mesh.path_normalization,
                v1::PathNormalization::MergeSlashes | v1::PathNormalization::DecodeAndMergeSlashes
            ),
            path_normalization: mesh.path_normalization.into(),
            ca_certificates: Vec::new(),
        })
    }
}
