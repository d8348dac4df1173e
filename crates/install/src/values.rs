//! What a user sets: files and `--set`, over the chart's defaults.

use serde_json::{Map, Value};

use crate::{chart, schema, tree};

/// Why values cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum ValuesError {
    /// A file that is no YAML.
    #[error("{file}:{line}: {message}")]
    Syntax {
        /// The file.
        file: String,
        /// The line, from 1.
        line: u32,
        /// What is wrong.
        message: String,
    },
    /// A file whose document is no mapping.
    #[error("{file}: values are a mapping")]
    NoMapping {
        /// The file.
        file: String,
    },
    /// An assignment that cannot be read.
    #[error("--set {text}: {fault}")]
    Assignment {
        /// As it was given.
        text: String,
        /// What is wrong.
        fault: String,
    },
    /// Values that the chart's schema refuses, each with its place.
    #[error("these values cannot be: {}", .0.join("; "))]
    Schema(Vec<String>),
}

/// The values that a user gave, without the defaults.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Given(Map<String, Value>);

impl Given {
    /// None.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Values that were given before, as [`Given::to_json`] wrote them.
    #[must_use]
    pub fn of_json(value: Value) -> Self {
        match value {
            Value::Object(fields) => Self(fields),
            _ => Self::default(),
        }
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        Value::Object(self.0.clone())
    }

    /// Adds the values of a YAML file; they go before earlier ones.
    ///
    /// # Errors
    /// When it is no YAML, or no mapping.
    pub fn add_file(&mut self, file: &str, text: &str) -> Result<(), ValuesError> {
        let document = tree::document(text).map_err(|error| ValuesError::Syntax {
            file: file.to_owned(),
            line: error.position.line,
            message: error.message,
        })?;
        match document {
            Value::Null => Ok(()),
            Value::Object(fields) => {
                lay_over(&mut self.0, fields, false);
                Ok(())
            }
            _ => Err(ValuesError::NoMapping { file: file.to_owned() }),
        }
    }

    /// Adds assignments as Helm's `--set` takes them: `a.b=c,d[0]=e,f={x,y}`. `true`, `false`, `null` and
    /// whole numbers are what they look like, unless everything is text.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn set(&mut self, text: &str, as_text: bool) -> Result<(), ValuesError> {
        for assignment in split(text, ',') {
            self.assign(&assignment, as_text)
                .map_err(|fault| ValuesError::Assignment { text: assignment.clone(), fault })?;
        }
        Ok(())
    }

    fn assign(&mut self, assignment: &str, as_text: bool) -> Result<(), String> {
        let pieces = split(assignment, '=');
        let Some((path, rest)) = pieces.split_first().filter(|(_, rest)| !rest.is_empty()) else {
            return Err("expected PATH=VALUE".to_owned());
        };
        let value = read(&rest.join("="), as_text);
        let mut steps = Vec::new();
        for part in split(path, '.') {
            let (name, indices) = part.split_once('[').unwrap_or((&part, ""));
            if !name.is_empty() {
                steps.push(Step::Field(name.replace('\\', "")));
            }
            for index in indices.split('[').filter(|index| !index.is_empty()) {
                let index = index.strip_suffix(']').and_then(|index| index.parse().ok());
                let index = index.filter(|index| *index < LONGEST_LIST);
                steps.push(Step::Index(index.ok_or("an index is a small number in brackets")?));
            }
        }
        if !matches!(steps.first(), Some(Step::Field(_))) {
            return Err("the path begins with a name".to_owned());
        }
        let mut root = Value::Object(std::mem::take(&mut self.0));
        let placed = place(&mut root, &steps, value);
        if let Value::Object(fields) = root {
            self.0 = fields;
        }
        placed
    }

    /// The chart's defaults with these values over them, checked by the chart's schema. A null takes a
    /// default away.
    ///
    /// # Errors
    /// When the schema refuses them.
    pub fn over_defaults(&self) -> Result<Value, ValuesError> {
        let defaults = tree::document(chart::VALUES).map_err(|error| ValuesError::Syntax {
            file: "values.yaml".to_owned(),
            line: error.position.line,
            message: error.message,
        })?;
        let Value::Object(mut fields) = defaults else {
            return Err(ValuesError::NoMapping { file: "values.yaml".to_owned() });
        };
        lay_over(&mut fields, self.0.clone(), true);
        let values = Value::Object(fields);
        let faults = schema::faults(&values);
        if faults.is_empty() { Ok(values) } else { Err(ValuesError::Schema(faults)) }
    }
}

/// Lists that `--set` makes are shorter.
const LONGEST_LIST: usize = 1000;

/// A step into a tree.
enum Step {
    Field(String),
    Index(usize),
}

