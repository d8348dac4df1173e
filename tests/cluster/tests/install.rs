//! Installing, upgrading and taking away, on a real API server.

use std::collections::BTreeSet;
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::Context;
use lateen_testkit::cluster::Api;
use lateen_testkit::mesh::binary;
use lateen_testkit::wait;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `lateen` against a cluster.
fn lateen(api: &Api, arguments: &[&str]) -> anyhow::Result<Output> {
    Command::new(binary())
        .args(arguments)
        .env("KUBECONFIG", api.kubeconfig())
        .output()
        .context("lateen runs")
}

/// The same, when it is expected to succeed; what it printed.
fn succeed(api: &Api, arguments: &[&str]) -> anyhow::Result<String> {
    let output = lateen(api, arguments)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "lateen {arguments:?}: {text}\n{errors}");
    Ok(text)
}

/// The same, when it is expected to refuse; what it complained of.
fn refuse(api: &Api, arguments: &[&str]) -> anyhow::Result<String> {
    let output = lateen(api, arguments)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    anyhow::ensure!(!output.status.success(), "lateen {arguments:?} succeeded: {text}");
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Every object of the kinds that an installation consists of: KIND NAMESPACE/NAME.
fn inventory(api: &Api) -> anyhow::Result<BTreeSet<String>> {
    const KINDS: &str = "namespaces,networkpolicies,poddisruptionbudgets,serviceaccounts,secrets,configmaps,\
        customresourcedefinitions,clusterroles,clusterrolebindings,roles,rolebindings,services,\
        deployments,daemonsets,horizontalpodautoscalers,leases,mutatingwebhookconfigurations,\
        validatingwebhookconfigurations";
    let listed = api.kubectl().json(["get", KINDS, "--all-namespaces"])?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let items = listed["items"].as_array().context("a list")?;
    Ok(items
        .iter()
        .filter(|item| {
            // Kept by the API server itself.
            let namespace = item["metadata"]["namespace"].as_str().unwrap_or_default();
            !(item["kind"] == "Lease" && namespace == "kube-system")
        })
        .map(|item| {
            let metadata = &item["metadata"];
            let (namespace, name) = (text(&metadata["namespace"]), text(&metadata["name"]));
            format!("{} {namespace}/{name}", text(&item["kind"]))
        })
        .collect())
}

#[test]
fn an_installation_comes_changes_and_goes_without_a_trace() -> anyhow::Result<()> {
    let api = Api::start()?;
    let before = inventory(&api)?;
    let checked = succeed(&api, &["check"])?;
    assert!(checked.contains("ok you may make everything"), "{checked}");

    let said = succeed(&api, &["install", "--no-wait"])?;
    assert!(said.contains("applied  Deployment istio-system/istiod"), "{said}");
    let there = inventory(&api)?;
    for wanted in [
        "Service istio-system/istiod",
        "Service istio-system/istio-ingressgateway",
        "CustomResourceDefinition /virtualservices.networking.istio.io",
        "MutatingWebhookConfiguration /istio-sidecar-injector",
        "ValidatingWebhookConfiguration /istiod-default-validator",
        "ConfigMap istio-system/istio",
    ] {
        assert!(there.contains(wanted), "no {wanted} in {there:#?}");
    }
    assert_eq!(succeed(&api, &["install", "--no-wait"])?.lines().count(), said.lines().count() - 1);
    assert_eq!(inventory(&api)?, there, "installing again changes nothing");

    // What is not asked for any more goes, and earlier values stay.
    let set = "gateways.istio-ingressgateway.enabled=false,pilot.autoscaleMin=3";
    let said = succeed(&api, &["upgrade", "--no-wait", "--set", set])?;
    assert!(said.contains("deleted  Service istio-system/istio-ingressgateway"), "{said}");
    // Once the control plane answers, it has validation enforced; an upgrade leaves it so.
    let validator = ["validatingwebhookconfiguration", "istiod-default-validator"];
    let enforce = r#"[{"op":"replace","path":"/webhooks/0/failurePolicy","value":"Fail"}]"#;
    api.kubectl().run(["patch"].into_iter().chain(validator).chain([
        "--type=json",
        "--patch",
        enforce,
    ]))?;
    succeed(&api, &["upgrade", "--no-wait", "--tag", "prod"])?;
    let kept = api.kubectl().json(["get"].into_iter().chain(validator))?;
    assert_eq!(kept["webhooks"][0]["failurePolicy"], "Fail");
    let scaler = ["get", "hpa", "istiod", "--namespace", "istio-system"];
    assert_eq!(api.kubectl().json(scaler)?["spec"]["minReplicas"], 3);
    let there = inventory(&api)?;
    assert!(!there.contains("Deployment istio-system/istio-ingressgateway"));
    assert!(there.contains("MutatingWebhookConfiguration /istio-revision-tag-prod"));

    let missing = refuse(&api, &["upgrade", "--revision", "other"])?;
    assert!(missing.contains("there is no revision other"), "{missing}");
    let output = lateen(&api, &["check"])?;
    assert_eq!(output.status.code(), Some(1), "no control plane runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("!! control plane, revision default in istio-system: 0 of"), "{text}");

    let said = succeed(&api, &["uninstall", "--purge"])?;
    assert!(said.contains("deleted  Deployment istio-system/istiod"), "{said}");
    // Definitions go once the API server has deleted their objects. Namespaces end by the controller manager,
    // which does not run here.
    wait::until("nothing is left", PATIENCE, || {
        let there = inventory(&api)?;
        let left: Vec<&String> =
            there.difference(&before).filter(|object| !object.contains("istio-system")).collect();
        anyhow::ensure!(left.is_empty(), "{left:#?}");
        Ok(())
    })?;
    Ok(())
}

#[test]
fn two_revisions_do_not_touch_each_other() -> anyhow::Result<()> {
    let api = Api::start()?;
    succeed(&api, &["install", "--no-wait"])?;
    let first = inventory(&api)?;
    succeed(&api, &["install", "--no-wait", "--revision", "next"])?;
    let both = inventory(&api)?;
    assert!(both.is_superset(&first));
    for object in both.difference(&first) {
        assert!(object.contains("-next"), "{object}");
    }
    succeed(&api, &["uninstall", "--revision", "next"])?;
    assert_eq!(inventory(&api)?, first, "the other one stays as it was");
    Ok(())
}

/// What an Istio looks like to us: a webhook, a definition of a kind, and the root in its namespace.
const ISTIO: &str = "
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: istio-sidecar-injector, labels: {app: sidecar-injector, istio.io/rev: default}}
webhooks:
- name: rev.namespace.sidecar-injector.istio.io
  clientConfig: {service: {name: istiod, namespace: istio-system, path: /inject}}
  failurePolicy: Ignore
  sideEffects: None
  admissionReviewVersions: [v1]
  namespaceSelector: {matchLabels: {nothing: matches}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio-ca-root-cert, namespace: istio-system}
data: {root-cert.pem: the root of Istio}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gateways.networking.istio.io}
spec:
  group: networking.istio.io
  names: {kind: Gateway, listKind: GatewayList, plural: gateways, singular: gateway}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";

