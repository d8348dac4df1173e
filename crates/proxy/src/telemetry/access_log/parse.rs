//! Compiling format strings.

use http::HeaderName;
use lateen_mesh::access_log;

use super::operator::{HeaderSource, Operator, Source};
use super::{Member, OWN_JSON, Piece, Value, timestamp};

/// Compiles formats and gathers the headers that they need.
#[derive(Debug, Default)]
pub(super) struct Compiler {
    pub(super) request_headers: Vec<HeaderName>,
    pub(super) response_headers: Vec<HeaderName>,
    pub(super) response_trailers: Vec<HeaderName>,
    /// What is not honoured, for people.
    pub(super) problems: Vec<String>,
}

/// An operator as it is written: `%NAME(argument):limit%`.
struct Written<'a> {
    name: &'a str,
    argument: Option<&'a str>,
    limit: Option<usize>,
    rest: &'a str,
}

impl Compiler {
    /// A format string of the text encoding.
    pub(super) fn text(&mut self, format: &str) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = format;
        while let Some(at) = rest.find('%') {
            literal.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            if let Some(after) = after.strip_prefix('%') {
                literal.push('%');
                rest = after;
                continue;
            }
            let Some(written) = Written::read(after) else {
                self.problems.push(format!("access log format: `%{after}` is no operator"));
                literal.push('%');
                rest = after;
                continue;
            };
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal).into()));
            }
            rest = written.rest;
            pieces.push(Piece::Operator(self.operator(&written)));
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal.into()));
        }
        pieces
    }

    /// The format of the JSON encoding: an object whose strings are formats; empty for Istio's.
    pub(super) fn json(&mut self, format: &str) -> Vec<Member> {
        if !format.trim().is_empty() {
            match serde_json::from_str(format) {
                Ok(serde_json::Value::Object(object)) => return self.members(&object),
                Ok(_) => self.problems.push("access log format: no JSON object".to_owned()),
                Err(error) => self.problems.push(format!("access log format: {error}")),
            }
        }
        let mut members: Vec<_> = access_log::JSON.into_iter().chain(OWN_JSON).collect();
        members.sort_unstable();
        members.into_iter().map(|(key, format)| self.member(key, format)).collect()
    }

    fn members(&mut self, object: &serde_json::Map<String, serde_json::Value>) -> Vec<Member> {
        // Written in the order of their names, as Envoy does.
        let mut members: Vec<_> = object.iter().collect();
        members.sort_unstable_by_key(|(key, _)| *key);
        members
            .into_iter()
            .map(|(key, value)| match value {
                serde_json::Value::String(format) => self.member(key, format),
                serde_json::Value::Object(object) => {
                    Member::new(key, Value::Object(self.members(object)))
                }
                constant => Member::new(key, Value::Constant(constant.to_string().into())),
            })
            .collect()
    }

    fn member(&mut self, key: &str, format: &str) -> Member {
        let mut pieces = self.text(format);
        let value = match pieces.pop() {
            Some(Piece::Operator(operator)) if pieces.is_empty() => Value::Typed(operator),
            last => {
                pieces.extend(last);
                Value::Text(pieces)
            }
        };
        Member::new(key, value)
    }

    fn operator(&mut self, written: &Written<'_>) -> Operator {
        let source = match (written.name, written.argument) {
            ("START_TIME", None | Some("")) => Source::StartTime(None),
            ("START_TIME", Some(format)) => match timestamp::check(format) {
                Ok(()) => Source::StartTime(Some(format.into())),
                Err(problem) => {
                    self.problems.push(format!("access log format: %START_TIME: {problem}"));
                    Source::StartTime(None)
                }
            },
            ("REQ", Some(names)) => self.headers(names, Self::request_header),
            ("RESP", Some(names)) => self.headers(names, Self::response_header),
            ("TRAILER", Some(names)) => self.headers(names, Self::trailer),
            ("PROTOCOL", None) => Source::Protocol,
            ("RESPONSE_CODE", None) => Source::ResponseCode,
            ("RESPONSE_FLAGS", None) => Source::ResponseFlags,
            ("RESPONSE_CODE_DETAILS", None) => Source::ResponseCodeDetails,
            ("CONNECTION_TERMINATION_DETAILS", None) => Source::TerminationDetails,
            ("UPSTREAM_TRANSPORT_FAILURE_REASON", None) => Source::UpstreamTransportFailure,
            ("BYTES_RECEIVED", None) => Source::BytesReceived,
            ("BYTES_SENT", None) => Source::BytesSent,
            ("DURATION", None) => Source::Duration,
            ("UPSTREAM_HOST", None) => Source::UpstreamHost,
            ("UPSTREAM_CLUSTER" | "UPSTREAM_CLUSTER_RAW", None) => Source::UpstreamCluster,
            ("UPSTREAM_LOCAL_ADDRESS", None) => Source::UpstreamLocalAddress,
            ("UPSTREAM_REQUEST_ATTEMPT_COUNT", None) => Source::AttemptCount,
            ("DOWNSTREAM_LOCAL_ADDRESS", None) => Source::DownstreamLocalAddress,
            ("DOWNSTREAM_LOCAL_PORT", None) => Source::DownstreamLocalPort,
            ("DOWNSTREAM_REMOTE_ADDRESS" | "DOWNSTREAM_DIRECT_REMOTE_ADDRESS", None) => {
                Source::DownstreamRemoteAddress
            }
            ("DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", None) => {
                Source::DownstreamRemoteAddressWithoutPort
            }
            ("DOWNSTREAM_PEER_URI_SAN", None) => Source::DownstreamPeerUriSan,
            ("DOWNSTREAM_TLS_VERSION", None) => Source::DownstreamTlsVersion,
            ("CONNECTION_ID", None) => Source::ConnectionId,
            ("REQUESTED_SERVER_NAME", None) => Source::RequestedServerName,
            ("ROUTE_NAME", None) => Source::RouteName,
            ("GRPC_STATUS_NUMBER", None) => Source::GrpcStatus,
            ("LATEEN_REASON", None) => Source::Reason,
            ("LATEEN_REASON_SIDE", None) => Source::ReasonSide,
            ("LATEEN_REACHED_APPLICATION", None) => Source::ReachedApplication,
            ("LATEEN_DECIDED_BY", None) => Source::DecidedBy,
            (name, argument) => {
                let argument = argument.map(|text| format!("({text})")).unwrap_or_default();
                self.problems.push(format!(
                    "access log format: operator %{name}{argument}% is not honoured"
                ));
                Source::Unknown
            }
        };
        Operator { source, limit: written.limit }
    }

    /// `FIRST` or `FIRST?SECOND`.
    fn headers(
        &mut self,
        names: &str,
        mut resolve: impl FnMut(&mut Self, &str) -> Option<HeaderSource>,
    ) -> Source {
        let (first, second) = match names.split_once('?') {
            Some((first, second)) => (first, Some(second)),
            None => (names, None),
        };
        let first = resolve(self, first);
        let second = second.and_then(|second| resolve(self, second));
        match (first, second) {
            (Some(first), second) => Source::Headers(first, second),
            (None, Some(second)) => Source::Headers(second, None),
            (None, None) => Source::Unknown,
        }
    }

    fn request_header(&mut self, name: &str) -> Option<HeaderSource> {
        let lower = name.to_ascii_lowercase();
        Some(match lower.as_str() {
            ":method" => HeaderSource::Method,
            ":path" => HeaderSource::Path,
            ":authority" | "host" => HeaderSource::Authority,
            "x-envoy-original-path" => HeaderSource::OriginalPath,
            _ => {
                let name = self.header_name(&lower)?;
                HeaderSource::Request(place(&mut self.request_headers, name))
            }
        })
    }

    fn response_header(&mut self, name: &str) -> Option<HeaderSource> {
        let lower = name.to_ascii_lowercase();
        if lower == "x-envoy-upstream-service-time" {
            return Some(HeaderSource::UpstreamServiceTime);
        }
        let name = self.header_name(&lower)?;
        Some(HeaderSource::Response(place(&mut self.response_headers, name)))
    }

    fn trailer(&mut self, name: &str) -> Option<HeaderSource> {
        let name = self.header_name(&name.to_ascii_lowercase())?;
        Some(HeaderSource::Trailer(place(&mut self.response_trailers, name)))
    }

    fn header_name(&mut self, name: &str) -> Option<HeaderName> {
        match HeaderName::try_from(name) {
            Ok(name) => Some(name),
            Err(_) => {
                self.problems.push(format!("access log format: `{name}` is no header name"));
                None
            }
        }
    }
}

