//! A scenario as a folder.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use super::Scenario;
use super::load::{EXCHANGES, MESH};

impl Scenario {
    /// Writes the folder that [`Scenario::load`] reads.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let mesh = folder.join(MESH);
        std::fs::create_dir_all(&mesh)?;
        for (name, text) in &self.mesh {
            std::fs::write(mesh.join(name), text)?;
        }
        std::fs::write(folder.join(EXCHANGES), self.to_yaml())?;
        Ok(())
    }

    /// The text of `exchanges.yaml`.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        let tree = serde_json::to_value(self).expect("invariant: keys of all maps are texts");
        let mut text = String::new();
        block(&tree, 0, &mut text);
        text
    }
}

/// A value in YAML's block style, indented, from the beginning of a line.
fn block(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let _ = write!(out, "{:indent$}{}:", "", scalar(key));
                nested(value, indent, out);
            }
        }
        Value::Array(items) => {
            for item in items {
                if item.as_object().is_some_and(|map| !map.is_empty()) {
                    let mut text = String::new();
                    block(item, indent + 2, &mut text);
                    text.replace_range(indent..=indent, "-");
                    out.push_str(&text);
                } else {
                    let _ = write!(out, "{:indent$}-", "");
                    nested(item, indent, out);
                }
            }
        }
        other => {
            let _ = writeln!(out, "{:indent$}{}", "", flow(other));
        }
    }
}

/// What stands behind a key or a dash.
fn nested(value: &Value, indent: usize, out: &mut String) {
    let empty = match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => true,
    };
    if empty {
        let _ = writeln!(out, " {}", flow(value));
    } else {
        out.push('\n');
        block(value, indent + 2, out);
    }
}

fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        other => other.to_string(),
    }
}

/// A plain text where YAML reads it as one, else a quoted one: JSON's are YAML's too.
fn scalar(text: &str) -> String {
    let plain = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-[]".contains(c))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
            .contains(&text.to_ascii_lowercase().as_str());
    if plain { text.to_owned() } else { Value::from(text).to_string() }
}
