//! Parts of objects in the smallest object that holds them.

use anyhow::Context;
use serde_json::{Value, json};

use crate::case;

/// For each of upstream's checks of a part an object's kind and specification, with `@0`, `@1` where
/// the arguments go. `MeshConfig` and `MeshNetworks` stand for the ConfigMap with them.
const PLACES: &[(&str, &str)] = &[
    ("ValidateCORSPolicy", "VirtualService {hosts: [a.b], http: [{corsPolicy: '@0', route: @to}]}"),
    (
        "ValidateConnectionPool",
        "DestinationRule {host: a.b, trafficPolicy: {connectionPool: '@0'}}",
    ),
    (
        "ValidateConnectTimeout",
        "DestinationRule {host: a.b, trafficPolicy: {connectionPool: {tcp: {connectTimeout: '@0'}}}}",
    ),
    ("ValidateConnectionSettings", "MeshConfig {defaultConfig: {connectionSettings: '@0'}}"),
    (
        "ValidateControlPlaneAuthPolicy",
        "MeshConfig {defaultConfig: {controlPlaneAuthPolicy: '@0'}}",
    ),
    ("ValidateDestination", "VirtualService {hosts: [a.b], tcp: [{route: [{destination: '@0'}]}]}"),
    ("ValidateDrainDuration", "MeshConfig {defaultConfig: {drainDuration: '@0'}}"),
    (
        "ValidateDuration",
        "DestinationRule {host: a.b, trafficPolicy: {connectionPool: {tcp: {connectTimeout: '@0'}}}}",
    ),
    (
        "ValidateExtensionProviderEnvoyHTTPAls",
        "MeshConfig {extensionProviders: [{name: a, envoyHttpAls: '@0'}]}",
    ),
    (
        "ValidateExtensionProviderEnvoyOtelAls",
        "MeshConfig {extensionProviders: [{name: a, envoyOtelAls: '@0'}]}",
    ),
    (
        "ValidateExtensionProviderEnvoyTCPAls",
        "MeshConfig {extensionProviders: [{name: a, envoyTcpAls: '@0'}]}",
    ),
    (
        "ValidateExtensionProviderEnvoyExtAuthzHTTP",
        "MeshConfig {extensionProviders: [{name: a, envoyExtAuthzHttp: '@0'}]}",
    ),
    (
        "ValidateExtensionProviderEnvoyExtAuthzGRPC",
        "MeshConfig {extensionProviders: [{name: a, envoyExtAuthzGrpc: '@0'}]}",
    ),
    (
        "ValidateExtensionProviderService",
        "MeshConfig {extensionProviders: [{name: a, zipkin: {port: 1, service: '@0'}}]}",
    ),
    (
        "ValidateExtensionProviderTracingDatadog",
        "MeshConfig {extensionProviders: [{name: a, datadog: '@0'}]}",
    ),
    (
        "ValidateExtensionProviderTracingLightStep",
        "MeshConfig {extensionProviders: [{name: a, lightstep: '@0'}]}",
    ),
    (
        "ValidateExtensionProviderTracingOpenCensusAgent",
        "MeshConfig {extensionProviders: [{name: a, opencensus: '@0'}]}",
    ),
    (
        "ValidateExtensionProviderTracingOpentelemetry",
        "MeshConfig {extensionProviders: [{name: a, opentelemetry: '@0'}]}",
    ),
    (
        "ValidateExtensionProviderTracingZipkin",
        "MeshConfig {extensionProviders: [{name: a, zipkin: '@0'}]}",
    ),
    ("ValidateFQDN", "WorkloadEntry {address: '@0'}"),
    (
        "ValidateHTTPDirectResponse",
        "VirtualService {hosts: [a.b], http: [{match: [{port: 1}], directResponse: '@0'}, {route: @to}]}",
    ),
    (
        "ValidateHTTPFaultInjectionAbort",
        "VirtualService {hosts: [a.b], http: [{fault: {delay: {fixedDelay: 1s}, abort: '@0'}, route: @to}]}",
    ),
    (
        "ValidateHTTPFaultInjectionDelay",
        "VirtualService {hosts: [a.b], http: [{fault: {delay: '@0'}, route: @to}]}",
    ),
    (
        "ValidateHTTPHeaderNameOrJwtClaimRoute",
        "VirtualService {hosts: [a.b], http: [{match: [{headers: {'@0': {exact: a}}}], route: @to}]}",
    ),
    (
        "ValidateHTTPHeaderValue",
        "VirtualService {hosts: [a.b], http: [{headers: {request: {set: {x: '@0'}}}, route: @to}]}",
    ),
    (
        "ValidateHTTPRedirect",
        "VirtualService {hosts: [a.b], http: [{match: '@1', redirect: '@0'}]}",
    ),
    ("ValidateHTTPRetry", "VirtualService {hosts: [a.b], http: [{retries: '@0', route: @to}]}"),
    ("ValidateHTTPRewrite", "VirtualService {hosts: [a.b], http: [{rewrite: '@0', route: @to}]}"),
    ("ValidateHTTPRoute", "VirtualService {hosts: '@hosts', http: ['@0']}"),
    (
        "ValidateHTTPStatus",
        "VirtualService {hosts: [a.b], http: [{directResponse: {status: '@0'}}]}",
    ),
    (
        "ValidateIPAddress",
        "ServiceEntry {hosts: [a.b], resolution: STATIC, endpoints: [{address: '@0'}]}",
    ),
    (
        "ValidateIPSubnet",
        "VirtualService {hosts: [a.b], tcp: [{match: [{destinationSubnets: ['@0']}], route: @to}]}",
    ),
    (
        "ValidateLoadBalancer",
        "DestinationRule {host: a.b, trafficPolicy: {loadBalancer: '@0', outlierDetection: '@1'}}",
    ),
    (
        "ValidateLocalities",
        "DestinationRule {host: a.b, trafficPolicy: {loadBalancer: {localityLbSetting: {distribute: [{from: x/y/z, to: '@shares'}]}}, outlierDetection: {}}}",
    ),
    (
        "ValidateLocalityLbSetting",
        "DestinationRule {host: a.b, trafficPolicy: {loadBalancer: {localityLbSetting: '@0'}, outlierDetection: '@1'}}",
    ),
    (
        "ValidateMaxServerConnectionAge",
        "DestinationRule {host: a.b, trafficPolicy: {connectionPool: {tcp: {connectTimeout: '@nanoseconds'}}}}",
    ),
    ("ValidateMeshConfig", "MeshConfig '@0'"),
    (
        "ValidateMeshConfigDefaultInboundHTTPRetryPolicy",
        "MeshConfig {defaultInboundHttpRetryPolicy: '@0'}",
    ),
    ("ValidateMeshConfigProxyConfig", "MeshConfig {defaultConfig: '@proxy'}"),
    ("ValidateMeshNetworks", "MeshNetworks '@0'"),
    (
        "ValidateOutlierDetection",
        "DestinationRule {host: a.b, trafficPolicy: {outlierDetection: '@0'}}",
    ),
    ("ValidatePort", "WorkloadEntry {address: 1.1.1.1, ports: {a: '@0'}}"),
    ("ValidatePortName", "WorkloadEntry {address: 1.1.1.1, ports: {'@0': 1}}"),
    ("ValidateRouteDestinations", "VirtualService {hosts: [a.b], tcp: [{route: '@0'}]}"),
    ("ValidateServer", "Gateway {servers: ['@0']}"),
    ("ValidateServerPort", "Gateway {servers: [{hosts: ['*'], port: '@0', bind: '@1'}]}"),
    ("ValidateServiceSettings", "MeshConfig '@0'"),
    (
        "ValidateStrictHTTPHeaderName",
        "RequestAuthentication {jwtRules: [{issuer: a, outputClaimToHeaders: [{claim: a, header: '@0'}]}]}",
    ),
    ("ValidateTLS", "DestinationRule {host: a.b, trafficPolicy: {tls: '@1'}}"),
    (
        "ValidateTLSOptions",
        "Gateway {servers: [{hosts: ['*'], port: {number: 1, name: a, protocol: TLS}, tls: '@0'}]}",
    ),
    ("ValidateTelemetryFilter", "Telemetry {accessLogging: [{filter: '@0'}]}"),
    ("ValidateTrafficPolicy", "DestinationRule {host: a.b, trafficPolicy: '@1'}"),
    ("ValidateTrustDomain", "MeshConfig {trustDomain: '@0'}"),
    (
        "ValidateURIRegexRewrite",
        "VirtualService {hosts: [a.b], http: [{rewrite: {authority: c.d, uriRegexRewrite: '@0'}, route: @to}]}",
    ),
    ("ValidateWildcardDomain", "DestinationRule {host: '@0'}"),
    (
        "ValidateWildcardDomainForVirtualServiceBoundToGateway",
        "VirtualService {hosts: ['*'], gateways: [g], tls: [{match: [{sniHosts: ['@1']}], route: @to}]}",
    ),
    (
        "ValidateZoneAwareLbSetting",
        "DestinationRule {host: a.b, trafficPolicy: {loadBalancer: {zoneAwareLbSetting: '@0'}, outlierDetection: '@1'}}",
    ),
];

