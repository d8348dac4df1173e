//! Comparing an injected object with the summary that a case expects.

use std::collections::{BTreeMap, BTreeSet};

use lateen_inject::names;
use lateen_inject::object::pod_template;
use serde_json::{Map, Value, json};

use crate::case::{list, text};

/// What is not as expected: which part, and how.
pub fn differences(expected: &Value, input: &Value, object: &Value) -> Vec<(&'static str, String)> {
    let mut comparison = Comparison { differences: Vec::new() };
    for key in ["kind", "name"] {
        let seen = if key == "kind" { &object["kind"] } else { &object["metadata"]["name"] };
        comparison.equal(key, &expected[key], seen);
    }
    if expected["unchanged"] == true {
        comparison.equal("unchanged", input, object);
        return comparison.differences;
    }
    let at = |object: &Value| {
        let pointer = pod_template(object).unwrap_or_default();
        object.pointer(pointer).cloned().unwrap_or_default()
    };
    comparison.pod(expected, &at(input), &at(object));
    comparison.differences
}

struct Comparison {
    differences: Vec<(&'static str, String)>,
}

impl Comparison {
    fn equal(&mut self, what: &'static str, expected: &Value, seen: &Value) {
        if expected != seen {
            self.differences.push((what, format!("expected {expected}, not {seen}")));
        }
    }

    fn pod(&mut self, expected: &Value, input: &Value, pod: &Value) {
        let annotations = members(&pod["metadata"]["annotations"]);
        let injected = annotations.contains_key(names::STATUS) && proxy(pod).is_some();
        self.equal("injected", &expected["injected"], &json!(injected));
        let labels = members(&pod["metadata"]["labels"]);
        self.equal("labels", &expected["labels"], &Value::Object(labels));
        self.annotations(&expected["annotations"], &annotations);
        self.status(&expected["status"], &annotations);
        for (list_name, order) in
            [("initContainers", "initContainerOrder"), ("containers", "containerOrder")]
        {
            let seen =
                list(&pod["spec"], list_name).iter().map(|one| one["name"].clone()).collect();
            self.equal(order, &expected[order], &seen);
            for container in list(expected, list_name) {
                let seen = list(&pod["spec"], list_name);
                let seen = seen.iter().find(|one| one["name"] == container["name"]);
                // What is missing was told with the order.
                if let Some(seen) = seen {
                    self.container(container, input, seen);
                }
            }
        }
        let names = |volumes: &[Value]| {
            let names = volumes.iter().filter_map(|volume| volume["name"].as_str());
            names.map(str::to_owned).collect::<BTreeSet<_>>()
        };
        let volumes = names(list(&pod["spec"], "volumes"));
        self.equal("volumes", &json!(names(list(expected, "volumes"))), &json!(volumes));
        for key in ["imagePullSecrets", "hostNetwork", "serviceAccountName", "dnsConfig"] {
            self.equal(key, &expected[key], &pod["spec"][key]);
        }
        self.contains(
            "securityContext",
            &expected["securityContext"],
            &pod["spec"]["securityContext"],
        );
    }

    /// What the user wrote of injected containers is compared by meaning: the order of fields and the
    /// empty `resources` are Go's.
    fn annotations(&mut self, expected: &Value, seen: &Map<String, Value>) {
        let normal = |members: &Map<String, Value>| -> Value {
            let others = members.iter().filter(|(name, _)| *name != names::STATUS);
            let value = |name: &str, value: &Value| match value.as_str() {
                Some(text) if name == names::OVERRIDES => normal_overrides(text),
                _ => value.clone(),
            };
            others
                .map(|(name, text)| (name.clone(), value(name, text)))
                .collect::<Map<_, _>>()
                .into()
        };
        self.equal("annotations", &normal(&members(expected)), &normal(seen));
    }

    fn status(&mut self, expected: &Value, annotations: &Map<String, Value>) {
        let seen = annotations.get(names::STATUS).and_then(Value::as_str);
        let seen = seen.map_or(Value::Null, |text| serde_json::from_str(text).unwrap_or_default());
        let sorted = |status: &Value| -> Value {
            let mut status = status.clone();
            for list in ["volumes", "containers", "initContainers"] {
                if let Some(names) = status.get_mut(list).and_then(Value::as_array_mut) {
                    names.sort_by_key(ToString::to_string);
                }
            }
            status
        };
        self.equal("status", &sorted(expected), &sorted(&seen));
    }

    fn container(&mut self, expected: &Value, input: &Value, seen: &Value) {
        match text(expected, "name") {
            names::INIT | names::VALIDATION => self.capture(expected, seen),
            names::PROXY => self.proxy(expected, input, seen),
            _ => self.application(expected, seen),
        }
    }

    fn application(&mut self, expected: &Value, seen: &Value) {
        for (key, wanted) in members(expected) {
            match key.as_str() {
                "env" => {
                    let variables = literals(seen);
                    self.equal("env", &wanted, &Value::Object(variables));
                }
                "envFromFields" => {}
                "volumeMounts" => self.equal("volumeMounts", &wanted, &mounts(seen)),
                "resources" => {
                    self.equal("resources", &amounts(&wanted), &amounts(&seen["resources"]));
                }
                key => self.equal("an application's container", &wanted, &seen[key]),
            }
        }
        for probe in ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle"] {
            self.equal("a probe", &expected[probe], &seen[probe]);
        }
    }

