//! Lines of the JSON encoding.

use std::io::Write as _;

use super::operator::{Datum, Operator};
use super::{Entry, Member, SecondCache, Value, text};
use crate::telemetry::record::Object;

/// Appends the object, without a line end.
pub(super) fn write_object(
    out: &mut Vec<u8>,
    members: &[Member],
    entry: Entry<'_>,
    clock: &mut SecondCache,
) {
    out.push(b'{');
    for (index, member) in members.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(member.key.as_bytes());
        match &member.value {
            Value::Typed(operator) => write_typed(out, operator, entry, clock),
            Value::Object(members) => write_object(out, members, entry, clock),
            Value::Constant(json) => out.extend_from_slice(json.as_bytes()),
            Value::Text(pieces) => {
                let mut line = Vec::new();
                text::write(&mut line, pieces, entry, clock);
                write_string(out, &line);
            }
        }
    }
    out.push(b'}');
}

fn write_typed(out: &mut Vec<u8>, operator: &Operator, entry: Entry<'_>, clock: &mut SecondCache) {
    let shorten = |bytes: &[u8]| bytes.len().min(operator.limit.unwrap_or(usize::MAX));
    // Writing to a vector cannot fail.
    let _ = match operator.source.value(entry, clock) {
        Datum::Missing => out.write_all(b"null"),
        Datum::Number(number) => write!(out, "{number}"),
        Datum::Text(text) => {
            write_string(out, &text.as_bytes()[..shorten(text.as_bytes())]);
            Ok(())
        }
        Datum::Bytes(bytes) => {
            write_string(out, &bytes[..shorten(bytes)]);
            Ok(())
        }
        Datum::Object(object) => {
            write_decided_by(out, object);
            Ok(())
        }
    };
}

fn write_decided_by(out: &mut Vec<u8>, object: Object<'_>) {
    let members = [
        ("{\"kind\":", object.kind),
        (",\"namespace\":", object.namespace),
        (",\"name\":", object.name),
        (",\"field\":", object.field),
    ];
    for (key, value) in members {
        out.extend_from_slice(key.as_bytes());
        write_string(out, value.as_bytes());
    }
    out.push(b'}');
}

/// Appends a JSON string. Bytes that are not UTF-8 become U+FFFD.
fn write_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        for byte in chunk.valid().bytes() {
            match byte {
                b'"' => out.extend_from_slice(b"\\\""),
                b'\\' => out.extend_from_slice(b"\\\\"),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\t' => out.extend_from_slice(b"\\t"),
                0..0x20 => {
                    let _ = write!(out, "\\u{byte:04x}");
                }
                _ => out.push(byte),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.push(b'"');
}
