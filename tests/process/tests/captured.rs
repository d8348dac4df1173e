//! Pods whose traffic is captured: two network namespaces with the real rules, an application and a
//! proxy each, started with nothing but the variables and files of an injected pod, and the control
//! plane on a bridge between them. The same through the native proxy and through stock Envoy.
//!
//! Network namespaces need root. Without it these tests say so and end.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use lateen_testkit::mesh::binary;
use lateen_testkit::program::{Program, run};
use lateen_testkit::wait;

const LIMIT: Duration = Duration::from_secs(30);
/// The node, where the control plane is, and whence the kubelet and strangers ask. Addresses are written
/// as those of IPv4; [`Kind::address`] knows their twins.
const NODE: &str = "10.9.0.254";
/// Users of an application and of a proxy.
const APPLICATION: &str = "1000";
const PROXY: &str = "1337";

const MESH: &str = include_str!("../meshes/captured.yaml");

/// A network namespace, for as long as its only process runs.
struct Namespace(Program);

impl Namespace {
    fn make(name: &str, folder: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new("unshare");
        command.args(["--net", "sleep", "600"]);
        let holder = Program::start(name, command, folder)?;
        let of = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/net"));
        wait::until("the network namespace is made", LIMIT, || {
            let made = of(&holder.id().to_string())? != of("self")?;
            anyhow::ensure!(made, "not yet: {}", holder.output());
            Ok(())
        })?;
        Ok(Self(holder))
    }

    /// A command that runs inside.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.arg("--net").args(["--target", &self.0.id().to_string(), "--"]).args(words);
        command
    }

    /// The same as a user, who is in the group of that number.
    fn command_as(&self, user: &str, group: &str, words: &[&str]) -> Command {
        let become_it = ["setpriv", "--reuid", user, "--regid", group, "--clear-groups"];
        self.command(&[&become_it, words].concat())
    }

    fn system(&self, line: &str) -> anyhow::Result<()> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let output = self.command(&words).output()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        anyhow::ensure!(output.status.success(), "{line}: {text}");
        Ok(())
    }

    /// What curl prints: the answer's body, then `<status> <error>`.
    fn curl(&self, user: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let curl = ["curl", "-s", "-m", "5", "-w", "%{http_code}"];
        let output = self.command_as(user, user, &[&curl, arguments].concat()).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// How pods are captured and served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kind {
    engine: &'static str,
    mode: &'static str,
    /// The proxy's user: in TPROXY mode the group tells whose traffic is the proxy's.
    user: &'static str,
    /// Whether all of it is IPv6.
    ipv6: bool,
}

const NATIVE: Kind = Kind { engine: "native", mode: "REDIRECT", user: PROXY, ipv6: false };
const ENVOY: Kind = Kind { engine: "envoy", ..NATIVE };
const TRANSPARENT: Kind = Kind { mode: "TPROXY", user: "0", ..NATIVE };

impl Kind {
    /// A text with addresses of this kind's family.
    fn addresses(self, text: &str) -> String {
        if !self.ipv6 {
            return text.to_owned();
        }
        let pairs = [
            ("10.9.0.", "fd00:9::"),
            ("10.96.0.", "fd00:96::"),
            ("127.0.0.6", "::6"),
            ("IPv4", "IPv6"),
            ("/24", "/64"),
        ];
        pairs.iter().fold(text.to_owned(), |text, (v4, v6)| text.replace(v4, v6))
    }

