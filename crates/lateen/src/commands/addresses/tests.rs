use std::collections::BTreeSet;

use super::*;

fn demo() -> Addresses {
    let mesh = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/demo/mesh");
    Addresses::of_directory(&mesh).unwrap()
}

#[test]
fn the_demo_has_its_places() {
    let addresses = demo();
    let names: Vec<String> = addresses
        .workloads
        .iter()
        .map(|workload| format!("{}/{}", workload.namespace, workload.name))
        .collect();
    assert_eq!(
        names,
        [
            "istio-system/ingressgateway",
            "shop/catalog-v1",
            "shop/catalog-v2",
            "shop/orders",
            "shop/visitor",
        ]
    );
    let orders = addresses.workload("shop", "orders").unwrap();
    let IpAddr::V4(application) = orders.application else { panic!("IPv4") };
    let [127, number, 0, 1] = application.octets() else { panic!("{application}") };
    let proxy = Ipv4Addr::new(127, number, 0, 2);
    assert_eq!(orders.proxy, Some(proxy.into()));
    assert_eq!(orders.health, Some((proxy, 15021).into()));
    assert_eq!(orders.metrics, Some((proxy, 15020).into()));
    assert_eq!(orders.admin, Some((proxy, 15000).into()));
    assert_eq!(addresses.application("shop", "orders", 8080).unwrap(), (application, 8080).into());
    assert_eq!(addresses.inbound("shop", "orders", 8080).unwrap(), (proxy, 8080).into());
    assert!(orders.listeners.is_empty());
}

#[test]
fn a_gateway_listens_above_the_privileged_ports() {
    let addresses = demo();
    let gateway = addresses.workload("istio-system", "ingressgateway").unwrap();
    let listener = addresses.listener("istio-system", "ingressgateway", 80).unwrap();
    assert_eq!((Some(listener.ip()), listener.port()), (gateway.proxy, 20_080));
    assert!(gateway.services.is_empty());
    assert!(addresses.listener("istio-system", "ingressgateway", 443).is_err());
}

#[test]
fn every_workload_sees_services_in_a_block_of_its_own() {
    let addresses = demo();
    let mut seen = BTreeSet::new();
    for workload in addresses.workloads.iter().filter(|workload| workload.namespace == "shop") {
        let hosts: Vec<(&str, u16)> =
            workload.services.iter().map(|service| (&*service.host, service.port)).collect();
        let expected = ["catalog.shop.svc.cluster.local", "orders.shop.svc.cluster.local"];
        assert_eq!(hosts, expected.map(|host| (host, 80)));
        for service in &workload.services {
            assert!(seen.insert(service.address), "{} is given twice", service.address);
            assert_eq!(service.address.port(), 20_080);
        }
    }
    assert!(addresses.service("shop", "visitor", "orders.shop.svc.cluster.local", 81).is_err());
}

#[test]
fn scripts_and_people_read_the_same() {
    let addresses = demo();
    let json = serde_json::to_string(&addresses).unwrap();
    assert_eq!(serde_json::from_str::<Addresses>(&json).unwrap(), addresses);
    let text = addresses.text();
    for service in addresses.workloads.iter().flat_map(|workload| &workload.services) {
        assert!(text.contains(&service.address.to_string()), "{text}");
    }
}
