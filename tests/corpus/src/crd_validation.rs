//! `crd-validation`: an object, or a part of one, and whether it is accepted.
//!
//! The folder `crd` is about schemas: a real API server with our definitions is asked. The others are
//! about what a schema cannot say: they are read as `lateen validate` reads them. There an object that
//! should be refused is refused well by either.

mod cluster;
mod embed;

use std::path::{Path, PathBuf};

use lateen_api::{Code, Parsed, Severity};
use serde_json::Value;

use crate::case::{self, list, text};
use crate::tally::{Tally, Verdict};
use cluster::Cluster;

/// Cases that cannot be met, with the reason.
const DOUBTFUL: [(&str, &str); 4] = [
    (
        "TestValidateAuthorizationPolicy/from-empty",
        "upstream's `from` is an empty list that is not nil; the corpus lost it, and `rules: [{}]` is valid",
    ),
    ("serviceentry-valid/full", "one of its addresses is a mapping"),
    (
        "TestValidateHTTPRoute/null header match",
        "the corpus lost the null, and `{}` asks for presence",
    ),
    ("TestValidateHTTPDirectResponse/nil redirect", "a route without any action is not valid"),
];

/// Runs every case of the files.
pub fn run(files: &[PathBuf], tally: &mut Tally) -> anyhow::Result<()> {
    let mut cluster = Cluster::default();
    for file in files {
        let group = folder(file);
        for one in list(&case::read(file)?, "cases") {
            let verdict = judge(group, one, &mut cluster)?;
            tally.record(&format!("{group}/{}", text(one, "name")), verdict);
        }
    }
    Ok(())
}

/// The name of the folder that the file is in.
fn folder(file: &Path) -> &str {
    file.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default()
}

fn judge(group: &str, case: &Value, cluster: &mut Cluster) -> anyhow::Result<Verdict> {
    let doubt = DOUBTFUL.iter().find(|(name, _)| *name == text(case, "name"));
    if let Some((_, why)) = doubt {
        return Ok(Verdict::Doubtful((*why).to_owned()));
    }
    let valid = case["valid"] == true;
    if group == "crd" {
        return Ok(difference(valid, cluster.refusal(&case["object"])?));
    }
    let object = match case["validator"].as_str() {
        None => case["object"].clone(),
        Some(validator) => match embed::object(validator, list(case, "args"))? {
            Some(object) => object,
            None => return Ok(Verdict::Skipped(format!("{validator}, which has no place here"))),
        },
    };
    let parsed = lateen_api::parse(&object.to_string(), "case");
    let refusal = said(&parsed, Severity::Error);
    if !valid && refusal.is_none() && case["validator"].is_null() {
        return Ok(difference(valid, cluster.refusal(&object)?));
    }
    Ok(match (difference(valid, refusal), &case["warning"]) {
        (Verdict::Passed, Value::Bool(warning)) if valid => {
            match (warning, said(&parsed, Severity::Warning)) {
                (true, None) => Verdict::Failed("worth a warning, but there is none".to_owned()),
                (false, Some(warning)) => {
                    Verdict::Failed(format!("not worth a warning: {warning}"))
                }
                (true, Some(_)) | (false, None) => Verdict::Passed,
            }
        }
        (verdict, _) => verdict,
    })
}

fn difference(valid: bool, refusal: Option<String>) -> Verdict {
    match (valid, refusal) {
        (true, Some(refusal)) => Verdict::Failed(format!("valid, but refused: {refusal}")),
        (false, None) => Verdict::Failed("invalid, but accepted".to_owned()),
        (true, None) | (false, Some(_)) => Verdict::Passed,
    }
}

/// What was said with this severity, but for what Lateen says about itself.
fn said(parsed: &Parsed, severity: Severity) -> Option<String> {
    let ours = [Code::FieldNotHonoured, Code::KindNotHonoured];
    let lines = parsed.diagnostics.iter().filter(|it| it.severity == severity);
    let lines: Vec<String> =
        lines.filter(|it| !ours.contains(&it.code)).map(ToString::to_string).collect();
    (!lines.is_empty()).then(|| lines.join("; "))
}
