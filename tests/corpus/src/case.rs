//! Reading the files of a corpus.

use std::path::{Path, PathBuf};

use anyhow::Context;
use lateen_api::value::{Node, Value as Tree};
use serde_json::{Map, Value};

/// Every YAML file below a folder, in order; those that begin with `_` are no cases.
pub fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    collect(folder, &mut found)?;
    found.sort();
    Ok(found)
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("cannot read the folder {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        if path.is_dir() {
            collect(&path, found)?;
        } else if name.is_some_and(|name| name.ends_with(".yaml") && !name.starts_with('_')) {
            found.push(path);
        }
    }
    Ok(())
}

/// The one document of a file.
pub fn read(file: &Path) -> anyhow::Result<Value> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    parse(&text).with_context(|| file.display().to_string())
}

/// The one document of a text.
pub fn parse(text: &str) -> anyhow::Result<Value> {
    let mut documents = lateen_api::yaml::documents(text);
    anyhow::ensure!(documents.len() == 1, "not one document");
    match documents.remove(0) {
        Ok(node) => Ok(json(&node)),
        Err(error) => anyhow::bail!("{error:?}"),
    }
}

fn json(node: &Node) -> Value {
    match &node.value {
        Tree::Null => Value::Null,
        Tree::Bool(value) => Value::Bool(*value),
        Tree::Number(text) => serde_json::from_str(text)
            .ok()
            .filter(Value::is_number)
            .unwrap_or_else(|| Value::String(text.clone())),
        Tree::String(text) => Value::String(text.clone()),
        Tree::List(nodes) => Value::Array(nodes.iter().map(json).collect()),
        Tree::Map(entries) => Value::Object(
            entries
                .iter()
                .map(|entry| (entry.key.clone(), json(&entry.value)))
                .collect::<Map<_, _>>(),
        ),
    }
}

/// The text under a key, empty without one.
pub fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

/// The list under a key, empty without one.
pub fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// The map of texts under a key.
pub fn labels(value: &Value, key: &str) -> std::collections::BTreeMap<String, String> {
    let entries = value[key].as_object();
    entries
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// The number under a key as a port.
pub fn port(value: &Value, key: &str) -> Option<u16> {
    value[key].as_u64().and_then(|number| number.try_into().ok())
}
