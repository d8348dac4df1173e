//! The init container that leads the pod's traffic through its proxy, or looks whether the CNI plugin
//! did.

use serde_json::{Value, json};

use super::{Context, container};
use crate::error::Error;
use crate::names;

pub(super) fn container(context: &Context<'_>) -> Result<Value, Error> {
    let values = &context.settings.values;
    // The mode in which the proxy must be root: whose traffic is the proxy's is told by the group.
    let tproxy = context.traffic.mode == "TPROXY";
    let ids = if tproxy { super::Ids::default() } else { context.ids };
    let (name, action) = match values.cni.enabled {
        true => (names::VALIDATION, "validate"),
        false => (names::INIT, "apply"),
    };
    let privileged = values.proxy.privileged;
    let security = if values.cni.enabled {
        json!({
            "allowPrivilegeEscalation": privileged,
            "privileged": privileged,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": true,
            "runAsGroup": ids.group,
            "runAsUser": ids.user,
            "runAsNonRoot": true,
        })
    } else {
        json!({
            "allowPrivilegeEscalation": privileged,
            "privileged": privileged,
            "capabilities": {"add": ["NET_ADMIN", "NET_RAW"], "drop": ["ALL"]},
            "readOnlyRootFilesystem": false,
            "runAsGroup": 0,
            "runAsNonRoot": false,
            "runAsUser": 0,
        })
    };
    let environment: Vec<Value> = context
        .proxy
        .metadata()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    let mut init = json!({
        "name": name,
        "image": container::init_image(context),
        "args": context.traffic.arguments(action, ids.user),
        "env": environment,
        "resources": container::resources(context)?,
        "securityContext": security,
    });
    crate::json::drop_empty(&mut init, "env");
    container::common(context, &mut init);
    Ok(init)
}
