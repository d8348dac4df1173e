use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use lateen_identity::TokenVerifier;

use super::*;

const LIFETIME: Duration = Duration::from_secs(3600);

/// Namespace, name and service account of each workload.
fn accounts(workloads: &[(&str, &str, &str)]) -> Accounts {
    let owned = |(namespace, name, account): &(&str, &str, &str)| {
        (((*namespace).to_owned(), (*name).to_owned()), (*account).to_owned())
    };
    workloads.iter().map(owned).collect()
}

/// A state folder, and what keeps it.
struct Site {
    folder: tempfile::TempDir,
    state: State,
    verifier: TokenVerifier,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let issuer = TokenIssuer::load_or_create(folder.path()).unwrap();
        let verifier = issuer.verifier();
        let state = State::new(folder.path(), issuer, LIFETIME);
        Self { folder, state, verifier }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).unwrap()
    }
}

#[test]
fn each_workload_finds_its_account_and_each_account_its_token() {
    let mut site = Site::new();
    let now = SystemTime::now();
    let workloads = [
        ("shop", "web-1", "web"),
        ("shop", "web-2", "web"),
        ("shop", "api-1", "api"),
        ("front", "web-1", "web"),
    ];
    site.state.write(&accounts(&workloads), now).unwrap();
    for (namespace, name, account) in workloads {
        let (workload, token) =
            (format!("workloads/{namespace}/{name}"), format!("tokens/{namespace}/{account}"));
        assert_eq!(site.read(&workload), format!("{account}\n"));
        let caller = site.verifier.verify(&site.read(&token), now).unwrap();
        assert_eq!((&*caller.namespace, &*caller.service_account), (namespace, account));
        for file in [workload, token] {
            let mode = fs::metadata(site.path(&file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
    }
}

#[test]
fn files_follow_the_workloads() {
    let mut site = Site::new();
    let now = SystemTime::now();
    let before = [("shop", "web-1", "web"), ("shop", "api-1", "api")];
    site.state.write(&accounts(&before), now).unwrap();
    let token = site.read("tokens/shop/api");

    site.state.write(&accounts(&[("shop", "web-1", "api")]), now).unwrap();
    assert_eq!(site.read("workloads/shop/web-1"), "api\n");
    assert!(!site.path("workloads/shop/api-1").exists());
    assert_eq!(site.read("tokens/shop/api"), token, "somebody has the account still");
    assert!(!site.path("tokens/shop/web").exists());
}

#[test]
fn a_token_is_written_anew_at_half_its_life() {
    let mut site = Site::new();
    let accounts = accounts(&[("shop", "web-1", "web")]);
    let start = SystemTime::now();
    let mut token_at = |now| {
        site.state.write(&accounts, now).unwrap();
        site.read("tokens/shop/web")
    };
    let first = token_at(start);
    let renewal = (LIFETIME - Duration::from_secs(1)) / 2;
    assert_eq!(token_at(start + renewal - Duration::from_millis(1)), first);
    let second = token_at(start + renewal);
    assert_ne!(second, first);
    // A clock that was set back is no reason to keep a token that may be from the future.
    assert_ne!(token_at(start - LIFETIME), second);
}

#[test]
fn files_of_an_earlier_life_are_replaced_and_leftovers_removed() {
    let mut site = Site::new();
    for file in ["tokens/shop/web", "tokens/shop/gone", "workloads/shop/web-1", "workloads/a/gone"]
    {
        fs::create_dir_all(site.path(file).parent().unwrap()).unwrap();
        fs::write(site.path(file), "old").unwrap();
    }
    site.state.write(&accounts(&[("shop", "web-1", "web")]), SystemTime::now()).unwrap();
    assert_ne!(site.read("tokens/shop/web"), "old");
    assert_eq!(site.read("workloads/shop/web-1"), "web\n");
    assert!(!site.path("tokens/shop/gone").exists());
    assert!(!site.path("workloads/a/gone").exists());
}

#[test]
fn names_do_not_lead_out_of_the_folder() {
    let mut site = Site::new();
    for workload in [
        ("..", "web-1", "web"),
        ("", "web-1", "web"),
        ("shop", "../web-1", "web"),
        ("shop", ".web-1", "web"),
        ("shop", "web-1", "../../web"),
        ("shop", "web-1", "two\nlines"),
    ] {
        let result = site.state.write(&accounts(&[workload]), SystemTime::now());
        assert!(matches!(result, Err(StateError::Name { .. })), "{workload:?}");
    }
    let mut names = folder::entries(site.folder.path()).unwrap();
    names.sort();
    assert_eq!(names, ["token-key.pem", "tokens", "workloads"]);
}
