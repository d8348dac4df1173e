//! Sidecar: what a workload's sidecar needs to know.

use crate::message::{enumeration, message};
use crate::networking::{ConnectionPoolSettings, Destination, ServerTlsSettings, WorkloadSelector};

message! {
    /// What a workload's sidecar takes in, and which services it knows.
    pub struct Sidecar {
        /// The workloads, in this namespace. The default is all; in the root namespace, all of the
        /// mesh.
        workload_selector: Option<WorkloadSelector>, honoured;
        /// Ports that the sidecar takes, instead of those that services name.
        ingress: Vec<IstioIngressListener>, pending;
        /// Services that the workload calls.
        egress: Vec<IstioEgressListener>, honoured;
        /// Limits of connections to the workload itself.
        inbound_connection_pool: Option<ConnectionPoolSettings>, pending;
        /// What becomes of traffic to unknown destinations. The default is MeshConfig's.
        outbound_traffic_policy: Option<OutboundTrafficPolicy>, honoured;
    }

    /// A port that a sidecar takes.
    pub struct IstioIngressListener {
        /// The port.
        port: Option<SidecarPort>, pending, Required;
        /// The address to listen on.
        bind: String, pending;
        /// How traffic gets to the listener.
        capture_mode: CaptureMode, pending;
        /// Where traffic goes: `127.0.0.1:PORT`, `0.0.0.0:PORT` (the workload's address) or
        /// `unix://PATH`.
        default_endpoint: String, pending;
        /// TLS of the user's own.
        tls: Option<ServerTlsSettings>, pending;
        /// Limits of connections.
        connection_pool: Option<ConnectionPoolSettings>, pending;
    }

    /// Services that a workload calls.
    pub struct IstioEgressListener {
        /// The port; only the last listener may leave it out.
        port: Option<SidecarPort>, honoured;
        /// The address to listen on.
        bind: String, pending;
        /// How traffic gets to the listener.
        capture_mode: CaptureMode, pending;
        /// The services, `namespace/dnsName`; `~namespace/dnsName` takes away again.
        hosts: Vec<String>, honoured, Required;
    }

    /// A port of a listener of a sidecar.
    pub struct SidecarPort {
        /// Its number.
        number: u32, honoured;
        /// HTTP, HTTPS, GRPC, HTTP2, MONGO, TCP or TLS. Services keep what they declare themselves.
        protocol: String, inert;
        /// Its name.
        name: String, inert;
        /// Superseded, and without any meaning.
        target_port: u32, inert;
    }

    /// What becomes of traffic to unknown destinations.
    pub struct OutboundTrafficPolicy {
        /// Whether it may pass.
        mode: OutboundTrafficPolicyMode, honoured;
        /// Where it goes instead.
        egress_proxy: Option<Destination>, pending;
    }
}

enumeration! {
    /// How traffic gets to a listener.
    pub enum CaptureMode {
        /// As the workload is set up.
        Default = 0 "DEFAULT", pending;
        /// By redirection in the kernel.
        Iptables = 1 "IPTABLES", pending;
        /// The application dials the listener itself.
        None = 2 "NONE", pending;
    }

    /// Whether traffic to unknown destinations may pass.
    pub enum OutboundTrafficPolicyMode {
        /// Only known destinations.
        RegistryOnly = 0 "REGISTRY_ONLY", honoured;
        /// Any.
        AllowAny = 1 "ALLOW_ANY", honoured;
        /// Any; an unknown host is resolved by the proxy.
        AllowAnyDynamicDns = 3 "ALLOW_ANY_DYNAMIC_DNS", pending;
    }
}
