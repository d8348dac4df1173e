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
}
