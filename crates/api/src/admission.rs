//! What the validating webhook answers about an object.

use serde_json::Value as Json;

use crate::diagnostic::{Diagnostic, Severity};
use crate::parse::parse_json;

/// The webhook's answer: whether an object is taken, and what its author should know.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// Why the object is refused, `spec.http[0].timeout: …`. None: it is taken.
    pub errors: Vec<String>,
    /// What kubectl prints about an object that is taken.
    pub warnings: Vec<String>,
}

impl Verdict {
    /// Whether the object is taken.
    pub fn is_allowed(&self) -> bool {
        self.errors.is_empty()
    }
}

/// Judges an object as the API server shows it to a validating webhook. An object whose name the
/// server is yet to make (`generateName`) needs none.
pub fn admit(object: &Json) -> Verdict {
    let mut object = object.clone();
    let prefix = object["metadata"]["generateName"].as_str().map(str::to_owned);
    if let Some(prefix) = prefix
        && object["metadata"]["name"].is_null()
    {
        object["metadata"]["name"] = Json::from(prefix);
    }
    let parsed = parse_json(&object, "");
    let of = |severity: Severity| {
        let said = parsed.diagnostics.iter().filter(move |it| it.severity == severity);
        said.map(line).collect()
    };
    Verdict { errors: of(Severity::Error), warnings: of(Severity::Warning) }
}

fn line(diagnostic: &Diagnostic) -> String {
    let Diagnostic { field, message, code, .. } = diagnostic;
    if field.is_empty() {
        return format!("{message} [{code}]");
    }
    format!("{field}: {message} [{code}]")
}
