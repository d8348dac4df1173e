//! Envoy's response flags, from their message.

use lateen_proxy::telemetry::Flags;

use crate::wire::access_log::ResponseFlags;
use crate::wire::access_log::response_flags::unauthorized::Reason;

/// The flags that are set.
pub(super) fn read(flags: Option<&ResponseFlags>) -> Flags {
    let Some(flags) = flags else { return Flags::NONE };
    let external =
        flags.unauthorized_details.is_some_and(|it| it.reason() == Reason::ExternalService);
    let table = [
        (flags.failed_local_healthcheck, Flags::FAILED_LOCAL_HEALTH_CHECK),
        (flags.no_healthy_upstream, Flags::NO_HEALTHY_UPSTREAM),
        (flags.upstream_request_timeout, Flags::UPSTREAM_TIMEOUT),
        (flags.local_reset, Flags::LOCAL_RESET),
        (flags.upstream_remote_reset, Flags::UPSTREAM_RESET),
        (flags.upstream_connection_failure, Flags::UPSTREAM_CONNECTION_FAILURE),
        (flags.upstream_connection_termination, Flags::UPSTREAM_CONNECTION_TERMINATION),
        (flags.upstream_overflow, Flags::UPSTREAM_OVERFLOW),
        (flags.no_route_found, Flags::NO_ROUTE),
        (flags.delay_injected, Flags::DELAY_INJECTED),
        (flags.fault_injected, Flags::FAULT_INJECTED),
        (flags.rate_limited, Flags::RATE_LIMITED),
        (external, Flags::EXTERNAL_AUTHORIZATION),
        (flags.rate_limit_service_error, Flags::RATE_LIMIT_SERVICE_ERROR),
        (flags.downstream_connection_termination, Flags::DOWNSTREAM_CONNECTION_TERMINATION),
        (flags.upstream_retry_limit_exceeded, Flags::RETRY_LIMIT_EXCEEDED),
        (flags.stream_idle_timeout, Flags::STREAM_IDLE_TIMEOUT),
        (flags.invalid_envoy_request_headers, Flags::INVALID_ENVOY_REQUEST_HEADERS),
        (flags.downstream_protocol_error, Flags::DOWNSTREAM_PROTOCOL_ERROR),
        (flags.upstream_max_stream_duration_reached, Flags::UPSTREAM_MAX_STREAM_DURATION_REACHED),
        (flags.response_from_cache_filter, Flags::RESPONSE_FROM_CACHE),
        (flags.no_filter_config_found, Flags::NO_FILTER_CONFIG),
        (flags.duration_timeout, Flags::DURATION_TIMEOUT),
        (flags.upstream_protocol_error, Flags::UPSTREAM_PROTOCOL_ERROR),
        (flags.no_cluster_found, Flags::NO_CLUSTER),
        (flags.overload_manager, Flags::OVERLOAD_MANAGER),
        (flags.dns_resolution_failure, Flags::DNS_FAILURE),
        (flags.downstream_remote_reset, Flags::DOWNSTREAM_RESET),
    ];
    table.iter().filter(|(set, _)| *set).fold(Flags::NONE, |all, (_, flag)| all | *flag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::access_log::response_flags::Unauthorized;

    #[test]
    fn flags_are_read_as_envoy_prints_them() {
        let denied = Unauthorized { reason: Reason::ExternalService.into() };
        for (flags, prints) in [
            (ResponseFlags::default(), "-"),
            (ResponseFlags { no_route_found: true, ..Default::default() }, "NR"),
            (ResponseFlags { unauthorized_details: Some(denied), ..Default::default() }, "UAEX"),
            (
                ResponseFlags {
                    upstream_retry_limit_exceeded: true,
                    upstream_connection_failure: true,
                    dns_resolution_failure: true,
                    ..Default::default()
                },
                "URX,UF,DF",
            ),
        ] {
            assert_eq!(read(Some(&flags)).to_string(), prints);
        }
        assert_eq!(read(None), Flags::NONE);
    }
}
