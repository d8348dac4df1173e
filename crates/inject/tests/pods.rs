//! What injection makes of pods, beyond the corpus.

use lateen_inject::settings::{ProxyConfigs, ProxySettings};
use lateen_inject::{Facts, Injection, Labels, Request, Settings, inject, names};
use serde_json::{Value, json};

fn settings(values: Value) -> Settings {
    let none = json!({});
    Settings::from_json(json!({}), &none, values, Facts::default()).expect("good settings")
}

fn injected_with(settings: &Settings, pod: &Value) -> Result<Injection, String> {
    let request = Request {
        pod,
        namespace: "shop",
        namespace_annotations: &Labels::new(),
        owner: None,
        variables: &[],
    };
    inject(&request, settings).map_err(|error| error.to_string())
}

fn injected(pod: &Value) -> Injection {
    injected_with(&settings(json!({})), pod).expect("it can be injected")
}

fn pod(annotations: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "annotations": annotations},
        "spec": {"containers": [{"name": "app", "image": "app:1"}]},
    })
}

fn container<'a>(pod: &'a Value, name: &str) -> &'a Value {
    let lists = ["initContainers", "containers"];
    let mut all = lists.iter().flat_map(|list| pod["spec"][list].as_array().into_iter().flatten());
    all.find(|container| container["name"] == name).expect("the container is there")
}

fn variable(pod: &Value, name: &str) -> Value {
    let variables = container(pod, "istio-proxy")["env"].as_array().expect("variables").iter();
    variables
        .clone()
        .find(|one| one["name"] == name)
        .map_or(Value::Null, |one| one["value"].clone())
}

#[test]
fn a_mistake_in_an_annotation_is_told_with_its_place() {
    for (name, value, expected) in [
        (names::INTERCEPTION_MODE, "MAYBE", "MAYBE"),
        (names::INCLUDE_OUTBOUND_RANGES, "10.0.0.0/8,x", "\"x\" is no range"),
        (names::EXCLUDE_OUTBOUND_RANGES, "*", "\"*\" is no range"),
        (names::INCLUDE_INBOUND_PORTS, "80,http", "\"http\" is no port"),
        (names::EXCLUDE_INBOUND_PORTS, "*", "\"*\" is no port"),
        (names::INCLUDE_OUTBOUND_PORTS, "0", "\"0\" is no port"),
        (names::EXCLUDE_OUTBOUND_PORTS, "70000", "\"70000\" is no port"),
        (names::STATUS_PORT, "-1", "\"-1\" is no port"),
        (names::READINESS_PERIOD, "soon", "\"soon\" is no number"),
        (names::PROXY_CPU, "lots", "\"lots\" is no amount"),
        (names::NATIVE_SIDECAR, "maybe", "neither true nor false"),
        (names::USER_VOLUME, "[]", "no JSON object"),
        (names::USER_VOLUME_MOUNT, "{\"a\":1}", "\"a\" must have a JSON object"),
        (names::ENGINE, "nginx", "native or envoy"),
        (names::PROXY_CONFIG, "- a", "no mapping"),
        (names::TEMPLATES, "sidecar,mine", "no template \"mine\"; there are sidecar, gateway"),
        (names::TEMPLATES, "grpc-agent", "\"grpc-agent\" is not offered"),
    ] {
        let error = injected_with(&settings(json!({})), &pod(&json!({ name: value })));
        let error = error.expect_err(name);
        assert!(error.contains(name), "{name}: {error}");
        assert!(error.contains(expected), "{name}: {error}");
    }
}

#[test]
fn what_is_not_honoured_is_warned_about() {
    let injection = injected(&pod(&json!({
        "sidecar.istio.io/statsInclusionPrefixes": "cluster",
        "sidecar.istio.io/componentLogLevel": "rbac:debug",
        "sidecar.istio.io/agentLogLevel": "default:debug",
        "traffic.sidecar.istio.io/kubevirtInterfaces": "net1",
        "sidecar.istio.io/proxyCpu": "100m",
        "proxy.istio.io/config": "drainDuration: 5s\nconcurency: 2\n",
        "prometheus.io/port": "9090",
    })));
    for part in [
        "statsInclusionPrefixes is not honoured",
        "componentLogLevel is not honoured: write sidecar.istio.io/logLevel",
        "agentLogLevel has no effect",
        "kubevirtInterfaces is an older name",
        "proxyCpu is not known",
        "concurency",
    ] {
        let found = injection.warnings.iter().filter(|warning| warning.contains(part)).count();
        assert_eq!(found, 1, "{part} in {:#?}", injection.warnings);
    }
    assert_eq!(injection.warnings.len(), 6, "{:#?}", injection.warnings);
    assert_eq!(injected(&pod(&json!({}))).warnings, Vec::<String>::new());
}

