//! The functions that templates may call, by name.

mod arguments;
mod collections;
mod encoding;
mod format;
mod go;
mod logic;
mod numbers;
mod semver;
mod strings;
mod yaml;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

pub(crate) use format::sprint;

/// A function: its arguments in order, the piped one last; what is wrong with them is a message.
pub type Implementation = dyn Fn(&[&Value]) -> Result<Value, String> + Send + Sync;

/// What a table of functions is made of.
type Entry = (&'static str, fn(&[&Value]) -> Result<Value, String>);

/// The functions of a template.
///
/// `and`, `or`, `include`, `tpl`, `set` and `unset` are the language's own, since they do not
/// evaluate all of their arguments, render templates, or change variables.
#[derive(Clone)]
pub struct Functions {
    table: BTreeMap<String, Arc<Implementation>>,
    /// Whether `include`, `tpl`, `set` and `unset` are there.
    of_charts: bool,
}

impl fmt::Debug for Functions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.table.keys()).finish()
    }
}

impl Functions {
    /// Those of Go's `text/template`, but for `call` and `js`.
    #[must_use]
    pub fn go() -> Self {
        let mut functions = Self { table: BTreeMap::new(), of_charts: false };
        functions.add(go::TABLE);
        functions
    }

    /// Those of Go, of Helm, and of the sprig library, as far as they are pure: nothing that reads
    /// clocks, randomness, the environment or the network.
    #[must_use]
    pub fn charts() -> Self {
        let mut functions = Self::go();
        functions.of_charts = true;
        for table in
            [strings::TABLE, collections::TABLE, encoding::TABLE, logic::TABLE, numbers::TABLE]
        {
            functions.add(table);
        }
        functions
    }

    fn add(&mut self, table: &[Entry]) {
        for &(name, function) in table {
            self.table.insert(name.to_owned(), Arc::new(function));
        }
    }

    /// These functions and one more, or another in place of one.
    #[must_use]
    pub fn with(
        mut self,
        name: &str,
        function: impl Fn(&[&Value]) -> Result<Value, String> + Send + Sync + 'static,
    ) -> Self {
        self.table.insert(name.to_owned(), Arc::new(function));
        self
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        match name {
            "and" | "or" => true,
            "include" | "tpl" | "set" | "unset" if self.of_charts => true,
            _ => self.table.contains_key(name),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Implementation> {
        self.table.get(name).map(AsRef::as_ref)
    }
}
