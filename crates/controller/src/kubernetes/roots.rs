//! The mesh's root certificate in every namespace of it (Istio's ConfigMap `istio-ca-root-cert`), from which
//! pods mount it. The leader writes.
//!
//! What somebody else wrote is left alone: with the same root there is nothing to do, and with another one
//! nobody but its author may decide that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::sync::watch;
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;

use super::{MANAGED_BY, MANAGER, asked, refusal};
use crate::authority::Authority;

/// The ConfigMap.
const NAME: &str = "istio-ca-root-cert";

/// Its key.
const KEY: &str = "root-cert.pem";

/// Istio's label on it.
const ISTIO_LABEL: &str = "istio.io/config";

/// How long to wait before what was refused is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// See the module.
pub(crate) struct Roots {
    client: Client,
    authority: Authority,
    pem: String,
    wanted: watch::Receiver<Arc<BTreeSet<String>>>,
    leading: watch::Receiver<bool>,
    /// What is there, by namespace.
    found: BTreeMap<String, Map>,
    /// Everything that is there was seen once.
    is_listed: bool,
    /// Namespaces whose other root was complained about.
    foreign: BTreeSet<String>,
}

/// A ConfigMap of that name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Map {
    root: Option<String>,
    is_ours: bool,
}

/// What is to be thought of a ConfigMap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// It holds our root.
    Right,
    /// It holds another one, and we wrote it.
    Outdated,
    /// It holds another one, and somebody else wrote it.
    Foreign,
}

/// What to do in a namespace.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Create,
    Update,
}

impl Roots {
    pub(crate) fn new(
        client: Client,
        authority: Authority,
        wanted: watch::Receiver<Arc<BTreeSet<String>>>,
        leading: watch::Receiver<bool>,
    ) -> Self {
        let (found, foreign) = (BTreeMap::new(), BTreeSet::new());
        let pem = authority.current().root_pem();
        Self { client, authority, pem, wanted, leading, found, is_listed: false, foreign }
    }

    /// Follows the namespaces, what is in them, and whether this one leads, until stopped.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let all: Api<ConfigMap> = Api::all(self.client.clone());
        let config = watcher::Config::default().fields(&format!("metadata.name={NAME}"));
        let events = watcher::watcher(all, config).default_backoff();
        tokio::pin!(events);
        let (mut wanted, mut leading) = (self.wanted.clone(), self.leading.clone());
        let mut failed = false;
        loop {
            let retry = async {
                if failed {
                    tokio::time::sleep(RETRY).await;
                } else {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                event = events.next() => match event {
                    Some(Ok(event)) => self.take(event),
                    Some(Err(error)) => {
                        tracing::warn!(%error, "root certificates in namespaces are not heard of");
                    }
                    None => return,
                },
                () = self.authority.changed() => self.pem = self.authority.current().root_pem(),
                changed = wanted.changed() => if changed.is_err() { return },
                changed = leading.changed() => if changed.is_err() { return },
                () = retry => {}
            }
            failed = self.reconcile().await;
        }
    }

    fn take(&mut self, event: Event<ConfigMap>) {
        match event {
            Event::Init => {
                self.is_listed = false;
                self.found.clear();
            }
            Event::InitDone => self.is_listed = true,
            Event::InitApply(map) | Event::Apply(map) => {
                let namespace = map.namespace().unwrap_or_default();
                let is_ours =
                    map.labels().get(MANAGED_BY).is_some_and(|manager| manager == MANAGER);
                let root = map.data.and_then(|mut data| data.remove(KEY));
                self.found.insert(namespace, Map { root, is_ours });
            }
            Event::Delete(map) => {
                self.found.remove(&map.namespace().unwrap_or_default());
            }
        }
    }

    fn judge(&self, map: &Map) -> Found {
        match &map.root {
            Some(root) if root.trim() == self.pem.trim() => Found::Right,
            _ if map.is_ours => Found::Outdated,
            _ => Found::Foreign,
        }
    }

    /// What is to be done, by namespace.
    fn steps(&self) -> Vec<(String, Step)> {
        let wanted = self.wanted.borrow();
        let step = |namespace: &String| match self.found.get(namespace).map(|map| self.judge(map)) {
            None => Some(Step::Create),
            Some(Found::Outdated) => Some(Step::Update),
            Some(Found::Right | Found::Foreign) => None,
        };
        wanted.iter().filter_map(|name| Some((name.clone(), step(name)?))).collect()
    }

    /// Does what is to be done; answers whether some of it failed.
    async fn reconcile(&mut self) -> bool {
        if !self.is_listed || !*self.leading.borrow() {
            return false;
        }
        self.complain();
        let mut failed = false;
        for (namespace, step) in self.steps() {
            // Whoever does not lead any more stops in the middle of it.
            if !*self.leading.borrow() {
                return false;
            }
            match self.write(&namespace, &step).await {
                Ok(()) => {
                    let root = Some(self.pem.clone());
                    self.found.insert(namespace, Map { root, is_ours: true });
                }
                // Somebody was quicker, or the namespace is on its way out: the watch tells.
                Err(error) if matches!(refusal(&error), Some(404 | 409)) => {}
                Err(error) => {
                    tracing::warn!(namespace, %error, "the root certificate cannot be written");
                    failed = true;
                }
            }
        }
        failed
    }

    /// Says where another root is: pods there trust another mesh.
    fn complain(&mut self) {
        let foreign = self.found.iter().filter(|(_, map)| self.judge(map) == Found::Foreign);
        let foreign: BTreeSet<String> = foreign.map(|(name, _)| name.clone()).collect();
        for namespace in foreign.difference(&self.foreign) {
            tracing::error!(
                namespace,
                "the ConfigMap {NAME} holds another root, which somebody else wrote; pods of this \
                 namespace do not trust this mesh unless both share a root (secret `cacerts`)"
            );
        }
        self.foreign = foreign;
    }

    async fn write(&self, namespace: &str, step: &Step) -> kube::Result<()> {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let data = BTreeMap::from([(KEY.to_owned(), self.pem.clone())]);
        match step {
            Step::Create => {
                let labels = [(ISTIO_LABEL, "true"), (MANAGED_BY, MANAGER)];
                let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
                let metadata = ObjectMeta {
                    name: Some(NAME.to_owned()),
                    labels: Some(labels),
                    ..ObjectMeta::default()
                };
                let map = ConfigMap { metadata, data: Some(data), ..ConfigMap::default() };
                let parameters =
                    PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
                asked(maps.create(&parameters, &map)).await?;
            }
            Step::Update => {
                let parameters = PatchParams {
                    field_manager: Some(MANAGER.to_owned()),
                    ..PatchParams::default()
                };
                let patch = Patch::Merge(json!({"data": data}));
                asked(maps.patch(NAME, &parameters, &patch)).await?;
            }
        }
        Ok(())
    }
}
