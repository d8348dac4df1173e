//! WorkloadGroup: a template for workloads that register themselves.

use std::collections::BTreeMap;

use crate::mesh_config::ReadinessProbe;
use crate::message::message;
use crate::networking::WorkloadEntry;

message! {
    /// What WorkloadEntries of workloads that register themselves look like.
    pub struct WorkloadGroup {
        /// What the entries' metadata gets.
        metadata: Option<WorkloadGroupMetadata>, pending;
        /// The entry, without an address.
        template: Option<WorkloadEntry>, pending, Required, Without("Address is required");
        /// How a workload's readiness is found out.
        probe: Option<ReadinessProbe>, pending;
    }

    /// What an entry's metadata gets.
    pub struct WorkloadGroupMetadata {
        /// Labels.
        labels: BTreeMap<String, String>, pending, MaxProperties(256);
        /// Annotations.
        annotations: BTreeMap<String, String>, pending, MaxProperties(256);
    }
}
