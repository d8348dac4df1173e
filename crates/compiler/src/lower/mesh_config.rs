//! The mesh's settings.

use std::sync::Arc;

use lateen_api::mesh_config::{AccessLogEncoding, MeshConfig, PathNormalization};
use lateen_mesh::v1::{self, access_log::Encoding};

use super::sidecar::outbound_policy;
use super::virtual_service::{default_policy, retries};
use super::{Fact, Lowering, millis_u32};
use crate::node::{Exports, Mesh, Retries, Source, Traffic, Trust};
use crate::options::Options;

impl Lowering<'_> {
    /// Only the root namespace's settings count.
    pub(super) fn mesh_config(&mut self, config: &MeshConfig) -> Vec<Fact> {
        if self.object.meta.namespace != self.options.root_namespace {
            return Vec::new();
        }
        vec![Fact::Mesh(Arc::new(mesh(self.options, config, Some(self.source()))))]
    }
}

/// The settings where there is no ConfigMap.
pub(crate) fn default_mesh(options: &Options) -> Mesh {
    mesh(options, &MeshConfig::with_defaults(), None)
}

fn mesh(options: &Options, config: &MeshConfig, source: Option<Source>) -> Mesh {
    let origin = source
        .as_ref()
        .map(|_| v1::Origin { object: 1, field: "data.mesh.defaultHttpRetryPolicy".to_owned() });
    let retries = match retries(config.default_http_retry_policy.as_ref(), origin.as_ref()) {
        Retries::Default => Some(default_policy()),
        Retries::Off => None,
        Retries::Policy(policy) => Some(policy),
    };
    let root = if config.root_namespace.is_empty() {
        &options.root_namespace
    } else {
        &config.root_namespace
    };
    Mesh {
        root_namespace: root.as_str().into(),
        exports: Exports {
            services: config.default_service_export_to.clone(),
            routes: config.default_virtual_service_export_to.clone(),
            rules: config.default_destination_rule_export_to.clone(),
        },
        trust: Trust {
            domain: config.trust_domain.clone(),
            aliases: config.trust_domain_aliases.clone(),
        },
        traffic: Traffic {
            connect_timeout_ms: millis_u32(config.connect_timeout),
            auto_mtls: config.auto_mtls(),
            retries_source: source
                .clone()
                .filter(|_| retries.as_ref().is_some_and(|policy| policy.origin.is_some())),
            retries,
        },
        outbound_policy: outbound_policy(config.outbound_mode()),
        protocol_detection_timeout_ms: millis_u32(config.protocol_detection_timeout),
        access_log: v1::AccessLog {
            file: config.access_log_file.clone(),
            encoding: match config.access_log_encoding {
                AccessLogEncoding::Text => Encoding::Text,
                AccessLogEncoding::Json => Encoding::Json,
            }
            .into(),
            format: config.access_log_format.clone(),
        },
        path_normalization: path_normalization(config),
        source,
    }
}

fn path_normalization(config: &MeshConfig) -> v1::PathNormalization {
    let chosen = config.path_normalization.as_ref().map(|settings| settings.normalization);
    match chosen.unwrap_or_default() {
        PathNormalization::Default | PathNormalization::Base => v1::PathNormalization::Base,
        PathNormalization::None => v1::PathNormalization::None,
        PathNormalization::MergeSlashes => v1::PathNormalization::MergeSlashes,
        PathNormalization::DecodeAndMergeSlashes => v1::PathNormalization::DecodeAndMergeSlashes,
    }
}
