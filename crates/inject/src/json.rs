//! Reading and writing objects as Kubernetes' JSON.

use lateen_api::value::{Node, Value as Tree};
use serde_json::{Map, Number, Value};

use crate::decide::Labels;

/// A tree as JSON. A number that JSON cannot say stays the text that it was.
#[must_use]
pub fn from_tree(node: &Node) -> Value {
    match &node.value {
        Tree::Null => Value::Null,
        Tree::Bool(value) => Value::Bool(*value),
        Tree::Number(text) => number(text),
        Tree::String(text) => Value::String(text.clone()),
        Tree::List(items) => items.iter().map(from_tree).collect(),
        Tree::Map(entries) => {
            let members = entries.iter().map(|entry| (entry.key.clone(), from_tree(&entry.value)));
            Value::Object(members.collect())
        }
    }
}

fn number(text: &str) -> Value {
    if let Ok(whole) = text.parse::<i64>() {
        return Value::from(whole);
    }
    let real = text.parse::<f64>().ok().and_then(Number::from_f64);
    real.map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

/// The first document of a YAML text; null where there is none.
///
/// # Errors
/// When the text is no YAML.
pub fn from_yaml(text: &str) -> Result<Value, lateen_api::yaml::SyntaxError> {
    let first = lateen_api::yaml::documents(text).into_iter().next();
    Ok(first.transpose()?.as_ref().map_or(Value::Null, from_tree))
}

/// An object's label.
pub(crate) fn label<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object["metadata"]["labels"][name].as_str()
}

/// An object's annotation.
pub(crate) fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object["metadata"]["annotations"][name].as_str()
}

/// An object's labels.
pub(crate) fn labels(object: &Value) -> Labels {
    let labels = object["metadata"]["labels"].as_object().into_iter().flatten();
    labels.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

/// The members of an object's field, which becomes an object if it is none.
pub(crate) fn members<'a>(object: &'a mut Value, field: &str) -> &'a mut Map<String, Value> {
    let value = &mut object[field];
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("invariant: it was made an object above")
}

/// The items of a list in an object; none where there is no list.
pub(crate) fn items<'a>(object: &'a Value, field: &str) -> &'a [Value] {
    object[field].as_array().map_or(&[], Vec::as_slice)
}

/// The mutable items of a list in an object; none where there is no list.
pub(crate) fn items_mut<'a>(object: &'a mut Value, field: &str) -> &'a mut [Value] {
    match object.get_mut(field).and_then(Value::as_array_mut) {
        Some(items) => items,
        None => &mut [],
    }
}

/// The item with this name.
pub(crate) fn named<'a>(items: &'a [Value], name: &str) -> Option<&'a Value> {
    items.iter().find(|item| item["name"] == name)
}

/// Removes a field that holds nothing.
pub(crate) fn drop_empty(object: &mut Value, field: &str) {
    let empty = match &object[field] {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    };
    if let (true, Some(members)) = (empty, object.as_object_mut()) {
        members.shift_remove(field);
    }
}

/// A switch as Go reads one.
pub(crate) fn switch(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Some(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}
