//! What Istio's validating webhook refuses, kind by kind, and what no kind may say.

mod attachment;
mod authorization_policy;
mod authorization_rule;
mod cel;
mod destination_rule;
mod envoy_filter;
mod extensions;
mod gateway;
mod http_actions;
mod http_route;
mod kubernetes;
mod load_balancer;
mod mesh;
mod mesh_providers;
mod mesh_proxy;
mod networks;
mod peer_authentication;
mod request_authentication;
mod server_tls;
mod service_entry;
mod shared;
mod sidecar;
mod syntax;
mod telemetry;
mod traffic_policy;
mod virtual_service;
mod workload_group;

use crate::diagnostic::{Code, FieldUse, Finding, Severity};
use crate::mesh_config::{MeshConfig, MeshNetworks};
use crate::object::{ObjectMeta, Spec};
use crate::path::Path;

/// Collects what is wrong with a decoded object, at the path where the walk stands.
#[derive(Debug, Default)]
pub(crate) struct Validator {
    path: Path,
    checked: Checked,
}

/// What validation found.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub(crate) findings: Vec<Finding>,
    pub(crate) not_honoured: Vec<FieldUse>,
}

impl Validator {
    /// Steps into a field.
    pub(crate) fn field<T>(&mut self, name: &str, inside: impl FnOnce(&mut Self) -> T) -> T {
        let mark = self.path.field(name);
        let result = inside(self);
        self.path.back(mark);
        result
    }

    /// Steps into each item of a list in turn.
    pub(crate) fn each<T>(
        &mut self,
        name: &str,
        items: &[T],
        mut inside: impl FnMut(&mut Self, &T),
    ) {
        let list = self.path.field(name);
        for (index, item) in items.iter().enumerate() {
            let mark = self.path.index(index);
            inside(self, item);
            self.path.back(mark);
        }
        self.path.back(list);
    }

    /// Steps into each value of a map in turn.
    pub(crate) fn each_key<'a, K: ToString + 'a, T: 'a>(
        &mut self,
        name: &str,
        entries: impl IntoIterator<Item = (&'a K, &'a T)>,
        mut inside: impl FnMut(&mut Self, &K, &T),
    ) {
        let map = self.path.field(name);
        for (key, value) in entries {
            let mark = self.path.key(&key.to_string());
            inside(self, key, value);
            self.path.back(mark);
        }
        self.path.back(map);
    }

    /// The object cannot be taken.
    pub(crate) fn error(&mut self, code: Code, message: impl Into<String>) {
        self.say(Severity::Error, code, message.into());
    }

    /// The object probably does not do what its author expects.
    pub(crate) fn warn(&mut self, code: Code, message: impl Into<String>) {
        self.say(Severity::Warning, code, message.into());
    }

    /// This value of the field here is not honoured yet.
    pub(crate) fn not_honoured(&mut self, value: &str) {
        let path = self.path.as_str().to_owned();
        let value = Some(value.to_owned());
        self.checked.not_honoured.push(FieldUse { path, value, position: None });
    }

    /// Ends the walk.
    pub(crate) fn finish(self) -> Checked {
        self.checked
    }

    fn say(&mut self, severity: Severity, code: Code, message: String) {
        let field = self.path.as_str().to_owned();
        self.checked.findings.push(Finding { severity, code, field, position: None, message });
    }
}

/// Checks who an object is.
pub(crate) fn metadata(v: &mut Validator, meta: &ObjectMeta) {
    v.field("metadata", |v| {
        v.field("name", |v| {
            if meta.name.is_empty() {
                v.error(Code::MissingField, "an object needs a name");
            }
        });
    });
}

/// Checks what an object says.
pub(crate) fn spec(v: &mut Validator, meta: &ObjectMeta, spec: &Spec) {
    let namespace = meta.namespace.as_str();
    if let Spec::AuthorizationPolicy(policy) = spec {
        authorization_policy::dry_run(v, policy, meta);
    }
    v.field("spec", |v| match spec {
        Spec::VirtualService(it) => virtual_service::virtual_service(v, it, namespace),
        Spec::DestinationRule(it) => destination_rule::destination_rule(v, it, namespace),
        Spec::Gateway(it) => gateway::gateway(v, it, meta),
        Spec::ServiceEntry(it) => service_entry::service_entry(v, it, namespace),
        Spec::WorkloadEntry(it) => service_entry::workload(v, it),
        Spec::Sidecar(it) => sidecar::sidecar(v, it),
        Spec::PeerAuthentication(it) => peer_authentication::peer_authentication(v, it),
        Spec::AuthorizationPolicy(it) => authorization_policy::authorization_policy(v, it),
        Spec::EnvoyFilter(it) => envoy_filter::envoy_filter(v, it),
        Spec::ProxyConfig(it) => workload_group::proxy_config(v, it),
        Spec::WorkloadGroup(it) => workload_group::workload_group(v, it),
        Spec::RequestAuthentication(it) => request_authentication::request_authentication(v, it),
        Spec::Telemetry(it) => telemetry::telemetry(v, it),
        Spec::WasmPlugin(it) => extensions::wasm_plugin(v, it),
        Spec::TrafficExtension(it) => extensions::traffic_extension(v, it),
        Spec::Service(_)
        | Spec::EndpointSlice(_)
        | Spec::Pod(_)
        | Spec::Namespace(_)
        | Spec::Secret(_)
        | Spec::ConfigMap(_)
        | Spec::MeshConfig(_)
        | Spec::NotHonoured => {}
    });
    match spec {
        Spec::MeshConfig(mesh) => v.field("data.mesh", |v| mesh_config(v, mesh)),
        Spec::Service(service) => kubernetes::service(v, service),
        Spec::EndpointSlice(slice) => kubernetes::endpoint_slice(v, slice),
        _ => {}
    }
}

/// Checks the settings of the mesh.
pub(crate) fn mesh_config(v: &mut Validator, mesh: &MeshConfig) {
    mesh::settings(v, mesh);
}

/// Checks the networks of the mesh; fields are named from there.
pub(crate) fn mesh_networks(networks: &MeshNetworks) -> Vec<Finding> {
    let mut validator = Validator::default();
    networks::mesh_networks(&mut validator, networks);
    validator.finish().findings
}
