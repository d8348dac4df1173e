//! Helm makes of the chart what the program makes of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use lateen_install::{Given, Lookup, Release, render, title};
use lateen_testkit::cluster::programs::Programs;
use serde_json::Value;

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/helm/lateen")
}

/// What Helm prints.
fn helm(arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(Programs::find()?.path("helm"))
        .args(arguments)
        .current_dir(chart())
        .env("HELM_CACHE_HOME", "/nonexistent")
        .output()
        .context("helm runs")?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    anyhow::ensure!(output.status.success(), "helm {arguments:?}: {errors}");
    Ok(String::from_utf8(output.stdout)?)
}

fn by_title(objects: impl IntoIterator<Item = Value>) -> BTreeMap<String, Value> {
    objects.into_iter().map(|object| (title(&object), without_nothing(object))).collect()
}

/// An object without fields that hold nothing: writers of YAML differ in whether they write them.
fn without_nothing(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name, without_nothing(value)))
                .collect(),
        ),
        Value::Array(items) => items.into_iter().map(without_nothing).collect(),
        // JSON and YAML in config maps are compared by what they say.
        Value::String(text) if text.contains('\n') || text.starts_with('{') => {
            let inner = lateen_inject::from_yaml(&text).unwrap_or_default();
            if inner.is_object() { without_nothing(inner) } else { Value::String(text) }
        }
        plain => plain,
    }
}

#[test]
fn both_render_the_same() -> anyhow::Result<()> {
    let sets: [&[&str]; 9] = [
        &[],
        &["revision=canary", "revisionTags={prod,default}"],
        &["cni.enabled=true", "revision=canary"],
        &[
            "cni.enabled=true",
            "cni.repair.repairPods=false",
            "cni.repair.deletePods=true",
            "cni.cniConfFileName=10-a.conflist",
            "cni.env.A=b",
            "cni.nodeSelector.disk=fast",
            "cni.podAnnotations.x=1",
        ],
        &["proxy.engine=envoy", "gateways.istio-egressgateway.enabled=true"],
        &["sidecarInjectorWebhook.enableNamespacesByDefault=true", "global.configValidation=false"],
        &[
            "pilot.autoscaleEnabled=false",
            "pilot.replicaCount=2",
            "pilot.plaintextXds=true",
            "pilot.env.A=b",
            "pilot.nodeSelector.disk=fast",
            "pilot.tolerations[0].key=a",
            "pilot.tolerations[0].operator=Exists",
            "pilot.podAnnotations.x=1",
        ],
        &[
            "global.imagePullSecrets={one,two}",
            "global.network=west",
            "meshConfig.accessLogFile=/dev/stdout",
            "meshConfig.defaultConfig.proxyMetadata.A=b",
            "global.defaultPodDisruptionBudget.enabled=false",
            "global.networkPolicy.enabled=false",
        ],
        &[
            "global.istioNamespace=mesh",
            "gateways.istio-ingressgateway.enabled=false",
            "global.tag=null",
        ],
    ];
    for set in sets {
        let mut arguments =
            vec!["template", "lateen", ".", "--namespace", "istio-system", "--include-crds"];
        let mut given = Given::none();
        for assignment in set {
            arguments.extend(["--set", assignment]);
            given.set(assignment, false)?;
        }
        let printed = helm(&arguments)?;
        let theirs = lateen_api::yaml::documents(&printed)
            .into_iter()
            .map(|document| document.map(|node| lateen_inject::from_tree(&node)))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| anyhow::anyhow!("helm printed no YAML: {}", error.message))?;
        let theirs = by_title(theirs.into_iter().filter(|object| !object.is_null()));
        let release = Release {
            name: "lateen".to_owned(),
            namespace: "istio-system".to_owned(),
            service: "Helm".to_owned(),
            is_upgrade: false,
        };
        let rendered = render(&given.over_defaults()?, &release, &Lookup::offline())?;
        let ours = by_title(lateen_api::crd::definitions().chain(rendered.objects));
        let names = |objects: &BTreeMap<String, Value>| objects.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&ours), names(&theirs), "{set:?}");
        for (title, object) in &ours {
            assert_eq!(object, &theirs[title], "{title} with {set:?}");
        }
    }
    Ok(())
}

#[test]
fn helm_finds_no_fault_with_the_chart_and_refuses_what_the_program_refuses() -> anyhow::Result<()> {
    let said = helm(&["lint", "--strict", "."])?;
    assert!(said.contains("0 chart(s) failed"), "{said}");
    for wrong in ["proxy.engine=foo", "global.huub=x", "revision=default", "revisionTags={-a}"] {
        assert!(helm(&["template", "x", ".", "--set", wrong]).is_err(), "helm takes {wrong}");
        let mut given = Given::none();
        given.set(wrong, false)?;
        assert!(given.over_defaults().is_err(), "the program takes {wrong}");
    }
    Ok(())
}
