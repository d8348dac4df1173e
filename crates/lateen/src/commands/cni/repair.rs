//! Pods that raced the plugin: on a new node they may start before it is in place, or while its agent is
//! away. Their init container `istio-validation` keeps them from running uncaptured, and its exit code
//! says so.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::Context;
use futures_util::StreamExt;
use kube::runtime::{WatchStreamExt, watcher};
use lateen_cni::pod::{Verdict, addresses, is_uncaptured};
use lateen_cni::wire::{Answer, What};
use serde_json::Value;

use super::Repair;
use super::answer::Answers;
use super::{namespace, pods};

/// What is done about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    Repair,
    Delete,
    Label,
}

impl Repair {
    /// What is asked for, if anything is.
    pub(super) fn remedy(&self) -> Option<Remedy> {
        [
            (self.repair_pods, Remedy::Repair),
            (self.repair_delete_pods, Remedy::Delete),
            (self.repair_label_pods, Remedy::Label),
        ]
        .into_iter()
        .find_map(|(asked, remedy)| asked.then_some(remedy))
    }
}

impl Remedy {
    /// As metrics say it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Repair => "repair",
            Self::Delete => "delete",
            Self::Label => "label",
        }
    }
}

/// Who repairs the pods of a node.
pub(super) struct Repairs {
    pub(super) settings: Repair,
    pub(super) remedy: Remedy,
    pub(super) node: String,
    pub(super) namespaces: PathBuf,
    pub(super) answers: Answers,
}

impl Repairs {
    /// Follows the node's pods until it is dropped.
    pub(super) async fn run(self) {
        let mine = watcher::Config::default().fields(&format!("spec.nodeName={}", self.node));
        let mut events = watcher(self.answers.pods.all(), mine).default_backoff().boxed();
        // By pod, after how many restarts of the validation it was taken care of.
        let mut cared: HashMap<String, i64> = HashMap::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod)) => {
                    self.look(&pods::value(&pod), &mut cared).await;
                }
                Ok(watcher::Event::Delete(pod)) => {
                    cared.remove(pod.metadata.uid.as_deref().unwrap_or_default());
                }
                Ok(watcher::Event::Init | watcher::Event::InitDone) => {}
                Err(error) => tracing::warn!("the node's pods cannot be followed: {error}"),
            }
        }
    }

    async fn look(&self, pod: &Value, cared: &mut HashMap<String, i64>) {
        let validation = &self.settings.repair_init_container;
        let ours = matches!(self.answers.mesh.verdict(pod), Verdict::Ours(_));
        if !ours
            || !is_uncaptured(pod, validation)
            || pod["metadata"]["deletionTimestamp"].is_string()
        {
            return;
        }
        let text = |field: &str| pod["metadata"][field].as_str().unwrap_or_default();
        let (namespace, name, uid) = (text("namespace"), text("name"), text("uid"));
        let statuses = pod["status"]["initContainerStatuses"].as_array().into_iter().flatten();
        let restarts = statuses
            .filter(|status| status["name"] == validation.as_str())
            .find_map(|status| status["restartCount"].as_i64())
            .unwrap_or(0);
        if cared.insert(uid.to_owned(), restarts) == Some(restarts) {
            return;
        }
        let done = match self.remedy {
            Remedy::Repair => self.capture(pod).await,
            Remedy::Delete => self.answers.pods.delete(namespace, name, uid).await,
            Remedy::Label => {
                let (key, value) =
                    (&self.settings.repair_label_key, &self.settings.repair_label_value);
                self.answers.pods.label(namespace, name, key, value).await
            }
        };
        let remedy = self.remedy.name();
        self.answers.metrics.repaired(done.is_ok());
        match done {
            Ok(()) => tracing::info!(%namespace, %name, %remedy, "raced the plugin"),
            Err(error) => {
                cared.remove(uid);
                tracing::warn!(%namespace, %name, %remedy, "raced the plugin: {error:#}");
            }
        }
    }

    async fn capture(&self, pod: &Value) -> anyhow::Result<()> {
        let addresses = addresses(pod);
        anyhow::ensure!(!addresses.is_empty(), "it has no address");
        let namespace = namespace::with_address(&self.namespaces, addresses)
            .await?
            .context("no network namespace of this node has its address")?;
        match self.answers.decide(pod, What::Capture, namespace).await {
            Answer::Captured | Answer::Left(_) => Ok(()),
            Answer::Refused(why) | Answer::Unknown(why) => anyhow::bail!(why),
        }
    }
}
