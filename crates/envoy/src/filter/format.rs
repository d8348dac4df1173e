//! Formats of the access log's lines, in words that Envoy accepts.
//!
//! Envoy refuses a listener whose format it does not understand. So what it would refuse is taken
//! out of a user's format: an operator that it does not know prints `-`, as the native proxy has it,
//! and a `%` that begins none stands for itself.

use std::collections::BTreeMap;

use envoy_types::pb::google::protobuf::Any;
use lateen_mesh::{access_log, v1};
use prost::Message;
use prost_types::value::Kind;
use prost_types::{Struct, Value};

mod operators;

use operators::is_operator;

/// The file access log that the mesh's settings ask for.
pub(super) fn file(settings: &v1::AccessLog) -> Any {
    let config = FileAccessLog {
        path: settings.file.clone(),
        log_format: Some(read(settings, &mut Vec::new())),
    };
    Any {
        type_url: "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
            .to_owned(),
        value: config.encode_to_vec(),
    }
}

/// What of the format Envoy would not understand, for people.
pub(crate) fn problems(settings: &v1::AccessLog) -> Vec<String> {
    let mut problems = Vec::new();
    if !settings.file.is_empty() {
        read(settings, &mut problems);
    }
    problems
}

fn read(settings: &v1::AccessLog, problems: &mut Vec<String>) -> FormatString {
    if settings.encoding() == v1::access_log::Encoding::Json {
        let json = json(&settings.format, problems);
        return FormatString { format: Some(Format::Json(json)) };
    }
    let mut line = match settings.format.as_str() {
        "" => access_log::TEXT.to_owned(),
        format => text(format, problems),
    };
    // Istio promises a line's end where it is missing.
    if !line.ends_with('\n') {
        line.push('\n');
    }
    FormatString { format: Some(Format::Text(DataSource { inline: line })) }
}

fn json(format: &str, problems: &mut Vec<String>) -> Struct {
    if !format.trim().is_empty() {
        match serde_json::from_str(format) {
            Ok(serde_json::Value::Object(object)) => return members(&object, problems),
            Ok(_) => problems.push("access log format: no JSON object".to_owned()),
            Err(error) => problems.push(format!("access log format: {error}")),
        }
    }
    let member = |(key, format): (&str, &str)| (key.to_owned(), string(format.to_owned()));
    Struct { fields: access_log::JSON.into_iter().map(member).collect() }
}

fn members(
    object: &serde_json::Map<String, serde_json::Value>,
    problems: &mut Vec<String>,
) -> Struct {
    let fields: BTreeMap<String, Value> =
        object.iter().map(|(key, value)| (key.clone(), member(value, problems))).collect();
    Struct { fields }
}

fn member(value: &serde_json::Value, problems: &mut Vec<String>) -> Value {
    let kind = match value {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(value) => Kind::BoolValue(*value),
        serde_json::Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        serde_json::Value::String(format) => Kind::StringValue(text(format, problems)),
        serde_json::Value::Array(values) => Kind::ListValue(prost_types::ListValue {
            values: values.iter().map(|value| member(value, problems)).collect(),
        }),
        serde_json::Value::Object(object) => Kind::StructValue(members(object, problems)),
    };
    Value { kind: Some(kind) }
}

fn string(text: String) -> Value {
    Value { kind: Some(Kind::StringValue(text)) }
}

/// A format with everything taken out that Envoy does not understand.
fn text(format: &str, problems: &mut Vec<String>) -> String {
    let mut out = String::with_capacity(format.len());
    let mut rest = format;
    while let Some((literal, after)) = rest.split_once('%') {
        out.push_str(literal);
        if let Some(after) = after.strip_prefix('%') {
            out.push_str("%%");
            rest = after;
            continue;
        }
        let Some(operator) = Operator::read(after) else {
            problems.push(format!("access log format: `%{after}` is no operator"));
            out.push_str("%%");
            rest = after;
            continue;
        };
        let written = &after[..after.len() - operator.rest.len()];
        if is_operator(operator.name, operator.argument, operator.limited) {
            out.push('%');
            out.push_str(written);
        } else {
            problems.push(format!("access log format: `%{written}` is not known to Envoy"));
            out.push('-');
        }
        rest = operator.rest;
    }
    out.push_str(rest);
    out
}

