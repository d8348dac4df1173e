//! Objects in the API server's form, and the webhook's answer about them.

#![cfg(test)]

use lateen_api::{Spec, admit, parse_json};
use serde_json::json;

#[test]
fn objects_of_the_api_server_are_read_without_its_own_notes() {
    let parsed = parse_json(
        &json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": "web",
                "namespace": "shop",
                "uid": "1",
                "resourceVersion": "7",
                "annotations": {"a": "b", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
                "managedFields": [{"manager": "kubectl"}],
            },
            "spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 80, "targetPort": "http"}]},
            "status": {"loadBalancer": {}},
        }),
        "cluster",
    );
    assert_eq!(parsed.diagnostics, []);
    let object = &parsed.objects[0];
    assert_eq!(object.reference().to_string(), "Service shop/web");
    assert_eq!(object.meta.resource_version, "7");
    assert_eq!(object.meta.annotations.len(), 1);
    assert_eq!(object.position("spec"), None);
    assert!(matches!(&object.spec, Spec::Service(it) if it.spec.is_some()));
}

#[test]
fn the_webhook_says_which_field_is_wrong() {
    let sidecar = |spec| {
        json!({
            "apiVersion": "security.istio.io/v1",
            "kind": "PeerAuthentication",
            "metadata": {"generateName": "strict-", "namespace": "shop"},
            "spec": spec,
        })
    };
    assert!(admit(&sidecar(json!({"mtls": {"mode": "STRICT"}}))).is_allowed());
    let verdict = admit(&sidecar(json!({"mtls": {"mode": "STRICTER"}})));
    assert_eq!(verdict.errors.len(), 1);
    assert!(verdict.errors[0].starts_with("spec.mtls.mode: expected one of"), "{verdict:?}");
    // Without the field a policy may allow more than its author wanted.
    let verdict = admit(&sidecar(json!({"mtsl": {"mode": "STRICT"}})));
    assert!(verdict.errors[0].contains("did you mean `mtls`?"), "{verdict:?}");
}

#[test]
fn what_is_not_honoured_is_a_warning() {
    let verdict = admit(&json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"hosts": ["web"], "http": [{
            "mirror": {"host": "copy"}, "route": [{"destination": {"host": "web"}}]
        }]},
    }));
    assert!(verdict.is_allowed(), "{verdict:?}");
    assert_eq!(verdict.warnings.len(), 1, "{verdict:?}");
    assert!(verdict.warnings[0].starts_with("spec.http[0].mirror: "), "{verdict:?}");
}
