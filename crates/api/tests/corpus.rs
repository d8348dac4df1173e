//! Istio's own verdicts about whole objects, from the corpus `crd-validation`, against ours.

#![cfg(test)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lateen_api::value::{Node, Value};
use lateen_api::{Object, Parsed, Severity, parse_node, yaml};

/// The kinds whose objects are checked here, each with a file of cases.
const KINDS: [&str; 8] = [
    "VirtualService",
    "DestinationRule",
    "Gateway",
    "ServiceEntry",
    "WorkloadEntry",
    "Sidecar",
    "PeerAuthentication",
    "AuthorizationPolicy",
];

/// Cases that cannot be met, with the reason.
const EXCEPTIONS: &[(&str, &str)] = &[
    (
        "TestValidateAuthorizationPolicy/from-empty",
        "upstream's `from` is an empty list that is not nil; the corpus lost it, and `rules: [{}]` is valid",
    ),
    ("peerauth-invalid/empty-port-level", "an empty mapping says the same as none"),
    ("serviceentry-valid/full", "an address of IPv6 became a mapping when the corpus was made"),
    (
        "TestValidateHTTPRoute/null header match",
        "the corpus lost the null, and `{}` asks for presence",
    ),
    ("TestValidateHTTPDirectResponse/nil redirect", "a route without any action is not valid"),
];

/// The folder of the corpora, beside the workspace. Without it nothing can be tested, which only CI takes amiss.
fn corpus() -> Option<PathBuf> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora/crd-validation");
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is missing", folder.display());
    println!("skipped: {} is missing", folder.display());
    None
}

/// The cases of a file with their names.
fn named_cases(path: &Path) -> Vec<(String, Node)> {
    let name = |case: &Node| case.get("name").and_then(Node::as_str).unwrap().to_owned();
    cases(path).into_iter().map(|case| (name(&case), case)).collect()
}

fn cases(path: &Path) -> Vec<Node> {
    let text = std::fs::read_to_string(path).unwrap();
    let document = yaml::documents(&text).remove(0).unwrap();
    match &document.get("cases").unwrap().value {
        Value::List(cases) => cases.clone(),
        other => panic!("`cases` is {other:?}"),
    }
}

fn flag(case: &Node, name: &str) -> Option<bool> {
    match case.get(name)?.value {
        Value::Bool(flag) => Some(flag),
        _ => None,
    }
}

fn messages(parsed: &Parsed, severity: Severity) -> Vec<String> {
    let of_severity = parsed.diagnostics.iter().filter(|it| it.severity == severity);
    of_severity.map(ToString::to_string).collect()
}

/// Why our verdict differs, if it does.
fn difference(case: &Node) -> Option<String> {
    let parsed = parse_node(case.get("object").unwrap(), "case");
    let errors = messages(&parsed, Severity::Error);
    match (flag(case, "valid").unwrap(), errors.is_empty()) {
        (true, false) => return Some(format!("valid, but refused: {}", errors.join("; "))),
        (false, true) => return Some("invalid, but taken".to_owned()),
        _ => {}
    }
    let not_about_us = |text: &&String| !text.contains("not-honoured");
    let warnings = messages(&parsed, Severity::Warning);
    let warned = warnings.iter().filter(not_about_us).count() > 0;
    match (flag(case, "warning"), warned) {
        (Some(true), false) => Some("worth a warning, but there is none".to_owned()),
        (Some(false), true) if errors.is_empty() => {
            Some(format!("not worth a warning: {}", warnings.join("; ")))
        }
        _ => None,
    }
}

