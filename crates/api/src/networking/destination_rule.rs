//! DestinationRule: how a destination is talked to.

use std::collections::BTreeMap;

use crate::message::message;
use crate::networking::{TrafficPolicy, WorkloadSelector};

message! {
    /// How clients talk to a host once routing has chosen it.
    pub struct DestinationRule {
        /// The host; a short name is expanded with this object's namespace.
        host: String, honoured, Required;
        /// For all of the host.
        traffic_policy: Option<TrafficPolicy>, honoured;
        /// Parts of the host by labels of endpoints.
        subsets: Vec<Subset>, honoured;
        /// The namespaces that see this object: `*`, `.`, or names. The default is MeshConfig's
        /// `defaultDestinationRuleExportTo`.
        export_to: Vec<String>, honoured;
        /// The client workloads that this applies to, in this namespace. The default is all.
        workload_selector: Option<WorkloadSelector>, pending;
    }

    /// Some of a host's endpoints under a name.
    pub struct Subset {
        /// The name.
        name: String, honoured, Required;
        /// The labels that an endpoint must have.
        labels: BTreeMap<String, String>, honoured;
        /// Overlays the rule's policy, block by block.
        traffic_policy: Option<TrafficPolicy>, honoured;
    }
}
