//! What of a pod the agent looks at: whether it is captured, and whether it raced the plugin.

use std::collections::BTreeMap;
use std::net::IpAddr;

use lateen_capture::pod::Pod;
use lateen_capture::settings::switch;
use serde_json::Value;

/// The proxy's container.
const PROXY: &str = "istio-proxy";
/// The init container that writes the rules itself.
const INIT: &str = "istio-init";
/// The control plane that injected the pod.
const REVISION: &str = "istio.io/rev";
/// The variable by which a pod has a sidecar without a proxy.
const DISABLE: &str = "DISABLE_ENVOY";

/// The exit code of validation that finds no capture (Istio's `ValidationErrorCode`).
const NOT_IN_PLACE: i64 = 126;

/// Whose pods the plugin captures.
#[derive(Debug, Clone, Default)]
pub struct Mesh {
    /// The revision whose control plane injected them; `default` for the one without a name.
    pub revision: String,
    /// Namespaces of which it captures none.
    pub exclude_namespaces: Vec<String>,
}

/// Whether the plugin has to do with a pod.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// It has; [`Pod::decide`] says the rest.
    Ours(Pod),
    /// It has not, because.
    Left(&'static str),
}

impl Mesh {
    /// Whether the plugin has to do with a pod, as the API server has it.
    #[must_use]
    pub fn verdict(&self, pod: &Value) -> Verdict {
        let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
        if self.exclude_namespaces.iter().any(|excluded| excluded == namespace) {
            return Verdict::Left("its namespace is excluded");
        }
        if pod["spec"]["hostNetwork"] == true {
            return Verdict::Left("it is on the host's network");
        }
        let annotations = texts(&pod["metadata"]["annotations"]);
        let revision = annotations.get(REVISION).map_or("default", String::as_str);
        if revision != self.revision {
            return Verdict::Left("it belongs to another revision");
        }
        let all = || [&pod["spec"]["initContainers"], &pod["spec"]["containers"]].into_iter();
        let named = |name: &str| {
            all()
                .flat_map(|list| list.as_array().into_iter().flatten())
                .find(|it| it["name"] == name)
        };
        if named(INIT).is_some() {
            return Verdict::Left("its init container istio-init captures its traffic");
        }
        let Some(proxy) = named(PROXY) else {
            return Verdict::Left("it has no container istio-proxy");
        };
        let environment = environment(proxy);
        if environment.get(DISABLE).and_then(|text| switch(text)) == Some(true) {
            return Verdict::Left("its proxy is switched off (DISABLE_ENVOY)");
        }
        let id = |field: &str| {
            let own = &proxy["securityContext"][field];
            let of_pod = &pod["spec"]["securityContext"][field];
            own.as_u64().or_else(|| of_pod.as_u64()).and_then(|id| u32::try_from(id).ok())
        };
        Verdict::Ours(Pod {
            annotations,
            environment,
            user: id("runAsUser"),
            group: id("runAsGroup"),
            // Its network namespace says.
            ipv6: false,
        })
    }
}

fn texts(object: &Value) -> BTreeMap<String, String> {
    let fields = object.as_object().into_iter().flatten();
    fields.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

fn environment(container: &Value) -> BTreeMap<String, String> {
    let variables = container["env"].as_array().into_iter().flatten();
    let pair =
        |it: &Value| Some((it["name"].as_str()?.to_owned(), it["value"].as_str()?.to_owned()));
    variables.filter_map(pair).collect()
}

/// Whether a pod's validation (the init container of this name) found its traffic uncaptured, and has
/// not succeeded since: rules came too late, or not at all.
#[must_use]
pub fn is_uncaptured(pod: &Value, validation: &str) -> bool {
    let statuses = pod["status"]["initContainerStatuses"].as_array().into_iter().flatten();
    statuses.filter(|status| status["name"] == validation).any(|status| {
        let now = &status["state"]["terminated"]["exitCode"];
        let before = &status["lastState"]["terminated"]["exitCode"];
        now == NOT_IN_PLACE || (now.is_null() && before == NOT_IN_PLACE)
    })
}

/// The pod's addresses.
#[must_use]
pub fn addresses(pod: &Value) -> Vec<IpAddr> {
    let all = pod["status"]["podIPs"].as_array().into_iter().flatten();
    all.filter_map(|entry| entry["ip"].as_str()?.parse().ok()).collect()
}
