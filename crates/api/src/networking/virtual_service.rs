//! VirtualService: how requests to a host are routed.

use std::collections::BTreeMap;

use crate::duration::Duration;
use crate::message::{Bytes, enumeration, message, oneof};
use crate::networking::StringMatch;

message! {
    /// How traffic to one or more hosts is routed.
    pub struct VirtualService {
        /// The hosts: FQDNs, short names (expanded with this object's namespace), wildcards such as
        /// `*.example.com`, addresses.
        hosts: Vec<String>, honoured;
        /// The gateways (`namespace/name` or `name`) that the routes apply to; `mesh`, the default,
        /// stands for all sidecars.
        gateways: Vec<String>, honoured;
        /// Routes for HTTP, HTTP/2 and gRPC; the first that matches is taken.
        http: Vec<HttpRoute>, honoured;
        /// Routes for TLS that is passed through, by server name.
        tls: Vec<TlsRoute>, honoured;
        /// Routes for opaque TCP.
        tcp: Vec<TcpRoute>, honoured;
        /// The namespaces that see this object: `*`, `.`, or names. The default is MeshConfig's
        /// `defaultVirtualServiceExportTo`.
        export_to: Vec<String>, honoured;
    }

    /// A rule for HTTP.
    pub struct HttpRoute {
        /// A name, for logs and for merging delegates.
        name: String, honoured;
        /// Conditions; the rule applies if any of them holds, and always if there is none.
        r#match: Vec<HttpMatchRequest>, honoured;
        /// Where matching requests go.
        route: Vec<HttpRouteDestination>, honoured;
        /// Answer with a redirect instead.
        redirect: Option<HttpRedirect>, honoured;
        /// Answer with a fixed response instead.
        direct_response: Option<HttpDirectResponse>, honoured;
        /// Take the rules of another VirtualService instead.
        delegate: Option<Delegate>, pending;
        /// Change path and authority before forwarding.
        rewrite: Option<HttpRewrite>, honoured;
        /// The time for the whole request, retries included. Not set or 0: no limit.
        timeout: Option<Duration>, honoured, OrZero;
        /// What is tried again, and how often.
        retries: Option<HttpRetry>, honoured;
        /// Failures made on purpose.
        fault: Option<HttpFaultInjection>, pending;
        /// A copy of the traffic goes here, too.
        mirror: Option<Destination>, pending;
        /// Copies of the traffic go to several places.
        mirrors: Vec<HttpMirrorPolicy>, pending;
        /// The share of traffic that `mirror` copies, in whole per cent.
        mirror_percent: Option<u32>, pending;
        /// The share of traffic that `mirror` copies. The default is all.
        mirror_percentage: Option<Percent>, pending;
        /// Who may call from a browser.
        cors_policy: Option<CorsPolicy>, pending;
        /// Changes of headers.
        headers: Option<Headers>, honoured;
    }

    /// Another VirtualService whose rules are taken.
    pub struct Delegate {
        /// Its name.
        name: String, pending;
        /// Its namespace; by default this object's.
        namespace: String, pending;
    }

    /// Changes of headers.
    pub struct Headers {
        /// On the way to the destination.
        request: Option<HeaderOperations>, honoured;
        /// On the way back.
        response: Option<HeaderOperations>, honoured;
    }

    /// Changes of headers in one direction.
    pub struct HeaderOperations {
        /// Headers to overwrite.
        set: BTreeMap<String, String>, honoured;
        /// Headers to append.
        add: BTreeMap<String, String>, honoured;
        /// Headers to remove.
        remove: Vec<String>, honoured;
    }

    /// A rule for TLS that is passed through.
    pub struct TlsRoute {
        /// Conditions, of which one must hold. Required.
        r#match: Vec<TlsMatchAttributes>, honoured, Required;
        /// Where matching connections go.
        route: Vec<RouteDestination>, honoured;
    }

    /// A rule for TCP.
    pub struct TcpRoute {
        /// Conditions, of which one must hold; none means always.
        r#match: Vec<L4MatchAttributes>, honoured;
        /// Where matching connections go.
        route: Vec<RouteDestination>, honoured;
    }

    /// A condition on an HTTP request: everything that is set must hold.
    pub struct HttpMatchRequest {
        /// A name; the route is called `<rule>.<condition>`.
        name: String, honoured;
        /// The path, without the query.
        uri: Option<StringMatch>, honoured;
        /// The scheme.
        scheme: Option<StringMatch>, honoured;
        /// The method.
        method: Option<StringMatch>, honoured;
        /// The authority as sent, with a port if it has one.
        authority: Option<StringMatch>, honoured;
        /// Headers by name. An empty match asks only for presence.
        headers: BTreeMap<String, StringMatch>, honoured;
        /// The listener's port.
        port: u32, honoured;
        /// Labels of the calling workload. Not looked at where `gateways` is set.
        source_labels: BTreeMap<String, String>, honoured;
        /// Gateways, instead of the object's own list.
        gateways: Vec<String>, honoured;
        /// Parameters of the query by name.
        query_params: BTreeMap<String, StringMatch>, honoured;
        /// Whether the path's case is ignored; not for regular expressions.
        ignore_uri_case: bool, honoured;
        /// Headers that must not match.
        without_headers: BTreeMap<String, StringMatch>, honoured;
        /// The calling workload's namespace. Not looked at where `gateways` is set.
        source_namespace: String, honoured;
        /// A prefix for statistics of this route.
        stat_prefix: String, pending;
    }

    /// Where HTTP requests go.
    pub struct HttpRouteDestination {
        /// The service.
        destination: Option<Destination>, honoured, Required;
        /// The share, relative to the sum of all. Ignored where there is one destination only.
        weight: i32, honoured;
        /// Changes of headers for this destination.
        headers: Option<Headers>, honoured;
    }

    /// Where connections go.
    pub struct RouteDestination {
        /// The service.
        destination: Option<Destination>, honoured, Required;
        /// The share, relative to the sum of all.
        weight: i32, honoured;
    }

    /// A condition on a TCP connection.
    pub struct L4MatchAttributes {
        /// Addresses or CIDR blocks of the destination.
        destination_subnets: Vec<String>, honoured;
        /// The listener's port.
        port: u32, honoured;
        /// Not looked at by Istio either.
        source_subnet: String, pending;
        /// Labels of the calling workload.
        source_labels: BTreeMap<String, String>, honoured;
        /// Gateways, instead of the object's own list.
        gateways: Vec<String>, honoured;
        /// The calling workload's namespace.
        source_namespace: String, honoured;
    }

    /// A condition on a TLS connection.
    pub struct TlsMatchAttributes {
        /// Server names, which the object's hosts must cover. Required.
        sni_hosts: Vec<String>, honoured, Required;
        /// Addresses or CIDR blocks of the destination.
        destination_subnets: Vec<String>, honoured;
        /// The listener's port.
        port: u32, honoured;
        /// Not looked at by Istio either.
        source_subnet: String, pending;
        /// Labels of the calling workload.
        source_labels: BTreeMap<String, String>, honoured;
        /// Gateways, instead of the object's own list.
        gateways: Vec<String>, honoured;
        /// The calling workload's namespace.
        source_namespace: String, honoured;
    }

    /// A redirect.
    pub struct HttpRedirect {
        /// The new path, instead of the whole old one.
        uri: String, honoured;
        /// The new path in place of the matched prefix.
        prefix_rewrite: String, honoured;
        /// The new authority.
        authority: String, honoured;
        /// The new port.
        port_choice: Option<RedirectPort>, oneof;
        /// The new scheme.
        scheme: String, honoured;
        /// 301 (the default), 302, 303, 307 or 308.
        redirect_code: u32, honoured;
    }

    /// A fixed response.
    pub struct HttpDirectResponse {
        /// The status.
        status: u32, honoured, Required;
        /// The body.
        body: Option<HttpBody>, honoured;
    }

    /// A fixed body.
    pub struct HttpBody {
        /// What it consists of.
        specifier: Option<HttpBodySpecifier>, oneof;
    }

    /// Changes of path and authority.
    pub struct HttpRewrite {
        /// What replaces the part of the path that matched.
        uri: String, honoured;
        /// The new authority.
        authority: String, honoured;
        /// A replacement by regular expression.
        uri_regex_rewrite: Option<RegexRewrite>, honoured;
    }

    /// A replacement in a path by regular expression.
    pub struct RegexRewrite {
        /// What is replaced (RE2 syntax).
        r#match: String, honoured;
        /// The replacement; `\1` stands for the first group.
        rewrite: String, honoured;
    }

    /// What is tried again.
    pub struct HttpRetry {
        /// How often, beyond the first attempt. 0 switches retries off.
        attempts: i32, honoured;
        /// The time for one attempt. The default is the request's own.
        per_try_timeout: Option<Duration>, honoured, OrZero;
        /// The conditions, separated by commas.
        retry_on: String, honoured;
        /// Whether other localities may be tried.
        retry_remote_localities: Option<bool>, pending;
        /// Whether hosts that were tried before are avoided. The default is true.
        retry_ignore_previous_hosts: Option<bool>, honoured;
        /// The first pause between attempts.
        backoff: Option<Duration>, honoured;
    }

    /// Who may call from a browser.
    pub struct CorsPolicy {
        /// Origins, compared exactly. Superseded by `allowOrigins`.
        allow_origin: Vec<String>, pending;
        /// Origins.
        allow_origins: Vec<StringMatch>, pending;
        /// Methods.
        allow_methods: Vec<String>, pending;
        /// Headers that may be sent.
        allow_headers: Vec<String>, pending;
        /// Headers that may be read.
        expose_headers: Vec<String>, pending;
        /// How long the answer may be kept.
        max_age: Option<Duration>, pending;
        /// Whether credentials may be sent.
        allow_credentials: Option<bool>, pending;
        /// What becomes of preflight requests from other origins.
        unmatched_preflights: UnmatchedPreflights, pending;
    }

    /// Failures made on purpose.
    pub struct HttpFaultInjection {
        /// Slowness.
        delay: Option<HttpFaultDelay>, pending;
        /// Errors.
        abort: Option<HttpFaultAbort>, pending;
    }

    /// Slowness made on purpose.
    pub struct HttpFaultDelay {
        /// The share of requests in whole per cent. Superseded by `percentage`.
        percent: i32, pending;
        /// How long.
        http_delay_type: Option<HttpDelayType>, oneof;
        /// The share of requests.
        percentage: Option<Percent>, pending;
    }

    /// Errors made on purpose.
    pub struct HttpFaultAbort {
        /// Which.
        error_type: Option<HttpAbortType>, oneof;
        /// The share of requests.
        percentage: Option<Percent>, pending;
    }

    /// A copy of traffic.
    pub struct HttpMirrorPolicy {
        /// Where it goes.
        destination: Option<Destination>, pending, Required;
        /// The share of traffic that is copied. The default is all.
        percentage: Option<Percent>, pending;
    }

    /// A share from 0 to 100.
    pub struct Percent {
        /// Per cent.
        value: f64, honoured;
    }

    /// A service, or a part of it.
    pub struct Destination {
        /// The host; a short name is expanded with the namespace of the object that names it.
        host: String, honoured, Required;
        /// A subset that a DestinationRule defines.
        subset: String, honoured;
        /// The port; may be left out where the service has only one.
        port: Option<PortSelector>, honoured;
    }

    /// A port.
    pub struct PortSelector {
        /// Its number.
        number: u32, honoured;
    }
}

