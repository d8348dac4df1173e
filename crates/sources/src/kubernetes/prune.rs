//! JSON that is cut down while it is read: what nobody looks at is skipped and never becomes a value.
//!
//! What is looked at follows from the declarations in `lateen-api`: of a message that is *open* (most of
//! Kubernetes' own are) only the declared fields stay. The objects of a large cluster are mostly made of
//! the rest.

use std::fmt;

use lateen_api::Kind;
use lateen_api::kubernetes::{EndpointSlice, Namespace, Pod, Secret, Service};
use lateen_api::message::{Message, MessageDescriptor, Shape};
use lateen_api::object::ObjectMeta;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// What stays of a value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Keep {
    /// All of it.
    All,
    /// An object of the API server: its name, its metadata as far as they are read, and of the rest
    /// what the message declares (none: everything).
    Object(Option<&'static MessageDescriptor>),
    /// An object of which only name and metadata are read.
    Named,
    /// A message: where it is open, only the fields that are declared.
    Message(&'static MessageDescriptor),
    /// A list or a mapping of such things.
    Each(fn() -> Shape),
    /// All but these members, at any depth.
    Without(&'static [&'static str]),
}

/// The longest part of most objects, which is the object again.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

impl Keep {
    /// For objects of a kind.
    pub fn object(kind: Kind) -> Self {
        let declared = match kind {
            // A node is known by its labels alone.
            Kind::Node => return Self::Named,
            Kind::Pod => Pod::descriptor(),
            Kind::Service => Service::descriptor(),
            Kind::EndpointSlice => EndpointSlice::descriptor(),
            Kind::Namespace => Namespace::descriptor(),
            Kind::Secret => Secret::descriptor(),
            _ => return Self::Object(None),
        };
        Self::Object(Some(declared))
    }

    /// For definitions of kinds.
    pub fn definition() -> Self {
        Self::Without(&["schema", "managedFields", "annotations", "additionalPrinterColumns"])
    }

    /// What stays of a member; `None`: nothing.
    fn member(self, key: &str) -> Option<Self> {
        match self {
            Self::All => (key != LAST_APPLIED).then_some(self),
            Self::Without(unwanted) => (!unwanted.contains(&key)).then_some(self),
            Self::Each(shape) => (key != LAST_APPLIED).then(|| Self::shaped(shape())),
            Self::Message(message) => of(message, key),
            Self::Object(message) => match (key, message) {
                // What we write ourselves must not look like a change of the object.
                ("status", None) => None,
                ("apiVersion" | "kind" | "metadata", _) => envelope(key),
                (_, None) => Some(Self::All),
                (_, Some(message)) => of(message, key),
            },
            Self::Named => envelope(key),
        }
    }

    fn item(self) -> Self {
        match self {
            Self::Each(shape) => Self::shaped(shape()),
            same => same,
        }
    }

    fn shaped(shape: Shape) -> Self {
        match shape {
            Shape::Message(message) => Self::Message(message()),
            Shape::List(each) | Shape::Map(each) => Self::Each(each),
            _ => Self::All,
        }
    }
}

/// A member that all objects have.
fn envelope(key: &str) -> Option<Keep> {
    match key {
        "metadata" => Some(Keep::Message(ObjectMeta::descriptor())),
        "apiVersion" | "kind" => Some(Keep::All),
        _ => None,
    }
}

/// A member of a message. What a closed one does not declare stays, so that it can be complained about.
fn of(message: &'static MessageDescriptor, key: &str) -> Option<Keep> {
    match message.fields().find(|field| field.name == key) {
        Some(field) => Some(Keep::shaped((field.shape)())),
        None => (!message.open).then_some(Keep::All),
    }
}

impl<'de> DeserializeSeed<'de> for Keep {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Keep {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.item())? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            match self.member(&key) {
                Some(keep) => {
                    map.insert(key, members.next_value_seed(keep)?);
                }
                None => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pruned(keep: Keep, value: &Value) -> Value {
        let text = value.to_string();
        keep.deserialize(&mut serde_json::Deserializer::from_str(&text)).unwrap()
    }

    #[test]
    fn a_pod_is_cut_down_to_what_is_read() {
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "web-1",
                "namespace": "shop",
                "labels": {"app": "web"},
                "annotations": {"a": "b", LAST_APPLIED: "{}"},
                "managedFields": [{"manager": "kubelet"}],
            },
            "spec": {
                "serviceAccountName": "web",
                "volumes": [{"name": "token"}],
                "containers": [{
                    "name": "app",
                    "image": "nginx",
                    "ports": [{"name": "http", "containerPort": 80, "hostPort": 0}],
                    "env": [{"name": "A", "value": "1"}],
                }],
            },
            "status": {
                "podIP": "10.0.0.1",
                "conditions": [{"type": "Ready", "status": "True", "lastProbeTime": null}],
                "containerStatuses": [{"restartCount": 3}],
            },
        });
        assert_eq!(
            pruned(Keep::object(Kind::Pod), &pod),
            json!({
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": "web-1",
                    "namespace": "shop",
                    "labels": {"app": "web"},
                    "annotations": {"a": "b"},
                },
                "spec": {
                    "serviceAccountName": "web",
                    "containers": [{
                        "name": "app",
                        "ports": [{"name": "http", "containerPort": 80}],
                    }],
                },
                "status": {
                    "podIP": "10.0.0.1",
                    "conditions": [{"type": "Ready", "status": "True"}],
                },
            })
        );
    }

    #[test]
    fn all_of_an_istio_object_stays_but_its_status() {
        let rule = json!({
            "apiVersion": "networking.istio.io/v1",
            "kind": "VirtualService",
            "metadata": {"name": "web", "generation": 3, "managedFields": []},
            "spec": {"hosts": ["web"], "unheard": {"status": 1.5}},
            "status": {"conditions": []},
        });
        assert_eq!(
            pruned(Keep::object(Kind::VirtualService), &rule),
            json!({
                "apiVersion": "networking.istio.io/v1",
                "kind": "VirtualService",
                "metadata": {"name": "web", "generation": 3},
                "spec": {"hosts": ["web"], "unheard": {"status": 1.5}},
            })
        );
    }

    #[test]
    fn a_closed_message_keeps_what_it_does_not_declare() {
        let service = json!({"spec": {"ports": [{"port": 80, "unheard": 1}], "unheard": {"a": 1}}});
        assert_eq!(pruned(Keep::object(Kind::Service), &service), service);
    }

    #[test]
    fn a_definition_comes_without_its_schemas() {
        let definition = json!({
            "spec": {"versions": [{"name": "v1", "served": true, "schema": {"a": [1]}}]},
        });
        assert_eq!(
            pruned(Keep::definition(), &definition),
            json!({"spec": {"versions": [{"name": "v1", "served": true}]}})
        );
    }
}
