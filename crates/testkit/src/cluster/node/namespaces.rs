//! The namespaces in which the node lives, and the link from the machine into them.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;

use crate::cluster::reaper::Reaper;
use crate::program::{Program, run};
use crate::wait;

/// How long what a cluster before left may take to go.
const FAREWELL: Duration = Duration::from_secs(30);

/// How long the namespaces may take to be there.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which of the clusters of *node* depth on one machine this is; their addresses differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// Of a test; the next one waits.
    Test,
    /// Of a developer (`./test cluster up`).
    Developer,
}

impl Slot {
    fn number(self) -> u8 {
        match self {
            Self::Test => 0,
            Self::Developer => 1,
        }
    }

    /// The name of the link, of the control groups and of the lock.
    #[must_use]
    pub fn name(self) -> String {
        format!("lateen{}", self.number())
    }

    /// The machine's address on the link, where the API server listens.
    #[must_use]
    pub fn machine(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 243, self.number(), 1)
    }

    /// The node's address on the link.
    #[must_use]
    pub fn node(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 243, self.number(), 2)
    }

    /// The pods' block.
    #[must_use]
    pub fn pods(self) -> String {
        format!("10.244.{}.0/24", self.number())
    }

    /// The services' block.
    #[must_use]
    pub fn services(self) -> String {
        format!("{}/20", Ipv4Addr::new(10, 96, 16 * self.number(), 0))
    }

    /// The address of a service, by its place in the block.
    #[must_use]
    pub fn service(self, place: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 96, 16 * self.number(), place)
    }

    /// What is to be done when a cluster here has ended: its control groups and its link go. The
    /// namespaces, with all mounts, addresses and rules in them, went with their last process.
    #[must_use]
    pub fn afterwards(self) -> String {
        let name = self.name();
        format!(
            "ip link delete {name}\n\
             for _ in $(seq 100); do\n\
             \x20   find /sys/fs/cgroup -mindepth 1 -maxdepth 2 -name {name} -type d | grep -q . || break\n\
             \x20   find /sys/fs/cgroup -mindepth 1 -maxdepth 2 -name {name} -type d -print0 |\n\
             \x20       xargs -0 -I FOLDER find FOLDER -depth -type d -exec rmdir {{}} +\n\
             \x20   sleep 0.05\n\
             done\n"
        )
    }
}

/// The namespaces: mounts, network, processes, host name, shared memory.
pub struct Namespaces {
    /// Everything in them ends with it.
    _holder: Program,
    /// The first process in them, as the machine sees it.
    first: u32,
}

impl Namespaces {
    /// Makes them for the cluster of `reaper`, linked to the machine.
    ///
    /// # Errors
    /// When one may not make namespaces (root may), or a cluster before is still there.
    pub fn start(reaper: &Reaper, slot: Slot) -> anyhow::Result<Self> {
        left(slot)?;
        reaper.afterwards(&slot.afterwards())?;
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--net", "--pid", "--uts", "--ipc", "--fork"])
            .args(["--kill-child=KILL", "--mount-proc"])
            .args(["bash", "-c", include_str!("inside.sh"), "inside"])
            .arg(reaper.folder());
        let mut holder = reaper.program("namespaces", command)?;
        let inside = reaper.folder().join("inside");
        wait::until("the node's namespaces", PATIENCE, || {
            holder.running()?;
            anyhow::ensure!(inside.exists(), "not furnished: {}", holder.output());
            Ok(())
        })?;
        let namespaces = Self { first: only_child(holder.id())?, _holder: holder };
        namespaces.link(slot)?;
        control_groups(&slot.name())?;
        Ok(namespaces)
    }

    /// A command that runs in them.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.first.to_string()])
            .args(["--mount", "--net", "--pid", "--uts", "--ipc", "--"])
            .arg(program);
        command
    }

    fn link(&self, slot: Slot) -> anyhow::Result<()> {
        let name = slot.name();
        let first = self.first.to_string();
        let (machine, node) = (slot.machine(), slot.node());
        ip(&["link", "add", &name, "type", "veth", "peer", "name", "eth0", "netns", &first])?;
        ip(&["address", "add", &format!("{machine}/30"), "dev", &name])?;
        ip(&["link", "set", &name, "up"])?;
        let inside = |arguments: &[&str]| {
            let mut command = self.command(Path::new("ip"));
            let output = command.args(arguments).output()?;
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            anyhow::ensure!(output.status.success(), "in the node, ip {arguments:?}: {text}");
            Ok(())
        };
        inside(&["address", "add", &format!("{node}/30"), "dev", "eth0"])?;
        inside(&["link", "set", "eth0", "up"])?;
        inside(&["route", "add", "default", "via", &machine.to_string()])?;
        for block in [slot.pods(), slot.services()] {
            ip(&["route", "add", &block, "via", &node.to_string()])?;
        }
        Ok(())
    }
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    let (status, text) = run("ip", arguments)?;
    anyhow::ensure!(status.success(), "ip {}: {text}", arguments.join(" "));
    Ok(())
}

/// Waits until nothing of a cluster before is there, and clears away what nobody else does any more.
fn left(slot: Slot) -> anyhow::Result<()> {
    let link = Path::new("/sys/class/net").join(slot.name());
    let gone = wait::until("the cluster before goes", FAREWELL, || {
        anyhow::ensure!(!link.exists(), "{} is there", link.display());
        Ok(())
    });
    if gone.is_err() {
        run("bash", ["-c", &slot.afterwards()])?;
        anyhow::ensure!(!link.exists(), "{} cannot be removed", link.display());
    }
    Ok(())
}

fn only_child(parent: u32) -> anyhow::Result<u32> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let children = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    children.trim().parse().with_context(|| format!("{path} names {children:?}"))
}

/// A control group of each kind that this machine has, below which the kubelet puts its pods.
fn control_groups(name: &str) -> anyhow::Result<()> {
    let root = Path::new("/sys/fs/cgroup");
    let mut kinds = vec![root.to_owned()];
    if !root.join("cgroup.controllers").exists() {
        kinds.clear();
        for entry in std::fs::read_dir(root)? {
            let path = entry?.path();
            // Beside the hierarchies there are links to them.
            if path.is_dir() && !path.is_symlink() {
                kinds.push(path);
            }
        }
    }
    for kind in kinds {
        let group = kind.join(name);
        std::fs::create_dir_all(&group)
            .with_context(|| format!("no control group {}", group.display()))?;
        // A new group of this kind has neither processors nor memory, and takes no process.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let (from, to) = (kind.join(file), group.join(file));
            if from.exists() && to.exists() && !root.join("cgroup.controllers").exists() {
                std::fs::write(&to, std::fs::read(&from)?)
                    .with_context(|| format!("cannot write {}", to.display()))?;
            }
        }
    }
    Ok(())
}
