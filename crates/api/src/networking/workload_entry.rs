//! WorkloadEntry: a workload that is no pod; also the form of a ServiceEntry's endpoints.

use std::collections::BTreeMap;

use crate::message::message;

message! {
    /// A workload, or an endpoint of a ServiceEntry.
    pub struct WorkloadEntry {
        /// An IP address, a DNS name, or `unix://` and a path. May be empty where `network` is set.
        address: String, honoured;
        /// The workload's ports by the names of the service's ports.
        ports: BTreeMap<String, u32>, honoured;
        /// Labels.
        labels: BTreeMap<String, String>, honoured;
        /// The network that the address belongs to.
        network: String, pending;
        /// `region/zone/subzone`.
        locality: String, inert;
        /// The share of traffic relative to other endpoints; 0: 1.
        weight: u32, honoured;
        /// The service account, in the object's namespace.
        service_account: String, honoured;
    }

    /// Labels that select workloads of a namespace.
    pub struct WorkloadSelector {
        /// All of these labels; none: every workload.
        labels: BTreeMap<String, String>, honoured;
    }
}
