//! YAML as a tree of values.

use anyhow::Context;
use lateen_api::value::{Node, Value};

/// The one document of a YAML text.
///
/// # Errors
/// When it is no YAML, or not one document.
pub fn json_of_yaml(text: &str) -> anyhow::Result<serde_json::Value> {
    let mut documents = lateen_api::yaml::documents(text).into_iter();
    let first = documents.next().context("the file is empty")?;
    anyhow::ensure!(documents.next().is_none(), "the file has more than one document");
    let node = first.map_err(|error| {
        let at = error.position;
        anyhow::anyhow!("line {}, column {}: {}", at.line, at.column, error.message)
    })?;
    tree(&node)
}

/// All documents of a YAML text.
///
/// # Errors
/// When one of them is no YAML.
pub fn documents_of_yaml(text: &str) -> anyhow::Result<Vec<serde_json::Value>> {
    let documents = lateen_api::yaml::documents(text).into_iter();
    documents
        .map(|document| {
            let node = document.map_err(|error| {
                let at = error.position;
                anyhow::anyhow!("line {}, column {}: {}", at.line, at.column, error.message)
            })?;
            tree(&node)
        })
        .collect()
}

fn tree(node: &Node) -> anyhow::Result<serde_json::Value> {
    Ok(match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Number(digits) => serde_json::from_str(digits)
            .with_context(|| format!("line {}: `{digits}` is no number", node.position.line))?,
        Value::String(text) => text.as_str().into(),
        Value::List(items) => items.iter().map(tree).collect::<anyhow::Result<Vec<_>>>()?.into(),
        Value::Map(entries) => {
            let mut map = serde_json::Map::new();
            for entry in entries {
                map.insert(entry.key.clone(), tree(&entry.value)?);
            }
            map.into()
        }
    })
}
