//! The settings of injection, followed in the cluster: the config maps `istio` (key `mesh`) and
//! `istio-sidecar-injector` (keys `config` and `values`) of the revision, and whether the nodes know
//! init containers that stay.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node};
use kube::{
    Api, Client,
    api::ListParams,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event},
    },
};
use lateen_inject::settings::ProxyConfigs;
use lateen_inject::{Decision, Facts, Labels, Reason, Request, Settings, path};
use serde_json::Value;
use tokio::sync::watch;
use tokio_stream::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;

use super::{Names, review::Review};
use crate::kubernetes::asked;

/// The first minor version of Kubernetes whose nodes count as knowing init containers that stay.
const NATIVE_SIDECARS: u32 = 33;

/// How often the nodes' versions are looked at.
const NODES: Duration = Duration::from_secs(300);

/// Nodes in one page of a list.
const PAGE: u32 = 100;

/// Injects by the settings in force.
pub(super) struct Injector {
    client: Client,
    settings: ArcSwapOption<Settings>,
    ready: watch::Sender<bool>,
}

/// What became of a pod.
#[derive(Debug)]
pub(super) enum Injected {
    /// It is changed.
    Patched { patch: Value, warnings: Vec<String> },
    /// It is not.
    Skipped(Reason),
}

impl Injector {
    pub(super) fn new(
        client: Client,
        names: &Names,
        proxy_configs: watch::Receiver<Arc<ProxyConfigs>>,
    ) -> (Arc<Self>, Follower) {
        let injector = Arc::new(Self {
            client,
            settings: ArcSwapOption::empty(),
            ready: watch::Sender::new(false),
        });
        let facts = Facts { revision: names.revision.clone(), ..Facts::default() };
        let follower = Follower {
            injector: injector.clone(),
            namespace: names.namespace.clone(),
            maps: [
                format!("istio{}", names.suffix),
                format!("istio-sidecar-injector{}", names.suffix),
            ],
            proxy_configs,
            facts,
            mesh: None,
            values: None,
        };
        (injector, follower)
    }

    /// Whether the settings were read once.
    pub(super) fn ready(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Injects a pod, or says why it cannot be.
    pub(super) async fn inject(&self, review: &Review, path: &str) -> Result<Injected, String> {
        let Some(settings) = self.settings.load_full() else {
            return Err(
                "the settings of injection cannot be read; the control plane's log says why"
                    .to_owned(),
            );
        };
        let pod = &review.object;
        let namespace = match review.namespace.as_str() {
            "" => pod["metadata"]["namespace"].as_str().unwrap_or("default"),
            namespace => namespace,
        };
        let decision = lateen_inject::decide(pod, namespace, &settings.injector);
        if let Decision::Skip(reason) = decision {
            return Ok(Injected::Skipped(reason));
        }
        let annotations = match settings.facts.openshift {
            true => self.namespace_annotations(namespace).await?,
            false => Labels::new(),
        };
        let request = Request {
            pod,
            namespace,
            namespace_annotations: &annotations,
            owner: None,
            variables: &path::variables(path),
        };
        let injection =
            lateen_inject::inject(&request, &settings).map_err(|error| error.to_string())?;
        let patch =
            serde_json::to_value(injection.patch(pod)).map_err(|error| error.to_string())?;
        Ok(Injected::Patched { patch, warnings: injection.warnings })
    }

    async fn namespace_annotations(&self, name: &str) -> Result<Labels, String> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let namespace = asked(namespaces.get(name)).await;
        let namespace =
            namespace.map_err(|error| format!("its namespace cannot be read: {error}"))?;
        Ok(namespace.metadata.annotations.unwrap_or_default())
    }
}

/// Follows what the settings are made of.
pub(super) struct Follower {
    injector: Arc<Injector>,
    namespace: String,
    /// The mesh's and the injector's.
    maps: [String; 2],
    proxy_configs: watch::Receiver<Arc<ProxyConfigs>>,
    facts: Facts,
    /// Its data; `None` until it was looked for.
    mesh: Option<Data>,
    values: Option<Data>,
}

