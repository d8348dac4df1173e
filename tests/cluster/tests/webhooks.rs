//! Injection and validation as a real API server asks for them.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use lateen_controller::{Cluster, Controller, Running, Settings};
use lateen_inject::{Labels, names};
use lateen_testkit::cluster::Api;
use lateen_testkit::wait;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

const PATIENCE: Duration = Duration::from_secs(60);

/// A control plane in this process.
struct Plane {
    runtime: Runtime,
    running: Option<Running>,
    webhooks: SocketAddr,
}

impl Plane {
    fn start(api: &Api, revision: &str, serving: Duration) -> anyhow::Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let running = runtime.block_on(async {
            let cluster = Cluster::connect(Some(api.kubeconfig()), "test").await?;
            let free = SocketAddr::from(([127, 0, 0, 1], 0));
            let mut settings = Settings::in_cluster(cluster, free);
            settings.monitoring = free;
            settings.webhooks = Some(free);
            settings.serving_lifetime = serving;
            if revision != names::DEFAULT_REVISION {
                settings.compiler.revision = revision.to_owned();
            }
            anyhow::Ok(Controller::start(settings).await?)
        })?;
        let webhooks = running.addresses().webhooks.context("no webhooks")?;
        Ok(Self { runtime, running: Some(running), webhooks })
    }

    fn monitoring(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.running.as_ref().context("it runs")?.addresses().monitoring)
    }

    fn stop(mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.shutdown());
        }
    }
}

/// An API server with the definitions of Istio's kinds and the root namespace.
fn cluster() -> anyhow::Result<Api> {
    let api = Api::start()?;
    api.namespace("istio-system")?;
    let definitions = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/helm/lateen/crds");
    let folder = definitions.to_str().context("a path of text")?;
    api.kubectl().run(["apply", "--server-side", "--filename", folder])?;
    api.kubectl().run([
        "wait",
        "--for",
        "condition=Established",
        "crd",
        "--all",
        "--timeout",
        "60s",
    ])?;
    Ok(api)
}

const HOUR: Duration = Duration::from_secs(3600);

fn selector(selector: &lateen_api::mesh_config::KubernetesLabelSelector) -> Value {
    let expressions: Vec<Value> = selector
        .match_expressions
        .iter()
        .map(|one| match one.values.is_empty() {
            true => json!({"key": one.key, "operator": one.operator}),
            false => json!({"key": one.key, "operator": one.operator, "values": one.values}),
        })
        .collect();
    json!({"matchExpressions": expressions})
}

/// Registers the webhooks of injection, and waits until the API server can trust them.
fn register_injection(api: &Api, plane: &Plane, revision: &str) -> anyhow::Result<()> {
    let name = format!("injector-{revision}");
    let webhooks: Vec<Value> = lateen_inject::webhooks(revision, false)
        .iter()
        .map(|webhook| {
            json!({
                "name": webhook.name,
                "clientConfig": {"url": format!("https://{}/inject", plane.webhooks)},
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"],
                    "resources": ["pods"]}],
                "namespaceSelector": selector(&webhook.namespaces),
                "objectSelector": selector(&webhook.pods),
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
            })
        })
        .collect();
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": name, "labels": {"istio.io/rev": revision, "app": "sidecar-injector"}},
        "webhooks": webhooks,
    });
    api.kubectl().apply(&configuration.to_string())?;
    trusted(api, "mutatingwebhookconfiguration", &name)
}

/// Waits until every webhook of a configuration has the mesh's root.
fn trusted(api: &Api, kind: &str, name: &str) -> anyhow::Result<()> {
    let root = root(api)?;
    wait::until("the root in the webhooks", PATIENCE, || {
        let configuration = api.kubectl().json(["get", kind, name])?;
        let webhooks = configuration["webhooks"].as_array().context("webhooks")?;
        let all = webhooks.iter().all(|one| one["clientConfig"]["caBundle"] == root.as_str());
        anyhow::ensure!(all, "{configuration}");
        Ok(())
    })
}

/// The mesh's root as a configuration holds it: base64, as a Secret does.
fn root(api: &Api) -> anyhow::Result<String> {
    let get = ["get", "secret", "istio-ca-secret", "--namespace", "istio-system"];
    let secret = api.kubectl().json(get)?;
    let root = secret["data"]["ca-cert.pem"].as_str().context("the root")?;
    Ok(root.to_owned())
}

