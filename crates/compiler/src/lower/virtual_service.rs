//! VirtualServices.

mod http;
mod l4;
mod matching;
mod retry;

use std::sync::Arc;

use lateen_api::diagnostic::Code;
use lateen_api::networking::{Destination, VirtualService};
use lateen_mesh::v1;

pub(super) use retry::{default_policy, retries};

use super::{Fact, Lowering, port_number};
use crate::node::{Backend, Binding, ExportTo, Labels, MESH_GATEWAY, Route};

impl Lowering<'_> {
    pub(super) fn virtual_service(&mut self, spec: &VirtualService) -> Vec<Fact> {
        let gateways = if spec.gateways.is_empty() {
            [Arc::from(MESH_GATEWAY)].into()
        } else {
            self.gateway_names(&spec.gateways)
        };
        let mut hosts: Vec<Arc<str>> = Vec::new();
        for host in &spec.hosts {
            let host = self.host(host);
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        if hosts.is_empty() {
            self.warn(Code::NoEffect, "spec", "only a delegating VirtualService could use this one, and delegates are not honoured yet");
            return Vec::new();
        }
        self.warn_of_unlisted_gateways(spec, &gateways);
        let http = spec.http.iter().enumerate().filter_map(|(at, rule)| self.http_rule(at, rule));
        let http = http.collect();
        let tls = spec.tls.iter().enumerate().map(|(at, rule)| self.tls_rule(at, rule)).collect();
        let tcp = spec.tcp.iter().enumerate().map(|(at, rule)| self.tcp_rule(at, rule)).collect();
        vec![Fact::Route(Arc::new(Route {
            source: self.source(),
            namespace: self.namespace(),
            hosts: hosts.into(),
            gateways,
            export_to: ExportTo::read(
                spec.export_to.iter().map(String::as_str),
                &self.object.meta.namespace,
            ),
            http,
            tls,
            tcp,
        }))]
    }

    /// Gateways by `namespace/name`; a name alone belongs to this namespace.
    fn gateway_names(&self, names: &[String]) -> Arc<[Arc<str>]> {
        let full = |name: &String| -> Arc<str> {
            if name == MESH_GATEWAY || name.contains('/') {
                name.as_str().into()
            } else {
                format!("{}/{name}", self.object.meta.namespace).into()
            }
        };
        names.iter().map(full).collect()
    }

    /// Matches that name gateways at which the object does not count.
    fn warn_of_unlisted_gateways(&mut self, spec: &VirtualService, gateways: &[Arc<str>]) {
        let http =
            spec.http.iter().map(|rule| rule.r#match.iter().map(|it| &it.gateways).collect());
        let tls = spec.tls.iter().map(|rule| rule.r#match.iter().map(|it| &it.gateways).collect());
        let tcp = spec.tcp.iter().map(|rule| rule.r#match.iter().map(|it| &it.gateways).collect());
        let kinds: [(&str, Vec<Vec<&Vec<String>>>); 3] =
            [("http", http.collect()), ("tls", tls.collect()), ("tcp", tcp.collect())];
        for (kind, rules) in &kinds {
            for (at, matches) in rules.iter().enumerate() {
                for (which, names) in matches.iter().enumerate() {
                    let field = format!("spec.{kind}[{at}].match[{which}].gateways");
                    self.warn_of_unlisted(&field, names, gateways);
                }
            }
        }
    }

    fn warn_of_unlisted(&mut self, field: &str, names: &[String], listed: &[Arc<str>]) {
        for (at, name) in self.gateway_names(names).iter().enumerate() {
            if !listed.contains(name) {
                let message = format!("no effect: `spec.gateways` does not name {name}");
                self.warn(Code::NoEffect, &format!("{field}[{at}]"), message);
            }
        }
    }

    fn binding(
        &self,
        gateways: &[String],
        labels: &std::collections::BTreeMap<String, String>,
        namespace: &str,
    ) -> Binding {
        Binding {
            gateways: self.gateway_names(gateways),
            source_labels: Labels::new(labels),
            source_namespace: (!namespace.is_empty()).then(|| namespace.into()),
        }
    }

    fn backend(&self, destination: Option<&Destination>, field: &str, weight: i32) -> Backend {
        let unset = Destination::default();
        let destination = destination.unwrap_or(&unset);
        let port = destination.port.as_ref().and_then(|port| port_number(port.number));
        Backend {
            backend: v1::Backend {
                origin: Some(own(field)),
                host: self.host(&destination.host).to_string(),
                subset: destination.subset.clone(),
                port: u32::from(port.unwrap_or_default()),
                weight: u32::try_from(weight).unwrap_or_default(),
                ..v1::Backend::default()
            },
            field: format!("{field}.destination"),
        }
    }
}

/// Where a single destination's weight does not count, and where a weight of nothing takes the
/// destination out.
fn weigh(mut backends: Vec<Backend>) -> Vec<Backend> {
    if let [only] = backends.as_mut_slice() {
        only.backend.weight = 1;
    } else {
        backends.retain(|backend| backend.backend.weight > 0);
    }
    backends
}

/// A place in the object itself; Link says which number the object has in a resource.
fn own(field: &str) -> v1::Origin {
    v1::Origin { object: 1, field: field.to_owned() }
}
