//! Fields of the API, as the account of fields names them.

use std::collections::BTreeSet;
use std::fmt;

use anyhow::Context;
use lateen_api::Kind;
use serde::{Deserialize, Serialize};

/// A field (`VirtualService spec.http[].match[].uri`) or one of its values
/// (`MeshConfig accessLogEncoding=JSON`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FieldName(pub String);

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FieldName {
    /// The kind, the path, and the value where one is named.
    ///
    /// # Errors
    /// When the account has no such honoured field.
    pub fn parts(&self) -> anyhow::Result<(Kind, String, Option<String>)> {
        let found = lateen_api::account()
            .filter(|line| line.honoured)
            .find(|line| name(line) == self.0)
            .with_context(|| format!("`{}` is no honoured field of the account", self.0))?;
        Ok((found.kind, found.path, found.value.map(str::to_owned)))
    }

    /// All honoured fields.
    #[must_use]
    pub fn honoured() -> BTreeSet<Self> {
        let lines = lateen_api::account().filter(|line| line.honoured && !line.path.is_empty());
        lines.map(|line| Self(name(&line))).collect()
    }
}

fn name(line: &lateen_api::FieldAccount) -> String {
    let value = line.value.map(|value| format!("={value}")).unwrap_or_default();
    format!("{:?} {}{value}", line.kind, line.path)
}
