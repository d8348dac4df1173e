//! WorkloadEntry: a workload that is no pod; also the form of a ServiceEntry's endpoints.

use std::collections::BTreeMap;

use crate::message::message;

message! {
    /// A workload, or an endpoint of a ServiceEntry.
    pub struct WorkloadEntry [
        Holds("has(self.address) || has(self.network)", "Address is required"),
        Holds(
            "(has(self.address) && self.address.startsWith('unix://')) ? !has(self.ports) : true",
            "UDS may not have ports"
        ),
    ] {
        /// An IP address, a DNS name, or `unix://` and a path. May be empty where `network` is set.
        address: String, honoured, MaxLength(256),
            Holds(
                "self.startsWith('unix://') ? \
                 (self.substring(7).startsWith('/') || self.substring(7).startsWith('@')) : true",
                "UDS must be an absolute path or abstract socket"
            ),
            Holds("self.startsWith('unix://') ? !self.endsWith('/') : true", "UDS may not be a dir");
        /// The workload's ports by the names of the service's ports.
        ports: BTreeMap<String, u32>, honoured, MaxProperties(128), Each(&[Port]),
            Holds(
                "self.all(key, size(key) < 63 && \
                 key.matches('^[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?$'))",
                "port name must be valid"
            );
        /// Labels.
        labels: BTreeMap<String, String>, honoured, MaxProperties(256);
        /// The network that the address belongs to.
        network: String, pending, MaxLength(2048);
        /// `region/zone/subzone`.
        locality: String, inert, MaxLength(2048);
        /// The share of traffic relative to other endpoints; 0: 1.
        weight: u32, honoured;
        /// The service account, in the object's namespace.
        service_account: String, honoured, MaxLength(253);
    }

    /// Labels that select workloads of a namespace.
    pub struct WorkloadSelector {
        /// All of these labels; none: every workload.
        labels: BTreeMap<String, String>, honoured, MaxProperties(256),
            Each(&[
                MaxLength(63),
                Holds("!self.contains('*')", "wildcard is not supported in selector"),
            ]);
    }
}
