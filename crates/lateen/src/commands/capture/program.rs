//! Running the programs of the system.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::Context;

/// Runs a program to its end and gives what it printed on standard output.
///
/// # Errors
/// When it cannot be started or fails, with what it printed on standard error.
pub(super) fn run(program: &str, arguments: &[&str], input: &str) -> anyhow::Result<String> {
    let shown = || [&[program], arguments].concat().join(" ");
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {program}; is it installed?"))?;
    let mut stdin = child.stdin.take().context("no input")?;
    // Both programs read all of it before they print anything.
    let written = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().with_context(|| format!("cannot wait for {program}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{} fails: {}", shown(), errors.trim());
    // One that ends well before it has read everything did not need it.
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).with_context(|| format!("cannot write to {program}"))
        }
        _ => {
            String::from_utf8(output.stdout).with_context(|| format!("{} prints no text", shown()))
        }
    }
}
