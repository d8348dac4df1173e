//! The plugin in a network configuration of the node.
//!
//! Runtimes read the first file of their folder (`/etc/cni/net.d`), by name, that is a network
//! configuration. The plugin is appended to its list. A file of one plugin (`.conf`, `.json`) becomes a
//! list beside it, and its name is kept in our entry, so that taking the entry away gives the
//! file back.

use serde_json::{Map, Value, json};

/// Under which key our entry keeps the name of the file that a list took the place of.
const REPLACES: &str = "replaces";

/// Why a network configuration cannot be edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConflistError {
    /// It is no JSON.
    #[error("it is no JSON: {0}")]
    Syntax(String),
    /// It is JSON, and no network configuration.
    #[error("it is no network configuration: {0}")]
    Shape(&'static str),
    /// It is of a version of the specification that has no chains.
    #[error("version {0:?} of the CNI specification has no chains of plugins")]
    Version(String),
}

/// What a folder is to hold instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The file's name.
    pub name: String,
    /// Its text.
    pub text: String,
    /// The file that goes then.
    pub removes: Option<String>,
}

/// Whether runtimes read files of this name.
#[must_use]
pub fn is_read(name: &str) -> bool {
    let ends = |end: &str| name.ends_with(end);
    !name.starts_with('.') && (ends(".conflist") || ends(".conf") || ends(".json"))
}

/// The network configuration that a runtime takes, of the files (name and text) of its folder: the
/// first by name that is one.
#[must_use]
pub fn chosen(files: &[(String, String)]) -> Option<&(String, String)> {
    let mut sound: Vec<_> =
        files.iter().filter(|(name, text)| is_read(name) && read(name, text).is_ok()).collect();
    sound.sort_by(|(one, _), (other, _)| one.cmp(other));
    sound.into_iter().next()
}

/// Puts a plugin's entry at the end of the chain; an entry of the same type that is there goes.
/// `None`: it is there already, as it is to be.
///
/// # Errors
/// When the file is no network configuration, or of a version without chains.
pub fn insert(name: &str, text: &str, entry: &Value) -> Result<Option<Edit>, ConflistError> {
    let mut list = read(name, text)?;
    let mut entry = entry.clone();
    let kind = entry["type"].clone();
    let plugins = plugins(&mut list)?;
    let list_name = match name.strip_suffix(".conflist") {
        Some(_) => name.to_owned(),
        None => {
            entry[REPLACES] = json!(name);
            format!("{}.conflist", name.rsplit_once('.').map_or(name, |(stem, _)| stem))
        }
    };
    if list_name == name {
        let before: Vec<Value> =
            plugins.iter().filter(|plugin| plugin["type"] == kind).cloned().collect();
        if let Some(replaced) = before.iter().find_map(|plugin| plugin[REPLACES].as_str()) {
            entry[REPLACES] = json!(replaced);
        }
        if before == [entry.clone()] {
            return Ok(None);
        }
    }
    plugins.retain(|plugin| plugin["type"] != kind);
    plugins.push(entry);
    let removes = (list_name != name).then(|| name.to_owned());
    Ok(Some(Edit { name: list_name, text: pretty(&list), removes }))
}

/// Takes a plugin's entries out. `None`: there are none.
///
/// # Errors
/// When the file is no network configuration.
pub fn remove(name: &str, text: &str, kind: &str) -> Result<Option<Edit>, ConflistError> {
    let mut list = read(name, text)?;
    if !name.ends_with(".conflist") {
        return Ok(None);
    }
    let plugins = plugins(&mut list)?;
    let Some(ours) = plugins.iter().find(|plugin| plugin["type"] == kind).cloned() else {
        return Ok(None);
    };
    plugins.retain(|plugin| plugin["type"] != kind);
    let single = match (plugins.as_slice(), ours[REPLACES].as_str()) {
        ([single], Some(file)) => Some((file.to_owned(), single.clone())),
        _ => None,
    };
    let Some((file, single)) = single else {
        // The plugin of another revision gives the single file back: it has an agent's socket, too.
        let other = plugins.iter_mut().find(|plugin| plugin["socket"].is_string());
        if let (Some(file), Some(other)) = (ours[REPLACES].as_str(), other) {
            other[REPLACES] = json!(file);
        }
        return Ok(Some(Edit { name: name.to_owned(), text: pretty(&list), removes: None }));
    };
    let mut alone = Map::new();
    for field in ["cniVersion", "name"] {
        if !list[field].is_null() {
            alone.insert(field.to_owned(), list[field].clone());
        }
    }
    alone.extend(single.as_object().cloned().unwrap_or_default());
    let text = pretty(&Value::Object(alone));
    Ok(Some(Edit { name: file, text, removes: Some(name.to_owned()) }))
}

/// A network configuration as a list, whatever it is in the file.
fn read(name: &str, text: &str) -> Result<Value, ConflistError> {
    let parsed: Value =
        serde_json::from_str(text).map_err(|error| ConflistError::Syntax(error.to_string()))?;
    let Value::Object(mut fields) = parsed else {
        return Err(ConflistError::Shape("it is no object"));
    };
    if !fields.get("name").is_some_and(Value::is_string) {
        return Err(ConflistError::Shape("it has no name"));
    }
    let version = fields.get("cniVersion").and_then(Value::as_str).unwrap_or_default();
    if matches!(version, "" | "0.1.0" | "0.2.0") {
        return Err(ConflistError::Version(version.to_owned()));
    }
    if name.ends_with(".conflist") {
        let mut list = Value::Object(fields);
        if plugins(&mut list)?.is_empty() {
            return Err(ConflistError::Shape("it has no plugins"));
        }
        return Ok(list);
    }
    if !fields.get("type").is_some_and(Value::is_string) {
        return Err(ConflistError::Shape("it has no type"));
    }
    let mut list = Map::new();
    for field in ["cniVersion", "name"] {
        if let Some(value) = fields.shift_remove(field) {
            list.insert(field.to_owned(), value);
        }
    }
    list.insert("plugins".to_owned(), json!([fields]));
    Ok(Value::Object(list))
}

fn plugins(list: &mut Value) -> Result<&mut Vec<Value>, ConflistError> {
    list.get_mut("plugins")
        .and_then(Value::as_array_mut)
        .ok_or(ConflistError::Shape("it has no list of plugins"))
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}
