//! The chart as the program renders it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use lateen_install::{Given, Lookup, Release, Rendered, chart, render, title};
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/helm/lateen")
}

fn rendered(sets: &[&str]) -> Rendered {
    let mut given = Given::none();
    for set in sets {
        given.set(set, false).expect(set);
    }
    let values = given.over_defaults().expect("values that can be");
    let release = Release {
        name: "lateen".to_owned(),
        namespace: "istio-system".to_owned(),
        service: "lateen".to_owned(),
        is_upgrade: false,
    };
    render(&values, &release, &Lookup::offline()).expect("it renders")
}

fn titles(rendered: &Rendered) -> Vec<String> {
    rendered.objects.iter().map(title).collect()
}

fn object<'r>(rendered: &'r Rendered, wanted: &str) -> &'r Value {
    rendered
        .objects
        .iter()
        .find(|object| title(object) == wanted)
        .unwrap_or_else(|| panic!("no {wanted} among {:?}", titles(rendered)))
}

#[test]
fn the_program_has_every_file_of_the_chart() {
    let templates = std::fs::read_dir(folder().join("templates")).expect("templates");
    let there: BTreeSet<String> = templates
        .map(|entry| format!("templates/{}", entry.expect("a file").file_name().to_string_lossy()))
        .collect();
    let known: BTreeSet<String> =
        chart::TEMPLATES.iter().map(|file| file.path.to_owned()).collect();
    assert_eq!(known, there);
}

#[test]
fn versions_agree() {
    let rendered = rendered(&[]);
    let deployment = object(&rendered, "Deployment istio-system/istiod");
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(deployment["metadata"]["labels"]["app.kubernetes.io/version"], version);
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], format!("ghcr.io/lateen/lateen:{version}"));
    assert_eq!(container["imagePullPolicy"], "IfNotPresent");
}

#[test]
fn with_a_revision_every_name_carries_it() {
    let rendered = rendered(&["revision=canary", "revisionTags={prod}", "cni.enabled=true"]);
    for object in &rendered.objects {
        let title = title(object);
        let named = title.contains("-canary") || title.contains("-tag-prod");
        assert!(named, "{title}");
        assert_eq!(object["metadata"]["labels"]["istio.io/rev"], "canary", "{title}");
    }
    let service = object(&rendered, "Service istio-system/istiod-canary");
    assert_eq!(service["spec"]["selector"]["istio.io/rev"], "canary");
    let text = rendered.objects.iter().map(Value::to_string).collect::<String>();
    for default in ["\"name\":\"istiod\"", "istiod.istio-system"] {
        assert!(!text.contains(default), "{default}: the default control plane");
    }
    assert!(rendered.notes.contains("istio.io/rev=canary"), "{}", rendered.notes);
}

#[test]
fn the_service_has_the_ports_that_clients_of_istio_look_for() {
    let ports = |rendered: &Rendered| {
        let service = object(rendered, "Service istio-system/istiod");
        let ports = service["spec"]["ports"].as_array().expect("ports").clone();
        ports
            .iter()
            .map(|port| format!("{} {}", port["name"].as_str().expect("a name"), port["port"]))
            .collect::<Vec<_>>()
    };
    let tls = ["https-dns 15012", "https-webhook 443", "http-monitoring 15014"];
    assert_eq!(ports(&rendered(&[])), tls);
    let plain = rendered(&["pilot.plaintextXds=true"]);
    assert_eq!(ports(&plain)[0], "grpc-xds 15010");
}

