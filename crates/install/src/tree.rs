//! YAML as JSON.

use lateen_api::value::{Node, Value as Tree};
use lateen_api::yaml::SyntaxError;
use serde_json::{Number, Value};

/// The documents of a YAML text; empty ones are left out.
///
/// # Errors
/// Where the text is no YAML.
pub(crate) fn documents(text: &str) -> Result<Vec<Value>, SyntaxError> {
    let mut found = Vec::new();
    for document in lateen_api::yaml::documents(text) {
        let document = of(&document?);
        if !document.is_null() {
            found.push(document);
        }
    }
    Ok(found)
}

/// The first document; null where there is none.
///
/// # Errors
/// Where the text is no YAML.
pub(crate) fn document(text: &str) -> Result<Value, SyntaxError> {
    Ok(documents(text)?.into_iter().next().unwrap_or_default())
}

fn of(node: &Node) -> Value {
    match &node.value {
        Tree::Null => Value::Null,
        Tree::Bool(truth) => Value::Bool(*truth),
        Tree::Number(text) => number(text),
        Tree::String(text) => Value::String(text.clone()),
        Tree::List(items) => items.iter().map(of).collect(),
        Tree::Map(entries) => Value::Object(
            entries.iter().map(|entry| (entry.key.clone(), of(&entry.value))).collect(),
        ),
    }
}

/// A number, or the text where it is none that JSON has.
fn number(text: &str) -> Value {
    let whole = text.parse::<i64>().ok().map(Value::from);
    let real = || text.parse().ok().and_then(Number::from_f64).map(Value::Number);
    whole.or_else(real).unwrap_or_else(|| Value::from(text))
}
