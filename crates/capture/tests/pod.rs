//! Annotations, environment and security context of a pod.

use std::collections::BTreeMap;

use lateen_capture::Settings;
use lateen_capture::pod::{Decision, Pod};
use lateen_capture::settings::{Dns, InboundPorts, Mode, Notice, Ranges};

const STATUS: (&str, &str) = ("sidecar.istio.io/status", "{}");

fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn pod(annotations: &[(&str, &str)], environment: &[(&str, &str)]) -> Pod {
    let annotations = map(&[annotations, &[STATUS]].concat());
    Pod { annotations, environment: map(environment), ..Pod::default() }
}

fn captured(pod: &Pod) -> (Settings, Vec<Notice>) {
    match pod.decide().expect("good annotations") {
        Decision::Captured(outcome) => (outcome.settings, outcome.notices),
        Decision::NotCaptured(why) => panic!("{why}"),
    }
}

#[test]
fn without_annotations_everything_is_captured_but_the_agents_ports() {
    let (settings, notices) = captured(&pod(&[], &[]));
    let expected = Settings {
        inbound_ports: InboundPorts::All { except: vec![15020, 15021, 15090] },
        outbound_ranges: Ranges::All,
        outbound_ports_excluded: vec![15020],
        ..Settings::default()
    };
    assert_eq!((settings, notices), (expected, Vec::new()));
}

#[test]
fn annotations_and_environment_are_settings() {
    let (settings, notices) = captured(&pod(
        &[
            ("sidecar.istio.io/interceptionMode", "TPROXY"),
            ("traffic.sidecar.istio.io/excludeInboundPorts", "22, 15021"),
            ("traffic.sidecar.istio.io/excludeOutboundPorts", ""),
            ("traffic.sidecar.istio.io/includeOutboundIPRanges", "10.0.0.0/8"),
            ("istio.io/reroute-virtual-interfaces", "net1"),
            ("traffic.sidecar.istio.io/kubevirtInterfaces", "net0"),
        ],
        &[("ISTIO_META_DNS_CAPTURE", "true"), ("INVALID_DROP", "1"), ("HOME", "/")],
    ));
    assert_eq!(settings.mode, Mode::Tproxy);
    let except = vec![22, 15021, 15020, 15090];
    assert_eq!(settings.inbound_ports, InboundPorts::All { except });
    assert_eq!(settings.outbound_ports_excluded, [0u16; 0]);
    assert_eq!(
        settings.outbound_ranges,
        Ranges::Only(vec!["10.0.0.0/8".parse().expect("a range")])
    );
    assert_eq!(settings.interfaces_rerouted[0].as_str(), "net1");
    assert_eq!(settings.dns, Dns::All);
    assert!(settings.drop_invalid);
    assert!(matches!(notices.as_slice(), [Notice::Deprecated { .. }]), "{notices:?}");
}

#[test]
fn the_proxys_owner_is_never_root() {
    let owned = |user, group| Pod { user, group, ..pod(&[], &[]) };
    let owner = |pod: &Pod| {
        let settings = captured(pod).0;
        (settings.proxy_users, settings.proxy_groups)
    };
    assert_eq!(owner(&owned(Some(1_000_670_000), None)), (vec![1_000_670_000], vec![1337]));
    assert_eq!(owner(&owned(Some(0), Some(7))), (vec![1337], vec![7]));
}

#[test]
fn pods_that_are_not_captured_say_why() {
    let bare = Pod::default();
    let refused = pod(&[("sidecar.istio.io/inject", "false")], &[]);
    let none = pod(&[("sidecar.istio.io/interceptionMode", "NONE")], &[]);
    for (pod, reason) in [(bare, "no sidecar"), (refused, "inject"), (none, "NONE")] {
        match pod.decide().expect("a decision") {
            Decision::NotCaptured(why) => assert!(why.contains(reason), "{why}"),
            Decision::Captured(_) => panic!("captured: {pod:?}"),
        }
    }
}

#[test]
fn what_is_wrong_or_unknown_is_said_with_the_annotation() {
    let bad = pod(&[("traffic.sidecar.istio.io/includeInboundPorts", "http")], &[]);
    let problems = bad.decide().expect_err("no port").to_string();
    assert!(
        problems.starts_with("traffic.sidecar.istio.io/includeInboundPorts: \"http\""),
        "{problems}"
    );

    let odd = pod(&[("traffic.sidecar.istio.io/includeUDP", "1")], &[("INVALID_DROP", "maybe")]);
    let (settings, notices) = captured(&odd);
    assert!(!settings.drop_invalid);
    let said: Vec<String> = notices.iter().map(ToString::to_string).collect();
    assert!(said[0].contains("includeUDP") && said[1].contains("INVALID_DROP"), "{said:?}");
}
