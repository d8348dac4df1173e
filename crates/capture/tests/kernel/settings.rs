//! Settings of all kinds.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use lateen_capture::Settings;
use lateen_capture::settings::{
    Dns, Group, InboundPorts, Interface, Key, Mode, OwnerGroups, Ranges, Written,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn ports() -> impl Strategy<Value = Vec<u16>> {
    vec(1..=u16::MAX, 0..3)
}

fn inbound_ports() -> impl Strategy<Value = InboundPorts> {
    prop_oneof![
        ports().prop_map(|except| InboundPorts::All { except }),
        ports().prop_map(InboundPorts::Only),
    ]
}

fn networks() -> impl Strategy<Value = Vec<IpNet>> {
    let network = prop_oneof![
        (any::<u32>(), 0..=32u8).prop_map(|(address, length)| {
            IpNet::new(Ipv4Addr::from(address).into(), length).expect("a length")
        }),
        (any::<u128>(), 0..=128u8).prop_map(|(address, length)| {
            IpNet::new(Ipv6Addr::from(address).into(), length).expect("a length")
        }),
        Just("127.1.2.3/32".parse().expect("a range")),
    ];
    vec(network, 0..3)
}

fn ranges() -> impl Strategy<Value = Ranges> {
    prop_oneof![Just(Ranges::All), networks().prop_map(Ranges::Only)]
}

fn interfaces() -> impl Strategy<Value = Vec<Interface>> {
    prop::sample::subsequence(vec!["eth0", "net1", "veth+", "vm-2.7"], 0..3).prop_map(|names| {
        let mut written = Written::default();
        written.set(Key::ExcludeInterfaces, "test", names.join(","));
        written.read().expect("names").settings.interfaces_excluded
    })
}

fn dns() -> impl Strategy<Value = Dns> {
    let v4 = vec(any::<u32>().prop_map(Ipv4Addr::from), 0..3);
    let v6 = vec(any::<u128>().prop_map(Ipv6Addr::from), 0..3);
    prop_oneof![
        Just(Dns::Uncaptured),
        Just(Dns::All),
        (v4, v6)
            .prop_filter("there are servers", |(v4, v6)| !(v4.is_empty() && v6.is_empty()))
            .prop_map(|(v4, v6)| Dns::Servers { v4, v6 }),
    ]
}

fn owner_groups() -> impl Strategy<Value = OwnerGroups> {
    let groups = || vec(any::<u32>().prop_map(Group::Id), 0..3);
    prop_oneof![
        groups().prop_map(|except| OwnerGroups::All { except }),
        groups().prop_map(OwnerGroups::Only),
    ]
}

/// Settings of all kinds.
pub fn any_settings() -> impl Strategy<Value = Settings> {
    let inbound = (prop_oneof![Just(Mode::Redirect), Just(Mode::Tproxy)], inbound_ports());
    let outbound = (ports(), ports(), ranges(), networks());
    let owners = (vec(any::<u32>(), 1..3), vec(any::<u32>(), 1..3), owner_groups());
    let rest = (dns(), interfaces(), interfaces(), any::<bool>(), any::<bool>());
    (inbound, outbound, owners, rest).prop_map(|(inbound, outbound, owners, rest)| Settings {
        mode: inbound.0,
        inbound_ports: inbound.1,
        outbound_ports: outbound.0,
        outbound_ports_excluded: outbound.1,
        outbound_ranges: outbound.2,
        outbound_ranges_excluded: outbound.3,
        proxy_users: owners.0,
        proxy_groups: owners.1,
        owner_groups: owners.2,
        dns: rest.0,
        interfaces_excluded: rest.1,
        interfaces_rerouted: rest.2,
        drop_invalid: rest.3,
        ipv6: rest.4,
        ..Settings::default()
    })
}
