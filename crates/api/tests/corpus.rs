//! Istio's own verdicts about whole objects, from the corpus `crd-validation`, against ours. All of the
//! corpus, the parts of objects and the schemas on an API server among it, is for `./test corpus`.

#![cfg(test)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lateen_api::value::{Node, Value};
use lateen_api::{Object, Parsed, Severity, parse_node, yaml};

/// Cases that cannot be met, with the reason.
const EXCEPTIONS: &[(&str, &str)] = &[
    (
        "TestValidateAuthorizationPolicy/from-empty",
        "upstream's `from` is an empty list that is not nil; the corpus lost it, and `rules: [{}]` is valid",
    ),
    ("peerauth-invalid/empty-port-level", "an empty mapping says the same as none"),
    ("wasm-invalid/invalid-imagePullSecret", "empty text says the same as none"),
    ("serviceentry-valid/full", "one of its addresses is a mapping"),
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
    run(yaml_files(&corpus.join("webhook")).flat_map(|file| named_cases(&file)));
}

#[test]
fn verdicts_of_the_schemas_are_istios() {
    let Some(corpus) = corpus() else { return };
    run(yaml_files(&corpus.join("crd")).flat_map(|file| named_cases(&file)));
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