fn place(target: &mut Value, steps: &[Step], value: Value) -> Result<(), String> {
    let Some((step, rest)) = steps.split_first() else {
        *target = value;
        return Ok(());
    };
    let next = match step {
        Step::Field(name) => {
            if target.is_null() {
                *target = Value::Object(Map::new());
            }
            let fields = target
                .as_object_mut()
                .ok_or_else(|| format!("{name} is set in what is no mapping"))?;
            fields.entry(name.as_str()).or_insert(Value::Null)
        }
        Step::Index(at) => {
            if target.is_null() {
                *target = Value::Array(Vec::new());
            }
            let items = target.as_array_mut().ok_or("an index into what is no list")?;
            if items.len() <= *at {
                items.resize(at + 1, Value::Null);
            }
            &mut items[*at]
        }
    };
    place(next, rest, value)
}

/// A text in parts; what is in braces or follows a backslash does not part it.
fn split(text: &str, at: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0_usize;
    let mut escaped = false;
    for character in text.chars() {
        let last = parts.len() - 1;
        if character == at && depth == 0 && !escaped {
            parts.push(String::new());
            continue;
        }
        match character {
            '{' if !escaped => depth += 1,
            '}' if !escaped => depth = depth.saturating_sub(1),
            _ => {}
        }
        escaped = character == '\\' && !escaped;
        parts[last].push(character);
    }
    parts
}

fn read(text: &str, as_text: bool) -> Value {
    if let Some(items) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
        let items = split(items, ',').into_iter().filter(|item| !item.is_empty());
        return items.map(|item| read(&item, as_text)).collect();
    }
    let plain = text.replace("\\,", ",").replace("\\.", ".").replace("\\=", "=");
    if as_text {
        return Value::String(plain);
    }
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        "null" => Value::Null,
        number if number == "0" || !number.starts_with('0') => {
            number.parse::<i64>().map_or(Value::String(plain), Value::from)
        }
        _ => Value::String(plain),
    }
}

/// Lays values over others, deeply. With `removes`, a null takes away what is there.
fn lay_over(target: &mut Map<String, Value>, values: Map<String, Value>, removes: bool) {
    for (key, value) in values {
        match (target.get_mut(&key), value) {
            (_, Value::Null) if removes => {
                target.shift_remove(&key);
            }
            (Some(Value::Object(present)), Value::Object(more)) => lay_over(present, more, removes),
            (_, value) => {
                target.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn assignments_are_read_as_helm_reads_them() {
        for (text, expected) in [
            ("a=b", json!({"a": "b"})),
            ("a.b=1,a.c=true", json!({"a": {"b": 1, "c": true}})),
            ("a={x,y}", json!({"a": ["x", "y"]})),
            ("a={}", json!({"a": []})),
            ("a[1].b=x", json!({"a": [null, {"b": "x"}]})),
            ("a\\.b/c=x", json!({"a.b/c": "x"})),
            ("a=x\\,y", json!({"a": "x,y"})),
            ("a=b=c", json!({"a": "b=c"})),
            ("a=", json!({"a": ""})),
            ("a=null", json!({"a": null})),
            ("a=007", json!({"a": "007"})),
            ("a=-5", json!({"a": -5})),
        ] {
            let mut given = Given::none();
            given.set(text, false).expect(text);
            assert_eq!(given.to_json(), expected, "{text}");
        }
        let mut given = Given::none();
        given.set("a=1,b={2}", true).expect("texts");
        assert_eq!(given.to_json(), json!({"a": "1", "b": ["2"]}));
        for text in ["a", "a[x]=1", "[0]=1", "a[99999]=1"] {
            assert!(Given::none().set(text, false).is_err(), "{text}");
        }
        let mut given = Given::none();
        given.set("a=1", false).expect("a number");
        assert!(given.set("a.b=1", false).is_err(), "a number has no fields");
        assert_eq!(given.to_json(), json!({"a": 1}), "what was set stays");
    }

    #[test]
    fn later_values_go_before_earlier_ones_and_before_the_defaults() {
        let mut given = Given::none();
        given.add_file("one.yaml", "pilot: {replicaCount: 2, env: {A: b}}\n").expect("one");
        given.add_file("two.yaml", "pilot: {replicaCount: 3}\nglobal: {tag: null}\n").expect("two");
        given.set("meshConfig.accessLogFile=/dev/stdout", false).expect("set");
        let values = given.over_defaults().expect("they can be");
        assert_eq!(values["pilot"]["replicaCount"], 3);
        assert_eq!(values["pilot"]["env"]["A"], "b");
        assert_eq!(values["pilot"]["autoscaleMin"], 1);
        assert_eq!(values["global"].get("tag"), None);
        assert_eq!(values["meshConfig"]["accessLogFile"], "/dev/stdout");
        let wrong = Given::none().add_file("three.yaml", "a: [").expect_err("no YAML").to_string();
        assert!(wrong.starts_with("three.yaml:"), "{wrong}");
    }
}
