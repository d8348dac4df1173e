//! Files that hold secrets: written whole or not at all, readable by their owner only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::rand::SecureRandom;

const OWNER_ONLY: u32 = 0o600;
const EVERYONE_READS: u32 = 0o644;

/// Why a file of the state folder could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system refused.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    Io {
        /// What was being done: `read`, `write`, …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A secret can be read by others than its owner.
    #[error(
        "{path} holds a secret but others can read it (mode {mode:04o}); run `chmod 600 {path}`, \
         and replace the secret if it may have been read",
        path = path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

impl FileError {
    /// Whether the file is simply not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

/// Reads a secret, and refuses one that others can read.
///
/// # Errors
/// The file is missing, unreadable, or open to group or others.
pub fn read_private(path: &Path) -> Result<Vec<u8>, FileError> {
    let mut file = File::open(path).map_err(FileError::io("read", path))?;
    let mode = permissions(&file, path)?;
    if mode & 0o077 != 0 {
        return Err(FileError::Exposed { path: path.to_owned(), mode });
    }
    read_all(&mut file, path)
}

/// Reads a file that need not be secret.
///
/// # Errors
/// The file is missing or unreadable.
pub fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let mut file = File::open(path).map_err(FileError::io("read", path))?;
    read_all(&mut file, path)
}

/// Whether anyone but the owner can read `path`; `None` when it cannot be looked at.
pub(crate) fn exposed_mode(path: &Path) -> Option<u32> {
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o7777;
    (mode & 0o077 != 0).then_some(mode)
}

/// Writes a secret with mode 0600, replacing what is there in one step.
///
/// # Errors
/// What the operating system refuses; the old contents then stay.
pub fn write_private(path: &Path, contents: &[u8]) -> Result<(), FileError> {
    let temporary = write_beside(path, contents, OWNER_ONLY)?;
    rename(&temporary, path)
}

/// Writes a file that everyone may read, replacing what is there in one step.
///
/// # Errors
/// What the operating system refuses; the old contents then stay.
pub fn write_public(path: &Path, contents: &[u8]) -> Result<(), FileError> {
    let temporary = write_beside(path, contents, EVERYONE_READS)?;
    rename(&temporary, path)
}

/// Writes a secret with mode 0600 unless the file is there already, and answers whether it did.
/// Of several processes that try at once exactly one wins; the others then read its file.
///
/// # Errors
/// What the operating system refuses.
pub fn create_private(path: &Path, contents: &[u8]) -> Result<bool, FileError> {
    create(path, contents, OWNER_ONLY)
}

/// As [`create_private`], for a file that everyone may read.
///
/// # Errors
/// What the operating system refuses.
pub fn create_public(path: &Path, contents: &[u8]) -> Result<bool, FileError> {
    create(path, contents, EVERYONE_READS)
}

/// Makes a folder that only its owner can enter, with its parents; one that is there is left alone.
///
/// # Errors
/// What the operating system refuses.
pub fn create_private_dir(path: &Path) -> Result<(), FileError> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(FileError::io("create", path))
}

fn create(path: &Path, contents: &[u8], mode: u32) -> Result<bool, FileError> {
    let temporary = write_beside(path, contents, mode)?;
    let linked = fs::hard_link(&temporary, path);
    let removed = fs::remove_file(&temporary).map_err(FileError::io("remove", &temporary));
    match linked {
        Ok(()) => removed.map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => removed.map(|()| false),
        Err(error) => Err(FileError::io("create", path)(error)),
    }
}

fn permissions(file: &File, path: &Path) -> Result<u32, FileError> {
    let metadata = file.metadata().map_err(FileError::io("read", path))?;
    Ok(metadata.permissions().mode() & 0o7777)
}

fn read_all(file: &mut File, path: &Path) -> Result<Vec<u8>, FileError> {
    let mut contents = Vec::new();
    file.read_to_end(&mut contents).map_err(FileError::io("read", path))?;
    Ok(contents)
}

/// Writes to a new file in the same folder, so that a rename or link can put it in place whole.
fn write_beside(path: &Path, contents: &[u8], mode: u32) -> Result<PathBuf, FileError> {
    let mut suffix = [0; 8];
    aws_lc_rs::rand::SystemRandom::new()
        .fill(&mut suffix)
        .map_err(|_| FileError::io("write", path)(io::Error::other("no random numbers")))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{:016x}", u64::from_ne_bytes(suffix)));
    let written =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary).and_then(
            |mut file| {
                file.set_permissions(fs::Permissions::from_mode(mode))?;
                file.write_all(contents)?;
                file.sync_all()
            },
        );
    match written {
        Ok(()) => Ok(temporary),
        Err(error) => {
            // The first error is the one to report; the leftover is harmless.
            let _ = fs::remove_file(&temporary);
            Err(FileError::io("write", path)(error))
        }
    }
}

fn rename(temporary: &Path, path: &Path) -> Result<(), FileError> {
    fs::rename(temporary, path).map_err(|error| {
        let _ = fs::remove_file(temporary);
        FileError::io("write", path)(error)
    })
}

#[cfg(test)]
mod tests;
