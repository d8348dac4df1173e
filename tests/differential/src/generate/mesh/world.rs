//! Who there is: workloads and services. The rest of a mesh is about them.

use serde_json::{Value, json};

use super::object;
use crate::generate::random::Random;

/// A service.
#[derive(Debug, Clone)]
pub struct Service {
    /// Its short name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its whole name.
    pub host: String,
    /// Its ports.
    pub ports: Vec<Port>,
    /// Versions of its workloads; none: it has no workloads.
    pub versions: Vec<&'static str>,
    /// Whether its workloads have sidecars.
    pub sidecars: bool,
}

/// A port of a service.
#[derive(Debug, Clone)]
pub struct Port {
    /// Its number.
    pub number: u16,
    /// The workload's port.
    pub target: u16,
    /// `http`, `http2`, `grpc`, `tcp`, `tls`; empty: it has to be detected.
    pub protocol: &'static str,
}

/// Who there is.
#[derive(Debug, Clone)]
pub struct World {
    /// All services.
    pub services: Vec<Service>,
    /// Whether services have several workloads, so that chance picks one of them.
    pub spread: bool,
    /// Labels that some condition may ask of the client: some that it has, some that it has not.
    pub client_labels: Vec<Value>,
}

impl Service {
    fn new(name: &str, namespace: &str, ports: Vec<Port>, versions: &[&'static str]) -> Self {
        Self {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            host: format!("{name}.{namespace}.svc.cluster.local"),
            ports,
            versions: versions.to_vec(),
            sidecars: true,
        }
    }

    /// Whether some port takes HTTP.
    pub fn has_http(&self) -> bool {
        self.http_ports().next().is_some()
    }

    /// Its ports that take HTTP.
    pub fn http_ports(&self) -> impl Iterator<Item = u16> {
        let http = |port: &&Port| matches!(port.protocol, "http" | "http2" | "grpc" | "");
        self.ports.iter().filter(http).map(|port| port.number)
    }

    /// Its ports of the protocol.
    pub fn ports_of(&self, protocol: &str) -> impl Iterator<Item = u16> {
        self.ports.iter().filter(move |port| port.protocol == protocol).map(|port| port.number)
    }

    fn objects(&self) -> Vec<Value> {
        let mut objects = Vec::new();
        for version in &self.versions {
            let mut pod = pod(&format!("{}-{version}", self.name), &self.namespace, &self.name);
            pod["metadata"]["labels"]["version"] = json!(version);
            if !self.sidecars {
                pod["metadata"]["labels"]["sidecar.istio.io/inject"] = json!("false");
            }
            objects.push(pod);
        }
        objects.push(self.service());
        objects
    }

    fn service(&self) -> Value {
        let ports: Vec<Value> = self
            .ports
            .iter()
            .map(|port| {
                let name = if port.protocol.is_empty() {
                    format!("any-{}", port.number)
                } else {
                    format!("{}-{}", port.protocol, port.number)
                };
                json!({ "name": name, "port": port.number, "targetPort": port.target })
            })
            .collect();
        let mut service = object(
            ("v1", "Service"),
            &self.namespace,
            &self.name,
            &json!({ "selector": { "app": self.name }, "ports": ports }),
        );
        service["spec"]["clusterIP"] = json!(cluster_ip(&self.name));
        service
    }
}

/// An address that follows from the name.
fn cluster_ip(name: &str) -> String {
    let sum: u32 = name.bytes().map(u32::from).sum();
    format!("10.96.{}.{}", sum % 250, name.len())
}

impl World {
    /// The workloads and services of a mesh.
    pub(super) fn new(random: &mut Random) -> Self {
        let http = |number| Port { number, target: 8080, protocol: "http" };
        let spread = random.percent(12);
        let versions: &[&str] = match random.below(3) {
            _ if spread => &["v1", "v2"],
            0 => &["v2"],
            _ => &["v1"],
        };
        let mut services = vec![
            Service::new("alpha", "default", vec![http(80)], versions),
            Service::new(
                "beta",
                "default",
                vec![
                    Port { protocol: random.one(&["http", "http2", "grpc", ""]), ..http(80) },
                    Port { number: 9000, target: 9000, protocol: random.one(&["tcp", ""]) },
                ],
                &["v1"],
            ),
        ];
        if random.percent(50) {
            let mut plain = Service::new("gamma", "default", vec![http(80)], &["v1"]);
            plain.sidecars = false;
            if random.percent(50) {
                plain.ports[0].number = 8000;
            }
            services.push(plain);
        }
        if random.percent(50) {
            let ports = vec![
                Port { number: 9000, target: 9000, protocol: "tcp" },
                Port { number: 8443, target: 9443, protocol: "tls" },
            ];
            services.push(Service::new("delta", "default", ports, versions));
        }
        if random.percent(40) {
            services.push(Service::new("epsilon", "other", vec![http(80)], &["v1"]));
        }
        if random.percent(30) {
            services.push(Service::new("empty", "default", vec![http(80)], &[]));
        }
        services.push(server(random));
        let client_labels = vec![
            json!({ "app": "client" }),
            json!({ "app": "client", "version": "v1" }),
            json!({ "app": "client", "version": "v2" }),
            json!({ "app": "other" }),
        ];
        Self { services, spread, client_labels }
    }

    /// Some port of some service.
    pub fn port(&self, random: &mut Random) -> u16 {
        random.pick(&random.clone().pick(&self.services).ports).number
    }

    /// The service whose inbound side is asked.
    pub fn server(&self) -> &Service {
        self.services.last().expect("invariant: the server is always there, and the last")
    }

    /// Its workload's ports.
    pub fn server_ports(&self) -> Vec<u16> {
        self.server().ports.iter().map(|port| port.target).collect()
    }

    /// The objects of all of it.
    pub(super) fn objects(&self) -> Vec<Value> {
        let mut objects: Vec<Value> = ["istio-system", "default", "other"]
            .into_iter()
            .map(|name| {
                json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } })
            })
            .collect();
        let mut client = pod("client", "default", "client");
        client["metadata"]["labels"]["version"] = json!("v1");
        objects.push(client);
        for service in &self.services {
            objects.extend(service.objects());
        }
        objects
    }
}

fn server(random: &mut Random) -> Service {
    let mut ports = vec![
        Port { number: 80, target: 8080, protocol: "http" },
        Port { number: 9000, target: 9000, protocol: "tcp" },
    ];
    if random.percent(40) {
        ports.push(Port { number: 8000, target: 8000, protocol: "" });
    }
    if random.percent(30) {
        ports.push(Port { number: 8002, target: 8002, protocol: random.one(&["http2", "grpc"]) });
    }
    let mut server = Service::new("server", "default", ports, &["v1"]);
    server.versions.clear();
    server
}

fn pod(name: &str, namespace: &str, app: &str) -> Value {
    let mut pod = object(
        ("v1", "Pod"),
        namespace,
        name,
        &json!({
            "serviceAccountName": app,
            "containers": [{ "name": app, "image": app }],
        }),
    );
    pod["metadata"]["labels"] = json!({ "app": app });
    pod["status"] = json!({ "phase": "Running" });
    pod
}
