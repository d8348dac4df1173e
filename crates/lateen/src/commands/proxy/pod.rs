//! What an injected pod says of itself: its environment and its files, with Istio's names
//! (`istio-contracts.md`, "Injected pod contract").

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use lateen_proxy::pod::Pod;
use lateen_proxy::settings::{CredentialFiles, Role, Settings};
use serde::Deserialize;

/// The control plane of an installation without a revision.
const CONTROLLER: &str = "istiod.istio-system.svc:15012";

/// The token of the pod's service account for the mesh.
const TOKEN: &str = "/var/run/secrets/tokens/istio-token";

/// The mesh's roots.
const ROOT: &str = "/var/run/secrets/istio/root-cert.pem";

/// Istio's `terminationDrainDuration`.
const LINGER: Duration = Duration::from_secs(5);

/// Reads a variable; an empty one says nothing.
type Variables<'v> = &'v dyn Fn(&str) -> Option<String>;

/// What the variables say.
#[derive(Debug)]
pub(super) struct Injected {
    /// For the proxy.
    pub(super) settings: Settings,
    /// `LATEEN_ENGINE`.
    pub(super) engine: Option<String>,
    /// What is said and not honoured.
    pub(super) notices: Vec<String>,
}

/// `PROXY_CONFIG`: what of Istio's ProxyConfig a proxy reads itself.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ProxyConfig {
    discovery_address: Option<String>,
    concurrency: Option<u16>,
    termination_drain_duration: Option<String>,
    drain_duration: Option<String>,
    status_port: Option<u16>,
    proxy_admin_port: Option<u16>,
    #[serde(flatten)]
    others: serde_json::Map<String, serde_json::Value>,
}

/// Fields of ProxyConfig that the control plane reads, or that say what is so anyway.
const READ_ELSEWHERE: [&str; 7] = [
    "proxyMetadata",
    "meshId",
    "serviceCluster",
    "configPath",
    "binaryPath",
    "controlPlaneAuthPolicy",
    "holdApplicationUntilProxyStarts",
];

/// The settings of the pod's proxy.
///
/// # Errors
/// When a variable is not what injection writes, or this is no injected pod.
pub(super) fn read(role: Role, variable: Variables<'_>, cpus: u16) -> anyhow::Result<Injected> {
    let needed = |name: &str| {
        variable(name).with_context(|| {
            format!("{name} is not set, and neither are --workload and --state: this is no pod")
        })
    };
    let (name, namespace) = (needed("POD_NAME")?, needed("POD_NAMESPACE")?);
    let config: ProxyConfig = match variable("PROXY_CONFIG") {
        Some(text) => serde_json::from_str(&text).context("PROXY_CONFIG is not understood")?,
        None => ProxyConfig::default(),
    };
    let controller = config
        .discovery_address
        .clone()
        .filter(|address| !address.is_empty())
        .or_else(|| variable("CA_ADDR"))
        .unwrap_or_else(|| CONTROLLER.to_owned());
    let mut settings = Settings::new(controller, namespace, name, PathBuf::new());
    settings.role = role;
    settings.local = false;
    settings.service_account = variable("SERVICE_ACCOUNT");
    settings.files = Some(CredentialFiles {
        root: variable("LATEEN_ROOT_CERT").unwrap_or_else(|| ROOT.to_owned()).into(),
        token: variable("LATEEN_TOKEN").unwrap_or_else(|| TOKEN.to_owned()).into(),
    });
    settings.workers = usize::from(workers(&config, variable("ISTIO_CPU_LIMIT").as_deref(), cpus)?);
    settings.transparent = variable("ISTIO_META_INTERCEPTION_MODE").as_deref() == Some("TPROXY");
    settings.timeouts.linger =
        configured(config.termination_drain_duration.as_deref())?.unwrap_or(LINGER);
    if let Some(drain) = configured(config.drain_duration.as_deref())? {
        settings.timeouts.drain = drain;
    }
    if let Some(port) = config.status_port {
        settings.ports.metrics = port;
    }
    if let Some(port) = config.proxy_admin_port {
        settings.ports.admin = port;
    }
    let own = own_address(variable)?;
    settings.loopback = match own {
        Some(IpAddr::V6(_)) => Ipv6Addr::LOCALHOST.into(),
        _ => Ipv4Addr::LOCALHOST.into(),
    };
    settings.pod = Arc::new(pod(own, variable)?);
    Ok(Injected { settings, engine: variable("LATEEN_ENGINE"), notices: notices(&config) })
}

/// The application is asked where the pod is, or on loopback where that is asked for.
fn pod(own: Option<IpAddr>, variable: Variables<'_>) -> anyhow::Result<Pod> {
    let loopback = variable("REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION");
    let own = own.filter(|_| loopback.as_deref() != Some("true"));
    let address = own.unwrap_or(Ipv4Addr::LOCALHOST.into());
    let (probes, scrape) = (variable(Pod::PROBES), variable(Pod::SCRAPE));
    Ok(Pod::new(address, probes.as_deref(), scrape.as_deref())?)
}

/// The pod's first address.
fn own_address(variable: Variables<'_>) -> anyhow::Result<Option<IpAddr>> {
    let Some(text) = variable("INSTANCE_IP") else { return Ok(None) };
    let first = text.split(',').next().unwrap_or_default().trim();
    let address = first.parse().with_context(|| format!("INSTANCE_IP is no address: {text:?}"))?;
    Ok(Some(address))
}

