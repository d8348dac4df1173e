//! Services of every kind on a real API server, and what proxies make of them: from the source through the
//! compiler into the plan that a proxy decides by.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use lateen_api::{Diagnostic, Severity};
use lateen_compiler::{Change, Client, Compiler, Options};
use lateen_controller::Cluster;
use lateen_engine::connection::Hosts;
use lateen_engine::destination::{Address, Discovery, Health};
use lateen_engine::inbound::InboundConnection;
use lateen_engine::upstream::UpstreamTls;
use lateen_engine::{Connection, Cut, HttpDecision, HttpScope, Plan, Request, Resources, Seen};
use lateen_mesh::name::Name;
use lateen_mesh::v1::resource::Body;
use lateen_sources::kubernetes::Settings;
use lateen_sources::{self as sources, KubernetesSource};
use lateen_testkit::cluster::Api;
use tokio::runtime::Runtime;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

/// A mesh as the control plane of a cluster has it.
struct Mesh {
    runtime: Runtime,
    source: KubernetesSource,
    compiler: Compiler,
    diagnostics: Vec<Diagnostic>,
}

impl Mesh {
    fn open(api: &Api, revision: &str) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let settings = Settings::new("istio-system", revision);
        let cluster = runtime.block_on(Cluster::connect(Some(api.kubeconfig()), "test"))?;
        let source = runtime.block_on(async { KubernetesSource::open(cluster.client, settings) });
        let options = Options { local: false, revision: revision.to_owned(), ..Options::default() };
        let diagnostics = Vec::new();
        let mut mesh = Self { runtime, source, compiler: Compiler::new(options), diagnostics };
        mesh.next(PATIENCE)?;
        Ok(mesh)
    }

    fn next(&mut self, limit: Duration) -> anyhow::Result<()> {
        let batch = self.runtime.block_on(async { timeout(limit, self.source.next()).await });
        let batch = batch.context("no batch in time")?.context("the source ended")?;
        self.compiler.apply(batch.changes.into_iter().map(|change| match change {
            sources::Change::Upsert(object) => Change::Upsert(object),
            sources::Change::Remove(object) => Change::Remove(object),
        }));
        self.diagnostics = batch.diagnostics;
        Ok(())
    }

    /// Takes batches until something is as it should be.
    fn until<T: PartialEq + std::fmt::Debug>(
        &mut self,
        expected: &T,
        found: impl Fn(&mut Self) -> anyhow::Result<T>,
    ) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let now = found(self)?;
            if now == *expected {
                return Ok(());
            }
            let left = PATIENCE.saturating_sub(begun.elapsed());
            self.next(left).with_context(|| format!("{now:?} is not {expected:?}"))?;
        }
    }

    fn client(&self, name: &str) -> anyhow::Result<Client> {
        let role = self.compiler.role("shop", name).with_context(|| format!("no pod {name}"))?;
        let client = self.compiler.workload("shop", name, role).context("a workload")?;
        Ok(Client { whole_scope: true, ..client })
    }

    /// What the pod's proxy decides by, once it knows everything.
    fn plan(&mut self, pod: &str) -> anyhow::Result<Arc<Plan>> {
        let client = self.client(pod)?;
        let scope = self.compiler.scope(&client);
        let roots = self.compiler.roots(scope, &client);
        let closure = self.compiler.closure(scope, roots).into_iter();
        let upserts =
            closure.map(|(name, output)| (name.to_string(), output.encoded.bytes.clone()));
        Ok(Resources::new().apply(&Cut { upserts: upserts.collect(), removed: Vec::new() })?)
    }

    /// Where a request of the pod to an authority goes, on an HTTP port.
    fn ask(&mut self, pod: &str, authority: &str, port: u16) -> anyhow::Result<String> {
        let plan = self.plan(pod)?;
        let headers = http::HeaderMap::new();
        let request = Request {
            method: "GET",
            scheme: "http",
            authority,
            path_and_query: "/",
            headers: &headers,
        };
        let destination = "192.0.2.1:80".parse()?;
        let scope = HttpScope { port, destination, hosts: Hosts::Port };
        Ok(match plan.route(&scope, &request, 0) {
            HttpDecision::Forward(forward) => said(forward.destination),
            HttpDecision::Passthrough(_) => "passthrough".to_owned(),
            other => format!("{other:?}"),
        })
    }

    /// Where a connection of the pod to an address goes, without a look at its bytes.
    fn dial(&mut self, pod: &str, address: &str) -> anyhow::Result<String> {
        let plan = self.plan(pod)?;
        let outbound = plan.outbound(address.parse()?);
        let outbound = outbound.map_err(|need| anyhow::anyhow!("{need:?}"))?;
        Ok(match outbound.decide(Seen::Nothing, 0) {
            Connection::Tcp(forward) => said(forward.destination),
            Connection::Passthrough(_) => "passthrough".to_owned(),
            other => format!("{other:?}"),
        })
    }

    /// What the pod's proxy lets in: the ports that services declare, and whether plain text comes in at one.
    fn plain_text_at(&mut self, pod: &str, port: u16) -> anyhow::Result<bool> {
        let plan = self.plan(pod)?;
        let inbound = plan.inbound(port).map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
        Ok(matches!(inbound.decide(Seen::Http1), InboundConnection::Accept(_)))
    }

    /// The addresses by which a host is found.
    fn addresses(&mut self, pod: &str, host: &str) -> anyhow::Result<Vec<String>> {
        let client = self.client(pod)?;
        let scope = self.compiler.scope(&client);
        let mut found = Vec::new();
        for name in self.compiler.roots(scope, &client) {
            if !matches!(name, Name::Directory { .. }) {
                continue;
            }
            let output = self.compiler.output(scope, &name).context("a root")?;
            let Some(Body::Directory(slice)) = output.encoded.decode()?.body else { continue };
            for entry in slice.entries.iter().filter(|entry| slice.host(entry) == host) {
                found.extend(entry.addresses.iter().filter_map(|address| {
                    Some(lateen_mesh::address::Block::decode(address)?.address.to_string())
                }));
            }
        }
        Ok(found)
    }
}

