//! etcd and the API server.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;

use crate::cluster::certificates::{Authority, Pair};
use crate::cluster::kubectl::Kubectl;
use crate::cluster::programs::Programs;
use crate::cluster::reaper::Reaper;
use crate::port;
use crate::program::Program;
use crate::wait;

/// How long a program may take until it serves. Some seconds are usual; much else may run beside it.
const PATIENCE: Duration = Duration::from_secs(90);

/// How long the API server may take to end: it lets requests finish.
const FAREWELL: Duration = Duration::from_secs(90);

/// Where a cluster stands: the address of its API server and the addresses of its services.
#[derive(Debug, Clone)]
pub struct Place {
    /// Where the API server listens; a free port of it is taken.
    pub address: IpAddr,
    /// The block of cluster IPs, as `10.96.0.0/20`.
    pub services: String,
    /// Its second address, which the service `kubernetes` has.
    pub kubernetes: IpAddr,
}

impl Default for Place {
    /// On loopback. Nobody reaches services there.
    fn default() -> Self {
        Self {
            address: Ipv4Addr::LOCALHOST.into(),
            services: "10.96.0.0/20,fd00:10:96::/112".to_owned(),
            kubernetes: Ipv4Addr::new(10, 96, 0, 1).into(),
        }
    }
}

/// An API server with its etcd, both of this test alone.
///
/// There is RBAC, service account tokens (TokenRequest, TokenReview) and every admission plugin that
/// is on by default, webhooks among them. Nobody makes default service accounts unless
/// [`Api::controller_manager`] runs; [`Api::namespace`] does it for one namespace.
pub struct Api {
    // Dropped in this order: the programs, then their folder.
    controller_manager: Option<Program>,
    server: Option<Program>,
    etcd: Option<Program>,
    authority: Authority,
    certificate: Pair,
    kubelet_client: Pair,
    kubectl: Kubectl,
    programs: Programs,
    place: Place,
    port: u16,
    etcd_port: u16,
    /// The API server keeps no copy of what etcd holds.
    is_uncached: bool,
    /// The API server logs each request.
    is_logging: bool,
    reaper: Reaper,
}

