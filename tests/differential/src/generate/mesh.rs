//! Random meshes: objects that users could have written, about a few workloads that are always
//! there.

mod condition;
mod destinations;
mod gateways;
mod policies;
mod routes;
mod settings;
mod world;

use serde_json::{Value, json};

pub use destinations::{OUTSIDE, OUTSIDE_PORTS};
pub use world::{Port, Service, World};

use super::asked::{Asked, Place};
use super::random::Random;

/// A mesh.
#[derive(Debug, Clone)]
pub struct Mesh {
    /// Who there is.
    pub world: World,
    /// Everything, as objects.
    pub objects: Vec<Value>,
}

impl Mesh {
    /// The mesh that these numbers give.
    pub fn new(random: &mut Random) -> Self {
        let world = World::new(random);
        let mut objects = world.objects();
        objects.push(settings::settings(random));
        objects.extend(routes::for_sidecars(random, &world));
        objects.extend(destinations::rules(random, &world));
        objects.extend(destinations::entries(random));
        objects.extend(destinations::sidecars(random));
        objects.extend(gateways::gateways(random, &world));
        objects.extend(policies::peer_authentications(random, &world));
        objects.extend(policies::authorization_policies(random, &world));
        Self { world, objects }
    }
}

impl Mesh {
    /// Whether there is something to connect to: a service may be hidden from the client.
    pub(super) fn can_be_dialled(&self, asked: &Asked) -> bool {
        match asked.place {
            Place::Outbound => self.is_visible(&asked.service, asked.port),
            Place::Inbound => true,
            Place::Gateway => {
                let gateways = self.objects.iter().filter(|object| object["kind"] == "Gateway");
                let servers = gateways.filter_map(|gateway| gateway["spec"]["servers"].as_array());
                servers.flatten().any(|server| server["port"]["number"] == asked.port)
            }
        }
    }

    /// Whether the client's Sidecar, if there is one, lets it know a port of a service. What it knows
    /// because a route leads there does not count.
    fn is_visible(&self, host: &str, port: u16) -> bool {
        let exported = |object: &&Value| object["spec"]["hosts"][0] == host;
        let entry = self.objects.iter().filter(|it| it["kind"] == "ServiceEntry").find(exported);
        let service = self.world.services.iter().find(|service| service.host == host);
        let namespace = service.map_or("default", |service| service.namespace.as_str());
        let Some(sidecar) = self.objects.iter().find(|it| it["kind"] == "Sidecar") else {
            return service.is_some() || entry.is_some();
        };
        let mut listeners = sidecar["spec"]["egress"].as_array().into_iter().flatten();
        listeners.any(|listener| {
            let own = listener["port"]["number"].as_u64();
            let hosts =
                listener["hosts"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let hosts: Vec<&str> = hosts.collect();
            let covers = |pattern: &str| {
                let (of, name) = pattern.split_once('/').unwrap_or(("*", pattern));
                (of == "*" || of == namespace || (of == "." && namespace == "default"))
                    && (name == "*" || name == host)
            };
            let excluded = hosts.iter().filter_map(|it| it.strip_prefix('~')).any(covers);
            own.is_none_or(|own| own == u64::from(port))
                && !excluded
                && hosts.iter().any(|host| covers(host))
        })
    }
}

/// An object; `spec` may be null.
fn object(kind: (&str, &str), namespace: &str, name: &str, spec: &Value) -> Value {
    let mut object = json!({
        "apiVersion": kind.0,
        "kind": kind.1,
        "metadata": { "name": name, "namespace": namespace },
    });
    if !spec.is_null() {
        object["spec"] = spec.clone();
    }
    object
}
