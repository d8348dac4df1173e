//! ServiceEntry: a service that no Kubernetes Service describes.

use crate::message::{enumeration, message};
use crate::networking::{WorkloadEntry, WorkloadSelector};

message! {
    /// A service that no Kubernetes Service describes.
    pub struct ServiceEntry [
        Holds(
            "(has(self.workloadSelector) ? 1 : 0) + (has(self.endpoints) ? 1 : 0) <= 1",
            "only one of WorkloadSelector or Endpoints can be set"
        ),
        Holds(
            "!(has(self.addresses) && self.addresses.exists(it, it.contains('/')) && \
             has(self.resolution) && !(self.resolution in ['STATIC', 'NONE']))",
            "CIDR addresses are allowed only for NONE/STATIC resolution types"
        ),
        Holds(
            "(!has(self.resolution) || self.resolution == 'NONE') ? \
             (!has(self.endpoints) || self.endpoints.size() == 0) : true",
            "NONE mode cannot set endpoints"
        ),
        Holds(
            "(has(self.resolution) && self.resolution == 'DNS_ROUND_ROBIN') ? \
             (!has(self.endpoints) || self.endpoints.size() <= 1) : true",
            "DNS_ROUND_ROBIN mode cannot have multiple endpoints"
        ),
    ] {
        /// The hosts. A wildcard needs resolution NONE (or DYNAMIC_DNS).
        hosts: Vec<String>, honoured, Required, MinItems(1), MaxItems(256),
            Each(&[Holds("self != '*'", "hostname cannot be wildcard")]);
        /// Virtual addresses: IPs or CIDR blocks. Not looked at for HTTP ports.
        addresses: Vec<String>, honoured, MaxItems(256), Each(&[MaxLength(64)]);
        /// The ports.
        ports: Vec<ServicePort>, honoured, MaxItems(256), DistinctBy("name"),
            Holds(
                "self.all(a, self.exists_one(b, a.number == b.number))",
                "port number cannot be duplicated"
            );
        /// Whether the service is part of the mesh.
        location: Location, honoured;
        /// How endpoints are found.
        resolution: Resolution, honoured;
        /// The endpoints. Excludes `workloadSelector`.
        endpoints: Vec<WorkloadEntry>, honoured, MaxItems(4096);
        /// The WorkloadEntries and pods of this namespace that are the endpoints. Excludes
        /// `endpoints`.
        workload_selector: Option<WorkloadSelector>, honoured;
        /// The namespaces that see this object: `*`, `.`, `~` (none), or names. The default is
        /// MeshConfig's `defaultServiceExportTo`.
        export_to: Vec<String>, honoured;
        /// Names of which the server's certificate must have one.
        subject_alt_names: Vec<String>, honoured;
    }

    /// A port of a service.
    pub struct ServicePort {
        /// Its number.
        number: u32, honoured, Required, Port;
        /// HTTP, HTTPS, GRPC, HTTP2, MONGO, TCP or TLS; empty: found out from the traffic.
        protocol: String, honoured, MaxLength(256);
        /// Its name, unique in the object.
        name: String, honoured, Required, MaxLength(256);
        /// The endpoints' port. The default is `number`.
        target_port: u32, honoured, Port;
    }
}

enumeration! {
    /// Whether a service is part of the mesh.
    pub enum Location {
        /// It is not: no automatic mutual TLS.
        MeshExternal = 0 "MESH_EXTERNAL", honoured;
        /// It is.
        MeshInternal = 1 "MESH_INTERNAL", honoured;
    }

    /// How endpoints are found.
    pub enum Resolution {
        /// The address that the caller dialled.
        None = 0 "NONE", honoured;
        /// The addresses in the object.
        Static = 1 "STATIC", honoured;
        /// All addresses that DNS gives for the endpoints or hosts.
        Dns = 2 "DNS", honoured;
        /// The first address that DNS gives at the moment.
        DnsRoundRobin = 3 "DNS_ROUND_ROBIN", pending;
        /// What DNS gives for the host that the request names.
        DynamicDns = 4 "DYNAMIC_DNS", pending;
    }
}
