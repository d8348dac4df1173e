//! What an HTTP route does with a request: redirect, answer, rewrite, retry, fail on purpose, copy,
//! CORS.

use super::shared::{destination, string_match};
use super::{Validator, syntax};
use crate::diagnostic::Code;
use crate::networking::{
    CorsPolicy, HttpAbortType, HttpBodySpecifier, HttpDelayType, HttpDirectResponse,
    HttpFaultAbort, HttpFaultDelay, HttpFaultInjection, HttpMatchRequest, HttpRedirect, HttpRetry,
    HttpRewrite, HttpRoute, Percent, RedirectPort, StringMatchType,
};

/// Envoy's limit for a body that the configuration carries.
const MAX_BODY: usize = 1024 * 1024;
/// From here on a body burdens every proxy that has the route.
const LARGE_BODY: usize = 100 * 1024;

const REDIRECT_CODES: [u32; 6] = [0, 301, 302, 303, 307, 308];

const METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "*"];

/// The conditions that Envoy knows, for HTTP and for gRPC.
const RETRY_CONDITIONS: [&str; 16] = [
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "envoy-ratelimited",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "http3-post-connect-failure",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];

const GRPC_STATUSES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

pub(super) fn redirect(v: &mut Validator, redirect: &HttpRedirect, matches: &[HttpMatchRequest]) {
    let says_nothing = redirect.uri.is_empty()
        && redirect.prefix_rewrite.is_empty()
        && redirect.authority.is_empty()
        && redirect.scheme.is_empty()
        && redirect.port_choice.is_none();
    if says_nothing {
        let message = "a redirect changes `uri`, `prefixRewrite`, `authority`, `port` or `scheme`";
        v.error(Code::MissingField, message);
    }
    if !redirect.uri.is_empty() && !redirect.prefix_rewrite.is_empty() {
        v.conflict("prefixRewrite", "`prefixRewrite` excludes `uri`");
    }
    if !redirect.prefix_rewrite.is_empty() {
        let other = matches.iter().filter_map(|it| it.uri.as_ref()?.match_type.as_ref());
        if other.into_iter().any(|uri| !matches!(uri, StringMatchType::Prefix(_))) {
            v.conflict("prefixRewrite", "`prefixRewrite` needs every `uri` to match by prefix");
        }
    }
    if !["", "http", "https"].contains(&redirect.scheme.as_str()) {
        let message = format!("`{}` is neither `http` nor `https`", redirect.scheme);
        v.check_field("scheme", Err(message));
    }
    if !REDIRECT_CODES.contains(&redirect.redirect_code) {
        let message = format!("{} is not 301, 302, 303, 307 or 308", redirect.redirect_code);
        v.check_field("redirectCode", Err(message));
    }
    if let Some(RedirectPort::Port(port)) = redirect.port_choice {
        v.check_field("port", syntax::port(port));
    }
}

pub(super) fn direct_response(v: &mut Validator, response: &HttpDirectResponse) {
    v.check_field("status", syntax::http_status(i64::from(response.status)));
    let size = match response.body.as_ref().and_then(|body| body.specifier.as_ref()) {
        Some(HttpBodySpecifier::String(text)) => text.len(),
        Some(HttpBodySpecifier::Bytes(bytes)) => bytes.0.len(),
        None => 0,
    };
    v.field("body", |v| {
        if size > MAX_BODY {
            v.error(Code::BadValue, format!("{size} bytes are more than the limit of {MAX_BODY}"));
        } else if size > LARGE_BODY {
            let message = format!("{size} bytes are much: every proxy carries them");
            v.warn(Code::Inconsistent, message);
        }
    });
}

pub(super) fn rewrite(v: &mut Validator, rewrite: &HttpRewrite) {
    if let Some(regex) = &rewrite.uri_regex_rewrite {
        if !rewrite.uri.is_empty() {
            v.conflict("uri", "`uri` excludes `uriRegexRewrite`");
        }
        v.field("uriRegexRewrite", |v| {
            if let Err(message) = syntax::regex(&regex.r#match) {
                v.field("match", |v| v.error(Code::BadRegex, message));
            }
            if regex.rewrite.is_empty() {
                v.missing("rewrite", "the replacement is needed");
            }
        });
    } else if rewrite.uri.is_empty() && rewrite.authority.is_empty() {
        let message = "a rewrite changes `uri`, `uriRegexRewrite` or `authority`";
        v.error(Code::MissingField, message);
    }
}