/// The pod security standard "restricted", for every pod of the chart.
#[test]
fn every_pod_is_restricted() {
    let rendered =
        rendered(&["gateways.istio-egressgateway.enabled=true", "revisionTags={default}"]);
    let mut pods = 0;
    for workload in rendered.objects.iter().filter(|object| object["kind"] == "Deployment") {
        pods += 1;
        let spec = &workload["spec"]["template"]["spec"];
        let title = title(workload);
        assert_eq!(spec["securityContext"]["runAsNonRoot"], true, "{title}");
        assert_eq!(spec["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{title}");
        for container in spec["containers"].as_array().expect("containers") {
            let security = &container["securityContext"];
            assert_eq!(security["allowPrivilegeEscalation"], false, "{title}");
            assert_eq!(security["capabilities"]["drop"][0], "ALL", "{title}");
            assert_eq!(security["readOnlyRootFilesystem"], true, "{title}");
            assert_ne!(container["resources"]["requests"], Value::Null, "{title}");
        }
        let volumes = spec["volumes"].as_array().cloned().unwrap_or_default();
        assert!(volumes.iter().all(|volume| volume.get("hostPath").is_none()), "{title}");
        assert!(spec.get("hostNetwork").is_none(), "{title}");
    }
    assert_eq!(pods, 3, "control plane and two gateways");
}

/// The node agent is no restricted pod: it may what entering pods' networks and writing the node's files
/// ask for, and nothing else.
#[test]
fn the_node_agent_may_no_more_than_it_needs() {
    assert!(!titles(&rendered(&[])).iter().any(|title| title.contains("cni")));
    let rendered = rendered(&["cni.enabled=true", "cni.excludeNamespaces={kube-system,ci}"]);
    let agent = object(&rendered, "DaemonSet istio-system/istio-cni-node");
    let spec = &agent["spec"]["template"]["spec"];
    assert_eq!(spec["priorityClassName"], "system-node-critical");
    for shared in ["hostNetwork", "hostPID", "hostIPC"] {
        assert!(spec.get(shared).is_none(), "{shared}");
    }
    let container = &spec["containers"][0];
    let security = &container["securityContext"];
    assert_eq!(security["privileged"], false);
    assert_eq!(security["readOnlyRootFilesystem"], true);
    assert_eq!(security["capabilities"]["drop"], serde_json::json!(["ALL"]));
    let added = serde_json::json!(["NET_ADMIN", "NET_RAW", "SYS_ADMIN"]);
    assert_eq!(security["capabilities"]["add"], added);
    let variables = container["env"].as_array().expect("variables");
    let excluded = variables.iter().find(|it| it["name"] == "EXCLUDE_NAMESPACES");
    assert_eq!(excluded.expect("a variable")["value"], "kube-system,ci,istio-system");

    let injector = object(&rendered, "ConfigMap istio-system/istio-sidecar-injector");
    let values = injector["data"]["values"].as_str().expect("values");
    let values: Value = serde_json::from_str(values).expect("JSON");
    assert_eq!(values["pilot"]["cni"]["enabled"], true, "pods are injected for it");
    // Pods are read; nothing of them is written.
    let role = object(&rendered, "ClusterRole lateen-cni-istio-system");
    let verbs = |role: &Value| -> BTreeSet<String> {
        let rules = role["rules"].as_array().expect("rules").iter();
        let verbs = rules.flat_map(|rule| rule["verbs"].as_array().expect("verbs").clone());
        verbs.map(|verb| verb.as_str().expect("a verb").to_owned()).collect()
    };
    assert_eq!(verbs(role), ["get", "list", "watch"].map(str::to_owned).into());
}

/// Each way of repair has what it needs of the API server, and only where it is chosen.
#[test]
fn a_repair_that_writes_may_write() {
    for (sets, verb) in [
        (&["cni.repair.repairPods=false", "cni.repair.deletePods=true"][..], Some("delete")),
        (&["cni.repair.repairPods=false", "cni.repair.labelPods=true"][..], Some("patch")),
        (&["cni.repair.deletePods=true"][..], None),
        (&["cni.repair.enabled=false", "cni.repair.labelPods=true"][..], None),
    ] {
        let rendered = rendered(&[&["cni.enabled=true"], sets].concat());
        let role = object(&rendered, "ClusterRole lateen-cni-istio-system").to_string();
        for writes in ["delete", "patch"] {
            let may = role.contains(&format!("\"{writes}\""));
            assert_eq!(may, verb == Some(writes), "{writes} with {sets:?}");
        }
    }
}

/// A gateway of the chart is what injection by the template `gateway` would make of its Deployment.
#[test]
fn a_gateway_is_what_injection_makes() {
    for (sets, engine) in [
        (&[][..], "native"),
        (&["proxy.engine=envoy"][..], "envoy"),
        (&["gateways.istio-ingressgateway.engine=envoy"][..], "envoy"),
        (&["revision=canary", "global.network=west"][..], "native"),
        (
            &["meshConfig.defaultConfig.proxyMetadata.A=b", "meshConfig.trustDomain=corp"][..],
            "native",
        ),
    ] {
        let rendered = rendered(sets);
        let map = |start: &str| {
            let maps = rendered.objects.iter().filter(|object| object["kind"] == "ConfigMap");
            let mut named = maps.filter(|map| {
                let name = map["metadata"]["name"].as_str().unwrap_or_default();
                name == start || name == format!("{start}-canary")
            });
            named.next().expect("a config map").clone()
        };
        let text = |map: &Value, key: &str| map["data"][key].as_str().expect(key).to_owned();
        let (mesh, injector) = (map("istio"), map("istio-sidecar-injector"));
        let ours = rendered
            .objects
            .iter()
            .find(|object| {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                object["kind"] == "Deployment" && name.starts_with("istio-ingressgateway")
            })
            .expect("the gateway");
        let revision = ours["metadata"]["labels"]["istio.io/rev"].as_str().expect("a revision");
        let settings = lateen_inject::Settings::read(
            &text(&mesh, "mesh"),
            &text(&injector, "config"),
            &text(&injector, "values"),
            lateen_inject::Facts {
                revision: revision.to_owned(),
                ..lateen_inject::Facts::default()
            },
        )
        .expect("the chart's config maps are settings");

        let mut bare = ours.clone();
        let pod = &mut bare["spec"]["template"];
        pod["metadata"]["labels"]["sidecar.istio.io/inject"] = "true".into();
        pod["metadata"]["annotations"]["inject.istio.io/templates"] = "gateway".into();
        pod["metadata"]["annotations"]["lateen.dev/engine"] = engine.into();
        let ports = pod["spec"]["containers"][0]["ports"].as_array().expect("ports").clone();
        let own: Vec<Value> =
            ports.into_iter().filter(|port| port["containerPort"] != 15090).collect();
        pod["spec"]["containers"] =
            serde_json::json!([{"name": "istio-proxy", "image": "auto", "ports": own}]);
        pod["spec"].as_object_mut().expect("a spec").remove("volumes");
        let labels = |_: &str| lateen_inject::Labels::default();
        let outcome =
            lateen_inject::object::inject_object(&mut bare, "istio-system", &labels, &settings)
                .expect("it is injected");
        assert!(matches!(outcome, lateen_inject::object::Outcome::Injected(_)), "{outcome:?}");

        let (ours, theirs) = (&ours["spec"]["template"]["spec"], &bare["spec"]["template"]["spec"]);
        let by_name = |list: &Value| {
            let items = list.as_array().expect("a list").iter();
            items
                .map(|item| (item["name"].as_str().expect("a name").to_owned(), item.clone()))
                .collect::<std::collections::BTreeMap<_, _>>()
        };
        let (mine, injected) = (&ours["containers"][0], &theirs["containers"][0]);
        assert_eq!(mine["image"], injected["image"]);
        let (env, wanted) = (by_name(&mine["env"]), by_name(&injected["env"]));
        for (name, variable) in &wanted {
            let found = env.get(name).unwrap_or_else(|| panic!("{name} is missing"));
            assert_eq!(meaning(found), meaning(variable), "{name}");
        }
        assert_eq!(env.len(), wanted.len(), "{:?}", env.keys());
        assert_eq!(by_name(&mine["volumeMounts"]), by_name(&injected["volumeMounts"]));
        assert_eq!(by_name(&ours["volumes"]), by_name(&theirs["volumes"]));
        assert_eq!(mine["readinessProbe"], injected["readinessProbe"]);
        assert_eq!(mine["securityContext"], injected["securityContext"]);
    }
}

/// A variable, its JSON read.
fn meaning(variable: &Value) -> Value {
    let mut variable = variable.clone();
    let parsed = variable["value"].as_str().and_then(|text| serde_json::from_str(text).ok());
    if let Some(parsed @ (Value::Array(_) | Value::Object(_))) = parsed {
        variable["value"] = parsed;
    }
    variable
}

/// The webhooks choose the pods that the contract says, by the same selectors.
#[test]
fn the_webhooks_choose_as_injection_expects() {
    for (sets, configuration, revision, by_default) in [
        (&[][..], "istio-sidecar-injector", "default", false),
        (
            &["sidecarInjectorWebhook.enableNamespacesByDefault=true"][..],
            "istio-sidecar-injector",
            "default",
            true,
        ),
        (&["revision=canary"][..], "istio-sidecar-injector-canary", "canary", false),
        (&["revision=canary", "revisionTags={prod}"][..], "istio-revision-tag-prod", "prod", false),
        (
            &["revision=canary", "revisionTags={default}"][..],
            "istio-revision-tag-default",
            "default",
            false,
        ),
    ] {
        let rendered = rendered(sets);
        let title = format!("MutatingWebhookConfiguration {configuration}");
        let entries = object(&rendered, &title)["webhooks"].as_array().expect("webhooks").clone();
        let expected = lateen_inject::webhooks(revision, by_default);
        assert_eq!(entries.len(), expected.len(), "{title}");
        for (entry, expected) in entries.iter().zip(&expected) {
            assert_eq!(entry["name"], expected.name, "{title}");
            for (field, selector) in
                [("namespaceSelector", &expected.namespaces), ("objectSelector", &expected.pods)]
            {
                let ours: BTreeSet<String> = entry[field]["matchExpressions"]
                    .as_array()
                    .expect("expressions")
                    .iter()
                    .map(|it| {
                        let values = it["values"].as_array().cloned().unwrap_or_default();
                        let values: Vec<_> = values.iter().filter_map(Value::as_str).collect();
                        format!("{} {} {values:?}", it["key"], it["operator"]).replace('"', "")
                    })
                    .collect();
                let theirs: BTreeSet<String> = selector
                    .match_expressions
                    .iter()
                    .map(|it| {
                        format!("{} {} {:?}", it.key, it.operator, it.values).replace('"', "")
                    })
                    .collect();
                assert_eq!(ours, theirs, "{title} {} {field}", expected.name);
            }
            assert_eq!(entry["failurePolicy"], "Fail");
            assert_eq!(entry["clientConfig"]["service"]["path"], "/inject");
        }
    }
}
