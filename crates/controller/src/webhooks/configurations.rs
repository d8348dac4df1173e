//! The webhook configurations of this revision: the API server is told which root to trust, and validation
//! is enforced once it is seen to answer (Istio: `failurePolicy` goes from `Ignore` to `Fail`).
//!
//! Every control plane of the revision does this: they all write the same, and write nothing where it
//! stands already. Whose configurations they are is said by the label `istio.io/rev`, and of their webhooks
//! only those count that lead to this control plane's service, or to an address.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams},
    core::{GroupVersionKind, ObjectMeta},
    runtime::{
        WatchStreamExt,
        watcher::{self, Event},
    },
};
use serde_json::{Value, json};
use tokio_stream::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;

use super::{ALWAYS_REJECT, Names};
use crate::{
    authority::Authority,
    kubernetes::{MANAGER, asked},
};

/// How long to wait before what failed, or does not answer yet, is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Configurations {
    client: Client,
    authority: Authority,
    /// The roots, as configurations hold them.
    bundle: String,
    names: Names,
    mutating: Known,
    validating: Known,
    /// What was complained about last, so that it is not said every second.
    complaint: String,
}

/// Webhooks of configurations, by the configuration's name.
type Known = BTreeMap<String, Vec<Value>>;

/// One of the two kinds of configurations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Mutating,
    Validating,
}

impl Kind {
    fn resource(self) -> ApiResource {
        match self {
            Self::Mutating => ApiResource::erase::<MutatingWebhookConfiguration>(&()),
            Self::Validating => ApiResource::erase::<ValidatingWebhookConfiguration>(&()),
        }
    }
}

impl Configurations {
    pub(super) fn new(client: Client, authority: Authority, names: Names) -> Self {
        Self {
            client,
            bundle: STANDARD.encode(authority.current().root_pem()),
            authority,
            names,
            mutating: Known::new(),
            validating: Known::new(),
            complaint: String::new(),
        }
    }

    /// Follows the configurations until stopped.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let (mutating, validating) = (self.follow(Kind::Mutating), self.follow(Kind::Validating));
        tokio::pin!(mutating, validating);
        let mut is_done = true;
        loop {
            let retry = async {
                match is_done {
                    true => std::future::pending().await,
                    false => tokio::time::sleep(RETRY).await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.authority.changed() => {
                    self.bundle = STANDARD.encode(self.authority.current().root_pem());
                }
                Some(event) = mutating.next() => take(&mut self.mutating, event),
                Some(event) = validating.next() => take(&mut self.validating, event),
                () = retry => {}
            }
            let Some(done) = stop.run_until_cancelled(self.reconcile()).await else { return };
            is_done = done;
        }
    }

    fn follow(&self, kind: Kind) -> impl Stream<Item = Event<DynamicObject>> + use<> {
        let resource = kind.resource();
        let all: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        let config =
            watcher::Config::default().labels(&format!("istio.io/rev={}", self.names.revision));
        let events = watcher::watcher(all, config).default_backoff();
        events.filter_map(move |event| {
            event
                .inspect_err(|error| {
                    tracing::warn!(%error, ?kind, "webhook configurations are not heard of");
                })
                .ok()
        })
    }

    /// Does what is to be done; whether nothing is left.
    async fn reconcile(&mut self) -> bool {
        match self.step().await {
            Ok(done) => {
                self.complaint.clear();
                done
            }
            Err(complaint) => {
                if complaint != self.complaint {
                    tracing::warn!("webhook configurations are not as wanted yet: {complaint}");
                    self.complaint = complaint;
                }
                false
            }
        }
    }

