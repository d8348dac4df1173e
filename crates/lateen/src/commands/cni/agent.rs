//! The node agent, from its start to its end.

use std::sync::Arc;

use anyhow::Context;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use lateen_install::Cluster;
use tokio::signal::unix::{SignalKind, signal};

use super::answer::{self, Answers};
use super::keep::Keep;
use super::metrics::Metrics;
use super::pods::Pods;
use super::repair::Repairs;
use super::{Agent, pages};

/// Runs until it is told to end. The plugin is named nowhere before its questions are answered.
pub(super) async fn run(settings: Agent) -> anyhow::Result<()> {
    let mut ends = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    let cluster = Cluster::connect(settings.kubeconfig.as_deref(), None).await?;
    let client = cluster.client().clone();
    let metrics = Arc::new(Metrics::new());
    let remedy = settings.repair.remedy();
    let remedy_name = remedy.map_or("none", super::repair::Remedy::name);
    pages::serve(settings.health, pages::health(metrics.clone())).await?;
    pages::serve(settings.monitoring, pages::monitoring(metrics.clone(), remedy_name)).await?;

    let answers = Answers {
        pods: Pods::new(client.clone()),
        mesh: Arc::new(settings.mesh()),
        filter: settings.filter(),
        metrics: metrics.clone(),
    };
    let listener = answer::listen(&settings.socket)?;
    tracing::info!("the plugin is answered on {}", settings.socket.display());
    let place = settings.paths.place(settings.conf_name.clone());
    let keep = Keep {
        place: place.clone(),
        program: settings.plugin.clone(),
        entry: settings.entry(),
        metrics,
    };
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(answers.clone().run(listener));
    tasks.spawn(keep.run());
    if let Some(remedy) = remedy {
        let repairs = Repairs {
            settings: settings.repair.clone(),
            remedy,
            node: settings.node.clone(),
            namespaces: settings.netns_dir.clone(),
            answers,
        };
        tasks.spawn(repairs.run());
    }

    let [terminate, interrupt] = &mut ends;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        ended = tasks.join_next() => {
            // None of them ends by itself: only a panic does that.
            ended.context("invariant: there are tasks")??;
        }
    }
    // What is put in place after this would be left behind.
    tasks.shutdown().await;
    if is_for_good(&client, &settings).await {
        for done in place.remove()? {
            tracing::info!("{done}");
        }
    } else {
        tracing::info!("the plugin stays: another agent takes over");
    }
    // Where there is none any more, nobody asks.
    let _ = std::fs::remove_file(&settings.socket);
    Ok(())
}

/// Whether no other agent will take this one's place: its DaemonSet is gone or going, or its account is,
/// which goes with it. An API server that does not answer says nothing of the kind.
async fn is_for_good(client: &kube::Client, settings: &Agent) -> bool {
    let Some(name) = &settings.daemon_set else { return true };
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", "DaemonSet"));
    let sets: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), &settings.namespace, &resource);
    match sets.get_opt(name).await {
        Ok(found) => found.is_none_or(|set| set.metadata.deletion_timestamp.is_some()),
        Err(kube::Error::Api(status)) => matches!(status.code, 401 | 403),
        Err(error) => {
            tracing::warn!("whether this is for good is not known: {error}");
            false
        }
    }
}
