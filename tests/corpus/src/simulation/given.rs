//! Services and instances that a case gives directly, as the objects that they stand for.

use serde_json::{Value, json};

use crate::case::{list, text};

/// One ServiceEntry for each given service, with the given instances as its endpoints.
pub fn services(case: &Value) -> Vec<Value> {
    list(case, "services").iter().map(|service| entry(service, list(case, "instances"))).collect()
}

fn entry(service: &Value, instances: &[Value]) -> Value {
    let host = text(service, "hostname");
    let own: Vec<&Value> =
        instances.iter().filter(|instance| text(instance, "service") == host).collect();
    let ports: Vec<Value> = list(service, "ports")
        .iter()
        .map(|port| {
            let target = own
                .iter()
                .find(|instance| instance["servicePort"] == port["port"])
                .map_or(&port["port"], |instance| &instance["targetPort"]);
            json!({
                "number": port["port"],
                "name": port["name"],
                "protocol": port["protocol"],
                "targetPort": target,
            })
        })
        .collect();
    let mut addresses: Vec<&str> = own.iter().map(|instance| text(instance, "address")).collect();
    addresses.dedup();
    let mut parts = host.split('.');
    let name = parts.next().unwrap_or_default();
    let namespace = parts.next().unwrap_or("default");
    json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "hosts": [host],
            "addresses": [service["address"]],
            "location": "MESH_INTERNAL",
            "resolution": "STATIC",
            "ports": ports,
            "endpoints": addresses
                .iter()
                .map(|address| json!({"address": address}))
                .collect::<Vec<_>>(),
        },
    })
}
