//! Envoy's messages of which the generated types would encode in a random order, because they hold
//! hash maps of several members. Here the maps are ordered, and only what is used has a field.

use std::collections::BTreeMap;

use envoy_types::pb::envoy::config::core::v3::{Address, Locality};
use envoy_types::pb::envoy::config::endpoint::v3::endpoint::AdditionalAddress;
use envoy_types::pb::google::protobuf::UInt32Value;

/// `envoy.config.core.v3.Metadata`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Metadata {
    #[prost(btree_map = "string, message", tag = "1")]
    pub(crate) filter_metadata: BTreeMap<String, Struct>,
}

/// `google.protobuf.Struct`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Struct {
    #[prost(btree_map = "string, message", tag = "1")]
    pub(crate) fields: BTreeMap<String, Value>,
}

/// `google.protobuf.Value`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Value {
    #[prost(oneof = "Kind", tags = "3, 4, 5, 6")]
    pub(crate) kind: Option<Kind>,
}

/// The kinds of values that are used.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Kind {
    #[prost(string, tag = "3")]
    String(String),
    #[prost(bool, tag = "4")]
    Bool(bool),
    #[prost(message, tag = "5")]
    Struct(Struct),
    #[prost(message, tag = "6")]
    List(List),
}

/// `google.protobuf.ListValue`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct List {
    #[prost(message, repeated, tag = "1")]
    pub(crate) values: Vec<Value>,
}

impl Value {
    pub(crate) fn string(text: impl Into<String>) -> Self {
        Self { kind: Some(Kind::String(text.into())) }
    }

    pub(crate) fn bool(value: bool) -> Self {
        Self { kind: Some(Kind::Bool(value)) }
    }

    pub(crate) fn list(values: Vec<Self>) -> Self {
        Self { kind: Some(Kind::List(List { values })) }
    }
}

impl Struct {
    pub(crate) fn new<const N: usize>(fields: [(&str, Value); N]) -> Self {
        Self { fields: fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect() }
    }

    pub(crate) fn into_value(self) -> Value {
        Value { kind: Some(Kind::Struct(self)) }
    }
}

impl Metadata {
    pub(crate) fn new<const N: usize>(namespaces: [(&str, Struct); N]) -> Self {
        let namespaces = namespaces.into_iter().filter(|(_, content)| !content.fields.is_empty());
        Self { filter_metadata: namespaces.map(|(key, it)| (key.to_owned(), it)).collect() }
    }
}

/// The fields of `envoy.config.cluster.v3.Cluster` that are appended to the generated message: in
/// protobuf, messages merge when their encodings follow each other.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ClusterTail {
    #[prost(message, optional, tag = "25")]
    pub(crate) metadata: Option<Metadata>,
    #[prost(message, optional, tag = "33")]
    pub(crate) load_assignment: Option<ClusterLoadAssignment>,
}

/// `envoy.config.endpoint.v3.ClusterLoadAssignment`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ClusterLoadAssignment {
    #[prost(string, tag = "1")]
    pub(crate) cluster_name: String,
    #[prost(message, repeated, tag = "2")]
    pub(crate) endpoints: Vec<LocalityLbEndpoints>,
}

/// `envoy.config.endpoint.v3.LocalityLbEndpoints`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LocalityLbEndpoints {
    #[prost(message, optional, tag = "1")]
    pub(crate) locality: Option<Locality>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) lb_endpoints: Vec<LbEndpoint>,
}

/// `envoy.config.endpoint.v3.LbEndpoint`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LbEndpoint {
    #[prost(message, optional, tag = "1")]
    pub(crate) endpoint: Option<Endpoint>,
    #[prost(int32, tag = "2")]
    pub(crate) health_status: i32,
    #[prost(message, optional, tag = "3")]
    pub(crate) metadata: Option<Metadata>,
    #[prost(message, optional, tag = "4")]
    pub(crate) load_balancing_weight: Option<UInt32Value>,
}

/// `envoy.config.endpoint.v3.Endpoint`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Endpoint {
    #[prost(message, optional, tag = "1")]
    pub(crate) address: Option<Address>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) additional_addresses: Vec<AdditionalAddress>,
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::cluster::v3::Cluster;
    use prost::Message;

    use super::*;

    #[test]
    fn a_cluster_and_its_tail_are_one_message() {
        let cluster = Cluster { name: "a".to_owned(), ..Cluster::default() };
        let mut bytes = cluster.encode_to_vec();
        let service = Struct::new([("host", Value::string("h")), ("name", Value::string("n"))]);
        let tail = ClusterTail {
            metadata: Some(Metadata::new([("istio", service)])),
            load_assignment: Some(ClusterLoadAssignment {
                cluster_name: "a".to_owned(),
                endpoints: vec![LocalityLbEndpoints {
                    lb_endpoints: vec![LbEndpoint { health_status: 2, ..LbEndpoint::default() }],
                    ..LocalityLbEndpoints::default()
                }],
            }),
        };
        bytes.extend(tail.encode_to_vec());
        let read = Cluster::decode(&*bytes).unwrap();
        assert_eq!(read.name, "a");
        assert_eq!(read.metadata.unwrap().filter_metadata["istio"].fields.len(), 2);
        let endpoints = read.load_assignment.unwrap().endpoints;
        assert_eq!(endpoints[0].lb_endpoints[0].health_status, 2);
    }
}