/// A destination in short: its host and port, how its endpoints are found, and each as `uid@address:port`
/// with what makes it special.
fn said(destination: &lateen_engine::Destination) -> String {
    let host = destination.key().host.trim_end_matches(".shop.svc.cluster.local").to_owned();
    let mut parts = vec![format!("{host}:{}", destination.key().port)];
    if destination.discovery() == Discovery::Passthrough {
        let tls = matches!(destination.passthrough_tls(), UpstreamTls::Mesh(_));
        parts.push(format!("as dialled{}", if tls { " mtls" } else { "" }));
    }
    for target in destination.targets() {
        let endpoint = &target.endpoint;
        let Address::Ip(addresses) = &endpoint.address else {
            parts.push(endpoint.address.to_string());
            continue;
        };
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let name = endpoint.key.uid.rsplit('/').next().unwrap_or_default().to_owned();
        let tls = if matches!(*target.tls, UpstreamTls::Mesh(_)) { " mtls" } else { "" };
        let place = &endpoint.template.locality;
        let place = if place.is_empty() { String::new() } else { format!(" in {place}") };
        let health = if endpoint.health == Health::Healthy { "" } else { " unhealthy" };
        parts.push(format!(
            "{name}@{}:{}{tls}{place}{health}",
            addresses.join("+"),
            endpoint.key.port
        ));
    }
    parts[1..].sort();
    parts.join(", ")
}

/// A pod that runs: its addresses, the first of which it prefers; labels beside `app`, its name up to the
/// first hyphen; more of its specification.
struct Pod {
    name: &'static str,
    addresses: &'static [&'static str],
    labels: &'static str,
    spec: &'static str,
}

const SIDECAR: &str = "security.istio.io/tlsMode: istio";

fn pod(name: &'static str, addresses: &'static [&'static str]) -> Pod {
    Pod { name, addresses, labels: SIDECAR, spec: "" }
}

impl Pod {
    fn make(&self, api: &Api) -> anyhow::Result<()> {
        let Self { name, addresses, labels, spec } = self;
        let app = name.split('-').next().unwrap_or_default();
        api.kubectl().apply(&format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: shop, \
             labels: {{app: {app}, {labels}}}}}, spec: {{nodeName: n1, {spec} \
             containers: [{{name: app, image: nginx}}]}}}}"
        ))?;
        let all: Vec<_> = addresses.iter().map(|ip| serde_json::json!({"ip": ip})).collect();
        let status = serde_json::json!({"status": {
            "phase": "Running",
            "podIP": addresses[0],
            "podIPs": all,
            "conditions": [{"type": "Ready", "status": "True"}],
        }});
        let patch = ["patch", "pod", name, "-n", "shop", "--subresource=status", "-p"];
        api.kubectl().run(patch.into_iter().chain([status.to_string().as_str()]))?;
        Ok(())
    }
}

