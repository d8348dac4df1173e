//! How commands print what they found.

use clap::ValueEnum;
use serde::Serialize;

/// `-o`: for people or for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    Text,
    /// For scripts: one JSON document.
    Json,
}

/// The `-o` option, the same for every command.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Format {
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = OutputFormat::Text)]
    output: OutputFormat,
}

impl Format {
    /// Prints `value` as JSON, or as `text` makes it.
    pub fn print<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        match self.output {
            OutputFormat::Json => println!("{}", serde_json::to_string_pretty(value)?),
            OutputFormat::Text => println!("{}", text(value).trim_end()),
        }
        Ok(())
    }

    /// Ends a command that answers a question: with its exit code, or with 2 and the reason why there
    /// is no answer, on standard error and, for scripts, as `{"error": …}`.
    pub fn conclude(self, outcome: anyhow::Result<i32>) -> anyhow::Result<i32> {
        let Err(error) = outcome else { return outcome };
        let reason = causes(&error);
        eprintln!("lateen: {reason}");
        if self.output == OutputFormat::Json {
            println!("{}", serde_json::json!({ "error": reason }));
        }
        Ok(2)
    }
}

/// An error with its causes, each said once: some errors repeat their cause in their own text.
#[must_use]
pub fn causes(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::causes;

    #[test]
    fn a_cause_is_said_once() {
        let plain = anyhow!("gone").context("cannot read x");
        assert_eq!(causes(&plain), "cannot read x: gone");
        let repeated = anyhow!("gone").context("cannot read x: gone").context("cannot start");
        assert_eq!(causes(&repeated), "cannot start: cannot read x: gone");
    }
}
