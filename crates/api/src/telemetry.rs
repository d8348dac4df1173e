//! `telemetry.istio.io`: what is measured, logged and traced.

use std::collections::BTreeMap;

use crate::duration::Duration;
use crate::message::{enumeration, message, oneof};
use crate::security::{LabelSelector, PolicyTargetReference};

message! {
    /// What is measured, logged and traced.
    pub struct Telemetry [
        Holds(
            "(has(self.selector) ? 1 : 0) + (has(self.targetRef) ? 1 : 0) + \
             (has(self.targetRefs) ? 1 : 0) <= 1",
            "only one of targetRefs or selector can be set"
        ),
    ] {
        /// The workloads, in this namespace. The default is all; in the root namespace, all of the
        /// mesh.
        selector: Option<LabelSelector>, pending;
        /// The object that this is attached to. Superseded by `targetRefs`.
        target_ref: Option<PolicyTargetReference>, pending;
        /// The objects that this is attached to. Excludes `selector`.
        target_refs: Vec<PolicyTargetReference>, pending, MaxItems(16);
        /// Traces.
        tracing: Vec<TelemetryTracing>, pending;
        /// Metrics.
        metrics: Vec<Metrics>, pending;
        /// Access logs.
        access_logging: Vec<AccessLogging>, pending;
    }

    /// What is traced.
    pub struct TelemetryTracing {
        /// The direction.
        r#match: Option<TracingSelector>, pending;
        /// Who gets the traces; only the first counts. The default is MeshConfig's.
        providers: Vec<ProviderRef>, pending;
        /// The share of requests that is traced where nobody has decided yet, in per cent.
        random_sampling_percentage: Option<f64>, pending, Minimum(0), Maximum(100);
        /// Whether nothing is reported, although requests are marked.
        disable_span_reporting: Option<bool>, pending;
        /// Whether the headers that carry a trace on are left alone.
        disable_context_propagation: Option<bool>, pending;
        /// Further tags.
        custom_tags: BTreeMap<String, TracingTag>, pending;
        /// Whether the request's identifier tells that it is traced. The default is true.
        use_request_id_for_trace_sampling: Option<bool>, pending;
        /// Whether Istio's own tags are added. The default is true.
        enable_istio_tags: Option<bool>, pending;
    }

    /// A direction of traces.
    pub struct TracingSelector {
        /// The direction.
        mode: TelemetryMode, pending;
    }

    /// A tag of a trace.
    pub struct TracingTag {
        /// Where its value comes from.
        r#type: Option<TracingTagSource>, oneof;
    }

    /// A fixed value.
    pub struct TracingLiteral {
        /// The value.
        value: String, pending, Required, MinLength(1);
    }

    /// An environment variable of the proxy.
    pub struct TracingEnvironment {
        /// Its name.
        name: String, pending, Required, MinLength(1);
        /// The value where there is none.
        default_value: String, pending;
    }

    /// A header of the request.
    pub struct TracingHeader {
        /// Its name.
        name: String, pending, Required, MinLength(1);
        /// The value where there is none.
        default_value: String, pending;
    }

    /// A command of the access log's format.
    pub struct TracingFormatter {
        /// The command.
        value: String, pending, Required, MinLength(1);
    }

    /// One of MeshConfig's `extensionProviders`.
    pub struct ProviderRef {
        /// Its name.
        name: String, pending, Required, MinLength(1);
    }

    /// What is measured.
    pub struct Metrics {
        /// Who gets the metrics. The default is MeshConfig's.
        providers: Vec<ProviderRef>, pending;
        /// Changes of single metrics, in this order.
        overrides: Vec<MetricsOverrides>, pending;
        /// How often metrics of TCP are brought up to date. The default is 5 s.
        reporting_interval: Option<Duration>, pending;
    }

    /// A change of metrics.
    pub struct MetricsOverrides {
        /// Which metrics. The default is all.
        r#match: Option<MetricSelector>, pending;
        /// Whether they are switched off.
        disabled: Option<bool>, pending;
        /// Changes of labels, by name.
        tag_overrides: BTreeMap<String, TagOverride>, pending;
    }

    /// Some metrics.
    pub struct MetricSelector {
        /// Which.
        metric_match: Option<MetricMatch>, oneof;
        /// The direction.
        mode: TelemetryMode, pending;
    }

    /// A change of a label.
    pub struct TagOverride [
        Holds(
            "((has(self.operation) ? self.operation : '') == 'UPSERT') ? \
             (has(self.value) && self.value != '') : true",
            "value must be set when operation is UPSERT"
        ),
        Holds(
            "((has(self.operation) ? self.operation : '') == 'REMOVE') ? !has(self.value) : true",
            "value must not be set when operation is REMOVE"
        ),
    ] {
        /// What is done.
        operation: TagOperation, pending;
        /// An expression for the value.
        value: String, pending;
    }

    /// What is logged.
    pub struct AccessLogging {
        /// The direction.
        r#match: Option<LogSelector>, pending;
        /// Who gets the logs. The default is MeshConfig's.
        providers: Vec<ProviderRef>, pending;
        /// Whether nothing is logged.
        disabled: Option<bool>, pending;
        /// Which requests.
        filter: Option<LogFilter>, pending;
    }

    /// A direction of logs.
    pub struct LogSelector {
        /// The direction.
        mode: TelemetryMode, pending;
    }

    /// Some requests.
    pub struct LogFilter {
        /// An expression that must be true.
        expression: String, pending;
    }
}

