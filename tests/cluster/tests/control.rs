//! The control plane on a real API server: whom it serves, what it writes, and who of several does.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use lateen_controller::{Cluster, Controller, Running, Settings};
use lateen_identity::{
    AuthoritySettings, CertificateAuthority, KeyAndCsr, PROTOCOL_VERSIONS, WorkloadCertificate,
    crypto_provider,
};
use lateen_testkit::cluster::{Api, Kubectl};
use lateen_testkit::wait;
use lateen_xds::ca::IstioCertificateRequest;
use lateen_xds::ca::istio_certificate_service_client::IstioCertificateServiceClient;
use lateen_xds::client::{
    Backoff, DeltaStream, Disconnected, Event, Response, Settings as StreamSettings, Target, Tls,
};
use lateen_xds::wire::Node;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::runtime::Runtime;
use tonic::{Code, Status};

const PATIENCE: Duration = Duration::from_secs(60);

/// A control plane in this process.
struct Plane {
    runtime: Runtime,
    running: Option<Running>,
    address: SocketAddr,
}

impl Plane {
    fn start(
        kubectl: &Kubectl,
        name: &str,
        adjust: impl FnOnce(&mut Settings),
    ) -> anyhow::Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let running = runtime.block_on(async {
            let cluster = Cluster::connect(Some(kubectl.kubeconfig()), name).await?;
            let free = SocketAddr::from(([127, 0, 0, 1], 0));
            let mut settings = Settings::in_cluster(cluster, free);
            settings.monitoring = free;
            adjust(&mut settings);
            anyhow::Ok(Controller::start(settings).await?)
        })?;
        let address = running.addresses().discovery;
        Ok(Self { runtime, running: Some(running), address })
    }

    /// Stops in order.
    fn stop(mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.shutdown());
        }
    }

    /// Ends as a process that is killed does: without a word.
    fn kill(mut self) {
        std::mem::forget(self.running.take());
        self.runtime.shutdown_background();
    }

    /// Who a token's holder is to this control plane.
    fn certificate(&self, root: &str, token: &str) -> Result<WorkloadCertificate, Status> {
        self.runtime.block_on(async {
            let key = KeyAndCsr::generate().expect("a key");
            let target = self.target(root, token);
            let channel = target.channel().await.expect("a connection");
            let mut request = tonic::Request::new(IstioCertificateRequest {
                csr: key.csr_pem().to_owned(),
                validity_duration: 600,
                metadata: None,
            });
            let authorization = target.authorization().expect("a header").expect("a token");
            request.metadata_mut().insert("authorization", authorization);
            let mut client = IstioCertificateServiceClient::new(channel);
            let chain = client.create_certificate(request).await?.into_inner().cert_chain;
            Ok(key.certificate(&chain, SystemTime::now()).expect("a usable certificate"))
        })
    }

    /// Opens a stream for a workload: none, or how it is refused.
    fn stream(&self, root: &str, token: &str, workload: &str) -> Option<Disconnected> {
        self.open(root, token, "sidecar", workload).err()
    }

    /// Names of what a proxy is sent first.
    fn first(&self, root: &str, token: &str, kind: &str, workload: &str) -> BTreeSet<String> {
        let answer = self.open(root, token, kind, workload).expect("it is served");
        answer.resources.iter().map(|resource| resource.name.to_string()).collect()
    }

    fn open(
        &self,
        root: &str,
        token: &str,
        kind: &str,
        workload: &str,
    ) -> Result<Response, Disconnected> {
        let (namespace, name) = workload.split_once('/').expect("namespace/name");
        let settings = StreamSettings {
            node: Node {
                id: format!("{kind}~10.0.0.1~{name}.{namespace}~{namespace}.svc.cluster.local"),
                user_agent_name: "test".to_owned(),
                metadata: Some(boasts()),
                ..Node::default()
            },
            type_url: "type.lateen.dev/lateen.mesh.v1.Resource".to_owned(),
            subscriptions: ["*".to_owned()].into_iter().collect(),
            known: Default::default(),
            backoff: Backoff::new(Duration::from_millis(20), Duration::from_millis(200), || 0.5),
            max_response: 64 << 20,
        };
        let target = self.target(root, token);
        self.runtime.block_on(async {
            let mut stream = DeltaStream::new(target, settings);
            loop {
                match tokio::time::timeout(PATIENCE, stream.next()).await.expect("an answer") {
                    Event::Connected => {}
                    Event::Response(response) => return Ok(response),
                    Event::Disconnected(refused) => return Err(refused),
                }
            }
        })
    }

    fn target(&self, root: &str, token: &str) -> Target {
        let (root, token) = (root.to_owned(), token.to_owned());
        let mut target = Target::new(self.address.to_string());
        target.token = Some(Arc::new(move || Ok(token.clone())));
        target.tls = Some(Arc::new(move || {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(root.as_bytes()) {
                let certificate = certificate.map_err(std::io::Error::other)?;
                roots.add(certificate).map_err(std::io::Error::other)?;
            }
            let config = ClientConfig::builder_with_provider(crypto_provider())
                .with_protocol_versions(PROTOCOL_VERSIONS)
                .map_err(std::io::Error::other)?
                .with_root_certificates(roots)
                .with_no_client_auth();
            let server_name = ServerName::try_from("istiod.istio-system.svc").expect("a name");
            Ok(Tls { config: Arc::new(config), server_name })
        }));
        target
    }
}

