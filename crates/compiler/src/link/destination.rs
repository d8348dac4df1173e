//! `destination/<host>/<port>/<subset>`: how one port of a service is reached.

use std::net::IpAddr;
use std::sync::Arc;

use lateen_mesh::name::Name;
use lateen_mesh::v1::{
    self, Discovery, MtlsMode, load_balancing, resource::Body, upstream_tls::Mode,
};

use super::Linker;
use super::endpoints::endpoints_host;
use super::rules::Effective;
use super::visible::Seen;
use crate::client::Role;
use crate::node::{EndpointPorts, InlineEndpoint, Resolution, Service, ServicePort, Workload};

impl<'a> Linker<'a> {
    pub(super) fn destination(&mut self, host: &str, port: u16, subset: &str) -> Option<Body> {
        let host: Arc<str> = host.into();
        let seen = self.backend_service(&host)?;
        let (service, declared) = seen.port(port)?;
        let governing = self.governing(&seen);
        let part = governing.as_ref().and_then(|rules| rules.subset(subset));
        if !subset.is_empty() && part.is_none() {
            return None;
        }
        let effective = match &governing {
            Some(rules) => Effective::new(rules, part, port),
            None => Effective::default(),
        };
        let discovery = self.discovery(service, &effective);
        let tls = self.upstream_tls(&seen, service, discovery, &effective);
        let policy_origin = governing.as_ref().and_then(|rules| {
            let field = part.map_or("spec", |(_, subset)| subset.field.as_str());
            let rule = part.map_or(rules.first(), |(rule, _)| rule);
            self.provenance.origin(&rule.source, field)
        });
        let traffic = self.query.traffic();
        let mut destination = v1::Destination {
            host: host.to_string(),
            port: u32::from(port),
            subset: subset.to_owned(),
            origin: self.provenance.origin(&service.source, "spec"),
            policy_origin,
            protocol: declared.protocol.into(),
            discovery: discovery.into(),
            endpoint_slices: Vec::new(),
            subset_labels: part.map(|(_, subset)| subset.labels.to_map()).unwrap_or_default(),
            dns: Vec::new(),
            load_balancing: Some(self.load_balancing(&effective)),
            connect_timeout_ms: effective.connect_timeout_ms.unwrap_or(traffic.connect_timeout_ms),
            tls: Some(tls),
            external: service.external,
            namespace: service.key.namespace.to_string(),
            service_name: service.name.to_string(),
            identities: self.identities(&seen),
        };
        match discovery {
            Discovery::Endpoints => destination.endpoint_slices = self.slices(&seen, port),
            Discovery::Dns => destination.dns = self.dns_targets(&seen, port),
            Discovery::Passthrough => {}
        }
        Some(Body::Destination(destination))
    }

    fn discovery(&self, service: &Service, effective: &Effective<'_>) -> Discovery {
        // Behind a local address there is only the proxy that was dialled at it.
        let local = self.query.is_local();
        let balancing = effective.load_balancing;
        if !local && balancing.is_some_and(|(_, balancing)| balancing.passthrough) {
            return Discovery::Passthrough;
        }
        match service.resolution {
            Resolution::Endpoints => Discovery::Endpoints,
            // What reached a gateway was not dialled by the client.
            Resolution::Headless if local || self.scope.role() == Role::Gateway => {
                Discovery::Endpoints
            }
            Resolution::Headless | Resolution::Passthrough => Discovery::Passthrough,
            Resolution::Dns => Discovery::Dns,
        }
    }

    fn load_balancing(&mut self, effective: &Effective<'_>) -> v1::LoadBalancing {
        match effective.load_balancing {
            Some((rule, balancing)) => v1::LoadBalancing {
                policy: balancing.policy.into(),
                origin: self.provenance.origin(&rule.source, &balancing.field),
            },
            None => v1::LoadBalancing {
                policy: load_balancing::Policy::LeastRequest.into(),
                origin: None,
            },
        }
    }

    /// What the DestinationRule says; else mutual TLS wherever it is spoken, unless that is switched off.
    fn upstream_tls(
        &mut self,
        seen: &Seen<'_>,
        service: &Service,
        discovery: Discovery,
        effective: &Effective<'_>,
    ) -> v1::UpstreamTls {
        if let Some((rule, tls)) = effective.tls {
            let mut tls = tls.clone();
            self.provenance.place(&mut tls.origin, &rule.source);
            if tls.subject_alt_names.is_empty() {
                tls.subject_alt_names = seen.subject_alt_names();
            }
            return tls;
        }
        let plain = |origin| v1::UpstreamTls {
            mode: Mode::Disable.into(),
            origin,
            ..v1::UpstreamTls::default()
        };
        if service.external || !self.query.traffic().auto_mtls {
            return plain(None);
        }
        if let (Some(MtlsMode::Disable), origin) = self.namespace_mode(&service.key.namespace) {
            return plain(origin);
        }
        // Nobody knows which endpoint the client dialled: all of them have to speak it.
        let mode = match discovery {
            Discovery::Endpoints | Discovery::Dns => Mode::Auto,
            Discovery::Passthrough if self.query.all_mesh_tls(seen.key()) => Mode::Mesh,
            Discovery::Passthrough => Mode::Disable,
        };
        v1::UpstreamTls {
            mode: mode.into(),
            subject_alt_names: seen.subject_alt_names(),
            ..v1::UpstreamTls::default()
        }
    }

