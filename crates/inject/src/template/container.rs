//! The proxy's container.

use serde_json::{Map, Value, json};

use super::{Context, Ids, volumes};
use crate::error::Error;
use crate::json::annotation;
use crate::names;
use crate::setting::Setting;
use crate::settings::Engine;

/// A sidecar's container.
pub(super) fn sidecar(context: &Context<'_>) -> Result<Value, Error> {
    let mut proxy = json!({
        "name": names::PROXY,
        "image": image(context),
        "args": ["sidecar"],
        "ports": [ports()],
        "env": environment(context),
        "volumeMounts": volumes::sidecar_mounts(context)?,
        "resources": resources(context)?,
        "securityContext": security(context)?,
    });
    if let Some(lifecycle) = lifecycle(context) {
        proxy["lifecycle"] = lifecycle;
    }
    if context.status_port > 0 {
        let defaults = &context.settings.values.proxy;
        if let Some(failures) = defaults.startup_failures {
            proxy["startupProbe"] = json!({
                "httpGet": ready_probe(),
                "periodSeconds": 1,
                "timeoutSeconds": 3,
                "failureThreshold": failures,
            });
        }
        proxy["readinessProbe"] = readiness(context)?;
    }
    common(context, &mut proxy);
    Ok(proxy)
}

/// A gateway's container. Its resources are its user's business, as its Deployment is.
pub(super) fn gateway(context: &Context<'_>) -> Result<Value, Error> {
    let Ids { user, group } = context.ids;
    let mut proxy = json!({
        "name": names::PROXY,
        "image": image(context),
        "args": ["router"],
        "ports": [ports()],
        "env": environment(context),
        "volumeMounts": volumes::gateway_mounts(context)?,
        "readinessProbe": readiness(context)?,
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "privileged": false,
            "readOnlyRootFilesystem": true,
            "runAsGroup": group,
            "runAsNonRoot": true,
            "runAsUser": user,
        },
    });
    common(context, &mut proxy);
    Ok(proxy)
}

/// What every injected container has.
pub(super) fn common(context: &Context<'_>, container: &mut Value) {
    let values = &context.settings.values;
    if !values.image_pull_policy.is_empty() {
        container["imagePullPolicy"] = json!(values.image_pull_policy);
    }
    if !values.proxy.seccomp_profile.is_null() {
        container["securityContext"]["seccompProfile"] = values.proxy.seccomp_profile.clone();
    }
}

fn ports() -> Value {
    json!({"containerPort": 15090, "protocol": "TCP", "name": "http-envoy-prom"})
}

/// The proxy's image: all of it where an annotation or a value has a slash in it, else a name of the
/// mesh's hub and tag.
pub(crate) fn image(context: &Context<'_>) -> String {
    let values = &context.settings.values;
    let default = match context.engine {
        Engine::Native => &values.proxy.image,
        Engine::Envoy => &values.proxy.envoy_image,
    };
    full_image(context, annotation(context.pod, names::PROXY_IMAGE).unwrap_or(default))
}

/// The image of the init container: the proxy's, which has the programs of the packet filter.
pub(super) fn init_image(context: &Context<'_>) -> String {
    match context.settings.values.init.image.as_str() {
        "" => image(context),
        name => full_image(context, annotation(context.pod, names::PROXY_IMAGE).unwrap_or(name)),
    }
}

fn full_image(context: &Context<'_>, name: &str) -> String {
    let values = &context.settings.values;
    if name.contains('/') {
        return name.to_owned();
    }
    format!("{}/{name}:{}", values.hub, values.tag)
}

/// Requests and limits: those of the annotations, if there is any of them, else the chart's.
pub(super) fn resources(context: &Context<'_>) -> Result<Value, Error> {
    let mut resources = Map::new();
    let mut annotated = false;
    for (kind, resource, name) in [
        ("requests", "cpu", names::PROXY_CPU),
        ("requests", "memory", names::PROXY_MEMORY),
        ("limits", "cpu", names::PROXY_CPU_LIMIT),
        ("limits", "memory", names::PROXY_MEMORY_LIMIT),
    ] {
        if annotation(context.pod, name).is_some() {
            annotated = true;
            let amount = Setting::new(context.pod, name, "", "").quantity()?;
            let of_kind = resources.entry(kind).or_insert_with(|| json!({}));
            of_kind[resource] = json!(amount);
        }
    }
    if annotated {
        return Ok(Value::Object(resources));
    }
    for (kind, amounts) in context.settings.values.proxy.resources.as_object().into_iter().flatten()
    {
        let Some(amounts) = amounts.as_object() else {
            if !amounts.is_null() {
                resources.insert(kind.clone(), amounts.clone());
            }
            continue;
        };
        let kept = amounts.iter().filter(|(_, amount)| !amount.is_null());
        let kept: Map<String, Value> = kept.map(|(k, v)| (k.clone(), v.clone())).collect();
        if !kept.is_empty() {
            resources.insert(kind.clone(), Value::Object(kept));
        }
    }
    Ok(Value::Object(resources))
}

