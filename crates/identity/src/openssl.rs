//! OpenSSL's command line: the tests' counterparty for certificates.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs `openssl` in a directory.
pub(crate) struct Openssl {
    dir: PathBuf,
}

impl Openssl {
    pub(crate) fn in_dir(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Runs a command line (split at spaces) and returns what it printed; it must succeed.
    pub(crate) fn run(&self, command: &str) -> String {
        let (succeeded, printed) = self.attempt(command);
        assert!(succeeded, "openssl {command}: {printed}");
        printed
    }

    /// Runs a command line and returns whether it succeeded and what it printed.
    pub(crate) fn attempt(&self, command: &str) -> (bool, String) {
        let output = Command::new("openssl")
            .args(command.split(' '))
            .current_dir(&self.dir)
            .output()
            .expect("the tests need the openssl command line");
        let printed = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&printed).into_owned())
    }

    /// Writes a file for the commands to use.
    pub(crate) fn write(&self, name: &str, contents: &str) {
        std::fs::write(self.dir.join(name), contents).unwrap();
    }

    /// Reads a file that a command wrote.
    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.join(name)).unwrap()
    }
}
