use serde_json::json;

use super::*;

fn service(name: &str, version: u32, port: u32) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "shop", "resourceVersion": version.to_string()},
        "spec": {
            "ports": [{"port": port}],
            "clusterIP": "10.0.0.1",
            "sessionAffinity": "None",
            "internalTrafficPolicy": "Cluster",
        },
    })
}

fn all(_: &str) -> bool {
    true
}

#[test]
fn only_what_an_object_says_makes_a_change() {
    let mut known = Known::new(Kind::Service);
    // As an item of a list.
    let mut item = service("web", 1, 80);
    item.as_object_mut().unwrap().retain(|key, _| key != "apiVersion" && key != "kind");
    let first = known.take(item, all);
    let Some(Outcome::Taken(object, said)) = first else { panic!("{first:?}") };
    assert_eq!(object.reference().to_string(), "Service shop/web");
    assert!(said.is_empty(), "defaults of the API server are no news: {said:?}");
    assert!(matches!(known.take(service("web", 2, 80), all), Some(Outcome::Same)));
    assert!(matches!(known.take(service("web", 3, 81), all), Some(Outcome::Taken(..))));
}

#[test]
fn what_a_complete_list_does_not_hold_is_gone() {
    let mut known = Known::new(Kind::Service);
    for name in ["a", "b", "c"] {
        known.take(service(name, 1, 80), all);
    }
    // A list that broke off takes nothing away.
    known.begin_list();
    known.take(service("a", 1, 80), all);
    known.begin_list();
    known.take(service("b", 1, 80), all);
    known.take(service("d", 1, 80), all);
    let gone: Vec<String> = known.end_list().iter().map(|(it, _)| it.to_string()).collect();
    assert_eq!(gone, ["Service shop/a", "Service shop/c"]);
    known.begin_list();
    assert_eq!(known.end_list().len(), 2);
}

#[test]
fn a_bad_version_leaves_the_good_one_in_force() {
    let mut known = Known::new(Kind::Service);
    known.take(service("web", 1, 80), all);
    let rejected = known.take(service("web", 2, 0), all);
    let Some(Outcome::Rejected(object, said)) = rejected else { panic!("{rejected:?}") };
    assert_eq!(object.to_string(), "Service shop/web");
    assert!(said.iter().any(|it| it.severity == Severity::Error));
    assert!(matches!(known.remove(&service("web", 3, 0)), Some(Outcome::Gone(_, true))));

    known.take(service("bad", 1, 0), all);
    assert!(matches!(known.remove(&service("bad", 2, 0)), Some(Outcome::Gone(_, false))));
}

#[test]
fn what_is_not_of_the_mesh_is_gone() {
    let mut known = Known::new(Kind::Service);
    known.take(service("web", 1, 80), all);
    let hidden = known.take(service("web", 1, 80), |_| false);
    assert!(matches!(hidden, Some(Outcome::Gone(_, true))), "{hidden:?}");
}

#[test]
fn secrets_are_cut_down_to_certificates() {
    let secret = |data: Value| {
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "s", "namespace": "shop"},
            "type": "Opaque",
            "data": data,
        })
    };
    let mut known = Known::new(Kind::Secret);
    let other = known.take(secret(json!({"password": "c2VjcmV0"})), all);
    assert!(matches!(other, Some(Outcome::Gone(_, false))), "{other:?}");
    let taken = known.take(secret(json!({"password": "c2VjcmV0", "tls.crt": "YQ=="})), all);
    let Some(Outcome::Taken(object, _)) = taken else { panic!("{taken:?}") };
    let lateen_api::Spec::Secret(secret) = &object.spec else { panic!("{object:?}") };
    assert_eq!(secret.data.keys().collect::<Vec<_>>(), ["tls.crt"]);
}

#[test]
fn the_settings_of_a_revision_are_the_settings() {
    let config = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "istio-canary", "namespace": "istio-system"},
        "data": {"mesh": "trustDomain: example.org\ndiscoverySelectors: [{matchLabels: {a: b}}]\n"},
    });
    let mut known = Known::new(Kind::ConfigMap);
    let taken = known.take(config.clone(), all);
    let Some(Outcome::Taken(object, said)) = taken else { panic!("{taken:?}") };
    assert_eq!(object.reference().to_string(), "ConfigMap istio-system/istio");
    assert!(matches!(object.spec, lateen_api::Spec::MeshConfig(_)));
    assert!(said.is_empty(), "{said:?}");
    assert!(matches!(known.remove(&config), Some(Outcome::Gone(_, true))));
}