fn pod(namespace: &str, labels: &Labels, annotations: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": namespace, "labels": labels,
            "annotations": annotations},
        "spec": {"containers": [{"name": "app", "image": "app:1",
            "ports": [{"containerPort": 8080, "name": "http"}],
            "readinessProbe": {"httpGet": {"port": "http"}}}]},
    })
}

/// What the API server would make of a pod; nothing is stored.
fn shown(api: &Api, pod: &Value) -> anyhow::Result<Value> {
    let arguments = ["create", "--dry-run=server", "--output", "json", "--filename", "-"];
    let printed = api.kubectl().with_input(arguments, &pod.to_string())?;
    Ok(serde_json::from_str(&printed)?)
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

const ENABLED: (&str, &str) = (names::NAMESPACE_INJECTION, "enabled");
const DISABLED: (&str, &str) = (names::NAMESPACE_INJECTION, "disabled");
const CANARY: (&str, &str) = (names::REVISION, "canary");
const WANTED: (&str, &str) = (names::INJECT, "true");
const REFUSED: (&str, &str) = (names::INJECT, "false");

/// Istio's table, by the labels of namespace and pod; both revisions' control planes are there.
#[test]
fn labels_say_who_injects() -> anyhow::Result<()> {
    let api = cluster()?;
    let planes = [names::DEFAULT_REVISION, "canary"]
        .map(|revision| Plane::start(&api, revision, HOUR).map(|plane| (revision, plane)));
    let planes = planes.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    for (revision, plane) in &planes {
        register_injection(&api, plane, revision)?;
    }
    let (by_default, by_canary, by_nobody) = (Some("default"), Some("canary"), None);
    let table = [
        ("plain", &[][..], [by_nobody, by_default, by_nobody, by_canary, by_canary]),
        ("enabled", &[ENABLED], [by_default, by_default, by_nobody, by_default, by_default]),
        ("disabled", &[DISABLED], [by_nobody; 5]),
        ("canary", &[CANARY], [by_canary, by_canary, by_nobody, by_canary, by_canary]),
        ("both", &[ENABLED, CANARY], [by_default, by_default, by_nobody, by_default, by_default]),
        ("neither", &[DISABLED, CANARY], [by_nobody; 5]),
    ];
    let pods = [&[][..], &[WANTED], &[REFUSED], &[CANARY], &[WANTED, CANARY]];
    for (namespace, of_namespace, expected) in table {
        api.namespace(namespace)?;
        for (name, value) in of_namespace {
            let label = format!("{name}={value}");
            api.kubectl().run(["label", "namespace", namespace, &label])?;
        }
        for (of_pod, expected) in pods.into_iter().zip(expected) {
            let pod = shown(&api, &pod(namespace, &labels(of_pod), &json!({})))?;
            let seen = pod["metadata"]["annotations"][names::REVISION].as_str();
            assert_eq!(seen, expected, "a pod with {of_pod:?} in the namespace {namespace}");
        }
    }
    planes.into_iter().for_each(|(_, plane)| plane.stop());
    Ok(())
}

#[test]
fn pods_are_injected_stored_and_told_why_they_cannot_be() -> anyhow::Result<()> {
    let mut api = cluster()?;
    api.controller_manager()?;
    let plane = Plane::start(&api, names::DEFAULT_REVISION, HOUR)?;
    register_injection(&api, &plane, names::DEFAULT_REVISION)?;
    api.kubectl().run(["create", "namespace", "shop"])?;
    api.kubectl().run(["label", "namespace", "shop", "istio-injection=enabled"])?;
    wait::until("the service account", PATIENCE, || {
        api.kubectl().run(["get", "serviceaccount", "default", "--namespace", "shop"])
    })?;

    // What the API server takes: one of each form.
    let plain = Labels::new();
    for annotations in [
        json!({}),
        json!({names::ENGINE: "envoy"}),
        json!({names::INTERCEPTION_MODE: "TPROXY"}),
        json!({names::INTERCEPTION_MODE: "NONE"}),
        json!({names::NATIVE_SIDECAR: "false"}),
        json!({names::TEMPLATES: "gateway"}),
        json!({names::STATUS_PORT: "0"}),
        json!({
            names::USER_VOLUME: r#"{"more": {"emptyDir": {}}}"#,
            names::USER_VOLUME_MOUNT: r#"{"more": {"mountPath": "/more"}}"#,
            names::BOOTSTRAP_OVERRIDE: "mine",
            names::NET_BIND_SERVICE: "true",
            names::PROXY_CPU: "50m",
            "prometheus.io/port": "9090",
        }),
    ] {
        let once = shown(&api, &pod("shop", &plain, &annotations))
            .with_context(|| annotations.to_string())?;
        let status = once["metadata"]["annotations"][names::STATUS].as_str();
        assert!(status.is_some(), "{annotations}: {once}");
        let again = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "web", "namespace": "shop", "labels": once["metadata"]["labels"],
                "annotations": once["metadata"]["annotations"]},
            "spec": once["spec"],
        });
        let twice = shown(&api, &again).with_context(|| annotations.to_string())?;
        assert_eq!(twice["metadata"]["annotations"], once["metadata"]["annotations"]);
        // The API server's own volume with the account's token has a name by chance.
        assert_eq!(containers(&twice), containers(&once), "{annotations}");
    }

    // A Deployment's pod knows whose it is.
    api.kubectl().apply(&deployment("web", &json!({})).to_string())?;
    let stored = wait::until("the Deployment's pod", PATIENCE, || {
        let pods = api.kubectl().json(["get", "pods", "--namespace", "shop"])?;
        pods["items"].get(0).cloned().context("no pod yet")
    })?;
    let proxy = &stored["spec"]["initContainers"][1];
    assert_eq!(proxy["name"], names::PROXY);
    let variables = proxy["env"].as_array().context("variables")?;
    let owner = variables.iter().find(|one| one["name"] == "ISTIO_META_OWNER").context("owner")?;
    assert_eq!(owner["value"], "kubernetes://apis/apps/v1/namespaces/shop/deployments/web");
    assert_eq!(
        stored["spec"]["containers"][0]["readinessProbe"]["httpGet"]["path"],
        "/app-health/app/readyz"
    );

    // One that cannot be injected is told so where its author looks.
    let impossible = json!({names::EXCLUDE_OUTBOUND_PORTS: "http"});
    api.kubectl().apply(&deployment("impossible", &impossible).to_string())?;
    wait::until("an event that says why", PATIENCE, || {
        let events = api.kubectl().json(["get", "events", "--namespace", "shop"])?;
        let events = events["items"].as_array().context("events")?;
        let told = events.iter().any(|event| {
            let message = event["message"].as_str().unwrap_or_default();
            event["involvedObject"]["kind"] == "ReplicaSet"
                && message.contains(names::EXCLUDE_OUTBOUND_PORTS)
                && message.contains("\"http\" is no port")
        });
        anyhow::ensure!(told, "{events:?}");
        Ok(())
    })?;

    // kubectl prints what is asked for and not given.
    let warned = pod("shop", &plain, &json!({"sidecar.istio.io/statsHistogramBins": "10"}));
    let (_, complaints) = told(&api, &["create", "--dry-run=server", "--filename", "-"], &warned)?;
    assert!(complaints.contains("Warning: the annotation sidecar.istio.io/statsHistogramBins"));

    let page = plane.monitoring()?;
    let metrics = http_get(page, "/metrics")?;
    for counter in ["requests", "success", "failure"] {
        let name = format!("sidecar_injection_{counter}_total ");
        let line =
            metrics.lines().find_map(|line| line.strip_prefix(&name)).context(name.clone())?;
        assert!(line.trim().parse::<u64>()? > 0, "{name}{line}");
    }
    plane.stop();
    Ok(())
}