/// What a caller says of itself and is not: who it is stands in the record of its pod.
fn boasts() -> Struct {
    let text = |text: &str| Value { kind: Some(Kind::StringValue(text.to_owned())) };
    let labels = Struct { fields: [("app".to_owned(), text("other"))].into() };
    let labels = Value { kind: Some(Kind::StructValue(labels)) };
    let claims = [
        ("LABELS", labels),
        ("NAMESPACE", text("istio-system")),
        ("SERVICE_ACCOUNT", text("istiod")),
        ("INSTANCE_IPS", text("10.9.9.9")),
        ("NETWORK", text("elsewhere")),
    ];
    Struct { fields: claims.map(|(name, value)| (name.to_owned(), value)).into() }
}

/// The root that pods of a namespace mount.
fn root_of(api: &Api, namespace: &str) -> anyhow::Result<String> {
    wait::until(&format!("the root in {namespace}"), PATIENCE, || {
        let map =
            api.kubectl().json(["get", "configmap", "istio-ca-root-cert", "-n", namespace])?;
        Ok(map["data"]["root-cert.pem"].as_str().context("no root in it")?.to_owned())
    })
}

fn pod(name: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: shop, labels: {{app: web}}}}, \
         spec: {{serviceAccountName: web, containers: [{{name: app, image: nginx}}]}}}}\n---\n"
    )
}

/// A token such as the kubelet mounts.
fn token(api: &Api, pod: Option<&str>, audience: &str) -> anyhow::Result<String> {
    let bound: Vec<&str> = match pod {
        Some(pod) => vec!["--bound-object-kind", "Pod", "--bound-object-name", pod],
        None => Vec::new(),
    };
    let create = ["create", "token", "web", "-n", "shop", "--audience", audience];
    Ok(api.kubectl().run(create.into_iter().chain(bound))?.trim().to_owned())
}