/// A service, of whose specification `spec` is what matters.
fn service(name: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: {name}, namespace: shop}}, spec: {{{spec}}}}}\n---\n"
    )
}

/// A slice as the controller for them writes it: pods with their address and their conditions
/// (`ready`, `serving`, `terminating`).
fn slice(service: &str, suffix: &str, port: u16, pods: &[(&str, &str, [bool; 3])]) -> String {
    let endpoints: Vec<_> = pods
        .iter()
        .map(|(pod, address, [ready, serving, terminating])| {
            serde_json::json!({
                "addresses": [address],
                "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
                "targetRef": {"kind": "Pod", "namespace": "shop", "name": pod},
                "nodeName": "n1",
                "zone": "a",
                "hints": {"forZones": [{"name": "a"}]},
            })
        })
        .collect();
    let is_ipv6 = pods.iter().any(|(_, address, _)| address.contains(':'));
    let slice = serde_json::json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{service}-{suffix}"),
            "namespace": "shop",
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": if is_ipv6 { "IPv6" } else { "IPv4" },
        "endpoints": endpoints,
        "ports": [{"name": "http", "port": port}, {"name": "tcp", "port": port + 1}],
    });
    format!("{slice}\n---\n")
}

const READY: [bool; 3] = [true, true, false];
const NOT_READY: [bool; 3] = [false, false, false];
const GOING: [bool; 3] = [false, true, true];
const PUBLISHED: [bool; 3] = [true, true, true];

/// Ports of every service here.
const PORTS: &str = "ports: [{name: http, port: 80, targetPort: web}, {name: tcp, port: 90}]";

/// Services of every kind, with pods that have sidecars but for those on their node's network.
fn fill(api: &Api) -> anyhow::Result<()> {
    api.namespace("shop")?;
    api.namespace("istio-system")?;
    let account =
        "{apiVersion: v1, kind: ServiceAccount, metadata: {name: default, namespace: shop}}";
    api.kubectl().apply(account)?;
    let crds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/helm/lateen/crds");
    let kind = "peerauthentications.security.istio.io";
    let file = crds.join(format!("{kind}.yaml"));
    api.kubectl().run(["create", "--filename", &file.to_string_lossy()])?;
    let crd = format!("crd/{kind}");
    api.kubectl().run(["wait", "--for=condition=Established", "--timeout=60s", &crd])?;
    api.kubectl().apply(
        "
apiVersion: v1
kind: Node
metadata: {name: n1, labels: {topology.kubernetes.io/region: r1, topology.kubernetes.io/zone: a}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict, namespace: shop}
spec: {selector: {matchLabels: {app: loner}}, mtls: {mode: STRICT}}
",
    )?;
    let on_node = "hostNetwork: true,";
    for pod in [
        pod("client-1", &["10.1.0.1"]),
        Pod { spec: "hostname: db-0, subdomain: db,", ..pod("db-0", &["10.1.0.10"]) },
        Pod { spec: "hostname: db-1, subdomain: db,", ..pod("db-1", &["10.1.0.11"]) },
        Pod { labels: "a: b", spec: on_node, ..pod("host-1", &["10.0.0.7"]) },
        Pod { labels: "a: b", spec: on_node, ..pod("host-2", &["10.0.0.7"]) },
        Pod { labels: "a: b", spec: on_node, ..pod("other-1", &["10.0.0.7"]) },
        pod("loner-1", &["10.1.0.30"]),
        pod("both-1", &["fd00:1::1", "10.1.0.40"]),
        pod("both-2", &["10.1.0.41", "fd00:1::2"]),
        pod("slow-1", &["10.1.0.50"]),
        pod("slow-2", &["10.1.0.51"]),
        pod("slow-3", &["10.1.0.52"]),
        pod("mixed-1", &["10.1.0.60"]),
        pod("mixed-2", &["10.1.0.61"]),
    ] {
        pod.make(api)?;
    }
    let selected = |name: &str, more: &str| {
        service(name, &format!("selector: {{app: {name}}}, {more} {PORTS}"))
    };
    let objects = [
        selected("db", "clusterIP: None,"),
        slice("db", "a", 8080, &[("db-0", "10.1.0.10", READY), ("db-1", "10.1.0.11", READY)]),
        service("alias", "type: ExternalName, externalName: slow.shop.svc.cluster.local"),
        service("far", "type: ExternalName, externalName: example.org"),
        selected("host", ""),
        slice("host", "a", 8080, &[("host-1", "10.0.0.7", GOING), ("host-2", "10.0.0.7", READY)]),
        selected("both", "ipFamilyPolicy: RequireDualStack,"),
        slice("both", "a", 8080, &[("both-1", "10.1.0.40", READY), ("both-2", "10.1.0.41", READY)]),
        slice("both", "b", 8080, &[("both-1", "fd00:1::1", READY), ("both-2", "fd00:1::2", READY)]),
        selected("slow", ""),
        slice(
            "slow",
            "a",
            8080,
            &[
                ("slow-1", "10.1.0.50", READY),
                ("slow-2", "10.1.0.51", GOING),
                ("slow-3", "10.1.0.52", NOT_READY),
            ],
        ),
        service(
            "early",
            &format!("publishNotReadyAddresses: true, selector: {{app: slow}}, {PORTS}"),
        ),
        slice("early", "a", 8080, &[("slow-2", "10.1.0.51", PUBLISHED)]),
        selected("mixed", ""),
        slice("mixed", "a", 8080, &[("mixed-1", "10.1.0.60", READY)]),
        slice("mixed", "b", 9090, &[("mixed-2", "10.1.0.61", READY)]),
    ];
    api.kubectl().apply(&objects.concat())?;
    Ok(())
}

