//! When a failed attempt is tried again.

use envoy_types::pb::envoy::config::route::v3::RetryPolicy;
use envoy_types::pb::envoy::config::route::v3::retry_policy::{
    RetryBackOff, RetryHostPredicate, retry_host_predicate,
};
use envoy_types::pb::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;
use lateen_mesh::v1;

use crate::message::{any, millis, uint32};

/// Conditions that the engine knows; Envoy ignores names that it does not know, and so does this.
const CONDITIONS: [&str; 14] = [
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "envoy-ratelimited",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];

/// `None`: nothing is tried again.
pub(super) fn policy(message: &v1::RetryPolicy) -> Option<RetryPolicy> {
    if message.attempts == 0 {
        return None;
    }
    let known = message.retry_on.iter().map(|name| name.trim());
    let known: Vec<&str> = known.filter(|name| CONDITIONS.contains(name)).collect();
    let avoids = message.avoid_previous_hosts > 0;
    let predicate = avoids.then(|| RetryHostPredicate {
        name: "envoy.retry_host_predicates.previous_hosts".to_owned(),
        config_type: Some(retry_host_predicate::ConfigType::TypedConfig(any(
            &PreviousHostsPredicate {},
        ))),
    });
    Some(RetryPolicy {
        retry_on: known.join(","),
        num_retries: Some(uint32(message.attempts)),
        per_try_timeout: (message.per_try_timeout_ms > 0)
            .then(|| millis(message.per_try_timeout_ms)),
        retry_host_predicate: predicate.into_iter().collect(),
        host_selection_retry_max_attempts: message.avoid_previous_hosts.into(),
        retriable_status_codes: message.retriable_status_codes.clone(),
        // The limit is ten times the base.
        retry_back_off: (message.backoff_base_ms > 0).then(|| RetryBackOff {
            base_interval: Some(millis(message.backoff_base_ms)),
            max_interval: None,
        }),
        ..RetryPolicy::default()
    })
}
