//! The sample mesh: a folder of YAML that the user may edit while the demo runs.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// File name and text of each file of the sample mesh.
const FILES: &[(&str, &str)] = &[
    ("00-mesh.yaml", include_str!("mesh/00-mesh.yaml")),
    ("10-gateway.yaml", include_str!("mesh/10-gateway.yaml")),
    ("20-catalog.yaml", include_str!("mesh/20-catalog.yaml")),
    ("30-orders.yaml", include_str!("mesh/30-orders.yaml")),
    ("40-visitor.yaml", include_str!("mesh/40-visitor.yaml")),
    ("50-routes.yaml", include_str!("mesh/50-routes.yaml")),
    ("60-policy.yaml", include_str!("mesh/60-policy.yaml")),
];

/// The folders of one run of the demo.
#[derive(Debug, Clone)]
pub struct Folders {
    /// Everything below is in here.
    pub root: PathBuf,
    /// The YAML.
    pub mesh: PathBuf,
    /// The control plane's state: keys, root certificate, tokens.
    pub state: PathBuf,
    /// One log file for each process.
    pub logs: PathBuf,
}

impl Folders {
    /// Makes the folders below `root` and writes the sample mesh.
    pub fn create(root: &Path) -> anyhow::Result<Self> {
        let folders = Self {
            root: root.to_owned(),
            mesh: root.join("mesh"),
            state: root.join("state"),
            logs: root.join("logs"),
        };
        for folder in [&folders.mesh, &folders.state, &folders.logs] {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        }
        for (name, text) in FILES {
            folders.write(name, text)?;
        }
        Ok(folders)
    }

    /// Replaces one file of the mesh, as an editor does it: written aside, then renamed.
    pub fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let target = self.mesh.join(name);
        let aside = self.mesh.join(format!(".{name}.new"));
        std::fs::write(&aside, text)
            .and_then(|()| std::fs::rename(&aside, &target))
            .with_context(|| format!("cannot write {}", target.display()))
    }

    /// Edits one file: each `from` must occur, and is replaced by its `to`.
    pub fn edit(&self, name: &str, replacements: &[(&str, &str)]) -> anyhow::Result<()> {
        let path = self.mesh.join(name);
        let mut text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        for (from, to) in replacements {
            anyhow::ensure!(text.contains(from), "{} has no text `{from}`", path.display());
            text = text.replace(from, to);
        }
        self.write(name, &text)
    }
}