/// An object without what the API server notes about it.
fn bare(api: &Api, kind: &str, name: &str) -> anyhow::Result<Value> {
    let mut object = api.kubectl().json(["get", kind, name, "--namespace", "istio-system"])?;
    object["metadata"]["managedFields"].take();
    object["status"].take();
    Ok(object)
}

#[test]
fn beside_an_istio_nothing_of_it_is_touched() -> anyhow::Result<()> {
    let api = Api::start()?;
    api.namespace("istio-system")?;
    api.kubectl().apply(ISTIO)?;
    let theirs = [
        ("mutatingwebhookconfiguration", "istio-sidecar-injector"),
        ("configmap", "istio-ca-root-cert"),
        ("customresourcedefinition", "gateways.networking.istio.io"),
    ];
    let read =
        || theirs.iter().map(|(kind, name)| bare(&api, kind, name)).collect::<Result<Vec<_>, _>>();
    let before = read()?;

    let refusal = refuse(&api, &["install", "--no-wait", "--revision", "lateen"])?;
    assert!(refusal.contains("there is no CA to share with it"), "{refusal}");
    let secret = |root: &str| {
        let file = format!("ca-cert.pem={root}");
        let arguments = ["create", "secret", "generic", "istio-ca-secret", "--dry-run=client"];
        let yaml = api.kubectl().run(
            arguments
                .into_iter()
                .chain(["--namespace", "istio-system", "--output", "yaml", "--from-literal"])
                .chain([file.as_str()]),
        )?;
        api.kubectl().apply(&yaml)
    };
    secret("another root")?;
    let refusal = refuse(&api, &["install", "--no-wait", "--revision", "lateen"])?;
    assert!(refusal.contains("has another root"), "{refusal}");

    secret("the root of Istio")?;
    let shared = bare(&api, "secret", "istio-ca-secret")?;
    let refusal = refuse(&api, &["install", "--no-wait"])?;
    assert!(
        refusal.contains("MutatingWebhookConfiguration istio-sidecar-injector")
            && refusal.contains("--revision"),
        "{refusal}"
    );
    let said = succeed(&api, &["install", "--no-wait", "--revision", "lateen"])?;
    assert!(
        said.contains("kept     CustomResourceDefinition gateways.networking.istio.io"),
        "{said}"
    );
    assert_eq!(read()?, before, "after the installation");

    let definition = ["get", "crd", "virtualservices.networking.istio.io", "--output", "name"];
    api.kubectl().run(definition).context("what was missing is there")?;
    succeed(&api, &["uninstall", "--revision", "lateen", "--purge"])?;
    assert_eq!(read()?, before, "after it went");
    assert_eq!(bare(&api, "secret", "istio-ca-secret")?, shared);
    Ok(())
}

