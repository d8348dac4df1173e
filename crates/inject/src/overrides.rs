//! What a pod's user writes of a container that is injected goes before the template.

use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::inject::proxy_of;
use crate::json::{items, items_mut, members, named};
use crate::merge::merge;
use crate::names;
use crate::template::Context;

/// Lists of containers.
const LISTS: [&str; 2] = ["containers", "initContainers"];

/// Merges the user's containers over the injected ones of the same name, and notes them in the pod's
/// annotation, so that the pod can be injected again (Istio: `reapplyOverwrittenContainers`).
pub(crate) fn reapply(pod: &mut Value, written: &Value, injected: &Value) -> Result<(), Error> {
    let mut kept = Map::new();
    for list in LISTS {
        let mut of_list = Vec::new();
        for container in items(&injected["spec"], list) {
            let Some(name) = container["name"].as_str() else { continue };
            let Some(user) = user_container(written, list, name) else { continue };
            let mut overlay = user.clone();
            if overlay["image"] == names::AUTO_IMAGE {
                members_of(&mut overlay).shift_remove("image");
            }
            merge(&mut pod["spec"], &json!({ list: [overlay.clone()] }));
            of_list.push(overlay);
        }
        if !of_list.is_empty() {
            kept.insert(list.to_owned(), Value::Array(of_list));
        }
    }
    if !kept.is_empty() {
        let annotations = members(&mut pod["metadata"], "annotations");
        annotations.insert(names::OVERRIDES.to_owned(), json!(Value::Object(kept).to_string()));
    }
    match proxy_of(pod) {
        Some(proxy) if proxy["image"] == names::AUTO_IMAGE => Err(Error::setting(
            "the image of the container istio-proxy",
            names::AUTO_IMAGE,
            "needs a template that injects this container (inject.istio.io/templates)",
        )),
        _ => Ok(()),
    }
}

/// The user's container of this name: for an injected init container also one among the containers.
fn user_container<'a>(written: &'a Value, list: &str, name: &str) -> Option<&'a Value> {
    let among = |list: &str| named(items(&written["spec"], list), name);
    match list {
        "initContainers" => among("containers").or_else(|| among("initContainers")),
        list => among(list),
    }
}

fn members_of(container: &mut Value) -> &mut Map<String, Value> {
    container.as_object_mut().expect("invariant: what has a name is an object")
}

/// Where the user says which user the proxy is, its traffic is told by that number; in TPROXY mode it
/// has to be root (Istio: `adjustInitContainerUser`).
pub(crate) fn adjust_users(pod: &mut Value, written: &Value, context: &Context<'_>) {
    let Some(user_proxy) = proxy_of(written) else { return };
    let security = &user_proxy["securityContext"];
    let (user, group) = (security["runAsUser"].as_i64(), security["runAsGroup"].as_i64());
    let tproxy = context.traffic.mode == "TPROXY";
    for container in items_mut(&mut pod["spec"], "initContainers") {
        let name = container["name"].as_str().unwrap_or_default().to_owned();
        match name.as_str() {
            names::PROXY if tproxy && user.is_some() => {
                container["securityContext"]["runAsUser"] = json!(0);
            }
            names::VALIDATION if !tproxy => {
                for (field, id) in [("runAsUser", user), ("runAsGroup", group)] {
                    if let Some(id) = id {
                        container["securityContext"][field] = json!(id);
                    }
                }
                set_user_argument(container, user);
            }
            names::INIT | names::VALIDATION => set_user_argument(container, user),
            _ => {}
        }
    }
    if tproxy && user.is_some() {
        for container in items_mut(&mut pod["spec"], "containers") {
            if container["name"] == names::PROXY {
                container["securityContext"]["runAsUser"] = json!(0);
            }
        }
    }
}

/// Root's traffic cannot be told from others'.
fn set_user_argument(container: &mut Value, user: Option<i64>) {
    let Some(user) = user.filter(|user| *user != 0) else { return };
    let arguments = items_mut(container, "args");
    if let Some(flag) = arguments.iter().position(|argument| argument == "-u")
        && let Some(value) = arguments.get_mut(flag + 1)
    {
        *value = json!(user.to_string());
    }
}

/// Containers that have no image after all, which the API server refuses.
pub(crate) fn incomplete(pod: &Value) -> Vec<String> {
    let containers = LISTS
        .into_iter()
        .flat_map(|list| items(&pod["spec"], list).iter().map(move |container| (list, container)));
    containers
        .filter(|(_, container)| container["image"].is_null())
        .map(|(list, container)| {
            let name = container["name"].as_str().unwrap_or_default();
            format!(
                "the container {name} of spec.{list} has no image: a template writes it there, \
                 but the sidecar is an init container"
            )
        })
        .collect()
}
