//! `inject`: whether a pod is injected, and what the injected pod is, by the contract that the corpus
//! names: which pods, the order of containers, application containers, labels, annotations, what is
//! captured, names of volumes, probes. The proxy's own arguments and environment are each
//! implementation's business.

mod expect;
mod given;

use std::path::Path;

use anyhow::Context;
use lateen_inject::object::{Outcome, flattened, inject_object};
use lateen_inject::settings::InjectorConfig;
use lateen_inject::{Decision, Error, Facts, Settings, decide, webhooks};
use serde_json::{Value, json};

use crate::case::{self, labels, list, text};
use crate::tally::{Tally, Verdict};

/// Runs the cases of one file.
pub fn run(file: &Path, tally: &mut Tally) -> anyhow::Result<()> {
    let document = case::read(file)?;
    if document["cases"].is_array() {
        for case in list(&document, "cases") {
            let verdict = match text(case, "name").split('/').next().unwrap_or_default() {
                "selector" => selector(case),
                "policy" => policy(case).with_context(|| file.display().to_string())?,
                other => anyhow::bail!("{}: the group {other:?} is not known", file.display()),
            };
            tally.record(text(case, "name"), verdict);
        }
        return Ok(());
    }
    let verdict = output(&document).with_context(|| file.display().to_string())?;
    tally.record(text(&document, "name"), verdict);
    Ok(())
}

/// Labels of namespace and pod: whose webhook is called, of two revisions.
fn selector(case: &Value) -> Verdict {
    let by_default = case["enableNamespacesByDefault"] == true;
    let (namespace, pod) = (labels(case, "namespaceLabels"), labels(case, "podLabels"));
    let called: Vec<&str> = ["default", "canary"]
        .into_iter()
        .flat_map(|revision| {
            let webhooks = webhooks(revision, by_default);
            let matching = webhooks.into_iter().filter(|webhook| webhook.matches(&namespace, &pod));
            matching.map(move |_| revision).collect::<Vec<_>>()
        })
        .collect();
    let expected: Vec<&str> = match case["injected"] == true {
        true => vec![text(case, "byRevision")],
        false => Vec::new(),
    };
    match called == expected {
        true => Verdict::Passed,
        false => Verdict::Failed(format!("expected the webhooks of {expected:?}, not {called:?}")),
    }
}

/// A pod and the injector's configuration.
fn policy(case: &Value) -> anyhow::Result<Verdict> {
    let config = &case["injectorConfig"];
    let settings = Settings::from_json(json!({}), config, json!({}), Facts::default())?;
    let config: &InjectorConfig = &settings.injector;
    let pod = &case["pod"];
    let decision = decide(pod, text(&pod["metadata"], "namespace"), config);
    let injected = decision == Decision::Inject;
    Ok(match case["injected"] == injected {
        true => Verdict::Passed,
        false => Verdict::Failed(format!("{decision:?}")),
    })
}

/// Objects and settings: the injected objects.
fn output(case: &Value) -> anyhow::Result<Verdict> {
    let settings = match given::settings(case) {
        Ok(settings) => settings,
        Err(error) => return Ok(refused(case, &error.to_string())),
    };
    let inputs = list(case, "inputs").iter().cloned().flat_map(flattened);
    let mut outputs = Vec::new();
    for input in inputs {
        let mut object = input.clone();
        match inject_object(&mut object, "default", &given::namespace_annotations, &settings) {
            Ok(outcome) => outputs.push((input, object, outcome)),
            Err(Error::NotOffered { name, .. }) => {
                return Ok(Verdict::Skipped(format!("the template {name}")));
            }
            Err(error) => return Ok(refused(case, &error.to_string())),
        }
    }
    if !case["expectErrorContains"].is_null() {
        return Ok(Verdict::Failed("it was injected".to_owned()));
    }
    let expected = list(case, "expected");
    if expected.len() != outputs.len() {
        let (wanted, made) = (expected.len(), outputs.len());
        return Ok(Verdict::Failed(format!("expected {wanted} objects, not {made}")));
    }
    for (expected, (input, object, outcome)) in expected.iter().zip(&outputs) {
        if (expected["unchanged"] == true) != (*outcome == Outcome::NoPods) {
            return Ok(Verdict::Failed(format!("{}: {outcome:?}", text(expected, "name"))));
        }
        let differences = expect::differences(expected, input, object);
        if differences.is_empty() {
            continue;
        }
        // Istio writes what belongs to the pods of a CronJob to the metadata of its job template.
        let of_metadata = ["injected", "status", "labels", "annotations"];
        let metadata_only = differences.iter().all(|(what, _)| of_metadata.contains(what));
        if expected["kind"] == "CronJob" && metadata_only && expected["labels"] == json!({}) {
            let why = "Istio writes labels and annotations where no pod of the CronJob gets them";
            return Ok(Verdict::Doubtful(why.to_owned()));
        }
        let texts: Vec<String> =
            differences.into_iter().map(|(what, how)| format!("{what}: {how}")).collect();
        return Ok(Verdict::Failed(texts.join("; ")));
    }
    Ok(Verdict::Passed)
}

fn refused(case: &Value, error: &str) -> Verdict {
    let Some(wanted) = case["expectErrorContains"].as_str() else {
        return Verdict::Failed(format!("refused: {error}"));
    };
    match error.to_lowercase().contains(&wanted.to_lowercase()) {
        true => Verdict::Passed,
        false => Verdict::Failed(format!("refused, but not for {wanted:?}: {error}")),
    }
}
