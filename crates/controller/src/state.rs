//! What the state folder tells the proxies of this machine:
//!
//! - `tokens/<namespace>/<service account>`: a token, for every account that a workload has;
//! - `workloads/<namespace>/<workload>`: the name of the workload's service account, one line.
//!
//! So a proxy that knows only its workload's name finds the token to present.

mod folder;
mod tokens;
mod workloads;

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use lateen_identity::TokenIssuer;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::distribution::{Accounts, Facts};
pub use folder::StateError;
use tokens::Tokens;
use workloads::Workloads;

/// Keeps the files up to date.
pub(crate) struct State {
    tokens: Tokens,
    workloads: Workloads,
    /// How often it is looked for tokens that age.
    step: Duration,
}

impl State {
    /// Takes over the folder; the first [`State::write`] removes what is of no workload.
    pub(crate) fn new(dir: &Path, issuer: TokenIssuer, token_lifetime: Duration) -> Self {
        Self {
            tokens: Tokens::new(dir, issuer, token_lifetime),
            workloads: Workloads::new(dir),
            step: token_lifetime / 10,
        }
    }

    /// Writes what is missing, has changed or ages, removes what is of nobody any more. All that
    /// can be done is done; the first error is told.
    pub(crate) fn write(&mut self, accounts: &Accounts, now: SystemTime) -> Result<(), StateError> {
        let in_use =
            accounts.iter().map(|((namespace, _), account)| (namespace.clone(), account.clone()));
        // Tokens first, so that a proxy that finds its account finds the token.
        let tokens = self.tokens.write(&in_use.collect(), now);
        tokens.and(self.workloads.write(accounts))
    }

    /// Follows the accounts until stopped.
    pub(crate) async fn follow(
        mut self,
        mut facts: watch::Receiver<Facts>,
        stop: CancellationToken,
    ) {
        loop {
            let wait = async {
                tokio::select! {
                    changed = facts.changed() => changed.is_ok(),
                    () = tokio::time::sleep(self.step) => true,
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
            let Ok((state, result)) = written.await else { return };
            self = state;
            if let Err(error) = result {
                tracing::error!(%error, "the state folder is not up to date");
            }
        }
    }
}

#[cfg(test)]
mod tests;
