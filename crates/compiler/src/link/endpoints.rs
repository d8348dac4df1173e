//! `endpoints/<host>/<port>/<bucket>`: some endpoints of a service's port, the same for every client.

use std::sync::Arc;

use lateen_mesh::address::encode_address;
use lateen_mesh::v1::{self, MtlsMode, endpoint::Health, resource::Body};

use super::Linker;
use super::authentication::Modes;
use super::destination::{endpoint_port, is_dialable, spiffe};
use super::provenance::Provenance;
use crate::node::{Labels, Registry, Service, ServicePort, Workload};
use crate::store::{EndpointEntry, Entry, Lister};
use lateen_mesh::local;

/// Parts host and namespace in names of endpoints of ServiceEntries, of which several namespaces may have
/// one for a host.
const NAMESPACE_MARK: char = '~';

/// The host as it stands in names of endpoint slices.
pub(super) fn endpoints_host(service: &Service) -> String {
    match service.registry {
        Registry::Kubernetes => service.key.host.to_string(),
        Registry::Entry => {
            format!("{}{NAMESPACE_MARK}{}", service.key.host, service.key.namespace)
        }
    }
}

impl<'a> Linker<'a> {
    pub(super) fn endpoints(&mut self, name: &str, port: u16, bucket: u32) -> Option<Body> {
        let (host, namespace) = match name.split_once(NAMESPACE_MARK) {
            Some((host, namespace)) => (host, Some(namespace)),
            None => (name, None),
        };
        let host: Arc<str> = host.into();
        let services: Vec<&Arc<Service>> = self
            .query
            .services(&host)
            .iter()
            .filter(|service| match namespace {
                Some(namespace) => {
                    service.registry == Registry::Entry && *service.key.namespace == *namespace
                }
                None => service.registry == Registry::Kubernetes,
            })
            .filter(|service| service.port(port).is_some())
            .collect();
        let key = &services.first()?.key;
        if bucket >= self.query.endpoint_buckets(key) {
            return None;
        }
        let mut slice = Slice::default();
        for (uid, entries) in self.query.endpoints(key, bucket) {
            self.endpoint(&mut slice, &services, port, uid, &entries);
        }
        // What decides on TLS leaves no trace in a slice but the decision.
        self.provenance = Provenance::default();
        Some(Body::Endpoints(v1::EndpointSlice {
            host: host.to_string(),
            port: u32::from(port),
            templates: slice.templates,
            endpoints: slice.endpoints,
        }))
    }