    /// The proxy: which image, what it may, what it needs, how it is found ready, and what it asks the
    /// application.
    fn proxy(&mut self, expected: &Value, input: &Value, seen: &Value) {
        for key in ["image", "restartPolicy", "imagePullPolicy", "command"] {
            self.equal(key, &expected[key], &seen[key]);
        }
        let mounts_wanted = mounts(expected);
        self.equal("volumeMounts", &mounts_wanted, &mounts(seen));
        self.equal("resources", &amounts(&expected["resources"]), &amounts(&seen["resources"]));
        self.contains("securityContext", &expected["securityContext"], &seen["securityContext"]);
        self.contains("ports", &expected["ports"], &seen["ports"]);
        let probers =
            |variables: &Map<String, Value>| without_nulls(&parsed(variables.get(names::PROBERS)));
        let wanted = probers(&members(&expected["env"]));
        self.equal("probers", &wanted, &probers(&literals(seen)));
        // A pod that comes injected keeps the probes of its older proxy in Istio.
        if input["metadata"]["annotations"][names::STATUS].is_null() {
            for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
                self.equal("the proxy's probe", &expected[probe], &seen[probe]);
            }
        }
    }

    fn capture(&mut self, expected: &Value, seen: &Value) {
        for key in ["image", "restartPolicy", "imagePullPolicy"] {
            self.equal(key, &expected[key], &seen[key]);
        }
        self.equal("resources", &amounts(&expected["resources"]), &amounts(&seen["resources"]));
        self.contains("securityContext", &expected["securityContext"], &seen["securityContext"]);
        let arguments: Vec<&str> = list(seen, "args").iter().filter_map(Value::as_str).collect();
        let mut wanted = members(&expected["trafficCapture"]);
        let others = wanted.shift_remove("otherArgs").unwrap_or_default();
        if wanted.is_empty() {
            // Arguments that the user wrote.
            return self.equal("trafficCapture", &others, &json!(arguments));
        }
        self.equal("trafficCapture", &Value::Object(sorted(wanted)), &captured(&arguments));
    }

    /// Every part that is expected is there; there may be more.
    fn contains(&mut self, what: &'static str, expected: &Value, seen: &Value) {
        match expected {
            Value::Object(wanted) => {
                for (key, wanted) in wanted {
                    self.contains(what, wanted, &seen[key]);
                }
            }
            Value::Null => {}
            other => self.equal(what, other, seen),
        }
    }
}

fn members(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn sorted(members: Map<String, Value>) -> Map<String, Value> {
    members.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect()
}

fn proxy(pod: &Value) -> Option<&Value> {
    let lists = ["initContainers", "containers"];
    let mut containers = lists.into_iter().flat_map(|name| list(&pod["spec"], name));
    containers.find(|container| container["name"] == names::PROXY)
}

/// The variables that have a literal value.
fn literals(container: &Value) -> Map<String, Value> {
    let variables = list(container, "env").iter();
    variables
        .filter(|variable| variable["value"].is_string())
        .map(|variable| (text(variable, "name").to_owned(), variable["value"].clone()))
        .collect()
}

/// JSON that stands in a text, or was read already.
fn parsed(value: Option<&Value>) -> Value {
    match value {
        Some(Value::String(text)) => serde_json::from_str(text).unwrap_or_default(),
        Some(value) => value.clone(),
        None => Value::Null,
    }
}

/// Go writes some fields that are not set as null.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let set = members.iter().filter(|(_, value)| !value.is_null());
            set.map(|(key, value)| (key.clone(), without_nulls(value)))
                .collect::<Map<_, _>>()
                .into()
        }
        other => other.clone(),
    }
}

fn mounts(container: &Value) -> Value {
    let mut mounts: Vec<Value> = list(container, "volumeMounts")
        .iter()
        .map(|mount| json!({"name": mount["name"], "mountPath": mount["mountPath"]}))
        .collect();
    mounts.sort_by_key(ToString::to_string);
    mounts.into()
}

/// Amounts in Kubernetes' canonical form: `3000m` is `3`, `1024Mi` is `1Gi`.
fn amounts(resources: &Value) -> Value {
    match resources {
        Value::Object(inner) => {
            let kept = inner.iter().filter(|(_, value)| **value != json!({}));
            kept.map(|(key, value)| (key.clone(), amounts(value))).collect::<Map<_, _>>().into()
        }
        Value::String(text) => {
            let scaled = |suffix: &str, by: u64, next: &str| {
                let number: u64 = text.strip_suffix(suffix)?.parse().ok()?;
                number.is_multiple_of(by).then(|| format!("{}{next}", number / by))
            };
            let canonical = scaled("m", 1000, "").or_else(|| scaled("Mi", 1024, "Gi"));
            json!(canonical.unwrap_or_else(|| text.clone()))
        }
        Value::Null => json!({}),
        other => other.clone(),
    }
}

fn normal_overrides(text: &str) -> Value {
    let mut overrides: Value = serde_json::from_str(text).unwrap_or_default();
    for list in ["containers", "initContainers"] {
        let containers = overrides.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            container["resources"] = amounts(&container["resources"]);
        }
    }
    overrides
}

/// The flags of Istio's redirect tool by meaning.
fn captured(arguments: &[&str]) -> Value {
    const FLAGS: [(&str, &str); 12] = [
        ("-p", "proxyPort"),
        ("-z", "inboundCapturePort"),
        ("-u", "proxyUID"),
        ("-m", "interceptionMode"),
        ("-i", "includeOutboundIPRanges"),
        ("-x", "excludeOutboundIPRanges"),
        ("-b", "includeInboundPorts"),
        ("-d", "excludeInboundPorts"),
        ("-q", "includeOutboundPorts"),
        ("-o", "excludeOutboundPorts"),
        ("-k", "virtualInterfaces"),
        ("-c", "excludeInterfaces"),
    ];
    let mut settings = Map::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if let Some((_, name)) = FLAGS.iter().find(|(flag, _)| flag == argument) {
            let value = arguments.next().copied().unwrap_or_default();
            settings.insert((*name).to_owned(), json!(value));
        }
    }
    Value::Object(sorted(settings))
}
