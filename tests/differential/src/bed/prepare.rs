//! From a scenario to what a side runs: the mesh with what the bed adds, and all places.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use base64::Engine as _;
use lateen::commands::addresses::{Addresses, WorkloadAddresses};
use lateen_api::Severity;
use serde_json::{Value, json};

use super::MARKER;
use crate::scenario::{CLIENT, GATEWAY, SERVER, Scenario, documents_of_yaml, json_of_yaml};
use crate::side::protocol::{BackendPlace, Places, Prepared, REASON};
use crate::strip::Mesh;

/// Port that keeps the gateway a gateway.
const GATEWAY_PORT: u16 = 15999;

/// The workloads whose proxies are under test, with their labels.
const WORKLOADS: [(&str, &[(&str, &str)]); 3] = [
    (CLIENT, &[("app", "client")]),
    (SERVER, &[("app", "server")]),
    (GATEWAY, &[("app", "gateway"), ("istio", "ingressgateway")]),
];

/// Trust domain of a mesh that names none.
const TRUST_DOMAIN: &str = "cluster.local";

/// What the access log says of each request, where the mesh has no format of its own. Operators
/// that stock Envoy has, and [`REASON`], which its side leaves out.
fn log_format() -> Value {
    json!({
        "tag": "%REQ(X-BED)%",
        "remote": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%",
        "code": "%RESPONSE_CODE%",
        "flags": "%RESPONSE_FLAGS%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "route": "%ROUTE_NAME%",
        "cluster": "%UPSTREAM_CLUSTER_RAW%",
        "sni": "%REQUESTED_SERVER_NAME%",
        "protocol": "%PROTOCOL%",
        "method": "%REQ(:METHOD)%",
        "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
        "authority": "%REQ(:AUTHORITY)%",
        "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
        "received": "%BYTES_RECEIVED%",
        "sent": "%BYTES_SENT%",
        "peer": "%DOWNSTREAM_PEER_URI_SAN%",
        "tls": "%DOWNSTREAM_TLS_VERSION%",
        "reason": REASON,
    })
}

/// What holds for a scenario, also when a field of its mesh is stripped.
#[derive(Default)]
struct Logging {
    /// The mesh says itself where the log goes.
    own_file: Option<String>,
    /// The mesh has a format of its own.
    own_format: bool,
}

/// Makes a scenario ready; `mesh` instead of its own mesh, when a field was stripped from it.
///
/// # Errors
/// When the mesh cannot be read or has errors.
pub fn prepare(
    scenario: &Scenario,
    mesh: Option<&Mesh>,
    files: BTreeMap<String, String>,
    generation: u64,
) -> anyhow::Result<Prepared> {
    let read = |mesh: &Mesh| -> anyhow::Result<Vec<Value>> {
        let mut all = Vec::new();
        for (name, text) in mesh {
            let text = with_certificates(text, &files).with_context(|| name.clone())?;
            all.extend(documents_of_yaml(&text).with_context(|| name.clone())?);
        }
        all.retain(|object| !object.is_null());
        Ok(all)
    };
    let original = read(&scenario.mesh)?;
    let logging = logging(&original)?;
    let mut objects = match mesh {
        Some(mesh) => read(mesh)?,
        None => original,
    };
    add_workloads(&mut objects);
    let trust_domain = add_logging(&mut objects, &logging)?;
    let mut text = String::new();
    for object in &objects {
        text.push_str(&serde_json::to_string_pretty(object)?);
        text.push_str("\n---\n");
    }
    refuse_errors(&text)?;
    let addresses = addresses(&text)?;
    let marker = json!({
        "apiVersion": "bed/v1",
        "kind": format!("{MARKER}{generation}.bed"),
        "metadata": {"name": "marker"},
    });
    text.push_str(&marker.to_string());
    Ok(Prepared {
        generation,
        mesh: text,
        files,
        backends: backends(&addresses, scenario),
        places: places(&addresses),
        trust_domain,
        own_log_format: logging.own_format,
        stripped: mesh.is_some(),
        log_file: logging.own_file.filter(|file| file != "/dev/stdout").map(PathBuf::from),
        scenario: scenario.clone(),
    })
}

