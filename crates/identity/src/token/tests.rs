use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;

use super::claims::{Audience, Claims};
use super::*;
use crate::private_file::FileError;

const HOUR: Duration = Duration::from_secs(3600);

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

fn issuer() -> TokenIssuer {
    TokenIssuer::load_or_create(tempfile::tempdir().unwrap().path()).unwrap()
}

fn claims() -> Claims {
    Claims {
        iss: LOCAL_ISSUER.to_owned(),
        sub: "system:serviceaccount:shop:cart".to_owned(),
        aud: Audience::One(AUDIENCE.to_owned()),
        exp: 1_700_003_600,
        nbf: 1_700_000_000,
        iat: 1_700_000_000,
        jti: String::new(),
    }
}

#[test]
fn a_token_speaks_for_its_service_account_during_its_life() {
    let issuer = issuer();
    let verifier = issuer.verifier();
    let token = issuer.issue("shop", "cart", HOUR, now()).unwrap();
    let caller = Caller { namespace: "shop".to_owned(), service_account: "cart".to_owned() };

    let second = Duration::from_secs(1);
    assert_eq!(verifier.verify(&token, now()), Ok(caller.clone()));
    assert_eq!(verifier.verify(&token, now() + HOUR - second), Ok(caller.clone()));
    assert_eq!(
        verifier.verify(&token, now() + HOUR + second),
        Err(TokenError::Expired { ago: second })
    );
    assert_eq!(
        verifier.verify(&token, now() - second),
        Err(TokenError::NotYetValid { wait: second })
    );
    let identity = caller.identity("cluster.local").unwrap();
    assert_eq!(identity.as_str(), "spiffe://cluster.local/ns/shop/sa/cart");
}

#[test]
fn no_two_tokens_are_the_same() {
    let issuer = issuer();
    let issue = || issuer.issue("shop", "cart", HOUR, now()).unwrap();
    assert_ne!(issue(), issue());
}

#[test]
fn the_key_stays_the_same_over_a_restart_and_is_for_its_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let token =
        TokenIssuer::load_or_create(&state).unwrap().issue("shop", "cart", HOUR, now()).unwrap();
    let restarted = TokenIssuer::load_or_create(&state).unwrap();
    assert!(restarted.verifier().verify(&token, now()).is_ok());

    let key = state.join("token-key.pem");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let error = TokenIssuer::load_or_create(&state).unwrap_err();
    assert!(matches!(error, TokenKeyError::File(FileError::Exposed { .. })), "{error}");
}

#[test]
fn a_key_file_with_something_else_in_it_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("token-key.pem");
    crate::private_file::write_private(&key, b"not a key").unwrap();
    let error = TokenIssuer::load_or_create(dir.path()).unwrap_err();
    assert!(matches!(error, TokenKeyError::Malformed { .. }), "{error}");
}

#[test]
fn refuses_what_is_not_signed_here() {
    let token = issuer().issue("shop", "cart", HOUR, now()).unwrap();
    let verifier = issuer().verifier();
    assert_eq!(verifier.verify(&token, now()), Err(TokenError::Foreign));
}

#[test]
fn refuses_every_change_to_what_was_signed() {
    let issuer = issuer();
    let verifier = issuer.verifier();
    let token = issuer.issue("shop", "cart", HOUR, now()).unwrap();
    for index in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(verifier.verify(&changed, now()).is_err(), "byte {index}");
    }
}

#[test]
fn refuses_claims_that_do_not_speak_to_us() {
    let issuer = issuer();
    let verifier = issuer.verifier();
    let verify = |claims: Claims| verifier.verify(&issuer.sign(&claims).unwrap(), now());

    assert!(verify(claims()).is_ok());
    let several = Audience::Many(vec!["other".to_owned(), AUDIENCE.to_owned()]);
    assert!(verify(Claims { aud: several, ..claims() }).is_ok());

    let other = Audience::One("api".to_owned());
    assert_eq!(
        verify(Claims { aud: other, ..claims() }),
        Err(TokenError::WrongAudience { found: vec!["api".to_owned()] })
    );
    let none = Audience::Many(Vec::new());
    assert_eq!(
        verify(Claims { aud: none, ..claims() }),
        Err(TokenError::WrongAudience { found: Vec::new() })
    );
    assert_eq!(
        verify(Claims { iss: "https://elsewhere".to_owned(), ..claims() }),
        Err(TokenError::Foreign)
    );
    for subject in [
        "",
        "shop:cart",
        "system:serviceaccount:shop",
        "system:serviceaccount:shop:",
        "system:serviceaccount::cart",
        "system:serviceaccount:shop:cart:more",
        "system:node:shop",
    ] {
        let sub = subject.to_owned();
        let verdict = verify(Claims { sub, ..claims() });
        assert!(matches!(verdict, Err(TokenError::Malformed(_))), "{subject}: {verdict:?}");
    }
}

#[test]
fn refuses_what_is_no_token_of_ours() {
    let issuer = issuer();
    let verifier = issuer.verifier();
    let good = issuer.issue("shop", "cart", HOUR, now()).unwrap();
    let [_, claims, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!() };
    let header = |json: &str| URL_SAFE_NO_PAD.encode(json);
    let long = "x".repeat(20_000);
    for token in [
        "",
        ".",
        "..",
        "abc",
        &long,
        &format!("{good}.more"),
        &format!(" {good}"),
        &format!("{good}\n"),
        &format!("{}.{claims}.{signature}", header(r#"{"alg":"none"}"#)),
        &format!("{}.{claims}.", header(r#"{"alg":"none"}"#)),
        &format!("{}.{claims}.{signature}", header(r#"{"alg":"HS256"}"#)),
        &format!("{}.{claims}.{signature}", header(r#"{"alg":"RS256"}"#)),
        &format!("{}.{claims}.{signature}", header(r#"{"alg":"ES256","crit":["b64"]}"#)),
        &format!("{}.{claims}.{signature}", header("[]")),
    ] {
        let verdict = verifier.verify(token, now());
        assert!(matches!(verdict, Err(TokenError::Malformed(_))), "{token}: {verdict:?}");
    }
    let unsigned = good.rsplit_once('.').unwrap().0;
    assert_eq!(verifier.verify(&format!("{unsigned}."), now()), Err(TokenError::Foreign));
}

/// PyJWT and every other implementation checks the same three parts; here OpenSSL does, which knows
/// nothing of tokens: the signature over the first two parts by the key in the file.
#[test]
fn openssl_accepts_the_signature() {
    let dir = tempfile::tempdir().unwrap();
    let issuer = TokenIssuer::load_or_create(dir.path()).unwrap();
    let token = issuer.issue("shop", "cart", HOUR, now()).unwrap();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let (r, s) = signature.split_at(32);
    let der = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_bigint_bytes(r, true);
            writer.next().write_bigint_bytes(s, true);
        });
    });
    fs::write(dir.path().join("message"), message).unwrap();
    fs::write(dir.path().join("signature"), der).unwrap();
    let openssl = crate::openssl::Openssl::in_dir(dir.path());
    openssl.run("pkey -in token-key.pem -pubout -out public.pem");
    let verdict = openssl.run("dgst -sha256 -verify public.pem -signature signature message");
    assert!(verdict.contains("Verified OK"), "{verdict}");
}

proptest! {
    #[test]
    fn never_panics(token in ".{0,100}", parts in proptest::array::uniform3(".{0,40}")) {
        let verifier = TokenVerifier::new(vec![4; 65]);
        prop_assert!(verifier.verify(&token, now()).is_err());
        let encoded = parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
        prop_assert!(verifier.verify(&encoded, now()).is_err());
    }
}
