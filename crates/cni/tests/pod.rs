//! Which pods the plugin has to do with.

use lateen_cni::pod::{Mesh, Verdict, addresses, is_uncaptured};
use serde_json::{Value, json};

fn mesh() -> Mesh {
    Mesh { revision: "default".to_owned(), exclude_namespaces: vec!["kube-system".to_owned()] }
}

fn pod() -> Value {
    json!({
        "metadata": {"namespace": "shop", "name": "web", "annotations": {
            "sidecar.istio.io/status": "{}", "istio.io/rev": "default",
        }},
        "spec": {
            "initContainers": [{"name": "istio-validation"}, {
                "name": "istio-proxy", "restartPolicy": "Always",
                "env": [
                    {"name": "ISTIO_META_DNS_CAPTURE", "value": "true"},
                    {"name": "POD_NAME", "valueFrom": {}},
                ],
                "securityContext": {"runAsUser": 1337},
            }],
            "containers": [{"name": "web"}],
            "securityContext": {"runAsUser": 7, "runAsGroup": 9},
        },
    })
}

#[test]
fn what_the_rules_need_is_read_from_the_proxys_container() {
    let Verdict::Ours(ours) = mesh().verdict(&pod()) else { panic!("not ours") };
    assert_eq!((ours.user, ours.group), (Some(1337), Some(9)));
    assert_eq!(ours.environment.len(), 1);
    assert!(ours.annotations.contains_key("sidecar.istio.io/status"));
}

#[test]
fn what_is_none_of_ours_says_why() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change); 7] = [
        ("excluded", |pod| pod["metadata"]["namespace"] = json!("kube-system")),
        ("host", |pod| pod["spec"]["hostNetwork"] = json!(true)),
        ("another revision", |pod| pod["metadata"]["annotations"]["istio.io/rev"] = json!("next")),
        ("istio-init", |pod| pod["spec"]["initContainers"][0]["name"] = json!("istio-init")),
        ("no container", |pod| pod["spec"]["initContainers"] = json!(null)),
        ("DISABLE_ENVOY", |pod| {
            pod["spec"]["initContainers"][1]["env"] =
                json!([{"name": "DISABLE_ENVOY", "value": "true"}]);
        }),
        ("no container", |pod| pod["spec"] = json!({})),
    ];
    for (wanted, change) in cases {
        let mut pod = pod();
        change(&mut pod);
        match mesh().verdict(&pod) {
            Verdict::Left(why) => assert!(why.contains(wanted), "{why}"),
            Verdict::Ours(_) => panic!("ours: {pod}"),
        }
    }
}

#[test]
fn a_pod_that_raced_is_known_by_its_validation() {
    let status = |name: &str, now: Value, before: Value| {
        json!({"status": {"initContainerStatuses": [
            {"name": name, "state": now, "lastState": before},
        ]}})
    };
    let ended = |code: i64| json!({"terminated": {"exitCode": code}});
    let waits = || json!({"waiting": {"reason": "CrashLoopBackOff"}});
    let runs = || json!({"running": {}});
    let name = "istio-validation";
    for (pod, expected) in [
        (status(name, ended(126), json!({})), true),
        (status(name, waits(), ended(126)), true),
        (status(name, runs(), ended(126)), true),
        (status(name, ended(0), ended(126)), false),
        (status(name, ended(1), ended(126)), false),
        (status(name, waits(), json!({})), false),
        (status(name, runs(), ended(1)), false),
        (status("istio-init", ended(126), json!({})), false),
        (json!({}), false),
    ] {
        assert_eq!(is_uncaptured(&pod, name), expected, "{pod}");
    }
}

#[test]
fn addresses_are_read() {
    let pod = json!({"status": {"podIPs": [{"ip": "10.0.0.7"}, {"ip": "fd00::7"}, {"ip": "x"}]}});
    let expected: Vec<std::net::IpAddr> =
        ["10.0.0.7", "fd00::7"].map(|text| text.parse().expect("an address")).to_vec();
    assert_eq!(addresses(&pod), expected);
    assert!(addresses(&json!({})).is_empty());
}
