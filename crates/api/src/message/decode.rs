//! Decoding a tree into messages by the rules of protobuf's JSON form, with everything that is
//! wrong, unknown or not honoured yet reported at its place.

use crate::diagnostic::{Code, FieldUse, Finding, Severity};
use crate::kind::Kind;
use crate::message::{
    EnumDescriptor, FieldDescriptor, Honoured, Message, MessageDescriptor, OneOf,
};
use crate::path::{Mark, Path, Positions};
use crate::value::{Entry, Node, Position, Value};

/// The state of decoding one object.
#[derive(Debug)]
pub struct Decoder {
    path: Path,
    positions: Positions,
    findings: Vec<Finding>,
    not_honoured: Vec<FieldUse>,
    /// Below a field that is not honoured nothing needs saying again.
    inside_pending: bool,
    /// How serious a field is that the declarations do not know.
    unknown_field: Severity,
}

/// So many complaints about one object come with a proposal; who has more has no typing error.
const MAX_PROPOSALS: usize = 20;

/// What decoding one object yields beside the message itself.
#[derive(Debug, Default)]
pub struct Decoded {
    pub(crate) positions: Positions,
    pub(crate) findings: Vec<Finding>,
    pub(crate) not_honoured: Vec<FieldUse>,
}

impl Decoder {
    /// A decoder for one object; `unknown_field` says how serious an undeclared field is.
    pub(crate) fn new(unknown_field: Severity) -> Self {
        Self {
            path: Path::default(),
            positions: Positions::default(),
            findings: Vec::new(),
            not_honoured: Vec::new(),
            inside_pending: false,
            unknown_field,
        }
    }

    /// Ends decoding.
    pub(crate) fn finish(mut self) -> Decoded {
        self.positions.finish();
        Decoded {
            positions: self.positions,
            findings: self.findings,
            not_honoured: self.not_honoured,
        }
    }

    /// Steps into the field with this name, written at `position`, for as long as `inside` runs.
    pub(crate) fn field<T>(
        &mut self,
        name: &str,
        position: Position,
        inside: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let mark = self.path.field(name);
        self.step(mark, position, inside)
    }

    /// Steps into an item of a list.
    pub(crate) fn index<T>(
        &mut self,
        index: usize,
        position: Position,
        inside: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let mark = self.path.index(index);
        self.step(mark, position, inside)
    }

    /// Steps into a value of a map.
    pub(crate) fn key<T>(&mut self, entry: &Entry, inside: impl FnOnce(&mut Self) -> T) -> T {
        let mark = self.path.key(&entry.key);
        self.step(mark, entry.position, inside)
    }

    fn step<T>(
        &mut self,
        mark: Mark,
        position: Position,
        inside: impl FnOnce(&mut Self) -> T,
    ) -> T {
        self.positions.record(self.path.as_str(), position);
        let result = inside(self);
        self.path.back(mark);
        result
    }

    /// Reports that the value at this place cannot be what the field needs.
    pub(crate) fn bad_value(&mut self, node: &Node, message: impl Into<String>) {
        self.report(Severity::Error, Code::BadValue, node.position, message.into());
    }

    /// Reports that something else was expected.
    pub(crate) fn expected(&mut self, node: &Node, wanted: &str) {
        self.bad_value(node, format!("expected {wanted}, found {}", node.value.describe()));
    }

    pub(crate) fn report(
        &mut self,
        severity: Severity,
        code: Code,
        position: Position,
        message: String,
    ) {
        let field = self.path.as_str().to_owned();
        self.findings.push(Finding { severity, code, field, position: Some(position), message });
    }

    /// Takes over what a check of this place found.
    pub(crate) fn found(&mut self, mut finding: Finding) {
        let mark = self.path.field(&finding.field);
        finding.field = self.path.as_str().to_owned();
        self.path.back(mark);
        self.findings.push(finding);
    }

    /// Decodes a message.
    pub(crate) fn message<M: Message>(&mut self, node: &Node) -> Option<M> {
        let Value::Map(entries) = &node.value else {
            self.expected(node, "a mapping");
            return None;
        };
        let mut message = M::default();
        self.members(&mut message, entries, &[]);
        Some(message)
    }

    /// Decodes the entries of a mapping, but for the keys in `elsewhere`, over what a message
    /// already says.
    pub(crate) fn members<M: Message>(
        &mut self,
        message: &mut M,
        entries: &[Entry],
        elsewhere: &[&str],
    ) {
        let descriptor = M::descriptor();
        let mut seen: Vec<&'static str> = Vec::new();
        for entry in entries.iter().filter(|entry| !elsewhere.contains(&entry.key.as_str())) {
            let Some(field) = descriptor.field(&entry.key) else {
                self.unknown(descriptor, entry);
                continue;
            };
            self.field(field.name, entry.position, |decoder| {
                if seen.contains(&field.name) {
                    decoder.report(
                        Severity::Error,
                        Code::DuplicateField,
                        entry.position,
                        format!("`{}` is set twice, in both of its spellings", field.name),
                    );
                } else if !entry.value.is_null() {
                    decoder.honoured(field, entry, |decoder| {
                        message.set(field.name, &entry.value, decoder);
                    });
                }
            });
            seen.push(field.name);
        }
    }

