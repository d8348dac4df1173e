//! How text becomes messages: protobuf's JSON rules, with every complaint at its place.

#![cfg(test)]

use lateen_api::kubernetes::Service;
use lateen_api::message::IntOrString;
use lateen_api::networking::{
    DestinationRule, LbPolicy, SimpleLb, StringMatchType, VirtualService,
};
use lateen_api::security::{MutualTlsMode, PeerAuthentication};
use lateen_api::{
    Code, Diagnostic, Duration, FieldUse, Kind, Object, Parsed, Severity, Spec, parse,
};

/// An object of Istio's with the given `spec` as flow YAML.
fn object(group: &str, kind: &str, spec: &str) -> String {
    format!("apiVersion: {group}.istio.io/v1\nkind: {kind}\nmetadata: {{name: x}}\nspec: {spec}\n")
}

fn only(parsed: Parsed) -> Object {
    assert_eq!(parsed.rejected, [], "{:#?}", parsed.diagnostics);
    parsed.objects.into_iter().next().unwrap()
}

fn virtual_service(spec: &str) -> VirtualService {
    match only(parse(&object("networking", "VirtualService", spec), "f")).spec {
        Spec::VirtualService(it) => *it,
        other => panic!("{other:?}"),
    }
}

fn destination_rule(spec: &str) -> DestinationRule {
    match only(parse(&object("networking", "DestinationRule", spec), "f")).spec {
        Spec::DestinationRule(it) => *it,
        other => panic!("{other:?}"),
    }
}

fn service(spec: &str) -> Service {
    let text = format!("apiVersion: v1\nkind: Service\nmetadata: {{name: x}}\nspec: {spec}\n");
    match only(parse(&text, "f")).spec {
        Spec::Service(it) => *it,
        other => panic!("{other:?}"),
    }
}

/// The one diagnostic of this severity.
fn complaint(parsed: &Parsed, severity: Severity) -> &Diagnostic {
    let mut all = parsed.diagnostics.iter().filter(|it| it.severity == severity);
    let first = all.next().unwrap_or_else(|| panic!("nothing said: {parsed:#?}"));
    assert_eq!(all.next(), None);
    first
}

const ROUTE: &str = "route: [{destination: {host: b.c}}]";

#[test]
fn durations_are_read_in_every_spelling() {
    for (written, meant) in [
        ("1.5s", Duration::from_millis(1500)),
        ("100ms", Duration::from_millis(100)),
        ("1h", Duration::from_secs(3600)),
        ("1h1m1s", Duration::from_secs(3661)),
        ("0s", Duration::ZERO),
        ("'0'", Duration::ZERO),
    ] {
        let spec = format!("{{hosts: [a.b], http: [{{timeout: {written}, {ROUTE}}}]}}");
        assert_eq!(virtual_service(&spec).http[0].timeout, Some(meant), "{written}");
    }
}

#[test]
fn both_spellings_of_a_field_are_read() {
    for name in ["perTryTimeout", "per_try_timeout"] {
        let retries = format!("retries: {{attempts: 2, {name}: 2s}}");
        let spec = format!("{{hosts: [a.b], http: [{{{retries}, {ROUTE}}}]}}");
        let retries = virtual_service(&spec).http.remove(0).retries.unwrap();
        assert_eq!(retries.per_try_timeout, Some(Duration::from_secs(2)), "{name}");
    }
}

#[test]
fn numbers_may_be_quoted_and_integers_may_look_like_floats() {
    for written in ["80", "'80'", "80.0", "8e1", "0x50"] {
        let destination = format!("{{host: b.c, port: {{number: {written}}}}}");
        let spec = format!("{{hosts: [a.b], tcp: [{{route: [{{destination: {destination}}}]}}]}}");
        let route = virtual_service(&spec).tcp.remove(0).route.remove(0);
        assert_eq!(route.destination.unwrap().port.unwrap().number, 80, "{written}");
    }
}

#[test]
fn enums_are_read_by_name_and_by_number() {
    for written in ["ROUND_ROBIN", "4"] {
        let spec = format!("{{host: a.b, trafficPolicy: {{loadBalancer: {{simple: {written}}}}}}}");
        let policy = destination_rule(&spec).traffic_policy.unwrap();
        let policy = policy.load_balancer.unwrap().lb_policy;
        assert_eq!(policy, Some(LbPolicy::Simple(SimpleLb::RoundRobin)), "{written}");
    }
}

#[test]
fn null_is_not_set() {
    let spec = format!("{{hosts: [a.b], gateways: null, http: [{{fault: ~, {ROUTE}}}]}}");
    let object = only(parse(&object("networking", "VirtualService", &spec), "f"));
    assert_eq!(object.not_honoured(), []);
}