/// The object that holds what `validator` was asked about; nothing for a check without a place.
pub fn object(validator: &str, arguments: &[Value]) -> anyhow::Result<Option<Value>> {
    let arguments: Vec<Value> = arguments.iter().map(plain).collect();
    if validator == "ValidateExportTo" {
        return Ok(Some(export_to(&arguments)));
    }
    let Some((_, place)) = PLACES.iter().find(|(name, _)| *name == validator) else {
        return Ok(None);
    };
    let (kind, spec) = place.split_once(' ').context("invariant: a place has a kind")?;
    let spec = spec.replace("@to", "[{destination: {host: c.d}}]");
    let mut spec = case::parse(&spec)?;
    fill(&mut spec, &arguments).with_context(|| validator.to_owned())?;
    Ok(Some(envelope(kind, "default", &spec)))
}

fn envelope(kind: &str, namespace: &str, spec: &Value) -> Value {
    let key = match kind {
        "MeshConfig" => "mesh",
        "MeshNetworks" => "meshNetworks",
        _ => {
            let group = match kind {
                "RequestAuthentication" => "security.istio.io",
                "Telemetry" => "telemetry.istio.io",
                _ => "networking.istio.io",
            };
            return json!({
                "apiVersion": format!("{group}/v1"),
                "kind": kind,
                "metadata": {"name": "a", "namespace": namespace},
                "spec": spec,
            });
        }
    };
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": "istio-system"},
        "data": {key: spec.to_string()},
    })
}

