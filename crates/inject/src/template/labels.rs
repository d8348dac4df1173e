//! Labels by which telemetry names a workload.

use serde_json::{Map, Value, json};

use super::Context;
use crate::json::label;
use crate::names;

/// The longest value of a label.
const LONGEST: usize = 63;

/// Name and revision of the service that the workload counts for: what a label says, the first one
/// that does, else its owner's name, and `latest`.
pub(super) fn canonical(context: &Context<'_>, members: &mut Map<String, Value>) {
    let first = |names: [&str; 3]| {
        let mut values = names.into_iter().filter_map(|name| label(context.pod, name));
        values.find(|value| !value.is_empty())
    };
    let owner = context.owner.workload_name(context.pod);
    let name =
        first([names::CANONICAL_NAME, "app.kubernetes.io/name", "app"]).unwrap_or(owner.as_str());
    let cut = name.char_indices().nth(LONGEST).map_or(name, |(end, _)| &name[..end]);
    let name = cut.strip_suffix('-').unwrap_or(cut);
    let revision = first([names::CANONICAL_REVISION, "app.kubernetes.io/version", "version"]);
    members.insert(names::CANONICAL_NAME.to_owned(), json!(name));
    let revision = revision.unwrap_or("latest");
    members.insert(names::CANONICAL_REVISION.to_owned(), json!(revision));
}
