//! Text to trees, and JSON to text: YAML with several documents, of which JSON is a part.
//!
//! A syntax error costs only the document it is in. Anchors, aliases and merge keys are resolved
//! here, within a budget that keeps a small text from growing into a large tree.

mod emit;

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput};

use crate::json;
use crate::value::{Entry, Node, Position, Value, duplicate};

pub use emit::emit;

/// How deep a document may be nested.
const MAX_DEPTH: usize = 64;
/// How many values aliases may add to one document.
const MAX_ALIASED_NODES: usize = 100_000;

/// Why a document could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SyntaxError {
    /// Where.
    pub position: Position,
    /// What is wrong.
    pub message: String,
    /// Whether the text is well formed but sets one key twice.
    pub duplicate_key: bool,
}

/// Reads every document of a text. Empty documents are left out.
pub fn documents(text: &str) -> Vec<Result<Node, SyntaxError>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().starts_with(['{', '['])
        && let Some(documents) = json::documents(text)
    {
        return documents.into_iter().map(Ok).collect();
    }
    let mut documents = Vec::new();
    for (first_line, chunk) in split(text) {
        if chunk.lines().any(|line| !is_blank(line)) {
            Loader::new(chunk, first_line).load(&mut documents);
        }
    }
    documents
}

/// Whether a line says nothing: no more than white space, a comment, a directive or a document
/// marker.
fn is_blank(line: &str) -> bool {
    let line = line.trim_end();
    let trimmed = line.trim_start();
    trimmed.is_empty() || trimmed.starts_with('#') || line.starts_with('%') || line == "---"
}

/// The parts between lines that begin with `---`, with the number of lines before each. Such a line
/// stands nowhere but between documents, so that the split needs no parser and an error cannot
/// spread.
fn split(text: &str) -> Vec<(u32, &str)> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut start_line = 0;
    let mut at = 0;
    for (line_number, line) in (0_u32..).zip(text.split_inclusive('\n')) {
        let marker = line
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']));
        if marker && at > start {
            parts.push((start_line, &text[start..at]));
            (start, start_line) = (at, line_number);
        }
        at += line.len();
    }
    parts.push((start_line, &text[start..]));
    parts
}

/// Builds trees from the parser's events.
struct Loader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    first_line: u32,
    lines: Vec<&'a str>,
    anchors: HashMap<usize, Node>,
    aliased: usize,
}

impl<'a> Loader<'a> {
    fn new(chunk: &'a str, first_line: u32) -> Self {
        Self {
            parser: Parser::new_from_str(chunk),
            first_line,
            lines: chunk.lines().collect(),
            anchors: HashMap::new(),
            aliased: 0,
        }
    }

    fn load(mut self, documents: &mut Vec<Result<Node, SyntaxError>>) {
        loop {
            match self.next() {
                Ok(Some((Event::DocumentStart(_), _))) => {
                    self.anchors.clear();
                    self.aliased = 0;
                    match self.document() {
                        Ok(node) if node.is_null() => {}
                        Ok(node) => documents.push(Ok(node)),
                        Err(error) => return documents.push(Err(error)),
                    }
                }
                Ok(Some((Event::StreamEnd, _)) | None) => return,
                Ok(Some(_)) => {}
                Err(error) => return documents.push(Err(error)),
            }
        }
    }

    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, SyntaxError> {
        self.parser.next_event().transpose().map_err(|error| self.scan_error(&error))
    }

    fn required(&mut self) -> Result<(Event<'a>, Span), SyntaxError> {
        let end = Position { line: self.first_line + 1, column: 1 };
        self.next()?.ok_or_else(|| syntax(end, "the document ends too early"))
    }

