//! The mesh's settings, in parts that are asked for apart: what reads one does not depend on the others.

use std::sync::Arc;

use lateen_mesh::v1;

use super::Source;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mesh {
    /// The ConfigMap; none: defaults.
    pub source: Option<Source>,
    pub root_namespace: Arc<str>,
    pub exports: Exports,
    pub trust: Trust,
    pub traffic: Traffic,
    pub outbound_policy: v1::OutboundPolicy,
    pub protocol_detection_timeout_ms: u32,
    pub access_log: v1::AccessLog,
    pub path_normalization: v1::PathNormalization,
}

/// Who sees what says nothing about it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Exports {
    pub services: Vec<String>,
    pub routes: Vec<String>,
    pub rules: Vec<String>,
}

/// Under which names the mesh's identities go.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Trust {
    pub domain: String,
    pub aliases: Vec<String>,
}

/// How destinations are talked to where nothing is written for them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Traffic {
    pub connect_timeout_ms: u32,
    pub auto_mtls: bool,
    /// What applies where a rule says nothing; none: no retries.
    pub retries: Option<v1::RetryPolicy>,
    /// Where that stands; none: a default.
    pub retries_source: Option<Source>,
}

/// A part of the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum MeshPart {
    Whole,
    Root,
    Exports,
    Trust,
    Traffic,
}

impl Mesh {
    /// The parts that differ.
    pub fn differences(&self, other: &Mesh) -> impl Iterator<Item = MeshPart> {
        [
            (MeshPart::Whole, self != other),
            (MeshPart::Root, self.root_namespace != other.root_namespace),
            (MeshPart::Exports, self.exports != other.exports),
            (MeshPart::Trust, self.trust != other.trust),
            (MeshPart::Traffic, self.traffic != other.traffic),
        ]
        .into_iter()
        .filter_map(|(part, differs)| differs.then_some(part))
    }
}
