//! Istio's own verdicts about whole objects, from the corpus `crd-validation`, against ours.

use std::path::{Path, PathBuf};

use lateen_api::value::{Node, Value};
use lateen_api::{Parsed, Severity, parse_node, yaml};

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
const EXCEPTIONS: &[(&str, &str)] = &[(
    "TestValidateAuthorizationPolicy/from-empty",
    "upstream's `from` is an empty list that is not nil; the corpus lost it, and `rules: [{}]` is valid",
)];

/// The folder of the corpora, beside the workspace. Without it nothing can be tested, which only CI takes amiss.
fn corpus() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora/crd-validation");
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is missing", folder.display());
    println!("skipped: {} is missing", folder.display());
    None
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

#[test]
fn verdicts_on_whole_objects_are_istios() {
    let Some(corpus) = corpus() else { return };
    let (mut passed, mut skipped, mut failed) = (0, 0, Vec::new());
    for kind in KINDS {
        for case in cases(&corpus.join(format!("webhook/{kind}.yaml"))) {
            let name = case.get("name").and_then(Node::as_str).unwrap().to_owned();
            if EXCEPTIONS.iter().any(|(exception, _)| *exception == name) {
                skipped += 1;
                continue;
            }
            match difference(&case) {
                None => passed += 1,
                Some(difference) => failed.push(format!("{name}: {difference}")),
            }
        }
    }
    println!("{passed} passed, {} failed, {skipped} skipped", failed.len());
    assert!(failed.is_empty(), "{passed} passed, {} failed:\n{}", failed.len(), failed.join("\n"));
}
