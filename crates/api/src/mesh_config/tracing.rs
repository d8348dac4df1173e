//! Where traces go, in the older form of ProxyConfig.

use std::collections::BTreeMap;

use crate::message::{Any, message, oneof};
use crate::networking::ClientTlsSettings;

message! {
    /// Where traces go.
    pub struct Tracing {
        /// To whom.
        tracer: Option<Tracer>, oneof;
        /// Further tags.
        custom_tags: BTreeMap<String, CustomTag>, pending;
        /// The longest path in a tag. The default is 256.
        max_path_tag_length: u32, pending;
        /// The share of requests that is traced, in per cent. The default is 1.
        sampling: f64, pending;
        /// TLS towards it.
        tls_settings: Option<ClientTlsSettings>, pending;
        /// Whether Istio's tags are added. The default is true.
        enable_istio_tags: Option<bool>, pending;
    }

    /// A tracer at an address.
    pub struct TracerAddress: open {
        /// The address.
        address: String, pending;
    }

    /// Lightstep.
    pub struct LightstepTracer {
        /// The address.
        address: String, pending;
        /// The token.
        access_token: String, pending;
    }

    /// A tag of a trace.
    pub struct CustomTag {
        /// Where its value comes from.
        tag: Option<CustomTagSource>, oneof;
    }

    /// A fixed tag.
    pub struct LiteralTag {
        /// Its value.
        value: String, pending;
    }

    /// A tag from a header or an environment variable.
    pub struct NamedTag {
        /// The name.
        name: String, pending;
        /// The value where there is none.
        default_value: String, pending;
    }
}

oneof! {
    /// A tracer.
    pub enum Tracer {
        /// Zipkin.
        Zipkin(TracerAddress) = zipkin, pending;
        /// Lightstep.
        Lightstep(LightstepTracer) = lightstep, pending;
        /// Datadog.
        Datadog(TracerAddress) = datadog, pending;
        /// Stackdriver.
        Stackdriver(Any) = stackdriver, pending;
        /// OpenCensus.
        OpenCensusAgent(TracerAddress) = open_census_agent, pending;
    }

    /// Where a tag's value comes from.
    pub enum CustomTagSource {
        /// It is fixed.
        Literal(LiteralTag) = literal, pending;
        /// An environment variable of the proxy.
        Environment(NamedTag) = environment, pending;
        /// A header of the request.
        Header(NamedTag) = header, pending;
        /// A command of the access log's format.
        Formatter(LiteralTag) = formatter, pending;
    }
}
