//! From text to objects: every document decoded, checked and reported on.

use std::collections::HashSet;
use std::sync::Arc;

use crate::diagnostic::{Code, Diagnostic, FieldUse, Finding, Severity};
use crate::json;
use crate::kind::{Kind, Scope, Support};
use crate::mesh_config::{MeshConfig, MeshNetworks};
use crate::message::{Decode, Decoded, Decoder, Message};
use crate::object::{Object, ObjectMeta, ObjectRef, Origin, Spec};
use crate::path::Positions;
use crate::validate::{self, Validator};
use crate::value::{Entry, Node, Position, Value};
use crate::yaml;

/// What a text holds.
#[derive(Debug, Default)]
pub struct Parsed {
    /// The objects without errors, in the order of the text.
    pub objects: Vec<Object>,
    /// The objects with errors, as far as they could be named. Their last good versions keep
    /// serving.
    pub rejected: Vec<ObjectRef>,
    /// Everything to say about the text and its objects.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads YAML or JSON with any number of documents; `file` names the text in diagnostics.
pub fn parse(text: &str, file: &str) -> Parsed {
    let mut reader = Reader::new(file);
    for document in yaml::documents(text) {
        match document {
            Ok(node) => reader.document(&node),
            Err(error) => {
                let code = if error.duplicate_key { Code::DuplicateField } else { Code::Syntax };
                reader.say(None, Severity::Error, code, "", error.position, error.message);
            }
        }
    }
    reader.parsed
}

/// Reads one document, or a part of one, that is an object (or a `List` of them).
pub fn parse_node(node: &Node, file: &str) -> Parsed {
    let mut reader = Reader::new(file);
    reader.document(node);
    reader.parsed
}

/// Reads an object (or a `List` of them) as the API server gives it: JSON without places, so that
/// diagnostics name the field but no line. What the server notes for itself
/// (`metadata.managedFields`, and the annotation with kubectl's last applied configuration) is passed
/// over; `origin` names the source in diagnostics.
pub fn parse_json(object: &serde_json::Value, origin: &str) -> Parsed {
    parse_node(&json::node(object), origin)
}

/// The settings of a mesh, read apart from their ConfigMap.
#[derive(Debug)]
pub struct ParsedMeshConfig {
    /// The settings over Istio's defaults.
    pub mesh: Box<MeshConfig>,
    /// The fields that are set and not honoured yet.
    pub not_honoured: Vec<FieldUse>,
    /// Everything to say about them.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads the settings of a mesh as they stand under the ConfigMap's key `mesh`.
pub fn parse_mesh_config(text: &str, file: &str) -> ParsedMeshConfig {
    let file: Arc<str> = Arc::from(file);
    let mut decoder = Decoder::new(Severity::Warning);
    let mesh = mesh_config(text, Position { line: 1, column: 1 }, &mut decoder);
    let mut decoded = decoder.finish();
    let mut validator = Validator::default();
    validate::mesh_config(&mut validator, &mesh);
    decoded.findings.extend(validator.finish().findings);
    let not_honoured = decoded.not_honoured.clone();
    let diagnostics = finish_diagnostics(decoded, None, &file).1;
    ParsedMeshConfig { mesh: Box::new(mesh), not_honoured, diagnostics }
}

/// Reads the settings from text whose first character stands at `start` of the file.
fn mesh_config(text: &str, start: Position, decoder: &mut Decoder) -> MeshConfig {
    let mut mesh = MeshConfig::with_defaults();
    let Some(document) = yaml::documents(text).into_iter().next() else {
        return mesh;
    };
    match embedded(document, start, decoder) {
        Some(Node { value: Value::Map(entries), .. }) => mesh.merge(&entries, decoder),
        Some(node) => decoder.expected(&node, "a mapping"),
        None => {}
    }
    mesh
}

/// Keys of an object that are not part of what it says.
const ENVELOPE: &[&str] = &["apiVersion", "kind", "metadata", "status"];

struct Reader {
    file: Arc<str>,
    parsed: Parsed,
    /// The objects taken so far.
    known: HashSet<ObjectRef>,
}

impl Reader {
    fn new(file: &str) -> Self {
        Self { file: Arc::from(file), parsed: Parsed::default(), known: HashSet::new() }
    }