/// `$base64(NAME)` replaced by the file in base64, `"$pem(NAME)"` by the file as a quoted text.
fn with_certificates(text: &str, files: &BTreeMap<String, String>) -> anyhow::Result<String> {
    let base64 = |content: &str| base64::engine::general_purpose::STANDARD.encode(content);
    let text = replaced(text, ("$base64(", ")"), files, base64)?;
    let quoted = |content: &str| Value::from(content).to_string();
    replaced(&text, ("\"$pem(", ")\""), files, quoted)
}

/// Every name between `open` and `close`, and both, replaced by what `write` makes of the file.
fn replaced(
    text: &str,
    (open, close): (&str, &str),
    files: &BTreeMap<String, String>,
    write: impl Fn(&str) -> String,
) -> anyhow::Result<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(open) {
        let (name, after) =
            after.split_once(close).with_context(|| format!("`{open}` without `{close}`"))?;
        let content = files.get(name).with_context(|| {
            format!("there is no {name}; the scenario's `certificates` say what there is")
        })?;
        out.push_str(before);
        out.push_str(&write(content));
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn is(object: &Value, kind: &str, name: &str) -> bool {
    let metadata = &object["metadata"];
    let namespace = metadata["namespace"].as_str().unwrap_or("default");
    let own = metadata["name"].as_str().unwrap_or_default();
    object["kind"] == kind && format!("{namespace}/{own}") == name
}

/// The workloads under test, and the Gateway that makes one of them a gateway.
fn add_workloads(objects: &mut Vec<Value>) {
    for (name, labels) in WORKLOADS {
        if objects.iter().any(|object| is(object, "Pod", name)) {
            continue;
        }
        let (namespace, name) = name.split_once('/').unwrap_or_default();
        let labels: BTreeMap<_, _> = labels.iter().copied().collect();
        objects.push(json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "spec": {"serviceAccountName": name},
        }));
    }
    let gateway = objects.iter().find(|object| is(object, "Pod", GATEWAY));
    let labels = gateway.map_or(Value::Null, |pod| pod["metadata"]["labels"].clone());
    let (namespace, _) = GATEWAY.split_once('/').unwrap_or_default();
    objects.push(json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "bed", "namespace": namespace},
        "spec": {
            "selector": labels,
            "servers": [{
                "port": {"number": GATEWAY_PORT, "name": "http-bed", "protocol": "HTTP"},
                "hosts": ["bed.invalid"],
            }],
        },
    }));
}

fn mesh_config(objects: &[Value]) -> Option<&Value> {
    objects.iter().find(|object| is(object, "ConfigMap", "istio-system/istio"))
}

fn settings(object: &Value) -> anyhow::Result<Value> {
    match object["data"]["mesh"].as_str() {
        Some(text) if !text.trim().is_empty() => json_of_yaml(text).context("the MeshConfig"),
        _ => Ok(json!({})),
    }
}

fn logging(objects: &[Value]) -> anyhow::Result<Logging> {
    let Some(object) = mesh_config(objects) else { return Ok(Logging::default()) };
    let settings = settings(object)?;
    let own_format =
        settings.get("accessLogFormat").is_some() || settings.get("accessLogEncoding").is_some();
    let own_file = settings.get("accessLogFile").and_then(Value::as_str).map(str::to_owned);
    Ok(Logging { own_file, own_format })
}

/// Adds the access log to the mesh's settings; gives the trust domain that they name.
fn add_logging(objects: &mut Vec<Value>, logging: &Logging) -> anyhow::Result<String> {
    let mut settings = mesh_config(objects).map_or_else(|| Ok(json!({})), settings)?;
    let fields = settings.as_object_mut().context("the MeshConfig is no mapping")?;
    if logging.own_file.is_none() {
        fields.insert("accessLogFile".to_owned(), "/dev/stdout".into());
    }
    if !logging.own_format {
        fields.insert("accessLogEncoding".to_owned(), "JSON".into());
        fields.insert("accessLogFormat".to_owned(), log_format().to_string().into());
    }
    let trust_domain = fields.get("trustDomain").and_then(Value::as_str);
    let trust_domain = trust_domain.unwrap_or(TRUST_DOMAIN).to_owned();
    let text = Value::from(settings.to_string());
    let at = objects.iter().position(|object| is(object, "ConfigMap", "istio-system/istio"));
    match at {
        Some(at) => objects[at]["data"]["mesh"] = text,
        None => objects.push(json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "istio", "namespace": "istio-system"},
            "data": {"mesh": text},
        })),
    }
    Ok(trust_domain)
}

