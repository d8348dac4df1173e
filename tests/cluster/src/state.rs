//! What is known of the developer's cluster between two calls: a file in the user's cache folder.

use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::Context;
use serde_json::json;

/// The cluster that is up.
pub struct State {
    /// The process that has it.
    pub holder: u32,
    /// The cluster's folder.
    pub folder: PathBuf,
    /// Where `kubectl` is.
    pub programs: PathBuf,
}

impl State {
    /// Reads it; none, when there is no cluster.
    pub fn read() -> anyhow::Result<Option<Self>> {
        let path = cache()?.join("cluster.json");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        let value: serde_json::Value =
            serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        let text = |key: &str| value[key].as_str().map(PathBuf::from).context("not written by us");
        let holder = value["holder"].as_u64().and_then(|id| id.try_into().ok());
        Ok(Some(Self {
            holder: holder.context("not written by us")?,
            folder: text("folder")?,
            programs: text("programs")?,
        }))
    }

    /// Writes it, whole or not at all.
    pub fn write(&self) -> anyhow::Result<()> {
        let value = json!({
            "holder": self.holder, "folder": self.folder, "programs": self.programs,
        });
        let path = cache()?.join("cluster.json");
        let aside = path.with_extension("new");
        std::fs::write(&aside, value.to_string())?;
        Ok(std::fs::rename(aside, path)?)
    }

    /// Forgets it.
    pub fn remove() -> anyhow::Result<()> {
        Ok(std::fs::remove_file(cache()?.join("cluster.json"))?)
    }

    /// Where the holder's output goes.
    pub fn log() -> anyhow::Result<PathBuf> {
        Ok(cache()?.join("cluster.log"))
    }

    /// Whether the process that has the cluster runs.
    pub fn holder_runs(&self) -> bool {
        let command = std::fs::read(format!("/proc/{}/cmdline", self.holder)).unwrap_or_default();
        // The number may be another process's by now.
        command.split(|byte| *byte == 0).nth(1) == Some(b"hold")
    }
}

fn cache() -> anyhow::Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let folder = cache.or(home).context("neither XDG_CACHE_HOME nor HOME is set")?.join("lateen");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}
