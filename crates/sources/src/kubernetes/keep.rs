//! What is known of the objects of one kind: no objects, but their names and a hash of what each said.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::Arc;

use lateen_api::{Code, Diagnostic, Kind, Object, ObjectRef, Severity, parse_json};
use serde_json::Value;

/// Names the API server as the place where objects come from.
pub(super) const ORIGIN: &str = "kubernetes";

/// The name that a ConfigMap has that holds the mesh's settings, whatever it is called in the cluster.
const MESH_CONFIG: &str = "istio";

/// Where the certificates of gateways stand in secrets (Istio's `credentialName`); nothing else of a secret
/// is kept.
const CREDENTIALS: [&str; 8] =
    ["tls.crt", "tls.key", "ca.crt", "ca.crl", "cert", "key", "cacert", "crl"];

/// Objects of one kind.
#[derive(Debug)]
pub(super) struct Known {
    kind: Kind,
    entries: BTreeMap<Name, Entry>,
    /// Counts lists.
    list: u32,
}

/// A namespace, of which many names share one, and a name.
type Name = (Arc<str>, Box<str>);

#[derive(Debug)]
struct Entry {
    /// What it said last, be it good or not.
    said: u64,
    /// The last list that it was in, or during which it was heard of.
    list: u32,
    /// A version of it was taken.
    in_force: bool,
}

/// What became of an object.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It says what it said.
    Same,
    /// It is new, or says something else.
    Taken(Box<Object>, Vec<Diagnostic>),
    /// It cannot be taken; what was before stays.
    Rejected(ObjectRef, Vec<Diagnostic>),
    /// It is not there any more, or never was for the mesh; whether a version of it was in force.
    Gone(ObjectRef, bool),
}

impl Known {
    pub fn new(kind: Kind) -> Self {
        Self { kind, entries: BTreeMap::new(), list: 0 }
    }

    /// A list begins.
    pub fn begin_list(&mut self) {
        self.list = self.list.wrapping_add(1);
    }

    /// A list is complete: the objects that it did not hold, and whether a version of each was in force.
    pub fn end_list(&mut self) -> Vec<(ObjectRef, bool)> {
        let (kind, list) = (self.kind, self.list);
        let gone = self.entries.extract_if(.., |_, entry| entry.list != list);
        gone.map(|(name, entry)| (reference(kind, &name), entry.in_force)).collect()
    }

    /// Forgets everything; gives the objects of which a version was in force.
    pub fn forget(&mut self) -> Vec<ObjectRef> {
        let entries = std::mem::take(&mut self.entries);
        let in_force = entries.into_iter().filter(|(_, entry)| entry.in_force);
        in_force.map(|(name, _)| reference(self.kind, &name)).collect()
    }

    /// Takes an object in as it is now. `is_seen`: its namespace belongs to the mesh.
    pub fn take(&mut self, mut value: Value, is_seen: impl Fn(&str) -> bool) -> Option<Outcome> {
        let name = self.name(&value)?;
        prepare(self.kind, &mut value);
        if !is_seen(&name.0) || is_of_no_use(self.kind, &value) {
            return Some(self.remove_name(&name));
        }
        let said = fingerprint(&value);
        let former = self.entries.get_mut(&name);
        let was_in_force = former.as_ref().is_some_and(|former| former.in_force);
        if let Some(former) = former {
            former.list = self.list;
            if former.said == said {
                return Some(Outcome::Same);
            }
        }
        let mut parsed = parse_json(&value, ORIGIN);
        parsed.diagnostics.retain(is_worth_saying);
        let taken = parsed.objects.pop();
        let entry = Entry { said, list: self.list, in_force: was_in_force || taken.is_some() };
        let object = reference(self.kind, &name);
        self.entries.insert(name, entry);
        Some(match taken {
            Some(object) => Outcome::Taken(Box::new(object), parsed.diagnostics),
            None => Outcome::Rejected(object, parsed.diagnostics),
        })
    }

    /// Takes in that an object is gone.
    pub fn remove(&mut self, value: &Value) -> Option<Outcome> {
        let mut name = self.name(value)?;
        if self.kind == Kind::ConfigMap {
            name.1 = MESH_CONFIG.into();
        }
        Some(self.remove_name(&name))
    }