/// What the proxy may: nothing beyond its kind, but where transparent capture or ports below 1024 need
/// it.
fn security(context: &Context<'_>) -> Result<Value, Error> {
    let privileged = context.settings.values.proxy.privileged;
    let tproxy = context.traffic.mode == "TPROXY";
    let binds = Setting::new(context.pod, names::NET_BIND_SERVICE, "", "false").switch()?;
    let mut capabilities = json!({"drop": ["ALL"]});
    let added: Vec<&str> = [(tproxy, "NET_ADMIN"), (binds, "NET_BIND_SERVICE")]
        .into_iter()
        .filter_map(|(wanted, name)| wanted.then_some(name))
        .collect();
    let root = !added.is_empty();
    if root {
        capabilities["add"] = json!(added);
    }
    let ids = if tproxy { Ids::default() } else { context.ids };
    Ok(json!({
        "allowPrivilegeEscalation": privileged,
        "capabilities": capabilities,
        "privileged": privileged,
        "readOnlyRootFilesystem": true,
        "runAsGroup": ids.group,
        "runAsNonRoot": !root,
        "runAsUser": if root { 0 } else { ids.user },
    }))
}

/// A native sidecar begins to drain when the pod ends, since Kubernetes stops it last; another one may
/// hold the application until it is ready.
fn lifecycle(context: &Context<'_>) -> Option<Value> {
    let given = &context.settings.values.proxy.lifecycle;
    if !given.is_null() {
        return Some(given.clone());
    }
    let port = context.agent_port;
    if port == 0 {
        return None;
    }
    let hook = |command: &str| json!({"exec": {"command": ["lateen-proxy", command, "--port", port.to_string()]}});
    if context.native {
        return Some(json!({"preStop": hook("drain")}));
    }
    holds(context).then(|| json!({"postStart": hook("wait")}))
}

/// Whether the application starts after the proxy.
pub(crate) fn holds(context: &Context<'_>) -> bool {
    context.proxy.holds_application() || context.settings.values.proxy.hold_application
}

fn ready_probe() -> Value {
    json!({"path": "/healthz/ready", "port": 15021})
}

fn readiness(context: &Context<'_>) -> Result<Value, Error> {
    let defaults = &context.settings.values.proxy.readiness;
    let count = |name, path, default| Setting::new(context.pod, name, path, default).count();
    let delay = count(
        names::READINESS_DELAY,
        "global.proxy.readinessInitialDelaySeconds",
        &defaults.initial_delay,
    )?;
    let period =
        count(names::READINESS_PERIOD, "global.proxy.readinessPeriodSeconds", &defaults.period)?;
    let failures = count(
        names::READINESS_FAILURES,
        "global.proxy.readinessFailureThreshold",
        &defaults.failures,
    )?;
    let mut probe = json!({
        "httpGet": ready_probe(),
        "periodSeconds": period,
        "timeoutSeconds": 3,
        "failureThreshold": failures,
    });
    if delay > 0 {
        probe["initialDelaySeconds"] = json!(delay);
    }
    Ok(probe)
}

