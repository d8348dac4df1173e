//! Texts with several documents, broken ones among them.

#![cfg(test)]

use lateen_api::value::{Node, Value};
use lateen_api::{Code, Parsed, Spec, parse, yaml};

fn names(parsed: &Parsed) -> Vec<&str> {
    parsed.objects.iter().map(|object| object.meta.name.as_str()).collect()
}

fn said(parsed: &Parsed) -> Vec<String> {
    parsed.diagnostics.iter().map(ToString::to_string).collect()
}

fn namespace(name: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n")
}

#[test]
fn a_broken_document_does_not_cost_the_others() {
    let text = format!("{}---\nkind: [\n---\n{}", namespace("a"), namespace("b"));
    let parsed = parse(&text, "f.yaml");
    assert_eq!(names(&parsed), ["a", "b"]);
    assert_eq!(parsed.diagnostics.len(), 1);
    assert_eq!(parsed.diagnostics[0].code, Code::Syntax);
    let line = parsed.diagnostics[0].line;
    assert!((6..=8).contains(&line), "{line}");
    assert_eq!(parsed.objects[1].position("metadata.name").unwrap().line, 11);
}

#[test]
fn separators_comments_and_empty_documents_are_skipped() {
    let text = format!(
        "# first\n---\n\n---\n%YAML 1.2\n--- # a comment\n{}---\n...\n---\r\n{}---",
        namespace("a"),
        namespace("b")
    );
    let parsed = parse(&text, "f");
    assert_eq!(names(&parsed), ["a", "b"], "{:#?}", said(&parsed));
    assert_eq!(said(&parsed), [] as [&str; 0]);
}

#[test]
fn a_key_that_is_set_twice_is_refused() {
    let text = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: a\n  name: b\n";
    let said = said(&parse(text, "f"));
    assert_eq!(said, ["f:5:3: error[duplicate-field]: `name` is set twice, first in line 4"]);
}

#[test]
fn an_object_that_stands_twice_counts_once() {
    let text = format!("{}---\n{}", namespace("a"), namespace("a"));
    let parsed = parse(&text, "f");
    assert_eq!(names(&parsed), ["a"]);
    assert_eq!(parsed.diagnostics[0].code, Code::DuplicateObject);
    assert_eq!(parsed.diagnostics[0].line, 6);
}

#[test]
fn anchors_aliases_and_merge_keys_are_resolved() {
    let text = "
apiVersion: v1
kind: Service
metadata: {name: a, labels: &labels {app: a, tier: web}}
spec:
  selector:
    <<: *labels
    tier: backend
  ports: [{port: 80}]
";
    let parsed = parse(text, "f");
    assert_eq!(said(&parsed), [] as [&str; 0]);
    let Spec::Service(service) = &parsed.objects[0].spec else { panic!("{parsed:?}") };
    let selector = &service.spec.as_ref().unwrap().selector;
    assert_eq!(selector["app"], "a");
    assert_eq!(selector["tier"], "backend");
}

#[test]
fn a_bomb_of_aliases_is_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{}", level - 1);
        text.push_str(&format!("a{level}: &a{level} [{}]\n", [before.as_str(); 10].join(", ")));
    }
    let parsed = parse(&text, "f");
    assert_eq!(parsed.diagnostics[0].code, Code::Syntax);
    assert!(parsed.diagnostics[0].message.contains("aliases"), "{:?}", parsed.diagnostics[0]);
}

#[test]
fn deep_nesting_is_refused() {
    let text = "[".repeat(10_000);
    assert_eq!(parse(&text, "f").diagnostics[0].code, Code::Syntax);
}

#[test]
fn timestamps_and_quoted_scalars_are_text() {
    let text = "{a: 2024-05-01, b: 2024-05-01T12:00:00Z, c: '5', d: 'true', e: 1.2.3, f: 0x, g: '-', h: yes}";
    let document = yaml::documents(text).remove(0).unwrap();
    for entry in document.entries().unwrap() {
        assert!(matches!(entry.value.value, Value::String(_)), "{entry:?}");
    }
}