type Data = std::collections::BTreeMap<String, String>;

impl Follower {
    /// Follows until stopped.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let (mesh, values) = (self.map(&self.maps[0]), self.map(&self.maps[1]));
        tokio::pin!(mesh, values);
        let mut nodes = tokio::time::interval(NODES);
        nodes.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(data) = mesh.next() => self.mesh = Some(data),
                Some(data) = values.next() => self.values = Some(data),
                Ok(()) = self.proxy_configs.changed() => {}
                _ = nodes.tick() => self.look_at_nodes().await,
            }
            self.take();
        }
    }

    /// The data of a config map, each time that it changes; nothing in it where there is no such map.
    fn map(&self, name: &str) -> impl Stream<Item = Data> + use<> {
        let maps: Api<ConfigMap> = Api::namespaced(self.injector.client.clone(), &self.namespace);
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let events = watcher::watcher(maps, config).default_backoff();
        let name = name.to_owned();
        // Of the first list only its end tells whether there is a map.
        let mut listed = Data::new();
        events.filter_map(move |event| match event {
            Ok(Event::Init) => {
                listed.clear();
                None
            }
            Ok(Event::InitApply(map)) => {
                listed = map.data.unwrap_or_default();
                None
            }
            Ok(Event::InitDone) => Some(std::mem::take(&mut listed)),
            Ok(Event::Apply(map)) => Some(map.data.unwrap_or_default()),
            Ok(Event::Delete(_)) => Some(Data::new()),
            Err(error) => {
                tracing::warn!(%error, map = name, "changes of a config map are not heard of");
                None
            }
        })
    }

    /// Whether every node is new enough. Without an answer what was known holds.
    async fn look_at_nodes(&mut self) {
        let nodes: Api<Node> = Api::all(self.injector.client.clone());
        let mut params = ListParams::default().limit(PAGE);
        loop {
            let page = match asked(nodes.list(&params)).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::warn!(%error, "the nodes' versions are not known");
                    return;
                }
            };
            let versions = page.items.iter().filter_map(|node| {
                Some(node.status.as_ref()?.node_info.as_ref()?.kubelet_version.as_str())
            });
            if versions.into_iter().any(|version| !knows_native_sidecars(version)) {
                self.facts.native_sidecars = false;
                return;
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => break,
            }
        }
        self.facts.native_sidecars = true;
    }

    /// Puts the settings in force, once both maps were looked for. Settings that cannot be read leave
    /// those before in force.
    fn take(&self) {
        let (Some(mesh), Some(injector)) = (&self.mesh, &self.values) else { return };
        let text = |data: &Data, key: &str| data.get(key).cloned().unwrap_or_default();
        let settings = Settings::read(
            &text(mesh, "mesh"),
            &text(injector, "config"),
            &text(injector, "values"),
            self.facts.clone(),
        );
        match settings {
            Ok(mut settings) => {
                settings.proxy_configs = ProxyConfigs::clone(&self.proxy_configs.borrow());
                self.injector.settings.store(Some(Arc::new(settings)));
            }
            Err(error) => {
                let maps = self.maps.join(", ");
                tracing::error!(maps, "the settings of injection cannot be read: {error}");
            }
        }
        self.injector.ready.send_replace(true);
    }
}

/// Whether a kubelet of this version (`v1.33.2`) knows init containers that stay.
fn knows_native_sidecars(version: &str) -> bool {
    let mut parts = version.trim_start_matches('v').split(['.', '-', '+']);
    let mut number = || parts.next().and_then(|part| part.parse::<u32>().ok());
    match (number(), number()) {
        (Some(major), Some(minor)) => (major, minor) >= (1, NATIVE_SIDECARS),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_new_enough_from_the_version_that_istio_takes() {
        for (version, new_enough) in [
            ("v1.33.0", true),
            ("v1.36.3", true),
            ("v1.34.1-gke.100", true),
            ("v1.32.9", false),
            ("v2.0", true),
            ("unknown", false),
        ] {
            assert_eq!(knows_native_sidecars(version), new_enough, "{version}");
        }
    }
}