/// Containers without what the API server adds to them.
fn containers(pod: &Value) -> Value {
    let mut spec = pod["spec"].clone();
    for list in ["containers", "initContainers"] {
        for container in spec[list].as_array_mut().into_iter().flatten() {
            if let Some(mounts) = container["volumeMounts"].as_array_mut() {
                mounts.retain(|mount| {
                    mount["mountPath"] != "/var/run/secrets/kubernetes.io/serviceaccount"
                });
            }
        }
    }
    json!([spec["initContainers"], spec["containers"]])
}

fn deployment(name: &str, annotations: &Value) -> Value {
    let mut template = pod("shop", &labels(&[("app", name)]), annotations);
    template["metadata"]["name"] = Value::Null;
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": template["metadata"], "spec": template["spec"]},
        },
    })
}

/// Runs kubectl; what it printed and what it complained of.
fn told(api: &Api, arguments: &[&str], input: &Value) -> anyhow::Result<(bool, String)> {
    use std::io::Write;
    let mut child = api
        .kubectl()
        .command(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut pipe = child.stdin.take().context("a pipe")?;
    pipe.write_all(input.to_string().as_bytes())?;
    drop(pipe);
    let output = child.wait_with_output()?;
    Ok((output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned()))
}

fn http_get(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    let url = format!("http://{address}{path}");
    let output =
        Command::new("curl").args(["--silent", "--show-error", "--fail", &url]).output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Registers the two webhooks of validation as the chart does: lenient at first.
fn register_validation(api: &Api, plane: &Plane) -> anyhow::Result<()> {
    for (name, webhook, expression) in [
        (
            "istio-validator-istio-system",
            "rev.validation.istio.io",
            json!({"key": "istio.io/rev", "operator": "In", "values": ["default"]}),
        ),
        (
            "istiod-default-validator",
            "validation.istio.io",
            json!({"key": "istio.io/rev", "operator": "DoesNotExist"}),
        ),
    ] {
        let configuration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": name, "labels": {"istio.io/rev": "default"}},
            "webhooks": [{
                "name": webhook,
                "clientConfig": {"url": format!("https://{}/validate", plane.webhooks)},
                "rules": [{
                    "apiGroups": ["security.istio.io", "networking.istio.io",
                        "telemetry.istio.io", "extensions.istio.io"],
                    "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"], "resources": ["*"],
                }],
                "objectSelector": {"matchExpressions": [expression]},
                "failurePolicy": "Ignore",
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
            }],
        });
        api.kubectl().apply(&configuration.to_string())?;
    }
    Ok(())
}

