//! DestinationRules.

use std::sync::Arc;

use lateen_mesh::v1;

use super::{ExportTo, Labels, Source};
use crate::scope::Selector;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rule {
    pub source: Source,
    pub namespace: Arc<str>,
    /// Expanded, in lower case; may be a wildcard.
    pub host: Arc<str>,
    pub export_to: ExportTo,
    /// Only for clients that it selects.
    pub selector: Option<Selector>,
    pub policy: Option<Arc<TrafficPolicy>>,
    pub subsets: Vec<Subset>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Subset {
    pub name: Arc<str>,
    pub labels: Labels,
    pub policy: Option<Arc<TrafficPolicy>>,
    pub field: String,
}

/// A traffic policy: blocks for all ports, and for single ports blocks that replace them all.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct TrafficPolicy {
    pub blocks: Blocks,
    pub ports: Vec<(u16, Blocks)>,
}

/// The parts that overlay each other as wholes.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Blocks {
    pub load_balancing: Option<LoadBalancing>,
    /// `connectionPool`: milliseconds of its connect timeout, where it names one.
    pub connection_pool: Option<Option<u32>>,
    pub tls: Option<v1::UpstreamTls>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LoadBalancing {
    pub policy: v1::load_balancing::Policy,
    /// Dial what the client dialled.
    pub passthrough: bool,
    pub field: String,
}
