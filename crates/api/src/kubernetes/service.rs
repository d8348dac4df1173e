//! Service.

use std::collections::BTreeMap;

use crate::message::{IntOrString, message};

message! {
    /// A Kubernetes service.
    pub struct Service: open {
        /// What it should be.
        spec: Option<ServiceSpec>, honoured;
        /// What it is.
        status: Option<ServiceStatus>, inert;
    }

    /// What a service should be.
    pub struct ServiceSpec {
        /// Its ports.
        ports: Vec<KubernetesServicePort>, honoured;
        /// Labels of the pods behind it. None: someone else writes its endpoints.
        selector: BTreeMap<String, String>, honoured;
        /// Its address; `None`: headless.
        cluster_ip = "clusterIP": String, honoured;
        /// Its addresses, one a family.
        cluster_ips = "clusterIPs": Vec<String>, honoured;
        /// ClusterIP (the default), NodePort, LoadBalancer or ExternalName.
        r#type: String, honoured;
        /// Further addresses that the mesh does not read.
        external_ips = "externalIPs": Vec<String>, pending;
        /// None or ClientIP; Kubernetes' own balancing, which the mesh replaces.
        session_affinity: String, pending;
        /// Settings of `sessionAffinity`.
        session_affinity_config: Option<OpenMessage>, pending;
        /// The wanted address of the load balancer.
        load_balancer_ip = "loadBalancerIP": String, pending;
        /// Who may use the load balancer.
        load_balancer_source_ranges: Vec<String>, pending;
        /// The kind of load balancer.
        load_balancer_class: Option<String>, pending;
        /// The other name, for ExternalName.
        external_name: String, honoured;
        /// Whether traffic from outside stays on its node.
        external_traffic_policy: String, pending;
        /// The port of the load balancer's health check.
        health_check_node_port: i32, pending;
        /// Whether endpoints that are not ready count as ready.
        publish_not_ready_addresses: bool, honoured;
        /// Address families.
        ip_families: Vec<String>, inert;
        /// How many address families.
        ip_family_policy: Option<String>, inert;
        /// Whether ports on nodes are set aside for a load balancer.
        allocate_load_balancer_node_ports: Option<bool>, pending;
        /// Whether traffic from inside stays on its node.
        internal_traffic_policy: Option<String>, pending;
        /// Which endpoints are preferred.
        traffic_distribution: Option<String>, pending;
    }

    /// A port of a Kubernetes service.
    pub struct KubernetesServicePort {
        /// Its name; its beginning says the protocol spoken, `http-web`.
        name: String, honoured;
        /// TCP (the default), UDP or SCTP.
        protocol: String, honoured;
        /// The protocol spoken; wins over the name.
        app_protocol: Option<String>, honoured;
        /// Its number.
        port: i32, honoured;
        /// The pods' port by number or name. The default is `port`.
        target_port: Option<IntOrString>, honoured;
        /// The port on every node.
        node_port: i32, inert;
    }

    /// What a service is.
    pub struct ServiceStatus: open {
        /// Its load balancer.
        load_balancer: Option<LoadBalancerStatus>, inert;
    }

    /// What a load balancer is.
    pub struct LoadBalancerStatus: open {
        /// Where it takes traffic.
        ingress: Vec<LoadBalancerIngress>, inert;
    }

    /// Where a load balancer takes traffic.
    pub struct LoadBalancerIngress: open {
        /// Its address.
        ip: String, inert;
        /// Its name.
        hostname: String, inert;
    }

    /// Something that Lateen does not look into.
    pub struct OpenMessage: open {}
}

impl ServiceSpec {
    /// Whether the service has no address of its own, so that clients dial its endpoints.
    pub fn is_headless(&self) -> bool {
        self.cluster_ip == "None"
    }

    /// The service's own addresses; none for a headless one.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        let first = (self.cluster_ips.is_empty()).then_some(&self.cluster_ip);
        let all = self.cluster_ips.iter().chain(first);
        all.map(String::as_str).filter(|address| !address.is_empty() && *address != "None")
    }
}
