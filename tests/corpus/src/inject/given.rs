//! The settings of a case: as Istio's installer is given them, over the defaults of its test bed.

use lateen_inject::{Facts, Labels, Settings, SettingsError};
use serde_json::{Map, Value, json};

use crate::case::list;

/// What every case has.
fn defaults() -> Value {
    json!({"global": {
        "proxy_init": {"image": "proxyv2"},
        "hub": "registry.istio.io/testing",
        "tag": "latest",
        "proxy": {
            "image": "proxyv2",
            "resources": {
                "requests": {"cpu": "100m", "memory": "128Mi"},
                "limits": {"cpu": "2000m", "memory": "1024Mi"},
            },
        },
    }})
}

/// The settings of a case.
pub fn settings(case: &Value) -> Result<Settings, SettingsError> {
    let mut values = defaults();
    let mut mesh = json!({});
    for config in list(case, "installConfig") {
        overlay(&mut values, &config["spec"]["values"]);
        overlay(&mut mesh, &config["spec"]["meshConfig"]);
        if config["spec"]["components"]["cni"]["enabled"] == true {
            overlay(&mut values, &json!({"pilot": {"cni": {"enabled": true}}}));
        }
    }
    for value in list(case, "installValues").iter().filter_map(Value::as_str) {
        let Some((path, value)) = value.split_once('=') else { continue };
        let tree =
            |path: &str| path.rsplit('.').fold(scalar(value), |inner, key| json!({ key: inner }));
        if let Some(path) = path.strip_prefix("values.cni.") {
            overlay(&mut values, &tree(&format!("pilot.cni.{path}")));
        } else if let Some(path) = path.strip_prefix("values.") {
            overlay(&mut values, &tree(path));
        } else if let Some(path) = path.strip_prefix("components.cni.") {
            overlay(&mut values, &tree(&format!("pilot.cni.{path}")));
        } else if let Some(path) = path.strip_prefix("meshConfig.") {
            overlay(&mut mesh, &tree(path));
        }
    }
    overlay(&mut mesh, &case["meshConfig"]);
    let facts = Facts {
        native_sidecars: case["nativeSidecars"] != false,
        openshift: case["platform"] == "openshift",
        ..Facts::default()
    };
    Settings::from_json(mesh, &json!({}), values, facts)
}

/// A value as Helm's `--set` reads one.
fn scalar(text: &str) -> Value {
    match text {
        "true" => json!(true),
        "false" => json!(false),
        "null" => Value::Null,
        _ => match text.parse::<i64>() {
            Ok(number) => json!(number),
            Err(_) => json!(text.replace("\\,", ",")),
        },
    }
}

/// Helm's overlay: null removes.
fn overlay(base: &mut Value, over: &Value) {
    let Value::Object(over) = over else { return };
    if !base.is_object() {
        *base = Value::Object(Map::new());
    }
    for (key, value) in over {
        if value.is_object() {
            overlay(&mut base[key], value);
        } else {
            base[key] = value.clone();
        }
    }
}

/// The one namespace of the test bed that OpenShift has given users.
pub fn namespace_annotations(namespace: &str) -> Labels {
    let mut annotations = Labels::new();
    if namespace == "test-ns" {
        for name in ["openshift.io/sa.scc.uid-range", "openshift.io/sa.scc.supplemental-groups"] {
            annotations.insert(name.to_owned(), "1000620000/10000".to_owned());
        }
    }
    annotations
}