#[test]
fn the_age_of_an_object_is_read() {
    for written in ["2024-05-01T12:00:00Z", "'2024-05-01T12:00:00Z'", "'2024-05-01T14:00:00+02:00'"]
    {
        let text = format!(
            "{{apiVersion: v1, kind: Namespace, metadata: {{name: a, creationTimestamp: {written}}}}}"
        );
        let parsed = parse(&text, "f");
        let age = parsed.objects[0].meta.creation_timestamp.unwrap();
        assert_eq!(age.to_string(), "2024-05-01T12:00:00Z");
    }
}

#[test]
fn the_settings_of_the_mesh_are_laid_over_the_defaults() {
    let text = "
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |-
    # a comment
    trustDomain: example.org
    enableTracing: false
    defaultConfig:
      concurrency: 3
      proxyMetadata: {A: b}
    outboundTrafficPolicy:
      mode: REGISTRY_ONLY
    connectTimeout: 0.1ms
    acessLogFile: /dev/stdout
  meshNetworks: 'networks: {}'
";
    let parsed = parse(text, "f");
    assert_eq!(
        said(&parsed),
        [
            "f:9:5: warning[field-not-honoured]: ConfigMap istio-system/istio: data.mesh.enableTracing: \
             Lateen does not act on this field yet",
            "f:11:7: warning[field-not-honoured]: ConfigMap istio-system/istio: \
             data.mesh.defaultConfig.concurrency: Lateen does not act on this field yet",
            "f:12:7: warning[field-not-honoured]: ConfigMap istio-system/istio: \
             data.mesh.defaultConfig.proxyMetadata: Lateen does not act on this field yet",
            "f:15:5: error[bad-value]: ConfigMap istio-system/istio: data.mesh.connectTimeout: 0.0001s is too \
             short, the least is 1ms",
            "f:16:5: warning[unknown-field]: ConfigMap istio-system/istio: data.mesh.acessLogFile: `acessLogFile` \
             is not a field of MeshConfig; did you mean `accessLogFile`?",
        ]
    );
    let parsed = parse(&text.replace("0.1ms", "100ms"), "f");
    let Spec::MeshConfig(mesh) = &parsed.objects[0].spec else { panic!("{parsed:?}") };
    assert_eq!(mesh.trust_domain, "example.org");
    assert_eq!(mesh.outbound_mode().name(), "REGISTRY_ONLY");
    assert!(!mesh.enable_tracing);
    assert!(mesh.auto_mtls());
    assert_eq!(mesh.root_namespace, "istio-system");
    let proxy = mesh.default_config.as_ref().unwrap();
    assert_eq!((proxy.concurrency, proxy.status_port), (Some(3), 15020));
}

#[test]
fn a_list_holds_objects() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Namespace, metadata: {name: a}}\n";
    let parsed = parse(text, "f");
    assert_eq!(names(&parsed), ["a"]);
    assert_eq!(parsed.objects[0].position("metadata.name").unwrap().line, 4);
}

#[test]
fn what_is_no_object_is_refused() {
    for text in ["just text", "[1, 2]", "kind: Service", "apiVersion: v1", "{a: b}"] {
        let parsed = parse(text, "f");
        assert_eq!(parsed.diagnostics[0].code, Code::NotAnObject, "{text}");
    }
    assert_eq!(parse("", "f").diagnostics, []);
}

#[test]
fn a_byte_order_mark_is_skipped() {
    assert_eq!(names(&parse(&format!("\u{feff}{}", namespace("a")), "f")), ["a"]);
}

#[test]
fn places_count_characters_from_one() {
    let document: Node = yaml::documents("é: {ß: 1}").remove(0).unwrap();
    let entry = &document.entries().unwrap()[0];
    assert_eq!((entry.position.line, entry.position.column), (1, 1));
    let inner = &entry.value.entries().unwrap()[0];
    assert_eq!((inner.position.line, inner.position.column), (1, 5));
    assert_eq!((inner.value.position.line, inner.value.position.column), (1, 8));
}
