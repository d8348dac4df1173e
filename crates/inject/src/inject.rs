//! What the injected pod is.

use serde_json::{Value, json};

use crate::decide::Labels;
use crate::error::Error;
use crate::json::{annotation, items, label, members, named};
use crate::merge::merge;
use crate::names;
use crate::owner::Owner;
use crate::setting::Setting;
use crate::settings::{Engine, Settings};
use crate::template::{self, Context, Ids};
use crate::traffic::Traffic;
use crate::{order, overrides, probes, prometheus, status, warnings};

/// A pod that is to be injected, with what is known of it.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The pod.
    pub pod: &'a Value,
    /// Its namespace; the pod itself need not name it yet.
    pub namespace: &'a str,
    /// The namespace's annotations, where OpenShift writes which users its pods may be.
    pub namespace_annotations: &'a Labels,
    /// What it belongs to, where that is not told by the pod itself.
    pub owner: Option<Owner>,
    /// Variables of the webhook's path, which go before the chart's values; see
    /// [`crate::path::variables`].
    pub variables: &'a [(String, String)],
}

/// An injected pod.
#[derive(Debug, Clone)]
pub struct Injection {
    /// The pod.
    pub pod: Value,
    /// What it asks for and does not get, for people.
    pub warnings: Vec<String>,
}

impl Injection {
    /// The difference to the pod before, as JSON Patch (RFC 6902).
    #[must_use]
    pub fn patch(&self, before: &Value) -> json_patch::Patch {
        json_patch::diff(before, &self.pod)
    }
}

/// Injects a pod. One that was injected already becomes what it would be if it had not been.
///
/// # Errors
/// When the pod asks for something that cannot be; the text is for its author.
pub fn inject(request: &Request<'_>, settings: &Settings) -> Result<Injection, Error> {
    if !request.pod["spec"]["containers"].is_array() {
        return Err(Error::NotAPod("it has no list of containers"));
    }
    let mesh_port = settings.mesh.proxy.status_port();
    let mut written = status::stripped(request.pod, mesh_port);
    if settings.facts.openshift {
        forget_assigned_user(&mut written);
    }
    let owner = request.owner.clone().unwrap_or_else(|| Owner::of_pod(&written));
    let context = context(request, settings, &written, &owner)?;

    let mut pod = written.clone();
    let mut injected = json!({});
    for name in template::chosen(&written, settings) {
        let overlay = template::overlay(&name, &context)?;
        merge(&mut injected, &overlay);
        move_proxy_to_init(&mut pod, &injected);
        merge(&mut pod, &overlay);
    }
    overrides::reapply(&mut pod, &written, &injected)?;
    overrides::adjust_users(&mut pod, &written, &context);

    set_variables(&mut pod, &path_variables(request, &context));
    let has_proxy = proxy_of(&pod).is_some();
    if has_proxy {
        let told = prometheus::merge(&mut pod, settings.mesh.prometheus_merge, mesh_port)?;
        if let Some(told) = told {
            set_variables(&mut pod, &[(names::PROMETHEUS.to_owned(), told)]);
        }
        let port = context.agent_port;
        if port > 0 && probes::wanted(&pod, settings.values.rewrite_probes) {
            let probers = probes::rewrite(&mut pod, port);
            if !probers.is_empty() {
                let text = json!(probers).to_string();
                set_variables(&mut pod, &[(names::PROBERS.to_owned(), text)]);
            }
        }
    }
    let metadata = &mut pod["metadata"];
    if !context.network.is_empty() {
        members(metadata, "labels").insert(names::NETWORK.to_owned(), json!(context.network));
    }
    let annotations = members(metadata, "annotations");
    let told = status::of_injected(&injected, &settings.facts.revision);
    annotations.insert(names::STATUS.to_owned(), json!(told));
    for (name, value) in &settings.injector.injected_annotations {
        annotations.insert(name.clone(), json!(value));
    }
    order::arrange(&mut pod, template::holds(&context));
    let mut warnings = warnings::of_pod(&written, context.engine);
    warnings.extend(overrides::incomplete(&pod));
    Ok(Injection { pod, warnings })
}

