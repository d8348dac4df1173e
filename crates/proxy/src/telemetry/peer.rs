//! Peer metadata: what two proxies tell each other about their workloads.
//!
//! A client's proxy sends two headers with every request, the server's proxy takes them off and
//! answers with its own (`istio-contracts.md` §12). They are believed only under mutual TLS, and
//! only where they agree with the identity that the peer has proved.

use std::collections::BTreeMap;
use std::rc::Rc;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, HeaderName, HeaderValue};
use lateen_engine::destination::Template;
use lateen_mesh::v1;
use prost::Message;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use rustc_hash::FxHashMap;

use super::record::Peer;

/// Base64 of a serialised `google.protobuf.Struct`.
pub const METADATA: HeaderName = HeaderName::from_static("x-envoy-peer-metadata");

/// The node id that the metadata belongs to.
pub const METADATA_ID: HeaderName = HeaderName::from_static("x-envoy-peer-metadata-id");

const CANONICAL_NAME: &str = "service.istio.io/canonical-name";
const CANONICAL_REVISION: &str = "service.istio.io/canonical-revision";

/// How many peers' metadata a worker keeps decoded; Istio's number.
const CACHED: usize = 500;

/// Metadata larger than this is not read: it is a handful of short strings.
const LONGEST: usize = 16 * 1024;

/// The standard alphabet, with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The proxy's own workload, as metrics name it and as peers are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnWorkload {
    /// Name of the owner of the pods, such as a Deployment.
    pub workload: String,
    /// Namespace.
    pub namespace: String,
    /// Canonical service.
    pub canonical_name: String,
    /// Canonical revision; `latest` when there is none.
    pub canonical_revision: String,
    /// Label `app`.
    pub app: String,
    /// Label `version`.
    pub version: String,
    /// Cluster (of machines) that it runs in.
    pub cluster: String,
    /// SPIFFE ID, whole.
    pub principal: String,
    headers: Option<(HeaderValue, HeaderValue)>,
}

impl OwnWorkload {
    /// The workload of which nothing is known yet.
    #[must_use]
    pub fn unknown() -> Self {
        Self::new(&v1::Workload::default(), "", "")
    }

    /// The workload as the control plane describes it. `node_id` is the id under which the proxy
    /// calls the control plane.
    #[must_use]
    pub fn new(workload: &v1::Workload, trust_domain: &str, node_id: &str) -> Self {
        let label = |name: &str| workload.labels.get(name).cloned().unwrap_or_default();
        let or = |value: &str, otherwise: &str| {
            if value.is_empty() { otherwise.to_owned() } else { value.to_owned() }
        };
        let account = &workload.service_account;
        let principal = match account.as_str() {
            "" => String::new(),
            _ => format!("spiffe://{trust_domain}/ns/{}/sa/{account}", workload.namespace),
        };
        let mut own = Self {
            workload: or(&workload.owner_name, &workload.name),
            namespace: workload.namespace.clone(),
            canonical_name: or(&workload.canonical_name, &workload.owner_name),
            canonical_revision: or(&workload.canonical_revision, "latest"),
            app: label("app"),
            version: label("version"),
            cluster: workload.cluster.clone(),
            principal,
            headers: None,
        };
        let metadata = BASE64.encode(own.metadata(workload).encode_to_vec());
        own.headers = match (HeaderValue::try_from(node_id), HeaderValue::try_from(metadata)) {
            (Ok(id), Ok(metadata)) if !node_id.is_empty() => Some((id, metadata)),
            _ => None,
        };
        own
    }

    /// Adds the two headers that tell a peer who this is; nothing as long as it is not known.
    pub fn announce(&self, headers: &mut HeaderMap) {
        if let Some((id, metadata)) = &self.headers {
            headers.insert(METADATA_ID, id.clone());
            headers.insert(METADATA, metadata.clone());
        }
    }

    fn metadata(&self, workload: &v1::Workload) -> Struct {
        let mut labels = BTreeMap::new();
        let mut label = |name: &str, value: &str| {
            if !value.is_empty() {
                labels.insert(name.to_owned(), text(value));
            }
        };
        label(CANONICAL_NAME, &self.canonical_name);
        label(CANONICAL_REVISION, &self.canonical_revision);
        label("app", &self.app);
        label("version", &self.version);
        let (region, zone) = match workload.locality.split_once('/') {
            Some((region, rest)) => (region, rest.split('/').next().unwrap_or_default()),
            None => (workload.locality.as_str(), ""),
        };
        let named = [
            ("NAME", workload.name.as_str()),
            ("NAMESPACE", &self.namespace),
            ("WORKLOAD_NAME", &self.workload),
            ("CLUSTER_ID", &self.cluster),
            ("IDENTITY", &self.principal),
            ("OWNER", &owner(workload)),
            ("REGION", region),
            ("AVAILABILITY_ZONE", zone),
        ];
        let mut fields: BTreeMap<String, Value> = named
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name.to_owned(), text(value)))
            .collect();
        let labels = Value { kind: Some(Kind::StructValue(Struct { fields: labels })) };
        fields.insert("LABELS".to_owned(), labels);
        Struct { fields }
    }
}

