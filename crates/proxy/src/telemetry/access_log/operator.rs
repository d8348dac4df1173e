//! What an operator of a format stands for, and its value for one entry.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::{Entry, SecondCache, timestamp};
use crate::telemetry::record::{Cluster, Object, Upstream};

/// An operator of a format string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Operator {
    pub(super) source: Source,
    /// Longest text that is written, in characters.
    pub(super) limit: Option<usize>,
}

/// Where an operator's value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// `None`: milliseconds in RFC 3339, else a format of `strftime`.
    StartTime(Option<Box<str>>),
    /// The first that is there.
    Headers(HeaderSource, Option<HeaderSource>),
    Protocol,
    ResponseCode,
    ResponseFlags,
    ResponseCodeDetails,
    TerminationDetails,
    UpstreamTransportFailure,
    BytesReceived,
    BytesSent,
    Duration,
    UpstreamHost,
    UpstreamCluster,
    UpstreamLocalAddress,
    DownstreamLocalAddress,
    DownstreamLocalPort,
    DownstreamRemoteAddress,
    DownstreamRemoteAddressWithoutPort,
    DownstreamPeerUriSan,
    DownstreamTlsVersion,
    ConnectionId,
    RequestedServerName,
    RouteName,
    GrpcStatus,
    AttemptCount,
    Reason,
    ReasonSide,
    ReachedApplication,
    DecidedBy,
    /// Not honoured: nothing is known.
    Unknown,
}

/// A header, or what Envoy writes like one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderSource {
    Method,
    /// As it was sent on.
    Path,
    /// As it came, where it was rewritten.
    OriginalPath,
    Authority,
    /// Of the response.
    UpstreamServiceTime,
    /// By its place in the format's list.
    Request(usize),
    Response(usize),
    Trailer(usize),
}

