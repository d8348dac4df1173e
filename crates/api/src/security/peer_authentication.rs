//! PeerAuthentication: which encryption a workload demands from its callers.

use std::collections::BTreeMap;

use crate::message::{enumeration, message};

message! {
    /// Which encryption workloads demand from their callers.
    pub struct PeerAuthentication [
        Holds(
            "has(self.portLevelMtls) ? (has(self.selector) && has(self.selector.matchLabels) && \
             self.selector.matchLabels.size() > 0) : true",
            "portLevelMtls requires selector"
        ),
    ] {
        /// The workloads, in this namespace. The default is all; in the root namespace, all of the
        /// mesh.
        selector: Option<LabelSelector>, honoured;
        /// For all ports.
        mtls: Option<MutualTls>, honoured;
        /// For single ports of the workload, not of its services. Needs a selector.
        port_level_mtls: BTreeMap<u32, MutualTls>, honoured, MinProperties(1), MaxProperties(65535),
            Holds(
                "self.all(key, 0 < int(key) && int(key) <= 65535)",
                "port must be between 1-65535"
            );
    }

    /// Whether mutual TLS is demanded.
    pub struct MutualTls {
        /// Whether.
        mode: MutualTlsMode, honoured;
    }

    /// Labels that select workloads of a namespace.
    pub struct LabelSelector {
        /// All of these labels; none: every workload.
        match_labels: BTreeMap<String, String>, honoured, MaxProperties(4096),
            Holds("self.all(key, !key.contains('*'))", "wildcard not allowed in label key match"),
            Holds("self.all(key, key.size() != 0)", "key must not be empty"),
            Each(&[
                MaxLength(63),
                Holds("!self.contains('*')", "wildcard not allowed in label value match"),
            ]);
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
