//! Structural schemas (Kubernetes' part of OpenAPI v3) of described messages.

use serde_json::{Map, Value as Json, json};

use crate::kind::Kind;
use crate::message::{
    EnumDescriptor, FieldDescriptor, Member, Message, MessageDescriptor, Rule, Shape,
};
use crate::status::{ServiceEntryStatus, Status};

/// No duration that means anything is longer; CEL's cost depends on it.
const LONGEST_DURATION: u64 = 32;

/// Any duration that is not negative.
const ANY_DURATION: &str = r"^(0|(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|ms|s|m|h))+)$";

/// A schema under construction.
type Schema = Map<String, Json>;

/// The schema of a kind's objects.
pub(super) fn object(kind: Kind, spec: &MessageDescriptor, spec_required: bool) -> Json {
    let status = match kind {
        Kind::ServiceEntry => ServiceEntryStatus::descriptor(),
        _ => Status::descriptor(),
    };
    let mut schema = json!({
        "type": "object",
        "properties": {
            "spec": message(spec, &[]),
            "status": message(status, &[]),
        },
    });
    if spec_required {
        schema["required"] = json!(["spec"]);
    }
    schema
}

/// The schema of a message; `without` are rules of its own that do not apply where it stands.
fn message(descriptor: &MessageDescriptor, without: &[&str]) -> Json {
    let mut schema = Schema::new();
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("description".to_owned(), json!(prose(descriptor.doc)));
    let mut properties = Schema::new();
    let mut required = Vec::new();
    for described in descriptor.fields() {
        let value = field(described);
        for rule in described.rules {
            match rule {
                Rule::Required => required.push(described.name),
                Rule::Alias(name) => drop(properties.insert((*name).to_owned(), value.clone())),
                _ => {}
            }
        }
        properties.insert(described.name.to_owned(), value);
    }
    if !properties.is_empty() {
        schema.insert("properties".to_owned(), Json::Object(properties));
    }
    if !required.is_empty() {
        required.sort_unstable();
        schema.insert("required".to_owned(), json!(required));
    }
    if descriptor.open {
        schema.insert("x-kubernetes-preserve-unknown-fields".to_owned(), json!(true));
    }
    exclusive_groups(&mut schema, descriptor);
    let applies = |rule: &&Rule| !matches!(rule, Rule::Holds(_, says) if without.contains(says));
    for rule in descriptor.rules.iter().filter(applies) {
        apply(&mut schema, rule);
    }
    Json::Object(schema)
}

/// Of each group one field at most may be set.
fn exclusive_groups(schema: &mut Schema, descriptor: &MessageDescriptor) {
    let groups: Vec<Json> = descriptor
        .members
        .iter()
        .filter_map(|member| match member {
            Member::OneOf { fields, .. } if fields().len() > 1 => Some(one_of(fields())),
            Member::OneOf { .. } | Member::Field(_) => None,
        })
        .collect();
    match groups.as_slice() {
        [] => {}
        [group] => drop(schema.insert("oneOf".to_owned(), group.clone())),
        several => {
            let all: Vec<Json> = several.iter().map(|group| json!({"oneOf": group})).collect();
            schema.insert("allOf".to_owned(), Json::Array(all));
        }
    }
}

/// None of the fields, or exactly one of them.
fn one_of(fields: &[FieldDescriptor]) -> Json {
    let each: Vec<Json> = fields.iter().map(|field| json!({"required": [field.name]})).collect();
    let none = json!({"not": {"anyOf": each}});
    Json::Array([none].into_iter().chain(each).collect())
}

fn field(field: &FieldDescriptor) -> Json {
    let without: Vec<&str> = field
        .rules
        .iter()
        .filter_map(|rule| match rule {
            Rule::Without(says) => Some(*says),
            _ => None,
        })
        .collect();
    let mut schema = shape((field.shape)(), &without);
    schema.insert("description".to_owned(), json!(prose(field.doc)));
    if field.nullable {
        schema.insert("nullable".to_owned(), json!(true));
    }
    apply_all(&mut schema, field.rules);
    Json::Object(schema)
}

