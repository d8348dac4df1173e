//! `lateen cni`: the node agent of the CNI plugin.
//!
//! What the plugin is and what it decides is in `lateen-cni`; here is what happens on a node: the plugin
//! and its entry in the network configuration are put in place and kept there, its questions are
//! answered, rules are written into the network namespaces of pods, and pods that raced it are repaired.

mod agent;
mod answer;
mod folder;
mod keep;
mod metrics;
mod namespace;
mod pages;
mod pods;
mod repair;

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::capture::filter::Filter;
use super::logging;
use folder::Place;

/// What the command line asks for.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Keep the plugin in place, answer its questions, and repair pods that raced it.
    Agent(Box<Agent>),
    /// Take the plugin away, as the agent does when it ends for good.
    Remove(Paths),
}

/// Where the node has things.
#[derive(Debug, Clone, clap::Args)]
struct Paths {
    /// The plugin's name: its program's, and the type of its entry. Each revision has one of its own.
    #[arg(long, default_value = "lateen-cni", env = "PLUGIN_NAME")]
    name: String,
    /// The folder of the node's CNI plugins.
    #[arg(long, default_value = "/opt/cni/bin", env = "CNI_BIN_DIR")]
    bin_dir: PathBuf,
    /// The folder of the node's network configurations.
    #[arg(long, default_value = "/etc/cni/net.d", env = "CNI_CONF_DIR")]
    conf_dir: PathBuf,
}

/// The agent's settings.
#[derive(Debug, Clone, clap::Args)]
struct Agent {
    #[command(flatten)]
    paths: Paths,
    /// The plugin's program, to be given to the node.
    #[arg(long, default_value = "/usr/local/bin/lateen-cni")]
    plugin: PathBuf,
    /// The file of the network configuration that the plugin is put into, in its folder. Default: the
    /// one that runtimes take, the first by name.
    #[arg(long, env = "CNI_CONF_NAME")]
    conf_name: Option<String>,
    /// Where the plugin finds this agent. The path is the same on the node.
    #[arg(long, default_value = "/var/run/lateen-cni/agent.sock", env = "AGENT_SOCKET")]
    socket: PathBuf,
    /// The folder of the node's named network namespaces, where those of pods are looked for to be repaired.
    #[arg(long, default_value = "/var/run/netns", env = "CNI_NETNS_DIR")]
    netns_dir: PathBuf,
    /// The node whose pods are repaired.
    #[arg(long, env = "NODE_NAME")]
    node: String,
    /// This agent's namespace.
    #[arg(long, default_value = "istio-system", env = "POD_NAMESPACE")]
    namespace: String,
    /// The DaemonSet that this agent is of. As long as it is there, the plugin stays when the agent
    /// ends; without one it goes.
    #[arg(long, env = "DAEMONSET")]
    daemon_set: Option<String>,
    /// The revision whose pods are captured; empty: those of the control plane without one.
    #[arg(long, default_value = "", env = "REVISION")]
    revision: String,
    /// Namespaces whose pods are not captured.
    #[arg(long, default_value = "kube-system", value_delimiter = ',', env = "EXCLUDE_NAMESPACES")]
    exclude_namespaces: Vec<String>,
    /// Write the rules with nft, not with iptables-restore.
    #[arg(long, env = "NATIVE_NFTABLES")]
    native_nftables: bool,
    /// The cluster's kubeconfig. Default: in a pod, its own cluster.
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
    #[command(flatten)]
    repair: Repair,
    /// Where /readyz is.
    #[arg(long, default_value = "[::]:8000")]
    health: SocketAddr,
    /// Where /metrics is.
    #[arg(long, default_value = "[::]:15014")]
    monitoring: SocketAddr,
}

/// What becomes of pods that raced the plugin; the first that is asked for, in this order.
#[derive(Debug, Clone, clap::Args)]
struct Repair {
    /// Write their rules into their network namespace.
    #[arg(long, env = "REPAIR_REPAIR_PODS")]
    repair_pods: bool,
    /// Delete them; their owner makes others.
    #[arg(long, env = "REPAIR_DELETE_PODS")]
    repair_delete_pods: bool,
    /// Label them.
    #[arg(long, env = "REPAIR_LABEL_PODS")]
    repair_label_pods: bool,
    /// The label's name.
    #[arg(long, default_value = "cni.istio.io/uninitialized", env = "REPAIR_BROKEN_POD_LABEL_KEY")]
    repair_label_key: String,
    /// The label's value.
    #[arg(long, default_value = "true", env = "REPAIR_BROKEN_POD_LABEL_VALUE")]
    repair_label_value: String,
    /// The init container whose exit code 126 says that a pod is not captured.
    #[arg(long, default_value = "istio-validation", env = "REPAIR_INIT_CONTAINER_NAME")]
    repair_init_container: String,
}

impl Paths {
    fn place(&self, conf_name: Option<String>) -> Place {
        Place {
            name: self.name.clone(),
            programs: self.bin_dir.clone(),
            configurations: self.conf_dir.clone(),
            file: conf_name,
        }
    }
}

impl Agent {
    fn filter(&self) -> Filter {
        Filter::chosen(self.native_nftables)
    }

    /// The plugin's entry in a network configuration.
    fn entry(&self) -> Value {
        json!({
            "type": self.paths.name,
            "capabilities": {lateen_cni::protocol::ANNOTATIONS: true},
            "socket": self.socket,
            "excludeNamespaces": self.exclude_namespaces,
        })
    }

    fn mesh(&self) -> lateen_cni::pod::Mesh {
        lateen_cni::pod::Mesh {
            revision: match self.revision.as_str() {
                "" => "default".to_owned(),
                revision => revision.to_owned(),
            },
            exclude_namespaces: self.exclude_namespaces.clone(),
        }
    }
}

/// Runs the command; its exit code.
pub async fn run(arguments: Arguments) -> anyhow::Result<i32> {
    match arguments.action {
        Action::Agent(settings) => {
            logging::start()?;
            agent::run(*settings).await?;
        }
        Action::Remove(paths) => {
            for done in paths.place(None).remove()? {
                println!("{done}");
            }
        }
    }
    Ok(0)
}
