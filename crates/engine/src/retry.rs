//! Whether a failed attempt is tried again, and after how long. Envoy's conditions and back-off.

use std::time::Duration;

use http::HeaderMap;
use lateen_mesh::v1;
use smallvec::SmallVec;

use crate::explain::{Explained, Trace, Untraced, What, explain};
use crate::origin::{Objects, Origin};
use crate::settings::positive_millis;

/// A compiled retry policy.
#[derive(Debug)]
pub struct RetryPolicy {
    origin: Origin,
    attempts: u32,
    per_try_timeout: Option<Duration>,
    conditions: Conditions,
    retriable_status_codes: SmallVec<[u16; 2]>,
    backoff_base: Duration,
    avoid_previous_hosts: u32,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy)]
pub enum Attempt<'a> {
    /// A response head. A response that is headers only carries `grpc-status` there, which is
    /// looked at; one in trailers comes too late to retry.
    Response {
        /// Its status.
        status: u16,
        /// Its headers.
        headers: &'a HeaderMap,
    },
    /// No connection: refused, timed out, or TLS failed.
    ConnectFailure,
    /// The peer said that it did not look at the request (REFUSED_STREAM, or a GOAWAY below it).
    RefusedStream,
    /// The connection broke before anything of the request was sent.
    ResetBeforeRequest,
    /// The connection broke, or the stream was reset, before the response head.
    Reset,
    /// The time for one try ran out before the response head.
    PerTryTimeout,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Conditions(u16);

impl Conditions {
    const SERVER_ERROR: Self = Self(1);
    const GATEWAY_ERROR: Self = Self(1 << 1);
    const RESET: Self = Self(1 << 2);
    const RESET_BEFORE_REQUEST: Self = Self(1 << 3);
    const CONNECT_FAILURE: Self = Self(1 << 4);
    const RATE_LIMITED: Self = Self(1 << 5);
    const RETRIABLE_4XX: Self = Self(1 << 6);
    const REFUSED_STREAM: Self = Self(1 << 7);
    const RETRIABLE_STATUS: Self = Self(1 << 8);
    const CANCELLED: Self = Self(1 << 9);
    const DEADLINE_EXCEEDED: Self = Self(1 << 10);
    const INTERNAL: Self = Self(1 << 11);
    const RESOURCE_EXHAUSTED: Self = Self(1 << 12);
    const UNAVAILABLE: Self = Self(1 << 13);
    const NONE: Self = Self(0);

    /// `None`: Envoy does not know the name either, and ignores it; so does this.
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "5xx" => Self::SERVER_ERROR,
            "gateway-error" => Self::GATEWAY_ERROR,
            "reset" => Self::RESET,
            "reset-before-request" => Self::RESET_BEFORE_REQUEST,
            "connect-failure" => Self::CONNECT_FAILURE,
            "envoy-ratelimited" => Self::RATE_LIMITED,
            "retriable-4xx" => Self::RETRIABLE_4XX,
            "refused-stream" => Self::REFUSED_STREAM,
            "retriable-status-codes" => Self::RETRIABLE_STATUS,
            "cancelled" => Self::CANCELLED,
            "deadline-exceeded" => Self::DEADLINE_EXCEEDED,
            "internal" => Self::INTERNAL,
            "resource-exhausted" => Self::RESOURCE_EXHAUSTED,
            "unavailable" => Self::UNAVAILABLE,
            _ => return None,
        })
    }

    const fn any(self, of: Self) -> bool {
        self.0 & of.0 != 0
    }

    const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The longest a back-off may be, in multiples of its base.
const BACKOFF_LIMIT: u32 = 10;

/// Envoy's base of the back-off, where none is set.
const BACKOFF_BASE: Duration = Duration::from_millis(25);

