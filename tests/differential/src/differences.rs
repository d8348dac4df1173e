//! The entries of `docs/differences.md` that name scenarios: what may differ there.
//!
//! An entry has a line `Scenarios: NAME (ABOUT, ABOUT), NAME.`: in the scenario NAME, findings about what
//! begins with ABOUT (`header server`, `log flags`, …) are deliberate. What either side shows stands in the
//! scenario (`expect: {native: …, envoy: …}`), which no other scenario may say.

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
    /// What findings may be about; none where [`crate::compare`] leaves the difference out everywhere.
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

    /// What the entry says of this scenario and no finding is about: it has been mended.
    pub fn mended(&self, scenario: &str, findings: &[Finding]) -> impl Iterator<Item = &str> {
        let abouts = self.about.iter().filter(move |_| self.scenario == scenario);
        abouts.map(String::as_str).filter(move |about| {
            let mut between = findings.iter().filter(|it| it.between == Between::Sides);
            !between.any(|finding| finding.about.starts_with(about))
        })
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
        for part in parts(rest.trim_end_matches('.')) {
            let (scenario, about) = match part.strip_suffix(')') {
                None => (part, Vec::new()),
                Some(part) => part
                    .split_once('(')
                    .map(|(scenario, about)| (scenario, about.split(',').collect()))
                    .with_context(|| format!("{title}: `{part}` is not NAME (ABOUT, …)"))?,
            };
            let about: Vec<String> =
                about.into_iter().map(|about| about.trim().to_owned()).collect();
            ensure!(about.iter().all(|about| !about.is_empty()), "{title}: `{part}`");
            let scenario = scenario.trim().trim_matches('`').to_owned();
            ensure!(!scenario.is_empty() && !scenario.contains(' '), "{title}: `{part}`");
            all.push(Difference { title: title.clone(), scenario, about });
        }
    }
    Ok(all)
}

/// Splits at the commas that are not within parentheses.
fn parts(line: &str) -> impl Iterator<Item = &str> {
    let mut is_within = false;
    let is_end = move |letter: char| {
        is_within = letter == '(' || (is_within && letter != ')');
        letter == ',' && !is_within
    };
    line.split(is_end).map(str::trim)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::run;
    use crate::scenario::Expect;

    #[test]
    fn entries_name_scenarios_and_what_may_differ() {
        let text = "# Title\n\n## One\n\nWords.\n\nScenarios: `a-b` (status, log flags), `c`\n(header via), d.\n";
        let read = parse(text).unwrap();
        let expected = |scenario: &str, about: &[&str]| Difference {
            title: "One".to_owned(),
            scenario: scenario.to_owned(),
            about: about.iter().map(|about| (*about).to_owned()).collect(),
        };
        let expected = [
            expected("a-b", &["status", "log flags"]),
            expected("c", &["header via"]),
            expected("d", &[]),
        ];
        assert_eq!(read, expected);
        assert!(parse("## One\nScenarios: a ().").is_err());
        assert!(parse("## One\nScenarios: a b.").is_err());
        assert!(parse("## One\nScenarios: a (status)").is_err());
    }

    #[test]
    fn what_differs_no_more_is_named() {
        let entry = parse("## One\nScenarios: a (status, log flags).\n").unwrap().remove(0);
        let finding = |about: &str, between| Finding {
            about: about.to_owned(),
            between,
            ..Finding::complaint(String::new())
        };
        let sides = [finding("log flags", Between::Sides), finding("status", Between::Complaint)];
        assert_eq!(entry.mended("a", &sides).collect::<Vec<_>>(), ["status"]);
        assert_eq!(entry.mended("b", &sides).count(), 0);
    }

    #[test]
    fn scenarios_with_an_expectation_of_one_side_are_those_that_entries_name() {
        let declared = read().unwrap();
        let names: BTreeSet<&str> = declared.iter().map(|it| it.scenario.as_str()).collect();
        let all = run::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")).unwrap();
        let is_of_one_side = |expect: &Expect| expect.native.is_some() || expect.envoy.is_some();
        for (folder, scenario) in &all {
            let requests = scenario.exchanges.iter().flat_map(|exchange| &exchange.requests);
            let bytes = scenario.exchanges.iter().filter_map(|exchange| exchange.bytes.as_ref());
            let mut expected = requests.map(|it| &it.expect).chain(bytes.map(|it| &it.expect));
            let is_named = names.contains(scenario.name.as_str());
            assert_eq!(expected.any(is_of_one_side), is_named, "{}", folder.display());
        }
        let known: BTreeSet<&str> =
            all.iter().map(|(_, scenario)| scenario.name.as_str()).collect();
        assert!(names.is_subset(&known), "{names:?}");
    }
}