#[test]
fn the_engine_chooses_the_image() {
    let proxy = |settings: &Settings, annotations: Value| {
        let injection = injected_with(settings, &pod(&annotations)).expect("it can be injected");
        container(&injection.pod, "istio-proxy")["image"].clone()
    };
    let tagged = |image: &str| format!("ghcr.io/lateen/{image}:{}", env!("CARGO_PKG_VERSION"));
    let native = settings(json!({}));
    let envoy = settings(json!({"proxy": {"engine": "envoy"}}));
    assert_eq!(proxy(&native, json!({})), tagged("lateen-proxy"));
    assert_eq!(proxy(&native, json!({names::ENGINE: "envoy"})), tagged("lateen-proxy-envoy"));
    assert_eq!(proxy(&envoy, json!({})), tagged("lateen-proxy-envoy"));
    assert_eq!(proxy(&envoy, json!({names::ENGINE: "native"})), tagged("lateen-proxy"));
    assert_eq!(proxy(&native, json!({names::PROXY_IMAGE: "r.io/my/proxy:2"})), "r.io/my/proxy:2");
    let injection = injected(&pod(&json!({names::ENGINE: "envoy", names::LOG_LEVEL: "debug"})));
    assert_eq!(variable(&injection.pod, "LATEEN_ENGINE"), "envoy");
    assert_eq!(variable(&injection.pod, "LATEEN_ENVOY_LOG_LEVEL"), "debug");
    assert_eq!(variable(&injection.pod, "LATEEN_LOG"), "info");
}

#[test]
fn envoy_is_not_captured_transparently() {
    let both = json!({names::ENGINE: "envoy", names::INTERCEPTION_MODE: "TPROXY"});
    let error = injected_with(&settings(json!({})), &pod(&both)).expect_err("both");
    assert!(error.contains(names::INTERCEPTION_MODE) && error.contains(names::ENGINE), "{error}");
}

#[test]
fn probes_of_all_kinds_go_through_the_proxy() {
    let mut pod = pod(&json!({}));
    pod["spec"]["containers"][0] = json!({
        "name": "app",
        "image": "app:1",
        "ports": [{"name": "grpc", "containerPort": 9000}],
        "livenessProbe": {"grpc": {"port": 9000, "service": "health"}, "timeoutSeconds": 7},
        "readinessProbe": {"tcpSocket": {"port": "grpc"}},
        "startupProbe": {"httpGet": {"port": "nowhere"}},
    });
    let injected = injected(&pod).pod;
    let app = container(&injected, "app");
    assert_eq!(
        app["livenessProbe"],
        json!({"timeoutSeconds": 7, "httpGet": {"path": "/app-health/app/livez", "port": 15020}}),
    );
    assert_eq!(app["readinessProbe"]["httpGet"]["path"], "/app-health/app/readyz");
    let unknown_port = json!({"httpGet": {"port": "nowhere"}});
    assert_eq!(app["startupProbe"], unknown_port, "a port that is not there is nobody's");
    let probers = variable(&injected, names::PROBERS);
    let probers: Value = serde_json::from_str(probers.as_str().expect("probers")).expect("JSON");
    assert_eq!(
        probers,
        json!({
            "/app-health/app/livez":
                {"grpc": {"port": 9000, "service": "health"}, "timeoutSeconds": 7},
            "/app-health/app/readyz": {"tcpSocket": {"port": 9000}},
        }),
    );
}

#[test]
fn the_applications_metrics_are_merged() {
    let scraped = json!({"prometheus.io/port": "9090", "prometheus.io/scrape": "true"});
    let injected = injected(&pod(&scraped)).pod;
    let annotations = &injected["metadata"]["annotations"];
    assert_eq!(annotations["prometheus.io/port"], "15020");
    assert_eq!(annotations["prometheus.io/path"], "/stats/prometheus");
    let told = variable(&injected, names::PROMETHEUS);
    let told: Value = serde_json::from_str(told.as_str().expect("told")).expect("JSON");
    assert_eq!(told, json!({"port": "9090", "scrape": "true"}));

    let apart = json!({"prometheus.io/port": "9090", names::MERGE_METRICS: "false"});
    let injected = crate::injected(&pod(&apart)).pod;
    assert_eq!(injected["metadata"]["annotations"]["prometheus.io/port"], "9090");
    assert_eq!(variable(&injected, names::PROMETHEUS), Value::Null);

    let own = pod(&json!({"prometheus.io/port": "15090"}));
    let error = injected_with(&settings(json!({})), &own).expect_err("a port of the proxy");
    assert!(error.contains("prometheus.io/port"), "{error}");
}

