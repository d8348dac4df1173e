//! `kubectl lateen`: the same program under the name `kubectl-lateen` is a plugin of kubectl's.

use std::ffi::OsStr;
use std::path::Path;

use clap::Command;

/// The file name by which kubectl finds it.
const FILE: &str = "kubectl-lateen";

/// A command as the program's help is to show it, by the name that it was started by.
#[must_use]
pub fn named(command: Command, program: Option<&OsStr>) -> Command {
    let file = program.and_then(|program| Path::new(program).file_stem());
    if file.is_some_and(|file| file == FILE) {
        of_kubectl(command.bin_name("kubectl lateen"))
    } else {
        command
    }
}

/// A command and those below it, with examples as one types them.
fn of_kubectl(command: Command) -> Command {
    let examples = command.get_after_help().map(|help| typed(&help.to_string()));
    let command = match examples {
        Some(examples) => command.after_help(examples),
        None => command,
    };
    command.mut_subcommands(of_kubectl)
}

fn typed(help: &str) -> String {
    let lines = help.lines().map(|line| match line.strip_prefix("  lateen ") {
        Some(rest) => format!("  kubectl lateen {rest}"),
        None => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn help(program: &str) -> String {
        let inner = Command::new("check").after_help("Examples:\n  lateen check\n");
        let command = Command::new("lateen").subcommand(inner).after_help("  lateen demo");
        let mut command = named(command, Some(OsStr::new(program)));
        command.build();
        let inner = command.find_subcommand_mut("check").expect("a command");
        inner.render_help().to_string()
    }

    #[test]
    fn help_says_what_one_types() {
        let own = help("/usr/local/bin/lateen");
        assert!(own.contains("Usage: lateen check") && own.contains("\n  lateen check"), "{own}");
        let plugin = help("/usr/local/bin/kubectl-lateen");
        assert!(plugin.contains("Usage: kubectl lateen check"), "{plugin}");
        assert!(plugin.contains("\n  kubectl lateen check"), "{plugin}");
    }
}