impl RetryPolicy {
    pub(crate) fn compile(message: &v1::RetryPolicy, objects: &Objects) -> Result<Self, String> {
        let retriable_status_codes = message
            .retriable_status_codes
            .iter()
            .map(|code| u16::try_from(*code).map_err(|_| format!("retriable status code {code}")))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            origin: objects.resolve(message.origin.as_ref())?,
            attempts: message.attempts,
            per_try_timeout: positive_millis(message.per_try_timeout_ms),
            conditions: message
                .retry_on
                .iter()
                .filter_map(|name| Conditions::named(name.trim()))
                .fold(Conditions::NONE, Conditions::or),
            retriable_status_codes,
            backoff_base: positive_millis(message.backoff_base_ms).unwrap_or(BACKOFF_BASE),
            avoid_previous_hosts: message.avoid_previous_hosts,
        })
    }

    /// What set the policy.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Retries beyond the first attempt.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// How long one try may take until the response head.
    #[must_use]
    pub fn per_try_timeout(&self) -> Option<Duration> {
        self.per_try_timeout
    }

    /// For [`crate::balance::Draw::avoid_attempts`].
    #[must_use]
    pub fn avoid_previous_hosts(&self) -> u32 {
        self.avoid_previous_hosts
    }

    /// Whether the attempt that ended like this is to be followed by another; `retries` were made
    /// already.
    #[must_use]
    pub fn retries(&self, attempt: Attempt<'_>, retries: u32) -> bool {
        self.retries_traced(attempt, retries, &mut Untraced)
    }

    /// [`Self::retries`], explained.
    #[must_use]
    pub fn explain_retries(&self, attempt: Attempt<'_>, retries: u32) -> Explained<bool> {
        explain(|trace| self.retries_traced(attempt, retries, trace))
    }

    /// How long to wait before retry number `retry` (from 1): exponential from the base, at most
    /// ten times it, with full jitter.
    #[must_use]
    pub fn backoff(&self, retry: u32, random: u64) -> Duration {
        let limit = self.backoff_base.saturating_mul(BACKOFF_LIMIT);
        let doubled = 1_u32.checked_shl(retry.saturating_sub(1)).unwrap_or(u32::MAX);
        let interval = self.backoff_base.saturating_mul(doubled).min(limit);
        let nanos = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX).max(1);
        Duration::from_nanos(random % nanos)
    }

    fn retries_traced<T: Trace>(&self, attempt: Attempt<'_>, retries: u32, trace: &mut T) -> bool {
        let retriable = self.retriable(attempt);
        let left = retries < self.attempts;
        trace.step(What::Retry, &self.origin, retriable && left, || match (retriable, left) {
            (false, _) => format!("{} is not retried", describe(attempt)),
            (true, false) => format!("all {} retries are used up", self.attempts),
            (true, true) => {
                format!("{}: retry {} of {}", describe(attempt), retries + 1, self.attempts)
            }
        });
        retriable && left
    }

    fn retriable(&self, attempt: Attempt<'_>) -> bool {
        let on = self.conditions;
        match attempt {
            Attempt::Response { status, headers } => self.retriable_response(status, headers),
            // A connect failure is a reset before anything was sent.
            Attempt::ConnectFailure => on.any(
                Conditions::CONNECT_FAILURE
                    .or(Conditions::RESET)
                    .or(Conditions::RESET_BEFORE_REQUEST)
                    .or(Conditions::SERVER_ERROR)
                    .or(Conditions::GATEWAY_ERROR),
            ),
            Attempt::RefusedStream => on.any(
                Conditions::REFUSED_STREAM
                    .or(Conditions::RESET)
                    .or(Conditions::SERVER_ERROR)
                    .or(Conditions::GATEWAY_ERROR),
            ),
            Attempt::ResetBeforeRequest => on.any(
                Conditions::RESET_BEFORE_REQUEST
                    .or(Conditions::RESET)
                    .or(Conditions::SERVER_ERROR)
                    .or(Conditions::GATEWAY_ERROR),
            ),
            Attempt::Reset | Attempt::PerTryTimeout => {
                on.any(Conditions::RESET.or(Conditions::SERVER_ERROR).or(Conditions::GATEWAY_ERROR))
            }
        }
    }

    fn retriable_response(&self, status: u16, headers: &HeaderMap) -> bool {
        let on = self.conditions;
        if headers.contains_key("x-envoy-ratelimited") {
            return on.any(Conditions::RATE_LIMITED);
        }
        (on.any(Conditions::SERVER_ERROR) && (500..600).contains(&status))
            || (on.any(Conditions::GATEWAY_ERROR) && (502..=504).contains(&status))
            || (on.any(Conditions::RETRIABLE_4XX) && status == 409)
            || (on.any(Conditions::RETRIABLE_STATUS)
                && self.retriable_status_codes.contains(&status))
            || grpc_status(headers).is_some_and(|condition| on.any(condition))
    }
}

/// The condition that a `grpc-status` in the headers stands for.
fn grpc_status(headers: &HeaderMap) -> Option<Conditions> {
    Some(match headers.get("grpc-status")?.as_bytes() {
        b"1" => Conditions::CANCELLED,
        b"4" => Conditions::DEADLINE_EXCEEDED,
        b"8" => Conditions::RESOURCE_EXHAUSTED,
        b"13" => Conditions::INTERNAL,
        b"14" => Conditions::UNAVAILABLE,
        _ => return None,
    })
}

fn describe(attempt: Attempt<'_>) -> String {
    match attempt {
        Attempt::Response { status, headers } => match headers.get("grpc-status") {
            Some(grpc) => {
                format!("{status}, grpc-status {}", String::from_utf8_lossy(grpc.as_bytes()))
            }
            None => status.to_string(),
        },
        Attempt::ConnectFailure => "connect failure".to_owned(),
        Attempt::RefusedStream => "refused stream".to_owned(),
        Attempt::ResetBeforeRequest => "reset before the request".to_owned(),
        Attempt::Reset => "reset".to_owned(),
        Attempt::PerTryTimeout => "per-try timeout".to_owned(),
    }
}
