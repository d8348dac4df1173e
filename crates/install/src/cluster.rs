//! A cluster as an installation needs it: objects by kind, got, listed, applied and deleted.

use std::path::Path;

use kube::api::{
    ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PropagationPolicy,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::{Value, json};

use crate::kinds::Kind;
use crate::lookup::{Lookup, Question};
use crate::render::{Release, RenderError, Rendered, render, title};

/// Who writes, as the API server notes it down for each field.
pub const FIELD_MANAGER: &str = "lateen-install";

/// Why a cluster cannot be worked with.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No way to it.
    #[error("no cluster is reached: {0}")]
    Config(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The API server refused, or did not answer.
    #[error("{what}: {source}")]
    Refused {
        /// What was asked of it.
        what: String,
        /// What it said.
        #[source]
        source: Box<kube::Error>,
    },
    /// The chart's templates refuse.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// Templates that ask without end.
    #[error("the chart's templates ask the cluster again and again")]
    Endless,
}

/// A cluster.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Cluster").finish_non_exhaustive()
    }
}

impl Cluster {
    /// The cluster of a kubeconfig; without one, that of `KUBECONFIG` or `~/.kube/config`, and in a pod
    /// its own. `context` chooses in it.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub async fn connect(
        kubeconfig: Option<&Path>,
        context: Option<&str>,
    ) -> Result<Self, ClusterError> {
        let refused = |error: Box<dyn std::error::Error + Send + Sync>| ClusterError::Config(error);
        let options = KubeConfigOptions {
            context: context.map(str::to_owned),
            ..KubeConfigOptions::default()
        };
        let config = match (kubeconfig, context) {
            (Some(path), _) => {
                let file = Kubeconfig::read_from(path).map_err(|error| refused(error.into()))?;
                Config::from_custom_kubeconfig(file, &options)
                    .await
                    .map_err(|error| refused(error.into()))?
            }
            (None, Some(_)) => {
                Config::from_kubeconfig(&options).await.map_err(|error| refused(error.into()))?
            }
            (None, None) => Config::infer().await.map_err(|error| refused(error.into()))?,
        };
        let client = Client::try_from(config).map_err(|error| refused(error.into()))?;
        Ok(Self { client })
    }

    /// The client.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    fn api(&self, resource: &ApiResource, namespaced: bool, namespace: &str) -> Api<DynamicObject> {
        if namespaced && !namespace.is_empty() {
            Api::namespaced_with(self.client.clone(), namespace, resource)
        } else {
            Api::all_with(self.client.clone(), resource)
        }
    }

    fn of_kind(&self, kind: &Kind, namespace: &str) -> Api<DynamicObject> {
        self.api(&kind.resource(), kind.namespaced, namespace)
    }

    /// An object, if it is there.
    ///
    /// # Errors
    /// When the API server refuses to say.
    pub async fn get(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Value>, ClusterError> {
        let found = self.of_kind(kind, namespace).get_opt(name).await;
        let found = found.map_err(|error| refused(format!("{} {name}", kind.kind), error))?;
        Ok(found.map(|object| plain(&object)))
    }

    /// The objects of a kind, of a namespace or (empty) of all.
    ///
    /// # Errors
    /// When the API server refuses to list them.
    pub async fn list(
        &self,
        kind: &Kind,
        namespace: &str,
        labels: &str,
    ) -> Result<Vec<Value>, ClusterError> {
        self.list_with(kind, namespace, &ListParams::default().labels(labels)).await
    }

    /// The objects of a name in all namespaces.
    ///
    /// # Errors
    /// When the API server refuses to list them.
    pub async fn named(&self, kind: &Kind, name: &str) -> Result<Vec<Value>, ClusterError> {
        let fields = format!("metadata.name={name}");
        self.list_with(kind, "", &ListParams::default().fields(&fields)).await
    }

    async fn list_with(
        &self,
        kind: &Kind,
        namespace: &str,
        parameters: &ListParams,
    ) -> Result<Vec<Value>, ClusterError> {
        let found = self.of_kind(kind, namespace).list(parameters).await;
        let found =
            found.map_err(|error| refused(format!("the list of {}", kind.plural), error))?;
        Ok(found.items.iter().map(|object| whole(object, kind)).collect())
    }

    /// Applies an object, on the server's side: what others wrote into other fields stays.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn apply(&self, object: &Value) -> Result<(), ClusterError> {
        let Some(kind) = Kind::of(object) else { return Ok(()) };
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let api = self.of_kind(kind, namespace);
        let applied = api.patch(name, &parameters, &Patch::Apply(object)).await;
        applied.map(|_| ()).map_err(|error| refused(title(object), error))
    }

    /// Deletes an object; whether it was there.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn delete(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
    ) -> Result<bool, ClusterError> {
        let parameters = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            ..DeleteParams::default()
        };
        match self.of_kind(kind, namespace).delete(name, &parameters).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
            Err(error) => Err(refused(format!("{} {name}", kind.kind), error)),
        }
    }

    /// The version of the API server, as `v1.33.1`, and its minor part.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn version(&self) -> Result<(String, u32), ClusterError> {
        let info = self.client.apiserver_version().await;
        let info =
            info.map_err(|error| refused("the version of the API server".to_owned(), error))?;
        let minor: String = info.minor.chars().take_while(char::is_ascii_digit).collect();
        Ok((info.git_version, minor.parse().unwrap_or(0)))
    }

    /// Whether somebody serves an API group.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn serves(&self, group: &str) -> Result<bool, ClusterError> {
        let groups = self.client.list_api_groups().await;
        let groups = groups.map_err(|error| refused("the API groups".to_owned(), error))?;
        Ok(groups.groups.iter().any(|served| served.name == group))
    }

    /// Whether this user may do something with a kind.
    ///
    /// # Errors
    /// When the API server does not say.
    pub async fn may(
        &self,
        verb: &str,
        kind: &Kind,
        namespace: &str,
    ) -> Result<bool, ClusterError> {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "metadata": {},
            "spec": {"resourceAttributes": {
                "verb": verb, "group": kind.group, "resource": kind.plural,
                "namespace": if kind.namespaced { namespace } else { "" },
            }},
        });
        let what = || format!("whether {} may be {verb}d", kind.plural);
        let body = review.to_string().into_bytes();
        let request = http::Request::post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
            .header("content-type", "application/json")
            .body(body)
            .map_err(|error| refused(what(), kube::Error::HttpError(error)))?;
        let answer: Value =
            self.client.request(request).await.map_err(|error| refused(what(), error))?;
        Ok(answer["status"]["allowed"] == true)
    }

    /// Renders the chart with what its templates ask of this cluster.
    ///
    /// # Errors
    /// When a template refuses, or the API server does.
    pub async fn render(
        &self,
        values: &Value,
        release: &Release,
    ) -> Result<Rendered, ClusterError> {
        /// Answers lead to further questions, a few times.
        const ROUNDS: usize = 10;
        let lookup = Lookup::new();
        for _ in 0..ROUNDS {
            let rendered = render(values, release, &lookup);
            let open = lookup.open();
            if open.is_empty() {
                return Ok(rendered?);
            }
            for question in open {
                let answer = self.look_up(&question).await?;
                lookup.answer(question, answer);
            }
        }
        Err(ClusterError::Endless)
    }

    async fn look_up(&self, question: &Question) -> Result<Value, ClusterError> {
        let Some(kind) = Kind::find(&question.api_version, &question.kind) else {
            return Ok(json!({}));
        };
        if question.name.is_empty() {
            let items = self.list(kind, &question.namespace, "").await?;
            return Ok(json!({ "items": items }));
        }
        let found = self.get(kind, &question.namespace, &question.name).await?;
        Ok(found.unwrap_or_else(|| json!({})))
    }
}

pub(crate) fn refused(what: String, source: kube::Error) -> ClusterError {
    ClusterError::Refused { what, source: Box::new(source) }
}

fn plain(object: &DynamicObject) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

/// An object of a list, which does not say what it is.
fn whole(object: &DynamicObject, kind: &Kind) -> Value {
    let mut object = plain(object);
    object["apiVersion"] = kind.api_version().into();
    object["kind"] = kind.kind.into();
    object
}
