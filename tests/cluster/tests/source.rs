//! What the source makes of a real API server, in good times and in bad ones.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use lateen_api::{Object, Severity, Spec};
use lateen_controller::Cluster;
use lateen_sources::kubernetes::Settings;
use lateen_sources::{Batch, Change, KubernetesSource};
use lateen_testkit::cluster::Api;
use lateen_testkit::wait;
use tokio::runtime::Runtime;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

/// For how long nothing may happen before it counts as nothing: a watch tells within milliseconds.
const QUIET: Duration = Duration::from_secs(2);

/// What a receiver of the batches knows. Between calls the runtime rests, and the source with it.
struct View {
    runtime: Runtime,
    source: KubernetesSource,
    objects: BTreeMap<String, Arc<Object>>,
    /// How often each object was told of.
    told: BTreeMap<String, usize>,
    last: Batch,
}

impl View {
    /// Follows a cluster; the first batch is there.
    fn open(api: &Api, adjust: impl FnOnce(&mut Settings)) -> anyhow::Result<Self> {
        let mut view = Self::begin(api, adjust)?;
        view.next(PATIENCE)?;
        anyhow::ensure!(view.last.initial, "the first batch says that it is");
        Ok(view)
    }

    /// Follows a cluster; nothing is there yet.
    fn begin(api: &Api, adjust: impl FnOnce(&mut Settings)) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut settings = Settings::new("istio-system", "");
        // Lists of more than a few objects come in pages.
        settings.page = 3;
        adjust(&mut settings);
        let cluster = runtime.block_on(Cluster::connect(Some(api.kubeconfig()), "test"))?;
        let source = runtime.block_on(async { KubernetesSource::open(cluster.client, settings) });
        Ok(Self {
            runtime,
            source,
            objects: BTreeMap::new(),
            told: BTreeMap::new(),
            last: Batch::default(),
        })
    }

    fn next(&mut self, limit: Duration) -> anyhow::Result<()> {
        let batch = self.runtime.block_on(async { timeout(limit, self.source.next()).await });
        let batch = batch.context("no batch in time")?.context("the source ended")?;
        let removals =
            batch.changes.iter().take_while(|it| matches!(it, Change::Remove(_))).count();
        for (at, change) in batch.changes.iter().enumerate() {
            let name = change.reference().to_string();
            *self.told.entry(name.clone()).or_default() += 1;
            match change {
                Change::Upsert(object) => {
                    self.objects.insert(name, object.clone());
                }
                Change::Remove(_) => {
                    assert!(at < removals, "removals come first");
                    self.objects.remove(&name).with_context(|| format!("{name} was not there"))?;
                }
            }
        }
        self.last = batch;
        Ok(())
    }

    /// Takes batches until something holds.
    fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) -> anyhow::Result<()> {
        let begun = std::time::Instant::now();
        while !holds(self) {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            self.next(left).with_context(|| format!("{what}; there are {:?}", self.names()))?;
        }
        Ok(())
    }

    /// Takes all batches until there are none for a while.
    fn settle(&mut self) {
        while self.next(QUIET).is_ok() {}
    }

    fn has(&self, name: &str) -> bool {
        self.objects.contains_key(name)
    }

    fn names(&self) -> Vec<&str> {
        self.objects.keys().map(String::as_str).collect()
    }

    fn label(&self, name: &str, label: &str) -> Option<&str> {
        self.objects.get(name)?.meta.labels.get(label).map(String::as_str)
    }
}

fn pod(name: &str, version: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop, labels: {{app: web, version: '{version}'}}}}
spec:
  serviceAccountName: default
  containers: [{{name: app, image: nginx, ports: [{{name: http, containerPort: 80}}]}}]
---"
    )
}

fn crd(kinds: &[&str]) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/helm/lateen/crds");
    let read = |kind: &&str| {
        std::fs::read_to_string(folder.join(format!("{kind}.yaml"))).expect("a definition")
    };
    kinds.iter().map(read).collect::<Vec<_>>().join("\n---\n")
}

