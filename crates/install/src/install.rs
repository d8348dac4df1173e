//! Installing, and installing again: what is there is brought to what the values ask for.

mod tags;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::cluster::{Cluster, ClusterError};
use crate::kinds::Kind;
use crate::record::{Owned, Record};
use crate::render::{Release, Rendered, title};
use crate::values::{Given, ValuesError};
use tags::Former;

/// What is to be installed.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What it is called.
    pub release: Release,
    /// Its revision; empty for the default one.
    pub revision: String,
    /// The values that its user gave.
    pub given: Given,
    /// All values.
    pub values: Value,
    /// The objects.
    pub rendered: Rendered,
    /// What was there before.
    pub before: Option<Record>,
    /// Installations whose tags this one gets.
    formers: Vec<Former>,
}

/// Why nothing was installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// Values that cannot be.
    #[error(transparent)]
    Values(#[from] ValuesError),
    /// A cluster that refuses.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// Objects that are somebody else's.
    #[error(
        "these are somebody else's and are left alone: {}; install beside them with --revision NAME",
        .0.join(", ")
    )]
    Foreign(Vec<String>),
    /// An upgrade of nothing.
    #[error(
        "there is no revision {revision} in the namespace {namespace}; `lateen install` makes one"
    )]
    NotInstalled {
        /// The revision, as labels say it.
        revision: String,
        /// Where it was looked for.
        namespace: String,
    },
}

/// What became of something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// It is as it should be.
    Applied(String),
    /// It was there, and is somebody else's.
    Kept(String),
    /// It is not wanted any more.
    Deleted(String),
    /// It was another installation's.
    Moved(String),
}

/// The revision that values name.
#[must_use]
pub fn revision(values: &Value) -> String {
    values["revision"].as_str().unwrap_or_default().to_owned()
}

fn is_ours(object: &Value) -> bool {
    object["metadata"]["labels"]["app.kubernetes.io/part-of"] == "lateen"
}

/// Whose an object is, if it is not of this release.
fn stranger(found: &Value, release: &Release) -> Option<String> {
    let labels = &found["metadata"]["labels"];
    let by = labels["app.kubernetes.io/managed-by"].as_str().unwrap_or_default();
    if !is_ours(found) {
        return Some(title(found));
    }
    let instance = labels["app.kubernetes.io/instance"].as_str().unwrap_or_default();
    (by != release.service || instance != release.name)
        .then(|| format!("{} (of {by} release {instance})", title(found)))
}

impl Plan {
    /// Makes a plan for a cluster; nothing is written.
    ///
    /// # Errors
    /// Values that cannot be, a template that refuses (another mesh and no root to share), objects
    /// that are somebody else's.
    pub async fn make(
        cluster: &Cluster,
        name: &str,
        namespace: &str,
        given: Given,
    ) -> Result<Self, InstallError> {
        let values = given.over_defaults()?;
        let revision = revision(&values);
        let before = Record::read(cluster, namespace, &revision).await?;
        let release = Release {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            service: "lateen".to_owned(),
            is_upgrade: before.is_some(),
        };
        let rendered = cluster.render(&values, &release).await?;
        let formers = tags::formers(cluster, namespace, &values).await?;
        let plan = Self { release, revision, given, values, rendered, before, formers };
        plan.refuse_strangers(cluster).await?;
        Ok(plan)
    }

    async fn refuse_strangers(&self, cluster: &Cluster) -> Result<(), InstallError> {
        let mut strangers = Vec::new();
        for owned in self.rendered.objects.iter().filter_map(Owned::of) {
            if self.formers.iter().any(|former| former.lost.contains(&owned)) {
                continue;
            }
            let found = cluster.get(owned.kind, &owned.namespace, &owned.name).await?;
            strangers.extend(found.and_then(|found| stranger(&found, &self.release)));
        }
        if strangers.is_empty() { Ok(()) } else { Err(InstallError::Foreign(strangers)) }
    }

    /// Brings the cluster to the plan, and says what it does as it does it.
    ///
    /// # Errors
    /// When the API server refuses something; what was done stays, and the plan can be carried out again.
    pub async fn carry_out(
        &self,
        cluster: &Cluster,
        progress: &mut dyn FnMut(&Done),
    ) -> Result<(), InstallError> {
        self.make_namespaces(cluster, progress).await?;
        apply_definitions(cluster, progress).await?;
        let wanted: Vec<Owned> = self.rendered.objects.iter().filter_map(Owned::of).collect();
        let before = self.before.clone().unwrap_or_default().objects;
        let gone: Vec<Owned> = before.into_iter().filter(|owned| !wanted.contains(owned)).collect();
        let mut record = Record {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            given: self.given.clone(),
            objects: wanted.iter().chain(&gone).cloned().collect(),
        };
        // Written first, so that nothing is made that nobody would know of.
        record.write(cluster, &self.release, &self.revision).await?;
        for former in &self.formers {
            former.give_up(cluster, &self.release).await?;
            progress(&Done::Moved(former.title()));
        }
        for object in &self.rendered.objects {
            cluster.apply(object).await?;
            progress(&Done::Applied(title(object)));
        }
        for owned in gone.iter().rev() {
            if cluster.delete(owned.kind, &owned.namespace, &owned.name).await? {
                progress(&Done::Deleted(owned.to_string()));
            }
        }
        record.objects = wanted;
        record.write(cluster, &self.release, &self.revision).await?;
        Ok(())
    }

    async fn make_namespaces(
        &self,
        cluster: &Cluster,
        progress: &mut dyn FnMut(&Done),
    ) -> Result<(), InstallError> {
        let namespaces: BTreeSet<&str> = std::iter::once(self.release.namespace.as_str())
            .chain(
                self.rendered.objects.iter().filter_map(|it| it["metadata"]["namespace"].as_str()),
            )
            .collect();
        let kind =
            Kind::find("v1", "Namespace").expect("invariant: namespaces are among the kinds");
        for namespace in namespaces {
            if cluster.get(kind, "", namespace).await?.is_some() {
                continue;
            }
            let object = json!({
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": namespace, "labels": {
                    "app.kubernetes.io/part-of": "lateen",
                    "app.kubernetes.io/managed-by": "lateen",
                }},
            });
            cluster.apply(&object).await?;
            progress(&Done::Applied(title(&object)));
        }
        Ok(())
    }

    /// The Deployments and DaemonSets of the plan.
    #[must_use]
    pub fn workloads(&self) -> Vec<Owned> {
        let objects = self.rendered.objects.iter().filter_map(Owned::of);
        objects.filter(|owned| matches!(owned.kind.kind, "Deployment" | "DaemonSet")).collect()
    }
}

/// The definitions of kinds: what is missing is made, what is ours is brought up to date, and what is
/// somebody else's stays as it is.
async fn apply_definitions(
    cluster: &Cluster,
    progress: &mut dyn FnMut(&Done),
) -> Result<(), InstallError> {
    for definition in lateen_api::crd::definitions() {
        let Some(owned) = Owned::of(&definition) else { continue };
        match cluster.get(owned.kind, "", &owned.name).await? {
            Some(found) if !is_ours(&found) => progress(&Done::Kept(owned.to_string())),
            _ => {
                cluster.apply(&definition).await?;
                progress(&Done::Applied(owned.to_string()));
            }
        }
    }
    Ok(())
}