    /// Remembers where the object begins.
    pub(crate) fn root(&mut self, position: Position) {
        self.positions.record("", position);
    }

    /// Reports a key beside `spec` that no object of these kinds has.
    pub(crate) fn unknown_at_root(&mut self, entry: &Entry) {
        let known = ["apiVersion", "kind", "metadata", "spec", "status"];
        let mut message = format!("`{}` is not a field of the object", entry.key);
        if let Some(name) = self.closest(&entry.key, known.into_iter()) {
            message.push_str(&format!("; did you mean `{name}`?"));
        }
        self.report_unknown(entry, message);
    }

    fn report_unknown(&mut self, entry: &Entry, message: String) {
        let severity = self.unknown_field;
        let mark = self.path.field(&entry.key);
        self.report(severity, Code::UnknownField, entry.position, message);
        self.path.back(mark);
    }

    fn closest<'n>(&self, written: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
        let few = self.findings.len() < MAX_PROPOSALS;
        few.then(|| closest(written, names)).flatten()
    }

    /// Notes that Lateen does not act on the object at all yet, so that nothing needs saying about its
    /// fields.
    pub(crate) fn kind_not_honoured(&mut self, kind: Kind, position: Position) {
        let mark = self.path.field("kind");
        self.use_not_honoured(position, Some(kind.name()));
        self.path.back(mark);
        self.inside_pending = true;
    }

    fn honoured(&mut self, field: &FieldDescriptor, entry: &Entry, inside: impl FnOnce(&mut Self)) {
        if field.honoured != Honoured::NotYet || self.inside_pending {
            return inside(self);
        }
        self.use_not_honoured(entry.position, None);
        self.inside_pending = true;
        inside(self);
        self.inside_pending = false;
    }

    /// Notes that the field at this place, or this value of it, has no effect yet.
    fn use_not_honoured(&mut self, position: Position, value: Option<&str>) {
        if self.inside_pending {
            return;
        }
        let path = self.path.as_str().to_owned();
        self.not_honoured.push(FieldUse {
            path,
            value: value.map(str::to_owned),
            position: Some(position),
        });
    }

    fn unknown(&mut self, descriptor: &MessageDescriptor, entry: &Entry) {
        if descriptor.open {
            return;
        }
        let mut message = format!("`{}` is not a field of {}", entry.key, descriptor.name);
        if let Some(name) = self.closest(&entry.key, descriptor.fields().map(|field| field.name)) {
            message.push_str(&format!("; did you mean `{name}`?"));
        }
        self.report_unknown(entry, message);
    }

    /// Decodes a field of a group of which only one may be set.
    pub(crate) fn one_of<G>(
        &mut self,
        place: &mut Option<G>,
        group: &str,
        name: &'static str,
        node: &Node,
    ) where
        Option<G>: OneOf<Group = G>,
    {
        if place.is_some() {
            let names: Vec<_> =
                <Option<G> as OneOf>::fields().iter().map(|field| field.name).collect();
            self.report(
                Severity::Error,
                Code::ConflictingFields,
                node.position,
                format!("only one of {} ({group}) may be set", names.join(", ")),
            );
            return;
        }
        *place = <Option<G> as OneOf>::decode_member(name, node, self);
    }

    /// Decodes a value of an enumeration, by name or by number, into its index.
    pub(crate) fn enumeration(
        &mut self,
        node: &Node,
        descriptor: &EnumDescriptor,
    ) -> Option<usize> {
        let (found, written) = match &node.value {
            Value::String(text) => (
                descriptor.values.iter().position(|value| value.name == text.as_str()),
                text.as_str(),
            ),
            Value::Number(text) => {
                let number = text.parse::<i32>().ok();
                let values = &mut descriptor.values.iter();
                (values.position(|value| Some(value.number) == number), text.as_str())
            }
            _ => (None, ""),
        };
        let Some(index) = found else {
            let names: Vec<_> = descriptor.values.iter().map(|value| value.name).collect();
            let mut message =
                format!("expected one of {}, found {}", names.join(", "), node.value.describe());
            if let Some(name) = self.closest(written, names.iter().copied()) {
                message.push_str(&format!("; did you mean `{name}`?"));
            }
            self.bad_value(node, message);
            return None;
        };
        let value = &descriptor.values[index];
        if value.honoured == Honoured::NotYet {
            self.use_not_honoured(node.position, Some(value.name));
        }
        Some(index)
    }
}

/// The name that was probably meant, if one is close enough.
fn closest<'a>(written: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_lowercase().replace('_', "");
    let budget = (written.chars().count() / 3).max(1);
    names
        .map(|name| (distance(&written, &name.to_lowercase().replace('_', "")), name))
        .filter(|(distance, _)| *distance <= budget)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// The number of insertions, removals, replacements and swaps of neighbours between two words.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).collect();
    let b: Vec<char> = b.chars().take(64).collect();
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let change = usize::from(a[i - 1] != b[j - 1]);
            let mut best =
                (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + change);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}
