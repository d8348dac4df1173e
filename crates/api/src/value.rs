//! The tree that text is read into: values with the place where each was written.
//!
//! YAML and JSON both end up here. Scalars keep what the text said (a number keeps its digits),
//! because only the field that a scalar is decoded into knows what it should become.

/// A place in a text, counted from 1 as editors do. A line or column of 0 means that it is not
/// known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// The first two entries of a mapping that have the same key.
pub(crate) fn duplicate(entries: &[Entry]) -> Option<(&Entry, &Entry)> {
    // Mappings are mostly small, and then comparing all with all costs less than sorting.
    if entries.len() <= 16 {
        return entries.iter().enumerate().find_map(|(index, later)| {
            let first = entries[..index].iter().find(|entry| entry.key == later.key)?;
            Some((first, later))
        });
    }
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_by(|a, b| a.key.cmp(&b.key));
    let same = sorted.windows(2).find(|pair| pair[0].key == pair[1].key)?;
    Some((same[0], same[1]))
}

/// A value and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where the value begins.
    pub position: Position,
    /// The value.
    pub value: Value,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`, `~` or nothing at all.
    Null,
    /// A plain `true` or `false`.
    Bool(bool),
    /// A plain number, as written.
    Number(String),
    /// Any other scalar, and every quoted one.
    String(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order written; no key occurs twice.
    Map(Vec<Entry>),
}

/// One key of a mapping with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key's text.
    pub key: String,
    /// Where the key begins.
    pub position: Position,
    /// What stands under the key.
    pub value: Node,
}

impl Position {
    /// Where `inner`, a place in a text that begins here, stands in the surrounding text. The inner
    /// text is taken to be indented as its first line is.
    pub(crate) fn offset(self, inner: Position) -> Position {
        Position {
            line: self.line + inner.line.saturating_sub(1),
            column: self.column + inner.column.saturating_sub(1),
        }
    }
}

impl Node {
    /// The same tree with every position changed.
    pub(crate) fn moved(self, change: &impl Fn(Position) -> Position) -> Node {
        let value = match self.value {
            Value::List(items) => {
                Value::List(items.into_iter().map(|item| item.moved(change)).collect())
            }
            Value::Map(entries) => {
                let moved = entries.into_iter().map(|entry| Entry {
                    key: entry.key,
                    position: change(entry.position),
                    value: entry.value.moved(change),
                });
                Value::Map(moved.collect())
            }
            scalar => scalar,
        };
        Node { position: change(self.position), value }
    }

    /// The value under a key, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries()?.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// The entries, if this is a mapping.
    pub fn entries(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The text, if this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// Whether this is null, which stands for "not set".
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }
}

impl Value {
    /// What a message calls this value: `the number 5`, `a list`, ….
    pub(crate) fn describe(&self) -> String {
        match self {
            Value::Null => "null".to_owned(),
            Value::Bool(value) => format!("the boolean {value}"),
            Value::Number(text) => format!("the number {text}"),
            Value::String(text) => {
                let shown: String = text.chars().take(60).collect();
                let more = if shown.len() < text.len() { "…" } else { "" };
                format!("the text \"{shown}{more}\"")
            }
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
        }
    }
}