fn shape(shape: Shape, without: &[&str]) -> Schema {
    let schema = match shape {
        Shape::String => json!({"type": "string"}),
        Shape::Bool => json!({"type": "boolean"}),
        Shape::Integer { min, max } => integer(min, max),
        Shape::Float => json!({"type": "number", "format": "double"}),
        Shape::Duration => json!({
            "type": "string",
            "maxLength": LONGEST_DURATION,
            "x-kubernetes-validations": [{
                "rule": "duration(self) >= duration('1ms')",
                "message": "must be a valid duration greater than 1ms",
            }],
        }),
        Shape::Timestamp => json!({"type": "string", "format": "date-time"}),
        Shape::Bytes => json!({"type": "string", "format": "byte"}),
        Shape::IntOrString => json!({
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": true,
        }),
        Shape::Struct => {
            json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
        }
        Shape::Any => json!({"x-kubernetes-preserve-unknown-fields": true}),
        Shape::Enum(descriptor) => enumeration(descriptor()),
        Shape::Message(descriptor) => message(descriptor(), without),
        Shape::List(item) => json!({"type": "array", "items": self::shape(item(), without)}),
        Shape::Map(value) => {
            json!({"type": "object", "additionalProperties": self::shape(value(), without)})
        }
    };
    match schema {
        Json::Object(schema) => schema,
        _ => Schema::new(),
    }
}

/// Integers of 64 bits are text in protobuf's JSON form, and numbers where people write them.
fn integer(min: i64, max: i64) -> Json {
    if min == i64::MIN {
        return json!({
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": true,
        });
    }
    let format = if max == i64::from(i32::MAX) { "int32" } else { "int64" };
    let mut schema = json!({"type": "integer", "format": format});
    if min == 0 {
        schema["minimum"] = json!(0);
        if max != i64::MAX {
            schema["maximum"] = json!(max);
        }
    }
    schema
}

fn enumeration(descriptor: &EnumDescriptor) -> Json {
    let names: Vec<&str> = descriptor.values.iter().map(|value| value.name).collect();
    json!({"type": "string", "enum": names})
}

fn apply_all(schema: &mut Schema, rules: &[Rule]) {
    for rule in rules {
        apply(schema, rule);
    }
}

fn apply(schema: &mut Schema, rule: &Rule) {
    let mut set = |name: &str, value: Json| drop(schema.insert(name.to_owned(), value));
    match *rule {
        Rule::MinLength(length) => set("minLength", json!(length)),
        Rule::MaxLength(length) => set("maxLength", json!(length)),
        Rule::Pattern(pattern) => set("pattern", json!(pattern)),
        Rule::Minimum(number) => set("minimum", json!(number)),
        Rule::Maximum(number) => set("maximum", json!(number)),
        Rule::Port => {
            set("minimum", json!(1));
            set("maximum", json!(65535));
        }
        // A pattern costs nothing, and the API server limits what all rules of a kind may cost.
        Rule::OrZero => {
            set("pattern", json!(ANY_DURATION));
            schema.remove("x-kubernetes-validations");
        }
        Rule::MinItems(count) => set("minItems", json!(count)),
        Rule::MaxItems(count) => set("maxItems", json!(count)),
        Rule::MinProperties(count) => set("minProperties", json!(count)),
        Rule::MaxProperties(count) => set("maxProperties", json!(count)),
        Rule::DistinctBy(field) => {
            set("x-kubernetes-list-type", json!("map"));
            set("x-kubernetes-list-map-keys", json!([field]));
        }
        Rule::Each(rules) => {
            for place in ["items", "additionalProperties"] {
                if let Some(Json::Object(inner)) = schema.get_mut(place) {
                    apply_all(inner, rules);
                }
            }
        }
        Rule::Holds(expression, says) => {
            let all = schema.entry("x-kubernetes-validations").or_insert_with(|| json!([]));
            if let Json::Array(all) = all {
                all.push(json!({"rule": expression, "message": says}));
            }
        }
        // These say something about the message around the field.
        Rule::Required | Rule::Alias(_) | Rule::Without(_) => {}
    }
}

/// A doc comment as running text.
fn prose(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ")
}