/// The value of an operator.
#[derive(Debug, PartialEq)]
pub(super) enum Datum<'a> {
    /// Nothing: `-` in text, `null` in JSON.
    Missing,
    Text(Cow<'a, str>),
    /// Bytes of a header, which need not be UTF-8.
    Bytes(&'a [u8]),
    Number(u64),
    Object(Object<'a>),
}

impl<'a> Datum<'a> {
    fn text(text: &'a str) -> Self {
        if text.is_empty() { Self::Missing } else { Self::Text(Cow::Borrowed(text)) }
    }

    fn display(value: impl std::fmt::Display) -> Self {
        let mut text = String::new();
        let _ = write!(text, "{value}");
        Self::Text(Cow::Owned(text))
    }

    fn optional(value: Option<impl std::fmt::Display>) -> Self {
        value.map_or(Self::Missing, Self::display)
    }
}

impl Source {
    /// The value for `entry`.
    pub(super) fn value<'a>(&self, entry: Entry<'a>, clock: &'a mut SecondCache) -> Datum<'a> {
        let exchange = entry.exchange;
        match self {
            Self::StartTime(None) => {
                Datum::Text(Cow::Borrowed(clock.millisecond_text(exchange.start)))
            }
            Self::StartTime(Some(format)) => {
                Datum::Text(Cow::Owned(timestamp::formatted(exchange.start, format)))
            }
            Self::Headers(first, second) => match (header(*first, entry), second) {
                (Datum::Missing, Some(second)) => header(*second, entry),
                (value, _) => value,
            },
            Self::Protocol => entry.http.map_or(Datum::Missing, |http| protocol(http.version)),
            Self::ResponseCode => {
                Datum::Number(entry.http.map_or(0, |http| u64::from(http.status)))
            }
            Self::ResponseFlags if exchange.flags.is_empty() => Datum::Text(Cow::Borrowed("-")),
            Self::ResponseFlags => Datum::display(exchange.flags),
            Self::ResponseCodeDetails => Datum::text(exchange.details),
            Self::TerminationDetails => Datum::text(exchange.termination),
            Self::UpstreamTransportFailure => Datum::text(exchange.transport_failure),
            Self::BytesReceived => Datum::Number(exchange.bytes_received),
            Self::BytesSent => Datum::Number(exchange.bytes_sent),
            Self::Duration => Datum::Number(millis(exchange.duration)),
            Self::UpstreamHost => exchange.upstream.map_or(Datum::Missing, upstream_host),
            Self::UpstreamCluster => match exchange.cluster {
                Cluster::None => Datum::Missing,
                // A request is answered by a route; a connection is given to the cluster.
                Cluster::BlackHole if entry.http.is_some() => Datum::Missing,
                cluster => Datum::display(cluster),
            },
            Self::UpstreamLocalAddress => {
                Datum::optional(exchange.upstream.and_then(|upstream| upstream.local))
            }
            Self::DownstreamLocalAddress => Datum::display(exchange.facts.downstream_local),
            Self::DownstreamLocalPort => {
                Datum::Number(u64::from(exchange.facts.downstream_local.port()))
            }
            Self::DownstreamRemoteAddress => Datum::display(exchange.facts.downstream_remote),
            Self::DownstreamRemoteAddressWithoutPort => {
                Datum::display(exchange.facts.downstream_remote.ip())
            }
            Self::DownstreamPeerUriSan => {
                exchange.facts.peer().map_or(Datum::Missing, |peer| match &peer.uri_sans[..] {
                    [] => Datum::Missing,
                    [one] => Datum::text(one),
                    several => Datum::Text(Cow::Owned(several.join(","))),
                })
            }
            Self::DownstreamTlsVersion => {
                exchange.facts.tls.as_ref().map_or(Datum::Missing, |tls| match tls.version {
                    rustls::ProtocolVersion::TLSv1_2 => Datum::Text(Cow::Borrowed("TLSv1.2")),
                    rustls::ProtocolVersion::TLSv1_3 => Datum::Text(Cow::Borrowed("TLSv1.3")),
                    _ => Datum::Missing,
                })
            }
            Self::ConnectionId => Datum::Number(exchange.facts.id),
            Self::RequestedServerName => Datum::text(exchange.facts.sni.as_deref().unwrap_or("")),
            Self::RouteName => Datum::text(exchange.route_name),
            Self::GrpcStatus => entry
                .http
                .and_then(|http| http.grpc?.status)
                .map_or(Datum::Missing, |status| Datum::Number(u64::from(status))),
            Self::AttemptCount => {
                Datum::Number(entry.http.map_or(0, |http| u64::from(http.attempts)))
            }
            Self::Reason => Datum::text(exchange.reason.map_or("", |reason| reason.code())),
            Self::ReasonSide => {
                Datum::text(exchange.reason.map_or("", |reason| reason.facts().side.name()))
            }
            Self::ReachedApplication => {
                Datum::text(exchange.reason.map_or("", |reason| reason.facts().reached.name()))
            }
            Self::DecidedBy => exchange.decided_by.map_or(Datum::Missing, Datum::Object),
            Self::Unknown => Datum::Missing,
        }
    }
}

fn header<'a>(source: HeaderSource, entry: Entry<'a>) -> Datum<'a> {
    let Some(http) = entry.http else { return Datum::Missing };
    let captured = http.captured;
    let value = match source {
        HeaderSource::Method => return Datum::text(http.method),
        HeaderSource::Path => return Datum::text(http.sent_path),
        HeaderSource::OriginalPath if http.path == http.sent_path => return Datum::Missing,
        HeaderSource::OriginalPath => return Datum::text(http.path),
        HeaderSource::Authority => return Datum::text(http.authority),
        HeaderSource::UpstreamServiceTime => {
            return http
                .upstream_service_time
                .map_or(Datum::Missing, |time| Datum::display(millis(time)));
        }
        HeaderSource::Request(index) => captured.request_value(index),
        HeaderSource::Response(index) => captured.response_value(index),
        HeaderSource::Trailer(index) => captured.trailer_value(index),
    };
    match value {
        Some(value) if !value.is_empty() => Datum::Bytes(value.as_bytes()),
        _ => Datum::Missing,
    }
}

fn protocol(version: http::Version) -> Datum<'static> {
    Datum::Text(Cow::Borrowed(match version {
        http::Version::HTTP_10 => "HTTP/1.0",
        http::Version::HTTP_11 => "HTTP/1.1",
        http::Version::HTTP_2 => "HTTP/2",
        http::Version::HTTP_3 => "HTTP/3",
        _ => return Datum::Missing,
    }))
}

fn upstream_host(upstream: Upstream<'_>) -> Datum<'_> {
    match upstream.address {
        Some(address) => Datum::display(address),
        None => Datum::text(upstream.unix_path),
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
