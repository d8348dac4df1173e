//! The authority's secret as time goes by: whatever stands in it is in force, and a root of our own is renewed
//! before it ends, as Istio does it (`CITADEL_SELF_SIGNED_ROOT_CERT_CHECK_INTERVAL`, an hour;
//! `CITADEL_SELF_SIGNED_ROOT_CERT_GRACE_PERIOD_PERCENTILE`, a fifth of its life). The leader writes.
//!
//! The key stays, so that nobody is cut off: who trusts the former root accepts what the new one signs, and
//! the other way round. What somebody else wrote is never written: neither an operator's `cacerts` nor an
//! `istio-ca-secret` of Istio's, which Istio renews.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};
use lateen_identity::{AuthoritySettings, CertificateAuthority};
use tokio::sync::watch;
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;

use super::authority::{self, Data, OWN};
use super::{MANAGED_BY, MANAGER, asked, refusal};

/// See the module.
pub(crate) struct Renewal {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    /// The secret that the authority was loaded from.
    pub(crate) secret: &'static str,
    /// What stood in it then.
    pub(crate) data: Data,
    pub(crate) settings: AuthoritySettings,
    /// How often it is looked whether the root is to be renewed.
    pub(crate) check: Duration,
    pub(crate) exchange: watch::Sender<Arc<CertificateAuthority>>,
    pub(crate) leading: watch::Receiver<bool>,
}

impl Renewal {
    /// Follows the secret, and renews the root in it while this one leads, until stopped.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let config = watcher::Config::default().fields(&format!("metadata.name={}", self.secret));
        let events = watcher::watcher(secrets.clone(), config).default_backoff();
        tokio::pin!(events);
        let mut leading = self.leading.clone();
        let mut found: Option<Secret> = None;
        let mut checks = tokio::time::interval(self.check);
        checks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                event = events.next() => match event {
                    Some(Ok(Event::InitApply(secret) | Event::Apply(secret))) => {
                        self.take(&secret);
                        found = Some(secret);
                        // Whether it is time is looked at below, at the next check.
                        continue;
                    }
                    Some(Ok(Event::Delete(_))) => {
                        let secret = self.secret;
                        tracing::error!(secret, "the authority's secret is gone; restore it: without \
                            it a control plane that starts makes another root");
                        found = None;
                        continue;
                    }
                    Some(Ok(Event::Init | Event::InitDone)) => continue,
                    Some(Err(error)) => {
                        tracing::warn!(%error, "the authority's secret is not heard of");
                        continue;
                    }
                    None => return,
                },
                changed = leading.changed() => if changed.is_err() { return },
                _ = checks.tick() => {}
            }
            if *leading.borrow_and_update()
                && let Some(secret) = &found
            {
                self.renew(&secrets, secret).await;
            }
        }
    }

    /// Puts in force what stands in the secret, if it is something else than before.
    fn take(&mut self, secret: &Secret) {
        let data = authority::data(secret.clone());
        if data == self.data {
            return;
        }
        let settings = self.settings.clone();
        match authority::read(&self.namespace, self.secret, data.clone(), settings) {
            Ok(loaded) => {
                tracing::info!(secret = self.secret, "another certificate authority is in force");
                self.data = data;
                self.exchange.send_replace(Arc::new(loaded));
            }
            Err(error) => {
                tracing::error!(%error, "the former certificate authority stays in force");
            }
        }
    }

    async fn renew(&self, secrets: &Api<Secret>, secret: &Secret) {
        if self.secret != OWN {
            return;
        }
        let place = PathBuf::from(format!("secret/{}/{}", self.namespace, self.secret));
        let data = authority::data(secret.clone());
        let due =
            CertificateAuthority::renewed_secret(&data, &place, &self.settings, SystemTime::now());
        let renewed = match due {
            Ok(Some(renewed)) => renewed,
            Ok(None) => return,
            Err(error) => {
                tracing::error!(%error, "whether the root is to be renewed is not known");
                return;
            }
        };
        let is_ours = secret.labels().get(MANAGED_BY).is_some_and(|manager| manager == MANAGER);
        if !is_ours {
            tracing::warn!(
                secret = self.secret,
                "the mesh's root is near its end, and Istio's to renew; where Istio is gone, label \
                 the secret {MANAGED_BY}={MANAGER}"
            );
            return;
        }
        let written = Secret {
            data: Some(renewed.into_iter().map(|(key, value)| (key, ByteString(value))).collect()),
            ..secret.clone()
        };
        let parameters =
            PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        // The version that was read goes along: whoever wrote meanwhile is right.
        match asked(secrets.replace(self.secret, &parameters, &written)).await {
            Ok(_) => tracing::info!(secret = self.secret, "the mesh's root is renewed"),
            Err(error) if refusal(&error) == Some(409) => {}
            Err(error) => tracing::error!(%error, "the mesh's root cannot be renewed"),
        }
    }
}
