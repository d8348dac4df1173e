//! JSON to trees, with places. YAML's reader takes most of JSON, but not its escapes for characters
//! beyond 16 bits, and it is slower.

use serde_json::Value as Json;

use crate::value::{Entry, Node, Position, Value, duplicate};

/// How deep a document may be nested.
const MAX_DEPTH: usize = 64;

/// Reads a text that is nothing but JSON: any number of values, one after the other. Nothing if it
/// is not; then YAML's reader, which takes more, knows best what is wrong.
pub(crate) fn documents(text: &str) -> Option<Vec<Node>> {
    let start = Position { line: 1, column: 1 };
    let mut reader = Reader { bytes: text.as_bytes(), text, at: 0, known: (0, start) };
    let mut documents = Vec::new();
    reader.skip_white_space();
    while reader.at < reader.bytes.len() {
        if !matches!(reader.peek()?, b'{' | b'[') {
            return None;
        }
        documents.push(reader.value(0)?);
        reader.skip_white_space();
    }
    Some(documents)
}

/// What the API server and kubectl note in `metadata` for themselves. It can be longer than the object.
const BOOKKEEPING: [&str; 2] =
    ["managedFields", "kubectl.kubernetes.io/last-applied-configuration"];

/// The tree of a value that has been read already, without places and without what the API server
/// notes for itself.
pub(crate) fn node(json: &Json) -> Node {
    let value = match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => Value::Number(number.to_string()),
        Json::String(text) => Value::String(text.clone()),
        Json::Array(items) => Value::List(items.iter().map(node).collect()),
        Json::Object(members) => Value::Map(entries(members)),
    };
    Node { position: Position::default(), value }
}

fn entries(members: &serde_json::Map<String, Json>) -> Vec<Entry> {
    let wanted = members.iter().filter(|(key, _)| !BOOKKEEPING.contains(&key.as_str()));
    wanted
        .map(|(key, value)| Entry {
            key: key.clone(),
            position: Position::default(),
            value: node(value),
        })
        .collect()
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    /// An offset and its place, from which the next place is counted.
    known: (usize, Position),
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Takes one byte if it is the wanted one.
    fn take(&mut self, wanted: u8) -> Option<()> {
        (self.peek()? == wanted).then(|| self.at += 1)
    }

    fn skip_white_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn position(&mut self) -> Position {
        let (from, mut place) = self.known;
        for c in self.text[from..self.at].chars() {
            if c == '\n' {
                place = Position { line: place.line.saturating_add(1), column: 1 };
            } else {
                place.column = place.column.saturating_add(1);
            }
        }
        self.known = (self.at, place);
        place
    }

    fn value(&mut self, depth: usize) -> Option<Node> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.skip_white_space();
        let position = self.position();
        let value = match self.peek()? {
            b'{' => Value::Map(self.object(depth)?),
            b'[' => Value::List(self.array(depth)?),
            b'"' => Value::String(self.string()?),
            b't' => self.word("true", Value::Bool(true))?,
            b'f' => self.word("false", Value::Bool(false))?,
            b'n' => self.word("null", Value::Null)?,
            _ => Value::Number(self.number()?.to_owned()),
        };
        Some(Node { position, value })
    }

    fn word(&mut self, word: &str, value: Value) -> Option<Value> {
        self.text[self.at..].starts_with(word).then(|| {
            self.at += word.len();
            value
        })
    }

    fn number(&mut self) -> Option<&'a str> {
        let rest = &self.text[self.at..];
        let part = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
        let len = rest.bytes().take_while(part).count();
        let number = &rest[..len];
        let starts_well = number.trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit());
        self.at += len;
        (starts_well && number.parse::<f64>().is_ok()).then_some(number)
    }

    fn array(&mut self, depth: usize) -> Option<Vec<Node>> {
        self.take(b'[')?;
        let mut items = Vec::new();
        self.skip_white_space();
        if self.take(b']').is_some() {
            return Some(items);
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.skip_white_space();
            if self.take(b']').is_some() {
                return Some(items);
            }
            self.take(b',')?;
        }
    }

    fn object(&mut self, depth: usize) -> Option<Vec<Entry>> {
        self.take(b'{')?;
        let mut entries: Vec<Entry> = Vec::new();
        self.skip_white_space();
        if self.take(b'}').is_some() {
            return Some(entries);
        }
        loop {
            self.skip_white_space();
            let position = self.position();
            let key = self.string()?;
            self.skip_white_space();
            self.take(b':')?;
            let value = self.value(depth + 1)?;
            entries.push(Entry { key, position, value });
            self.skip_white_space();
            if self.take(b'}').is_some() {
                // YAML's reader says where a key stands twice.
                return duplicate(&entries).is_none().then_some(entries);
            }
            self.take(b',')?;
        }
    }

    fn string(&mut self) -> Option<String> {
        self.take(b'"')?;
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let plain = rest.find(|c: char| c == '"' || c == '\\' || c < ' ')?;
            out.push_str(&rest[..plain]);
            self.at += plain;
            if self.take(b'"').is_some() {
                return Some(out);
            }
            self.take(b'\\')?;
            out.push(self.escape()?);
        }
    }

    fn escape(&mut self) -> Option<char> {
        let byte = self.peek()?;
        self.at += 1;
        Some(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.code_point(),
            _ => return None,
        })
    }

    /// A character in UTF-16, of which one beyond 16 bits takes two escapes.
    fn code_point(&mut self) -> Option<char> {
        let first = self.code_unit()?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first);
        }
        self.take(b'\\')?;
        self.take(b'u')?;
        let second = self.code_unit()?.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
        char::from_u32(0x10000 + ((first - 0xd800) << 10) + second)
    }

    fn code_unit(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        self.at += 4;
        let hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        hex.then(|| u32::from_str_radix(digits, 16).ok())?
    }
}