fn context<'a>(
    request: &Request<'a>,
    settings: &'a Settings,
    written: &'a Value,
    owner: &'a Owner,
) -> Result<Context<'a>, Error> {
    let values = &settings.values;
    let annotated = match annotation(written, names::PROXY_CONFIG) {
        None => Value::Null,
        Some(text) => {
            let wrong = |fault: String| {
                Error::setting(&format!("the annotation {}", names::PROXY_CONFIG), text, fault)
            };
            let config = crate::json::from_yaml(text)
                .map_err(|error| wrong(format!("is no YAML: {error}")))?;
            if !config.is_object() && !config.is_null() {
                return Err(wrong("is no mapping".to_owned()));
            }
            config
        }
    };
    let proxy = settings.proxy_configs.effective(
        &settings.mesh.proxy,
        request.namespace,
        &crate::json::labels(written),
        &annotated,
    );
    let status_port = Setting::new(
        written,
        names::STATUS_PORT,
        "global.proxy.statusPort",
        &values.proxy.status_port,
    )
    .port()?;
    let engine = match annotation(written, names::ENGINE) {
        None => values.engine,
        Some(name) => Engine::named(name).ok_or_else(|| {
            let fault = "is no data plane: native or envoy";
            Error::setting(&format!("the annotation {}", names::ENGINE), name, fault)
        })?,
    };
    let native = match annotation(written, names::NATIVE_SIDECAR) {
        None => values.native_sidecars.unwrap_or(settings.facts.native_sidecars),
        Some(_) => Setting::new(written, names::NATIVE_SIDECAR, "", "").switch()?,
    };
    let variable = |name: &str| {
        request.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    };
    let network = label(written, names::NETWORK).or_else(|| variable("ISTIO_META_NETWORK"));
    let cluster = variable("ISTIO_META_CLUSTER_ID");
    let traffic = Traffic::read(written, values, &proxy, status_port)?;
    if traffic.mode == "TPROXY" && engine == Engine::Envoy {
        let origin = format!("the interception mode ({})", names::INTERCEPTION_MODE);
        let fault = format!("needs the engine native ({})", names::ENGINE);
        return Err(Error::setting(&origin, &traffic.mode, fault));
    }
    Ok(Context {
        pod: written,
        namespace: request.namespace,
        settings,
        traffic,
        proxy,
        owner,
        cluster: cluster.unwrap_or(&values.cluster).to_owned(),
        network: network.unwrap_or(&values.network).to_owned(),
        status_port,
        agent_port: match annotation(written, names::STATUS_PORT) {
            Some(_) => status_port,
            None => settings.mesh.proxy.status_port(),
        },
        native,
        engine,
        ids: if settings.facts.openshift {
            openshift_ids(request.namespace_annotations)
        } else {
            Ids::default()
        },
    })
}

/// OpenShift gives every container of a pod the same user. A proxy that is the application's user
/// would have its traffic led to itself: what is the same is what OpenShift gave.
fn forget_assigned_user(pod: &mut Value) {
    let user = |container: &Value| container["securityContext"]["runAsUser"].as_i64().unwrap_or(0);
    let containers = items(&pod["spec"], "containers");
    let application =
        containers.iter().filter(|one| one["name"] != names::PROXY).map(user).next_back();
    let proxy = named(containers, names::PROXY).map(user);
    if proxy.is_none() || proxy != application {
        return;
    }
    for container in crate::json::items_mut(&mut pod["spec"], "containers") {
        if container["name"] != names::PROXY {
            continue;
        }
        if let Some(context) = container.get_mut("securityContext").and_then(Value::as_object_mut) {
            context.shift_remove("runAsUser");
            context.shift_remove("runAsGroup");
        }
    }
}

/// The last user and group of the namespace's ranges, which no application is given by itself.
fn openshift_ids(annotations: &Labels) -> Ids {
    let last = |name: &str| {
        let text = annotations.get(name)?.split(',').next()?.trim();
        if let Some((start, size)) = text.split_once('/') {
            let (start, size): (i64, i64) = (start.parse().ok()?, size.parse().ok()?);
            return Some(start + size - 1);
        }
        text.split_once('-')?.1.parse().ok()
    };
    let users = last("openshift.io/sa.scc.uid-range");
    let groups = last("openshift.io/sa.scc.supplemental-groups").or(users);
    let Ids { user, group } = Ids::default();
    Ids { user: users.unwrap_or(user), group: groups.unwrap_or(group) }
}

/// A user who changes the proxy writes a container of its name, whether the sidecar is one or an init
/// container.
fn move_proxy_to_init(pod: &mut Value, injected: &Value) {
    if named(items(&injected["spec"], "initContainers"), names::PROXY).is_none() {
        return;
    }
    let spec = &mut pod["spec"];
    let Some(containers) = spec.get_mut("containers").and_then(Value::as_array_mut) else { return };
    let Some(at) = containers.iter().position(|one| one["name"] == names::PROXY) else { return };
    let proxy = containers.remove(at);
    match spec.get_mut("initContainers").and_then(Value::as_array_mut) {
        Some(init) => init.push(proxy),
        None => spec["initContainers"] = json!([proxy]),
    }
}

/// The proxy's container, wherever it stands.
pub(crate) fn proxy_of(pod: &Value) -> Option<&Value> {
    ["initContainers", "containers"]
        .into_iter()
        .find_map(|list| named(items(&pod["spec"], list), names::PROXY))
}

fn path_variables(request: &Request<'_>, context: &Context<'_>) -> Vec<(String, String)> {
    let mut variables = request.variables.to_vec();
    for (name, value) in &mut variables {
        if name == "ISTIO_META_NETWORK" {
            value.clone_from(&context.network);
        }
    }
    variables
}

/// Sets environment variables of the proxy; new ones come last.
fn set_variables(pod: &mut Value, variables: &[(String, String)]) {
    for list in ["initContainers", "containers"] {
        for container in crate::json::items_mut(&mut pod["spec"], list) {
            if container["name"] != names::PROXY {
                continue;
            }
            let Some(environment) = container.get_mut("env").and_then(Value::as_array_mut) else {
                continue;
            };
            for (name, value) in variables {
                let variable = json!({"name": name, "value": value});
                match environment.iter_mut().find(|known| known["name"] == *name) {
                    Some(known) => *known = variable,
                    None => environment.push(variable),
                }
            }
        }
    }
}