/// Namespace, `exportTo`, whether it is a ServiceEntry's, whether it is a DestinationRule's with a
/// selector.
fn export_to(arguments: &[Value]) -> Value {
    let (kind, mut spec) = match (&arguments[2], &arguments[3]) {
        (Value::Bool(true), _) => ("ServiceEntry", json!({"hosts": ["a.b"], "resolution": "DNS"})),
        (_, Value::Bool(true)) => {
            let selector = json!({"labels": {"a": "b"}});
            ("DestinationRule", json!({"host": "a.b", "workloadSelector": selector}))
        }
        _ => ("DestinationRule", json!({"host": "a.b"})),
    };
    spec["exportTo"] = arguments[1].clone();
    envelope(kind, arguments[0].as_str().unwrap_or_default(), &spec)
}

/// Puts arguments into their places.
fn fill(value: &mut Value, arguments: &[Value]) -> anyhow::Result<()> {
    let place = value.as_str().and_then(|text| text.strip_prefix('@')).map(str::to_owned);
    match (value, place) {
        (value, Some(place)) => *value = argument(&place, arguments)?,
        (Value::Array(items), None) => {
            items.iter_mut().try_for_each(|item| fill(item, arguments))?;
        }
        (Value::Object(members), None) => {
            if let Some(value) = members.remove("@0") {
                members.insert(arguments[0].as_str().unwrap_or_default().to_owned(), value);
            }
            members.values_mut().try_for_each(|member| fill(member, arguments))?;
        }
        _ => {}
    }
    Ok(())
}

