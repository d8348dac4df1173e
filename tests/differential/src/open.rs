//! What is known to differ and is neither mended nor decided yet: `open.txt`.
//!
//! A line is `scenario NAME: what differs` or `field NAME: why it is not covered`. Whatever is listed is
//! printed by every run and does not fail it; whatever is not listed does.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};

/// The list, by name.
#[derive(Debug, Default)]
pub struct Open {
    /// Scenarios, with what differs.
    pub scenarios: BTreeMap<String, String>,
    /// Fields, with why stripping them is not noticed.
    pub fields: BTreeMap<String, String>,
}

impl Open {
    /// Reads the project's list.
    ///
    /// # Errors
    /// When it cannot be read, with the line.
    pub fn read() -> anyhow::Result<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("open.txt");
        let text = std::fs::read_to_string(&path).context("tests/differential/open.txt")?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut open = Self::default();
        for (number, line) in text.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let entry = line.split_once(' ').and_then(|(kind, rest)| {
                let (name, why) = rest.split_once(": ")?;
                Some((kind, name.to_owned(), why.to_owned()))
            });
            match entry {
                Some(("scenario", name, why)) => open.scenarios.insert(name, why),
                Some(("field", name, why)) => open.fields.insert(name, why),
                _ => bail!("open.txt, line {}: `{line}` is no entry", number + 1),
            };
        }
        Ok(open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_and_others_refused() {
        let open =
            Open::parse("# why\n\nscenario a-b: log details\nfield Pod spec: none\n").unwrap();
        assert_eq!(open.scenarios["a-b"], "log details");
        assert_eq!(open.fields["Pod spec"], "none");
        for bad in ["scenario a-b", "other a: b", "x"] {
            assert!(Open::parse(bad).is_err(), "{bad}");
        }
    }
}