#[test]
fn keys_of_maps_may_be_numbers() {
    let spec = "{selector: {matchLabels: {a: b}}, portLevelMtls: {8080: {mode: STRICT}}}";
    let object = only(parse(&object("security", "PeerAuthentication", spec), "f"));
    let Spec::PeerAuthentication(policy) = object.spec else { panic!("{object:?}") };
    let PeerAuthentication { port_level_mtls, .. } = *policy;
    assert_eq!(port_level_mtls[&8080].mode, MutualTlsMode::Strict);
}

#[test]
fn a_oneof_holds_one_field() {
    let spec = format!("{{hosts: [a.b], http: [{{match: [{{uri: {{prefix: /a}}}}], {ROUTE}}}]}}");
    let uri = virtual_service(&spec).http[0].r#match[0].uri.clone().unwrap();
    assert_eq!(uri.match_type, Some(StringMatchType::Prefix("/a".to_owned())));

    let uri = "{uri: {prefix: /a, exact: /b}}";
    let spec = format!("{{hosts: [a.b], http: [{{match: [{uri}], {ROUTE}}}]}}");
    let parsed = parse(&object("networking", "VirtualService", &spec), "f");
    let said = complaint(&parsed, Severity::Error);
    assert_eq!(said.code, Code::ConflictingFields);
    assert_eq!(said.field, "spec.http[0].match[0].uri.exact");
}

#[test]
fn ports_of_services_go_by_name_or_number() {
    let spec = "{ports: [{port: 80, targetPort: web}, {name: b, port: 81, targetPort: 8081}]}";
    let ports = service(spec).spec.unwrap().ports;
    assert_eq!(ports[0].target_port, Some(IntOrString::String("web".to_owned())));
    assert_eq!(ports[1].target_port, Some(IntOrString::Int(8081)));
}

#[test]
fn what_cannot_be_is_refused_at_its_place() {
    for (spec, field, column, message) in [
        (
            "{hosts: [5], tcp: [{@}]}",
            "spec.hosts[0]",
            16,
            "expected text, found the number 5; quote it",
        ),
        ("{hosts: a.b, tcp: [{@}]}", "spec.hosts", 15, "expected a list, found the text \"a.b\""),
        ("{hosts: [a.b], http: [{timeout: 5, @}]}", "spec.http[0].timeout", 39, "duration"),
        ("{hosts: [a.b], http: [{timeout: 1x, @}]}", "spec.http[0].timeout", 39, "duration"),
        (
            "{hosts: [a.b], http: [{timeout: 1us, @}]}",
            "spec.http[0].timeout",
            30,
            "0.000001s is too short, the least is 1ms",
        ),
        (
            "{hosts: [a.b], http: [{retries: {attempts: x}, @}]}",
            "spec.http[0].retries.attempts",
            50,
            "number",
        ),
        (
            "{hosts: [a.b], http: [{retries: {attempts: 5e9}, @}]}",
            "spec.http[0].retries.attempts",
            50,
            "number",
        ),
        (
            "{hosts: [a.b], tcp: [{match: [{port: 70000}], @}]}",
            "spec.tcp[0].match[0].port",
            38,
            "port 70000 is not between 1 and 65535",
        ),
        (
            "{hosts: [a.b], http: [{match: [{uri: {regex: '('}}], @}]}",
            "spec.http[0].match[0].uri.regex",
            45,
            "`(` is not a regular expression: unclosed group",
        ),
    ] {
        let text = object("networking", "VirtualService", &spec.replace('@', ROUTE));
        let parsed = parse(&text, "f.yaml");
        let said = complaint(&parsed, Severity::Error);
        assert_eq!((&*said.field, said.line, said.column), (field, 4, column), "{spec}: {said}");
        assert!(said.message.contains(message), "{spec}: {said}");
        assert_eq!(parsed.objects.len(), 0, "{spec}");
        assert_eq!(parsed.rejected[0].to_string(), "VirtualService default/x");
    }
}

#[test]
fn a_wrong_name_in_an_enum_comes_with_a_proposal() {
    let spec = "{host: a.b, trafficPolicy: {tls: {mode: SIMPEL}}}";
    let parsed = parse(&object("networking", "DestinationRule", spec), "f");
    let said = complaint(&parsed, Severity::Error);
    assert!(said.message.ends_with("did you mean `SIMPLE`?"), "{said}");
}

