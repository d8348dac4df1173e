//! What `./test differential` does: runs, progress, summaries.
//!
//! - [`scenarios`]: all scenarios on both sides.
//! - [`fields`]: the strip test.
//! - [`Random`]: the generator.

mod fields;
mod random;
mod scenarios;

use std::path::{Path, PathBuf};

use anyhow::ensure;

use crate::scenario::Scenario;
use crate::scenario::load::EXCHANGES;

pub use fields::run as fields;
pub use random::Random;
pub use scenarios::run as scenarios;

/// A scenario and where it stands.
pub type Located = (PathBuf, Scenario);

/// The scenario of a folder, or all of the folders below it.
///
/// # Errors
/// When there is none, or one cannot be read.
pub fn load(folder: &Path) -> anyhow::Result<Vec<Located>> {
    let mut folders = Vec::new();
    find(folder, &mut folders)?;
    ensure!(!folders.is_empty(), "there is no {EXCHANGES}");
    folders.sort();
    folders.into_iter().map(|folder| Ok((folder.clone(), Scenario::load(&folder)?))).collect()
}

fn find(folder: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if folder.join(EXCHANGES).is_file() {
        found.push(folder.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, found)?;
        }
    }
    Ok(())
}
