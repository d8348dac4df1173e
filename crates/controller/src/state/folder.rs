//! Small private files, `<namespace>/<name>` below a folder that nobody else writes to.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use lateen_identity::{
    private_file::{self, FileError},
    token::TokenKeyError,
};

/// Why the state folder is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A token cannot be signed.
    #[error(transparent)]
    Sign(#[from] TokenKeyError),
    /// A folder cannot be made.
    #[error(transparent)]
    Folder(#[from] FileError),
    /// A file cannot be written.
    #[error("cannot write {path}: {source}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// What should not be there cannot be removed.
    #[error("cannot clean up {path}: {source}", path = path.display())]
    CleanUp {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A name that cannot be a file's.
    #[error("`{namespace}/{name}` cannot be the name of a file in {dir}", dir = dir.display())]
    Name {
        /// Where the file would be.
        dir: PathBuf,
        /// The namespace.
        namespace: String,
        /// The name of the workload or service account.
        name: String,
    },
}

/// See the module.
pub(super) struct Folder {
    dir: PathBuf,
}

impl Folder {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Writes a file, in the place of what is there.
    pub(super) fn write(
        &self,
        namespace: &str,
        name: &str,
        contents: &str,
    ) -> Result<(), StateError> {
        // Neither name may lead out of the folder.
        if !is_plain(namespace) || !is_plain(name) {
            return Err(StateError::Name {
                dir: self.dir.clone(),
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            });
        }
        let dir = self.dir.join(namespace);
        private_file::create_private_dir(&dir)?;
        let path = dir.join(name);
        replace(&path, contents).map_err(|source| StateError::Write { path, source })
    }

    /// Removes every file but those to keep, given as namespace and name.
    pub(super) fn retain(
        &self,
        keep: impl Fn(&(String, String)) -> bool,
    ) -> Result<(), StateError> {
        for namespace in entries(&self.dir)? {
            let dir = self.dir.join(&namespace);
            for name in entries(&dir)? {
                let file = (namespace.clone(), name);
                if !keep(&file) {
                    let path = dir.join(file.1);
                    fs::remove_file(&path)
                        .map_err(|source| StateError::CleanUp { path, source })?;
                }
            }
        }
        Ok(())
    }
}

/// Whether a name is one of a file, and one that [`entries`] lists.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0', '\n'])
}

/// Writes a file with mode 0600 and puts it in the place of what is there. Nothing is forced to the
/// disk: what a crash takes along is written anew at the next start, and a mesh may have thousands
/// of files.
fn replace(path: &Path, contents: &str) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.new"));
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(contents.as_bytes())?;
    fs::rename(&temporary, path)
}

/// The names in a folder; none if there is no folder.
pub(super) fn entries(dir: &Path) -> Result<Vec<String>, StateError> {
    let failed = |source| StateError::CleanUp { path: dir.to_owned(), source };
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        // Names that are not UTF-8, and files on their way to their place, are none of ours.
        if let Ok(name) = name.into_string()
            && !name.starts_with('.')
        {
            names.push(name);
        }
    }
    Ok(names)
}