    fn endpoint(
        &mut self,
        slice: &mut Slice,
        services: &[&'a Arc<Service>],
        port: u16,
        uid: &str,
        entries: &[EndpointEntry<'a>],
    ) {
        let mut endpoint: Option<(v1::Endpoint, &'a Entry, Option<&'a Arc<Workload>>)> = None;
        let listed = entries.iter().any(|each| matches!(each.id.lister, Lister::Object(_)));
        for EndpointEntry { id, entry } in entries.iter().copied() {
            if listed && matches!(id.lister, Lister::Selected(_)) {
                continue;
            }
            let Some((service, declared)) = declaring(services, &id.lister, port) else { continue };
            let workload = entry.workload.as_ref().and_then(|key| self.query.workload(key));
            let Some(number) = endpoint_port(declared, &entry.raw.ports, workload) else {
                continue;
            };
            if entry.raw.terminating {
                continue;
            }
            let addresses = self.addresses(entry, workload);
            let healthy = entry.raw.ready || service.publish_not_ready;
            match &mut endpoint {
                // One endpoint with addresses of both families stands in a slice for each.
                Some((known, ..)) if known.port == u32::from(number) => {
                    known.addresses.extend(addresses);
                }
                Some(_) => {}
                None => {
                    let made = v1::Endpoint {
                        addresses,
                        unix_path: entry.raw.unix_path.as_deref().unwrap_or_default().to_owned(),
                        port: u32::from(number),
                        health: if healthy { Health::Healthy } else { Health::Unhealthy }.into(),
                        ..v1::Endpoint::default()
                    };
                    endpoint = Some((made, entry, workload));
                }
            }
        }
        let Some((mut endpoint, entry, workload)) = endpoint else { return };
        in_order(&mut endpoint.addresses, workload);
        if endpoint.addresses.is_empty() && endpoint.unix_path.is_empty() {
            return;
        }
        let locality = workload.map_or("", |workload| self.query.locality(workload));
        let facts = Facts::new(entry, workload, locality, services[0]);
        let number = u16::try_from(endpoint.port).unwrap_or_default();
        let disabled = entry.mesh_tls && {
            let modes = slice.modes(self, &facts);
            modes.port(number).0 == MtlsMode::Disable
        };
        endpoint.workload_uid = match &entry.workload {
            Some(_) => format!("{}/{uid}", self.query.options.cluster_id),
            None if !endpoint.unix_path.is_empty() => endpoint.unix_path.clone(),
            None => {
                let address = entry.raw.addresses.first().map(ToString::to_string);
                format!("{}:{number}", address.unwrap_or_default())
            }
        };
        endpoint.mesh_tls = entry.mesh_tls && !disabled;
        endpoint.weight = facts.weight;
        endpoint.template = slice.template(self.template(&facts, entry));
        if !slice.endpoints.iter().any(|other| other.workload_uid == endpoint.workload_uid) {
            slice.endpoints.push(endpoint);
        }
    }

    /// Where the endpoint is dialled; in local mode where its workload has its place.
    fn addresses(&self, entry: &Entry, workload: Option<&'a Arc<Workload>>) -> Vec<bytes::Bytes> {
        let base =
            workload.and_then(|workload| Some((workload, self.query.local_base(&workload.key)?)));
        if let Some((workload, base)) = base {
            let offset = if workload.sidecar { local::SIDECAR } else { local::APPLICATION };
            return vec![encode_address(local::address(base, offset).into())];
        }
        let known = workload.map(|workload| &workload.addresses);
        let own = &entry.raw.addresses;
        let addresses = if own.is_empty() { known.unwrap_or(own) } else { own };
        addresses
            .iter()
            .filter(|each| is_dialable(each))
            .map(|each| encode_address(*each))
            .collect()
    }

    fn template(&self, facts: &Facts<'_>, entry: &Entry) -> v1::EndpointTemplate {
        let trust = self.query.trust();
        let options = self.query.options;
        let account = entry.account.as_ref();
        let workload = facts.workload;
        let network = workload.map_or("", |workload| &workload.network);
        // What nothing owns has a name of its own, and yet most in common with its like.
        let unowned = workload.is_some_and(|workload| workload.owner.0 == workload.key.name);
        let named = |name: &str| {
            let is_own = unowned && workload.is_some_and(|workload| *workload.key.name == *name);
            if is_own { String::new() } else { name.to_owned() }
        };
        v1::EndpointTemplate {
            namespace: facts.namespace.to_string(),
            workload: workload.map(|workload| named(&workload.owner.0)).unwrap_or_default(),
            canonical_name: workload
                .map(|workload| named(workload.canonical_name()))
                .unwrap_or_default(),
            canonical_revision: workload
                .map(|workload| workload.canonical_revision().to_owned())
                .unwrap_or_default(),
            identity: account
                .map(|(namespace, account)| spiffe(&trust.domain, namespace, account))
                .unwrap_or_default(),
            labels: facts.labels.to_map(),
            locality: facts.locality.to_string(),
            network: if network.is_empty() { &options.network } else { network }.to_owned(),
            cluster: options.cluster_id.clone(),
            unowned,
        }
    }
}

/// Puts the addresses of an endpoint in the order in which its workload has them, the family that it prefers
/// first: which slice comes first is chance. Each stands there once.
fn in_order(addresses: &mut Vec<bytes::Bytes>, workload: Option<&Arc<Workload>>) {
    if addresses.len() < 2 {
        return;
    }
    let own: Vec<bytes::Bytes> = workload
        .map(|workload| workload.addresses.iter().map(|each| encode_address(*each)).collect())
        .unwrap_or_default();
    addresses.sort_by_key(|address| {
        let place = own.iter().position(|each| each == address);
        (place.unwrap_or(own.len()), address.clone())
    });
    addresses.dedup();
}

/// The service that declares the port for what a lister lists: the lister itself, where it is one.
fn declaring<'s>(
    services: &[&'s Arc<Service>],
    lister: &Lister,
    port: u16,
) -> Option<(&'s Arc<Service>, &'s ServicePort)> {
    let own = match lister {
        Lister::Object(object) => {
            services.iter().find(|service| *service.source.object == **object)
        }
        Lister::Selected(_) => None,
    };
    let is_service_entry = matches!(
        lister,
        Lister::Object(object) if object.kind == lateen_api::kind::Kind::ServiceEntry
    );
    let service = match own {
        Some(service) => service,
        None if is_service_entry => return None,
        None => services.first()?,
    };
    Some((service, service.port(port)?))
}

/// What is known of an endpoint beside its addresses.
struct Facts<'a> {
    namespace: &'a Arc<str>,
    labels: &'a Labels,
    locality: &'a str,
    weight: u32,
    workload: Option<&'a Arc<Workload>>,
}

impl<'a> Facts<'a> {
    fn new(
        entry: &'a Entry,
        workload: Option<&'a Arc<Workload>>,
        locality: &'a str,
        service: &'a Service,
    ) -> Self {
        static NONE: std::sync::LazyLock<Labels> = std::sync::LazyLock::new(Labels::default);
        let inline = entry.raw.inline.as_deref();
        match (inline, workload) {
            (Some(inline), _) => Self {
                namespace: &service.key.namespace,
                labels: &inline.labels,
                locality: &inline.locality,
                weight: inline.weight,
                workload: None,
            },
            (None, Some(workload)) => Self {
                namespace: &workload.key.namespace,
                labels: &workload.labels,
                locality,
                weight: workload.weight,
                workload: Some(workload),
            },
            (None, None) => Self {
                namespace: &service.key.namespace,
                labels: &NONE,
                locality: "",
                weight: 0,
                workload: None,
            },
        }
    }
}

/// A slice under construction.
#[derive(Default)]
struct Slice {
    templates: Vec<v1::EndpointTemplate>,
    endpoints: Vec<v1::Endpoint>,
    /// By namespace and labels, which most endpoints share.
    modes: Vec<(Arc<str>, Labels, Modes)>,
}

impl Slice {
    fn template(&mut self, template: v1::EndpointTemplate) -> u32 {
        let at = self.templates.iter().position(|known| *known == template).unwrap_or_else(|| {
            self.templates.push(template);
            self.templates.len() - 1
        });
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    fn modes(&mut self, linker: &mut Linker<'_>, facts: &Facts<'_>) -> &Modes {
        let known = self.modes.iter().position(|(namespace, labels, _)| {
            namespace == facts.namespace && labels == facts.labels
        });
        let at = known.unwrap_or_else(|| {
            let modes = linker.modes(facts.namespace, facts.labels);
            self.modes.push((facts.namespace.clone(), facts.labels.clone(), modes));
            self.modes.len() - 1
        });
        &self.modes[at].2
    }
}
