//! The account of fields: every field of every kind, and whether Lateen acts on it.

use crate::extensions::{TrafficExtension, WasmPlugin};
use crate::kind::{Kind, Support};
use crate::kubernetes::{ConfigMap, EndpointSlice, Namespace, Pod, Secret, Service};
use crate::mesh_config::MeshConfig;
use crate::message::{FieldDescriptor, Honoured, Message, MessageDescriptor, Shape};
use crate::networking::{
    DestinationRule, EnvoyFilter, Gateway, ProxyConfig, ServiceEntry, Sidecar, VirtualService,
    WorkloadEntry, WorkloadGroup,
};
use crate::security::{AuthorizationPolicy, PeerAuthentication, RequestAuthentication};
use crate::telemetry::Telemetry;

/// One line of the account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldAccount {
    /// The kind.
    pub kind: Kind,
    /// The field without indices, `spec.http[].fault`; empty for a kind of which only the name is
    /// known.
    pub path: String,
    /// A value of the field, where values differ in being honoured.
    pub value: Option<&'static str>,
    /// Whether Lateen acts on it.
    pub honoured: bool,
}

/// The description of a kind, and the path at which it stands in an object. Nothing for kinds of
/// which only the metadata is read.
pub fn description(kind: Kind) -> Option<(&'static MessageDescriptor, &'static str)> {
    Some(match kind {
        Kind::VirtualService => (VirtualService::descriptor(), "spec"),
        Kind::DestinationRule => (DestinationRule::descriptor(), "spec"),
        Kind::Gateway => (Gateway::descriptor(), "spec"),
        Kind::ServiceEntry => (ServiceEntry::descriptor(), "spec"),
        Kind::WorkloadEntry => (WorkloadEntry::descriptor(), "spec"),
        Kind::Sidecar => (Sidecar::descriptor(), "spec"),
        Kind::PeerAuthentication => (PeerAuthentication::descriptor(), "spec"),
        Kind::AuthorizationPolicy => (AuthorizationPolicy::descriptor(), "spec"),
        Kind::EnvoyFilter => (EnvoyFilter::descriptor(), "spec"),
        Kind::ProxyConfig => (ProxyConfig::descriptor(), "spec"),
        Kind::WorkloadGroup => (WorkloadGroup::descriptor(), "spec"),
        Kind::RequestAuthentication => (RequestAuthentication::descriptor(), "spec"),
        Kind::Telemetry => (Telemetry::descriptor(), "spec"),
        Kind::WasmPlugin => (WasmPlugin::descriptor(), "spec"),
        Kind::TrafficExtension => (TrafficExtension::descriptor(), "spec"),
        Kind::MeshConfig => (MeshConfig::descriptor(), ""),
        Kind::Service => (Service::descriptor(), ""),
        Kind::EndpointSlice => (EndpointSlice::descriptor(), ""),
        Kind::Pod => (Pod::descriptor(), ""),
        Kind::Namespace => (Namespace::descriptor(), ""),
        Kind::Secret => (Secret::descriptor(), ""),
        Kind::ConfigMap => (ConfigMap::descriptor(), ""),
        _ => return None,
    })
}

/// Values of text fields that are not honoured yet, where the field itself is.
const PENDING_VALUES: &[(Kind, &str, &str)] = &[
    (Kind::AuthorizationPolicy, "spec.rules[].when[].key", "request.auth.*"),
    (Kind::AuthorizationPolicy, "spec.rules[].when[].key", "experimental.envoy.filters.*"),
];

/// Every field of every kind. Fields below one that is not honoured are not honoured either.
pub fn account() -> impl Iterator<Item = FieldAccount> {
    let mut lines = Vec::new();
    for &kind in Kind::ALL {
        match description(kind) {
            Some((descriptor, root)) => {
                let honoured = kind.support() == Support::Honoured;
                Walk { kind, lines: &mut lines }.message(descriptor, root, honoured);
            }
            None => lines.push(FieldAccount {
                kind,
                path: String::new(),
                value: None,
                honoured: kind.support() == Support::Honoured,
            }),
        }
    }
    for &(kind, path, value) in PENDING_VALUES {
        lines.push(FieldAccount {
            kind,
            path: path.to_owned(),
            value: Some(value),
            honoured: false,
        });
    }
    lines.into_iter()
}

struct Walk<'a> {
    kind: Kind,
    lines: &'a mut Vec<FieldAccount>,
}

impl Walk<'_> {
    fn message(&mut self, descriptor: &MessageDescriptor, path: &str, honoured: bool) {
        for field in descriptor.fields() {
            self.field(field, path, honoured);
        }
    }

    fn field(&mut self, field: &FieldDescriptor, parent: &str, honoured: bool) {
        let honoured = honoured && field.honoured == Honoured::Yes;
        let dot = if parent.is_empty() { "" } else { "." };
        let path = format!("{parent}{dot}{}", field.name);
        self.shape((field.shape)(), path, honoured);
    }

    fn shape(&mut self, shape: Shape, path: String, honoured: bool) {
        match shape {
            Shape::List(item) | Shape::Map(item) => {
                self.shape(item(), format!("{path}[]"), honoured);
            }
            Shape::Message(descriptor) => {
                self.line(path.clone(), None, honoured);
                self.message(descriptor(), &path, honoured);
            }
            Shape::Enum(descriptor) => {
                self.line(path.clone(), None, honoured);
                for value in descriptor().values {
                    let honoured = honoured && value.honoured == Honoured::Yes;
                    self.line(path.clone(), Some(value.name), honoured);
                }
            }
            _ => self.line(path, None, honoured),
        }
    }

    fn line(&mut self, path: String, value: Option<&'static str>, honoured: bool) {
        self.lines.push(FieldAccount { kind: self.kind, path, value, honoured });
    }
}
