//! Values against the chart's JSON schema, as far as that schema goes: the keywords that it uses, and a
//! test that it uses no others.

use serde_json::{Map, Value};

use crate::chart;

/// What the chart's schema says against values, each fault with its place.
#[must_use]
pub(crate) fn faults(values: &Value) -> Vec<String> {
    let schema: Value =
        serde_json::from_str(chart::SCHEMA).expect("invariant: a test reads the schema");
    let mut faults = Vec::new();
    check(values, &schema, &schema, "", &mut faults);
    faults
}

fn check(value: &Value, schema: &Value, root: &Value, path: &str, faults: &mut Vec<String>) {
    let Some(rules) = schema.as_object() else { return };
    let shown = if path.is_empty() { "the values" } else { path };
    for (keyword, rule) in rules {
        match keyword.as_str() {
            "$ref" => {
                let target = rule.as_str().and_then(|to| root.pointer(to.trim_start_matches('#')));
                check(value, target.unwrap_or(&Value::Null), root, path, faults);
            }
            "type" if !has_type(value, rule) => {
                faults.push(format!("{shown}: expected {}", types(rule)));
            }
            "enum" if !rule.as_array().is_some_and(|allowed| allowed.contains(value)) => {
                faults.push(format!("{shown}: {value} is none of {rule}"));
            }
            "not" if rule["const"] == *value => {
                faults.push(format!("{shown}: {value} is reserved"));
            }
            "pattern" => {
                let text = value.as_str().unwrap_or_default();
                if value.is_string() && !is_name(text, rule.as_str().unwrap_or_default()) {
                    faults.push(format!(
                        "{shown}: {value}: small letters, digits and hyphens, no hyphen at either end"
                    ));
                }
            }
            "maxLength" => {
                let length = value.as_str().map_or(0, |text| text.chars().count()) as u64;
                if rule.as_u64().is_some_and(|longest| length > longest) {
                    faults.push(format!("{shown}: longer than {rule} characters"));
                }
            }
            "minimum" | "maximum" => {
                let (number, limit) = (value.as_f64(), rule.as_f64());
                let wrong = match keyword.as_str() {
                    "minimum" => number < limit,
                    _ => number > limit,
                };
                if number.is_some() && wrong {
                    faults.push(format!("{shown}: {value}: the {keyword} is {rule}"));
                }
            }
            "items" => {
                for (at, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(item, rule, root, &format!("{path}[{at}]"), faults);
                }
            }
            "required" => {
                for name in rule.as_array().into_iter().flatten().filter_map(Value::as_str) {
                    if value.is_object() && value.get(name).is_none() {
                        faults.push(format!("{shown}: {name} is missing"));
                    }
                }
            }
            _ => {}
        }
    }
    if let Value::Object(fields) = value {
        check_fields(fields, rules, root, path, faults);
    }
}

fn check_fields(
    fields: &Map<String, Value>,
    rules: &Map<String, Value>,
    root: &Value,
    path: &str,
    faults: &mut Vec<String>,
) {
    let nothing = Map::new();
    let known = rules.get("properties").and_then(Value::as_object).unwrap_or(&nothing);
    for (name, value) in fields {
        let place = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match (known.get(name), rules.get("additionalProperties")) {
            (Some(schema), _) => check(value, schema, root, &place, faults),
            (None, Some(Value::Bool(false))) => {
                faults.push(format!("{place}: there is no such value"));
            }
            (None, Some(schema)) => check(value, schema, root, &place, faults),
            (None, None) => {}
        }
    }
}

fn types(rule: &Value) -> String {
    match rule {
        Value::Array(types) => {
            let names: Vec<&str> = types.iter().filter_map(Value::as_str).collect();
            names.join(" or ")
        }
        other => other.as_str().unwrap_or_default().to_owned(),
    }
}

fn has_type(value: &Value, rule: &Value) -> bool {
    let is = |name: &str| match name {
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "null" => value.is_null(),
        _ => false,
    };
    match rule {
        Value::Array(names) => names.iter().filter_map(Value::as_str).any(is),
        name => name.as_str().is_some_and(is),
    }
}

/// The schema's only pattern is that of DNS labels, with or without the empty text.
fn is_name(text: &str, pattern: &str) -> bool {
    if text.is_empty() {
        return pattern.ends_with("?$") && pattern.starts_with("^(");
    }
    let inner = |character: char| {
        character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-'
    };
    text.chars().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::Given;

    const KEYWORDS: &[&str] = &[
        "$schema",
        "title",
        "description",
        "definitions",
        "$ref",
        "type",
        "enum",
        "not",
        "pattern",
        "maxLength",
        "minimum",
        "maximum",
        "items",
        "required",
        "properties",
        "additionalProperties",
    ];

    /// Every keyword of a schema and of those in it.
    fn keywords<'s>(schema: &'s Value, found: &mut Vec<&'s str>) {
        let Some(rules) = schema.as_object() else { return };
        for (keyword, rule) in rules {
            found.push(keyword);
            match keyword.as_str() {
                "properties" | "definitions" => {
                    rule.as_object()
                        .into_iter()
                        .flatten()
                        .for_each(|(_, inner)| keywords(inner, found));
                }
                "items" | "additionalProperties" => keywords(rule, found),
                _ => {}
            }
        }
    }

    fn patterns(schema: &Value, found: &mut Vec<String>) {
        match schema {
            Value::Object(fields) => {
                found.extend(fields.get("pattern").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|inner| patterns(inner, found));
            }
            Value::Array(items) => items.iter().for_each(|inner| patterns(inner, found)),
            _ => {}
        }
    }

    #[test]
    fn the_schema_says_nothing_that_is_not_understood() {
        let schema: Value = serde_json::from_str(chart::SCHEMA).expect("JSON");
        let mut found = Vec::new();
        keywords(&schema, &mut found);
        found.retain(|keyword| !KEYWORDS.contains(keyword));
        assert!(found.is_empty(), "{found:?}");
        let mut used = Vec::new();
        patterns(&schema, &mut used);
        const LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
        const LABEL_OR_NONE: &str = "^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$";
        assert!(
            used.iter().all(|pattern| pattern == LABEL || pattern == LABEL_OR_NONE),
            "{used:?}"
        );
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_place() {
        for (set, expected) in [
            ("proxy.engine=foo", "proxy.engine: \"foo\" is none of [\"native\",\"envoy\"]"),
            ("global.huub=x", "global.huub: there is no such value"),
            ("revision=default", "revision: \"default\" is reserved"),
            ("revision=A_b", "revision: \"A_b\": small letters"),
            ("revisionTags={-a}", "revisionTags[0]: \"-a\": small letters"),
            ("pilot.autoscaleMin=0", "pilot.autoscaleMin: 0: the minimum is 1"),
            ("pilot.autoscaleEnabled=maybe", "pilot.autoscaleEnabled: expected boolean"),
            ("gateways.istio-ingressgateway.ports[0].port=99999", "the maximum is 65535"),
            ("gateways.other.enabled=true", "gateways.other: there is no such value"),
            ("global.tag={a}", "global.tag: expected string or number"),
        ] {
            let mut given = Given::none();
            given.set(set, false).expect(set);
            let refused = given.over_defaults().expect_err(set).to_string();
            assert!(
                refused.contains(expected),
                "{set}\n  expected {expected}\n  found    {refused}"
            );
        }
        let mut given = Given::none();
        given.set("gateways.istio-ingressgateway.ports={}", false).expect("set");
        given.set("revision=1-2-3,revisionTags={prod},meshConfig.x.y=1", false).expect("set");
        given.over_defaults().expect("these can be");
    }
}
