//! Lines of the text encoding.

use std::io::Write as _;

use super::operator::{Datum, Operator};
use super::{Entry, Piece, SecondCache};

/// Appends the line.
pub(super) fn write(
    out: &mut Vec<u8>,
    pieces: &[Piece],
    entry: Entry<'_>,
    clock: &mut SecondCache,
) {
    for piece in pieces {
        match piece {
            Piece::Literal(text) => out.extend_from_slice(text.as_bytes()),
            Piece::Operator(operator) => write_operator(out, operator, entry, clock),
        }
    }
}

/// Appends the value as it stands, as Envoy does: nothing is escaped.
fn write_operator(
    out: &mut Vec<u8>,
    operator: &Operator,
    entry: Entry<'_>,
    clock: &mut SecondCache,
) {
    let start = out.len();
    // Writing to a vector cannot fail.
    let _ = match operator.source.value(entry, clock) {
        Datum::Missing => out.write_all(b"-"),
        Datum::Text(text) => out.write_all(text.as_bytes()),
        Datum::Bytes(bytes) => out.write_all(bytes),
        Datum::Number(number) => write!(out, "{number}"),
        Datum::Object(object) => write!(out, "{object}"),
    };
    if let Some(limit) = operator.limit {
        out.truncate(out.len().min(start.saturating_add(limit)));
    }
}
