//! Conditions of VirtualServices on HTTP requests.

use serde_json::{Map, Value, json};

use super::World;
use crate::generate::random::Random;
use crate::generate::words::{
    Expression, HEADERS, METHOD_EXPRESSIONS, METHODS, PARAMETERS, PATH_EXPRESSIONS, PATHS,
    VALUE_EXPRESSIONS, VALUES,
};

/// A condition; never an empty one.
pub(super) fn condition(random: &mut Random, world: &World, prefixes_only: bool) -> Value {
    let mut condition = Map::new();
    if random.percent(70) {
        condition.insert("uri".to_owned(), path(random, prefixes_only));
        if random.percent(20) {
            condition.insert("ignoreUriCase".to_owned(), json!(true));
        }
    }
    if random.percent(15) {
        condition.insert("method".to_owned(), text(random, &METHODS, &METHOD_EXPRESSIONS));
    }
    if random.percent(12) {
        condition.insert("authority".to_owned(), authority(random, world));
    }
    if random.percent(5) {
        let scheme = random.one(&["http", "https", "htt", "HTTP"]);
        let kind = random.one(&["exact", "prefix", "regex"]);
        condition.insert("scheme".to_owned(), json!({ kind: scheme }));
    }
    if random.percent(30) {
        condition.insert("headers".to_owned(), named(random, &HEADERS, true));
    }
    if random.percent(15) {
        condition.insert("withoutHeaders".to_owned(), named(random, &HEADERS, true));
    }
    if random.percent(25) {
        condition.insert("queryParams".to_owned(), named(random, &PARAMETERS, true));
    }
    if random.percent(8) {
        let port = world.port(random);
        condition.insert("port".to_owned(), json!(port));
    }
    if random.percent(5) {
        let labels = random.pick(&world.client_labels).clone();
        condition.insert("sourceLabels".to_owned(), labels);
    }
    if random.percent(4) {
        let namespace = random.one(&["default", "default", "other"]);
        condition.insert("sourceNamespace".to_owned(), json!(namespace));
    }
    if condition.is_empty() {
        condition.insert("uri".to_owned(), path(random, prefixes_only));
    }
    if random.percent(20) {
        condition.insert("name".to_owned(), json!(format!("match-{}", random.below(4))));
    }
    Value::Object(condition)
}

fn path(random: &mut Random, prefixes_only: bool) -> Value {
    let path = random.one(&PATHS);
    match random.below(if prefixes_only { 2 } else { 6 }) {
        0 | 1 => json!({ "prefix": path }),
        2 | 3 => json!({ "exact": path }),
        _ => json!({ "regex": random.pick(&PATH_EXPRESSIONS).text }),
    }
}

fn authority(random: &mut Random, world: &World) -> Value {
    let service = random.pick(&world.services);
    let host = match random.below(4) {
        0 => service.name.clone(),
        1 => service.host.clone(),
        2 => format!("{}:{}", service.name, service.ports[0].number),
        _ => service.host.to_uppercase(),
    };
    match random.below(4) {
        0 | 1 => json!({ "exact": host }),
        2 => json!({ "prefix": host.split('.').next().unwrap_or_default() }),
        _ => json!({ "regex": format!("{}.*", service.name) }),
    }
}

/// Conditions on one or two named values.
fn named(random: &mut Random, names: &[&'static str], presence: bool) -> Value {
    let mut named = Map::new();
    for _ in 0..=random.below(5) / 4 {
        let name = random.one(names);
        let matcher = if presence && random.percent(15) {
            if random.percent(50) { json!({}) } else { json!({ "regex": "*" }) }
        } else {
            text(random, &VALUES, &VALUE_EXPRESSIONS)
        };
        named.insert(name.to_owned(), matcher);
    }
    Value::Object(named)
}

fn text(random: &mut Random, values: &[&'static str], expressions: &[Expression]) -> Value {
    let value = random.one(values);
    match random.below(5) {
        0 | 1 => json!({ "exact": value }),
        2 => json!({ "prefix": value }),
        3 => json!({ "prefix": &value[..value.len().div_ceil(2)] }),
        _ => json!({ "regex": random.pick(expressions).text }),
    }
}