#[test]
fn every_kind_of_service_is_reached_as_istio_reaches_it() -> anyhow::Result<()> {
    let api = Api::start()?;
    fill(&api)?;
    let mut mesh = Mesh::open(&api, "")?;
    assert!(mesh.diagnostics.is_empty(), "{:?}", mesh.diagnostics);

    let slow =
        "slow:80, slow-1@10.1.0.50:8080 mtls in r1/a, slow-3@10.1.0.52:8080 mtls in r1/a unhealthy";
    let headless = "db:80, as dialled mtls";
    for (authority, expected) in [
        // The names that a StatefulSet's pods have, in full and in short.
        ("db-0.db.shop.svc.cluster.local", headless),
        ("db-1.db.shop.svc:80", headless),
        ("db-0.db.shop", headless),
        ("db-1.db", headless),
        ("db", headless),
        ("db-0", "passthrough"),
        // ExternalName: another name of what the mesh knows, else nothing to it.
        ("alias", slow),
        ("alias.shop.svc.cluster.local", slow),
        ("far", "passthrough"),
        // On the node's network one pod took the place of another; neither has a sidecar.
        ("host", "host:80, host-2@10.0.0.7:8080 in r1/a"),
        // Both families: one endpoint each, whose own order of addresses counts.
        (
            "both",
            "both:80, both-1@fd00:1::1+10.1.0.40:8080 mtls in r1/a, \
             both-2@10.1.0.41+fd00:1::2:8080 mtls in r1/a",
        ),
        ("slow", slow),
        ("early", "early:80, slow-2@10.1.0.51:8080 mtls in r1/a"),
        (
            "mixed",
            "mixed:80, mixed-1@10.1.0.60:8080 mtls in r1/a, mixed-2@10.1.0.61:9090 mtls in r1/a",
        ),
    ] {
        assert_eq!(mesh.ask("client-1", authority, 80)?, expected, "{authority}");
    }

    // By address: pods of headless services are known, what belongs to no service is not.
    let virtual_addresses = mesh.addresses("client-1", "both.shop.svc.cluster.local")?;
    assert_eq!(virtual_addresses.len(), 2, "{virtual_addresses:?}");
    let both = "both:90, both-1@fd00:1::1+10.1.0.40:8081 mtls in r1/a, \
                both-2@10.1.0.41+fd00:1::2:8081 mtls in r1/a";
    let (one, other) = (&virtual_addresses[0], &virtual_addresses[1]);
    let bracketed = |address: &str| match address.contains(':') {
        true => format!("[{address}]:90"),
        false => format!("{address}:90"),
    };
    for (address, expected) in [
        (bracketed(one).as_str(), both),
        (bracketed(other).as_str(), both),
        ("10.1.0.10:90", "db:90, as dialled mtls"),
        ("10.1.0.30:8080", "passthrough"),
    ] {
        assert_eq!(mesh.dial("client-1", address)?, expected, "{address}");
    }

    // Their own side holds all the same.
    for (pod, port, expected) in
        [("loner-1", 8080, false), ("db-0", 8080, true), ("mixed-2", 9090, true)]
    {
        assert_eq!(mesh.plain_text_at(pod, port)?, expected, "{pod}:{port}");
    }
    assert_eq!(mesh.client("client-1")?.locality, "r1/a");
    Ok(())
}

