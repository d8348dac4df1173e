//! ServiceEntry: a service that no Kubernetes Service describes.

use crate::message::{enumeration, message};
use crate::networking::{WorkloadEntry, WorkloadSelector};

message! {
    /// A service that no Kubernetes Service describes.
    pub struct ServiceEntry {
        /// The hosts. A wildcard needs resolution NONE (or DYNAMIC_DNS).
        hosts: Vec<String>, honoured;
        /// Virtual addresses: IPs or CIDR blocks. Not looked at for HTTP ports.
        addresses: Vec<String>, honoured;
        /// The ports.
        ports: Vec<ServicePort>, honoured;
        /// Whether the service is part of the mesh.
        location: Location, honoured;
        /// How endpoints are found.
        resolution: Resolution, honoured;
        /// The endpoints. Excludes `workloadSelector`.
        endpoints: Vec<WorkloadEntry>, honoured;
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
        number: u32, honoured;
        /// HTTP, HTTPS, GRPC, HTTP2, MONGO, TCP or TLS; empty: found out from the traffic.
        protocol: String, honoured;
        /// Its name, unique in the object.
        name: String, honoured;
        /// The endpoints' port. The default is `number`.
        target_port: u32, honoured;
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