fn virtual_service(labels: &Labels, weights: [i32; 2]) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "web", "namespace": "default", "labels": labels},
        "spec": {"hosts": ["web"], "http": [{"route": [
            {"destination": {"host": "web", "subset": "v1"}, "weight": weights[0]},
            {"destination": {"host": "web", "subset": "v2"}, "weight": weights[1]},
        ]}]},
    })
}

#[test]
fn validation_is_enforced_once_it_answers() -> anyhow::Result<()> {
    let api = cluster()?;
    let plane = Plane::start(&api, names::DEFAULT_REVISION, HOUR)?;
    register_validation(&api, &plane)?;
    for name in ["istio-validator-istio-system", "istiod-default-validator"] {
        trusted(&api, "validatingwebhookconfiguration", name)?;
        wait::until("the policy Fail", PATIENCE, || {
            let get = ["get", "validatingwebhookconfiguration", name];
            let configuration = api.kubectl().json(get)?;
            anyhow::ensure!(configuration["webhooks"][0]["failurePolicy"] == "Fail");
            Ok(())
        })?;
    }
    let create = ["create", "--dry-run=server", "--filename", "-"];
    let unlabelled = Labels::new();
    let (taken, complaints) = told(&api, &create, &virtual_service(&unlabelled, [90, 10]))?;
    assert!(taken, "{complaints}");
    for of_object in [unlabelled.clone(), labels(&[("istio.io/rev", "default")])] {
        let (taken, complaints) = told(&api, &create, &virtual_service(&of_object, [-1, 10]))?;
        assert!(!taken, "a weight below nothing was taken");
        assert!(complaints.contains("weight"), "{complaints}");
    }
    // Another revision's objects are not this one's to judge.
    let foreign = labels(&[("istio.io/rev", "other")]);
    let mut odd = virtual_service(&foreign, [90, 10]);
    odd["spec"]["http"][0]["timeout"] = json!("1us");
    let (taken, complaints) = told(&api, &create, &odd)?;
    assert!(taken, "{complaints}");
    odd["metadata"]["labels"] = json!({});
    let (taken, complaints) = told(&api, &create, &odd)?;
    assert!(!taken, "a timeout below a millisecond was taken");
    assert!(complaints.contains("spec.http[0].timeout"), "{complaints}");

    // Without the control plane nothing unchecked comes in.
    plane.stop();
    let (taken, _) = told(&api, &create, &virtual_service(&unlabelled, [90, 10]))?;
    assert!(!taken, "nobody checked this object, and it was taken");
    Ok(())
}

