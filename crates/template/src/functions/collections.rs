//! Lists and maps. They are values: a function gives a new one and changes none.

use serde_json::{Map, Value};

use super::Entry;
use super::arguments::{exactly, list, map, one_or_more, string, to_string};
use crate::value::{is_true, sorted};

pub(super) const TABLE: &[Entry] = &[
    ("list", |arguments| Ok(arguments.iter().map(|item| (*item).clone()).collect())),
    ("tuple", |arguments| Ok(arguments.iter().map(|item| (*item).clone()).collect())),
    ("first", |arguments| {
        exactly::<1>(arguments)
            .and_then(|[items]| Ok(list(items)?.first().cloned().unwrap_or_default()))
    }),
    ("last", |arguments| {
        exactly::<1>(arguments)
            .and_then(|[items]| Ok(list(items)?.last().cloned().unwrap_or_default()))
    }),
    ("rest", |arguments| {
        exactly::<1>(arguments)
            .and_then(|[items]| Ok(list(items)?.get(1..).unwrap_or_default().into()))
    }),
    ("initial", |arguments| {
        let [items] = exactly(arguments)?;
        let items = list(items)?;
        Ok(items[..items.len().saturating_sub(1)].into())
    }),
    ("append", |arguments| {
        let [items, item] = exactly(arguments)?;
        Ok(list(items)?.iter().chain([item]).cloned().collect())
    }),
    ("prepend", |arguments| {
        let [items, item] = exactly(arguments)?;
        Ok([item].into_iter().chain(list(items)?).cloned().collect())
    }),
    ("concat", |arguments| {
        let mut all = Vec::new();
        for items in arguments {
            all.extend_from_slice(list(items)?);
        }
        Ok(Value::Array(all))
    }),
    ("reverse", |arguments| {
        exactly::<1>(arguments).and_then(|[items]| Ok(list(items)?.iter().rev().cloned().collect()))
    }),
    ("uniq", |arguments| {
        let [items] = exactly(arguments)?;
        let mut kept: Vec<Value> = Vec::new();
        for item in list(items)? {
            if !kept.contains(item) {
                kept.push(item.clone());
            }
        }
        Ok(Value::Array(kept))
    }),
    ("compact", |arguments| {
        exactly::<1>(arguments).and_then(|[items]| {
            Ok(list(items)?.iter().filter(|item| is_true(item)).cloned().collect())
        })
    }),
    ("without", |arguments| {
        let (items, out) = one_or_more(arguments)?;
        Ok(list(items)?.iter().filter(|item| !out.contains(item)).cloned().collect())
    }),
    ("has", |arguments| {
        let [item, items] = exactly(arguments)?;
        Ok(Value::Bool(list(items)?.contains(item)))
    }),
    ("sortAlpha", |arguments| {
        let [items] = exactly(arguments)?;
        let mut words: Vec<String> = list(items)?.iter().map(to_string).collect();
        words.sort();
        Ok(words.into_iter().map(Value::String).collect())
    }),
    ("dict", |arguments| {
        let mut fields = Map::new();
        for pair in arguments.chunks(2) {
            let value = pair.get(1).map_or_else(|| Value::from(""), |value| (*value).clone());
            fields.insert(to_string(pair[0]), value);
        }
        Ok(Value::Object(fields))
    }),
    ("get", |arguments| {
        let [fields, key] = exactly(arguments)?;
        Ok(map(fields)?.get(string(key)?).cloned().unwrap_or_else(|| Value::from("")))
    }),
    ("hasKey", |arguments| {
        let [fields, key] = exactly(arguments)?;
        Ok(Value::Bool(map(fields)?.contains_key(string(key)?)))
    }),
    ("pick", |arguments| filtered(arguments, true)),
    ("omit", |arguments| filtered(arguments, false)),
    ("keys", |arguments| {
        let mut keys = Vec::new();
        for fields in arguments {
            keys.extend(sorted(map(fields)?).into_iter().map(|(key, _)| Value::from(key.clone())));
        }
        Ok(Value::Array(keys))
    }),
    ("values", |arguments| {
        let [fields] = exactly(arguments)?;
        Ok(sorted(map(fields)?).into_iter().map(|(_, value)| value.clone()).collect())
    }),
    ("pluck", |arguments| {
        let (key, maps) = one_or_more(arguments)?;
        let mut found = Vec::new();
        for fields in maps {
            found.extend(map(fields)?.get(string(key)?).cloned());
        }
        Ok(Value::Array(found))
    }),
    ("dig", dig),
    ("deepCopy", |arguments| exactly::<1>(arguments).map(|[value]| value.clone())),
    ("merge", |arguments| merged(arguments, false)),
    ("mergeOverwrite", |arguments| merged(arguments, true)),
];

fn filtered(arguments: &[&Value], kept: bool) -> Result<Value, String> {
    let (fields, keys) = one_or_more(arguments)?;
    let keys: Vec<&str> = keys.iter().map(|key| string(key)).collect::<Result<_, _>>()?;
    let fields = map(fields)?.iter().filter(|(key, _)| keys.contains(&key.as_str()) == kept);
    Ok(Value::Object(fields.map(|(key, value)| (key.clone(), value.clone())).collect()))
}

/// `dig "a" "b" default map`.
fn dig(arguments: &[&Value]) -> Result<Value, String> {
    let [keys @ .., default, fields] = arguments else {
        return Err("wrong number of args: dig needs a key, a default and a map".to_owned());
    };
    let mut value = *fields;
    for key in keys {
        match map(value)?.get(string(key)?) {
            Some(found) => value = found,
            None => return Ok((*default).clone()),
        }
    }
    Ok(value.clone())
}

/// The first map with what the others add, deeply. What is empty in it counts as absent and is
/// filled.
fn merged(arguments: &[&Value], overwrite: bool) -> Result<Value, String> {
    let (first, others) = one_or_more(arguments)?;
    let mut target = map(first)?.clone();
    for other in others {
        merge(&mut target, map(other)?, overwrite);
    }
    Ok(Value::Object(target))
}

fn merge(target: &mut Map<String, Value>, other: &Map<String, Value>, overwrite: bool) {
    for (key, value) in other {
        match (target.get_mut(key), value) {
            (Some(Value::Object(fields)), Value::Object(more)) => merge(fields, more, overwrite),
            (Some(present), _) if is_true(present) && !overwrite => {}
            _ => {
                target.insert(key.clone(), value.clone());
            }
        }
    }
}