    async fn step(&self) -> Result<bool, String> {
        for (kind, known) in
            [(Kind::Mutating, &self.mutating), (Kind::Validating, &self.validating)]
        {
            for (name, webhooks) in known {
                let outdated = self
                    .ours(webhooks)
                    .filter(|webhook| webhook["clientConfig"]["caBundle"] != self.bundle.as_str());
                let changes: Vec<Value> = outdated
                    .map(|webhook| {
                        let config = json!({"caBundle": self.bundle});
                        json!({"name": webhook["name"], "clientConfig": config})
                    })
                    .collect();
                if !changes.is_empty() {
                    self.patch(kind, name, &changes).await?;
                    tracing::info!(configuration = name, "a webhook trusts the mesh's root");
                    // What it is now is heard of, and looked at then.
                    return Ok(false);
                }
            }
        }
        for (name, webhooks) in &self.validating {
            let lenient: Vec<&Value> = self
                .ours(webhooks)
                .filter(|webhook| webhook["failurePolicy"] == "Ignore")
                .collect();
            if lenient.is_empty() {
                continue;
            }
            for webhook in &lenient {
                self.probe(webhook).await?;
            }
            let changes: Vec<Value> = lenient
                .iter()
                .map(|webhook| json!({"name": webhook["name"], "failurePolicy": "Fail"}))
                .collect();
            self.patch(Kind::Validating, name, &changes).await?;
            tracing::info!(configuration = name, "validation is enforced: its webhook answers");
        }
        Ok(true)
    }

    /// The webhooks that lead here.
    fn ours<'a>(&self, webhooks: &'a [Value]) -> impl Iterator<Item = &'a Value> + use<'a> {
        let service = format!("istiod{}", self.names.suffix);
        let namespace = self.names.namespace.clone();
        webhooks.iter().filter(move |webhook| {
            let config = &webhook["clientConfig"];
            let leads_to = &config["service"];
            config["url"].is_string()
                || (leads_to["name"] == service.as_str()
                    && leads_to["namespace"] == namespace.as_str())
        })
    }

    async fn patch(&self, kind: Kind, name: &str, webhooks: &[Value]) -> Result<(), String> {
        let all: Api<DynamicObject> = Api::all_with(self.client.clone(), &kind.resource());
        let params =
            PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let patch = Patch::Strategic(json!({"webhooks": webhooks}));
        match asked(all.patch(name, &params, &patch)).await {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("{name} cannot be changed: {error}")),
        }
    }

    /// Whether a validating webhook answers: an object that it always refuses is made for show.
    async fn probe(&self, webhook: &Value) -> Result<(), String> {
        let name = webhook["name"].as_str().unwrap_or_default();
        let gvk = GroupVersionKind::gvk("networking.istio.io", "v1", "Gateway");
        let resource = ApiResource::from_gvk(&gvk);
        let gateways: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &self.names.namespace, &resource);
        let mut metadata = ObjectMeta {
            generate_name: Some("lateen-validation-probe-".to_owned()),
            annotations: Some([(ALWAYS_REJECT.to_owned(), "true".to_owned())].into()),
            ..ObjectMeta::default()
        };
        if selects_revision(webhook) {
            metadata.labels =
                Some([("istio.io/rev".to_owned(), self.names.revision.clone())].into());
        }
        let gateway = DynamicObject {
            types: Some(kube::core::TypeMeta {
                api_version: resource.api_version.clone(),
                kind: resource.kind.clone(),
            }),
            metadata,
            data: json!({"spec": {}}),
        };
        let params = PostParams { dry_run: true, ..PostParams::default() };
        match asked(gateways.create(&params, &gateway)).await {
            Ok(_) => Err(format!("the webhook {name} does not answer yet")),
            Err(kube::Error::Api(status))
                if status.message.contains(ALWAYS_REJECT) && status.message.contains(name) =>
            {
                Ok(())
            }
            Err(error) => Err(format!("whether the webhook {name} answers is not known: {error}")),
        }
    }
}

/// Whether a webhook is for objects with a revision's label.
fn selects_revision(webhook: &Value) -> bool {
    let expressions = webhook["objectSelector"]["matchExpressions"].as_array();
    expressions
        .into_iter()
        .flatten()
        .any(|expression| expression["key"] == "istio.io/rev" && expression["operator"] == "In")
}

fn take(known: &mut Known, event: Event<DynamicObject>) {
    match event {
        Event::Init => known.clear(),
        Event::InitDone => {}
        Event::InitApply(object) | Event::Apply(object) => {
            let webhooks = object.data["webhooks"].as_array().cloned().unwrap_or_default();
            known.insert(object.metadata.name.unwrap_or_default(), webhooks);
        }
        Event::Delete(object) => {
            known.remove(&object.metadata.name.unwrap_or_default());
        }
    }
}