/// What the proxy is told: Istio's variables, and ours for what Istio has arguments for.
fn environment(context: &Context<'_>) -> Value {
    let values = &context.settings.values;
    let mesh = &context.settings.mesh;
    let mut variables: Vec<Value> = Vec::new();
    let mut say = |name: &str, value: &str| variables.push(json!({"name": name, "value": value}));
    let engine_level = annotation(context.pod, names::LOG_LEVEL).unwrap_or(&values.proxy.log_level);
    let agent_level = annotation(context.pod, names::AGENT_LOG_LEVEL).unwrap_or("info");
    say("LATEEN_ENGINE", context.engine.name());
    match context.engine {
        Engine::Native => say("LATEEN_LOG", filter(engine_level)),
        Engine::Envoy => {
            say("LATEEN_LOG", filter(agent_level.rsplit(':').next().unwrap_or(agent_level)));
            say("LATEEN_ENVOY_LOG_LEVEL", engine_level);
        }
    }
    say("PILOT_CERT_PROVIDER", "istiod");
    say("CA_ADDR", &authority(context));
    for (name, field) in [
        ("POD_NAME", "metadata.name"),
        ("POD_NAMESPACE", "metadata.namespace"),
        ("INSTANCE_IP", "status.podIP"),
        ("SERVICE_ACCOUNT", "spec.serviceAccountName"),
        ("HOST_IP", "status.hostIP"),
        ("ISTIO_META_NODE_NAME", "spec.nodeName"),
    ] {
        variables.push(json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": field}}}));
    }
    variables.push(json!({
        "name": "ISTIO_CPU_LIMIT",
        "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}},
    }));
    let mut say = |name: &str, value: &str| variables.push(json!({"name": name, "value": value}));
    say("PROXY_CONFIG", &proxy_config(context).to_string());
    say("ISTIO_META_POD_PORTS", &pod_ports(context).to_string());
    let applications: Vec<&str> =
        context.applications().filter_map(|container| container["name"].as_str()).collect();
    say("ISTIO_META_APP_CONTAINERS", &applications.join(","));
    say("ISTIO_META_CLUSTER_ID", &context.cluster);
    say("ISTIO_META_INTERCEPTION_MODE", &context.traffic.mode);
    if !context.network.is_empty() {
        say("ISTIO_META_NETWORK", &context.network);
    }
    let workload = context.owner.workload_name(context.pod);
    if !workload.is_empty() {
        say("ISTIO_META_WORKLOAD_NAME", &workload);
        say("ISTIO_META_OWNER", &context.owner.reference(context.namespace));
    }
    if annotation(context.pod, names::BOOTSTRAP_OVERRIDE).is_some() {
        say("ISTIO_BOOTSTRAP_OVERRIDE", "/etc/istio/custom-bootstrap/custom_bootstrap.json");
    }
    let mesh_id = if values.mesh_id.is_empty() { &mesh.trust_domain } else { &values.mesh_id };
    say("ISTIO_META_MESH_ID", mesh_id);
    say("TRUST_DOMAIN", &mesh.trust_domain);
    for (name, value) in context.proxy.metadata() {
        say(name, &value);
    }
    if mesh.inbound_localhost {
        say("REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION", "true");
    }
    variables.into()
}

/// Istio's names of log levels as ours.
fn filter(level: &str) -> &str {
    match level {
        "warning" => "warn",
        "critical" => "error",
        "none" => "off",
        other => other,
    }
}

/// Who signs certificates: the control plane of this revision, unless told otherwise.
fn authority(context: &Context<'_>) -> String {
    let values = &context.settings.values;
    if !values.ca_address.is_empty() {
        return values.ca_address.clone();
    }
    discovery(context)
}

/// The proxy's settings as it is told them. The control plane's address follows revision and
/// namespace, as Istio's chart has it, and so needs no telling where both are the usual ones.
fn proxy_config(context: &Context<'_>) -> Value {
    let mut proxy = context.proxy.clone();
    let address = annotation(context.pod, names::DISCOVERY_ADDRESS).map(str::to_owned);
    let unset = proxy.0["discoveryAddress"].is_null();
    if let Some(address) = address.or_else(|| unset.then(|| discovery(context))) {
        proxy = proxy.with_field("discoveryAddress", json!(address));
    }
    if context.agent_port != proxy.status_port() {
        proxy = proxy.with_field("statusPort", json!(context.agent_port));
    }
    proxy.differences()
}

/// The control plane's address.
fn discovery(context: &Context<'_>) -> String {
    let suffix = match context.settings.facts.revision.as_str() {
        names::DEFAULT_REVISION => String::new(),
        revision => format!("-{revision}"),
    };
    format!("istiod{suffix}.{}.svc:15012", context.settings.values.root_namespace)
}

/// The ports of all containers.
fn pod_ports(context: &Context<'_>) -> Value {
    let containers = crate::json::items(&context.pod["spec"], "containers");
    containers
        .iter()
        .flat_map(|container| crate::json::items(container, "ports"))
        .cloned()
        .collect()
}