#[test]
fn services_follow_what_becomes_of_their_pods_and_nodes() -> anyhow::Result<()> {
    let api = Api::start()?;
    fill(&api)?;
    let mut mesh = Mesh::open(&api, "")?;
    let ask = |authority: &'static str| move |mesh: &mut Mesh| mesh.ask("client-1", authority, 80);

    // All of them end: nobody is left, as nobody would be for Istio.
    let last = slice("slow", "a", 8080, &[("slow-1", "10.1.0.50", GOING)]);
    api.kubectl().apply(&last)?;
    mesh.until(&"slow:80".to_owned(), ask("slow"))?;
    mesh.until(&"slow:80".to_owned(), ask("alias"))?;

    // A node moves, in words.
    let zone = ["label", "node", "n1", "topology.kubernetes.io/zone=b", "--overwrite"];
    api.kubectl().run(zone)?;
    mesh.until(&"host:80, host-2@10.0.0.7:8080 in r1/b".to_owned(), ask("host"))?;

    // A member of the set comes back elsewhere.
    let moved = slice("db", "a", 8080, &[("db-0", "10.1.0.12", READY)]);
    api.kubectl().run(["delete", "pod", "db-0", "-n", "shop", "--force", "--grace-period=0"])?;
    Pod { spec: "hostname: db-0, subdomain: db,", ..pod("db-0", &["10.1.0.12"]) }.make(&api)?;
    api.kubectl().apply(&moved)?;
    let dial = |address: &'static str| move |mesh: &mut Mesh| mesh.dial("client-1", address);
    mesh.until(&"db:90, as dialled mtls".to_owned(), dial("10.1.0.12:90"))?;
    mesh.until(&"passthrough".to_owned(), dial("10.1.0.10:90"))?;

    // What is not honoured is said, once for the service that asks for it.
    let patch = r#"{"spec":{"trafficDistribution":"PreferClose","internalTrafficPolicy":"Local"}}"#;
    api.kubectl().run(["patch", "service", "mixed", "-n", "shop", "-p", patch])?;
    let said = |mesh: &mut Mesh| {
        let warnings =
            mesh.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Warning);
        let mut fields: Vec<String> = warnings.map(|diagnostic| diagnostic.field.clone()).collect();
        fields.sort();
        Ok(fields)
    };
    let expected =
        ["spec.internalTrafficPolicy", "spec.trafficDistribution"].map(str::to_owned).to_vec();
    mesh.until(&expected, said)
}

#[test]
fn objects_of_another_revision_are_left_alone_while_it_runs() -> anyhow::Result<()> {
    let api = Api::start()?;
    fill(&api)?;
    let strict = |mesh: &mut Mesh| Ok(!mesh.plain_text_at("loner-1", 8080)?);
    let mut meshes =
        [Mesh::open(&api, "canary")?, Mesh::open(&api, "stable")?, Mesh::open(&api, "")?];
    // One without a revision sees all, as Istio's does.
    for (label, expected) in [
        ("istio.io/rev=canary", [true, false, true]),
        ("istio.io/rev=other", [false, false, true]),
        ("istio.io/rev=stable", [false, true, true]),
        ("istio.io/rev-", [true, true, true]),
    ] {
        let object = ["label", "peerauthentication/strict", "-n", "shop", "--overwrite", label];
        api.kubectl().run(object)?;
        for (mesh, expected) in meshes.iter_mut().zip(expected) {
            mesh.until(&expected, strict).context(label)?;
        }
    }
    Ok(())
}
