//! The programs of a side, and what they print.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context;

/// A running program, ended when it is dropped.
pub struct Program {
    name: String,
    child: Child,
    /// What it prints as output.
    pub output: Tail,
    /// What it prints as errors: its own log.
    pub errors: Tail,
}

impl Program {
    /// Starts a program that prints into files of `folder`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(name: &str, mut command: Command, folder: &Path) -> anyhow::Result<Self> {
        let file = |kind: &str| folder.join(format!("{name}.{kind}"));
        let open = |path: &Path| OpenOptions::new().create(true).append(true).open(path);
        let (output, errors) = (file("out"), file("err"));
        let child = command
            .stdin(Stdio::null())
            .stdout(open(&output)?)
            .stderr(open(&errors)?)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            output: Tail::new(output),
            errors: Tail::new(errors),
        })
    }

    /// Fails when it has ended, with the end of what it printed.
    ///
    /// # Errors
    /// When it has ended.
    pub fn running(&mut self) -> anyhow::Result<()> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        let said = std::fs::read_to_string(self.errors.path()).unwrap_or_default();
        let from = said.len().saturating_sub(4000);
        let from = (from..said.len()).find(|at| said.is_char_boundary(*at)).unwrap_or(from);
        anyhow::bail!("{} ended ({status}):\n{}", self.name, &said[from..]);
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file that grows, read line by line.
pub struct Tail {
    path: PathBuf,
    at: u64,
    rest: String,
}

impl Tail {
    /// From the beginning of a file, which may not exist yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, at: 0, rest: String::new() }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The whole lines that were written since the last time.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn lines(&mut self) -> std::io::Result<Vec<String>> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(self.at))?;
        let mut bytes = Vec::new();
        self.at += u64::try_from(file.read_to_end(&mut bytes)?).unwrap_or_default();
        self.rest.push_str(&String::from_utf8_lossy(&bytes));
        let Some(end) = self.rest.rfind('\n') else { return Ok(Vec::new()) };
        let whole: String = self.rest.drain(..=end).collect();
        Ok(whole.lines().map(str::to_owned).collect())
    }
}