/// Who owns the workload, in Istio's form, `OWNER` of a node's metadata:
/// `kubernetes://apis/<api version>/namespaces/<namespace>/<kind>s/<name>`; empty if nobody does.
#[must_use]
pub fn owner(workload: &v1::Workload) -> String {
    let version = match workload.owner_kind.as_str() {
        "" => return String::new(),
        "deployment" | "statefulset" | "daemonset" | "replicaset" => "apps/v1",
        "job" | "cronjob" => "batch/v1",
        _ => "v1",
    };
    let v1::Workload { namespace, owner_kind, owner_name, .. } = workload;
    format!("kubernetes://apis/{version}/namespaces/{namespace}/{owner_kind}s/{owner_name}")
}

fn text(value: &str) -> Value {
    Value { kind: Some(Kind::StringValue(value.to_owned())) }
}

/// What a peer has said of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PeerMetadata {
    namespace: String,
    workload: String,
    canonical_name: String,
    canonical_revision: String,
    app: String,
    version: String,
    cluster: String,
    identity: String,
}

impl PeerMetadata {
    /// Reads the value of [`METADATA`]; `None` if it is not what it should be.
    fn decode(header: &[u8]) -> Option<Self> {
        if header.len() > LONGEST {
            return None;
        }
        let bytes = BASE64.decode(header).ok()?;
        let Struct { fields } = Struct::decode(&*bytes).ok()?;
        let field = |name: &str| string(&fields, name);
        let labels = match fields.get("LABELS").and_then(|value| value.kind.as_ref()) {
            Some(Kind::StructValue(labels)) => Some(&labels.fields),
            _ => None,
        };
        let label = |name: &str| labels.map(|labels| string(labels, name)).unwrap_or_default();
        let workload = field("WORKLOAD_NAME");
        let canonical_name = match label(CANONICAL_NAME) {
            name if name.is_empty() => workload.clone(),
            name => name,
        };
        Some(Self {
            namespace: field("NAMESPACE"),
            canonical_name,
            canonical_revision: label(CANONICAL_REVISION),
            app: label("app"),
            version: label("version"),
            cluster: field("CLUSTER_ID"),
            identity: field("IDENTITY"),
            workload,
        })
    }

    /// Whether this may have been said by who proved to be `principal`.
    fn agrees_with(&self, principal: &str) -> bool {
        let Some((_, path)) =
            principal.strip_prefix("spiffe://").and_then(|rest| rest.split_once("/ns/"))
        else {
            return false;
        };
        let namespace = path.split_once('/').map_or(path, |(namespace, _)| namespace);
        self.namespace == namespace && (self.identity.is_empty() || self.identity == principal)
    }

    /// As metrics name it.
    #[must_use]
    pub fn peer(&self) -> Peer<'_> {
        Peer {
            workload: &self.workload,
            namespace: &self.namespace,
            canonical_name: &self.canonical_name,
            canonical_revision: &self.canonical_revision,
            app: &self.app,
            version: &self.version,
            cluster: &self.cluster,
        }
    }
}

fn string(fields: &BTreeMap<String, Value>, name: &str) -> String {
    match fields.get(name).and_then(|value| value.kind.as_ref()) {
        Some(Kind::StringValue(text)) => text.clone(),
        _ => String::new(),
    }
}

impl<'a> From<&'a Template> for Peer<'a> {
    /// What the control plane says of an endpoint: the fallback where it says nothing itself.
    fn from(template: &'a Template) -> Self {
        Self {
            workload: &template.workload,
            namespace: &template.namespace,
            canonical_name: &template.canonical_name,
            canonical_revision: &template.canonical_revision,
            app: template.label("app").unwrap_or_default(),
            version: template.label("version").unwrap_or_default(),
            cluster: &template.cluster,
        }
    }
}

/// Metadata that a worker has decoded, by the peers' ids.
#[derive(Debug, Default)]
pub(super) struct PeerCache {
    by_id: FxHashMap<Box<[u8]>, Decoded>,
}

/// A header, and what it says if it can be read.
#[derive(Debug)]
struct Decoded {
    header: HeaderValue,
    peer: Option<Rc<PeerMetadata>>,
}

impl PeerCache {
    /// Takes both headers off and returns what they say, if it can be believed of a peer that
    /// proved to be `principal`. `None` for the principal: nothing is believed.
    pub(super) fn take(&mut self, headers: &mut HeaderMap, principal: Option<&str>) -> Taken {
        let id = headers.remove(METADATA_ID);
        let metadata = headers.remove(METADATA);
        let present = id.is_some() || metadata.is_some();
        let peer = match (id, metadata, principal) {
            (Some(id), Some(metadata), Some(principal)) => {
                self.decode(id.as_bytes(), &metadata).filter(|peer| peer.agrees_with(principal))
            }
            _ => None,
        };
        Taken { present, peer }
    }

    fn decode(&mut self, id: &[u8], metadata: &HeaderValue) -> Option<Rc<PeerMetadata>> {
        if let Some(known) = self.by_id.get(id)
            && known.header == metadata
        {
            return known.peer.clone();
        }
        if self.by_id.len() >= CACHED {
            self.by_id.clear();
        }
        let peer = PeerMetadata::decode(metadata.as_bytes()).map(Rc::new);
        self.by_id.insert(id.into(), Decoded { header: metadata.clone(), peer: peer.clone() });
        peer
    }
}

/// What a peer's headers held.
#[derive(Debug, Clone, Default)]
pub struct Taken {
    /// Whether it sent any: a server answers with its own only then.
    pub present: bool,
    /// What it said, if it can be believed.
    pub peer: Option<Rc<PeerMetadata>>,
}

#[cfg(test)]
mod tests;