    fn identities(&self, seen: &Seen<'_>) -> Vec<String> {
        let trust_domain = &self.query.trust().domain;
        self.query
            .accounts(seen.key())
            .map(|(namespace, account)| spiffe(trust_domain, namespace, account))
            .collect()
    }

    fn slices(&mut self, seen: &Seen<'_>, port: u16) -> Vec<String> {
        let host = endpoints_host(seen.primary());
        let buckets = 0..self.query.endpoint_buckets(seen.key());
        let names: Vec<Name> =
            buckets.map(|bucket| Name::Endpoints { host: host.clone(), port, bucket }).collect();
        let slices = names.iter().map(ToString::to_string).collect();
        self.references.extend(names);
        slices
    }

    /// The names that the service is found by; its own where it names no endpoints.
    fn dns_targets(&self, seen: &Seen<'_>, port: u16) -> Vec<v1::DnsTarget> {
        let mut targets: Vec<v1::DnsTarget> = Vec::new();
        let selected = self.selected_targets(seen, port);
        for (service, declared) in seen.dns(port) {
            let inline = service.dns.iter().map(|endpoint| self.inline_target(declared, endpoint));
            let before = targets.len();
            targets.extend(inline);
            if targets.len() == before && selected.is_empty() {
                targets.push(v1::DnsTarget {
                    host: service.key.host.to_string(),
                    port: u32::from(target_number(declared)),
                    weight: 1,
                    ..v1::DnsTarget::default()
                });
            }
        }
        targets.extend(selected);
        let mut distinct: Vec<v1::DnsTarget> = Vec::new();
        for target in targets {
            if !distinct.contains(&target) {
                distinct.push(target);
            }
        }
        distinct
    }

    fn inline_target(&self, declared: &ServicePort, endpoint: &InlineEndpoint) -> v1::DnsTarget {
        let trust_domain = &self.query.trust().domain;
        let overridden = endpoint.ports.iter().find(|(name, _)| *name == declared.name);
        let port = overridden.map_or_else(|| target_number(declared), |(_, port)| *port);
        let identity = endpoint.account.as_ref();
        v1::DnsTarget {
            host: endpoint.address.to_string(),
            port: u32::from(port),
            weight: endpoint.weight.max(1),
            labels: endpoint.labels.to_map(),
            mesh_tls: endpoint.mesh_tls,
            identity: identity
                .map(|(namespace, account)| spiffe(trust_domain, namespace, account))
                .unwrap_or_default(),
        }
    }

    /// Workloads that the service selects, by name or address.
    fn selected_targets(&self, seen: &Seen<'_>, port: u16) -> Vec<v1::DnsTarget> {
        let trust_domain = &self.query.trust().domain;
        let Some((_, declared)) = seen.port(port) else { return Vec::new() };
        let mut targets = Vec::new();
        for bucket in 0..self.query.endpoint_buckets(seen.key()) {
            for (_, entries) in self.query.endpoints(seen.key(), bucket) {
                let Some(entry) = entries.first().map(|each| each.entry) else { continue };
                let Some(key) = entry.workload.as_ref().filter(|_| entry.raw.inline.is_none())
                else {
                    continue;
                };
                let Some(workload) = self.query.workload(key) else { continue };
                let Some(port) = endpoint_port(declared, &entry.raw.ports, Some(workload)) else {
                    continue;
                };
                let address = workload.addresses.first().map(ToString::to_string);
                let Some(host) = workload.host.as_deref().map(str::to_owned).or(address) else {
                    continue;
                };
                targets.push(v1::DnsTarget {
                    host,
                    port: u32::from(port),
                    weight: workload.weight.max(1),
                    labels: workload.labels.to_map(),
                    mesh_tls: entry.mesh_tls,
                    identity: entry
                        .account
                        .as_ref()
                        .map(|(namespace, account)| spiffe(trust_domain, namespace, account))
                        .unwrap_or_default(),
                });
            }
        }
        targets
    }
}

/// A workload's identity.
pub(super) fn spiffe(trust_domain: &str, namespace: &str, account: &str) -> String {
    format!("spiffe://{trust_domain}/ns/{namespace}/sa/{account}")
}

/// The endpoints' port where nothing else is known of them.
fn target_number(port: &ServicePort) -> u16 {
    match port.target {
        crate::node::Target::Number(number) => number,
        crate::node::Target::Name(_) => port.number,
    }
}

/// The port of an endpoint behind a port of its service; none if the endpoint does not have it.
pub(super) fn endpoint_port(
    port: &ServicePort,
    ports: &EndpointPorts,
    workload: Option<&Arc<Workload>>,
) -> Option<u16> {
    use crate::node::{Target, WorkloadSource};
    let find = |ports: &[(Arc<str>, u16)], name: &str| {
        ports.iter().find(|(own, _)| **own == *name).map(|(_, number)| *number)
    };
    let overrides = match ports {
        EndpointPorts::Listed(ports) => return find(ports, &port.name),
        EndpointPorts::Overrides(ports) => ports,
    };
    if let Some(number) = find(overrides, &port.name) {
        return Some(number);
    }
    // A WorkloadEntry names its ports as the service does, a pod as its containers do.
    if let Some(workload) = workload
        && workload.from == WorkloadSource::Entry
        && let Some(number) = find(&workload.ports, &port.name)
    {
        return Some(number);
    }
    match &port.target {
        Target::Number(number) => Some(*number),
        Target::Name(name) => workload.and_then(|workload| find(&workload.ports, name)),
    }
}

/// Whether an address can be dialled as it is.
pub(super) fn is_dialable(address: &IpAddr) -> bool {
    !address.is_unspecified()
}
