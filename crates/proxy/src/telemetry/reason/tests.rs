use std::collections::HashSet;

use super::*;

/// Codes are an interface: this list may grow, but no line of it may change or go.
#[test]
fn codes_are_unique_and_well_formed() {
    let mut seen = HashSet::new();
    for reason in Reason::ALL {
        let facts = reason.facts();
        assert!(seen.insert(facts.code), "{} is used twice", facts.code);
        assert!(
            facts
                .code
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'),
            "{} is not snake_case",
            facts.code
        );
        assert_eq!(Reason::from_code(facts.code), Some(*reason));
        assert!(facts.meaning.trim().ends_with('.'), "{}: no sentence", facts.code);
        assert!(facts.advice.trim().ends_with('.'), "{}: no advice", facts.code);
        assert!(!reason.details(Some("a b")).contains(' '), "{}: spaces in details", facts.code);
    }
    assert_eq!(Reason::from_code("no_such_reason"), None);
}

#[test]
fn answers_speak_envoys_words() {
    let refused = Some("delayed connect error: 111");
    let table: [(Reason, Option<&str>, &str, &str); 6] = [
        (
            Reason::ConnectFailed,
            refused,
            "upstream_reset_before_response_started\
             {remote_connection_failure|delayed_connect_error:_111}",
            "upstream connect error or disconnect/reset before headers. reset reason: remote \
             connection failure",
        ),
        (
            Reason::UpstreamClosed,
            None,
            "upstream_reset_before_response_started{connection_termination}",
            "upstream connect error or disconnect/reset before headers. reset reason: connection \
             termination",
        ),
        (
            Reason::Overflow,
            None,
            "upstream_reset_before_response_started{overflow}",
            "upstream connect error or disconnect/reset before headers. reset reason: overflow",
        ),
        (Reason::NoHealthyUpstream, None, "no_healthy_upstream", "no healthy upstream"),
        (Reason::RequestTimedOut, None, "response_timeout", "upstream request timeout"),
        (
            Reason::UpstreamResetMidway,
            None,
            "upstream_reset_after_response_started{remote_reset}",
            "",
        ),
    ];
    for (reason, transport, details, body) in table {
        assert_eq!(reason.details(transport), details);
        assert_eq!(reason.body(false), body);
    }
    assert_eq!(
        Reason::UpstreamReset.body(true),
        "upstream connect error or disconnect/reset before headers. retried and the latest reset \
         reason: remote reset"
    );
}

/// One attempt is all that Envoy's TCP proxy makes, and it says so behind how that ended.
#[test]
fn a_connection_that_did_not_come_about_has_exceeded_its_attempts() {
    for reason in [Reason::ConnectFailed, Reason::ConnectTimedOut, Reason::UpstreamTlsFailed] {
        assert_eq!(reason.connection_flags().to_string(), "UF,URX", "{reason:?}");
        assert_eq!(reason.flags().to_string(), "UF", "{reason:?}");
    }
    assert_eq!(Reason::DnsFailed.connection_flags().to_string(), "UH");
}

/// What `explain` prints (the engine's code) is what the proxy logs.
#[test]
fn the_engines_codes_are_the_proxys() {
    for engine in lateen_engine::Reason::ALL {
        let reason = Reason::from(engine);
        // The proxy knows why details are missing: late, or the control plane is away.
        if engine != lateen_engine::Reason::DetailsMissing {
            assert_eq!(reason.code(), engine.code());
        }
        if let Some(status) = reason.facts().status {
            assert_eq!(status, engine.status(), "{}", reason.code());
            assert_eq!(reason.body(false), engine.body(), "{}", reason.code());
        }
    }
}

#[test]
fn the_page_is_what_the_registry_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reasons.md");
    let page = document();
    if std::env::var_os("LATEEN_REGENERATE").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let stored = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        stored == page,
        "docs/reasons.md differs from the registry: LATEEN_REGENERATE=1 cargo test -p lateen-proxy"
    );
}
