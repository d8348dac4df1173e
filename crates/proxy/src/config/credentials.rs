//! What the proxy shows to the control plane, and how it knows it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{fs, io};

use lateen_identity::crypto_provider;
use lateen_xds::client::{Target, Tls};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::sync::watch;

use crate::settings::Settings;

/// The token and the root certificate, read from their files for each connection.
///
/// Where the service account is not set, it is one of those that have a token for the workload's
/// namespace: one after the other is tried until the control plane agrees that it is the
/// workload's. Nothing is certified before that.
#[derive(Debug)]
pub struct Credentials {
    controller: String,
    root: PathBuf,
    tokens: PathBuf,
    workload: String,
    account: Mutex<Account>,
    /// Whether it is settled which account the workload has.
    settled: watch::Sender<bool>,
}

#[derive(Debug)]
enum Account {
    /// It was set, or the control plane has agreed to it.
    Settled(String),
    /// Tried in the order of [`Credentials::candidates`]; how many were refused so far.
    Sought(usize),
}

impl Credentials {
    /// The credentials of the settings' workload.
    #[must_use]
    pub fn new(settings: &Settings) -> Arc<Self> {
        let account = match &settings.service_account {
            Some(account) => Account::Settled(account.clone()),
            None => Account::Sought(0),
        };
        Arc::new(Self {
            controller: settings.controller.clone(),
            root: settings.state.join("root-cert.pem"),
            tokens: settings.state.join("tokens").join(&settings.namespace),
            workload: settings.workload.clone(),
            settled: watch::Sender::new(matches!(account, Account::Settled(_))),
            account: Mutex::new(account),
        })
    }

    /// The control plane, to be called with the token that is in the file at that time.
    #[must_use]
    pub fn target(self: &Arc<Self>) -> Target {
        let (token, tls) = (Arc::clone(self), Arc::clone(self));
        let mut target = Target::new(&self.controller);
        target.token = Some(Arc::new(move || token.token()));
        target.tls = Some(Arc::new(move || tls.tls()));
        target
    }

    /// Returns once it is settled which service account the workload has. Cancel safe.
    pub async fn settled(&self) {
        // The sender lives as long as this does.
        let _ = self.settled.subscribe().wait_for(|settled| *settled).await;
    }

    /// The control plane has accepted the token.
    pub(super) fn accepted(&self) {
        let mut account = self.lock();
        if let Account::Sought(refused) = *account {
            let Some(name) = self.candidate(refused) else { return };
            *account = Account::Settled(name);
            self.settled.send_replace(true);
        }
    }

    /// The control plane has refused the token: it is another workload's.
    pub(super) fn refused(&self) {
        if let Account::Sought(refused) = &mut *self.lock() {
            *refused = refused.wrapping_add(1);
        }
    }

    /// The roots that the control plane's certificate is verified with: the mesh's, as the state
    /// folder has them.
    ///
    /// # Errors
    /// When the file cannot be read or holds no certificate.
    pub fn roots(&self) -> io::Result<Vec<CertificateDer<'static>>> {
        let pem = read(&self.root)?;
        let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        match roots {
            Ok(roots) if !roots.is_empty() => Ok(roots),
            Ok(_) => Err(invalid(&self.root, "it holds no certificate")),
            Err(error) => Err(invalid(&self.root, &error.to_string())),
        }
    }

    fn tls(&self) -> io::Result<Tls> {
        let mut store = RootCertStore::empty();
        for root in self.roots()? {
            store.add(root).map_err(|error| invalid(&self.root, &error.to_string()))?;
        }
        let config = ClientConfig::builder_with_provider(crypto_provider())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(store)
            .with_no_client_auth();
        let host = self.controller.rsplit_once(':').map_or(&*self.controller, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let server_name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        Ok(Tls { config: Arc::new(config), server_name })
    }

    fn token(&self) -> io::Result<String> {
        let name = match &*self.lock() {
            Account::Settled(name) => name.clone(),
            Account::Sought(refused) => self.candidate(*refused).ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::NotFound,
                    format!("there is no token in {}", self.tokens.display()),
                )
            })?,
        };
        let path = self.tokens.join(name);
        let bytes = read(&path)?;
        String::from_utf8(bytes).map_err(|_| invalid(&path, "it is no text"))
    }

    fn candidate(&self, refused: usize) -> Option<String> {
        let candidates = self.candidates();
        candidates.get(refused.checked_rem(candidates.len())?).cloned()
    }

    /// The accounts that have a token, the likelier ones first: those that the workload's name
    /// begins with, the longest first.
    fn candidates(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(&self.tokens) else { return Vec::new() };
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort_by_key(|name| {
            let likely = if self.workload.starts_with(&**name) { name.len() } else { 0 };
            (std::cmp::Reverse(likely), name.clone())
        });
        names
    }

    fn lock(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

fn invalid(path: &Path, reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{}: {reason}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The credentials, and the state folder that they are read from.
    fn credentials(
        tokens: &[&str],
        workload: &str,
        account: Option<&str>,
    ) -> (Arc<Credentials>, tempfile::TempDir) {
        let state = tempfile::tempdir().unwrap();
        let folder = state.path().join("tokens/shop");
        fs::create_dir_all(&folder).unwrap();
        for name in tokens {
            fs::write(folder.join(name), format!("token of {name}")).unwrap();
        }
        let mut settings = Settings::new("127.0.0.1:15012", "shop", workload, state.path());
        settings.service_account = account.map(str::to_owned);
        (Credentials::new(&settings), state)
    }

    #[test]
    fn accounts_are_tried_in_turn_until_one_is_accepted() {
        let (credentials, _state) =
            credentials(&["api", "web", "web-front", ".swap"], "web-front-7f", None);
        let mut tried = Vec::new();
        for _ in 0..4 {
            tried.push(credentials.token().unwrap());
            credentials.refused();
        }
        assert_eq!(
            tried,
            ["token of web-front", "token of web", "token of api", "token of web-front"]
        );
        credentials.accepted();
        credentials.refused();
        assert_eq!(credentials.token().unwrap(), "token of web", "settled for good");
        assert!(*credentials.settled.borrow());
    }

    #[test]
    fn an_account_that_is_set_is_the_only_one() {
        let (credentials, _state) = credentials(&["api", "web"], "web-1", Some("api"));
        assert!(*credentials.settled.borrow());
        credentials.refused();
        assert_eq!(credentials.token().unwrap(), "token of api");
        fs::write(credentials.tokens.join("api"), "a newer one").unwrap();
        assert_eq!(credentials.token().unwrap(), "a newer one", "read each time");
    }

    #[test]
    fn what_is_missing_is_named() {
        let (credentials, _state) = credentials(&[], "web-1", None);
        let token = credentials.token().unwrap_err().to_string();
        assert!(token.starts_with("there is no token in "), "{token}");
        let root = credentials.roots().unwrap_err().to_string();
        assert!(root.contains("root-cert.pem"), "{root}");
        fs::write(&credentials.root, "no certificate").unwrap();
        let root = credentials.tls().unwrap_err().to_string();
        assert!(root.contains("it holds no certificate"), "{root}");
    }
}