    fn remove_name(&mut self, name: &Name) -> Outcome {
        let in_force = self.entries.remove(name).is_some_and(|entry| entry.in_force);
        Outcome::Gone(reference(self.kind, name), in_force)
    }

    /// The name of an object; nothing for what is none.
    fn name(&self, value: &Value) -> Option<Name> {
        let meta = &value["metadata"];
        let namespace = meta["namespace"].as_str().unwrap_or_default();
        let name = match self.kind {
            Kind::ConfigMap => MESH_CONFIG,
            _ => meta["name"].as_str()?,
        };
        // Sorted by namespace, so that a neighbour's can be shared.
        let first: Name = (Arc::from(namespace), name.into());
        let neighbour = self.entries.range(..&first).next_back();
        let shared = neighbour.filter(|((known, _), _)| **known == *namespace);
        Some(match shared {
            Some(((known, _), _)) => (Arc::clone(known), first.1),
            None => first,
        })
    }
}

fn reference(kind: Kind, (namespace, name): &Name) -> ObjectRef {
    ObjectRef::new(kind, &**namespace, &**name)
}

/// Adds what items of a list leave out, and takes out what changes without a change of meaning or is said
/// by nobody but the API server.
fn prepare(kind: Kind, value: &mut Value) {
    if value["apiVersion"].is_null() {
        value["apiVersion"] = kind.api_version().into();
        value["kind"] = kind.name().into();
    }
    match kind {
        // A revision's settings are called `istio-<revision>`; everybody asks for `istio`.
        Kind::ConfigMap => value["metadata"]["name"] = MESH_CONFIG.into(),
        Kind::Service => without_defaults(value),
        Kind::Secret => {
            if let Some(data) = value["data"].as_object_mut() {
                data.retain(|key, _| CREDENTIALS.contains(&key.as_str()));
            }
        }
        _ => {}
    }
}

/// A secret that holds no certificate.
fn is_of_no_use(kind: Kind, value: &Value) -> bool {
    kind == Kind::Secret && value["data"].as_object().is_none_or(serde_json::Map::is_empty)
}

/// The API server fills in what nobody wrote; that the mesh does not act on such a field is no news.
fn without_defaults(service: &mut Value) {
    let Some(spec) = service["spec"].as_object_mut() else { return };
    for (field, default) in [
        ("sessionAffinity", Value::from("None")),
        ("internalTrafficPolicy", Value::from("Cluster")),
        ("externalTrafficPolicy", Value::from("Cluster")),
        ("allocateLoadBalancerNodePorts", Value::from(true)),
    ] {
        if spec.get(field) == Some(&default) {
            spec.remove(field);
        }
    }
}

/// What this source honours by itself is no field that nobody acts on.
fn is_worth_saying(diagnostic: &Diagnostic) -> bool {
    let is_ours = diagnostic.field == "data.mesh.discoverySelectors"
        && diagnostic.code == Code::FieldNotHonoured;
    diagnostic.severity != Severity::Info && !is_ours
}

/// A hash of everything that an object says: its version is none of that, nor which API it was read by.
fn fingerprint(value: &Value) -> u64 {
    struct Hashed(DefaultHasher);
    impl io::Write for Hashed {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut hashed = Hashed(DefaultHasher::new());
    let members = value.as_object().into_iter().flatten();
    for (key, member) in members.filter(|(key, _)| *key != "apiVersion" && *key != "kind") {
        key.hash(&mut hashed.0);
        let members = member.as_object().filter(|_| key == "metadata");
        let Some(members) = members else {
            serde_json::to_writer(&mut hashed, member)
                .expect("invariant: a JSON value can be written");
            continue;
        };
        for (key, member) in members {
            if key != "resourceVersion" && key != "generation" {
                key.hash(&mut hashed.0);
                serde_json::to_writer(&mut hashed, member)
                    .expect("invariant: a JSON value can be written");
            }
        }
    }
    hashed.0.finish()
}

#[cfg(test)]
mod tests;