fn install(api: &Api, kinds: &[&str]) -> anyhow::Result<()> {
    api.kubectl().with_input(["create", "--filename", "-"], &crd(kinds))?;
    for kind in kinds {
        let name = format!("crd/{kind}");
        api.kubectl().run(["wait", "--for=condition=Established", "--timeout=60s", &name])?;
    }
    Ok(())
}

#[test]
fn the_first_batch_is_everything_and_then_come_changes() -> anyhow::Result<()> {
    let api = Api::start()?;
    api.namespace("shop")?;
    api.namespace("istio-system")?;
    install(&api, &["virtualservices.networking.istio.io"])?;
    let pods: String = (0..8).map(|number| pod(&format!("web-{number}"), "1")).collect();
    api.kubectl().apply(&pods)?;
    api.kubectl().apply(
        "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-a, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.1]}]
ports: [{name: http, port: 80}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: stray, namespace: shop}
addressType: IPv4
endpoints: []
---
apiVersion: v1
kind: Node
metadata: {name: n1, labels: {topology.kubernetes.io/region: r1}}
---
apiVersion: v1
kind: Secret
metadata: {name: gateway, namespace: shop}
stringData: {tls.crt: a, tls.key: b, password: c}
---
apiVersion: v1
kind: Secret
metadata: {name: password, namespace: shop}
stringData: {password: c}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: 'trustDomain: example.org'}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: shop}
data: {mesh: 'trustDomain: example.com'}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec: {hosts: [web], http: [{route: [{destination: {host: web}}]}]}
",
    )?;
    let mut view = View::open(&api, |_| {})?;
    let expected = [
        "ConfigMap istio-system/istio",
        "EndpointSlice shop/web-a",
        "Namespace shop",
        "Node n1",
        "Secret shop/gateway",
        "Service default/kubernetes",
        "Service shop/web",
        "VirtualService shop/web",
    ];
    let missing: Vec<_> = expected.iter().filter(|name| !view.has(name)).collect();
    assert!(missing.is_empty(), "{missing:?} are missing among {:?}", view.names());
    assert_eq!(view.names().iter().filter(|name| name.starts_with("Pod shop/")).count(), 8);
    for unwanted in ["ConfigMap shop/istio", "EndpointSlice shop/stray", "Secret shop/password"] {
        assert!(!view.has(unwanted), "{unwanted}");
    }
    assert!(view.last.diagnostics.is_empty(), "{:?}", view.last.diagnostics);
    let Spec::Secret(secret) = &view.objects["Secret shop/gateway"].spec else { panic!() };
    assert!(secret.bytes("password").is_none(), "only what a gateway needs is kept");
    let Spec::Pod(known) = &view.objects["Pod shop/web-0"].spec else { panic!() };
    let spec = known.spec.as_ref().context("a specification")?;
    assert_eq!(spec.containers[0].ports[0].container_port, 80);

    // A change, a new object, one that goes, one that changes without saying anything else.
    api.kubectl().apply(&pod("web-1", "2"))?;
    api.kubectl().apply(&pod("web-9", "1"))?;
    api.kubectl().run(["delete", "pod", "web-2", "-n", "shop", "--force", "--grace-period=0"])?;
    let status = r#"{"status":{"containerStatuses":[{"name":"app","ready":false,"restartCount":1,
        "image":"nginx","imageID":""}]}}"#;
    let patch = ["patch", "pod", "web-3", "-n", "shop", "--subresource=status", "-p", status];
    api.kubectl().run(patch)?;
    view.until("the changes", |view| {
        view.label("Pod shop/web-1", "version") == Some("2")
            && view.has("Pod shop/web-9")
            && !view.has("Pod shop/web-2")
    })?;
    view.settle();
    assert_eq!(view.told["Pod shop/web-3"], 1, "it says what it said");

    // A pod that has run its course.
    let over = r#"{"status":{"phase":"Succeeded"}}"#;
    api.kubectl().run([
        "patch",
        "pod",
        "web-4",
        "-n",
        "shop",
        "--subresource=status",
        "-p",
        over,
    ])?;
    view.until("a pod that is over", |view| !view.has("Pod shop/web-4"))?;
    Ok(())
}

