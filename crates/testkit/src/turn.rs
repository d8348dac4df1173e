//! One at a time on this machine.
//!
//! The addresses of local mode follow from the mesh's YAML alone, so two runs of the same mesh
//! cannot stand side by side; whoever starts one takes a turn first.

use std::fs::File;

use anyhow::Context;

/// Held for as long as the mesh runs.
pub struct Turn {
    _lock: File,
}

impl Turn {
    /// Waits until nobody else on this machine holds it.
    ///
    /// # Errors
    /// When the lock file cannot be made or locked.
    pub fn take() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join("lateen-test-turn");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        lock.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(Self { _lock: lock })
    }
}
