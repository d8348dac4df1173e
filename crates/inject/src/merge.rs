//! Kubernetes' strategic merge of pods: objects are merged field by field, lists of things that have
//! a key are merged by it, all other lists are replaced, and null removes.

use serde_json::{Map, Value};

/// The key by which a list under this field is merged (the `patchMergeKey` of Kubernetes' types, as
/// far as they occur in pods).
fn key_of(field: &str) -> Option<&'static str> {
    Some(match field {
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "volumes"
        | "env"
        | "imagePullSecrets"
        | "resourceClaims" => "name",
        "ports" => "containerPort",
        "volumeMounts" => "mountPath",
        "volumeDevices" => "devicePath",
        "hostAliases" => "ip",
        "topologySpreadConstraints" => "topologyKey",
        "ownerReferences" => "uid",
        _ => return None,
    })
}

/// Merges `patch` over `base`.
pub(crate) fn merge(base: &mut Value, patch: &Value) {
    match (base, patch) {
        (Value::Object(base), Value::Object(patch)) => merge_members(base, patch),
        (base, patch) => *base = patch.clone(),
    }
}

fn merge_members(base: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (field, wanted) in patch {
        match (base.get_mut(field), wanted) {
            (_, Value::Null) => {
                base.shift_remove(field);
            }
            (Some(Value::Object(members)), Value::Object(wanted)) => merge_members(members, wanted),
            (Some(Value::Array(items)), Value::Array(wanted)) => match key_of(field) {
                Some(key) => merge_items(items, wanted, key, field == "volumes"),
                None => items.clone_from(wanted),
            },
            _ => {
                base.insert(field.clone(), without_nulls(wanted));
            }
        }
    }
}

/// What is new is taken as it is, but for what says "remove".
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.iter().filter(|(_, value)| !value.is_null());
            kept.map(|(field, value)| (field.clone(), without_nulls(value))).collect()
        }
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

/// Items of the patch come first, in the patch's order, but for those that only the base has and
/// that stood before an item of the patch there: the order of Kubernetes' strategic merge.
fn merge_items(base: &mut Vec<Value>, patch: &[Value], key: &str, volumes: bool) {
    let position = |items: &[Value], wanted: &Value| {
        items.iter().position(|item| !item[key].is_null() && item[key] == wanted[key])
    };
    let mut only_base: Vec<(usize, Value)> = Vec::new();
    for (index, item) in base.iter().enumerate() {
        if position(patch, item).is_none() {
            only_base.push((index, item.clone()));
        }
    }
    let mut merged = Vec::with_capacity(base.len() + patch.len());
    let mut rest = only_base.into_iter().peekable();
    for wanted in patch {
        let known = position(base, wanted);
        while let Some((_, item)) = rest.next_if(|(index, _)| known.is_some_and(|at| *index < at)) {
            merged.push(item);
        }
        merged.push(match known {
            Some(at) if !volumes => {
                let mut item = base[at].clone();
                merge(&mut item, wanted);
                item
            }
            Some(at) => merged_volume(&base[at], wanted),
            None => without_nulls(wanted),
        });
    }
    merged.extend(rest.map(|(_, item)| item));
    *base = merged;
}

/// A volume has one source: another kind of source replaces it.
fn merged_volume(base: &Value, wanted: &Value) -> Value {
    let source = |volume: &Value| {
        let mut fields = volume.as_object().into_iter().flatten().map(|(field, _)| field.clone());
        fields.find(|field| field != "name")
    };
    match (source(base), source(wanted)) {
        (Some(was), Some(is)) if was != is => without_nulls(wanted),
        _ => {
            let mut volume = base.clone();
            merge(&mut volume, wanted);
            volume
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(mut base: Value, patch: &Value, expected: &Value) {
        merge(&mut base, patch);
        assert_eq!(&base, expected);
    }

    #[test]
    fn objects_are_merged_and_null_removes() {
        check(
            json!({"a": {"b": 1, "c": 2}, "d": 3}),
            &json!({"a": {"b": 4}, "d": null, "e": {"f": null, "g": 5}}),
            &json!({"a": {"b": 4, "c": 2}, "e": {"g": 5}}),
        );
    }

    #[test]
    fn lists_with_a_key_are_merged_by_it_and_others_are_replaced() {
        check(
            json!({"containers": [{"name": "app", "args": ["a", "b"]}]}),
            &json!({"containers": [{"name": "proxy"}, {"name": "app", "args": ["c"]}]}),
            &json!({"containers": [{"name": "proxy"}, {"name": "app", "args": ["c"]}]}),
        );
        check(
            json!({"imagePullSecrets": [{"name": "user"}]}),
            &json!({"imagePullSecrets": [{"name": "mesh"}]}),
            &json!({"imagePullSecrets": [{"name": "mesh"}, {"name": "user"}]}),
        );
        check(
            json!({"volumeMounts": [{"mountPath": "/a", "name": "a"}, {"mountPath": "/b", "name": "b"}]}),
            &json!({"volumeMounts": [{"mountPath": "/b", "readOnly": true}]}),
            &json!({"volumeMounts": [
                {"mountPath": "/a", "name": "a"},
                {"mountPath": "/b", "name": "b", "readOnly": true},
            ]}),
        );
    }

    #[test]
    fn a_volume_keeps_one_source() {
        check(
            json!({"volumes": [{"name": "socket", "emptyDir": {}}]}),
            &json!({"volumes": [{"name": "socket", "csi": {"driver": "csi.spiffe.io"}}]}),
            &json!({"volumes": [{"name": "socket", "csi": {"driver": "csi.spiffe.io"}}]}),
        );
    }
}