#[test]
fn kinds_come_and_go_and_bad_objects_leave_the_good_version() -> anyhow::Result<()> {
    let api = Api::start()?;
    api.namespace("shop")?;
    let mut view = View::open(&api, |_| {})?;
    assert!(view.last.diagnostics.is_empty(), "no definition is no error");

    install(&api, &["gateways.networking.istio.io", "peerauthentications.security.istio.io"])?;
    let gateway = |port: &str| {
        format!(
            "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: front, namespace: shop}}
spec: {{servers: [{{port: {{number: 80, name: http, protocol: {port}}}, hosts: ['*']}}]}}
"
        )
    };
    api.kubectl().apply(&gateway("HTTP"))?;
    view.until("the gateway", |view| view.has("Gateway shop/front"))?;

    // What the schema lets through and the mesh cannot take: TLS without settings.
    api.kubectl().apply(&gateway("HTTPS"))?;
    view.until("the complaint", |view| {
        view.last.diagnostics.iter().any(|it| it.severity == Severity::Error)
    })?;
    let good = view.objects["Gateway shop/front"].clone();
    let Spec::Gateway(spec) = &good.spec else { panic!() };
    assert_eq!(spec.servers[0].port.as_ref().context("a port")?.protocol, "HTTP");
    api.kubectl().apply(&gateway("HTTP2"))?;
    view.until("the mended gateway", |view| view.last.diagnostics.is_empty())?;

    api.kubectl().run(["delete", "crd", "gateways.networking.istio.io"])?;
    view.until("the kind's end", |view| !view.has("Gateway shop/front"))?;
    view.settle();
    assert!(view.last.diagnostics.is_empty(), "{:?}", view.last.diagnostics);
    install(&api, &["gateways.networking.istio.io"])?;
    api.kubectl().apply(&gateway("HTTP"))?;
    view.until("the gateway again", |view| view.has("Gateway shop/front"))?;
    Ok(())
}

#[test]
fn selectors_decide_which_namespaces_belong_to_the_mesh() -> anyhow::Result<()> {
    let api = Api::start()?;
    api.namespace("shop")?;
    api.namespace("other")?;
    api.namespace("istio-system")?;
    let service = |namespace: &str| {
        format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: web, namespace: {namespace}}}, \
             spec: {{ports: [{{port: 80}}]}}}}"
        )
    };
    api.kubectl().apply(&service("shop"))?;
    api.kubectl().apply(&service("other"))?;
    let mut view = View::open(&api, |_| {})?;
    assert!(view.has("Service shop/web") && view.has("Service other/web"));

    api.kubectl().apply(
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: istio, namespace: istio-system}, \
         data: {mesh: 'discoverySelectors: [{matchLabels: {mesh: \"on\"}}]'}}",
    )?;
    view.until("nothing is selected", |view| {
        !view.has("Service shop/web") && !view.has("Service other/web")
    })?;
    assert!(view.has("Namespace shop"), "namespaces themselves are always seen");
    api.kubectl().run(["label", "namespace", "shop", "mesh=on"])?;
    view.until("one is selected", |view| view.has("Service shop/web"))?;
    assert!(!view.has("Service other/web"));
    api.kubectl().run(["delete", "configmap", "istio", "-n", "istio-system"])?;
    view.until("all are in again", |view| view.has("Service other/web"))?;
    Ok(())
}