oneof! {
    /// Where a tag's value comes from.
    pub enum TracingTagSource {
        /// It is fixed.
        Literal(TracingLiteral) = literal, pending;
        /// An environment variable of the proxy.
        Environment(TracingEnvironment) = environment, pending;
        /// A header of the request.
        Header(TracingHeader) = header, pending;
        /// A command of the access log's format.
        Formatter(TracingFormatter) = formatter, pending;
    }

    /// Some metrics.
    pub enum MetricMatch {
        /// One of Istio's.
        Metric(IstioMetric) = metric, pending;
        /// Another.
        CustomMetric(String) = custom_metric, pending, MinLength(1);
    }
}

enumeration! {
    /// A direction of traffic.
    pub enum TelemetryMode {
        /// Both.
        ClientAndServer = 0 "CLIENT_AND_SERVER", pending;
        /// What the workload sends.
        Client = 1 "CLIENT", pending;
        /// What the workload gets.
        Server = 2 "SERVER", pending;
    }

    /// Istio's metrics.
    pub enum IstioMetric {
        /// All of them.
        AllMetrics = 0 "ALL_METRICS", pending;
        /// `istio_requests_total`.
        RequestCount = 1 "REQUEST_COUNT", pending;
        /// `istio_request_duration_milliseconds`.
        RequestDuration = 2 "REQUEST_DURATION", pending;
        /// `istio_request_bytes`.
        RequestSize = 3 "REQUEST_SIZE", pending;
        /// `istio_response_bytes`.
        ResponseSize = 4 "RESPONSE_SIZE", pending;
        /// `istio_tcp_connections_opened_total`.
        TcpOpenedConnections = 5 "TCP_OPENED_CONNECTIONS", pending;
        /// `istio_tcp_connections_closed_total`.
        TcpClosedConnections = 6 "TCP_CLOSED_CONNECTIONS", pending;
        /// `istio_tcp_sent_bytes_total`.
        TcpSentBytes = 7 "TCP_SENT_BYTES", pending;
        /// `istio_tcp_received_bytes_total`.
        TcpReceivedBytes = 8 "TCP_RECEIVED_BYTES", pending;
        /// `istio_request_messages_total`.
        GrpcRequestMessages = 9 "GRPC_REQUEST_MESSAGES", pending;
        /// `istio_response_messages_total`.
        GrpcResponseMessages = 10 "GRPC_RESPONSE_MESSAGES", pending;
    }

    /// What is done with a label.
    pub enum TagOperation {
        /// It is added, or gets another value.
        Upsert = 0 "UPSERT", pending;
        /// It is left out.
        Remove = 1 "REMOVE", pending;
    }
}
