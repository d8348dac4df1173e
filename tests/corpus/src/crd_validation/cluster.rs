//! An API server with our custom resource definitions.

use anyhow::Context;
use lateen_testkit::cluster::Api;
use serde_json::{Value, json};

/// Started when it is asked first.
#[derive(Default)]
pub struct Cluster(Option<Api>);

impl Cluster {
    /// Why the API server refuses the object; nothing if it accepts it.
    pub fn refusal(&mut self, object: &Value) -> anyhow::Result<Option<String>> {
        let kubectl = self.api()?.kubectl();
        let mut object = object.clone();
        // A schema does not look at the namespace, and others do not exist.
        object["metadata"]["namespace"] = json!("default");
        let arguments = ["create", "--dry-run=server", "--validate=ignore", "--filename", "-"];
        let Err(error) = kubectl.with_input(arguments, &object.to_string()) else {
            return Ok(None);
        };
        let answer = format!("{error:#}");
        let judged = ["is invalid", "(BadRequest)", "cannot be handled as"];
        anyhow::ensure!(
            judged.iter().any(|judged| answer.contains(judged)),
            "the API server did not judge {object}: {answer}"
        );
        Ok(Some(answer))
    }

    fn api(&mut self) -> anyhow::Result<&Api> {
        if self.0.is_none() {
            let api = Api::start().context("an API server is needed")?;
            install(&api)?;
            self.0 = Some(api);
        }
        self.0.as_ref().context("invariant: it was just started")
    }
}

/// Installs the definitions, and waits until they are served.
fn install(api: &Api) -> anyhow::Result<()> {
    let definitions: Vec<Value> = lateen_api::crd::definitions().collect();
    let all = json!({"apiVersion": "v1", "kind": "List", "items": definitions});
    let kubectl = api.kubectl();
    kubectl.with_input(["apply", "--server-side", "--filename", "-"], &all.to_string())?;
    let arguments = ["wait", "--for", "condition=Established", "--timeout", "60s", "crd", "--all"];
    kubectl.run(arguments)?;
    Ok(())
}