impl Api {
    /// Starts both on loopback.
    ///
    /// # Errors
    /// When a program is missing or does not serve in time; the message holds what it printed.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_at(Place::default())
    }

    /// Starts both at `place`.
    ///
    /// # Errors
    /// When a program is missing or does not serve in time; the message holds what it printed.
    pub fn start_at(place: Place) -> anyhow::Result<Self> {
        Self::start_with(Reaper::start()?, place)
    }

    /// Starts both at `place`, as part of a cluster whose folder there is already.
    pub(super) fn start_with(reaper: Reaper, place: Place) -> anyhow::Result<Self> {
        let programs = Programs::find()?;
        let folder = reaper.folder();
        let authority = Authority::make(folder)?;
        let certificate = authority.server("apiserver", &server_names(&place))?;
        let kubelet_client = authority.user("kubelet-client", "admin", Some("system:masters"))?;
        let port = port::free(place.address)?;
        let etcd_port = port::free(Ipv4Addr::LOCALHOST.into())?;
        std::fs::write(folder.join("tokens.csv"), tokens())?;
        for role in ROLES {
            let user = format!("    token: {}\n", role.token());
            let text = kubeconfig(&url(place.address, port), folder, &user);
            std::fs::write(folder.join(format!("{}.kubeconfig", role.name)), text)?;
        }
        let kubectl = Kubectl::new(&programs, &folder.join("admin.kubeconfig"));
        let mut api = Self {
            controller_manager: None,
            server: None,
            etcd: None,
            authority,
            certificate,
            kubelet_client,
            kubectl,
            programs,
            place,
            port,
            etcd_port,
            is_uncached: false,
            is_logging: false,
            reaper,
        };
        api.start_etcd()?;
        api.start_server()?;
        Ok(api)
    }

    /// The API server's URL.
    #[must_use]
    pub fn url(&self) -> String {
        url(self.place.address, self.port)
    }

    /// Where everything of this cluster lies: logs (`NAME.log`), certificates, kubeconfigs. It goes
    /// with the cluster.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.reaper.folder()
    }

    /// The administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        self.kubectl.kubeconfig()
    }

    /// `kubectl` as administrator.
    #[must_use]
    pub fn kubectl(&self) -> &Kubectl {
        &self.kubectl
    }

    /// The programs, for who starts more of them.
    #[must_use]
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// Starts a program that ends with this cluster, with its output in `NAME.log`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn program(&self, name: &str, command: Command) -> anyhow::Result<Program> {
        self.reaper.program(name, command)
    }

    /// The kubeconfig of one of the components, as `kubelet`.
    pub(super) fn component(&self, name: &str) -> PathBuf {
        self.folder().join(format!("{name}.kubeconfig"))
    }

    /// `kubectl` as the user `user`, member of `group`, who proves it by a certificate. It is allowed
    /// what RBAC says.
    ///
    /// # Errors
    /// When files cannot be written.
    pub fn user(&self, user: &str, group: Option<&str>) -> anyhow::Result<Kubectl> {
        let file = format!("user-{}", user.replace([':', '/'], "-"));
        let pair = self.authority.user(&file, user, group)?;
        let credentials = format!(
            "    client-certificate: {}\n    client-key: {}\n",
            pair.certificate.display(),
            pair.key.display()
        );
        self.kubectl_with(&file, &credentials)
    }

    /// `kubectl` as a service account, with a token of an hour.
    ///
    /// # Errors
    /// When there is no such account.
    pub fn service_account(&self, namespace: &str, name: &str) -> anyhow::Result<Kubectl> {
        let token = self.kubectl.run(["create", "token", "--namespace", namespace, name])?;
        let credentials = format!("    token: {}\n", token.trim());
        self.kubectl_with(&format!("account-{namespace}-{name}"), &credentials)
    }

    fn kubectl_with(&self, file: &str, credentials: &str) -> anyhow::Result<Kubectl> {
        let path = self.component(file);
        std::fs::write(&path, kubeconfig(&self.url(), self.folder(), credentials))?;
        Ok(Kubectl::new(&self.programs, &path))
    }

    /// Makes a namespace with its default service account.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub fn namespace(&self, name: &str) -> anyhow::Result<()> {
        self.kubectl.apply(&format!(
            "{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}\n---\n\
             {{apiVersion: v1, kind: ServiceAccount, metadata: {{name: default, namespace: {name}}}}}\n"
        ))?;
        Ok(())
    }

    /// Starts the controller manager: default service accounts, `kube-root-ca.crt`, endpoint slices,
    /// workloads, the end of namespaces, garbage collection.
    ///
    /// # Errors
    /// When it does not start.
    pub fn controller_manager(&mut self) -> anyhow::Result<()> {
        let folder = self.folder();
        let mut command = Command::new(self.programs.path("kube-controller-manager"));
        command.args([
            "--leader-elect=false",
            "--secure-port=0",
            "--use-service-account-credentials",
        ]);
        command.args(files(&[
            ("kubeconfig", &self.component("kube-controller-manager")),
            ("service-account-private-key-file", &folder.join("accounts.key")),
            ("root-ca-file", &folder.join("ca.crt")),
            ("cluster-signing-cert-file", &folder.join("ca.crt")),
            ("cluster-signing-key-file", &folder.join("ca.key")),
        ]));
        let mut program = self.reaper.program("kube-controller-manager", command)?;
        // The first thing that a pod needs, and so the sign that the controllers work.
        wait::until("the default service account", PATIENCE, || {
            program.running()?;
            self.kubectl.run(["get", "serviceaccount", "default", "--namespace", "default"])
        })?;
        self.controller_manager = Some(program);
        Ok(())
    }

    /// Stops the API server and waits for its end: only then is its port free.
    ///
    /// # Errors
    /// When it does not run or does not end.
    pub fn stop_server(&mut self) -> anyhow::Result<()> {
        stop(self.server.take().context("the API server does not run")?)
    }

    /// Kills the API server, as a crash would.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill_server(&mut self) -> anyhow::Result<()> {
        self.server.take().context("the API server does not run")?.kill();
        Ok(())
    }

    /// Starts the API server, at its address as before and with what etcd holds, and waits until it
    /// serves.
    ///
    /// # Errors
    /// When it runs already, or does not serve in time.
    pub fn start_server(&mut self) -> anyhow::Result<()> {
        anyhow::ensure!(self.server.is_none(), "the API server runs");
        let mut program = self.reaper.program("kube-apiserver", self.server_command())?;
        let served = wait::until("the API server serves", PATIENCE, || {
            program.running()?;
            self.kubectl.run(["get", "--raw", "/readyz"])?;
            self.kubectl.run(["get", "--raw", "/api/v1/namespaces/default"])
        });
        served.with_context(|| tail(&program))?;
        self.server = Some(program);
        Ok(())
    }

    /// Starts the API server anew, without a copy of what etcd holds: it reads and watches etcd itself, and
    /// knows of the past what etcd knows.
    ///
    /// # Errors
    /// When it does not run, does not end, or does not serve in time.
    pub fn serve_uncached(&mut self) -> anyhow::Result<()> {
        self.stop_server()?;
        self.is_uncached = true;
        self.start_server()
    }

    /// Starts the API server anew, to log each request for [`Self::requests`].
    ///
    /// # Errors
    /// When it does not run, does not end, or does not serve in time.
    pub fn serve_logging(&mut self) -> anyhow::Result<()> {
        self.stop_server()?;
        self.is_logging = true;
        self.start_server()
    }

    /// What was asked of the API server since it logs requests, as verb and path with query; a watch when it
    /// has ended.
    #[must_use]
    pub fn requests(&self) -> Vec<(String, String)> {
        let log = self.server.as_ref().map(Program::output).unwrap_or_default();
        let value = |line: &str, name: &str| {
            let (_, rest) = line.split_once(&format!(" {name}=\""))?;
            Some(rest.split_once('"')?.0.to_owned())
        };
        log.lines().filter_map(|line| Some((value(line, "verb")?, value(line, "URI")?))).collect()
    }

    /// Makes etcd forget all but the present.
    ///
    /// # Errors
    /// When etcd does not answer or refuses.
    pub fn compact(&self) -> anyhow::Result<()> {
        let now = self.etcd("range", r#"{"key": "AA=="}"#)?;
        let (_, rest) = now.split_once(r#""revision":""#).context("etcd names no revision")?;
        let (revision, _) = rest.split_once('"').context("etcd names no revision")?;
        let ask = format!(r#"{{"revision": "{revision}", "physical": true}}"#);
        self.etcd("compaction", &ask).map(drop)
    }

    /// Asks etcd over its JSON gateway.
    fn etcd(&self, call: &str, body: &str) -> anyhow::Result<String> {
        let url = format!("http://127.0.0.1:{}/v3/kv/{call}", self.etcd_port);
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail", "--data", body, &url]);
        let output = curl.output().context("curl does not start")?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "etcd does not do {call}: {said}");
        Ok(String::from_utf8(output.stdout)?)
    }

    fn server_command(&self) -> Command {
        let folder = self.folder();
        let mut command = Command::new(self.programs.path("kube-apiserver"));
        command.args([
            format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_port),
            format!("--bind-address={}", self.place.address),
            format!("--secure-port={}", self.port),
            format!("--service-cluster-ip-range={}", self.place.services),
        ]);
        command.args([
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            // The kubelet's name is nowhere in DNS.
            "--kubelet-preferred-address-types=InternalIP",
            "--allow-privileged",
            "--profiling=false",
        ]);
        if self.is_uncached {
            command.arg("--watch-cache=false");
        }
        if self.is_logging {
            command.arg("--v=3");
        }
        if self.place.address.is_loopback() {
            // Loopback is no valid address of an endpoint.
            command.arg("--endpoint-reconciler-type=none");
        } else {
            command.arg(format!("--advertise-address={}", self.place.address));
        }
        command.args(files(&[
            ("cert-dir", folder),
            ("tls-cert-file", &self.certificate.certificate),
            ("tls-private-key-file", &self.certificate.key),
            ("client-ca-file", &folder.join("ca.crt")),
            ("token-auth-file", &folder.join("tokens.csv")),
            ("service-account-key-file", &folder.join("accounts.pub")),
            ("service-account-signing-key-file", &folder.join("accounts.key")),
            ("kubelet-client-certificate", &self.kubelet_client.certificate),
            ("kubelet-client-key", &self.kubelet_client.key),
        ]));
        command
    }

    /// Halts the API server: connections stay, nothing is answered.
    ///
    /// # Errors
    /// When it does not run.
    pub fn stall(&self) -> anyhow::Result<()> {
        self.server.as_ref().context("the API server does not run")?.signal("STOP")
    }

    /// Lets the API server go on after [`Api::stall`].
    ///
    /// # Errors
    /// When it does not run.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.server.as_ref().context("the API server does not run")?.signal("CONT")
    }

    /// Stops etcd; its data stays.
    ///
    /// # Errors
    /// When it does not run or does not end.
    pub fn stop_etcd(&mut self) -> anyhow::Result<()> {
        stop(self.etcd.take().context("etcd does not run")?)
    }

    /// Starts etcd with the data that it has, and waits until it serves.
    ///
    /// # Errors
    /// When it runs already, or does not serve in time.
    pub fn start_etcd(&mut self) -> anyhow::Result<()> {
        anyhow::ensure!(self.etcd.is_none(), "etcd runs");
        let clients = format!("http://127.0.0.1:{}", self.etcd_port);
        let mut command = Command::new("etcd");
        // It reads such variables too; nothing shall come from outside.
        command.arg("--data-dir").arg(self.folder().join("etcd")).args([
            "--unsafe-no-fsync",
            "--listen-client-urls",
            &clients,
            "--advertise-client-urls",
            &clients,
            // Its one member has no peers, but it insists on a port for them.
            "--listen-peer-urls",
            "http://127.0.0.1:0",
            "--log-level",
            "warn",
        ]);
        let mut program = self.reaper.program("etcd", command)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.etcd_port));
        wait::until("etcd serves", PATIENCE, || {
            program.running()?;
            Ok(std::net::TcpStream::connect(address)?)
        })
        .with_context(|| tail(&program))?;
        self.etcd = Some(program);
        Ok(())
    }
}