fn refuse_errors(text: &str) -> anyhow::Result<()> {
    let parsed = lateen_api::parse(text, "mesh");
    let errors = parsed.diagnostics.iter().filter(|found| found.severity == Severity::Error);
    let errors: Vec<String> = errors.map(ToString::to_string).collect();
    ensure!(errors.is_empty(), "the mesh has errors:\n{}", errors.join("\n"));
    Ok(())
}

fn addresses(text: &str) -> anyhow::Result<Addresses> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("mesh.yaml"), text)?;
    Addresses::of_directory(folder.path())
}

fn name(workload: &WorkloadAddresses) -> String {
    format!("{}/{}", workload.namespace, workload.name)
}

fn backends(addresses: &Addresses, scenario: &Scenario) -> Vec<BackendPlace> {
    let mut all = Vec::new();
    for workload in &addresses.workloads {
        let name = name(workload);
        let under_test = WORKLOADS.iter().any(|(other, _)| *other == name);
        for port in &workload.ports {
            // Behind the proxies under test there are applications; elsewhere the bed is the sidecar.
            let (address, identity) = match port.inbound {
                Some(inbound) if !under_test => {
                    (inbound, Some(format!("{}/{}", workload.namespace, workload.service_account)))
                }
                _ => (port.application, None),
            };
            let place = BackendPlace { name: name.clone(), address, port: port.port, identity };
            if !all.iter().any(|other: &BackendPlace| other.address == place.address) {
                all.push(place);
            }
        }
    }
    all.extend(scenario.servers.iter().map(|(name, address)| BackendPlace {
        name: name.clone(),
        address: *address,
        port: address.port(),
        identity: None,
    }));
    all
}

fn places(addresses: &Addresses) -> Places {
    let mut places = Places::default();
    for workload in &addresses.workloads {
        let name = name(workload);
        places.applications.insert(name.clone(), workload.application);
        if WORKLOADS.iter().any(|(other, _)| *other == name) {
            places.health.extend(workload.health);
        }
        match name.as_str() {
            CLIENT => {
                let entry = |service: &lateen::commands::addresses::ServiceAddress| {
                    (format!("{}:{}", service.host, service.port), service.address)
                };
                places.services = workload.services.iter().map(entry).collect();
            }
            SERVER => {
                let ports = workload.ports.iter();
                places.inbound =
                    ports.filter_map(|port| Some((port.port, port.inbound?))).collect();
            }
            GATEWAY => {
                let listeners = workload.listeners.iter();
                places.gateway = listeners.map(|entry| (entry.port, entry.address)).collect();
            }
            _ => {}
        }
    }
    places
}

/// Where the proxies under test have their places; they were started there.
///
/// # Errors
/// When other workloads' names have moved one of them.
pub fn check_home(places: &Places, home: &BTreeMap<String, IpAddr>) -> anyhow::Result<()> {
    for (workload, address) in home {
        match places.applications.get(workload) {
            Some(now) if now == address => {}
            Some(_) => bail!(
                "the names of this mesh's workloads move {workload} from its place: rename one"
            ),
            None => bail!("the mesh has no {workload}"),
        }
    }
    Ok(())
}

/// The addresses of the workloads under test.
#[must_use]
pub fn home(places: &Places) -> BTreeMap<String, IpAddr> {
    let all = places.applications.iter();
    all.filter(|(name, _)| WORKLOADS.iter().any(|(other, _)| other == name))
        .map(|(name, address)| (name.clone(), *address))
        .collect()
}