fn argument(place: &str, arguments: &[Value]) -> anyhow::Result<Value> {
    let first = arguments.first().context("an argument is missing")?;
    Ok(match place {
        // The second argument of ValidateHTTPRoute says whether a delegate holds the route.
        "hosts" if arguments[1] == true => json!([]),
        "hosts" => json!(["a.b"]),
        "nanoseconds" => json!(format!("{first}ns")),
        "shares" => shares(first),
        "proxy" => proxy(first),
        number => arguments.get(number.parse::<usize>()?).cloned().unwrap_or_default(),
    })
}

/// Localities with equal shares, 100 in all.
fn shares(localities: &Value) -> Value {
    let names: Vec<&str> =
        localities.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let share = 100 / names.len().max(1);
    let rest = 100 - share * names.len();
    let each = |(index, name): (usize, &&str)| {
        ((*name).to_owned(), json!(if index == 0 { share + rest } else { share }))
    };
    Value::Object(names.iter().enumerate().map(each).collect())
}

/// Settings of a proxy that are complete, so that what they do not say is empty and not a default.
fn proxy(said: &Value) -> Value {
    let mut settings = json!({
        "configPath": "", "binaryPath": "", "discoveryAddress": "", "serviceCluster": "",
        "proxyAdminPort": 0, "statusPort": 0,
    });
    for (name, value) in said.as_object().into_iter().flatten() {
        settings[name] = value.clone();
    }
    if !said["tracingServiceName"].is_null()
        && let Some(settings) = settings.as_object_mut()
    {
        settings.remove("serviceCluster");
    }
    settings
}

/// An argument without the corpus' own notation: `{type, value}`, `{$repeat: {text, count}}`.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(members) if members.contains_key("type") && members.contains_key("value") => {
            plain(&value["value"])
        }
        Value::Object(members) if members.len() == 1 && value["type"] == "nil" => Value::Null,
        Value::Object(members) if members.contains_key("$repeat") => {
            let repeat = &value["$repeat"];
            let count = repeat["count"].as_u64().and_then(|count| usize::try_from(count).ok());
            json!(repeat["text"].as_str().unwrap_or_default().repeat(count.unwrap_or_default()))
        }
        Value::Object(members) if members.contains_key("$repeatBytes") => {
            let repeat = &value["$repeatBytes"];
            let byte = repeat["byte"].as_u64().and_then(|byte| u8::try_from(byte).ok());
            let count = repeat["count"].as_u64().and_then(|count| usize::try_from(count).ok());
            json!(base64(byte.unwrap_or_default(), count.unwrap_or_default()))
        }
        Value::Object(members) => Value::Object(
            members.iter().map(|(name, value)| (name.clone(), plain(value))).collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(plain).collect()),
        scalar => scalar.clone(),
    }
}

/// At least `count` times the same byte, three of which are four digits.
fn base64(byte: u8, count: usize) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let three = u32::from_be_bytes([0, byte, byte, byte]);
    let digit = |shift: u32| char::from(DIGITS[(three >> shift & 63) as usize]);
    let four: String = [18, 12, 6, 0].into_iter().map(digit).collect();
    four.repeat(count.div_ceil(3))
}
