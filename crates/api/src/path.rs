//! Paths to fields, as diagnostics print them: `spec.http[0].route[1].weight`.
//!
//! Names are the canonical JSON ones, items of lists carry their index, and keys of maps stand in
//! brackets (`metadata.labels[app]`), as Kubernetes prints them.

use std::collections::hash_map::DefaultHasher;
use std::fmt::Write as _;
use std::hash::{Hash as _, Hasher as _};

use crate::value::Position;

/// A path under construction, while a tree is walked.
#[derive(Debug, Clone, Default)]
pub struct Path(String);

/// How long a path was before a step was taken; gives the way back.
#[derive(Debug, Clone, Copy)]
pub struct Mark(usize);

impl Path {
    /// Steps into a field. An empty name stays where it is.
    pub fn field(&mut self, name: &str) -> Mark {
        let mark = Mark(self.0.len());
        if !self.0.is_empty() && !name.is_empty() {
            self.0.push('.');
        }
        self.0.push_str(name);
        mark
    }

    /// Steps into an item of a list.
    pub fn index(&mut self, index: usize) -> Mark {
        let mark = Mark(self.0.len());
        // Writing to a String cannot fail.
        let _ = write!(self.0, "[{index}]");
        mark
    }

    /// Steps into a value of a map.
    pub fn key(&mut self, key: &str) -> Mark {
        let mark = Mark(self.0.len());
        self.0.push('[');
        self.0.push_str(key);
        self.0.push(']');
        mark
    }

    /// Steps back to where `mark` was made.
    pub fn back(&mut self, mark: Mark) {
        self.0.truncate(mark.0);
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The path without its indices, `spec.http[].route[].weight`: what all objects of a kind share.
pub fn pattern(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(open) = rest.find('[') {
        let (before, after) = rest.split_at(open + 1);
        out.push_str(before);
        let close = after.find(']').unwrap_or(after.len());
        rest = &after[close..];
    }
    out.push_str(rest);
    out
}

/// The path that contains this one: `spec.http[0].name` → `spec.http[0]` → `spec.http` → `spec`.
pub fn parent(path: &str) -> Option<&str> {
    if path.ends_with(']') {
        return path.rfind('[').map(|open| &path[..open]);
    }
    // A dot inside brackets belongs to a key.
    let after_bracket = path.rfind(']').map_or(0, |close| close + 1);
    match path[after_bracket..].rfind('.') {
        Some(dot) => Some(&path[..after_bracket + dot]),
        None if path.is_empty() => None,
        None => Some(""),
    }
}

/// Where the fields of one object were written. Kept as hashes of paths: 16 bytes a field.
#[derive(Debug, Clone, Default)]
pub struct Positions(Vec<(u64, Position)>);

impl Positions {
    /// Remembers where a field begins, if that is known; lookups work after [`Positions::finish`].
    pub(crate) fn record(&mut self, path: &str, position: Position) {
        if position != Position::default() {
            self.0.push((hash(path), position));
        }
    }

    /// Makes lookups possible.
    pub(crate) fn finish(&mut self) {
        self.0.sort_unstable();
        self.0.shrink_to_fit();
    }

    /// Where a field begins or, if it was not written, the closest field around it that was.
    pub fn nearest(&self, path: &str) -> Option<Position> {
        let mut path = Some(path);
        while let Some(current) = path {
            let wanted = hash(current);
            let at = self.0.partition_point(|(hash, _)| *hash < wanted);
            if let Some((_, position)) = self.0.get(at).filter(|(hash, _)| *hash == wanted) {
                return Some(*position);
            }
            path = parent(current);
        }
        None
    }
}

fn hash(path: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}