/// What is set; else the limit of the container's processors, rounded up; else 2. Zero is all
/// processors.
fn workers(config: &ProxyConfig, limit: Option<&str>, cpus: u16) -> anyhow::Result<u16> {
    let all = cpus.max(1);
    if let Some(set) = config.concurrency {
        return Ok(if set == 0 { all } else { set });
    }
    match limit {
        // Without a limit Kubernetes puts the node's processors there.
        Some(text) => {
            let limit: u16 =
                text.parse().with_context(|| format!("ISTIO_CPU_LIMIT is no number: {text:?}"))?;
            Ok(if limit == 0 || limit >= all { 2 } else { limit })
        }
        None => Ok(2),
    }
}

fn configured(text: Option<&str>) -> anyhow::Result<Option<Duration>> {
    text.map(|text| super::duration(text).map_err(anyhow::Error::msg))
        .transpose()
        .context("a duration of PROXY_CONFIG is not understood")
}

fn notices(config: &ProxyConfig) -> Vec<String> {
    config
        .others
        .keys()
        .filter(|field| !READ_ELSEWHERE.contains(&field.as_str()))
        .map(|field| format!("PROXY_CONFIG: {field} is not honoured"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn injected(role: Role, variables: &[(&str, &str)]) -> anyhow::Result<Injected> {
        let pod = [("POD_NAME", "web-1"), ("POD_NAMESPACE", "shop")];
        let all: Vec<(String, String)> = pod
            .iter()
            .chain(variables)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let variable = |name: &str| {
            let found = all.iter().rev().find(|(known, _)| known == name);
            found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
        };
        read(role, &variable, 8)
    }

    #[test]
    fn a_pod_with_nothing_but_its_name_finds_istios_places() {
        let Injected { settings, engine, notices } = injected(Role::Sidecar, &[]).unwrap();
        assert_eq!(settings.controller, "istiod.istio-system.svc:15012");
        assert_eq!((settings.namespace.as_str(), settings.workload.as_str()), ("shop", "web-1"));
        let files = settings.files.unwrap();
        assert_eq!(files.token.to_str(), Some("/var/run/secrets/tokens/istio-token"));
        assert_eq!(files.root.to_str(), Some("/var/run/secrets/istio/root-cert.pem"));
        assert_eq!((settings.workers, settings.local, settings.transparent), (2, false, false));
        assert_eq!(settings.timeouts.linger, Duration::from_secs(5));
        assert_eq!(settings.loopback, IpAddr::V4(Ipv4Addr::LOCALHOST));
        assert_eq!((engine, notices), (None, Vec::new()));
    }

    #[test]
    fn everything_that_injection_writes_counts() {
        let config = r#"{"discoveryAddress":"istiod-canary.istio-system.svc:15012","concurrency":3,
            "terminationDrainDuration":"9s","statusPort":15120,"tracing":{},"proxyMetadata":{}}"#;
        let probes = r#"{"/app-health/web/livez":{"httpGet":{"port":80}}}"#;
        let Injected { settings, engine, notices } = injected(
            Role::Gateway,
            &[
                ("PROXY_CONFIG", config),
                ("CA_ADDR", "other:15012"),
                ("ISTIO_META_INTERCEPTION_MODE", "TPROXY"),
                ("SERVICE_ACCOUNT", "web"),
                ("INSTANCE_IP", "fd00::7"),
                ("ISTIO_KUBE_APP_PROBERS", probes),
                ("ISTIO_PROMETHEUS_ANNOTATIONS", r#"{"port":"9090"}"#),
                ("LATEEN_ENGINE", "envoy"),
            ],
        )
        .unwrap();
        assert_eq!(settings.controller, "istiod-canary.istio-system.svc:15012");
        assert_eq!((settings.role, settings.workers), (Role::Gateway, 3));
        assert_eq!(settings.timeouts.linger, Duration::from_secs(9));
        assert_eq!((settings.ports.metrics, settings.transparent), (15120, true));
        assert_eq!(settings.service_account.as_deref(), Some("web"));
        assert_eq!(settings.loopback, IpAddr::V6(Ipv6Addr::LOCALHOST));
        assert!(settings.pod.has_probe("/app-health/web/livez") && settings.pod.has_metrics());
        assert_eq!(engine.as_deref(), Some("envoy"));
        assert_eq!(notices, ["PROXY_CONFIG: tracing is not honoured"]);
    }

    #[test]
    fn workers_follow_the_limit_of_the_container() {
        for (config, limit, expected) in [
            ("{}", "", 2),
            ("{}", "1", 1),
            ("{}", "4", 4),
            ("{}", "8", 2),
            (r#"{"concurrency":0}"#, "4", 8),
            (r#"{"concurrency":1}"#, "4", 1),
        ] {
            let variables = [("PROXY_CONFIG", config), ("ISTIO_CPU_LIMIT", limit)];
            let workers = injected(Role::Sidecar, &variables).unwrap().settings.workers;
            assert_eq!(workers, expected, "{config} {limit}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (name, value) in [
            ("POD_NAME", ""),
            ("PROXY_CONFIG", "{"),
            ("PROXY_CONFIG", r#"{"drainDuration":"long"}"#),
            ("INSTANCE_IP", "here"),
            ("ISTIO_CPU_LIMIT", "much"),
            ("ISTIO_KUBE_APP_PROBERS", "7"),
            ("ISTIO_PROMETHEUS_ANNOTATIONS", r#"{"port":"http"}"#),
        ] {
            let error = format!("{:#}", injected(Role::Sidecar, &[(name, value)]).unwrap_err());
            assert!(error.contains(name), "{name}: {error}");
        }
    }
}
