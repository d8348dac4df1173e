//! A side, as the bed holds it: a child process that is told and asked.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout};

use anyhow::{Context, bail};

use crate::side::namespace;
use crate::side::protocol::{Command, Engine, Prepared, Ran, Reply};

/// A running side; it ends with this.
pub struct Side {
    engine: Engine,
    child: Child,
    commands: ChildStdin,
    replies: BufReader<ChildStdout>,
}

impl Side {
    /// Starts the process; it has nothing running yet.
    ///
    /// # Errors
    /// When namespaces cannot be made.
    pub fn spawn(engine: Engine) -> anyhow::Result<Self> {
        let mut child = namespace::command(engine)?.spawn().context("cannot start a side")?;
        let commands = child.stdin.take().context("a side without input")?;
        let replies = BufReader::new(child.stdout.take().context("a side without output")?);
        Ok(Self { engine, child, commands, replies })
    }

    /// What it runs.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// Tells it something; the answer is to be read by one of the others.
    ///
    /// # Errors
    /// When it has ended.
    pub fn tell(&mut self, command: &Command) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(command)?;
        line.push(b'\n');
        let written = self.commands.write_all(&line).and_then(|()| self.commands.flush());
        written.with_context(|| format!("the side {} has ended", self.engine.name()))
    }

    fn reply(&mut self) -> anyhow::Result<Reply> {
        let mut line = String::new();
        let name = self.engine.name();
        if self.replies.read_line(&mut line)? == 0 {
            let status = self.child.wait()?;
            bail!("the side {name} has ended ({status})");
        }
        match serde_json::from_str(&line).with_context(|| format!("the side {name}: {line}"))? {
            Reply::Failed(why) => bail!("{why}"),
            reply => Ok(reply),
        }
    }

    /// Waits until it has started.
    ///
    /// # Errors
    /// When it does not.
    pub fn started(&mut self) -> anyhow::Result<()> {
        match self.reply()? {
            Reply::Started => Ok(()),
            other => bail!("unexpected: {other:?}"),
        }
    }

    /// What came of the scenario that it was told to run.
    ///
    /// # Errors
    /// When it could not run it.
    pub fn ran(&mut self) -> anyhow::Result<Ran> {
        match self.reply()? {
            Reply::Ran(ran) => Ok(ran),
            other => bail!("unexpected: {other:?}"),
        }
    }

    /// What was refused or warned about since the last time.
    ///
    /// # Errors
    /// When something ended.
    pub fn complaints(&mut self) -> anyhow::Result<Vec<String>> {
        self.tell(&Command::Complaints)?;
        match self.reply()? {
            Reply::Complaints(all) => Ok(all),
            other => bail!("unexpected: {other:?}"),
        }
    }

    /// Whether the process still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Starts the control plane and the proxies.
    ///
    /// # Errors
    /// When it has ended.
    pub fn tell_start(&mut self, first: &Prepared) -> anyhow::Result<()> {
        self.tell(&Command::Start(Box::new(first.clone())))
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        // Everything in its namespace of processes ends with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