    fn document(&mut self, node: &Node) {
        let Value::Map(entries) = &node.value else {
            let message = format!("expected an object, found {}", node.value.describe());
            return self.say(None, Severity::Error, Code::NotAnObject, "", node.position, message);
        };
        let text = |key| node.get(key).and_then(Node::as_str);
        let (Some(api_version), Some(kind)) = (text("apiVersion"), text("kind")) else {
            let message = "an object needs `apiVersion` and `kind`";
            return self.say(None, Severity::Error, Code::NotAnObject, "", node.position, message);
        };
        if kind == "List" || kind.ends_with("List") && node.get("items").is_some() {
            return self.list(node);
        }
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        match Kind::find(group, kind) {
            Some(Kind::MeshConfig) | None => self.foreign(node, api_version, kind),
            Some(found) if found.versions().contains(&version) => {
                self.object(node, entries, found, api_version);
            }
            Some(found) => self.unknown_version(node, found, version),
        }
    }

    fn list(&mut self, node: &Node) {
        match node.get("items").map(|items| &items.value) {
            Some(Value::List(items)) => items.iter().for_each(|item| self.document(item)),
            Some(Value::Null) | None => {}
            Some(_) => {
                let message = "`items` is not a list";
                self.say(None, Severity::Error, Code::NotAnObject, "", node.position, message);
            }
        }
    }

    fn foreign(&mut self, node: &Node, api_version: &str, kind: &str) {
        let name = node.get("metadata").and_then(|meta| meta.get("name")).and_then(Node::as_str);
        let name = name.unwrap_or_default();
        let message = format!("{api_version} {kind} {name} is none of the mesh's business");
        self.say(None, Severity::Info, Code::ForeignKind, "kind", node.position, message);
    }

    fn unknown_version(&mut self, node: &Node, kind: Kind, version: &str) {
        let mut decoder = Decoder::new(Severity::Info);
        let meta = meta(node, kind, &mut decoder);
        let object = ObjectRef::new(kind, meta.namespace, meta.name);
        let known = kind.versions().join(", ");
        let message = format!("{kind} has no version `{version}`; there is {known}");
        let severity = Severity::Error;
        let code = Code::UnknownVersion;
        self.say(Some(object.clone()), severity, code, "apiVersion", node.position, message);
        self.parsed.rejected.push(object);
    }

    fn object(&mut self, node: &Node, entries: &[Entry], kind: Kind, api_version: &str) {
        let mut decoder = Decoder::new(unknown_field(kind));
        decoder.root(node.position);
        let meta = meta(node, kind, &mut decoder);
        if kind.support() != Support::Honoured {
            decoder.kind_not_honoured(kind, node.position);
        }
        let spec = spec(kind, &meta, entries, &mut decoder);
        let mut decoded = decoder.finish();
        let mut validator = Validator::default();
        validate::metadata(&mut validator, &meta);
        // What could not be decoded is missing, and complaints about that would mislead.
        if decoded.findings.iter().all(|it| it.severity != Severity::Error) {
            validate::spec(&mut validator, &meta, &spec);
        }
        let checked = validator.finish();
        decoded.findings.extend(checked.findings);
        decoded.not_honoured.extend(checked.not_honoured);
        self.finish(decoded, kind, api_version, meta, spec, node.position);
    }

    fn finish(
        &mut self,
        decoded: Decoded,
        kind: Kind,
        api_version: &str,
        meta: ObjectMeta,
        spec: Spec,
        position: Position,
    ) {
        let reference = ObjectRef::new(kind, &*meta.namespace, &*meta.name);
        let not_honoured = decoded.not_honoured.clone();
        let rejected = decoded.findings.iter().any(|it| it.severity == Severity::Error);
        let (positions, diagnostics) = finish_diagnostics(decoded, Some(&reference), &self.file);
        self.parsed.diagnostics.extend(diagnostics);
        let twice = self.known.contains(&reference);
        if twice {
            let message = "the same object stands further up in this text, and that one counts";
            let (severity, code) = (Severity::Error, Code::DuplicateObject);
            self.say(Some(reference.clone()), severity, code, "metadata.name", position, message);
        }
        if rejected {
            self.parsed.rejected.push(reference);
        } else if !twice {
            self.known.insert(reference);
            self.parsed.objects.push(Object {
                kind,
                api_version: api_version.to_owned(),
                meta,
                spec,
                origin: Origin { file: Arc::clone(&self.file), position },
                positions: Arc::new(positions),
                not_honoured,
            });
        }
    }

