//! What the proxy shows to the control plane, and how it knows it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use lateen_identity::crypto_provider;
use lateen_xds::client::{Target, Tls};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};

use crate::settings::Settings;

/// The token and the root certificate, read from their files for each connection.
///
/// Where the service account is not set, it is the one that the control plane has written into the
/// state folder for the workload; that file, too, is read for each connection.
#[derive(Debug)]
pub struct Credentials {
    controller: String,
    root: PathBuf,
    token: TokenFile,
}

/// Which file the token is read from.
#[derive(Debug)]
enum TokenFile {
    /// A pod's.
    Own(PathBuf),
    /// That of the workload's service account among those of a state folder.
    Account {
        tokens: PathBuf,
        /// Names the service account, unless that is set.
        record: PathBuf,
        service_account: Option<String>,
        /// `<namespace>/<name>`.
        workload: String,
    },
}

impl Credentials {
    /// The credentials of the settings' workload.
    #[must_use]
    pub fn new(settings: &Settings) -> Arc<Self> {
        let Settings { controller, namespace, workload, state, service_account, .. } = settings;
        let (root, token) = match &settings.files {
            Some(files) => (files.root.clone(), TokenFile::Own(files.token.clone())),
            None => {
                let token = TokenFile::Account {
                    tokens: state.join("tokens").join(namespace),
                    record: state.join("workloads").join(namespace).join(workload),
                    service_account: service_account.clone(),
                    workload: format!("{namespace}/{workload}"),
                };
                (state.join("root-cert.pem"), token)
            }
        };
        Arc::new(Self { controller: controller.clone(), root, token })
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
        match &self.token {
            TokenFile::Own(path) => Ok(read_text(path)?.trim_end().to_owned()),
            TokenFile::Account { tokens, record, service_account, workload } => {
                let account = match service_account {
                    Some(account) => account.clone(),
                    None => recorded_account(record, workload)?,
                };
                read_text(&tokens.join(account))
            }
        }
    }
}

fn recorded_account(record: &Path, workload: &str) -> io::Result<String> {
    let account = read_text(record).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::new(
            error.kind(),
            format!(
                "the control plane knows no workload {workload} yet: a Pod or WorkloadEntry of \
                 that name has to be applied first"
            ),
        ),
        _ => error,
    })?;
    let account = account.trim_end();
    if account.is_empty() || account.contains('/') {
        return Err(invalid(record, "it names no service account"));
    }
    Ok(account.to_owned())
}

fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|_| invalid(path, "it is no text"))
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

    /// The credentials of workload `shop/web-1`, and the state folder that they are read from,
    /// which has a token for each of the accounts.
    fn credentials(tokens: &[&str], set: Option<&str>) -> (Arc<Credentials>, tempfile::TempDir) {
        let state = tempfile::tempdir().unwrap();
        for folder in ["tokens/shop", "workloads/shop"] {
            fs::create_dir_all(state.path().join(folder)).unwrap();
        }
        for name in tokens {
            let path = state.path().join("tokens/shop").join(name);
            fs::write(path, format!("token of {name}")).unwrap();
        }
        let mut settings = Settings::new("127.0.0.1:15012", "shop", "web-1", state.path());
        settings.service_account = set.map(str::to_owned);
        (Credentials::new(&settings), state)
    }

    #[test]
    fn the_account_is_what_the_state_folder_says_now() {
        let (credentials, state) = credentials(&["api", "web"], None);
        for account in ["api", "web"] {
            fs::write(state.path().join("workloads/shop/web-1"), format!("{account}\n")).unwrap();
            assert_eq!(credentials.token().unwrap(), format!("token of {account}"));
        }
    }

    #[test]
    fn an_account_that_is_set_is_the_only_one() {
        let (credentials, state) = credentials(&["api", "web"], Some("api"));
        fs::write(state.path().join("workloads/shop/web-1"), "web\n").unwrap();
        assert_eq!(credentials.token().unwrap(), "token of api");
        fs::write(state.path().join("tokens/shop/api"), "a newer one").unwrap();
        assert_eq!(credentials.token().unwrap(), "a newer one", "read each time");
    }

    #[test]
    fn what_is_missing_is_named() {
        let (credentials, state) = credentials(&[], None);
        let token = || credentials.token().unwrap_err().to_string();
        let unknown = "the control plane knows no workload shop/web-1 yet: \
                       a Pod or WorkloadEntry of that name has to be applied first";
        assert_eq!(token(), unknown);
        for wrong in ["\n", "../other/web\n"] {
            fs::write(state.path().join("workloads/shop/web-1"), wrong).unwrap();
            assert!(token().ends_with("workloads/shop/web-1: it names no service account"));
        }
        fs::write(state.path().join("workloads/shop/web-1"), "web\n").unwrap();
        assert!(token().contains("tokens/shop/web: "), "{}", token());

        let root = credentials.roots().unwrap_err().to_string();
        assert!(root.contains("root-cert.pem"), "{root}");
        fs::write(&credentials.root, "no certificate").unwrap();
        let root = credentials.tls().unwrap_err().to_string();
        assert!(root.contains("it holds no certificate"), "{root}");
    }

    #[test]
    fn a_pod_has_its_own_files() {
        let folder = tempfile::tempdir().unwrap();
        let (root, token) = (folder.path().join("root.pem"), folder.path().join("istio-token"));
        let mut settings = Settings::new("istiod.istio-system.svc:15012", "shop", "web-1", "/none");
        settings.files = Some(crate::settings::CredentialFiles { root, token: token.clone() });
        let credentials = Credentials::new(&settings);
        for text in ["first", "second\n"] {
            fs::write(&token, text).unwrap();
            assert_eq!(credentials.token().unwrap(), text.trim());
        }
        let root = credentials.roots().unwrap_err().to_string();
        assert!(root.contains("root.pem"), "{root}");
    }
}
