//! What an installation remembers of itself: a ConfigMap with the values that its user gave and the
//! objects that belong to it.

use serde_json::{Value, json};

use crate::cluster::{Cluster, ClusterError};
use crate::kinds::Kind;
use crate::render::Release;
use crate::values::Given;

/// An object by kind and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    /// Its kind.
    pub kind: &'static Kind,
    /// Its namespace; empty where its kind has none.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Owned {
    /// What an object is.
    #[must_use]
    pub fn of(object: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Some(Self {
            kind: Kind::of(object)?,
            namespace: text(&object["metadata"]["namespace"]),
            name: text(&object["metadata"]["name"]),
        })
    }

    fn to_json(&self) -> Value {
        json!({
            "apiVersion": self.kind.api_version(),
            "kind": self.kind.kind,
            "metadata": {"namespace": self.namespace, "name": self.name},
        })
    }
}

impl std::fmt::Display for Owned {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.namespace.as_str() {
            "" => write!(out, "{} {}", self.kind.kind, self.name),
            namespace => write!(out, "{} {namespace}/{}", self.kind.kind, self.name),
        }
    }
}

/// The record of an installation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    /// The program's version that wrote it.
    pub version: String,
    /// What its user gave.
    pub given: Given,
    /// What belongs to it.
    pub objects: Vec<Owned>,
}

/// The label of records, with the revision as its value.
pub const LABEL: &str = "lateen.dev/installation";

/// A revision as labels say it.
#[must_use]
pub fn revision_label(revision: &str) -> &str {
    if revision.is_empty() { "default" } else { revision }
}

fn name(revision: &str) -> String {
    match revision {
        "" => "lateen-installation".to_owned(),
        revision => format!("lateen-installation-{revision}"),
    }
}

fn config_maps() -> &'static Kind {
    Kind::find("v1", "ConfigMap").expect("invariant: config maps are among the kinds")
}

impl Record {
    /// The record of a revision in a namespace, if it was installed by this program.
    ///
    /// # Errors
    /// When the API server refuses to say.
    pub async fn read(
        cluster: &Cluster,
        namespace: &str,
        revision: &str,
    ) -> Result<Option<Self>, ClusterError> {
        let found = cluster.get(config_maps(), namespace, &name(revision)).await?;
        Ok(found.as_ref().map(Self::of))
    }

    fn of(object: &Value) -> Self {
        let text = |key: &str| object["data"][key].as_str().unwrap_or_default().to_owned();
        let json = |key: &str| serde_json::from_str::<Value>(&text(key)).unwrap_or_default();
        let objects = json("objects");
        Self {
            version: text("version"),
            given: Given::of_json(json("values")),
            objects: objects.as_array().into_iter().flatten().filter_map(Owned::of).collect(),
        }
    }

    /// Writes the record.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn write(
        &self,
        cluster: &Cluster,
        release: &Release,
        revision: &str,
    ) -> Result<(), ClusterError> {
        let objects: Value = self.objects.iter().map(Owned::to_json).collect();
        let object = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": name(revision),
                "namespace": release.namespace,
                "labels": {
                    "app.kubernetes.io/part-of": "lateen",
                    "app.kubernetes.io/managed-by": "lateen",
                    (LABEL): revision_label(revision),
                },
            },
            "data": {
                "version": self.version,
                "values": self.given.to_json().to_string(),
                "objects": objects.to_string(),
            },
        });
        cluster.apply(&object).await
    }

    /// Deletes the record.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn delete(
        cluster: &Cluster,
        namespace: &str,
        revision: &str,
    ) -> Result<(), ClusterError> {
        cluster.delete(config_maps(), namespace, &name(revision)).await.map(|_| ())
    }

    /// The records of all installations of a cluster: namespace and revision.
    ///
    /// # Errors
    /// When the API server refuses to list them.
    pub async fn all(cluster: &Cluster) -> Result<Vec<(String, String)>, ClusterError> {
        let found = cluster.list(config_maps(), "", LABEL).await?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(found
            .iter()
            .map(|object| {
                let metadata = &object["metadata"];
                let revision = text(&metadata["labels"][LABEL]);
                let revision = if revision == "default" { String::new() } else { revision };
                (text(&metadata["namespace"]), revision)
            })
            .collect())
    }
}