/// Nothing of it is needed any more: killed, not asked.
impl Drop for Api {
    fn drop(&mut self) {
        for program in [self.controller_manager.take(), self.server.take(), self.etcd.take()] {
            program.into_iter().for_each(Program::kill);
        }
    }
}

/// Who has a token from the beginning.
struct Role {
    name: &'static str,
    user: &'static str,
    group: &'static str,
}

impl Role {
    fn token(&self) -> String {
        format!("token-of-{}", self.name)
    }
}

const ROLES: [Role; 5] = [
    Role { name: "admin", user: "admin", group: "system:masters" },
    Role {
        name: "kube-controller-manager",
        user: "system:kube-controller-manager",
        group: "system:authenticated",
    },
    Role { name: "kube-scheduler", user: "system:kube-scheduler", group: "system:authenticated" },
    Role { name: "kube-proxy", user: "system:kube-proxy", group: "system:authenticated" },
    Role { name: "kubelet", user: "system:node:node", group: "system:nodes" },
];

/// The API server's token file: token, user, UID, groups.
fn tokens() -> String {
    let line =
        |role: &Role| format!("{},{},{},\"{}\"\n", role.token(), role.user, role.name, role.group);
    ROLES.iter().map(line).collect()
}

fn server_names(place: &Place) -> Vec<String> {
    let mut names: Vec<String> =
        [place.address, place.kubernetes].iter().map(ToString::to_string).collect();
    let dns = ["", ".default", ".default.svc", ".default.svc.cluster.local"];
    names.extend(dns.iter().map(|rest| format!("kubernetes{rest}")));
    names.push("localhost".to_owned());
    names
}

fn url(address: IpAddr, port: u16) -> String {
    format!("https://{}", SocketAddr::from((address, port)))
}

fn kubeconfig(url: &str, folder: &Path, credentials: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
         clusters:\n- name: test\n  cluster:\n    server: {url}\n    certificate-authority: {}\n\
         contexts:\n- name: test\n  context:\n    cluster: test\n    user: test\n\
         users:\n- name: test\n  user:\n{credentials}",
        folder.join("ca.crt").display()
    )
}

/// Options whose values are paths.
pub(super) fn files(options: &[(&str, &Path)]) -> Vec<String> {
    options.iter().map(|(name, path)| format!("--{name}={}", path.display())).collect()
}

fn stop(mut program: Program) -> anyhow::Result<()> {
    program.signal("TERM")?;
    program.ended(FAREWELL)?;
    Ok(())
}

/// The last lines that a program printed.
pub(super) fn tail(program: &Program) -> String {
    let output = program.output();
    let lines: Vec<&str> = output.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