#[test]
fn certificates_and_bundles_and_settings_follow() -> anyhow::Result<()> {
    let api = cluster()?;
    let plane = Plane::start(&api, names::DEFAULT_REVISION, Duration::from_secs(8))?;
    register_injection(&api, &plane, names::DEFAULT_REVISION)?;
    api.namespace("shop")?;
    api.kubectl().run(["label", "namespace", "shop", "istio-injection=enabled"])?;
    let plain = pod("shop", &Labels::new(), &json!({}));
    let image = || -> anyhow::Result<String> {
        let pod = shown(&api, &plain)?;
        let image = pod["spec"]["initContainers"][1]["image"].as_str().context("an image")?;
        Ok(image.to_owned())
    };
    assert!(image()?.starts_with("ghcr.io/lateen/lateen-proxy:"));

    // The server's certificate is another one after a while, and the API server trusts it as before.
    let first = serial(plane.webhooks)?;
    wait::until("another certificate", PATIENCE, || {
        let now = serial(plane.webhooks)?;
        anyhow::ensure!(now != first);
        Ok(())
    })?;
    image()?;

    // A bundle that somebody spoils is mended.
    let spoilt = json!({"webhooks": [{"name": "namespace.sidecar-injector.istio.io",
        "clientConfig": {"caBundle": "bm90aGluZwo="}}]});
    let name = "injector-default";
    api.kubectl()
        .run([
            "patch",
            "mutatingwebhookconfiguration",
            name,
            "--type",
            "strategic",
            "--patch",
            &spoilt.to_string(),
        ])
        .or_else(|refusal| {
            // An API server that looks into bundles takes no such thing.
            anyhow::ensure!(refusal.to_string().contains("caBundle"), "{refusal}");
            Ok::<_, anyhow::Error>(String::new())
        })?;
    let gone = json!([{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]);
    api.kubectl().run([
        "patch",
        "mutatingwebhookconfiguration",
        name,
        "--type",
        "json",
        "--patch",
        &gone.to_string(),
    ])?;
    trusted(&api, "mutatingwebhookconfiguration", name)?;

    // The settings are the cluster's; bad ones leave the last good ones in force.
    let settings = |values: &str| {
        let map = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "istio-sidecar-injector", "namespace": "istio-system"},
            "data": {"config": "policy: enabled\n", "values": values},
        });
        api.kubectl().apply(&map.to_string())
    };
    settings(r#"{"global": {"hub": "example.com/mine", "tag": "7"}}"#)?;
    wait::until("the new image", PATIENCE, || {
        let image = image()?;
        anyhow::ensure!(image == "example.com/mine/lateen-proxy:7", "{image}");
        Ok(())
    })?;
    settings(r#"{"proxy": {"engine": "nginx"}}"#)?;
    settings(
        r#"{"proxy": {"engine": "envoy"}, "global": {"hub": "example.com/mine", "tag": "8"}}"#,
    )?;
    wait::until("the image after that", PATIENCE, || {
        let image = image()?;
        anyhow::ensure!(image != "ghcr.io/lateen/lateen-proxy:0.1.0", "the settings were dropped");
        anyhow::ensure!(image == "example.com/mine/lateen-proxy-envoy:8", "{image}");
        Ok(())
    })?;
    plane.stop();
    Ok(())
}

/// The number of the certificate that is presented.
fn serial(address: SocketAddr) -> anyhow::Result<String> {
    let script = format!(
        "openssl s_client -connect {address} </dev/null 2>/dev/null | openssl x509 -noout -serial"
    );
    let output = Command::new("sh").args(["-c", &script]).output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// One of each kind that is installed, with something that is not honoured yet: kind, specification, and what
/// is said. Of a PeerAuthentication everything is honoured; that it selects nothing is said of it.
fn not_honoured() -> Vec<(&'static str, Value, &'static str)> {
    let route = json!([{"destination": {"host": "kubernetes.default.svc.cluster.local"}}]);
    let tls = json!({"mode": "SIMPLE", "credentialName": "front", "cipherSuites": ["ECDHE-RSA-AES128-GCM-SHA256"]});
    vec![
        (
            "VirtualService",
            json!({"hosts": ["kubernetes"], "http": [{"route": route,
                "fault": {"abort": {"httpStatus": 500, "percentage": {"value": 1}}}}]}),
            "spec.http[0].fault",
        ),
        (
            "DestinationRule",
            json!({"host": "kubernetes", "trafficPolicy": {"outlierDetection": {"consecutive5xxErrors": 5}}}),
            "spec.trafficPolicy.outlierDetection",
        ),
        (
            "Gateway",
            json!({"servers": [{"port": {"number": 443, "name": "https", "protocol": "HTTPS"},
                "hosts": ["*"], "tls": tls}]}),
            "spec.servers[0].tls.cipherSuites",
        ),
        (
            "ServiceEntry",
            json!({"hosts": ["example.com"], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
                "resolution": "DNS_ROUND_ROBIN"}),
            "spec.resolution",
        ),
        ("WorkloadEntry", json!({"address": "10.0.0.1", "network": "elsewhere"}), "spec.network"),
        (
            "Sidecar",
            json!({"ingress": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"},
                "defaultEndpoint": "127.0.0.1:8080"}]}),
            "spec.ingress",
        ),
        (
            "EnvoyFilter",
            json!({"configPatches": [{"applyTo": "CLUSTER", "match": {"context": "ANY"},
                "patch": {"operation": "REMOVE"}}]}),
            "Lateen does not act on EnvoyFilter yet",
        ),
        ("ProxyConfig", json!({"image": {"imageType": "debug"}}), "spec.image"),
        (
            "WorkloadGroup",
            json!({"template": {"serviceAccount": "web"}}),
            "Lateen does not act on WorkloadGroup yet",
        ),
        (
            "PeerAuthentication",
            json!({"selector": {"matchLabels": {"app": "nobody"}}, "mtls": {"mode": "STRICT"}}),
            "no workload of namespace shop has these labels",
        ),
        (
            "RequestAuthentication",
            json!({"jwtRules": [{"issuer": "https://example.com"}]}),
            "every request that has one is refused",
        ),
        (
            "AuthorizationPolicy",
            json!({"targetRefs": [{"kind": "Service", "name": "web"}], "rules": [{}]}),
            "spec.targetRefs",
        ),
        (
            "Telemetry",
            json!({"tracing": [{"randomSamplingPercentage": 10.0}]}),
            "Lateen does not act on Telemetry yet",
        ),
        (
            "WasmPlugin",
            json!({"url": "oci://example.com/plugin:1"}),
            "Lateen does not act on WasmPlugin yet",
        ),
        (
            "TrafficExtension",
            json!({"lua": {"inlineCode": "function envoy_on_request(handle) end"}}),
            "Lateen does not act on TrafficExtension yet",
        ),
    ]
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    let kind = lateen_api::Kind::ALL.iter().find(|known| known.name() == kind).expect("a kind");
    json!({
        "apiVersion": kind.api_version(),
        "kind": kind.name(),
        "metadata": {"name": name, "namespace": "shop"},
        "spec": spec,
    })
}