    fn say(
        &mut self,
        object: Option<ObjectRef>,
        severity: Severity,
        code: Code,
        field: &str,
        position: Position,
        message: impl Into<String>,
    ) {
        self.parsed.diagnostics.push(Diagnostic {
            severity,
            code,
            object,
            field: field.to_owned(),
            file: Arc::clone(&self.file),
            line: position.line,
            column: position.column,
            message: message.into(),
        });
    }
}

/// Gives each finding its object and place, and adds what is not honoured. The order is that of the
/// text.
fn finish_diagnostics(
    decoded: Decoded,
    object: Option<&ObjectRef>,
    file: &Arc<str>,
) -> (Positions, Vec<Diagnostic>) {
    let Decoded { positions, findings, not_honoured } = decoded;
    let not_honoured = not_honoured.into_iter().map(FieldUse::into_finding);
    let mut diagnostics: Vec<Diagnostic> = findings
        .into_iter()
        .chain(not_honoured)
        .map(|Finding { severity, code, field, position, message }| {
            let nearest = || positions.nearest(&field).unwrap_or_default();
            let Position { line, column } = position.unwrap_or_else(nearest);
            let (object, file) = (object.cloned(), Arc::clone(file));
            Diagnostic { severity, code, object, field, file, line, column, message }
        })
        .collect();
    diagnostics.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
    (positions, diagnostics)
}

/// How serious it is that an object sets a field that its kind does not have. Istio and the API
/// server drop such a field and go on. For policies that is not safe: without the field they may
/// allow more.
fn unknown_field(kind: Kind) -> Severity {
    if kind.group() == "security.istio.io" { Severity::Error } else { Severity::Warning }
}

/// Reads who the object is.
fn meta(node: &Node, kind: Kind, decoder: &mut Decoder) -> ObjectMeta {
    let entry = node.entries().and_then(|all| all.iter().find(|entry| entry.key == "metadata"));
    let mut meta = entry
        .and_then(|entry| {
            decoder.field("metadata", entry.position, |decoder| {
                ObjectMeta::decode(&entry.value, decoder)
            })
        })
        .unwrap_or_default();
    match kind.scope() {
        Scope::Cluster => meta.namespace.clear(),
        Scope::Namespaced if meta.namespace.is_empty() => meta.namespace.push_str("default"),
        Scope::Namespaced => {}
    }
    meta
}

/// Reads what the object says.
fn spec(kind: Kind, meta: &ObjectMeta, entries: &[Entry], decoder: &mut Decoder) -> Spec {
    match kind {
        Kind::VirtualService => Spec::VirtualService(under_spec(entries, decoder)),
        Kind::DestinationRule => Spec::DestinationRule(under_spec(entries, decoder)),
        Kind::Gateway => Spec::Gateway(under_spec(entries, decoder)),
        Kind::ServiceEntry => Spec::ServiceEntry(under_spec(entries, decoder)),
        Kind::WorkloadEntry => Spec::WorkloadEntry(under_spec(entries, decoder)),
        Kind::Sidecar => Spec::Sidecar(under_spec(entries, decoder)),
        Kind::PeerAuthentication => Spec::PeerAuthentication(under_spec(entries, decoder)),
        Kind::AuthorizationPolicy => Spec::AuthorizationPolicy(under_spec(entries, decoder)),
        Kind::EnvoyFilter => Spec::EnvoyFilter(under_spec(entries, decoder)),
        Kind::ProxyConfig => Spec::ProxyConfig(under_spec(entries, decoder)),
        Kind::WorkloadGroup => Spec::WorkloadGroup(under_spec(entries, decoder)),
        Kind::RequestAuthentication => Spec::RequestAuthentication(under_spec(entries, decoder)),
        Kind::Telemetry => Spec::Telemetry(under_spec(entries, decoder)),
        Kind::WasmPlugin => Spec::WasmPlugin(under_spec(entries, decoder)),
        Kind::TrafficExtension => Spec::TrafficExtension(under_spec(entries, decoder)),
        Kind::Service => Spec::Service(at_root(entries, decoder)),
        Kind::EndpointSlice => Spec::EndpointSlice(at_root(entries, decoder)),
        Kind::Pod => Spec::Pod(at_root(entries, decoder)),
        Kind::Namespace => Spec::Namespace(at_root(entries, decoder)),
        Kind::Secret => Spec::Secret(at_root(entries, decoder)),
        Kind::ConfigMap => config_map(meta, entries, decoder),
        _ => Spec::NotHonoured,
    }
}

fn under_spec<M: Message>(entries: &[Entry], decoder: &mut Decoder) -> Box<M> {
    let mut message = M::default();
    for entry in entries {
        match entry.key.as_str() {
            "spec" if !entry.value.is_null() => {
                let decoded = decoder
                    .field("spec", entry.position, |decoder| decoder.message::<M>(&entry.value));
                message = decoded.unwrap_or_default();
            }
            "spec" => {}
            key if ENVELOPE.contains(&key) => {}
            _ => decoder.unknown_at_root(entry),
        }
    }
    Box::new(message)
}

fn at_root<M: Message>(entries: &[Entry], decoder: &mut Decoder) -> Box<M> {
    let mut message = M::default();
    decoder.members(&mut message, entries, &["apiVersion", "kind", "metadata"]);
    Box::new(message)
}

/// A ConfigMap or, if it is the one that holds them, the settings of the mesh.
fn config_map(meta: &ObjectMeta, entries: &[Entry], decoder: &mut Decoder) -> Spec {
    let config_map = at_root(entries, decoder);
    if meta.name == "istio" {
        mesh_networks(entries, decoder);
    }
    let data = entries.iter().find(|entry| entry.key == "data").map(|entry| &entry.value);
    let mesh = data.and_then(|data| data.entries()?.iter().find(|entry| entry.key == "mesh"));
    let Some((entry, text)) = mesh.and_then(|entry| Some((entry, entry.value.as_str()?))) else {
        return Spec::ConfigMap(config_map);
    };
    if meta.name != "istio" {
        return Spec::ConfigMap(config_map);
    }
    let start = entry.value.position;
    let mesh =
        decoder.field("data.mesh", entry.position, |decoder| mesh_config(text, start, decoder));
    Spec::MeshConfig(Box::new(mesh))
}

/// The networks of the mesh, beside its settings. They are read and checked, and nothing follows from
/// them yet.
fn mesh_networks(entries: &[Entry], decoder: &mut Decoder) {
    let data = entries.iter().find(|entry| entry.key == "data").and_then(|it| it.value.entries());
    let entry = data.into_iter().flatten().find(|entry| entry.key == "meshNetworks");
    let Some((entry, text)) = entry.and_then(|entry| Some((entry, entry.value.as_str()?))) else {
        return;
    };
    decoder.field("data.meshNetworks", entry.position, |decoder| {
        let Some(document) = yaml::documents(text).into_iter().next() else { return };
        let start = entry.value.position;
        let Some(document) = embedded(document, start, decoder) else { return };
        let Some(networks) = decoder.message::<MeshNetworks>(&document) else { return };
        for finding in validate::mesh_networks(&networks) {
            decoder.found(finding);
        }
    });
}

/// A document within a text that begins at `start`, with places in the surrounding text.
fn embedded(
    document: Result<Node, yaml::SyntaxError>,
    start: Position,
    decoder: &mut Decoder,
) -> Option<Node> {
    let moved = |position: Position| {
        if start == Position::default() { start } else { start.offset(position) }
    };
    match document {
        Ok(node) => Some(node.moved(&moved)),
        Err(error) => {
            let position = moved(error.position);
            decoder.report(Severity::Error, Code::Syntax, position, error.message);
            None
        }
    }
}
