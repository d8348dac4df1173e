//! PeerAuthentication: which encryption a workload demands from its callers.

use std::collections::BTreeMap;

use crate::message::{enumeration, message};

message! {
    /// Which encryption workloads demand from their callers.
    pub struct PeerAuthentication {
        /// The workloads, in this namespace. The default is all; in the root namespace, all of the
        /// mesh.
        selector: Option<LabelSelector>, honoured;
        /// For all ports.
        mtls: Option<MutualTls>, honoured;
        /// For single ports of the workload, not of its services. Needs a selector.
        port_level_mtls: BTreeMap<u32, MutualTls>, honoured;
    }

    /// Whether mutual TLS is demanded.
    pub struct MutualTls {
        /// Whether.
        mode: MutualTlsMode, honoured;
    }

    /// Labels that select workloads of a namespace.
    pub struct LabelSelector {
        /// All of these labels; none: every workload.
        match_labels: BTreeMap<String, String>, honoured;
    }
}

enumeration! {
    /// Whether mutual TLS is demanded.
    pub enum MutualTlsMode {
        /// As the level above says; at the top, PERMISSIVE.
        Unset = 0 "UNSET", honoured;
        /// Plain text only.
        Disable = 1 "DISABLE", honoured;
        /// Both.
        Permissive = 2 "PERMISSIVE", honoured;
        /// Mutual TLS only.
        Strict = 3 "STRICT", honoured;
    }
}