#[test]
fn a_workload_is_who_its_token_says_for_as_long_as_its_pod_is_there() -> anyhow::Result<()> {
    let api = Api::start()?;
    api.namespace("istio-system")?;
    api.namespace("shop")?;
    api.kubectl().apply(&format!(
        "{{apiVersion: v1, kind: ServiceAccount, metadata: {{name: web, namespace: shop}}}}\n---\n{}{}",
        pod("web-1"),
        pod("web-2")
    ))?;
    let plane = Plane::start(api.kubectl(), "istiod-a", |_| {})?;
    let root = root_of(&api, "shop")?;

    let bound = token(&api, Some("web-1"), "istio-ca")?;
    let issued = plane.certificate(&root, &bound)?;
    assert_eq!(issued.identity().as_str(), "spiffe://cluster.local/ns/shop/sa/web");
    let unbound = token(&api, None, "istio-ca")?;
    assert_eq!(plane.certificate(&root, &unbound)?.identity(), issued.identity());

    let other = token(&api, Some("web-1"), "https://kubernetes.default.svc.cluster.local")?;
    for bad in [other.as_str(), "nonsense"] {
        let refused = plane.certificate(&root, bad).expect_err("it is not for us");
        assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
    }

    // The stream is that of the pod that the token is bound to.
    assert!(plane.stream(&root, &bound, "shop/web-1").is_none());
    let refused = plane.stream(&root, &bound, "shop/web-2").context("another pod's")?;
    assert_eq!(refused.code, Some(Code::PermissionDenied), "{refused:?}");
    let refused = plane.stream(&root, &bound, "istio-system/web-1").context("elsewhere")?;
    assert_eq!(refused.code, Some(Code::PermissionDenied), "{refused:?}");
    assert!(plane.stream(&root, &unbound, "shop/web-2").is_none());
    let refused = plane.stream(&root, &unbound, "shop/web-3").context("no such pod")?;
    assert_eq!(refused.code, Some(Code::NotFound), "{refused:?}");

    let delete = ["delete", "pod", "web-1", "-n", "shop", "--force", "--grace-period=0"];
    api.kubectl().run(delete)?;
    wait::until("the token dies with its pod", PATIENCE, || {
        match plane.certificate(&root, &bound) {
            Err(status) if status.code() == Code::Unauthenticated => Ok(()),
            other => anyhow::bail!("{other:?}"),
        }
    })?;
    plane.stop();
    Ok(())
}

#[test]
fn several_control_planes_share_a_root_and_one_of_them_writes() -> anyhow::Result<()> {
    let api = Api::start()?;
    api.namespace("istio-system")?;
    api.namespace("shop")?;
    let account = "{apiVersion: v1, kind: ServiceAccount, metadata: {name: web, namespace: shop}}";
    api.kubectl().apply(account)?;
    let (a, b) = std::thread::scope(|scope| {
        let a = scope.spawn(|| Plane::start(api.kubectl(), "istiod-a", |_| {}));
        let b = scope.spawn(|| Plane::start(api.kubectl(), "istiod-b", |_| {}));
        (a.join().expect("no panic"), b.join().expect("no panic"))
    });
    let (a, b) = (a?, b?);
    let root = root_of(&api, "shop")?;
    let secret = api.kubectl().json(["get", "secret", "istio-ca-secret", "-n", "istio-system"])?;
    assert_eq!(secret["type"], "istio.io/ca-root");
    let holder = || -> anyhow::Result<String> {
        let lease = api.kubectl().json(["get", "lease", "lateen-leader", "-n", "istio-system"])?;
        Ok(lease["spec"]["holderIdentity"].as_str().context("no holder")?.to_owned())
    };
    let bearer = token(&api, None, "istio-ca")?;
    for plane in [&a, &b] {
        plane.certificate(&root, &bearer)?;
    }
    let ignored = ["get", "configmap", "istio-ca-root-cert", "-n", "kube-public"];
    assert!(api.kubectl().run(ignored).is_err());

    // What is ours and was changed is put right again; what is somebody else's stays.
    let broken = r#"{"data":{"root-cert.pem":"broken"}}"#;
    let patch = ["patch", "configmap", "istio-ca-root-cert", "-n", "shop", "-p", broken];
    api.kubectl().run(patch)?;
    wait::until("the root is back", PATIENCE, || {
        anyhow::ensure!(root_of(&api, "shop")? == root);
        Ok(())
    })?;

    // The leader stops: the other one goes on at once.
    let (leader, other, next) =
        if holder()? == "istiod-a" { (a, b, "istiod-b") } else { (b, a, "istiod-a") };
    leader.stop();
    api.namespace("late")?;
    let late = root_of(&api, "late")?;
    assert_eq!(late, root);
    assert_eq!(holder()?, next);

    // It is killed: a third one takes over when the lease has run out, with the same root.
    other.kill();
    let third = Plane::start(api.kubectl(), "istiod-c", |_| {})?;
    third.certificate(&root, &bearer)?;
    api.namespace("later")?;
    assert_eq!(root_of(&api, "later")?, root);
    assert_eq!(holder()?, "istiod-c");
    third.stop();
    Ok(())
}

