//! Which pods `lateen check` names, and what it tells to do.

use std::collections::BTreeMap;

use lateen_install::check::Level;
use lateen_install::check::sidecars::{Revisions, findings};
use serde_json::{Value, json};

fn revisions() -> Revisions {
    let texts = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    Revisions {
        by_label: texts(&[("default", "default"), ("canary", "canary"), ("prod", "canary")]),
        tags: texts(&[("default", "0.1.0"), ("canary", "0.2.0")]),
    }
}

fn namespace(name: &str, labels: &Value) -> Value {
    json!({"metadata": {"name": name, "labels": labels}})
}

fn pod(namespace: &str, name: &str, owner: Option<(&str, &str)>) -> Value {
    let references: Vec<Value> = owner
        .map(|(kind, name)| json!({"kind": kind, "name": name, "controller": true}))
        .into_iter()
        .collect();
    json!({
        "metadata": {
            "namespace": namespace, "name": name, "labels": {}, "annotations": {},
            "ownerReferences": references,
        },
        "spec": {"containers": [{"name": "app"}]},
        "status": {"phase": "Running"},
    })
}

fn with_sidecar(mut pod: Value, revision: &str, tag: &str) -> Value {
    pod["metadata"]["annotations"]["istio.io/rev"] = revision.into();
    pod["spec"]["initContainers"] =
        json!([{"name": "istio-proxy", "image": format!("ghcr.io/lateen/lateen-proxy:{tag}")}]);
    pod
}

fn set(owner: &str) -> Value {
    json!({"metadata": {"namespace": "shop", "name": format!("{owner}-5d4f"), "ownerReferences": [
        {"kind": "Deployment", "name": owner, "controller": true},
    ]}})
}

fn said(namespaces: &[Value], pods: &[Value], owners: &[Value]) -> Vec<(Level, String, String)> {
    findings(&revisions(), namespaces, pods, owners)
        .into_iter()
        .map(|finding| (finding.level, finding.text, finding.remedy.unwrap_or_default()))
        .collect()
}

#[test]
fn a_pod_without_a_sidecar_is_named_with_the_command_that_mends_it() {
    let namespaces = [namespace("shop", &json!({"istio-injection": "enabled"}))];
    for (owner, remedy) in [
        (
            Some(("ReplicaSet", "web-5d4f")),
            "kubectl rollout restart deployment/web --namespace shop",
        ),
        (Some(("StatefulSet", "db")), "kubectl rollout restart statefulset/db --namespace shop"),
        (Some(("DaemonSet", "log")), "kubectl rollout restart daemonset/log --namespace shop"),
        (Some(("Job", "once")), "kubectl delete pod it --namespace shop"),
        (
            None,
            "kubectl get pod it --namespace shop --output yaml | kubectl replace --force --filename -",
        ),
    ] {
        let found = said(&namespaces, &[pod("shop", "it", owner)], &[set("web")]);
        let expected = (Level::Bad, "pod shop/it has no sidecar".to_owned(), remedy.to_owned());
        assert_eq!(found, [expected]);
    }
}

#[test]
fn an_outdated_sidecar_is_named_with_its_reason() {
    let namespaces = [
        namespace("shop", &json!({"istio-injection": "enabled"})),
        namespace("lab", &json!({"istio.io/rev": "prod"})),
    ];
    let of = |namespace, revision, tag| with_sidecar(pod(namespace, "it", None), revision, tag);
    for (pod, expected) in [
        (of("shop", "default", "0.1.0"), "1 pods of 1 namespaces have current sidecars"),
        (
            of("shop", "default", "0.0.9"),
            "pod shop/it has an outdated sidecar: its image is ghcr.io/lateen/lateen-proxy:0.0.9, and the \
             tag is 0.1.0 now",
        ),
        (of("lab", "canary", "0.2.0"), "1 pods of 1 namespaces have current sidecars"),
        (
            of("lab", "default", "0.1.0"),
            "pod lab/it has an outdated sidecar: of revision \"default\", and \"canary\" is asked for",
        ),
    ] {
        let found = said(&namespaces, &[pod], &[]);
        assert_eq!(found[0].1, expected);
        assert_eq!(found.len(), 1);
    }
}

#[test]
fn pods_that_are_not_meant_are_left_out() {
    let nothing = "no pod is in the mesh yet";
    let labelled = json!({"istio-injection": "enabled"});
    let change = |pointer: &str, value: Value| {
        let mut pod = pod("shop", "it", None);
        *pod.pointer_mut(pointer).expect(pointer) = value;
        pod
    };
    for (namespace_labels, pod) in [
        (json!({}), pod("shop", "it", None)),
        (json!({"istio-injection": "disabled"}), pod("shop", "it", None)),
        (json!({"istio.io/rev": "somebody-elses"}), pod("shop", "it", None)),
        (labelled.clone(), change("/metadata/labels", json!({"sidecar.istio.io/inject": "false"}))),
        (
            labelled.clone(),
            change("/metadata/annotations", json!({"sidecar.istio.io/inject": "false"})),
        ),
        (labelled.clone(), change("/spec", json!({"hostNetwork": true, "containers": []}))),
        (labelled.clone(), change("/status/phase", "Succeeded".into())),
    ] {
        let found = said(&[namespace("shop", &namespace_labels)], &[pod], &[]);
        assert_eq!(found[0].1, nothing, "{namespace_labels}");
    }
    let asked = change("/metadata/labels", json!({"sidecar.istio.io/inject": "true"}));
    let found = said(&[namespace("shop", &json!({}))], &[asked], &[]);
    assert_eq!(
        found[0].1, "pod shop/it has no sidecar",
        "a pod may ask from an unlabelled namespace"
    );
}