#[test]
fn unknown_fields_are_refused_in_policies_and_reported_elsewhere() {
    let policy =
        object("security", "AuthorizationPolicy", "{action: DENY, rulez: [{}], rules: [{}]}");
    let said = parse(&policy, "f");
    let said = complaint(&said, Severity::Error);
    assert_eq!((said.code, &*said.field), (Code::UnknownField, "spec.rulez"));
    assert!(said.message.ends_with("did you mean `rules`?"), "{said}");

    let spec = format!("{{hosts: [a.b], http: [{{timout: 5s, {ROUTE}}}]}}");
    let parsed = parse(&object("networking", "VirtualService", &spec), "f");
    assert!(complaint(&parsed, Severity::Warning).message.ends_with("did you mean `timeout`?"));
    assert_eq!(parsed.objects.len(), 1);
}

#[test]
fn what_is_not_honoured_is_reported_once_and_with_its_value() {
    let spec =
        format!("{{hosts: [a.b], http: [{{fault: {{abort: {{httpStatus: 500}}}}, {ROUTE}}}]}}");
    let object = only(parse(&object("networking", "VirtualService", &spec), "f"));
    let patterns: Vec<String> = object.not_honoured().iter().map(FieldUse::pattern).collect();
    assert_eq!(patterns, ["spec.http[].fault"]);

    let gateway = self::object(
        "networking",
        "Gateway",
        "{servers: [{hosts: ['*'], port: {number: 15443, name: a, protocol: TLS}, tls: {mode: AUTO_PASSTHROUGH}}]}",
    );
    let object = only(parse(&gateway, "f"));
    let patterns: Vec<String> = object.not_honoured().iter().map(FieldUse::pattern).collect();
    assert_eq!(patterns, ["spec.servers[].tls.mode=AUTO_PASSTHROUGH"]);
}

#[test]
fn conditions_on_tokens_are_not_honoured() {
    let spec = "{rules: [{when: [{key: 'request.auth.claims[iss]', values: [a]}]}]}";
    let object = only(parse(&object("security", "AuthorizationPolicy", spec), "f"));
    let patterns: Vec<String> = object.not_honoured().iter().map(FieldUse::pattern).collect();
    assert_eq!(patterns, ["spec.rules[].when[].key=request.auth.claims[iss]"]);
}

#[test]
fn positions_of_fields_can_be_asked_for() {
    let text = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: x
  labels:
    app.kubernetes.io/name: y
spec:
  hosts:
  - a.b
  http:
  - name: first
    route:
    - destination:
        host: b.c
      weight: 10
";
    let object = only(parse(text, "f"));
    for (path, line, column) in [
        ("spec", 8, 1),
        ("spec.hosts[0]", 10, 5),
        ("spec.http[0].name", 12, 5),
        ("spec.http[0].route[0].weight", 16, 7),
        ("spec.http[0].route[0].destination.subset", 14, 7),
        ("metadata.labels[app.kubernetes.io/name]", 7, 5),
        ("nowhere", 2, 1),
    ] {
        let position = object.position(path).unwrap();
        assert_eq!((position.line, position.column), (line, column), "{path}");
    }
}

#[test]
fn kinds_that_are_not_honoured_keep_their_name() {
    let text = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: g, namespace: n}
spec: {whatever: true}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: d}
";
    let parsed = parse(text, "f");
    assert_eq!(parsed.objects.len(), 1);
    assert_eq!(parsed.objects[0].kind, Kind::GatewayApiGateway);
    assert_eq!(parsed.objects[0].spec, Spec::NotHonoured);
    assert_eq!(parsed.objects[0].not_honoured()[0].pattern(), "kind=Gateway");
    assert_eq!(complaint(&parsed, Severity::Warning).code, Code::KindNotHonoured);
    assert_eq!(complaint(&parsed, Severity::Info).code, Code::ForeignKind);
}

#[test]
fn every_version_of_a_kind_is_read_and_no_other() {
    for (version, known) in [("v1", true), ("v1beta1", true), ("v1alpha3", true), ("v2", false)] {
        let text = format!(
            "{{apiVersion: networking.istio.io/{version}, kind: Sidecar, metadata: {{name: x}}, \
             spec: {{egress: [{{hosts: ['*/*']}}]}}}}"
        );
        let parsed = parse(&text, "f");
        assert_eq!(parsed.objects.len(), usize::from(known), "{version}");
        assert_eq!(parsed.rejected.len(), usize::from(!known), "{version}");
    }
}

#[test]
fn json_is_read_as_well() {
    let text = "{\n\t\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [\n\t\t{\"apiVersion\": \"v1\", \
                \"kind\": \"Namespace\", \"metadata\": {\"name\": \"a\\/b\\u00e9\\ud83d\\ude00\"}}]}";
    let parsed = parse(text, "f.json");
    assert_eq!(parsed.objects.len(), 1, "{:#?}", parsed.diagnostics);
    assert_eq!(parsed.objects[0].meta.name, "a/bé😀");
}
