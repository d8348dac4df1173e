//! A set of templates that know each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::error::{Error, Position};
use crate::functions::Functions;
use crate::parse;
use crate::render;
use crate::tree::Body;

/// What is written for a value that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// `<no value>`, and fields of it are missing too: Go's `missingkey=default`.
    NoValue,
    /// Nothing, and a field of it is an error: Helm's way.
    Empty,
}

/// A text that templates were read from.
#[derive(Debug)]
pub(crate) struct File {
    pub name: String,
    pub text: String,
}

/// A template of the set.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub file: Arc<File>,
    pub body: Arc<Body>,
}

/// A set of templates with their functions. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Template {
    pub(crate) blocks: BTreeMap<String, Block>,
    pub(crate) functions: Arc<Functions>,
    pub(crate) missing: Missing,
}

impl Template {
    /// An empty set.
    #[must_use]
    pub fn new(functions: Functions) -> Self {
        Self { blocks: BTreeMap::new(), functions: Arc::new(functions), missing: Missing::NoValue }
    }

    /// One template with the functions of charts ([`Functions::charts`]).
    ///
    /// # Errors
    /// What is wrong with the text, with line and column.
    pub fn parse(name: &str, text: &str) -> Result<Self, Error> {
        let mut template = Self::new(Functions::charts());
        template.add(name, text)?;
        Ok(template)
    }

    /// The same set with another answer to what is missing.
    #[must_use]
    pub fn missing(mut self, missing: Missing) -> Self {
        self.missing = missing;
        self
    }

    /// Adds a template and those that its text defines; of two with one name the later counts.
    ///
    /// # Errors
    /// What is wrong with the text, with line and column.
    pub fn add(&mut self, name: &str, text: &str) -> Result<(), Error> {
        let defined = parse::parse(text, &self.functions).map_err(|fault| Error {
            template: name.to_owned(),
            position: Position::of(text, fault.offset),
            message: fault.message,
        })?;
        let file = Arc::new(File { name: name.to_owned(), text: text.to_owned() });
        for (name, body) in defined.named {
            self.blocks.insert(name, Block { file: file.clone(), body: Arc::new(body) });
        }
        self.blocks.insert(name.to_owned(), Block { file, body: Arc::new(defined.main) });
        Ok(())
    }

    /// Whether the set has a template of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.blocks.contains_key(name)
    }

    /// The text that a template makes of a value.
    ///
    /// # Errors
    /// What went wrong, with the template, line and column where it did: a field of something that
    /// has none, a function that refused its arguments, `fail` and `required`, or a limit (depth
    /// 150, two million steps, 16 MiB of text).
    pub fn render(&self, name: &str, data: &Value) -> Result<String, Error> {
        render::render(self, name, data)
    }
}
