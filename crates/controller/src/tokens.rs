//! The tokens in the state folder: `tokens/<namespace>/<service account>`, for every account that
//! a workload has.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use lateen_identity::{
    TokenIssuer,
    private_file::{self, FileError},
    token::TokenKeyError,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::distribution::Facts;

/// Why a token is not where it should be.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// It cannot be signed.
    #[error(transparent)]
    Sign(#[from] TokenKeyError),
    /// Its folder cannot be made.
    #[error(transparent)]
    Folder(#[from] FileError),
    /// It cannot be written.
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
    #[error("`{namespace}/{account}` cannot be the name of a token's file")]
    Name {
        /// The namespace.
        namespace: String,
        /// The service account.
        account: String,
    },
}

/// Writes tokens, and writes them anew at half their life.
pub(crate) struct Tokens {
    dir: PathBuf,
    issuer: TokenIssuer,
    lifetime: Duration,
    /// When each was written.
    written: BTreeMap<(String, String), SystemTime>,
}

impl Tokens {
    /// Takes over the folder; the first [`Tokens::write`] removes what is of no account.
    pub(crate) fn new(state: &Path, issuer: TokenIssuer, lifetime: Duration) -> Self {
        Self { dir: state.join("tokens"), issuer, lifetime, written: BTreeMap::new() }
    }

    /// Writes what is missing or past half its life, removes what nobody has any more. All that
    /// can be done is done; the first error is told.
    pub(crate) fn write(
        &mut self,
        accounts: &BTreeSet<(String, String)>,
        now: SystemTime,
    ) -> Result<(), TokenFileError> {
        let mut result = Ok(());
        for account in accounts {
            let is_fresh = self
                .written
                .get(account)
                .is_some_and(|at| now.duration_since(*at).is_ok_and(|age| age < self.renewal()));
            if is_fresh {
                continue;
            }
            match self.write_one(account, now) {
                Ok(()) => {
                    self.written.insert(account.clone(), now);
                }
                Err(error) => result = result.and(Err(error)),
            }
        }
        self.written.retain(|account, _| accounts.contains(account));
        result.and(self.clean_up(accounts))
    }

    /// The age at which a token is written anew. Tokens count in whole seconds, so that up to one of
    /// their life is lost to rounding.
    fn renewal(&self) -> Duration {
        self.lifetime.saturating_sub(Duration::from_secs(1)) / 2
    }

    fn write_one(
        &self,
        (namespace, account): &(String, String),
        now: SystemTime,
    ) -> Result<(), TokenFileError> {
        let path = self.path(namespace, account).ok_or_else(|| TokenFileError::Name {
            namespace: namespace.clone(),
            account: account.clone(),
        })?;
        let token = self.issuer.issue(namespace, account, self.lifetime, now)?;
        private_file::create_private_dir(&self.dir.join(namespace))?;
        replace(&path, &token).map_err(|source| TokenFileError::Write { path, source })
    }

    /// The token's file, unless the names would lead out of the folder.
    fn path(&self, namespace: &str, account: &str) -> Option<PathBuf> {
        let is_plain = |name: &str| {
            !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0'])
        };
        (is_plain(namespace) && is_plain(account)).then(|| self.dir.join(namespace).join(account))
    }

    fn clean_up(&self, accounts: &BTreeSet<(String, String)>) -> Result<(), TokenFileError> {
        for namespace in entries(&self.dir)? {
            let dir = self.dir.join(&namespace);
            for account in entries(&dir)? {
                if !accounts.contains(&(namespace.clone(), account.clone())) {
                    let path = dir.join(account);
                    fs::remove_file(&path)
                        .map_err(|source| TokenFileError::CleanUp { path, source })?;
                }
            }
        }
        Ok(())
    }

    /// Follows the accounts until stopped.
    pub(crate) async fn follow(
        mut self,
        mut facts: watch::Receiver<Facts>,
        stop: CancellationToken,
    ) {
        let step = self.lifetime / 10;
        loop {
            let wait = async {
                tokio::select! {
                    changed = facts.changed() => changed.is_ok(),
                    () = tokio::time::sleep(step) => true,
                }
            };
            if stop.run_until_cancelled(wait).await != Some(true) {
                return;
            }
            let accounts = facts.borrow_and_update().accounts.clone();
            let written = tokio::task::spawn_blocking(move || {
                let result = self.write(&accounts, SystemTime::now());
                (self, result)
            });
            let Ok((tokens, result)) = written.await else { return };
            self = tokens;
            if let Err(error) = result {
                tracing::error!(%error, "a token is not up to date");
            }
        }
    }
}

/// Writes a file with mode 0600 and puts it in the place of what is there. Nothing is forced to the
/// disk: a token that a crash takes along is written anew at the next start, and a mesh may have
/// thousands of them.
fn replace(path: &Path, token: &str) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.new"));
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(token.as_bytes())?;
    fs::rename(&temporary, path)
}

/// The names in a folder; none if there is no folder.
fn entries(dir: &Path) -> Result<Vec<String>, TokenFileError> {
    let failed = |source| TokenFileError::CleanUp { path: dir.to_owned(), source };
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

#[cfg(test)]
mod tests;