#[test]
fn the_path_and_the_label_say_which_network() {
    let with = |pod: &Value, variables: &[(String, String)]| {
        let request = Request {
            pod,
            namespace: "shop",
            namespace_annotations: &Labels::new(),
            owner: None,
            variables,
        };
        let values = settings(json!({"global": {"network": "values"}}));
        inject(&request, &values).expect("it can be injected").pod
    };
    let path = lateen_inject::path::variables("/inject/cluster/west/net/path/EXTRA/x");
    let plain = pod(&json!({}));
    let injected = with(&plain, &[]);
    assert_eq!(injected["metadata"]["labels"][names::NETWORK], "values");
    let injected = with(&plain, &path);
    assert_eq!(injected["metadata"]["labels"][names::NETWORK], "path");
    assert_eq!(variable(&injected, "ISTIO_META_NETWORK"), "path");
    assert_eq!(variable(&injected, "ISTIO_META_CLUSTER_ID"), "west");
    assert_eq!(variable(&injected, "EXTRA"), "x");
    let mut labelled = plain.clone();
    labelled["metadata"]["labels"] = json!({ names::NETWORK: "label" });
    let injected = with(&labelled, &path);
    assert_eq!(injected["metadata"]["labels"][names::NETWORK], "label");
    assert_eq!(variable(&injected, "ISTIO_META_NETWORK"), "label");
}

#[test]
fn a_proxy_that_holds_the_application_stands_first() {
    let mut settings =
        settings(json!({"global": {"proxy": {"holdApplicationUntilProxyStarts": true}}}));
    settings.facts.native_sidecars = false;
    let injected = injected_with(&settings, &pod(&json!({}))).expect("it can be injected").pod;
    assert_eq!(injected["spec"]["containers"][0]["name"], "istio-proxy");
    let hook = &container(&injected, "istio-proxy")["lifecycle"]["postStart"]["exec"]["command"];
    assert_eq!(*hook, json!(["lateen-proxy", "wait", "--port", "15020"]));
}

#[test]
fn a_revision_has_its_own_control_plane() {
    let facts = Facts { revision: "canary".to_owned(), ..Facts::default() };
    let none = json!({});
    let settings = Settings::from_json(json!({}), &none, json!({}), facts).expect("good settings");
    let injected = injected_with(&settings, &pod(&json!({}))).expect("it can be injected").pod;
    assert_eq!(variable(&injected, "CA_ADDR"), "istiod-canary.istio-system.svc:15012");
    let config = variable(&injected, "PROXY_CONFIG");
    let config: Value = serde_json::from_str(config.as_str().expect("settings")).expect("JSON");
    assert_eq!(config, json!({"discoveryAddress": "istiod-canary.istio-system.svc:15012"}));
    assert_eq!(injected["metadata"]["annotations"][names::REVISION], "canary");
}

#[test]
fn a_container_that_waits_for_a_template_in_vain_is_refused() {
    let mut pod = pod(&json!({names::TEMPLATES: "mine"}));
    let containers = pod["spec"]["containers"].as_array_mut().expect("containers");
    containers.push(json!({"name": "istio-proxy", "image": "auto"}));
    let templates = json!({"sidecarInjectorWebhook": {"templates": {"mine": "metadata: {}\n"}}});
    let error = injected_with(&settings(templates), &pod).expect_err("no image");
    assert!(error.contains("\"auto\""), "{error}");
}

#[test]
fn templates_see_the_pod_and_fail_with_their_place() {
    let with = |template: &str| {
        let values = json!({"sidecarInjectorWebhook": {"templates": {"mine": template}}});
        injected_with(&settings(values), &pod(&json!({names::TEMPLATES: "mine", "a/b": "c"})))
    };
    let template = r#"
metadata:
  labels:
    owner: "{{ .DeploymentMeta.Name }}"
    of: {{ annotation .ObjectMeta `a/b` "none" | quote }}
    other: {{ annotation .ObjectMeta `x` "none" | quote }}
    first: {{ (index .Spec.Containers 0).Name }}
    has: "{{ isset .ObjectMeta.Annotations `a/b` }}"
"#;
    let injected = with(template).expect("it can be injected").pod;
    assert_eq!(
        injected["metadata"]["labels"],
        json!({"owner": "web", "of": "c", "other": "none", "first": "app", "has": "true"}),
    );
    for (template, expected) in [
        ("metadata:\n  labels: {{ fail \"not today\" }}\n", "mine:2:"),
        ("- a\n", "no mapping"),
        ("a: [\n", "no YAML"),
    ] {
        let error = with(template).expect_err(template);
        assert!(error.contains(expected), "{template:?}: {error}");
    }
    let unread = json!({"sidecarInjectorWebhook": {"templates": {"mine": "{{ if }}"}}});
    let none = json!({});
    let error =
        Settings::from_json(json!({}), &none, unread, Facts::default()).expect_err("no template");
    assert!(error.to_string().contains("mine"), "{error}");
}

