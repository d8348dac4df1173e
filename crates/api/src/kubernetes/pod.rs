//! Pod: what a mesh reads of it.

use crate::message::{IntOrString, message};

message! {
    /// A pod.
    pub struct Pod: open {
        /// What it should be.
        spec: Option<PodSpec>, honoured;
        /// What it is.
        status: Option<PodStatus>, honoured;
    }

    /// What a pod should be.
    pub struct PodSpec: open {
        /// The service account that its identity comes from. The default is `default`.
        service_account_name: String, honoured;
        /// The node it runs on.
        node_name: String, inert;
        /// Its host name.
        hostname: String, inert;
        /// The headless service that gives it a name.
        subdomain: String, inert;
        /// Whether it uses the node's network.
        host_network: bool, inert;
        /// Its containers.
        containers: Vec<Container>, honoured;
        /// Containers that run before, or beside, the others.
        init_containers: Vec<Container>, honoured;
    }

    /// A container.
    pub struct Container: open {
        /// Its name.
        name: String, inert;
        /// Its ports.
        ports: Vec<ContainerPort>, honoured;
    }

    /// A port of a container.
    pub struct ContainerPort: open {
        /// Its name.
        name: String, honoured;
        /// Its number.
        container_port: i32, honoured;
        /// TCP (the default), UDP or SCTP.
        protocol: String, inert;
    }

    /// What a pod is.
    pub struct PodStatus: open {
        /// Pending, Running, Succeeded, Failed or Unknown.
        phase: String, honoured;
        /// Its address.
        pod_ip = "podIP": String, honoured;
        /// Its addresses, one a family.
        pod_ips = "podIPs": Vec<PodIp>, honoured;
        /// Its node's address.
        host_ip = "hostIP": String, inert;
        /// What is true of it.
        conditions: Vec<PodCondition>, honoured;
    }

    /// An address of a pod.
    pub struct PodIp: open {
        /// The address.
        ip: String, honoured;
    }

    /// Something that is or is not true of a pod.
    pub struct PodCondition: open {
        /// What, `Ready`.
        r#type: String, honoured;
        /// True, False or Unknown.
        status: String, honoured;
    }
}

impl Pod {
    /// Whether the pod is ready to be called; nothing where nobody said so.
    pub fn readiness(&self) -> Option<bool> {
        let mut conditions = self.status.iter().flat_map(|status| &status.conditions);
        let condition = conditions.find(|condition| condition.r#type == "Ready")?;
        Some(condition.status == "True")
    }

    /// The number of the container port that a service means by its target port.
    pub fn target_port(&self, target: &IntOrString) -> Option<u32> {
        match target {
            IntOrString::Int(number) => u32::try_from(*number).ok(),
            IntOrString::String(name) => {
                let spec = self.spec.as_ref()?;
                let containers = spec.containers.iter().chain(&spec.init_containers);
                let mut ports = containers.flat_map(|container| &container.ports);
                let port = ports.find(|port| port.name == *name)?;
                u32::try_from(port.container_port).ok()
            }
        }
    }
}
