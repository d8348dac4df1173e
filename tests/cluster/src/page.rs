//! A page of the documentation, whose commands are run as they are printed.

use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use lateen_testkit::wait;

/// How long a command may take to print what the page says: changes need a moment to arrive.
const PATIENCE: Duration = Duration::from_secs(60);

/// How far a count may be from the one on the page: chance decides between versions.
const CHANCE: i64 = 15;

/// Commands of a page, in a block of its own, with what the page says that they print.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// The heading above it.
    pub section: String,
    /// What stands behind `sh`: for whom the block is; empty: for all.
    pub reader: String,
    /// The commands.
    pub commands: String,
    /// What they print, if the page says it.
    pub printed: Option<String>,
}

/// The steps of a page: its blocks `sh`, each with the block `text` that follows it.
///
/// # Errors
/// When a block has no end, is of another kind, or a `text` follows no commands.
pub fn steps(page: &str) -> anyhow::Result<Vec<Step>> {
    let mut steps: Vec<Step> = Vec::new();
    let mut section = String::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(heading) = line.strip_prefix('#') {
            heading.trim_start_matches('#').trim().clone_into(&mut section);
        }
        let Some(kind) = line.strip_prefix("```") else { continue };
        let mut text = String::new();
        loop {
            match lines.next().with_context(|| format!("a block in {section:?} has no end"))? {
                "```" => break,
                line => text.extend([line, "\n"]),
            }
        }
        match kind.split_once(' ').unwrap_or((kind, "")) {
            ("sh", reader) => steps.push(Step {
                section: section.clone(),
                reader: reader.to_owned(),
                commands: text,
                printed: None,
            }),
            ("text", _) => {
                let last = steps.last_mut().context("no commands before an output")?;
                last.printed = Some(text);
            }
            _ => anyhow::bail!("a block of kind {kind:?} in {section:?}"),
        }
    }
    Ok(steps)
}

impl Step {
    /// Runs the commands in a shell that `prepare` sets up. Where the page says what they print, they
    /// are run until they do: they only look.
    ///
    /// # Errors
    /// When a command fails, or prints something else; with all that was printed.
    pub fn run(&self, prepare: &dyn Fn(&mut Command)) -> anyhow::Result<()> {
        let Some(wanted) = &self.printed else {
            return self.once(prepare).map(drop);
        };
        wait::until(&format!("what the page says in {:?}", self.section), PATIENCE, || {
            let printed = self.once(prepare)?;
            anyhow::ensure!(agrees(wanted, &printed), "wanted:\n{wanted}\nprinted:\n{printed}");
            Ok(())
        })
    }

    fn once(&self, prepare: &dyn Fn(&mut Command)) -> anyhow::Result<String> {
        let mut command = Command::new("bash");
        command.args(["-eu", "-o", "pipefail", "-c", &self.commands]);
        prepare(&mut command);
        let output = command.output()?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(
            output.status.success(),
            "{:?}, {}:\n{}\n{printed}\n{complaint}",
            self.section,
            output.status,
            self.commands
        );
        Ok(printed)
    }
}

/// Whether both are the same, but for counts of `uniq -c`, which may differ by chance.
#[must_use]
pub fn agrees(wanted: &str, printed: &str) -> bool {
    let (wanted, printed): (Vec<_>, Vec<_>) = (wanted.lines().collect(), printed.lines().collect());
    wanted.len() == printed.len()
        && wanted.iter().zip(printed).all(|(wanted, printed)| {
            match (counted(wanted), counted(printed)) {
                (Some((many, what)), Some((seen, of))) => {
                    what == of && (many - seen).abs() <= CHANCE
                }
                _ => wanted.trim_end() == printed.trim_end(),
            }
        })
}

fn counted(line: &str) -> Option<(i64, &str)> {
    let (count, what) = line.strip_prefix(' ')?.trim_start().split_once(' ')?;
    Some((count.parse().ok()?, what))
}
