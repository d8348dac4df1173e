//! A cluster with a node, on which pods run.

pub mod namespaces;
mod settings;

use std::fs::File;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;

use crate::cluster::api::{Api, Place, files, tail};
use crate::cluster::images;
use crate::cluster::kubectl::Kubectl;
use crate::cluster::reaper::Reaper;
use crate::program::Program;
use crate::wait;

use namespaces::{Namespaces, Slot};

/// The image of each pod's first container.
const PAUSE: &str = "lateen.test/pause:1";

/// How long a part may take until it works.
const PATIENCE: Duration = Duration::from_secs(120);

/// A cluster of one node: API server, controllers and scheduler on this machine, the node in
/// namespaces of its own. From this machine the addresses of services and pods can be reached, and
/// from the pods the API server and nothing else.
///
/// Images come from archives ([`Node::import`]); pods therefore say `imagePullPolicy: Never` or
/// `IfNotPresent`. It needs root. One test at a time on a machine has one.
pub struct Node {
    // Dropped in this order: the programs, the namespaces, then the API server with the folder.
    _programs: Vec<Program>,
    namespaces: Namespaces,
    api: Api,
    slot: Slot,
    _lock: File,
}

impl Node {
    /// Starts a cluster for a test and waits until its node is ready. Waits before that until no
    /// other test on this machine has one.
    ///
    /// # Errors
    /// When a program is missing or does not work in time.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_in(Slot::Test)
    }

    /// Starts a cluster in a slot and waits until its node is ready.
    ///
    /// # Errors
    /// When a program is missing or does not work in time.
    pub fn start_in(slot: Slot) -> anyhow::Result<Self> {
        let lock = lock(slot)?;
        let reaper = Reaper::start()?;
        write_settings(reaper.folder(), slot)?;
        let namespaces = Namespaces::start(&reaper, slot)?;
        let place = Place {
            address: slot.machine().into(),
            services: slot.services(),
            kubernetes: slot.service(1).into(),
        };
        let mut api = Api::start_with(reaper, place)?;
        let mut programs = vec![start_containerd(&api, &namespaces, slot)?];
        api.controller_manager()?;
        programs.push(start_scheduler(&api)?);
        programs.push(start_kubelet(&api, &namespaces, slot)?);
        programs.push(start_kube_proxy(&api, &namespaces, slot)?);
        programs.push(start_dns(&api, &namespaces)?);
        let node = Self { _programs: programs, namespaces, api, slot, _lock: lock };
        node.ready()?;
        Ok(node)
    }

    fn ready(&self) -> anyhow::Result<()> {
        let arguments = ["wait", "node/node", "--for=condition=Ready", "--timeout=1s"];
        wait::until("the node is ready", PATIENCE, || self.kubectl().run(arguments)).with_context(
            || {
                let log = self.api.folder().join("kubelet.log");
                std::fs::read_to_string(log).unwrap_or_default()
            },
        )?;
        Ok(())
    }

    /// The cluster's API server.
    #[must_use]
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// The cluster's API server, to be stopped and started.
    pub fn api_mut(&mut self) -> &mut Api {
        &mut self.api
    }

    /// `kubectl` as administrator.
    #[must_use]
    pub fn kubectl(&self) -> &Kubectl {
        self.api.kubectl()
    }

    /// The node's address, which also the ports of services of type NodePort have.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.slot.node()
    }

    /// A command that runs on the node: in its network, seeing its processes and mounts.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        self.namespaces.command(Path::new(program))
    }

    /// Gives the images of an archive (`docker save`, OCI) to the node.
    ///
    /// # Errors
    /// When the archive is none.
    pub fn import(&self, archive: &Path) -> anyhow::Result<()> {
        images::import(&socket(&self.api), archive)
    }

    /// Waits until a condition of an object holds: `kubectl wait`, with what the namespace's events
    /// say when it does not.
    ///
    /// # Errors
    /// When it does not within `limit`.
    pub fn wait(
        &self,
        namespace: &str,
        object: &str,
        condition: &str,
        limit: Duration,
    ) -> anyhow::Result<()> {
        let (wanted, limit) =
            (format!("--for={condition}"), format!("--timeout={}s", limit.as_secs()));
        let waited =
            self.kubectl().run(["wait", "--namespace", namespace, object, &wanted, &limit]);
        waited.map(drop).with_context(|| {
            let show = |arguments: &[&str]| {
                self.kubectl().run(arguments).unwrap_or_else(|error| error.to_string())
            };
            let sorted = "--sort-by=.lastTimestamp";
            format!(
                "{}\n{}",
                show(&["get", "pods", "--namespace", namespace, "--output", "wide"]),
                show(&["get", "events", "--namespace", namespace, sorted])
            )
        })
    }
}

