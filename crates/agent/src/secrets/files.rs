//! Secrets that stand in files which the mesh's configuration names.

use std::io;

use bytes::Bytes;

use super::{pair, trust};
use crate::wire::secret::secret::Type;

const PAIR: &str = "file-cert:";
const ROOTS: &str = "file-root:";

/// Why a secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error("there is no secret of this name")]
    Unknown,
    #[error("{path}: {source}")]
    Read { path: String, source: io::Error },
}

/// Whether the name is one of files.
pub(super) fn is_file(name: &str) -> bool {
    name.starts_with(PAIR) || name.starts_with(ROOTS)
}

/// The secret as its files are now (`istio-contracts.md` §9).
pub(super) async fn read(name: &str) -> Result<Type, FileError> {
    if let Some(path) = name.strip_prefix(ROOTS) {
        return Ok(trust(file(path).await?));
    }
    let paths = name.strip_prefix(PAIR).and_then(|paths| paths.split_once('~'));
    let (chain, key) = paths.ok_or(FileError::Unknown)?;
    Ok(pair(file(chain).await?, file(key).await?))
}

async fn file(path: &str) -> Result<Bytes, FileError> {
    match tokio::fs::read(path).await {
        Ok(bytes) => Ok(bytes.into()),
        Err(source) => Err(FileError::Read { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_say_which_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        for name in ["chain", "key", "roots"] {
            std::fs::write(path(name), name).unwrap();
        }
        let both = format!("file-cert:{}~{}", path("chain"), path("key"));
        assert_eq!(read(&both).await.unwrap(), pair("chain".into(), "key".into()));
        let roots = format!("file-root:{}", path("roots"));
        assert_eq!(read(&roots).await.unwrap(), trust("roots".into()));
        for (name, says) in [
            (format!("file-root:{}", path("none")), "/none: "),
            (format!("file-cert:{}", path("chain")), "there is no secret of this name"),
            ("other".to_owned(), "there is no secret of this name"),
        ] {
            let error = read(&name).await.unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        assert!(is_file(&both) && is_file(&roots) && !is_file("default"));
    }
}
