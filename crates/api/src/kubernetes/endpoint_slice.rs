//! EndpointSlice: addresses of a service's endpoints.

use std::collections::BTreeMap;

use crate::message::message;

/// The label that names the service of a slice.
pub const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

message! {
    /// Addresses of a service's endpoints.
    pub struct EndpointSlice {
        /// IPv4, IPv6 or FQDN.
        address_type: String, honoured;
        /// The endpoints.
        endpoints: Vec<Endpoint>, honoured;
        /// The ports, which all endpoints have.
        ports: Vec<EndpointPort>, honoured;
    }

    /// An endpoint.
    pub struct Endpoint {
        /// Its addresses, of which consumers use the first.
        addresses: Vec<String>, honoured;
        /// Whether it can be used.
        conditions: Option<EndpointConditions>, honoured;
        /// Its host name, for headless services.
        hostname: Option<String>, inert;
        /// Its node.
        node_name: Option<String>, inert;
        /// Its zone.
        zone: Option<String>, inert;
        /// Which zones should use it, for kube-proxy. Kubernetes writes it where a service asks for a
        /// distribution of its traffic; what the mesh makes of that, the service says.
        hints: Option<EndpointHints>, inert;
        /// What it is, mostly a pod.
        target_ref: Option<ObjectReference>, honoured;
        /// Topology in the words of older versions.
        deprecated_topology: BTreeMap<String, String>, inert;
    }

    /// Whether an endpoint can be used.
    pub struct EndpointConditions {
        /// It is ready. Not set: yes.
        ready: Option<bool>, honoured;
        /// It serves, even where it is terminating. Not set: as `ready`.
        serving: Option<bool>, inert;
        /// It is terminating.
        terminating: Option<bool>, honoured;
    }

    /// Which zones should use an endpoint.
    pub struct EndpointHints: open {
        /// The zones.
        for_zones: Vec<ForZone>, inert;
    }

    /// A zone.
    pub struct ForZone {
        /// Its name.
        name: String, inert;
    }

    /// An object.
    pub struct ObjectReference: open {
        /// Its kind.
        kind: String, honoured;
        /// Its namespace.
        namespace: String, honoured;
        /// Its name.
        name: String, honoured;
    }

    /// A port of all endpoints of a slice.
    pub struct EndpointPort {
        /// The name of the service's port.
        name: Option<String>, honoured;
        /// TCP (the default), UDP or SCTP.
        protocol: Option<String>, honoured;
        /// The endpoints' number.
        port: Option<i32>, honoured;
        /// The protocol spoken.
        app_protocol: Option<String>, inert;
    }
}

impl Endpoint {
    /// Whether the endpoint is ready; not knowing counts as yes.
    pub fn is_ready(&self) -> bool {
        self.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
    }

    /// Whether the endpoint is terminating.
    pub fn is_terminating(&self) -> bool {
        self.conditions.as_ref().and_then(|conditions| conditions.terminating).unwrap_or(false)
    }
}
