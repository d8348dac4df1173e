//! Retries, with Istio's defaults.

use lateen_api::networking::HttpRetry;
use lateen_mesh::v1;

use crate::lower::millis;
use crate::node::Retries;

/// What Istio retries on where nothing is written.
const DEFAULT_RETRY_ON: &str =
    "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";

/// How often Istio retries where nothing is written.
const DEFAULT_ATTEMPTS: u32 = 2;

/// How often an endpoint that was tried before is passed over.
const RESELECTIONS: u32 = 5;

/// Envoy's first back-off interval, in milliseconds.
const BACKOFF_MS: u64 = 25;

const STATUS_CODES: &str = "retriable-status-codes";

/// The policy that applies where nothing is written anywhere.
pub(in crate::lower) fn default_policy() -> v1::RetryPolicy {
    v1::RetryPolicy {
        attempts: DEFAULT_ATTEMPTS,
        per_try_timeout_ms: 0,
        retry_on: DEFAULT_RETRY_ON.split(',').map(str::to_owned).collect(),
        retriable_status_codes: Vec::new(),
        backoff_base_ms: BACKOFF_MS,
        avoid_previous_hosts: RESELECTIONS,
        origin: None,
    }
}

/// A policy as users write it; what it leaves out is as in the default, but for the number of attempts:
/// without one there are none.
pub(in crate::lower) fn retries(retry: Option<&HttpRetry>, origin: Option<&v1::Origin>) -> Retries {
    let Some(retry) = retry else { return Retries::Default };
    let Ok(attempts @ 1..) = u32::try_from(retry.attempts) else { return Retries::Off };
    let mut policy = v1::RetryPolicy { attempts, origin: origin.cloned(), ..default_policy() };
    if !retry.retry_on.is_empty() {
        (policy.retry_on, policy.retriable_status_codes) = conditions(&retry.retry_on);
    }
    policy.per_try_timeout_ms = millis(retry.per_try_timeout);
    if let Some(backoff) = retry.backoff {
        policy.backoff_base_ms = millis(Some(backoff));
    }
    if retry.retry_ignore_previous_hosts == Some(false) {
        policy.avoid_previous_hosts = 0;
    }
    Retries::Policy(policy)
}

/// Numbers among the conditions are status codes, and count without being announced.
fn conditions(text: &str) -> (Vec<String>, Vec<u32>) {
    let mut names: Vec<String> = Vec::new();
    let mut codes = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        match part.parse() {
            Ok(code) => codes.push(code),
            Err(_) => names.push(part.to_owned()),
        }
    }
    if !codes.is_empty() && !names.iter().any(|name| name == STATUS_CODES) {
        names.push(STATUS_CODES.to_owned());
    }
    (names, codes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_istios_default() {
        let read = |attempts: i32, retry_on: &str| {
            let retry = HttpRetry { attempts, retry_on: retry_on.to_owned(), ..Default::default() };
            retries(Some(&retry), None)
        };
        assert_eq!(retries(None, None), Retries::Default);
        assert_eq!(read(0, "5xx"), Retries::Off);
        let Retries::Policy(policy) = read(3, "") else { panic!("a policy") };
        assert_eq!(policy, v1::RetryPolicy { attempts: 3, ..default_policy() });
        let Retries::Policy(policy) = read(1, "503, reset,429") else { panic!("a policy") };
        assert_eq!(policy.retry_on, ["reset", STATUS_CODES]);
        assert_eq!(policy.retriable_status_codes, [503, 429]);
    }
}
