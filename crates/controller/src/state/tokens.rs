//! A token for every service account that a workload has.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::{Duration, SystemTime},
};

use lateen_identity::TokenIssuer;

use super::folder::{Folder, StateError};

/// Writes tokens, and writes them anew at half their life.
pub(super) struct Tokens {
    folder: Folder,
    issuer: TokenIssuer,
    lifetime: Duration,
    /// When each was written.
    written: BTreeMap<(String, String), SystemTime>,
}

impl Tokens {
    pub(super) fn new(state: &Path, issuer: TokenIssuer, lifetime: Duration) -> Self {
        let folder = Folder::new(state.join("tokens"));
        Self { folder, issuer, lifetime, written: BTreeMap::new() }
    }

    /// Writes what is missing or past half its life, removes what nobody has any more. Accounts
    /// are given as namespace and name.
    pub(super) fn write(
        &mut self,
        accounts: &BTreeSet<(String, String)>,
        now: SystemTime,
    ) -> Result<(), StateError> {
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
        result.and(self.folder.retain(|account| accounts.contains(account)))
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
    ) -> Result<(), StateError> {
        let token = self.issuer.issue(namespace, account, self.lifetime, now)?;
        self.folder.write(namespace, account, &token)
    }
}
