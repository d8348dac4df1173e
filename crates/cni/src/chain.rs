//! What the plugin answers to a call.
//!
//! A pod that is in no mesh must start whatever becomes of the agent. So a pod of which it is not known
//! that it is in the mesh is let through when nobody can say; should it be, its init container
//! `istio-validation` finds its traffic uncaptured and keeps it from running, and the agent repairs it
//! when it is back. A pod of which it is known has to wait here: the runtime tries again.

use std::path::Path;

use serde_json::{Value, json};

use crate::protocol::{Call, Code, Command, Failure, VERSIONS};
use crate::wire::{Answer, Ask, What};

/// What says that a pod was injected.
const STATUS: &str = "sidecar.istio.io/status";

/// What the plugin prints: nothing for commands without a result.
///
/// `ask` brings a question and the path of the network namespace to the agent at a socket; it fails with
/// what went wrong on the way.
///
/// # Errors
/// What the runtime is told instead.
pub fn answer(
    call: &Call,
    ask: impl FnOnce(&Path, &Ask, &Path) -> Result<Answer, String>,
) -> Result<Option<Value>, Failure> {
    match call.command {
        Command::Version => Ok(Some(versions(call))),
        // A namespace takes its rules with it, and pods outside the mesh can always be added.
        Command::Del | Command::Gc | Command::Status => Ok(None),
        Command::Add => capture(call, What::Capture, ask).map(|()| Some(call.result())),
        Command::Check => capture(call, What::Check, ask).map(|()| None),
    }
}

fn versions(call: &Call) -> Value {
    let theirs = &call.configuration.cni_version;
    let newest = VERSIONS[VERSIONS.len() - 1];
    json!({
        "cniVersion": if theirs.is_empty() { newest } else { theirs },
        "supportedVersions": VERSIONS,
    })
}

fn capture(
    call: &Call,
    what: What,
    ask: impl FnOnce(&Path, &Ask, &Path) -> Result<Answer, String>,
) -> Result<(), Failure> {
    let configuration = &call.configuration;
    let (Some(namespace), Some(name), Some(netns)) = (&call.namespace, &call.name, &call.netns)
    else {
        return Ok(());
    };
    if configuration.exclude_namespaces.contains(namespace) {
        return Ok(());
    }
    let annotations = configuration.runtime_config.annotations.as_ref();
    let injected = annotations.map(|annotations| annotations.contains_key(STATUS));
    if injected == Some(false) {
        return Ok(());
    }
    let question = Ask { what, namespace: namespace.clone(), name: name.clone() };
    let unknown = |why: String| match injected {
        Some(true) => Err(Failure::new(
            Code::TryAgainLater,
            format!("the traffic of {namespace}/{name} cannot be captured now"),
            why,
        )),
        _ => Ok(()),
    };
    match ask(&configuration.socket, &question, netns) {
        Ok(Answer::Captured | Answer::Left(_)) => Ok(()),
        Ok(Answer::Refused(why)) => Err(Failure::new(
            Code::Capture,
            format!("the traffic of {namespace}/{name} cannot be captured"),
            why,
        )),
        Ok(Answer::Unknown(why)) => unknown(why),
        Err(why) => unknown(format!("the node agent does not answer: {why}")),
    }
}
