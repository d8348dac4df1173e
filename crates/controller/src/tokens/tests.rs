use std::os::unix::fs::PermissionsExt;

use super::*;

const LIFETIME: Duration = Duration::from_secs(3600);

fn accounts(names: &[(&str, &str)]) -> BTreeSet<(String, String)> {
    names.iter().map(|(ns, account)| ((*ns).to_owned(), (*account).to_owned())).collect()
}

#[test]
fn each_account_has_a_token_that_only_its_owner_reads() {
    let state = tempfile::tempdir().unwrap();
    let issuer = TokenIssuer::load_or_create(state.path()).unwrap();
    let verifier = issuer.verifier();
    let mut tokens = Tokens::new(state.path(), issuer, LIFETIME);
    let now = SystemTime::now();
    tokens.write(&accounts(&[("shop", "web"), ("shop", "api"), ("front", "web")]), now).unwrap();
    for (namespace, account) in [("shop", "web"), ("shop", "api"), ("front", "web")] {
        let path = state.path().join("tokens").join(namespace).join(account);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
        let token = fs::read_to_string(&path).unwrap();
        let caller = verifier.verify(&token, now).unwrap();
        assert_eq!((&*caller.namespace, &*caller.service_account), (namespace, account));
    }
}

#[test]
fn a_token_is_written_anew_at_half_its_life_and_goes_with_its_account() {
    let state = tempfile::tempdir().unwrap();
    let issuer = TokenIssuer::load_or_create(state.path()).unwrap();
    let mut tokens = Tokens::new(state.path(), issuer, LIFETIME);
    let both = accounts(&[("shop", "web"), ("shop", "api")]);
    let path = state.path().join("tokens/shop/web");
    let read = || fs::read_to_string(&path).unwrap();
    let start = SystemTime::now();

    tokens.write(&both, start).unwrap();
    let first = read();
    let renewal = (LIFETIME - Duration::from_secs(1)) / 2;
    tokens.write(&both, start + renewal - Duration::from_millis(1)).unwrap();
    assert_eq!(read(), first);
    tokens.write(&both, start + renewal).unwrap();
    assert_ne!(read(), first);
    // A clock that was set back is no reason to keep a token that may be from the future.
    let second = read();
    tokens.write(&both, start - LIFETIME).unwrap();
    assert_ne!(read(), second);

    tokens.write(&accounts(&[("shop", "api")]), start + LIFETIME).unwrap();
    assert!(!path.exists());
    assert!(state.path().join("tokens/shop/api").exists());
}

#[test]
fn tokens_of_an_earlier_life_are_replaced_and_leftovers_removed() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().join("tokens/shop");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("web"), "old").unwrap();
    fs::write(dir.join("gone"), "old").unwrap();
    let issuer = TokenIssuer::load_or_create(state.path()).unwrap();
    let mut tokens = Tokens::new(state.path(), issuer, LIFETIME);
    tokens.write(&accounts(&[("shop", "web")]), SystemTime::now()).unwrap();
    assert_ne!(fs::read_to_string(dir.join("web")).unwrap(), "old");
    assert!(!dir.join("gone").exists());
}

#[test]
fn names_do_not_lead_out_of_the_folder() {
    let state = tempfile::tempdir().unwrap();
    let issuer = TokenIssuer::load_or_create(state.path()).unwrap();
    let mut tokens = Tokens::new(state.path(), issuer, LIFETIME);
    for (namespace, account) in [("..", "web"), ("shop", "../../web"), ("shop", ""), ("", "web")] {
        let result = tokens.write(&accounts(&[(namespace, account)]), SystemTime::now());
        assert!(matches!(result, Err(TokenFileError::Name { .. })), "{namespace}/{account}");
    }
    assert_eq!(entries(state.path()).unwrap(), ["token-key.pem"]);
}
