//! The service account of every workload.

use std::path::Path;

use super::folder::{Folder, StateError};
use crate::distribution::Accounts;

/// Writes which service account each workload has.
pub(super) struct Workloads {
    folder: Folder,
    /// What the files say.
    written: Accounts,
}

impl Workloads {
    pub(super) fn new(state: &Path) -> Self {
        Self { folder: Folder::new(state.join("workloads")), written: Accounts::new() }
    }

    /// Writes what is missing or has changed, removes what is of no workload any more.
    pub(super) fn write(&mut self, accounts: &Accounts) -> Result<(), StateError> {
        let mut result = Ok(());
        for (workload, account) in accounts {
            if self.written.get(workload) == Some(account) {
                continue;
            }
            let (namespace, name) = workload;
            match self.folder.write(namespace, name, &format!("{account}\n")) {
                Ok(()) => {
                    self.written.insert(workload.clone(), account.clone());
                }
                Err(error) => result = result.and(Err(error)),
            }
        }
        self.written.retain(|workload, _| accounts.contains_key(workload));
        result.and(self.folder.retain(|workload| accounts.contains_key(workload)))
    }
}
