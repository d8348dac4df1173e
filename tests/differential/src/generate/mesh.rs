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