/// Compares our verdicts with the corpus' and prints and checks the counts.
fn run(all: impl IntoIterator<Item = (String, Node)>) {
    let (mut passed, mut skipped, mut failed) = (0, 0, Vec::new());
    for (name, case) in all {
        if EXCEPTIONS.iter().any(|(exception, _)| *exception == name) {
            skipped += 1;
            continue;
        }
        match difference(&case) {
            None => passed += 1,
            Some(difference) => failed.push(format!("{name}: {difference}")),
        }
    }
    println!("{passed} passed, {} failed, {skipped} skipped", failed.len());
    assert!(passed > 0, "there are no cases");
    assert!(failed.is_empty(), "{passed} passed, {} failed:\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn verdicts_on_whole_objects_are_istios() {
    let Some(corpus) = corpus() else { return };
    run(KINDS.iter().flat_map(|kind| named_cases(&corpus.join(format!("webhook/{kind}.yaml")))));
}

#[test]
fn verdicts_of_the_schemas_are_istios() {
    let Some(corpus) = corpus() else { return };
    let files = ["authz", "destinationrule", "peerauth", "serviceentry", "workloadentry"];
    run(files.iter().flat_map(|file| named_cases(&corpus.join(format!("crd/{file}.yaml")))));
}

/// Objects that hold a part, with `@0`, `@1` where the arguments of upstream's check of that part go.
const FRAGMENTS: &[(&str, &str)] = &[
    ("ValidateHTTPRoute", "VirtualService {hosts: '@hosts', http: ['@0']}"),
    ("ValidateDestination", "VirtualService {hosts: [a.b], tcp: [{route: [{destination: '@0'}]}]}"),
    (
        "ValidateHTTPRedirect",
        "VirtualService {hosts: [a.b], http: [{match: '@1', redirect: '@0'}]}",
    ),
    ("ValidateCORSPolicy", "VirtualService {hosts: [a.b], http: [{corsPolicy: '@0', route: @to}]}"),
    ("ValidateHTTPRetry", "VirtualService {hosts: [a.b], http: [{retries: '@0', route: @to}]}"),
    ("ValidateHTTPRewrite", "VirtualService {hosts: [a.b], http: [{rewrite: '@0', route: @to}]}"),
    (
        "ValidateURIRegexRewrite",
        "VirtualService {hosts: [a.b], http: [{rewrite: {authority: c.d, uriRegexRewrite: '@0'}, route: @to}]}",
    ),
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
    ("ValidateRouteDestinations", "VirtualService {hosts: [a.b], tcp: [{route: '@0'}]}"),
    ("ValidateTrafficPolicy", "DestinationRule {host: a.b, trafficPolicy: '@1'}"),
    (
        "ValidateLoadBalancer",
        "DestinationRule {host: a.b, trafficPolicy: {loadBalancer: '@0', outlierDetection: '@1'}}",
    ),
    (
        "ValidateConnectionPool",
        "DestinationRule {host: a.b, trafficPolicy: {connectionPool: '@0'}}",
    ),
    (
        "ValidateOutlierDetection",
        "DestinationRule {host: a.b, trafficPolicy: {outlierDetection: '@0'}}",
    ),
    ("ValidateServer", "Gateway {servers: ['@0']}"),
    ("ValidateServerPort", "Gateway {servers: [{hosts: ['*'], port: '@0'}]}"),
    (
        "ValidateTLSOptions",
        "Gateway {servers: [{hosts: ['*'], port: {number: 1, name: a, protocol: TLS}, tls: '@0'}]}",
    ),
    (
        "ValidateHTTPHeaderValue",
        "VirtualService {hosts: [a.b], http: [{headers: {request: {set: {x: '@0'}}}, route: @to}]}",
    ),
    ("ValidatePortName", "WorkloadEntry {address: 1.1.1.1, ports: {'@0': 1}}"),
];

/// The same for upstream's checks of syntax and of load balancing across localities.
const SYNTAX: &[(&str, &str)] = &[
    ("ValidateFQDN", "WorkloadEntry {address: '@0'}"),
    ("ValidateWildcardDomain", "DestinationRule {host: '@0'}"),
    (
        "ValidateWildcardDomainForVirtualServiceBoundToGateway",
        "VirtualService {hosts: ['*'], gateways: [g], tls: [{match: [{sniHosts: ['@1']}], route: @to}]}",
    ),
    (
        "ValidateIPSubnet",
        "VirtualService {hosts: [a.b], tcp: [{match: [{destinationSubnets: ['@0']}], route: @to}]}",
    ),
    (
        "ValidateDuration",
        "DestinationRule {host: a.b, trafficPolicy: {connectionPool: {tcp: {connectTimeout: '@0'}}}}",
    ),
    (
        "ValidateConnectTimeout",
        "DestinationRule {host: a.b, trafficPolicy: {connectionPool: {tcp: {connectTimeout: '@0'}}}}",
    ),
    (
        "ValidateLocalityLbSetting",
        "DestinationRule {host: a.b, trafficPolicy: {loadBalancer: {localityLbSetting: '@0'}, outlierDetection: '@1'}}",
    ),
    (
        "ValidateZoneAwareLbSetting",
        "DestinationRule {host: a.b, trafficPolicy: {loadBalancer: {zoneAwareLbSetting: '@0'}, outlierDetection: '@1'}}",
    ),
];

#[test]
fn verdicts_on_parts_are_istios() {
    let Some(corpus) = corpus() else { return };
    let mut all = Vec::new();
    for (validator, template) in FRAGMENTS {
        for (name, case) in named_cases(&corpus.join(format!("fragments/{validator}.yaml"))) {
            all.push((name, embed(template, &case)));
        }
    }
    run(all);
}

#[test]
fn verdicts_on_syntax_are_istios() {
    let Some(corpus) = corpus() else { return };
    let mut all = Vec::new();
    for (validator, template) in SYNTAX {
        for (name, case) in named_cases(&corpus.join(format!("mesh/{validator}.yaml"))) {
            all.push((name, embed(template, &case)));
        }
    }
    run(all);
}

/// A case about a part as one about the object that the template makes of it.
fn embed(template: &str, case: &Node) -> Node {
    let (kind, spec) = template.split_once(' ').unwrap();
    let group = "networking.istio.io/v1";
    let text =
        format!("{{apiVersion: {group}, kind: {kind}, metadata: {{name: a}}, spec: {spec}}}");
    let text = text.replace("@to", "[{destination: {host: c.d}}]");
    let mut object = yaml::documents(&text).remove(0).unwrap();
    let arguments = match &case.get("args").unwrap().value {
        Value::List(arguments) => arguments.iter().map(plain).collect::<Vec<_>>(),
        other => panic!("`args` is {other:?}"),
    };
    fill(&mut object, &arguments);
    let Value::Map(entries) = &case.value else { panic!("a case is a mapping") };
    let mut entries = entries.clone();
    entries.retain(|entry| entry.key == "valid" || entry.key == "warning");
    let mut entry = entries[0].clone();
    entry.key = "object".to_owned();
    entry.value = object;
    entries.push(entry);
    Node { position: case.position, value: Value::Map(entries) }
}

/// Puts arguments into their places.
fn fill(node: &mut Node, arguments: &[Node]) {
    let place = node.as_str().and_then(|text| text.strip_prefix('@')).map(str::to_owned);
    match (&mut node.value, place.as_deref()) {
        (_, Some("hosts")) => {
            // The second argument of ValidateHTTPRoute says whether a delegate holds the route.
            let delegate = matches!(arguments[1].value, Value::Bool(true));
            let text = if delegate { "[]" } else { "[a.b]" };
            *node = yaml::documents(text).remove(0).unwrap();
        }
        (_, Some(place)) => *node = arguments[place.parse::<usize>().unwrap()].clone(),
        (Value::List(items), None) => items.iter_mut().for_each(|item| fill(item, arguments)),
        (Value::Map(entries), None) => {
            for entry in entries {
                if entry.key == "@0" {
                    entry.key = arguments[0].as_str().unwrap().to_owned();
                }
                fill(&mut entry.value, arguments);
            }
        }
        _ => {}
    }
}

/// An argument without the corpus' own notation: `{type, value}`, `{$repeat: {text, count}}`.
fn plain(node: &Node) -> Node {
    if let Some(kind) = node.get("type").and_then(Node::as_str)
        && (kind == "nil" || node.get("value").is_some())
    {
        let null = Node { position: node.position, value: Value::Null };
        return node.get("value").map_or(null, plain);
    }
    if let Some((text, count)) = repeated(node) {
        return Node { position: node.position, value: Value::String(text.repeat(count)) };
    }
    let value = match &node.value {
        Value::List(items) => Value::List(items.iter().map(plain).collect()),
        Value::Map(entries) => {
            let mut entries = entries.clone();
            entries.iter_mut().for_each(|entry| entry.value = plain(&entry.value));
            Value::Map(entries)
        }
        scalar => scalar.clone(),
    };
    Node { position: node.position, value }
}

/// Three bytes of the same value are four digits of base64, so that a body of many is made of these.
fn repeated(node: &Node) -> Option<(String, usize)> {
    let number = |node: &Node, name: &str| match &node.get(name).unwrap().value {
        Value::Number(text) => text.parse::<usize>().unwrap(),
        other => panic!("`{name}` is {other:?}"),
    };
    if let Some(repeat) = node.get("$repeat") {
        return Some((repeat.get("text")?.as_str()?.to_owned(), number(repeat, "count")));
    }
    let repeat = node.get("$repeatBytes")?;
    assert_eq!(number(repeat, "byte"), 97);
    Some(("YWFh".to_owned(), number(repeat, "count").div_ceil(3)))
}

#[test]
fn what_other_corpora_configure_is_read() {
    let Some(corpora) = corpus().and_then(|corpus| Some(corpus.parent()?.to_owned())) else {
        return;
    };
    let (mut objects, mut refused) = (0, Vec::new());
    let mut not_honoured = BTreeMap::<String, usize>::new();
    for file in yaml_files(&corpora.join("simulation")).chain(yaml_files(&corpora.join("authz"))) {
        let text = std::fs::read_to_string(&file).unwrap();
        let document = yaml::documents(&text).remove(0).unwrap();
        for part in ["config", "kubeConfig", "policies"] {
            let Some(Node { value: Value::List(items), .. }) = document.get(part) else { continue };
            for item in items {
                let parsed = parse_node(item, &file.to_string_lossy());
                objects += parsed.objects.len();
                for field in parsed.objects.iter().flat_map(Object::not_honoured) {
                    *not_honoured.entry(field.pattern()).or_default() += 1;
                }
                refused.extend(messages(&parsed, Severity::Error));
            }
        }
    }
    println!("{objects} objects read; not honoured in them: {not_honoured:#?}");
    assert!(objects > 100, "only {objects} objects");
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

fn yaml_files(folder: &Path) -> Box<dyn Iterator<Item = PathBuf>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    Box::new(entries.flat_map(|path| -> Box<dyn Iterator<Item = PathBuf>> {
        if path.is_dir() {
            return yaml_files(&path);
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let wanted = name.ends_with(".yaml") && !name.starts_with('_');
        Box::new(wanted.then_some(path).into_iter())
    }))
}
