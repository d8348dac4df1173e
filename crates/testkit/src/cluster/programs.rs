//! Where the cluster's programs are.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

/// The folder of what `tools/build` made, or of what `LATEEN_KUBERNETES` names.
#[derive(Debug, Clone)]
pub struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Finds the folder.
    ///
    /// # Errors
    /// When the programs have not been built.
    pub fn find() -> anyhow::Result<Self> {
        let folder = match std::env::var_os("LATEEN_KUBERNETES") {
            Some(folder) => PathBuf::from(folder),
            None => built()?,
        };
        anyhow::ensure!(
            folder.join("kube-apiserver").exists(),
            "no Kubernetes programs in {}: tools/build makes them",
            folder.display()
        );
        Ok(Self { folder })
    }

    /// The path of one of them, as `kubectl` or `helm`.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The folder itself, for a `PATH`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

fn built() -> anyhow::Result<PathBuf> {
    let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/build");
    let output = Command::new(&build)
        .arg("--where")
        .output()
        .with_context(|| format!("cannot run {}", build.display()))?;
    anyhow::ensure!(output.status.success(), "{} --where failed", build.display());
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}
