//! Injecting a pod that was injected gives the same pod.

use lateen_inject::{Facts, Labels, Request, Settings, inject, names};
use proptest::prelude::*;
use serde_json::{Value, json};

fn injected(pod: &Value, settings: &Settings) -> Option<Value> {
    let request = Request {
        pod,
        namespace: "shop",
        namespace_annotations: &Labels::new(),
        owner: None,
        variables: &[],
    };
    inject(&request, settings).ok().map(|injection| injection.pod)
}

/// One of these, or nothing.
fn maybe(values: &'static [&'static str]) -> impl Strategy<Value = Option<String>> {
    proptest::option::of(proptest::sample::select(values).prop_map(str::to_owned))
}

fn probe() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!({"httpGet": {"port": "http", "path": "/ok", "scheme": "HTTPS"}})),
        Just(json!({"httpGet": {"port": 8080}, "timeoutSeconds": 3})),
        Just(json!({"tcpSocket": {"port": 9}})),
        Just(json!({"grpc": {"port": 9000}})),
        Just(json!({"exec": {"command": ["true"]}})),
        Just(json!({"httpGet": {"port": "unknown"}})),
    ]
}

fn application(name: &'static str) -> impl Strategy<Value = Value> {
    (proptest::option::of(probe()), proptest::option::of(probe()), any::<bool>()).prop_map(
        move |(liveness, readiness, ports)| {
            let mut container = json!({"name": name, "image": "app:1"});
            if let Some(probe) = liveness {
                container["livenessProbe"] = probe;
            }
            if let Some(probe) = readiness {
                container["readinessProbe"] = probe.clone();
                container["lifecycle"] = json!({"preStop": {"httpGet": {"port": 8081}}});
            }
            if ports {
                container["ports"] = json!([{"name": "http", "containerPort": 8080}]);
            }
            container
        },
    )
}

/// What a user may write to change the proxy.
fn own_proxy() -> impl Strategy<Value = Option<Value>> {
    proptest::option::of(prop_oneof![
        Just(json!({"name": "istio-proxy", "image": "auto"})),
        Just(json!({"name": "istio-proxy", "image": "my/proxy", "args": ["mine"]})),
        Just(json!({
            "name": "istio-proxy",
            "image": "auto",
            "securityContext": {"runAsUser": 1234},
            "volumeMounts": [{"name": "own", "mountPath": "/own"}],
            "lifecycle": {"preStop": {"exec": {"command": ["sleep", "1"]}}},
        })),
    ])
}

prop_compose! {
    fn pods()(
        first in application("app"),
        second in proptest::option::of(application("other")),
        proxy in own_proxy(),
        init in any::<bool>(),
        own_volume in any::<bool>(),
        secret in any::<bool>(),
        mode in maybe(&["REDIRECT", "TPROXY", "NONE"]),
        native in maybe(&["true", "false"]),
        template in maybe(&["sidecar", "gateway", "sidecar,extra", "extra", "sidecar,sidecar"]),
        port in maybe(&["0", "123", "15020"]),
        excluded in maybe(&["", "80,15020", "4,5"]),
        scraped in maybe(&["9090", "15020"]),
        networks in maybe(&["mine", "[{\"name\": \"mine\"}]"]),
        rewrite in maybe(&["false"]),
    ) -> Value {
        let mut containers = vec![first];
        containers.extend(second);
        containers.extend(proxy);
        let mut annotations = json!({"mine": "own"});
        for (name, value) in [
            (names::INTERCEPTION_MODE, mode),
            (names::NATIVE_SIDECAR, native),
            (names::TEMPLATES, template),
            (names::STATUS_PORT, port),
            (names::EXCLUDE_INBOUND_PORTS, excluded),
            ("prometheus.io/port", scraped),
            (names::MULTUS_NETWORKS, networks),
            (names::REWRITE_PROBES, rewrite),
        ] {
            if let Some(value) = value {
                annotations[name] = json!(value);
            }
        }
        let mut pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "web", "labels": {"app": "web"}, "annotations": annotations},
            "spec": {"containers": containers},
        });
        if init {
            pod["spec"]["initContainers"] = json!([{"name": "setup", "image": "setup:1"}]);
        }
        if own_volume {
            pod["spec"]["volumes"] = json!([{"name": "own", "emptyDir": {}}]);
        }
        if secret {
            pod["spec"]["imagePullSecrets"] = json!([{"name": "user"}]);
        }
        pod
    }
}

/// A template that changes a container of the application's.
const EXTRA: &str = "\
spec:
  containers:
  - name: app
    env:
    - name: EXTRA
      value: \"{{ len .Spec.Containers }}\"
  volumes:
  - name: extra
    emptyDir: {}
";

fn settings(cni: bool, hold: bool) -> Settings {
    let values = json!({
        "global": {"imagePullSecrets": ["mesh"], "network": "here",
            "proxy": {"holdApplicationUntilProxyStarts": hold}},
        "pilot": {"cni": {"enabled": cni, "provider": "multus"}},
        "sidecarInjectorWebhook": {"templates": {"extra": EXTRA}},
    });
    let none = json!({});
    Settings::from_json(json!({}), &none, values, Facts::default()).expect("good settings")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn twice_is_once(pod in pods(), cni in any::<bool>(), hold in any::<bool>()) {
        let settings = settings(cni, hold);
        let Some(once) = injected(&pod, &settings) else { return Ok(()) };
        let twice = injected(&once, &settings);
        prop_assert_eq!(twice.as_ref(), Some(&once));
    }

    /// Whatever was injected before, a pod that is injected by other settings is what it would be if it
    /// had come as its user wrote it.
    #[test]
    fn what_was_injected_before_leaves_no_trace(pod in pods(), cni in any::<bool>()) {
        let (before, after) = (settings(false, false), settings(cni, true));
        let (Some(older), Some(fresh)) = (injected(&pod, &before), injected(&pod, &after)) else {
            return Ok(());
        };
        let again = injected(&older, &after).expect("what could be injected still can");
        prop_assert_eq!(&again["spec"], &fresh["spec"]);
    }
}