/// The control plane's account may do what it does, and no more.
#[test]
fn the_control_plane_may_do_its_work_and_nothing_else() -> anyhow::Result<()> {
    let api = Api::start()?;
    succeed(&api, &["install", "--no-wait"])?;
    api.namespace("shop")?;
    let account = api.service_account("istio-system", "istiod")?;
    let may = |arguments: &[&str]| -> anyhow::Result<bool> {
        let output = account.command(["auth", "can-i"].iter().chain(arguments)).output()?;
        Ok(output.status.success())
    };
    for arguments in [
        &["list", "pods", "--all-namespaces"][..],
        &["watch", "secrets", "--all-namespaces"],
        &["list", "virtualservices.networking.istio.io", "--all-namespaces"],
        &[
            "patch",
            "virtualservices.networking.istio.io",
            "--subresource=status",
            "--all-namespaces",
        ],
        &["create", "tokenreviews.authentication.k8s.io"],
        &["create", "subjectaccessreviews.authorization.k8s.io"],
        &["create", "configmaps", "--namespace", "shop"],
        &["update", "configmaps/istio-ca-root-cert", "--namespace", "shop"],
        &["create", "secrets", "--namespace", "istio-system"],
        &["get", "configmaps/istio", "--namespace", "istio-system"],
        &["update", "leases.coordination.k8s.io/lateen-leader", "--namespace", "istio-system"],
        &["patch", "mutatingwebhookconfigurations/istio-sidecar-injector"],
        &["patch", "validatingwebhookconfigurations/istiod-default-validator"],
        &["list", "customresourcedefinitions"],
        // A dry run that must be refused, by which it sees whether validation answers.
        &["create", "gateways.networking.istio.io", "--namespace", "istio-system"],
    ] {
        assert!(may(arguments)?, "it may not {arguments:?}");
    }
    for arguments in [
        &["create", "pods", "--namespace", "shop"][..],
        &["delete", "pods", "--namespace", "istio-system"],
        &["update", "configmaps/other", "--namespace", "shop"],
        &["get", "configmaps/other", "--namespace", "shop"],
        &["update", "secrets", "--namespace", "istio-system"],
        &["create", "secrets", "--namespace", "shop"],
        &["delete", "secrets", "--namespace", "istio-system"],
        &["update", "virtualservices.networking.istio.io", "--namespace", "shop"],
        &["delete", "virtualservices.networking.istio.io", "--namespace", "shop"],
        &["create", "gateways.networking.istio.io", "--namespace", "shop"],
        &["patch", "mutatingwebhookconfigurations/somebody-elses"],
        &["create", "mutatingwebhookconfigurations"],
        &["update", "leases.coordination.k8s.io/lateen-leader", "--namespace", "kube-system"],
        &["create", "serviceaccounts", "--subresource=token", "--namespace", "shop"],
        &["create", "clusterroles"],
        &["impersonate", "users"],
        &["get", "nodes", "--subresource=proxy"],
        &["create", "pods", "--subresource=exec", "--namespace", "shop"],
    ] {
        assert!(!may(arguments)?, "it may {arguments:?}");
    }
    let gateway = api.service_account("istio-system", "istio-ingressgateway-service-account")?;
    gateway.run(["get", "secrets", "--namespace", "istio-system"])?;
    let refusal = gateway.run(["get", "secrets", "--namespace", "shop"]).expect_err("not its own");
    assert!(refusal.to_string().contains("cannot list resource"), "{refusal}");
    Ok(())
}

/// The real control plane, with the chart's account and nothing else, does its work and is refused nothing.
#[test]
fn the_control_plane_is_refused_nothing() -> anyhow::Result<()> {
    let api = Api::start()?;
    succeed(&api, &["install", "--no-wait"])?;
    api.namespace("shop")?;
    let account = api.service_account("istio-system", "istiod")?;
    let mut command = Command::new(binary());
    command.args(["controller", "--namespace", "istio-system"]);
    command.arg("--kubeconfig").arg(account.kubeconfig());
    command.args(["--listen", "127.0.0.1:0"]);
    command.args(["--monitoring", "127.0.0.1:0"]);
    command.args(["--webhooks", "127.0.0.1:0"]);
    let plane = api.program("control-plane", command)?;
    wait::until("the root is in the namespace", PATIENCE, || {
        api.kubectl().json(["get", "configmap", "istio-ca-root-cert", "--namespace", "shop"])
    })
    .with_context(|| plane.output())?;
    wait::until("the webhooks have their certificate", PATIENCE, || {
        for (kind, name) in [
            ("mutatingwebhookconfiguration", "istio-sidecar-injector"),
            ("validatingwebhookconfiguration", "istio-validator-istio-system"),
            ("validatingwebhookconfiguration", "istiod-default-validator"),
        ] {
            let found = api.kubectl().json(["get", kind, name])?;
            let bundle = &found["webhooks"][0]["clientConfig"]["caBundle"];
            anyhow::ensure!(bundle.is_string(), "{name} has none");
        }
        Ok(())
    })
    .with_context(|| plane.output())?;
    let output = plane.output();
    assert!(!output.contains("forbidden"), "{output}");
    Ok(())
}
