//! Which cluster a command is about.

use std::path::PathBuf;

use anyhow::Context;
use lateen_install::Cluster;

/// Options of commands that work with a cluster.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Access {
    /// The cluster's kubeconfig. Default: KUBECONFIG, else ~/.kube/config; in a pod, its own cluster.
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
    /// The context in the kubeconfig.
    #[arg(long)]
    context: Option<String>,
}

impl Access {
    /// Connects.
    pub async fn cluster(&self) -> anyhow::Result<Cluster> {
        Cluster::connect(self.kubeconfig.as_deref(), self.context.as_deref())
            .await
            .context("name a cluster by --kubeconfig or KUBECONFIG")
    }

    /// Whether a cluster was named.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.kubeconfig.is_some() || self.context.is_some()
    }
}
