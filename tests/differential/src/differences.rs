//! The entries of `docs/differences.md` that name scenarios: what may differ there.
//!
//! An entry has a line `Scenarios: NAME (ABOUT, ABOUT), NAME (ABOUT).`: in the scenario NAME, findings
//! about what begins with ABOUT (`header server`, `log flags`, …) are deliberate.

use std::path::Path;

use anyhow::{Context, ensure};

use crate::compare::{Between, Finding};

/// The prefix of the line.
const LINE: &str = "Scenarios: ";

/// What may differ in one scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Title of the entry.
    pub title: String,
    /// The scenario.
    pub scenario: String,
    /// What findings may be about.
    pub about: Vec<String>,
}

impl Difference {
    /// Whether the entry declares this difference.
    #[must_use]
    pub fn allows(&self, scenario: &str, finding: &Finding) -> bool {
        finding.between == Between::Sides
            && self.scenario == scenario
            && self.about.iter().any(|about| finding.about.starts_with(about.as_str()))
    }
}

/// Reads the project's entries.
///
/// # Errors
/// When the file cannot be read, or a line is not of the form.
pub fn read() -> anyhow::Result<Vec<Difference>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/differences.md");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    parse(&text)
}

/// The entries of a text.
///
/// # Errors
/// When a line is not of the form.
pub fn parse(text: &str) -> anyhow::Result<Vec<Difference>> {
    let mut title = String::new();
    let mut all = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(heading) = line.strip_prefix("## ") {
            heading.clone_into(&mut title);
        }
        let Some(start) = line.strip_prefix(LINE) else { continue };
        let mut rest = start.to_owned();
        while !rest.ends_with('.') {
            let more = lines.next().with_context(|| format!("{title}: `{rest}` has no end"))?;
            rest.push(' ');
            rest.push_str(more.trim());
        }
        let rest = rest.trim_end_matches('.');
        for part in rest.split_inclusive(')') {
            let part = part.trim_start_matches([',', ' ']);
            let (scenario, about) = part
                .trim_end_matches(')')
                .split_once(" (")
                .with_context(|| format!("{title}: `{part}` is not NAME (ABOUT, …)"))?;
            let about: Vec<String> =
                about.split(',').map(|about| about.trim().to_owned()).collect();
            ensure!(about.iter().all(|about| !about.is_empty()), "{title}: `{part}`");
            let scenario = scenario.trim().trim_matches('`').to_owned();
            all.push(Difference { title: title.clone(), scenario, about });
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::load::EXCHANGES;

    #[test]
    fn entries_name_scenarios_and_what_may_differ() {
        let text = "# Title\n\n## One\n\nWords.\n\nScenarios: `a-b` (status, log flags), `c`\n(header via).\n";
        let read = parse(text).unwrap();
        let expected = |scenario: &str, about: &[&str]| Difference {
            title: "One".to_owned(),
            scenario: scenario.to_owned(),
            about: about.iter().map(|about| (*about).to_owned()).collect(),
        };
        assert_eq!(
            read,
            [expected("a-b", &["status", "log flags"]), expected("c", &["header via"])]
        );
        assert!(parse("## One\nScenarios: a.").is_err());
        assert!(parse("## One\nScenarios: a (status)").is_err());
    }

    #[test]
    fn every_scenario_that_is_named_exists() {
        for difference in read().unwrap() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
            let file = folder.join(&difference.scenario).join(EXCHANGES);
            assert!(file.is_file(), "{}: there is no {}", difference.title, file.display());
        }
    }
}
