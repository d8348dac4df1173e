//! The stock Envoy that tests ask.

use std::path::PathBuf;

use anyhow::Context;

/// The program: `LATEEN_ENVOY`, which `./test` sets to the one that it installed, else `envoy` in
/// `PATH`.
///
/// # Errors
/// When there is none.
pub fn binary() -> anyhow::Result<PathBuf> {
    if let Some(given) = std::env::var_os("LATEEN_ENVOY") {
        let given = PathBuf::from(given);
        anyhow::ensure!(given.is_file(), "LATEEN_ENVOY names no file: {}", given.display());
        return Ok(given);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join("envoy"))
        .find(|candidate| candidate.is_file())
        .context("there is no Envoy: run `./test`, which installs one, or set LATEEN_ENVOY")
}