/// ProxyConfigs of YAML, with `istio-system` as the root namespace.
fn proxy_configs(text: &str) -> ProxyConfigs {
    let parsed = lateen_api::parse(text, "test.yaml");
    assert!(parsed.rejected.is_empty(), "{:?}", parsed.diagnostics);
    ProxyConfigs::new("istio-system", &parsed.objects)
}

#[test]
fn proxy_configs_count_in_istios_order() {
    let mut settings = settings(json!({}));
    settings.mesh.proxy =
        ProxySettings(json!({"concurrency": 1, "proxyMetadata": {"A": "mesh", "M": "mesh"}}));
    settings.proxy_configs = proxy_configs(
        "
apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: {name: all, namespace: istio-system}
spec: {concurrency: 2, environmentVariables: {A: root, R: root}}
---
apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: {name: selected-in-the-root, namespace: istio-system}
spec: {selector: {matchLabels: {app: web}}, environmentVariables: {A: elsewhere}}
---
apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: {name: younger, namespace: shop, creationTimestamp: '2026-02-01T00:00:00Z'}
spec: {environmentVariables: {A: younger, Y: younger}}
---
apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: {name: older, namespace: shop, creationTimestamp: '2026-01-01T00:00:00Z'}
spec: {environmentVariables: {A: older, O: older}}
---
apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: {name: of-web, namespace: shop}
spec: {selector: {matchLabels: {app: web}}, concurrency: 4, environmentVariables: {A: web}}
---
apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: {name: of-others, namespace: other}
spec: {environmentVariables: {A: other}}
---
apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: {name: of-nobody, namespace: shop}
spec: {selector: {}, environmentVariables: {A: nobody}}
",
    );
    let annotation = json!({names::PROXY_CONFIG: "concurrency: 3\nproxyMetadata: {A: pod}"});
    let web = json!({"app": "web", "version": "1"});
    for (labels, annotations, a, workers) in [
        (json!({}), json!({}), "older", 2),
        (json!({}), annotation.clone(), "pod", 3),
        (web.clone(), json!({}), "web", 4),
        (web, annotation, "web", 4),
    ] {
        let mut plain = pod(&annotations);
        plain["metadata"]["labels"] = labels;
        let injected = injected_with(&settings, &plain).expect("it can be injected").pod;
        assert_eq!(variable(&injected, "A"), a, "{plain}");
        for (name, value) in [("M", "mesh"), ("R", "root"), ("O", "older")] {
            assert_eq!(variable(&injected, name), value, "{plain}");
        }
        assert!(variable(&injected, "Y").is_null(), "of several the oldest alone counts: {plain}");
        let config = variable(&injected, "PROXY_CONFIG");
        let config: Value = serde_json::from_str(config.as_str().expect("text")).expect("JSON");
        assert_eq!(config["concurrency"], workers, "{plain}");
        // What the proxy is told at its start holds for what leads traffic to it, too.
        let capture = container(&injected, "istio-init")["env"].as_array().expect("variables");
        assert!(capture.contains(&json!({"name": "A", "value": a})), "{capture:?}");
    }
}

#[test]
fn values_may_say_whether_sidecars_are_native() {
    for (value, on_new_nodes, on_old_nodes) in [
        (json!("auto"), true, false),
        (json!("true"), true, true),
        (json!(true), true, true),
        (json!("false"), false, false),
    ] {
        let values = json!({"pilot": {"env": {"ENABLE_NATIVE_SIDECARS": value}}});
        for (native_sidecars, expected) in [(true, on_new_nodes), (false, on_old_nodes)] {
            let mut settings = settings(values.clone());
            settings.facts.native_sidecars = native_sidecars;
            let injected = injected_with(&settings, &pod(&json!({}))).expect("it can be injected");
            let proxy = container(&injected.pod, "istio-proxy");
            assert_eq!(proxy["restartPolicy"] == "Always", expected, "{values}");
        }
    }
    let values = json!({"pilot": {"env": {"ENABLE_NATIVE_SIDECARS": "maybe"}}});
    let none = json!({});
    let error = Settings::from_json(json!({}), &none, values, Facts::default()).expect_err("odd");
    assert!(error.to_string().contains("ENABLE_NATIVE_SIDECARS"), "{error}");
}
