//! From compiled resources to a plan.

use std::sync::Arc;

use lateen_mesh::name::Name;
use rustc_hash::FxHashMap;

use super::{Node, Rejection, Touched};
use crate::authorize::Policies;
use crate::destination::{Destination, DestinationKey, Discovery, Spec};
use crate::directory::Directory;
use crate::gateway::GatewayPort;
use crate::inbound::Inbound;
use crate::plan::Plan;
use crate::route::Table;

type Nodes = FxHashMap<String, Node>;

/// The plan of these nodes. Whatever no touched resource is part of is taken over from the plan
/// before.
///
/// # Errors
/// References to what is not there.
pub(super) fn link(
    nodes: &Nodes,
    touched: &Touched,
    before: &Plan,
) -> Result<Plan, Vec<Rejection>> {
    let mut linker = Linker { nodes, touched, before, rejections: Vec::new() };
    let inbound = linker.inbound();
    let plan = Plan {
        settings: linker.settings(),
        directory: linker.directory(),
        routes: linker.routes(),
        destinations: linker.destinations(),
        policies: linker.policies(inbound.as_ref()),
        gateway: linker.gateway(),
        secrets: linker.secrets(),
        inbound: inbound.map(|(_, inbound)| inbound),
    };
    if linker.rejections.is_empty() { Ok(plan) } else { Err(linker.rejections) }
}

struct Linker<'a> {
    nodes: &'a Nodes,
    touched: &'a Touched,
    before: &'a Plan,
    rejections: Vec<Rejection>,
}

impl<'a> Linker<'a> {
    fn reject(&mut self, name: &str, missing: &str) {
        self.rejections.push(Rejection {
            name: name.to_owned(),
            reason: format!("refers to {missing}, which is not there"),
        });
    }

    fn is_touched(&self, prefix: &str) -> bool {
        self.touched.iter().any(|name| name.starts_with(prefix))
    }

    fn settings(&self) -> Arc<crate::settings::Settings> {
        match self.nodes.get("settings") {
            Some(Node::Settings(settings)) => Arc::clone(settings),
            _ => Arc::default(),
        }
    }

    fn directory(&self) -> Arc<Directory> {
        if !self.is_touched("directory/") {
            return Arc::clone(&self.before.directory);
        }
        let slices = self.nodes.values().filter_map(|node| match node {
            Node::Directory(slice) => Some(&**slice),
            _ => None,
        });
        Arc::new(Directory::new(slices))
    }

    fn routes(&mut self) -> FxHashMap<Arc<str>, Arc<Table>> {
        let mut routes = FxHashMap::default();
        let destination_gone = self
            .touched
            .iter()
            .any(|name| name.starts_with("destination/") && !self.nodes.contains_key(name));
        for (name, node) in self.nodes {
            match node {
                Node::Routes(table) => {
                    routes.insert(Arc::clone(&table.host), Arc::clone(table));
                }
                Node::GatewayRoutes(_) => {}
                _ => continue,
            }
            let (Node::Routes(table) | Node::GatewayRoutes(table)) = node else { continue };
            if !destination_gone && !self.touched.contains(name) {
                continue;
            }
            for key in &table.references {
                let destination = destination_name(key);
                if !matches!(self.nodes.get(&destination), Some(Node::Destination(_))) {
                    self.reject(name, &destination);
                }
            }
        }
        routes
    }

    fn destinations(&mut self) -> crate::plan::Destinations {
        let nodes = self.nodes;
        let specs = nodes.iter().filter_map(|(name, node)| match node {
            Node::Destination(spec) => Some((name, spec)),
            _ => None,
        });
        specs.filter_map(|(name, spec)| self.destination(name, spec)).collect()
    }

    fn destination(&mut self, name: &str, spec: &Arc<Spec>) -> Option<Arc<Destination>> {
        let stale = self.touched.contains(name)
            || spec.slices.iter().any(|slice| self.touched.contains(slice));
        if !stale && let Some(kept) = self.before.destination(&spec.key) {
            return Some(Arc::clone(kept));
        }
        let mut slices = Vec::with_capacity(spec.slices.len());
        if spec.discovery == Discovery::Endpoints {
            for slice in &spec.slices {
                match self.nodes.get(slice) {
                    Some(Node::Endpoints(node)) => slices.push(&**node),
                    _ => self.reject(name, slice),
                }
            }
        }
        Some(Arc::new(Destination::resolve(Arc::clone(spec), slices.into_iter())))
    }

    /// There is one workload behind a proxy, so there is one such resource.
    fn inbound(&mut self) -> Option<(&'a str, Arc<Inbound>)> {
        let mut found: Vec<_> = self
            .nodes
            .iter()
            .filter_map(|(name, node)| match node {
                Node::Inbound(inbound) => Some((name, inbound)),
                _ => None,
            })
            .collect();
        found.sort_by_key(|(name, _)| *name);
        if let [(first, _), (second, _), ..] = found.as_slice() {
            self.rejections.push(Rejection {
                name: (*second).clone(),
                reason: format!("there is {first} already, and a proxy serves one workload"),
            });
        }
        found.first().map(|(name, inbound)| (name.as_str(), Arc::clone(inbound)))
    }

    fn policies(&mut self, inbound: Option<&(&str, Arc<Inbound>)>) -> Arc<Policies> {
        let Some((owner, inbound)) = inbound else { return Arc::default() };
        if !self.is_touched("policy/") && !self.is_touched("inbound/") {
            return Arc::clone(&self.before.policies);
        }
        let mut policies = Vec::with_capacity(inbound.policies.len());
        for name in &inbound.policies {
            match self.nodes.get(name) {
                Some(Node::Policy(policy)) => policies.push(Arc::clone(policy)),
                _ => self.reject(owner, name),
            }
        }
        Arc::new(Policies::new(policies))
    }

    fn gateway(&mut self) -> FxHashMap<u16, Arc<GatewayPort>> {
        let mut ports = FxHashMap::default();
        for (name, node) in self.nodes {
            let Node::Gateway(spec) = node else { continue };
            for table in spec.tables() {
                if !matches!(self.nodes.get(table), Some(Node::GatewayRoutes(_))) {
                    self.reject(name, table);
                }
            }
            for secret in spec.secrets() {
                if !matches!(self.nodes.get(secret), Some(Node::Secret(_))) {
                    self.reject(name, secret);
                }
            }
            let kept = self.before.gateway.get(&spec.port);
            let port = match kept.filter(|_| !self.is_touched(name)) {
                Some(kept) => Arc::clone(kept),
                None => Arc::new(GatewayPort::join(Arc::clone(spec), |table| {
                    match self.nodes.get(table) {
                        Some(Node::GatewayRoutes(table)) => Some(table),
                        _ => None,
                    }
                })),
            };
            ports.insert(spec.port, port);
        }
        ports
    }

    fn secrets(&self) -> FxHashMap<Arc<str>, Arc<lateen_mesh::v1::Secret>> {
        let secrets = self.nodes.iter().filter_map(|(name, node)| match node {
            Node::Secret(secret) => Some((Arc::from(name.as_str()), Arc::clone(secret))),
            _ => None,
        });
        secrets.collect()
    }
}

fn destination_name(key: &DestinationKey) -> String {
    let DestinationKey { host, port, subset } = key;
    Name::Destination { host: host.to_string(), port: *port, subset: subset.to_string() }
        .to_string()
}
