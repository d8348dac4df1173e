//! `lateen demo --check`: every promise is kept with each data plane, and every check can fail.

use std::process::{Command, Stdio};

use lateen_testkit::mesh::binary;
use lateen_testkit::turn::Turn;

/// Exit code and output of the checks, with what was sabotaged.
fn check(engine: &str, sabotage: Option<&str>) -> (Option<i32>, String) {
    let _turn = Turn::take().expect("a turn");
    let mut command = Command::new(binary());
    command.args(["demo", "--check", "--engine", engine]).stdin(Stdio::null());
    if let Some(name) = sabotage {
        command.args(["--sabotage", name]);
    }
    let output = command.output().expect("the demo runs");
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    (output.status.code(), text)
}

fn every_promise_is_kept(engine: &str) {
    let (code, text) = check(engine, None);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("all promises are kept"), "{text}");
    println!("{text}");
}

/// The named sabotage must break exactly the named check.
fn breaks(engine: &str, sabotage: &str, check_name: &str) {
    let (code, text) = check(engine, Some(sabotage));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.lines().any(|line| line == format!("broken: {check_name}")), "{text}");
}

/// The tests of one data plane.
macro_rules! engine {
    ($name:ident) => {
        mod $name {
            const ENGINE: &str = stringify!($name);

            #[test]
            fn every_promise_is_kept() {
                super::every_promise_is_kept(ENGINE);
            }

            #[test]
            fn sabotage_mtls_off_is_noticed() {
                super::breaks(ENGINE, "mtls-off", "mutual-tls");
            }

            #[test]
            fn sabotage_policy_removed_is_noticed() {
                super::breaks(ENGINE, "policy-removed", "policy");
            }

            #[test]
            fn sabotage_weight_ignored_is_noticed() {
                super::breaks(ENGINE, "weight-ignored", "canary");
            }

            #[test]
            fn sabotage_retry_off_is_noticed() {
                super::breaks(ENGINE, "retry-off", "retry");
            }

            #[test]
            fn sabotage_timeout_off_is_noticed() {
                super::breaks(ENGINE, "timeout-off", "timeout");
            }

            #[test]
            fn sabotage_metric_missing_is_noticed() {
                super::breaks(ENGINE, "metric-missing", "metrics");
            }
        }
    };
}

engine!(native);
engine!(envoy);
engine!(mixed);