    /// An address with a port.
    fn socket(self, address: &str, port: u16) -> String {
        let address = self.addresses(address);
        if self.ipv6 { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
    }

    /// What the kernel would say of an address: ready at once.
    fn add(self, address: &str, device: &str) -> String {
        let undetected = if self.ipv6 { " nodad" } else { "" };
        format!("ip addr add {} dev {device}{undetected}", self.addresses(address))
    }
}

/// A node with two pods.
struct Bed {
    kind: Kind,
    /// In the order in which they end.
    pods: Vec<Pod>,
    _controller: Program,
    node: Namespace,
    folder: tempfile::TempDir,
}

struct Pod {
    proxy: Program,
    application: Program,
    network: Namespace,
}

impl Bed {
    /// `None` where the machine does not let us, and then it is said.
    fn make(kind: Kind) -> anyhow::Result<Option<Self>> {
        let (status, text) = run("unshare", ["--net", "true"])?;
        if !status.success() {
            eprintln!("not tested: network namespaces cannot be made here: {}", text.trim());
            return Ok(None);
        }
        let folder = tempfile::tempdir()?;
        // Users of pods read and run what is in it.
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755))?;
        let node = Namespace::make("node", folder.path())?;
        for line in ["ip link set lo up", "ip link add br0 type bridge", "ip link set br0 up"] {
            node.system(line)?;
        }
        node.system(&kind.add("10.9.0.254/24", "br0"))?;
        let mut networks = Vec::new();
        for (name, address) in [("client", "10.9.0.1"), ("server", "10.9.0.2")] {
            networks.push(network(kind, &node, name, address, folder.path())?);
        }
        let controller = controller(kind, &node, folder.path())?;
        let mut bed = Self { kind, pods: Vec::new(), _controller: controller, node, folder };
        for (network, (name, address)) in
            networks.into_iter().zip([("client", "10.9.0.1"), ("server", "10.9.0.2")])
        {
            let pod = bed.pod(network, name, address)?;
            bed.pods.push(pod);
        }
        for pod in &mut bed.pods {
            pod.await_ready()?;
        }
        Ok(Some(bed))
    }

    /// What injection makes of a pod: its init container's rules, its files, its variables.
    fn pod(&self, network: Namespace, name: &str, address: &str) -> anyhow::Result<Pod> {
        let kind = self.kind;
        let program = self.open_copy("lateen", &binary())?;
        let program = program.as_str();
        let flags = "-p 15001 -z 15006 -u 1337 -i * -x  -b * -d 15090,15021,15020";
        let mut capture = vec![program, "capture", "apply", "-m", kind.mode];
        capture.extend(flags.split(' '));
        let output = network.command(&capture).output()?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

        // The rules are in place, seen from a container without privileges.
        capture[2] = "validate";
        let output = network.command_as(PROXY, PROXY, &capture).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        anyhow::ensure!(output.status.success() && text.starts_with("captured"), "{text}");

        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/pod_application.py");
        let script = self.open_copy("application.py", &script)?;
        let any = if kind.ipv6 { "::" } else { "0.0.0.0" };
        let application =
            network.command_as(APPLICATION, APPLICATION, &["/usr/bin/python3", &script, any]);
        let application =
            Program::start(&format!("application-{name}"), application, self.folder.path())?;
        wait::until("the application listens", LIMIT, || {
            anyhow::ensure!(application.output().contains("ready"), "{}", application.output());
            Ok(())
        })?;
        let mut proxy = network.command_as(kind.user, PROXY, &[program, "proxy", "sidecar"]);
        let files = self.files(name)?;
        proxy
            .env("POD_NAME", name)
            .env("POD_NAMESPACE", "shop")
            .env("INSTANCE_IP", kind.addresses(address))
            .env(
                "PROXY_CONFIG",
                format!(r#"{{"discoveryAddress":"{}"}}"#, kind.socket(NODE, 15012)),
            )
            .env("ISTIO_META_INTERCEPTION_MODE", kind.mode)
            .env("LATEEN_ENGINE", kind.engine)
            .env("LATEEN_TOKEN", files.join("token"))
            .env("LATEEN_ROOT_CERT", files.join("root-cert.pem"))
            .env("TMPDIR", &files)
            .env(
                "ISTIO_KUBE_APP_PROBERS",
                r#"{"/app-health/app/livez":{"httpGet":{"path":"/live","port":8080}}}"#,
            )
            .env("ISTIO_PROMETHEUS_ANNOTATIONS", r#"{"path":"/own-metrics","port":"8080"}"#);
        if kind.engine == "envoy" {
            let envoy = std::env::var_os("LATEEN_ENVOY").context("LATEEN_ENVOY is not set")?;
            proxy.env("LATEEN_ENVOY", self.open_copy("envoy", Path::new(&envoy))?);
        }
        let proxy = Program::start(&format!("proxy-{name}"), proxy, self.folder.path())?;
        Ok(Pod { proxy, application, network })
    }

    /// The token and the root, as the kubelet would put them into the pod.
    fn files(&self, name: &str) -> anyhow::Result<PathBuf> {
        let (state, files) = (self.folder.path().join("state"), self.folder.path().join(name));
        std::fs::create_dir(&files)?;
        std::fs::set_permissions(&files, PermissionsExt::from_mode(0o777))?;
        for (from, to) in [
            (state.join("root-cert.pem"), files.join("root-cert.pem")),
            (state.join("tokens/shop").join(name), files.join("token")),
        ] {
            std::fs::write(&to, std::fs::read(from)?)?;
        }
        Ok(files)
    }

    /// A copy of a file where every user may read and run it.
    fn open_copy(&self, name: &str, from: &Path) -> anyhow::Result<String> {
        let own = self.folder.path().join(name);
        if !own.exists() {
            // By another process: while one of ours is forked, it would have the file open for writing, and
            // what is written to cannot be run.
            let paths = [from.as_os_str(), own.as_os_str()];
            let mut install = Command::new("install");
            let output = install.args(["-m", "755"]).args(paths).output()?;
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            anyhow::ensure!(output.status.success(), "cannot copy {}: {text}", from.display());
        }
        Ok(own.to_str().context("a path")?.to_owned())
    }

    fn client(&self) -> &Pod {
        &self.pods[0]
    }

    fn server(&self) -> &Pod {
        &self.pods[1]
    }

    /// A request of the client's application to a service.
    fn ask(&self, address: &str, port: u16, host: &str) -> anyhow::Result<String> {
        let host = format!("host: {host}");
        let url = format!("http://{}/", self.kind.socket(address, port));
        self.client().network.curl(APPLICATION, &["-H", &host, &url])
    }
}

impl Pod {
    fn await_ready(&mut self) -> anyhow::Result<()> {
        let Self { proxy, network, .. } = self;
        wait::until("the proxy is ready", LIMIT, || {
            proxy.running()?;
            let ready = network.curl(PROXY, &["http://localhost:15021/healthz/ready"])?;
            anyhow::ensure!(ready == "LIVE\n200", "{ready}\n{}", proxy.output());
            Ok(())
        })
    }
}

/// A pod's network, on the node's bridge.
fn network(
    kind: Kind,
    node: &Namespace,
    name: &str,
    address: &str,
    folder: &Path,
) -> anyhow::Result<Namespace> {
    let network = Namespace::make(name, folder)?;
    let holder = node.0.id();
    network.system("ip link set lo up")?;
    if kind.ipv6 {
        network.system("ip addr del 127.0.0.1/8 dev lo")?;
    }
    network.system(&format!("ip link add eth0 type veth peer name {name} netns {holder}"))?;
    network.system(&kind.add(&format!("{address}/24"), "eth0"))?;
    network.system("ip link set eth0 up")?;
    network.system(&format!("ip route add default via {}", kind.addresses(NODE)))?;
    node.system(&format!("ip link set {name} master br0"))?;
    node.system(&format!("ip link set {name} up"))?;
    Ok(network)
}

fn controller(kind: Kind, node: &Namespace, folder: &Path) -> anyhow::Result<Program> {
    let (mesh, state) = (folder.join("mesh"), folder.join("state"));
    std::fs::create_dir(&mesh)?;
    std::fs::write(mesh.join("mesh.yaml"), kind.addresses(MESH))?;
    let program = binary();
    let listen = kind.socket(NODE, 15012);
    let mut command = node.command(&[program.to_str().context("a path")?, "controller"]);
    command.arg("--dir").arg(mesh).arg("--state").arg(&state);
    command.args(["--listen", &listen, "--addresses", "real"]);
    let controller = Program::start("controller", command, folder)?;
    wait::until("the control plane has tokens", LIMIT, || {
        let there = state.join("tokens/shop/server").exists();
        anyhow::ensure!(there, "{}", controller.output());
        Ok(())
    })?;
    Ok(controller)
}

const CLIENT: &str = "URI=spiffe://cluster.local/ns/shop/sa/client";

/// What holds however the pods are captured and served. `source`: from where the application sees
/// what another pod sent.
fn served(bed: &Bed, source: &str) -> anyhow::Result<()> {
    let kind = bed.kind;
    let source = kind.addresses(source);
    let passthrough = kind.addresses("127.0.0.6");
    let expected = format!("{source} ");
    let answer = bed.ask("10.96.0.20", 80, "server")?;
    anyhow::ensure!(answer.starts_with(&expected) && answer.contains(CLIENT), "{answer}");
    anyhow::ensure!(answer.ends_with("200"), "{answer}");

    // To oneself through one's service, and past the proxy to oneself.
    let answer = bed.ask("10.96.0.10", 80, "client")?;
    let own = answer.starts_with(&format!("{passthrough} ")) && answer.contains(CLIENT);
    anyhow::ensure!(own, "{answer}");
    let answer = bed.ask("10.9.0.1", 8080, "client")?;
    anyhow::ensure!(answer.starts_with(&format!("{} -", kind.addresses("10.9.0.1"))), "{answer}");

    // A server that speaks first, by TCP.
    let url = format!("telnet://{}", kind.socket("10.96.0.20", 90));
    let answer = bed.client().network.curl(APPLICATION, &[&url])?;
    anyhow::ensure!(answer.starts_with(&format!("hello {source}\n")), "{answer}");

    // A stranger with TLS and without a certificate: the application hears nothing of it.
    let server = kind.socket("10.9.0.2", 9090);
    let stranger = ["openssl", "s_client", "-connect", &server, "-alpn", "istio"];
    let output = bed.node.command(&stranger).output()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    anyhow::ensure!(text.contains("BEGIN CERTIFICATE"), "{text}");
    anyhow::ensure!(!text.contains("hello"), "{text}");

    // Strangers without mutual TLS, and whoever dials the proxy's own ports.
    for port in [8080, 9090, 15006, 15001] {
        let url = format!("http://{}/", kind.socket("10.9.0.2", port));
        let answer = bed.node.curl("0", &[&url])?;
        anyhow::ensure!(answer == "000", "{port}: {answer}");
    }
    // The kubelet, and Prometheus.
    let at = |port, path: &str| format!("http://{}{path}", kind.socket("10.9.0.2", port));
    let answer = bed.node.curl("0", &[&at(15020, "/app-health/app/livez")])?;
    let probed = answer.starts_with(&format!("{passthrough} -")) && answer.ends_with("200");
    anyhow::ensure!(probed, "{answer}");
    // What Envoy did is told to its agent a little later.
    wait::until("the metrics are there", LIMIT, || {
        let metrics = bed.node.curl("0", &[&at(15020, "/stats/prometheus")])?;
        for series in ["istio_requests_total{", "\nown_connections 1\n"] {
            anyhow::ensure!(metrics.contains(series), "{series} is missing: {metrics}");
        }
        Ok(())
    })?;
    let alone = bed.node.curl("0", &[&at(15090, "/stats/prometheus")])?;
    anyhow::ensure!(alone.ends_with("200") && !alone.contains("own_connections"), "{alone}");
    let refused = bed.node.curl("0", &["-X", "POST", &at(15020, "/quitquitquit")])?;
    anyhow::ensure!(refused.ends_with("404"), "{refused}");
    Ok(())
}

/// What the kubelet, Prometheus and the pod itself ask the proxy, on addresses of every family that there is.
fn own_ports(bed: &Bed) -> anyhow::Result<()> {
    let kind = bed.kind;
    let near: &[&str] = if kind.ipv6 { &["[::1]"] } else { &["127.0.0.1", "[::1]"] };
    let far = kind.addresses(if kind.ipv6 { "[10.9.0.2]" } else { "10.9.0.2" });
    let pages = ["15021/healthz/ready", "15020/healthz/ready", "15090/stats/prometheus"];
    for page in pages {
        let from_outside = bed.node.curl("0", &[&format!("http://{far}:{page}")])?;
        anyhow::ensure!(from_outside.ends_with("200"), "{far}:{page}: {from_outside}");
        for address in near {
            let from_inside =
                bed.server().network.curl(PROXY, &[&format!("http://{address}:{page}")])?;
            anyhow::ensure!(from_inside.ends_with("200"), "{address}:{page}: {from_inside}");
        }
    }
    let program = bed.open_copy("lateen-proxy", &binary().with_file_name("lateen-proxy"))?;
    let hook = [program.as_str(), "wait", "--timeout", "5s"];
    let output = bed.server().network.command_as(PROXY, PROXY, &hook).output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[test]
fn captured_pods_are_served_by_the_native_proxy() -> anyhow::Result<()> {
    let Some(mut bed) = Bed::make(NATIVE)? else { return Ok(()) };
    served(&bed, "127.0.0.6")?;
    own_ports(&bed)?;
    ends_gently(&mut bed)
}

#[test]
fn captured_pods_are_served_by_envoy() -> anyhow::Result<()> {
    let Some(mut bed) = Bed::make(ENVOY)? else { return Ok(()) };
    served(&bed, "127.0.0.6")?;
    own_ports(&bed)?;
    ends_gently(&mut bed)
}

#[test]
fn transparent_capture_keeps_the_clients_address() -> anyhow::Result<()> {
    let Some(bed) = Bed::make(TRANSPARENT)? else { return Ok(()) };
    served(&bed, "10.9.0.1")
}

#[test]
fn pods_with_ipv6_alone_are_served_by_the_native_proxy() -> anyhow::Result<()> {
    let Some(bed) = Bed::make(Kind { ipv6: true, ..NATIVE })? else { return Ok(()) };
    served(&bed, "127.0.0.6")?;
    own_ports(&bed)
}

#[test]
fn pods_with_ipv6_alone_are_served_by_envoy() -> anyhow::Result<()> {
    let Some(bed) = Bed::make(Kind { ipv6: true, ..ENVOY })? else { return Ok(()) };
    served(&bed, "127.0.0.6")?;
    own_ports(&bed)
}

#[test]
fn transparent_capture_keeps_the_clients_ipv6_address() -> anyhow::Result<()> {
    let Some(bed) = Bed::make(Kind { ipv6: true, ..TRANSPARENT })? else { return Ok(()) };
    served(&bed, "10.9.0.1")
}

/// A pod that ends: what is in progress comes to its end, what others still send is served for a while, and
/// then its proxy is gone.
fn ends_gently(bed: &mut Bed) -> anyhow::Result<()> {
    let url = format!("http://{}/slow", bed.kind.socket("10.96.0.20", 80));
    let slowly = ["curl", "-s", "-N", "-m", "20", "-w", "%{http_code}", "-H", "host: server", &url];
    let mut slow = bed.client().network.command_as(APPLICATION, APPLICATION, &slowly);
    let mut slow = slow.stdout(Stdio::piped()).spawn()?;
    let mut answer = slow.stdout.take().context("it is piped")?;
    let mut begun = [0; 6];
    answer.read_exact(&mut begun).context("the slow answer does not begin")?;

    bed.server().proxy.signal("TERM")?;
    let unready = "http://10.9.0.2:15021/healthz/ready";
    wait::until("the proxy drains", LIMIT, || {
        let answer = bed.node.curl("0", &[unready])?;
        anyhow::ensure!(answer.ends_with("503"), "{answer}");
        Ok(())
    })?;
    for _ in 0..5 {
        let answer = bed.ask("10.96.0.20", 80, "server")?;
        anyhow::ensure!(answer.ends_with("200"), "{answer}");
    }
    let mut rest = String::new();
    answer.read_to_string(&mut rest)?;
    slow.wait()?;
    anyhow::ensure!(rest == "ended 200", "what was in progress came to `{rest}`");
    let status = bed.pods[1].proxy.ended(LIMIT)?;
    anyhow::ensure!(status.success(), "{status}: {}", bed.server().proxy.output());
    bed.pods[1].application.running()
}