#[test]
fn what_istio_wrote_is_taken_and_never_written() -> anyhow::Result<()> {
    let api = Api::start()?;
    api.namespace("istio-system")?;
    api.namespace("shop")?;
    let account = "{apiVersion: v1, kind: ServiceAccount, metadata: {name: web, namespace: shop}}";
    api.kubectl().apply(account)?;
    // A first mesh makes a root; a second one finds it as an operator's `cacerts`.
    let first = Plane::start(api.kubectl(), "first", |_| {})?;
    let root = root_of(&api, "shop")?;
    first.stop();
    let own = api.kubectl().json(["get", "secret", "istio-ca-secret", "-n", "istio-system"])?;
    let (certificate, key) = (&own["data"]["ca-cert.pem"], &own["data"]["ca-key.pem"]);
    api.kubectl().apply(&format!(
        "{{apiVersion: v1, kind: Secret, metadata: {{name: cacerts, namespace: istio-system}}, data: \
         {{ca-cert.pem: {certificate}, ca-key.pem: {key}, root-cert.pem: {certificate}, cert-chain.pem: ''}}}}"
    ))?;
    api.kubectl().run(["delete", "secret", "istio-ca-secret", "-n", "istio-system"])?;
    for (namespace, root) in [("same", root.as_str()), ("foreign", "another mesh's")] {
        api.namespace(namespace)?;
        let map = serde_json::json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": "istio-ca-root-cert",
                "namespace": namespace,
                "labels": {"istio.io/config": "true"},
            },
            "data": {"root-cert.pem": root},
        });
        api.kubectl().apply(&map.to_string())?;
    }
    let version = |namespace: &str| -> anyhow::Result<String> {
        let map =
            api.kubectl().json(["get", "configmap", "istio-ca-root-cert", "-n", namespace])?;
        Ok(map["metadata"]["resourceVersion"].to_string())
    };
    let before = (version("same")?, version("foreign")?);
    let second = Plane::start(api.kubectl(), "second", |settings| {
        settings.root_check = Duration::from_secs(1);
    })?;
    let bearer = token(&api, None, "istio-ca")?;
    second.certificate(&root, &bearer)?;
    // Written after the others were looked at.
    api.namespace("late")?;
    assert_eq!(root_of(&api, "late")?, root);
    assert_eq!((version("same")?, version("foreign")?), before);
    let made = ["get", "secret", "istio-ca-secret", "-n", "istio-system"];
    assert!(api.kubectl().run(made).is_err(), "with `cacerts` no root is made");

    // An operator adds a root: it is trusted without a restart, and written where our own word stands.
    let other =
        CertificateAuthority::make_secret(&AuthoritySettings::new("other"), SystemTime::now())?;
    let other = String::from_utf8(other["ca-cert.pem"].clone())?;
    let both = serde_json::json!({"stringData": {"root-cert.pem": format!("{root}{other}")}});
    let patch = ["patch", "secret", "cacerts", "-n", "istio-system", "-p", &both.to_string()];
    api.kubectl().run(patch)?;
    let plugged_in = || -> anyhow::Result<String> {
        let secret = api.kubectl().json(["get", "secret", "cacerts", "-n", "istio-system"])?;
        Ok(secret["metadata"]["resourceVersion"].to_string())
    };
    let written = plugged_in()?;
    wait::until("both roots in the namespace", PATIENCE, || {
        anyhow::ensure!(root_of(&api, "late")? == format!("{root}{other}"));
        Ok(())
    })?;
    second.certificate(&root, &bearer)?;
    assert_eq!((version("same")?, version("foreign")?), before);
    assert_eq!(plugged_in()?, written, "what an operator wrote is not written");
    second.stop();
    Ok(())
}

