//! Kubernetes' Services.

use std::sync::Arc;

use lateen_api::host::service_host;
use lateen_api::kubernetes::{self, KubernetesServicePort, ServiceSpec};
use lateen_api::message::IntOrString;

use super::{Fact, Lowering, Selecting, block, port_number, protocol};
use crate::node::{
    Alias, ExportTo, Labels, Registry, Resolution, Service, ServiceKey, ServicePort, Target,
};

const KEEPS_PORTS: &str = "experimental.istio.io/disable-gateway-port-translation";

const EXPORT_TO: &str = "networking.istio.io/exportTo";

impl Lowering<'_> {
    pub(super) fn service(&mut self, service: &kubernetes::Service) -> Vec<Fact> {
        let Some(spec) = &service.spec else { return Vec::new() };
        let meta = &self.object.meta;
        let export_to = match meta.annotations.get(EXPORT_TO) {
            Some(list) => ExportTo::read(list.split(','), &meta.namespace),
            None => ExportTo::Default,
        };
        let host = service_host(&meta.name, &meta.namespace, &self.options.cluster_domain);
        let key = ServiceKey { namespace: self.namespace(), host: host.to_lowercase().into() };
        if spec.r#type == "ExternalName" {
            let target = spec.external_name.to_lowercase().into();
            return vec![Fact::Alias(Arc::new(Alias {
                source: self.source(),
                key,
                target,
                export_to,
            }))];
        }
        let mut facts = vec![Fact::Service(Arc::new(Service {
            source: self.source(),
            key: key.clone(),
            name: self.name(),
            registry: Registry::Kubernetes,
            addresses: spec.addresses().filter_map(block).collect(),
            ports: spec.ports.iter().filter_map(service_port).collect(),
            // Nobody can take what is dialled straight to an endpoint on one machine without
            // redirection, so there a headless service is one like any other.
            resolution: if spec.is_headless() && !self.options.local {
                Resolution::Headless
            } else {
                Resolution::Endpoints
            },
            external: false,
            export_to,
            subject_alt_names: Arc::default(),
            publish_not_ready: spec.publish_not_ready_addresses,
            keeps_gateway_ports: self.keeps_gateway_ports(),
            dns: Arc::default(),
        }))];
        facts.extend(self.selecting(spec, key));
        facts
    }

    /// Whether the service opts out of the translation of Gateways' ports.
    pub(super) fn keeps_gateway_ports(&self) -> bool {
        let meta = &self.object.meta;
        let says = meta.labels.get(KEEPS_PORTS).or_else(|| meta.annotations.get(KEEPS_PORTS));
        says.is_some_and(|value| value == "true")
    }

    /// Kubernetes finds the pods of a service and writes EndpointSlices; WorkloadEntries it does not know. Without a
    /// cluster there is nobody to write slices.
    fn selecting(&self, spec: &ServiceSpec, service: ServiceKey) -> Option<Fact> {
        let labels = Labels::new(&spec.selector);
        (!labels.is_empty()).then(|| {
            Fact::Selecting(Arc::new(Selecting { service, labels, pods: self.options.local }))
        })
    }
}

fn service_port(port: &KubernetesServicePort) -> Option<ServicePort> {
    if !matches!(port.protocol.to_ascii_uppercase().as_str(), "" | "TCP") {
        return None;
    }
    let number = port_number(port.port)?;
    let declared = lateen_api::Protocol::of_service_port(
        u32::from(number),
        &port.name,
        port.app_protocol.as_deref(),
        &port.protocol,
    );
    let target = match &port.target_port {
        Some(IntOrString::Int(target)) => Target::Number(port_number(*target).unwrap_or(number)),
        Some(IntOrString::String(name)) if !name.is_empty() => match name.parse() {
            Ok(target) => Target::Number(target),
            Err(_) => Target::Name(name.as_str().into()),
        },
        _ => Target::Number(number),
    };
    Some(ServicePort {
        number,
        name: port.name.as_str().into(),
        protocol: protocol(declared)?,
        target,
    })
}