impl Member {
    fn new(key: &str, value: Value) -> Self {
        Self { key: format!("{}:", serde_json::Value::from(key)).into(), value }
    }
}

impl<'a> Written<'a> {
    /// Reads what stands behind a `%`.
    fn read(text: &'a str) -> Option<Self> {
        let end = text
            .find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))
            .filter(|end| *end > 0)?;
        let (name, mut rest) = text.split_at(end);
        let mut argument = None;
        if let Some(inside) = rest.strip_prefix('(') {
            // The argument may hold `%` and `)` itself (a time's format): the operator ends at the
            // first `)` that a `%` or a limit follows.
            let end =
                inside.match_indices(')').map(|(at, _)| at).find(|at| closes(&inside[at + 1..]))?;
            argument = Some(&inside[..end]);
            rest = &inside[end + 1..];
        }
        let mut limit = None;
        if let Some(after) = rest.strip_prefix(':') {
            let (digits, _) = after.split_once('%')?;
            limit = Some(digits.parse().ok()?);
            rest = &after[digits.len()..];
        }
        Some(Self { name, argument, limit, rest: rest.strip_prefix('%')? })
    }
}

fn closes(after: &str) -> bool {
    match after.strip_prefix(':') {
        Some(limit) => limit.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with('%'),
        None => after.starts_with('%'),
    }
}

/// The place of `name` in `names`, where it is put if it is not there.
fn place(names: &mut Vec<HeaderName>, name: HeaderName) -> usize {
    names.iter().position(|known| *known == name).unwrap_or_else(|| {
        names.push(name);
        names.len() - 1
    })
}