fn lock(slot: Slot) -> anyhow::Result<File> {
    let path = std::env::temp_dir().join(format!("lateen-cluster-{}.lock", slot.name()));
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    lock.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(lock)
}

fn socket(api: &Api) -> PathBuf {
    api.folder().join("containerd.sock")
}

fn write_settings(folder: &Path, slot: Slot) -> anyhow::Result<()> {
    std::fs::write(folder.join("containerd.toml"), settings::containerd(folder))?;
    std::fs::write(folder.join("bridge.conflist"), settings::bridge(slot))?;
    std::fs::write(folder.join("kubelet.json"), settings::kubelet(folder, slot))?;
    // Names of other places than the cluster cannot be resolved.
    std::fs::write(folder.join("resolv.conf"), "")?;
    std::fs::write(folder.join("Corefile"), settings::dns(&folder.join("admin.kubeconfig"), slot))?;
    Ok(())
}

fn start_containerd(api: &Api, namespaces: &Namespaces, slot: Slot) -> anyhow::Result<Program> {
    let mut command = namespaces.command(Path::new("containerd"));
    command.arg("--config").arg(api.folder().join("containerd.toml"));
    let mut program = api.program("containerd", command)?;
    let pause = images::pause(PAUSE, api.folder())?;
    wait::until("containerd takes the first image", PATIENCE, || {
        program.running()?;
        images::import(&socket(api), &pause)
    })
    .with_context(|| tail(&program))?;
    api.kubectl().apply(&settings::dns_service(slot))?;
    Ok(program)
}

fn start_scheduler(api: &Api) -> anyhow::Result<Program> {
    let mut command = Command::new(api.programs().path("kube-scheduler"));
    command.args(["--leader-elect=false", "--secure-port=0"]);
    command.args(files(&[("kubeconfig", &api.component("kube-scheduler"))]));
    api.program("kube-scheduler", command)
}

fn start_kubelet(api: &Api, namespaces: &Namespaces, slot: Slot) -> anyhow::Result<Program> {
    let folder = api.folder();
    let mut command = namespaces.command(&api.programs().path("kubelet"));
    command.args([format!("--node-ip={}", slot.node())]);
    command.args(["--hostname-override=node"]);
    command.args(files(&[
        ("config", &folder.join("kubelet.json")),
        ("kubeconfig", &api.component("kubelet")),
        ("root-dir", &folder.join("kubelet")),
        ("cert-dir", &folder.join("kubelet-certificates")),
        ("volume-plugin-dir", &folder.join("kubelet-plugins")),
    ]));
    api.program("kubelet", command)
}

fn start_kube_proxy(api: &Api, namespaces: &Namespaces, slot: Slot) -> anyhow::Result<Program> {
    let mut command = namespaces.command(&api.programs().path("kube-proxy"));
    command.args([format!("--cluster-cidr={}", slot.pods())]);
    command.args([
        "--hostname-override=node",
        "--proxy-mode=iptables",
        // Limits of connection tracking are the machine's, not the namespace's.
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0",
        "--conntrack-tcp-timeout-close-wait=0",
    ]);
    command.args(files(&[("kubeconfig", &api.component("kube-proxy"))]));
    api.program("kube-proxy", command)
}

fn start_dns(api: &Api, namespaces: &Namespaces) -> anyhow::Result<Program> {
    let mut command = namespaces.command(&api.programs().path("coredns"));
    command.arg("-conf").arg(api.folder().join("Corefile"));
    api.program("coredns", command)
}