#[test]
fn an_api_server_that_restarts_or_stalls_takes_nothing_away() -> anyhow::Result<()> {
    let mut api = Api::start()?;
    api.namespace("shop")?;
    let pods: String = (0..8).map(|number| pod(&format!("web-{number}"), "1")).collect();
    api.kubectl().apply(&pods)?;
    let mut view = View::open(&api, |settings| {
        settings.idle = Duration::from_secs(3);
        settings.answer = Duration::from_secs(3);
    })?;
    view.settle();
    let before: Vec<String> = view.objects.keys().cloned().collect();

    // Away: it is said, and nothing changes.
    api.kill_server()?;
    view.until("that it is away is said", |view| !view.last.diagnostics.is_empty())?;
    view.settle();
    assert_eq!(view.names(), before);
    api.start_server()?;
    view.until("that it is back is heard", |view| view.last.diagnostics.is_empty())?;
    assert_eq!(view.names(), before);
    api.kubectl().apply(&pod("web-0", "2"))?;
    view.until("a change is heard", |view| view.label("Pod shop/web-0", "version") == Some("2"))?;

    // Stalled: connections stay open, nobody answers.
    api.stall()?;
    view.until("that it stalls is said", |view| !view.last.diagnostics.is_empty())?;
    assert_eq!(view.names(), before);
    api.resume()?;
    api.kubectl().apply(&pod("web-0", "3"))?;
    view.until("a change is heard", |view| view.label("Pod shop/web-0", "version") == Some("3"))?;
    view.until("all is well", |view| view.last.diagnostics.is_empty())?;
    assert_eq!(view.names(), before);

    // etcd alone.
    api.stop_etcd()?;
    view.settle();
    assert_eq!(view.names(), before);
    api.start_etcd()?;
    wait::until("the API server finds etcd again", PATIENCE, || {
        api.kubectl().apply(&pod("web-0", "4"))
    })?;
    view.until("a change is heard", |view| view.label("Pod shop/web-0", "version") == Some("4"))?;
    assert_eq!(view.names(), before);
    Ok(())
}

#[test]
fn what_happened_while_nobody_listened_is_made_up_for() -> anyhow::Result<()> {
    let mut api = Api::start()?;
    api.namespace("shop")?;
    let pods: String = (0..8).map(|number| pod(&format!("web-{number}"), "1")).collect();
    api.kubectl().apply(&pods)?;
    let mut view = View::open(&api, |_| {})?;
    view.settle();
    let told = view.told.clone();

    // The source rests while the server is exchanged. A new one knows no history: from where the source
    // stopped it cannot go on (410 Gone), and has to list everything.
    api.stop_server()?;
    api.start_server()?;
    let delete = ["delete", "pod", "-n", "shop", "--force", "--grace-period=0"];
    api.kubectl().run(delete.into_iter().chain(["web-1", "web-7"]))?;
    api.kubectl().apply(&pod("web-2", "2"))?;
    api.kubectl().apply(&pod("web-8", "1"))?;
    api.stop_server()?;
    api.start_server()?;
    view.until("what happened", |view| {
        !view.has("Pod shop/web-1")
            && !view.has("Pod shop/web-7")
            && view.has("Pod shop/web-8")
            && view.label("Pod shop/web-2", "version") == Some("2")
    })?;
    view.settle();
    assert_eq!(view.told["Pod shop/web-3"], told["Pod shop/web-3"], "nothing happened to it");
    assert_eq!(view.names().iter().filter(|name| name.starts_with("Pod shop/")).count(), 7);
    Ok(())
}

#[test]
fn a_watch_goes_on_from_its_last_bookmark() -> anyhow::Result<()> {
    let mut api = Api::start()?;
    api.serve_logging()?;
    api.namespace("shop")?;
    api.kubectl().apply(&pod("web-0", "1"))?;
    // Towards the end of a watch the server says how far it is, also where nothing happened.
    let mut view = View::open(&api, |settings| settings.watch = Duration::from_secs(6))?;
    // What changes on a pod that has run its course is nothing to the watch, and yet moves it on.
    api.kubectl().apply(&pod("web-9", "1"))?;
    view.until("another pod", |view| view.has("Pod shop/web-9"))?;
    let over = r#"{"status":{"phase":"Succeeded"}}"#;
    let patch = ["patch", "pod", "web-9", "-n", "shop", "--subresource=status", "-p", over];
    api.kubectl().run(patch)?;
    view.until("its end", |view| !view.has("Pod shop/web-9"))?;
    api.kubectl().run(["label", "pod", "web-9", "-n", "shop", "seen=never"])?;
    let unseen = api.kubectl().json(["get", "pod", "web-9", "-n", "shop"])?;
    let unseen = unseen["metadata"]["resourceVersion"].as_str().context("a version")?;
    let unseen: u64 = unseen.parse()?;

    let pods = |verb: &str| -> Vec<String> {
        let asked = api.requests().into_iter();
        let asked = asked.filter(|(said, uri)| said == verb && uri.starts_with("/api/v1/pods?"));
        asked.map(|(_, uri)| uri).filter(|uri| uri.contains("Succeeded")).collect()
    };
    let from = |uri: &str| -> Option<u64> {
        uri.split_once("resourceVersion=")?.1.split('&').next()?.parse().ok()
    };
    wait::until("a watch from where the bookmark was", PATIENCE, || {
        view.settle();
        let watches: Vec<u64> = pods("WATCH").iter().filter_map(|uri| from(uri)).collect();
        anyhow::ensure!(watches.contains(&unseen), "{unseen} is not in {watches:?}");
        Ok(())
    })?;
    assert_eq!(pods("LIST").len(), 1, "nothing is listed again: {:?}", pods("LIST"));
    assert_eq!(view.told["Pod shop/web-0"], 1);
    Ok(())
}