/// Also for the mesh's default policies.
pub(super) fn retries(v: &mut Validator, retries: &HttpRetry) {
    if retries.attempts < 0 {
        v.check_field("attempts", Err(format!("{} is less than 0", retries.attempts)));
    }
    let says_more = retries.per_try_timeout.is_some()
        || !retries.retry_on.is_empty()
        || retries.retry_remote_localities.is_some();
    if retries.attempts == 0 && says_more {
        v.conflict("attempts", "retries are configured, but there are 0 attempts");
    }
    if let Some(timeout) = retries.per_try_timeout {
        v.check_field("perTryTimeout", syntax::timeout(timeout));
    }
    if let Some(backoff) = retries.backoff {
        v.check_field("backoff", syntax::duration(backoff));
    }
    for condition in retries.retry_on.split(',').map(str::trim).filter(|it| !it.is_empty()) {
        let status = condition.parse::<i64>();
        let known = RETRY_CONDITIONS.contains(&condition)
            || status.is_ok_and(|status| (100..600).contains(&status));
        if !known {
            v.check_field("retryOn", Err(format!("`{condition}` is not a condition for retries")));
        }
    }
}

pub(super) fn fault(v: &mut Validator, fault: &HttpFaultInjection) {
    if fault.delay.is_none() && fault.abort.is_none() {
        v.error(Code::MissingField, "one of `delay` and `abort` is needed");
    }
    if let Some(it) = &fault.delay {
        v.field("delay", |v| delay(v, it));
    }
    if let Some(it) = &fault.abort {
        v.field("abort", |v| abort(v, it));
    }
}

fn delay(v: &mut Validator, delay: &HttpFaultDelay) {
    v.check_field("percent", syntax::percent(f64::from(delay.percent)));
    percentage(v, "percentage", delay.percentage.as_ref());
    match delay.http_delay_type {
        Some(HttpDelayType::FixedDelay(time)) => {
            v.check_field("fixedDelay", syntax::duration(time));
        }
        Some(HttpDelayType::ExponentialDelay(_)) => {
            v.check_field("exponentialDelay", Err("not supported".to_owned()));
        }
        None => v.missing("fixedDelay", "the delay's time is needed"),
    }
}

fn abort(v: &mut Validator, abort: &HttpFaultAbort) {
    percentage(v, "percentage", abort.percentage.as_ref());
    match &abort.error_type {
        Some(HttpAbortType::HttpStatus(status)) => {
            v.check_field("httpStatus", syntax::http_status(i64::from(*status)));
        }
        Some(HttpAbortType::GrpcStatus(status)) => {
            let number = status.parse::<u32>().is_ok_and(|number| number <= 16);
            if !number && !GRPC_STATUSES.contains(&status.as_str()) {
                v.check_field("grpcStatus", Err(format!("`{status}` is not a gRPC status")));
            }
        }
        Some(HttpAbortType::Http2Error(_)) => {
            v.check_field("http2Error", Err("not supported".to_owned()));
        }
        None => v.error(Code::MissingField, "one of `httpStatus` and `grpcStatus` is needed"),
    }
}

fn percentage(v: &mut Validator, name: &str, percent: Option<&Percent>) {
    if let Some(percent) = percent {
        v.field(name, |v| v.check_field("value", syntax::percent(percent.value)));
    }
}

/// The copies of traffic.
pub(super) fn mirrors(v: &mut Validator, route: &HttpRoute) {
    if route.mirror.is_some() {
        destination(v, "mirror", route.mirror.as_ref());
        if !route.mirrors.is_empty() {
            v.conflict("mirrors", "`mirrors` excludes `mirror`");
        }
    }
    if let Some(percent) = route.mirror_percent {
        v.check_field("mirrorPercent", syntax::percent(f64::from(percent)));
    }
    percentage(v, "mirrorPercentage", route.mirror_percentage.as_ref());
    v.each("mirrors", &route.mirrors, |v, mirror| {
        destination(v, "destination", mirror.destination.as_ref());
        percentage(v, "percentage", mirror.percentage.as_ref());
    });
}

pub(super) fn cors_policy(v: &mut Validator, cors: &CorsPolicy) {
    v.each("allowOrigins", &cors.allow_origins, string_match);
    v.each("allowMethods", &cors.allow_methods, |v, method| {
        if !METHODS.contains(&method.as_str()) {
            v.error(Code::BadValue, format!("`{method}` is not a method"));
        }
    });
    for (name, headers) in
        [("allowHeaders", &cors.allow_headers), ("exposeHeaders", &cors.expose_headers)]
    {
        v.each(name, headers, |v, header| v.check(syntax::header_name(header)));
    }
    if let Some(age) = cors.max_age {
        v.check_field("maxAge", syntax::timeout(age));
        if age.as_nanos() % 1_000_000_000 != 0 {
            v.check_field("maxAge", Err(format!("{age} is finer than seconds")));
        }
    }
}
