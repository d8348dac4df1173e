//! The folder of one agent: Envoy's bootstrap and the socket that both share.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A folder that only its owner may enter; removed when this is dropped.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
}

/// Why there is no folder.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct FolderError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl RunFolder {
    /// Makes a folder of its own for this process in `base`.
    ///
    /// # Errors
    /// When it cannot be made, or is there already: then somebody else made it.
    pub fn create(base: &Path) -> Result<Self, FolderError> {
        let path = base.join(format!("lateen-agent-{}", std::process::id()));
        match std::fs::DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => Ok(Self { path }),
            Err(source) => Err(FolderError { action: "make the folder", path, source }),
        }
    }

    /// The socket on which the agent serves Envoy.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.path.join("agent.sock")
    }

    /// Writes Envoy's bootstrap and gives its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_bootstrap(&self, bootstrap: &serde_json::Value) -> Result<PathBuf, FolderError> {
        let path = self.path.join("envoy.json");
        let write = || {
            let text = serde_json::to_vec_pretty(bootstrap)?;
            std::fs::write(&path, text)
        };
        match write() {
            Ok(()) => Ok(path),
            Err(source) => Err(FolderError { action: "write", path, source }),
        }
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(%error, folder = %self.path.display(), "the folder stays");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn nobody_else_may_enter_and_nothing_stays() {
        let base = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(base.path()).unwrap();
        let bootstrap = folder.write_bootstrap(&serde_json::json!({"node": {}})).unwrap();
        let mode = std::fs::metadata(bootstrap.parent().unwrap()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let second = RunFolder::create(base.path()).unwrap_err().to_string();
        assert!(second.contains("lateen-agent-"), "{second}");
        drop(folder);
        assert_eq!(std::fs::read_dir(base.path()).unwrap().count(), 0);
    }
}