/// Waits until an object's condition says something; gives the object.
fn says(api: &Api, kind: &str, name: &str, reason: &str, part: &str) -> anyhow::Result<Value> {
    let known = lateen_api::Kind::ALL.iter().find(|known| known.name() == kind).context("kind")?;
    let resource = format!("{}.{}", known.plural(), known.group());
    wait::until(&format!("{kind} {name} says {reason}: {part}"), PATIENCE, || {
        let found = api.kubectl().json(["get", &resource, name, "--namespace", "shop"])?;
        let conditions = found["status"]["conditions"].as_array().context("no condition")?;
        let ours = conditions.iter().find(|it| it["type"] == "Reconciled").context("not ours")?;
        let message = ours["message"].as_str().unwrap_or_default();
        anyhow::ensure!(ours["reason"] == reason && message.contains(part), "{ours}");
        anyhow::ensure!(ours["status"] == "True", "{ours}");
        Ok(found)
    })
}

#[test]
fn every_kind_says_what_is_not_honoured() -> anyhow::Result<()> {
    let api = cluster()?;
    api.namespace("shop")?;
    // Without a workload it cannot be known that nobody is selected.
    let workload = pod("shop", &labels(&[("app", "web")]), &json!({}));
    api.kubectl().apply(&workload.to_string())?;
    let plane = Plane::start(&api, names::DEFAULT_REVISION, HOUR)?;
    register_validation(&api, &plane)?;
    for name in ["istio-validator-istio-system", "istiod-default-validator"] {
        trusted(&api, "validatingwebhookconfiguration", name)?;
    }
    let rows = not_honoured();
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/helm/lateen/crds");
    assert_eq!(rows.len(), std::fs::read_dir(installed)?.count(), "one of each kind");
    for (kind, spec, part) in &rows {
        let input = object(kind, "one", spec);
        let (taken, said) = told(&api, &["apply", "--filename", "-"], &input)?;
        assert!(taken, "{kind}: {said}");
        if *kind != "PeerAuthentication" {
            assert!(said.contains("Warning:") && said.contains(part), "{kind}: {said}");
        }
    }
    let reason = |kind: &str| if kind == "PeerAuthentication" { "Warnings" } else { "NotHonoured" };
    for (kind, _, part) in &rows {
        says(&api, kind, "one", reason(kind), part)?;
    }

    // What is wrong with objects together, which no webhook can know.
    let route = |host: &str| json!({"hosts": ["web"], "http": [{"route": [{"destination": {"host": host}}]}]});
    let broken = route("nobody");
    let (_, said) =
        told(&api, &["apply", "--filename", "-"], &object("VirtualService", "two", &broken))?;
    assert!(!said.contains("Warning"), "{said}");
    let unknown =
        "spec.http[0].route[0].destination: no service nobody.shop.svc.cluster.local is known";
    says(&api, "VirtualService", "two", "Warnings", unknown)?;
    let gateway = json!({"selector": {"istio": "nowhere"}, "servers": [
        {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}]});
    api.kubectl().apply(&object("Gateway", "two", &gateway).to_string())?;
    says(&api, "Gateway", "two", "Warnings", "no workload of the mesh has these labels")?;
    api.kubectl().apply(
        "{apiVersion: v1, kind: Service, metadata: {name: nobody, namespace: shop}, \
         spec: {ports: [{name: http, port: 80}]}}",
    )?;
    says(&api, "VirtualService", "two", "Accepted", "")?;

    // Another control plane finds the same, and nothing is written twice. By now all that is to be said
    // of the first objects, alone and together with others, has been written.
    let mut versions = Vec::new();
    for (kind, _, part) in &rows {
        let found = says(&api, kind, "one", reason(kind), part)?;
        versions.push((*kind, *part, found["metadata"]["resourceVersion"].clone()));
    }
    let other = Plane::start(&api, names::DEFAULT_REVISION, HOUR)?;
    plane.stop();
    api.kubectl().run(["delete", "service", "nobody", "--namespace", "shop"])?;
    says(&api, "VirtualService", "two", "Warnings", unknown)?;
    for (kind, part, version) in versions {
        let found = says(&api, kind, "one", reason(kind), part)?;
        assert_eq!(found["metadata"]["resourceVersion"], version, "{kind}");
    }
    other.stop();
    Ok(())
}

