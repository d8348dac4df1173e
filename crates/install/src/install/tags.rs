//! Revision tags that go from one installation to another. At no time are they nobody's: pods that come
//! meanwhile get a sidecar, of one revision or of the other.

use serde_json::Value;

use crate::cluster::{Cluster, ClusterError};
use crate::record::{Owned, Record, revision_label};
use crate::render::Release;
use crate::values::Given;

/// An installation of the same namespace that loses tags.
#[derive(Debug, Clone)]
pub struct Former {
    revision: String,
    /// The tags that it loses.
    tags: Vec<String>,
    /// The objects that go with them.
    pub(super) lost: Vec<Owned>,
    /// What remains of it.
    left: Record,
}

/// The tags that values name.
fn tags(values: &Value) -> Vec<String> {
    let tags = values["revisionTags"].as_array().into_iter().flatten();
    tags.filter_map(|tag| Some(tag.as_str()?.to_owned())).collect()
}

/// Whether an object is there for a tag, and for nothing else.
fn belongs(owned: &Owned, tag: &str, revision: &str) -> bool {
    let name = owned.name.as_str();
    let named = |prefix: &str| name.strip_prefix(prefix) == Some(tag);
    named("istio-revision-tag-")
        || named("istiod-revision-tag-")
        // Without a revision it is there without the tag, too.
        || (tag == "default" && !revision.is_empty() && name == "istiod-default-validator")
}

/// The other installations of `namespace` that have tags which `values` name.
///
/// # Errors
/// When the API server does not say.
pub(super) async fn formers(
    cluster: &Cluster,
    namespace: &str,
    values: &Value,
) -> Result<Vec<Former>, ClusterError> {
    let wanted = tags(values);
    let mut formers = Vec::new();
    if wanted.is_empty() {
        return Ok(formers);
    }
    for (place, revision) in Record::all(cluster).await? {
        if place != namespace || revision == super::revision(values) {
            continue;
        }
        if let Some(record) = Record::read(cluster, namespace, &revision).await? {
            formers.extend(Former::of(&revision, record, &wanted));
        }
    }
    Ok(formers)
}

impl Former {
    /// What becomes of an installation that may not keep the tags `wanted`, if it has one of them.
    fn of(revision: &str, mut record: Record, wanted: &[String]) -> Option<Self> {
        let mut values = record.given.to_json();
        let had = tags(&values);
        let lost_tags: Vec<String> = had.into_iter().filter(|tag| wanted.contains(tag)).collect();
        if lost_tags.is_empty() {
            return None;
        }
        if let Some(kept) = values.get_mut("revisionTags").and_then(Value::as_array_mut) {
            kept.retain(|tag| !lost_tags.iter().any(|lost| tag == lost));
        }
        record.given = Given::of_json(values);
        let (lost, objects) = record
            .objects
            .into_iter()
            .partition(|owned| lost_tags.iter().any(|tag| belongs(owned, tag, revision)));
        record.objects = objects;
        Some(Self { revision: revision.to_owned(), tags: lost_tags, lost, left: record })
    }

    /// Has the installation forget the tags: neither its upgrade nor its removal touches them.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub(super) async fn give_up(
        &self,
        cluster: &Cluster,
        release: &Release,
    ) -> Result<(), ClusterError> {
        self.left.write(cluster, release, &self.revision).await
    }

    /// Which tags move, and from whom.
    pub(super) fn title(&self) -> String {
        format!("tag {} from revision {}", self.tags.join(", "), revision_label(&self.revision))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(names: &[&str], tags: &[&str]) -> Record {
        let of = |name: &&str| {
            Owned::of(&json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": {"namespace": "istio-system", "name": name},
            }))
        };
        Record {
            version: "0.1.0".to_owned(),
            given: Given::of_json(json!({"revision": "a", "revisionTags": tags})),
            objects: names.iter().filter_map(of).collect(),
        }
    }

    fn names(objects: &[Owned]) -> Vec<&str> {
        objects.iter().map(|owned| owned.name.as_str()).collect()
    }

    #[test]
    fn a_tag_goes_with_its_objects_and_the_rest_stays() {
        let objects = ["istiod-a", "istiod-revision-tag-prod", "istiod-revision-tag-prod-eu"];
        let before = record(&objects, &["prod", "prod-eu"]);
        let former =
            Former::of("a", before, &["prod".to_owned(), "new".to_owned()]).expect("it had one");
        assert_eq!(names(&former.lost), ["istiod-revision-tag-prod"]);
        assert_eq!(names(&former.left.objects), ["istiod-a", "istiod-revision-tag-prod-eu"]);
        let values = former.left.given.to_json();
        assert_eq!(values, json!({"revision": "a", "revisionTags": ["prod-eu"]}));
        assert_eq!(former.title(), "tag prod from revision a");
    }

    #[test]
    fn who_has_none_of_the_tags_loses_nothing() {
        let before = record(&["istiod-revision-tag-prod"], &["prod"]);
        assert!(Former::of("a", before, &["new".to_owned()]).is_none());
    }

    #[test]
    fn the_default_validator_belongs_to_a_revision_by_the_tag_alone() {
        for (revision, lost) in [("a", 1), ("", 0)] {
            let before = record(&["istiod-default-validator"], &["default"]);
            let former = Former::of(revision, before, &["default".to_owned()]).expect("it had it");
            assert_eq!(former.lost.len(), lost, "{revision:?}");
        }
    }
}