#[test]
fn a_root_of_our_own_is_renewed_before_it_ends() -> anyhow::Result<()> {
    let api = Api::start()?;
    api.namespace("istio-system")?;
    api.namespace("shop")?;
    let account = "{apiVersion: v1, kind: ServiceAccount, metadata: {name: web, namespace: shop}}";
    api.kubectl().apply(account)?;
    let allowed = allow(&api)?;
    // It counts as valid from two minutes ago on, and is renewed in the last fifth of its life.
    let short = |settings: &mut Settings| {
        settings.root_lifetime = Duration::from_secs(60);
        settings.root_check = Duration::from_secs(1);
    };
    let planes =
        [Plane::start(&allowed, "istiod-a", short)?, Plane::start(&allowed, "istiod-b", short)?];
    let secret = || api.kubectl().json(["get", "secret", "istio-ca-secret", "-n", "istio-system"]);
    let key = secret()?["data"]["ca-key.pem"].clone();
    let first = root_of(&api, "shop")?;
    let bearer = token(&api, None, "istio-ca")?;

    wait::until("another root in the namespace", PATIENCE, || {
        let root = root_of(&api, "shop")?;
        anyhow::ensure!(root != first, "the first one");
        anyhow::ensure!(root.ends_with(&first), "the first one is trusted beside it:\n{root}");
        Ok(())
    })?;
    let renewed = secret()?;
    assert_eq!(renewed["data"]["ca-key.pem"], key, "who holds the first root is not cut off");
    let both = root_of(&api, "shop")?;
    let second = both.strip_suffix(&first).context("the first one is the last of them")?;
    for plane in &planes {
        for root in [first.as_str(), second, both.as_str()] {
            let certificate = plane.certificate(root, &bearer)?;
            assert_eq!(certificate.identity().as_str(), "spiffe://cluster.local/ns/shop/sa/web");
        }
    }

    // What is not ours any more is left to whoever it belongs to.
    let unlabel = "app.kubernetes.io/managed-by-";
    api.kubectl().run(["label", "secret", "istio-ca-secret", "-n", "istio-system", unlabel])?;
    let left = secret()?["metadata"]["resourceVersion"].clone();
    let due = SystemTime::now() + Duration::from_secs(40);
    wait::until("the root is near its end again", PATIENCE, || {
        anyhow::ensure!(SystemTime::now() > due);
        Ok(())
    })?;
    assert_eq!(secret()?["metadata"]["resourceVersion"], left);
    planes.into_iter().for_each(Plane::stop);
    Ok(())
}

/// The chart's roles, as Helm renders them.
fn allow(api: &Api) -> anyhow::Result<Kubectl> {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/helm/lateen");
    let rendered = Command::new(api.programs().path("helm"))
        .args(["template", "lateen", "--namespace", "istio-system"])
        .args(["--show-only", "templates/account.yaml", "--show-only", "templates/roles.yaml"])
        .arg(&chart)
        .output()?;
    anyhow::ensure!(rendered.status.success(), "{}", String::from_utf8_lossy(&rendered.stderr));
    api.kubectl().apply(&String::from_utf8(rendered.stdout)?)?;
    api.service_account("istio-system", "istiod")
}