oneof! {
    /// The port of a redirect.
    pub enum RedirectPort {
        /// This number.
        Port(u32) = port, honoured;
        /// As the request says.
        DerivePort(RedirectPortSelection) = derive_port, honoured;
    }

    /// A fixed body.
    pub enum HttpBodySpecifier {
        /// Text.
        String(String) = string, honoured;
        /// Bytes.
        Bytes(Bytes) = bytes, honoured;
    }

    /// How long a delay lasts.
    pub enum HttpDelayType {
        /// A fixed time.
        FixedDelay(Duration) = fixed_delay, pending;
        /// Not supported by Istio either.
        ExponentialDelay(Duration) = exponential_delay, pending;
    }

    /// Which error a request gets.
    pub enum HttpAbortType {
        /// An HTTP status.
        HttpStatus(i32) = http_status, pending;
        /// A gRPC status, by name or number.
        GrpcStatus(String) = grpc_status, pending;
        /// Not supported by Istio either.
        Http2Error(String) = http2_error, pending;
    }
}

enumeration! {
    /// Where a redirect's port comes from.
    pub enum RedirectPortSelection {
        /// The default of the scheme.
        FromProtocolDefault = 0 "FROM_PROTOCOL_DEFAULT", honoured;
        /// The request's own.
        FromRequestPort = 1 "FROM_REQUEST_PORT", honoured;
    }

    /// What becomes of preflight requests from origins that do not match.
    pub enum UnmatchedPreflights {
        /// The same as `FORWARD`.
        Unspecified = 0 "UNSPECIFIED", pending;
        /// They go to the destination.
        Forward = 1 "FORWARD", pending;
        /// They are answered without CORS headers.
        Ignore = 2 "IGNORE", pending;
    }
}