/// How often pods were asked for in lists, and answered with a code.
fn lists(api: &Api, code: &str) -> anyhow::Result<u64> {
    let metrics = api.kubectl().run(["get", "--raw", "/metrics"])?;
    let wanted = [format!("code=\"{code}\""), r#"resource="pods""#.into(), r#"verb="LIST""#.into()];
    let lines = metrics.lines().filter(|line| line.starts_with("apiserver_request_total{"));
    let lines = lines.filter(|line| wanted.iter().all(|part| line.contains(part.as_str())));
    let counts =
        lines.map(|line| Ok(line.rsplit(' ').next().context("a number")?.parse::<u64>()?));
    counts.sum()
}

#[test]
fn when_etcd_forgets_nothing_is_lost() -> anyhow::Result<()> {
    let mut api = Api::start()?;
    api.serve_uncached()?;
    api.namespace("shop")?;
    let pods: String = (0..40).map(|number| pod(&format!("web-{number}"), "1")).collect();
    api.kubectl().apply(&pods)?;

    // In the middle of a list its beginning is forgotten: what comes next cannot be asked for.
    let mut view = View::begin(&api, |settings| settings.page = 1)?;
    let mut forgotten = 0;
    loop {
        let is_last = forgotten == 8;
        let limit = if is_last { PATIENCE } else { Duration::from_millis(30) };
        match view.next(limit) {
            Ok(()) => break,
            Err(error) if is_last => return Err(error),
            Err(_) => {}
        }
        forgotten += 1;
        api.kubectl().apply(&pod("web-0", &forgotten.to_string()))?;
        api.compact()?;
    }
    assert!(view.last.initial, "the first batch is everything");
    assert!(lists(&api, "410")? > 0, "no list was cut off");
    let last = forgotten.to_string();
    view.until("the last change", |view| view.label("Pod shop/web-0", "version") == Some(&last))?;
    view.settle();
    assert_eq!(view.names().iter().filter(|name| name.starts_with("Pod shop/")).count(), 40);
    let told = view.told.clone();

    // From where the watches stopped nothing can be told any more.
    api.kill_server()?;
    api.start_server()?;
    let delete = ["delete", "pod", "-n", "shop", "--force", "--grace-period=0"];
    api.kubectl().run(delete.into_iter().chain(["web-1", "web-7"]))?;
    api.kubectl().apply(&pod("web-2", "2"))?;
    api.kubectl().apply(&pod("web-40", "1"))?;
    api.compact()?;
    view.until("what happened", |view| {
        !view.has("Pod shop/web-1")
            && !view.has("Pod shop/web-7")
            && view.has("Pod shop/web-40")
            && view.label("Pod shop/web-2", "version") == Some("2")
    })?;
    view.settle();
    assert!(view.last.diagnostics.is_empty(), "{:?}", view.last.diagnostics);
    assert_eq!(view.told["Pod shop/web-3"], told["Pod shop/web-3"], "nothing happened to it");
    assert_eq!(view.names().iter().filter(|name| name.starts_with("Pod shop/")).count(), 39);
    // The server is another one, and counts from nothing.
    assert!(lists(&api, "200")? >= 39, "everything was listed anew");
    Ok(())
}
