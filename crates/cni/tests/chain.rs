//! What runtimes ask and the plugin answers.

use lateen_cni::chain::answer;
use lateen_cni::protocol::{Call, Code, Failure};
use lateen_cni::wire::{Answer, What};
use serde_json::{Value, json};

const STATUS: &str = "sidecar.istio.io/status";

fn environment(command: &str, namespace: &str) -> impl Fn(&str) -> Option<String> {
    let arguments = format!("IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME=web");
    let (command, netns) = (command.to_owned(), "/var/run/netns/cni-1".to_owned());
    move |name| match name {
        "CNI_COMMAND" => Some(command.clone()),
        "CNI_NETNS" => Some(netns.clone()),
        "CNI_ARGS" => Some(arguments.clone()),
        _ => None,
    }
}

fn configuration(annotations: Option<&[&str]>) -> Value {
    let mut configuration = json!({
        "cniVersion": "1.0.0", "name": "net", "type": "lateen-cni",
        "socket": "/agent.sock", "excludeNamespaces": ["kube-system"],
        "prevResult": {"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.7/24"}]},
    });
    if let Some(annotations) = annotations {
        let annotations: Value = annotations.iter().map(|name| (*name, "{}")).collect();
        configuration["runtimeConfig"] = json!({"io.kubernetes.cri.pod-annotations": annotations});
    }
    configuration
}

fn call(command: &str, configuration: &Value) -> Call {
    Call::read(environment(command, "shop"), &configuration.to_string()).expect("a call")
}

#[test]
fn what_came_before_is_passed_on() {
    let configuration = configuration(Some(&[STATUS]));
    let result = answer(&call("ADD", &configuration), |socket, question, netns| {
        assert_eq!(
            (socket.to_str(), netns.to_str()),
            (Some("/agent.sock"), Some("/var/run/netns/cni-1"))
        );
        assert_eq!((question.what, question.namespace.as_str()), (What::Capture, "shop"));
        assert_eq!(question.name, "web");
        Ok(Answer::Captured)
    });
    assert_eq!(result, Ok(Some(configuration["prevResult"].clone())));
}

#[test]
fn alone_it_makes_nothing() {
    let mut alone = configuration(None);
    alone.as_object_mut().expect("an object").remove("prevResult");
    let result = answer(&call("ADD", &alone), |_, _, _| Ok(Answer::Captured));
    assert_eq!(result, Ok(Some(json!({"cniVersion": "1.0.0"}))));
}

/// What becomes of a pod, by what the runtime says of it and what the agent says.
#[test]
fn only_pods_that_are_known_to_be_in_the_mesh_wait() {
    let gone = || Err("connection refused".to_owned());
    let unknown = || Ok(Answer::Unknown("timeout".to_owned()));
    let refused = || Ok(Answer::Refused("includeInboundPorts".to_owned()));
    let left = || Ok(Answer::Left("host network".to_owned()));
    let none: Option<&[&str]> = None;
    let other: Option<&[&str]> = Some(&["a/b"]);
    let injected: Option<&[&str]> = Some(&[STATUS]);
    for (annotations, said, expected) in [
        (none, gone(), None),
        (none, unknown(), None),
        (none, refused(), Some(Code::Capture)),
        (none, left(), None),
        (other, refused(), None),
        (injected, gone(), Some(Code::TryAgainLater)),
        (injected, unknown(), Some(Code::TryAgainLater)),
        (injected, refused(), Some(Code::Capture)),
        (injected, left(), None),
    ] {
        let case = format!("{annotations:?} {said:?}");
        let call = call("ADD", &configuration(annotations));
        let failure = answer(&call, |_, _, _| said).err();
        assert_eq!(failure.map(|failure| failure.code), expected, "{case}");
    }
}

#[test]
fn nobody_is_asked_about_what_is_excluded_or_no_pod() {
    let input = configuration(Some(&[STATUS])).to_string();
    let excluded = Call::read(environment("ADD", "kube-system"), &input).expect("a call");
    let nameless = |name: &str| environment("ADD", "shop")(name).filter(|_| name != "CNI_ARGS");
    let container = Call::read(nameless, &input).expect("a call");
    for call in [excluded, container] {
        let result = answer(&call, |_, _, _| panic!("asked about {call:?}"));
        assert!(result.is_ok_and(|result| result.is_some()));
    }
}

#[test]
fn commands_without_a_pod_always_succeed() {
    for command in ["DEL", "GC", "STATUS"] {
        let result = answer(&call(command, &configuration(Some(&[STATUS]))), |_, _, _| {
            Err("nobody is there".to_owned())
        });
        assert_eq!(result, Ok(None), "{command}");
    }
    let versions = answer(&call("VERSION", &json!({"cniVersion": "0.4.0"})), |_, _, _| {
        Err("nobody is there".to_owned())
    });
    let versions = versions.expect("versions").expect("versions");
    assert_eq!(versions["cniVersion"], "0.4.0");
    assert_eq!(versions["supportedVersions"], json!(["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]));
}

#[test]
fn a_check_asks_and_says_what_it_hears() {
    let checked = answer(&call("CHECK", &configuration(Some(&[STATUS]))), |_, question, _| {
        assert_eq!(question.what, What::Check);
        Ok(Answer::Refused("its rules are not in place".to_owned()))
    });
    let failure = checked.expect_err("not in place");
    assert!(failure.to_string().contains("not in place"), "{failure}");
}

#[test]
fn calls_that_are_none_are_refused_as_the_specification_says() {
    let sound = configuration(None).to_string();
    let old = json!({"cniVersion": "0.2.0", "name": "net"}).to_string();
    for (command, input, code) in [
        ("", sound.as_str(), 4),
        ("UPDATE", sound.as_str(), 4),
        ("ADD", "{", 6),
        ("ADD", r#"{"cniVersion": 1}"#, 6),
        ("ADD", old.as_str(), 1),
    ] {
        let (failure, version) =
            Call::read(environment(command, "shop"), input).expect_err(command);
        let said = failure.to_json(&version);
        assert_eq!((&said["code"], &said["cniVersion"]), (&json!(code), &json!("1.1.0")));
        assert!(said["msg"].as_str().is_some_and(|text| !text.is_empty()), "{said}");
    }
    let without = |name: &str| environment("ADD", "shop")(name).filter(|_| name != "CNI_NETNS");
    let (failure, _) = Call::read(without, &sound).expect_err("no network namespace");
    assert_eq!(failure, Failure::new(Code::Environment, "CNI_NETNS is not set", ""));
}
