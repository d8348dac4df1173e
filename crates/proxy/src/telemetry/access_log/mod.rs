//! The access log: Istio's text format byte for byte, its JSON form, and formats of the user's.
//!
//! A [`Format`] is compiled once for each configuration. A worker renders lines into a buffer of
//! its own; one thread ([`Writer`]) writes the buffers to the file or to standard output, so that
//! no worker ever waits for a disk. When the thread cannot keep up, lines are dropped and counted.

mod json;
mod operator;
mod parse;
mod text;
mod timestamp;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::HeaderName;
use lateen_mesh::{access_log, v1};

use self::operator::Operator;
pub use self::timestamp::SecondCache;
pub use self::writer::{Lines, Writer};
use super::record::{Exchange, HttpRecord};

/// What Lateen adds to Istio's members of the encoding JSON.
const OWN_JSON: [(&str, &str); 4] = [
    ("reason", "%LATEEN_REASON%"),
    ("reason_side", "%LATEEN_REASON_SIDE%"),
    ("reached_application", "%LATEEN_REACHED_APPLICATION%"),
    ("decided_by", "%LATEEN_DECIDED_BY%"),
];

/// The time as the log prints it: RFC 3339 in UTC with milliseconds.
pub(super) fn timestamp_text(time: std::time::SystemTime) -> String {
    SecondCache::default().millisecond_text(time).to_owned()
}

/// A compiled access log: what to write for each exchange, and where.
#[derive(Debug, Clone)]
pub struct Format {
    /// Headers of the request that it shows.
    pub(super) request_headers: Vec<HeaderName>,
    /// Headers of the response that it shows.
    pub(super) response_headers: Vec<HeaderName>,
    /// Trailers of the response that it shows.
    pub(super) response_trailers: Vec<HeaderName>,
    layout: Layout,
    file: Arc<Path>,
}

#[derive(Debug, Clone)]
enum Layout {
    Text(Vec<Piece>),
    Json(Vec<Member>),
}

/// A piece of a format string.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(Box<str>),
    Operator(Operator),
}

/// A member of the JSON object.
#[derive(Debug, Clone)]
struct Member {
    /// The key with its quotes and colon, as it is written.
    key: Box<str>,
    value: Value,
}

#[derive(Debug, Clone)]
enum Value {
    /// One operator alone keeps its type: numbers stay numbers, what is missing is `null`.
    Typed(Operator),
    /// A string put together of several pieces.
    Text(Vec<Piece>),
    /// A nested object.
    Object(Vec<Member>),
    /// What the user wrote that is neither a string nor an object, as JSON.
    Constant(Box<str>),
}

/// One exchange or connection, as operators read it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) exchange: &'a Exchange<'a>,
    /// `None` for a TCP connection.
    pub(super) http: Option<&'a HttpRecord<'a>>,
}

impl Format {
    /// Compiles the access log of the mesh; `None` when it is off. The strings say what of the
    /// format is not honoured: those operators print `-`.
    #[must_use]
    pub fn compile(config: &v1::AccessLog) -> (Option<Self>, Vec<String>) {
        if config.file.is_empty() {
            return (None, Vec::new());
        }
        let mut compiler = parse::Compiler::default();
        let layout = if config.encoding == i32::from(v1::access_log::Encoding::Json) {
            Layout::Json(compiler.json(&config.format))
        } else {
            Layout::Text(match config.format.as_str() {
                "" => compiler.text(access_log::TEXT),
                format if format.ends_with('\n') => compiler.text(format),
                // A line ends with the line, whoever forgets it; so has Istio.
                format => compiler.text(&format!("{format}\n")),
            })
        };
        let format = Self {
            request_headers: compiler.request_headers,
            response_headers: compiler.response_headers,
            response_trailers: compiler.response_trailers,
            layout,
            file: PathBuf::from(&config.file).into(),
        };
        (Some(format), compiler.problems)
    }

    /// The file that it goes to.
    pub(super) fn file(&self) -> &Arc<Path> {
        &self.file
    }

    /// Appends the line of one entry.
    pub(super) fn write(&self, out: &mut Vec<u8>, entry: Entry<'_>, clock: &mut SecondCache) {
        match &self.layout {
            Layout::Text(pieces) => text::write(out, pieces, entry, clock),
            Layout::Json(members) => {
                json::write_object(out, members, entry, clock);
                out.push(b'\n');
            }
        }
    }
}

#[cfg(test)]
mod tests;
