//! Pods, and clients that no object describes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use lateen_api::kubernetes::{Pod, PodSpec};
use lateen_api::object::ObjectMeta;

use super::workload_entry::TLS_MODE;
use super::{Fact, Lowering, port_number};
use crate::client::Client;
use crate::node::{Labels, Workload, WorkloadKey, WorkloadSource};
use crate::options::Options;

/// Names the workload that a pod belongs to.
pub(super) const WORKLOAD_NAME: &str = "service.istio.io/workload-name";

const INJECT: &str = "sidecar.istio.io/inject";

impl Lowering<'_> {
    pub(super) fn pod(&mut self, pod: &Pod) -> Vec<Fact> {
        let phase = pod.status.as_ref().map_or("", |status| status.phase.as_str());
        if matches!(phase, "Succeeded" | "Failed") {
            return Vec::new();
        }
        let meta = &self.object.meta;
        let labels = Labels::new(&meta.labels);
        // Without a cluster nobody injects sidecars and labels what got one.
        let mesh_tls = match labels.get(TLS_MODE) {
            Some(mode) => mode == "istio",
            None => self.options.local && labels.get(INJECT) != Some("false"),
        };
        let account = pod.spec.as_ref().map_or("", |spec| spec.service_account_name.as_str());
        vec![Fact::Workload(Arc::new(Workload {
            from: WorkloadSource::Pod,
            source: Some(self.source()),
            key: WorkloadKey { namespace: self.namespace(), name: self.name() },
            service_account: if account.is_empty() { "default" } else { account }.into(),
            addresses: addresses(pod),
            host: None,
            ports: pod.spec.as_ref().map(container_ports).unwrap_or_default(),
            owner: owner(meta, &labels),
            network: labels.get("topology.istio.io/network").unwrap_or_default().into(),
            locality: locality(&labels),
            node: pod.spec.as_ref().map_or("", |spec| spec.node_name.as_str()).into(),
            weight: 0,
            sidecar: has_sidecar(self.options, &labels, mesh_tls),
            mesh_tls,
            // Nobody reports readiness without a cluster: what is not said to be unready counts as ready.
            ready: pod.readiness().unwrap_or(self.options.local),
            labels,
        }))]
    }
}

/// Whether a sidecar takes the workload's inbound traffic; gateways are no less.
pub(super) fn has_sidecar(options: &Options, labels: &Labels, mesh_tls: bool) -> bool {
    options.local && mesh_tls && labels.get(INJECT) != Some("false")
}

fn addresses(pod: &Pod) -> Arc<[IpAddr]> {
    let Some(status) = &pod.status else { return Arc::default() };
    let mut addresses: Vec<IpAddr> = Vec::new();
    let all = status.pod_ips.iter().map(|each| each.ip.as_str());
    for address in [status.pod_ip.as_str()].into_iter().chain(all) {
        if let Ok(address) = address.parse()
            && !addresses.contains(&address)
        {
            addresses.push(address);
        }
    }
    addresses.into()
}

fn container_ports(spec: &PodSpec) -> Arc<[(Arc<str>, u16)]> {
    let containers = spec.containers.iter().chain(&spec.init_containers);
    let mut ports: Vec<(Arc<str>, u16)> = Vec::new();
    for port in containers.flat_map(|container| &container.ports) {
        let known = ports.iter().any(|(name, _)| **name == *port.name);
        if let Some(number) = port_number(port.container_port)
            && !port.name.is_empty()
            && !known
        {
            ports.push((port.name.as_str().into(), number));
        }
    }
    ports.into()
}

/// The workload that made the pod: its controller, where a ReplicaSet stands for its Deployment.
fn owner(meta: &ObjectMeta, labels: &Labels) -> (Arc<str>, Arc<str>) {
    if let Some(name) = labels.get(WORKLOAD_NAME) {
        return (name.into(), "deployment".into());
    }
    let Some(owner) = meta.owner_references.iter().find(|owner| owner.controller) else {
        return (meta.name.as_str().into(), "pod".into());
    };
    let hash = labels.get("pod-template-hash").map(|hash| format!("-{hash}"));
    let deployment = hash.and_then(|hash| owner.name.strip_suffix(&hash));
    match (owner.kind.as_str(), deployment) {
        ("ReplicaSet", Some(name)) => (name.into(), "deployment".into()),
        ("Job", _) => match cron_job(&owner.name) {
            Some(name) => (name.into(), "cronjob".into()),
            None => (owner.name.as_str().into(), "job".into()),
        },
        (kind, _) => (owner.name.as_str().into(), kind.to_lowercase().into()),
    }
}

/// A job that a CronJob made is named after it and the minute that it was due.
fn cron_job(job: &str) -> Option<&str> {
    let (name, minute) = job.rsplit_once('-')?;
    (minute.len() >= 8 && minute.bytes().all(|byte| byte.is_ascii_digit())).then_some(name)
}

fn locality(labels: &Labels) -> Arc<str> {
    let label = labels.get("topology.istio.io/locality").or_else(|| labels.get("istio-locality"));
    label.unwrap_or_default().replace('.', "/").into()
}

/// `region/zone/subzone` as a node's labels say it (Kubernetes' well-known ones, Istio's for the last); as much
/// of it as there is.
pub(super) fn node_locality(labels: &BTreeMap<String, String>) -> Arc<str> {
    let places = [
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
        "topology.istio.io/subzone",
    ]
    .map(|label| labels.get(label).map_or("", String::as_str));
    places.join("/").trim_end_matches('/').into()
}

/// What a connected client says of its workload.
pub(crate) fn client_workload(options: &Options, client: &Client) -> Workload {
    let labels = Labels::new(&client.labels);
    let (owner, kind) =
        client.owner.clone().unwrap_or_else(|| (client.name.clone(), String::new()));
    let account =
        if client.service_account.is_empty() { "default" } else { &client.service_account };
    Workload {
        from: WorkloadSource::Client,
        source: None,
        key: WorkloadKey {
            namespace: client.namespace.as_str().into(),
            name: client.name.as_str().into(),
        },
        service_account: account.into(),
        addresses: client.addresses.as_slice().into(),
        host: None,
        ports: Arc::default(),
        owner: (owner.into(), kind.into()),
        network: client.network.as_str().into(),
        locality: client.locality.as_str().into(),
        node: Arc::default(),
        weight: 0,
        mesh_tls: true,
        sidecar: options.local,
        ready: true,
        labels,
    }
}