    fn document(&mut self) -> Result<Node, SyntaxError> {
        let (event, span) = self.required()?;
        if matches!(event, Event::DocumentEnd) {
            return Ok(Node { position: self.position(span.start), value: Value::Null });
        }
        self.node(event, span, 0)
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, SyntaxError> {
        let position = self.position(span.start);
        if depth > MAX_DEPTH {
            return Err(syntax(position, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let quoted = style != ScalarStyle::Plain
                    || tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
                let value = if quoted { Value::String(text.into_owned()) } else { plain(&text) };
                let position = match style {
                    ScalarStyle::Literal | ScalarStyle::Folded => self.block_content(position),
                    _ => position,
                };
                (Node { position, value }, anchor)
            }
            Event::SequenceStart(anchor, _) => {
                let value = Value::List(self.items(depth)?);
                (Node { position, value }, anchor)
            }
            Event::MappingStart(anchor, _) => {
                let value = Value::Map(self.entries(depth)?);
                (Node { position, value }, anchor)
            }
            Event::Alias(anchor) => return self.alias(anchor, position),
            _ => return Err(syntax(position, "expected a value")),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn items(&mut self, depth: usize) -> Result<Vec<Node>, SyntaxError> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.required()?;
            if matches!(event, Event::SequenceEnd) {
                return Ok(items);
            }
            items.push(self.node(event, span, depth + 1)?);
        }
    }

    fn entries(&mut self, depth: usize) -> Result<Vec<Entry>, SyntaxError> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut merged = Vec::new();
        loop {
            let (event, span) = self.required()?;
            let position = self.position(span.start);
            let (key, merge) = match event {
                Event::MappingEnd => break,
                Event::Scalar(text, style, ..) => {
                    let merge = style == ScalarStyle::Plain && text == "<<";
                    (text.into_owned(), merge)
                }
                _ => return Err(syntax(position, "expected a key made of text")),
            };
            let (event, span) = self.required()?;
            let value = self.node(event, span, depth + 1)?;
            if merge {
                merged.push(value);
            } else {
                entries.push(Entry { key, position, value });
            }
        }
        if let Some((first, later)) = duplicate(&entries) {
            let (key, line) = (&later.key, first.position.line);
            return Err(SyntaxError {
                position: later.position,
                message: format!("`{key}` is set twice, first in line {line}"),
                duplicate_key: true,
            });
        }
        for value in merged {
            merge(&mut entries, value)?;
        }
        Ok(entries)
    }

    fn alias(&mut self, anchor: usize, position: Position) -> Result<Node, SyntaxError> {
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(syntax(position, "the alias refers to no anchor before it"));
        };
        self.aliased += size(node);
        if self.aliased > MAX_ALIASED_NODES {
            let message = format!("aliases add more than {MAX_ALIASED_NODES} values");
            return Err(syntax(position, message));
        }
        Ok(node.clone())
    }

    fn position(&self, marker: Marker) -> Position {
        Position { line: to_u32(marker.line()) + self.first_line, column: to_u32(marker.col()) + 1 }
    }

    /// Where the text of a block scalar (`|` or `>`) begins: the first line below its header that
    /// has any.
    fn block_content(&self, header: Position) -> Position {
        let below = (header.line - self.first_line) as usize;
        let lines = self.lines.iter().enumerate().skip(below.saturating_sub(1));
        let header_first = lines.skip_while(|(_, line)| !is_block_header(line));
        for (index, line) in header_first.skip(1) {
            let content = line.trim_start();
            if !content.is_empty() {
                let indent = to_u32(line.chars().count() - content.chars().count());
                return Position { line: to_u32(index) + 1 + self.first_line, column: indent + 1 };
            }
        }
        header
    }

    fn scan_error(&self, error: &ScanError) -> SyntaxError {
        syntax(self.position(*error.marker()), error.info())
    }
}

fn is_block_header(line: &str) -> bool {
    line.contains(['|', '>'])
}

fn syntax(position: Position, message: impl Into<String>) -> SyntaxError {
    SyntaxError { position, message: message.into(), duplicate_key: false }
}

/// Adds what a merge key (`<<`) brings; what the mapping says itself wins.
fn merge(entries: &mut Vec<Entry>, value: Node) -> Result<(), SyntaxError> {
    let position = value.position;
    match value.value {
        Value::Map(more) => {
            let known: HashSet<String> = entries.iter().map(|entry| entry.key.clone()).collect();
            entries.extend(more.into_iter().filter(|entry| !known.contains(&entry.key)));
            Ok(())
        }
        Value::List(items) => items.into_iter().try_for_each(|item| merge(entries, item)),
        _ => Err(syntax(position, "`<<` needs a mapping")),
    }
}

fn size(node: &Node) -> usize {
    match &node.value {
        Value::List(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Map(entries) => 1 + entries.iter().map(|entry| size(&entry.value)).sum::<usize>(),
        _ => 1,
    }
}

/// A plain scalar by YAML's core schema: null, booleans, numbers, else text. Timestamps stay text.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ if is_number(text) => Value::Number(text.to_owned()),
        _ => Value::String(text.to_owned()),
    }
}

fn is_number(text: &str) -> bool {
    if let Some(hex) = text.strip_prefix("0x") {
        return !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit());
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return !octal.is_empty() && octal.bytes().all(|b| (b'0'..=b'7').contains(&b));
    }
    let starts_as_number = text
        .trim_start_matches(['+', '-'])
        .trim_start_matches('.')
        .starts_with(|c: char| c.is_ascii_digit());
    starts_as_number && text.parse::<f64>().is_ok()
}

fn to_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