#[test]
fn with_the_charts_roles_it_does_all_that_it_has_to() -> anyhow::Result<()> {
    let api = Api::start()?;
    api.namespace("istio-system")?;
    api.namespace("shop")?;
    let crds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/helm/lateen/crds");
    api.kubectl().run(["create", "--filename", &crds.to_string_lossy()])?;
    let gateway = "gateways.networking.istio.io";
    api.kubectl().run(["wait", "--for=condition=Established", &format!("crd/{gateway}")])?;
    let account = "{apiVersion: v1, kind: ServiceAccount, metadata: {name: web, namespace: shop}}";
    api.kubectl().apply(account)?;
    let plane = Plane::start(&allow(&api)?, "istiod-a", |_| {})?;
    let root = root_of(&api, "shop")?;
    plane.certificate(&root, &token(&api, None, "istio-ca")?)?;

    // An object says what became of it, as long as there is something to be said.
    let front = |protocol: &str| {
        format!(
            "{{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {{name: front, namespace: shop}}, \
             spec: {{servers: [{{port: {{number: 80, name: http, protocol: {protocol}}}, hosts: ['*']}}]}}}}"
        )
    };
    let condition = |wanted: &str| {
        wait::until(&format!("the condition {wanted}"), PATIENCE, || {
            let found = api.kubectl().json(["get", gateway, "front", "-n", "shop"])?;
            let conditions = found["status"]["conditions"].as_array();
            let ours = conditions.into_iter().flatten().find(|it| it["type"] == "Reconciled");
            let ours = ours.context("no condition")?;
            anyhow::ensure!(ours["status"] == wanted, "{ours}");
            anyhow::ensure!(
                found["status"]["observedGeneration"] == found["metadata"]["generation"],
                "{found}"
            );
            Ok(ours.clone())
        })
    };
    api.kubectl().apply(&front("HTTPS"))?;
    let bad = condition("False")?;
    assert_eq!(bad["reason"], "Invalid", "{bad}");
    assert!(bad["message"].as_str().context("a message")?.contains("tls"), "{bad}");

    // Whoever leads next takes back what holds no more.
    plane.stop();
    api.kubectl().apply(&front("HTTP"))?;
    let next = Plane::start(&allow(&api)?, "istiod-b", |_| {})?;
    let good = condition("True")?;
    assert_eq!(good["reason"], "Accepted", "{good}");
    next.stop();
    Ok(())
}

#[test]
fn a_gateway_has_the_secrets_that_its_account_may_list() -> anyhow::Result<()> {
    let api = Api::start()?;
    api.namespace("istio-system")?;
    api.namespace("shop")?;
    let crds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/helm/lateen/crds");
    api.kubectl().run(["create", "--filename", &crds.to_string_lossy()])?;
    let gateway = "crd/gateways.networking.istio.io";
    api.kubectl().run(["wait", "--for=condition=Established", gateway])?;
    let secret =
        CertificateAuthority::make_secret(&AuthoritySettings::new("x"), SystemTime::now())?;
    let text = |key: &str| String::from_utf8(secret[key].clone());
    let secret = serde_json::json!({"apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "front", "namespace": "shop"},
        "stringData": {"tls.crt": text("ca-cert.pem")?, "tls.key": text("ca-key.pem")?}});
    api.kubectl().apply(&secret.to_string())?;
    api.kubectl().apply(&format!(
        "{{apiVersion: v1, kind: ServiceAccount, metadata: {{name: web, namespace: shop}}}}\n---\n{}",
        pod("web-1")
    ))?;
    api.kubectl().apply(
        "{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: front, namespace: shop}, \
         spec: {selector: {app: web}, servers: [{port: {number: 443, name: https, protocol: HTTPS}, \
         hosts: ['*'], tls: {mode: SIMPLE, credentialName: front}}]}}",
    )?;
    let allowed = allow(&api)?;
    let bearer = || token(&api, Some("web-1"), "istio-ca");
    let names = |plane: &Plane, kind: &str| -> anyhow::Result<BTreeSet<String>> {
        let root = root_of(&api, "shop")?;
        Ok(plane.first(&root, &bearer()?, kind, "shop/web-1"))
    };

    // Whoever the Gateway selects is one; its account may read nothing.
    let plane = Plane::start(&allowed, "istiod-a", |_| {})?;
    for kind in ["router", "sidecar"] {
        let found = names(&plane, kind)?;
        assert!(found.contains("gateway/443"), "{kind}: {found:?}");
        assert!(!found.contains("secret/shop/front"), "{kind}: {found:?}");
    }
    plane.stop();

    let role = ["create", "role", "sds", "-n", "shop", "--verb", "list", "--resource", "secrets"];
    api.kubectl().run(role)?;
    let bind = ["create", "rolebinding", "sds", "-n", "shop", "--role", "sds"];
    api.kubectl().run(bind.into_iter().chain(["--serviceaccount", "shop:web"]))?;
    let plane = Plane::start(&allowed, "istiod-b", |_| {})?;
    wait::until("the secret", PATIENCE, || {
        let found = names(&plane, "router")?;
        anyhow::ensure!(found.contains("secret/shop/front"), "{found:?}");
        Ok(())
    })?;
    plane.stop();
    Ok(())
}
