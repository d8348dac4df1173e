//! An object as the rest of Lateen sees it: decoded, checked, with its place in a file.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use crate::diagnostic::FieldUse;
use crate::extensions::{TrafficExtension, WasmPlugin};
use crate::kind::{Kind, Scope};
use crate::kubernetes::{ConfigMap, EndpointSlice, Namespace, Pod, Secret, Service};
use crate::mesh_config::MeshConfig;
use crate::message::message;
use crate::networking::{
    DestinationRule, EnvoyFilter, Gateway, ProxyConfig, ServiceEntry, Sidecar, VirtualService,
    WorkloadEntry, WorkloadGroup,
};
use crate::path::Positions;
use crate::security::{AuthorizationPolicy, PeerAuthentication, RequestAuthentication};
use crate::telemetry::Telemetry;
use crate::value::Position;

message! {
    /// Who an object is: the part of Kubernetes' ObjectMeta that a mesh reads.
    pub struct ObjectMeta: open {
        /// The name, unique among the objects of the kind in the namespace.
        name: String, honoured;
        /// The namespace; empty for kinds that belong to the cluster.
        namespace: String, honoured;
        /// Labels.
        labels: BTreeMap<String, String>, honoured;
        /// Annotations.
        annotations: BTreeMap<String, String>, honoured;
        /// When the object was made. The oldest of several that contend wins.
        creation_timestamp: Option<Timestamp>, honoured;
        /// The API server's identifier of this object.
        uid: String, honoured;
        /// The API server's version of this object.
        resource_version: String, honoured;
        /// The version of the specification.
        generation: Option<i64>, honoured;
        /// Since when the object is being deleted.
        deletion_timestamp: Option<Timestamp>, honoured;
        /// Who owns this object.
        owner_references: Vec<OwnerReference>, honoured;
    }

    /// An owner of an object.
    pub struct OwnerReference: open {
        /// The owner's API version.
        api_version: String, honoured;
        /// The owner's kind.
        kind: String, honoured;
        /// The owner's name.
        name: String, honoured;
        /// Whether this owner is the one that manages the object.
        controller: bool, honoured;
    }
}

/// The name of an object among all others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// The kind.
    pub kind: Kind,
    /// The namespace; empty for kinds that belong to the cluster.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl ObjectRef {
    /// The name of an object.
    pub fn new(kind: Kind, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }
}

/// `VirtualService default/reviews`, `Namespace default`.
impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind.scope() {
            Scope::Cluster => write!(f, "{} {}", self.kind, self.name),
            Scope::Namespaced => write!(f, "{} {}/{}", self.kind, self.namespace, self.name),
        }
    }
}

/// Where an object came from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The file, or whatever names the place.
    pub file: Arc<str>,
    /// Where the object begins.
    pub position: Position,
}

/// An object that a user wrote, decoded and found valid.
#[derive(Debug, Clone)]
pub struct Object {
    /// The kind.
    pub kind: Kind,
    /// The API version as written, `networking.istio.io/v1beta1`. The versions of a kind mean the
    /// same.
    pub api_version: String,
    /// Name, labels, age.
    pub meta: ObjectMeta,
    /// What the object says.
    pub spec: Spec,
    /// Where it came from.
    pub origin: Origin,
    pub(crate) positions: Arc<Positions>,
    pub(crate) not_honoured: Vec<FieldUse>,
}

/// What an object says, by kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Spec {
    /// `networking.istio.io` VirtualService.
    VirtualService(Box<VirtualService>),
    /// `networking.istio.io` DestinationRule.
    DestinationRule(Box<DestinationRule>),
    /// `networking.istio.io` Gateway.
    Gateway(Box<Gateway>),
    /// `networking.istio.io` ServiceEntry.
    ServiceEntry(Box<ServiceEntry>),
    /// `networking.istio.io` WorkloadEntry.
    WorkloadEntry(Box<WorkloadEntry>),
    /// `networking.istio.io` Sidecar.
    Sidecar(Box<Sidecar>),
    /// `security.istio.io` PeerAuthentication.
    PeerAuthentication(Box<PeerAuthentication>),
    /// `security.istio.io` AuthorizationPolicy.
    AuthorizationPolicy(Box<AuthorizationPolicy>),
    /// `networking.istio.io` EnvoyFilter.
    EnvoyFilter(Box<EnvoyFilter>),
    /// `networking.istio.io` ProxyConfig.
    ProxyConfig(Box<ProxyConfig>),
    /// `networking.istio.io` WorkloadGroup.
    WorkloadGroup(Box<WorkloadGroup>),
    /// `security.istio.io` RequestAuthentication.
    RequestAuthentication(Box<RequestAuthentication>),
    /// `telemetry.istio.io` Telemetry.
    Telemetry(Box<Telemetry>),
    /// `extensions.istio.io` WasmPlugin.
    WasmPlugin(Box<WasmPlugin>),
    /// `extensions.istio.io` TrafficExtension.
    TrafficExtension(Box<TrafficExtension>),
    /// Kubernetes Service.
    Service(Box<Service>),
    /// Kubernetes EndpointSlice.
    EndpointSlice(Box<EndpointSlice>),
    /// Kubernetes Pod.
    Pod(Box<Pod>),
    /// Kubernetes Namespace.
    Namespace(Box<Namespace>),
    /// Kubernetes Secret.
    Secret(Box<Secret>),
    /// Kubernetes ConfigMap.
    ConfigMap(Box<ConfigMap>),
    /// The ConfigMap that holds the settings of the mesh: the settings, over Istio's defaults.
    /// Paths of fields begin with `data.mesh.`.
    MeshConfig(Box<MeshConfig>),
    /// A kind of Istio's language that Lateen knows but does not act on yet: only the metadata is
    /// read.
    NotHonoured,
}

impl Object {
    /// The object's name among all others.
    pub fn reference(&self) -> ObjectRef {
        ObjectRef::new(self.kind, &*self.meta.namespace, &*self.meta.name)
    }

    /// Where a field was written or, if it was not, the closest field around it that was. Nothing
    /// for an object that was not read from text.
    pub fn position(&self, field_path: &str) -> Option<Position> {
        self.positions.nearest(field_path)
    }

    /// The fields that this object sets and Lateen does not act on yet.
    pub fn not_honoured(&self) -> &[FieldUse] {
        &self.not_honoured
    }

    /// Whether both say the same: equal but for what the API server counts and for where they were
    /// written.
    pub fn same_meaning(&self, other: &Object) -> bool {
        self.kind == other.kind
            && self.spec == other.spec
            && self.meta.name == other.meta.name
            && self.meta.namespace == other.meta.namespace
            && self.meta.labels == other.meta.labels
            && self.meta.annotations == other.meta.annotations
            && self.meta.creation_timestamp == other.meta.creation_timestamp
            && self.meta.deletion_timestamp == other.meta.deletion_timestamp
            && self.meta.owner_references == other.meta.owner_references
    }

    /// An object that is made by a program instead of being read from text.
    pub fn synthetic(kind: Kind, meta: ObjectMeta, spec: Spec) -> Self {
        Self {
            kind,
            api_version: kind.api_version(),
            meta,
            spec,
            origin: Origin { file: Arc::from(""), position: Position::default() },
            positions: Arc::default(),
            not_honoured: Vec::new(),
        }
    }
}
