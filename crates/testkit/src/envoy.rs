//! The stock Envoy that tests ask.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use serde_json::{Value, json};

/// The program: `LATEEN_ENVOY`, which `./test` sets to the one that it installed, else `envoy` in
/// `PATH`.
///
/// # Errors
/// When there is none.
pub fn binary() -> anyhow::Result<PathBuf> {
    if let Some(given) = std::env::var_os("LATEEN_ENVOY") {
        let given = PathBuf::from(given);
        anyhow::ensure!(given.is_file(), "LATEEN_ENVOY names no file: {}", given.display());
        return Ok(given);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join("envoy"))
        .find(|candidate| candidate.is_file())
        .context("there is no Envoy: run `./test`, which installs one, or set LATEEN_ENVOY")
}

/// What Envoy has to say against a configuration (`bootstrap`, as protobuf): its errors and warnings, one a
/// line.
///
/// # Errors
/// When Envoy cannot be asked.
pub fn complaints(envoy: &Path, bootstrap: &[u8]) -> anyhow::Result<Vec<String>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("bootstrap.pb");
    std::fs::write(&file, bootstrap)?;
    let output = Command::new(envoy)
        .args(["--mode", "validate", "-l", "warning", "-c"])
        .arg(&file)
        .env("LATEEN_PEER_METADATA", "CgA=")
        .env("LATEEN_PEER_METADATA_ID", "sidecar~127.0.0.1~a.b~b.svc.cluster.local")
        .output()
        .context("cannot start Envoy")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    let is_bad =
        |line: &&str| ["[warning]", "rror", "[critical]"].iter().any(|it| line.contains(it));
    let mut complaints: Vec<String> = said.lines().filter(is_bad).map(str::to_owned).collect();
    if !output.status.success() && complaints.is_empty() {
        complaints.push(said);
    }
    Ok(complaints)
}

/// Where an Envoy without an agent finds what it needs.
#[derive(Debug, Clone, Copy)]
pub struct Sites {
    /// The control plane's plain-text port.
    pub discovery: SocketAddr,
    /// An agent's secret service ([`crate::keys`]).
    pub keys: SocketAddr,
    /// Where its admin page is to be.
    pub admin: SocketAddr,
}

/// The bootstrap of an Envoy that takes its whole configuration by delta ADS from the plain-text port, as
/// `node` (a JSON object). It is one that Envoy has nothing to say against.
#[must_use]
pub fn bootstrap(sites: Sites, node: &Value) -> Value {
    json!({
        "node": node,
        "admin": { "address": socket(sites.admin) },
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{ "envoy_grpc": { "cluster_name": "xds-grpc" } }],
                "set_node_on_first_message_only": true,
            },
            "cds_config": { "ads": {}, "resource_api_version": "V3" },
            "lds_config": { "ads": {}, "resource_api_version": "V3" },
        },
        "static_resources": {
            "clusters": [
                grpc_cluster("xds-grpc", sites.discovery),
                grpc_cluster("sds-grpc", sites.keys),
                grpc_cluster("lateen-access-log", sites.keys),
            ],
        },
        "overload_manager": {
            "resource_monitors": [{
                "name": "envoy.resource_monitors.global_downstream_max_connections",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                    "max_active_downstream_connections": 1000,
                },
            }],
        },
        "layered_runtime": {
            "layers": [{
                "name": "static",
                "static_layer": { "re2.max_program_size.error_level": 32768 },
            }],
        },
    })
}

fn socket(address: SocketAddr) -> Value {
    json!({ "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } })
}

fn grpc_cluster(name: &str, address: SocketAddr) -> Value {
    let endpoint = json!({ "endpoint": { "address": socket(address) } });
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type":
                    "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": { "http2_protocol_options": {} },
            },
        },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{ "lb_endpoints": [endpoint] }],
        },
    })
}