/// An operator as it is written behind its first `%`: `NAME(argument):limit%`.
struct Operator<'a> {
    name: &'a str,
    argument: Option<&'a str>,
    limited: bool,
    rest: &'a str,
}

impl<'a> Operator<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        let end = text.find(|c| !is_name(c)).filter(|end| *end > 0)?;
        let (name, mut rest) = text.split_at(end);
        let mut argument = None;
        if let Some(inside) = rest.strip_prefix('(') {
            let (inside, after) = inside.split_once(')')?;
            argument = Some(inside);
            rest = after;
        }
        let mut limited = false;
        if let Some(after) = rest.strip_prefix(':') {
            let digits = after.find(|c: char| !c.is_ascii_digit()).filter(|digits| *digits > 0)?;
            limited = true;
            rest = &after[digits..];
        }
        Some(Self { name, argument, limited, rest: rest.strip_prefix('%')? })
    }
}

/// `envoy.extensions.access_loggers.file.v3.FileAccessLog` as far as it is written here. The
/// generated one keeps JSON in a hash map, whose bytes differ from run to run.
#[derive(Clone, PartialEq, Message)]
struct FileAccessLog {
    #[prost(string, tag = "1")]
    path: String,
    #[prost(message, optional, tag = "5")]
    log_format: Option<FormatString>,
}

/// `envoy.config.core.v3.SubstitutionFormatString`.
#[derive(Clone, PartialEq, Message)]
struct FormatString {
    #[prost(oneof = "Format", tags = "2, 5")]
    format: Option<Format>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Format {
    #[prost(message, tag = "2")]
    Json(Struct),
    #[prost(message, tag = "5")]
    Text(DataSource),
}

/// `envoy.config.core.v3.DataSource`.
#[derive(Clone, PartialEq, Message)]
struct DataSource {
    #[prost(string, tag = "3")]
    inline: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_envoy_would_refuse_is_taken_out() {
        for (written, expected, problems) in [
            ("%RESPONSE_CODE% 100%%\n", "%RESPONSE_CODE% 100%%\n", 0),
            ("%REQ(X-A?:PATH):12%", "%REQ(X-A?:PATH):12%", 0),
            ("%START_TIME(%Y-%m-%dT%H:%M)%", "%START_TIME(%Y-%m-%dT%H:%M)%", 0),
            ("a %LATEEN_REASON% b", "a - b", 1),
            ("%RESPONSE_CODE(x)%", "-", 1),
            ("%RESPONSE_CODE:3%", "-", 1),
            ("%REQ%", "-", 1),
            ("100% of %x", "100%% of %%x", 2),
            ("%REQ(a", "%%REQ(a", 1),
            ("%METADATA(ROUTE:istio:config)%", "%METADATA(ROUTE:istio:config)%", 0),
            ("%METADATA(x)%", "-", 1),
            ("%CEL(request.path)%", "-", 1),
        ] {
            let mut found = Vec::new();
            assert_eq!(text(written, &mut found), expected, "{written}");
            assert_eq!(found.len(), problems, "{written}: {found:?}");
        }
    }

    #[test]
    fn lines_end_and_json_is_always_an_object() {
        let log = |format: &str, encoding: v1::access_log::Encoding| v1::AccessLog {
            file: "/dev/stdout".to_owned(),
            encoding: encoding.into(),
            format: format.to_owned(),
        };
        use v1::access_log::Encoding::{Json, Text};
        let read = |format, encoding| read(&log(format, encoding), &mut Vec::new()).format;
        let line = |inline: &str| Some(Format::Text(DataSource { inline: inline.to_owned() }));
        assert_eq!(read("", Text), line(access_log::TEXT));
        assert_eq!(read("%PROTOCOL%", Text), line("%PROTOCOL%\n"));
        assert_eq!(read("x\n", Text), line("x\n"));
        let Some(Format::Json(object)) = read(r#"{"a": {"b": "%UNKNOWN%"}, "n": 7}"#, Json) else {
            panic!("no JSON");
        };
        assert_eq!(object.fields.len(), 2);
        let Some(Format::Json(object)) = read("{", Json) else { panic!("no JSON") };
        assert_eq!(object.fields.len(), access_log::JSON.len());
        assert_eq!(problems(&log("{", Json)).len(), 1);
    }
}
