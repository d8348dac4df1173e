//! The admission webhooks, as the API server calls them over HTTPS (Istio's port 15017): `/inject…` gives
//! pods their sidecar, `/validate` says what is wrong with objects.
//!
//! - `server`: HTTPS, paths, limits.
//! - `review`: an AdmissionReview read and answered.
//! - `injector`: the settings of injection, as the cluster's config maps say them.
//! - `configurations`: this control plane's webhook configurations are told which root to trust, and that
//!   validation is enforced once it answers.

mod configurations;
mod injector;
mod review;
mod server;

use std::sync::Arc;

use kube::Client;
use lateen_identity::{PROTOCOL_VERSIONS, crypto_provider};
use lateen_inject::settings::ProxyConfigs;
use rustls::ServerConfig;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    authority::Authority, listener::Listener, metrics::Metrics, serving::Serving,
    settings::Settings,
};
use configurations::Configurations;
use injector::Injector;

/// An object that is to be refused: how Istio finds out whether its webhook answers.
const ALWAYS_REJECT: &str = "internal.istio.io/webhook-always-reject";

/// What the webhooks need.
pub(crate) struct Webhooks {
    pub(crate) client: Client,
    pub(crate) listener: TcpListener,
    pub(crate) authority: Authority,
    pub(crate) serving: Arc<Serving>,
    pub(crate) proxy_configs: watch::Receiver<Arc<ProxyConfigs>>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Webhooks {
    /// Starts all of it, until stopped. Calls are answered once the settings of injection are read, so that
    /// no pod is refused for want of them; says when.
    pub(crate) fn start(
        self,
        settings: &Settings,
        stop: &CancellationToken,
        tasks: &mut JoinSet<()>,
    ) -> watch::Receiver<bool> {
        let Self { client, listener, authority, serving, proxy_configs, metrics } = self;
        let names = Names::new(settings);
        let (injector, follower) = Injector::new(client.clone(), &names, proxy_configs);
        let ready = injector.ready();
        tasks.spawn(follower.run(stop.clone()));
        let listener = Listener {
            tcp: listener,
            tls: Some(tls(serving)),
            max_connections: settings.max_connections,
            handshake_timeout: settings.handshake_timeout,
            metrics: metrics.clone(),
            stop: stop.clone(),
        };
        let (mut read, stopped) = (ready.clone(), stop.clone());
        tasks.spawn(async move {
            let is_read = async { read.wait_for(|read| *read).await.is_ok() };
            if stopped.run_until_cancelled(is_read).await == Some(true) {
                server::serve(listener, injector, metrics, stopped.clone()).await;
            }
        });
        let configurations = Configurations::new(client, authority, names);
        tasks.spawn(configurations.run(stop.clone()));
        ready
    }
}

/// What this control plane's objects are called.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    /// `default` where it has no name.
    revision: String,
    namespace: String,
    /// `-<revision>`, or nothing.
    suffix: String,
}

impl Names {
    fn new(settings: &Settings) -> Self {
        let options = &settings.compiler;
        let (revision, suffix) = match options.revision.as_str() {
            "" | "default" => ("default".to_owned(), String::new()),
            revision => (revision.to_owned(), format!("-{revision}")),
        };
        Self { revision, namespace: options.root_namespace.clone(), suffix }
    }
}

/// The API server need not say who it is: what it asks is no secret of the mesh, and nothing is changed
/// by answering.
fn tls(serving: Arc<Serving>) -> Arc<ServerConfig> {
    let mut config = ServerConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(PROTOCOL_VERSIONS)
        .expect("invariant: the provider supports the versions that are named beside it")
        .with_no_client_auth()
        .with_cert_resolver(serving);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}