#[test]
fn proxy_configs_are_heeded_as_they_change() -> anyhow::Result<()> {
    let api = cluster()?;
    let plane = Plane::start(&api, names::DEFAULT_REVISION, HOUR)?;
    register_injection(&api, &plane, names::DEFAULT_REVISION)?;
    api.namespace("shop")?;
    api.kubectl().run(["label", "namespace", "shop", "istio-injection=enabled"])?;
    let plain = pod("shop", &Labels::new(), &json!({}));
    let says = |wanted: Option<&str>| {
        wait::until(&format!("the variable {wanted:?}"), PATIENCE, || {
            let pod = shown(&api, &plain)?;
            let variables = pod["spec"]["initContainers"][1]["env"].as_array().context("env")?;
            let found = variables.iter().find(|one| one["name"] == "MINE");
            let value = found.and_then(|one| one["value"].as_str());
            anyhow::ensure!(value == wanted, "{value:?}");
            Ok(())
        })
    };
    says(None)?;
    for value in ["a", "b"] {
        let config = json!({"environmentVariables": {"MINE": value}});
        api.kubectl().apply(&object("ProxyConfig", "mine", &config).to_string())?;
        says(Some(value))?;
    }
    let delete = ["delete", "proxyconfigs.networking.istio.io", "mine", "--namespace", "shop"];
    api.kubectl().run(delete)?;
    says(None)?;
    plane.stop();
    Ok(())
}
