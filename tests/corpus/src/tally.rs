//! Counting what became of the cases, and printing a line for each.

use std::collections::BTreeMap;

/// What became of one case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// As expected.
    Passed,
    /// Not as expected, and how.
    Failed(String),
    /// Left out, because of this field path, kind or flag.
    Skipped(String),
    /// Left out, because those who wrote the case doubt it themselves.
    Doubtful(String),
}

/// What became of all of them.
pub struct Tally {
    show_passed: bool,
    passed: usize,
    failed: usize,
    skipped: BTreeMap<String, usize>,
}

impl Tally {
    /// Nothing counted yet.
    pub fn new(show_passed: bool) -> Self {
        Self { show_passed, passed: 0, failed: 0, skipped: BTreeMap::new() }
    }

    /// Counts one case and prints its line.
    pub fn record(&mut self, name: &str, verdict: Verdict) {
        match verdict {
            Verdict::Passed => {
                self.passed += 1;
                if self.show_passed {
                    println!("ok       {name}");
                }
            }
            Verdict::Failed(why) => {
                self.failed += 1;
                println!("FAILED   {name}: {why}");
            }
            Verdict::Skipped(what) => {
                println!("skipped  {name}: {what} is not honoured yet");
                *self.skipped.entry(what).or_default() += 1;
            }
            Verdict::Doubtful(why) => {
                println!("doubtful {name}: {why}");
                *self.skipped.entry("doubtful upstream".to_owned()).or_default() += 1;
            }
        }
    }

    /// Prints the table of what was left out and the closing line. Whether nothing failed.
    pub fn close(&self) -> bool {
        let skipped: usize = self.skipped.values().sum();
        if skipped > 0 {
            println!("\nskipped, by what is not honoured yet:");
            for (what, count) in &self.skipped {
                println!("  {count:>4}  {what}");
            }
        }
        println!("\n{} passed, {} failed, {skipped} skipped", self.passed, self.failed);
        self.failed == 0
    }
}
