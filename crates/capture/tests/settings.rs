//! What is written under Istio's names: what it means, what is wrong with it, what is said of it.

use lateen_capture::Settings;
use lateen_capture::settings::{Dns, Group, InboundPorts, Key, OwnerGroups, Written};

fn written(values: &[(&str, &str)]) -> Written {
    let mut written = Written::default();
    for (name, text) in values {
        written.set_named(name, *text);
    }
    written
}

fn settings(values: &[(&str, &str)]) -> Settings {
    written(values).read().expect("settings").settings
}

#[test]
fn nothing_written_is_istios_default() {
    assert_eq!(settings(&[]), Settings::default());
    let empty: Vec<(&str, &str)> = Key::ALL.iter().map(|key| (key.name(), "")).collect();
    let nobody = Settings { owner_groups: OwnerGroups::Only(Vec::new()), ..Settings::default() };
    assert_eq!(settings(&empty), nobody, "an empty list of groups captures none");
}

#[test]
fn lists_are_read_with_spaces_and_empty_entries() {
    let settings = settings(&[
        ("inboundPortsInclude", "*"),
        ("inboundPortsExclude", " 15090, ,15021,"),
        ("proxyUID", "3,4"),
        ("ownerGroupsInclude", "java, 202"),
        ("outboundIPRangesExclude", "10.1.2.3/8,2001:db8::/32"),
        ("dnsServersV6", "::127.0.0.53"),
        ("redirectDNS", "true"),
    ]);
    assert_eq!(settings.inbound_ports, InboundPorts::All { except: vec![15090, 15021] });
    assert_eq!(settings.proxy_groups, [3, 4], "groups are as the users when they are not said");
    let groups = vec![Group::Name("java".to_owned()), Group::Id(202)];
    assert_eq!(settings.owner_groups, OwnerGroups::Only(groups));
    assert_eq!(settings.outbound_ranges_excluded[0].to_string(), "10.1.2.3/8");
    assert!(matches!(&settings.dns, Dns::Servers { v4, v6 } if v4.is_empty() && v6.len() == 1));
}

#[test]
fn what_is_wrong_is_said_all_at_once_with_its_place() {
    let cases = [
        ("proxyPort", "0", "is no port"),
        ("inboundCapturePort", "http", "is no port"),
        ("inboundPortsInclude", "80,+81", "is no port"),
        ("inboundPortsInclude", "80,*", "list the ports"),
        ("outboundPortsInclude", "*", "list the ports"),
        ("proxyUID", "root", "is no number"),
        ("inboundInterceptionMode", "NONE", "is no interception mode"),
        ("inboundTProxyMark", "1338", "is no mark"),
        ("inboundTProxyRouteTable", "254", "is no routing table"),
        ("outboundIPRangesInclude", "10.0.0.0", "is no range"),
        ("outboundIPRangesExclude", "*", "include none"),
        ("excludeInterfaces", "a;b", "is no name of a network interface"),
        ("excludeInterfaces", "-j", "is no name of a network interface"),
        ("rerouteVirtualInterfaces", "sixteencharacter", "is no name of a network interface"),
        ("ownerGroupsInclude", "a b", "is neither the number nor the name"),
        ("dnsServersV4", "::1", "is no IPv4 address"),
        ("redirectDNS", "yes", "is neither true nor false"),
        ("hostIPv4LoopbackCidr", "10.0.0.0/8", "is no range of IPv4 loopback"),
        ("hostIPv4LoopbackCidr", "127.0.0.0/7", "is no range of IPv4 loopback"),
    ];
    for (name, text, fault) in cases {
        let problems = written(&[(name, text)]).read().expect_err(name);
        let said = problems.to_string();
        assert!(said.starts_with(name) && said.contains(fault), "{said}");
    }
    let all: Vec<(&str, &str)> = vec![("proxyPort", "x"), ("enableIPv6", "x")];
    assert_eq!(written(&all).read().expect_err("both").0.len(), 2);

    let groups: Vec<String> = (0..65).map(|id: u32| id.to_string()).collect();
    let many = written(&[("ownerGroupsInclude", &groups.join(","))]).read().expect_err("many");
    assert!(many.to_string().contains("65 groups"), "{many}");
}

#[test]
fn what_has_no_effect_is_said() {
    let cases: [(&[(&str, &str)], &str); 7] = [
        (&[("noSuchSetting", "1")], "noSuchSetting: there is no such setting"),
        (&[("networkNamespace", "/proc/1/ns/net")], "networkNamespace: not honoured"),
        (&[("dryRun", "true")], "dryRun: not honoured"),
        (
            &[("inboundPortsInclude", "80"), ("inboundPortsExclude", "81")],
            "inboundPortsExclude: without",
        ),
        (
            &[("ownerGroupsInclude", "1"), ("ownerGroupsExclude", "2")],
            "ownerGroupsExclude: without",
        ),
        (&[("redirectDNS", "true")], "redirectDNS: without effect: no name server"),
        (&[("captureAllDNS", "true")], "captureAllDNS: without effect"),
    ];
    for (values, expected) in cases {
        let notices = written(values).read().expect("settings").notices;
        let said: Vec<String> = notices.iter().map(ToString::to_string).collect();
        assert!(said.len() == 1 && said[0].starts_with(expected), "{values:?}: {said:?}");
    }
}

#[test]
fn names_of_groups_become_numbers() {
    let named = settings(&[("ownerGroupsInclude", "java,7")]);
    let look_up = |name: &str| (name == "java").then_some(202);
    let numbered = named.clone().with_group_numbers(look_up).expect("known");
    assert_eq!(numbered.owner_groups, OwnerGroups::Only(vec![Group::Id(202), Group::Id(7)]));
    let unknown = named.with_group_numbers(|_| None).expect_err("unknown");
    assert!(unknown.to_string().contains("\"java\" is no group"), "{unknown}");
}
