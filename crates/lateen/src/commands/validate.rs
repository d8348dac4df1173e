//! `lateen validate`: what is wrong with the objects in files and folders.

use std::path::{Path, PathBuf};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use anyhow::Context;
use lateen_api::{Diagnostic, Severity};
use serde_json::json;

use crate::output::Format;

/// What the command line asks for.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code: 0 when every object would be taken; 1 when one would be refused, or, with --strict, when \
there is a warning; 2 when a path cannot be read.

Examples:
  lateen validate mesh/
  lateen validate reviews.yaml -o json
  kubectl get virtualservices -A -o yaml | lateen validate -")]
pub struct Arguments {
    /// Files and folders; `-` is standard input.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Warnings count as errors.
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    format: Format,
}

/// A text that was read, with what there is to say about it.
struct Checked {
    name: String,
    text: String,
    objects: usize,
    diagnostics: Vec<Diagnostic>,
}

/// Runs the command; its exit code.
pub fn run(arguments: &Arguments) -> anyhow::Result<i32> {
    arguments.format.conclude(verdict(arguments))
}

fn verdict(arguments: &Arguments) -> anyhow::Result<i32> {
    let mut checked = Vec::new();
    for path in &arguments.paths {
        read(path, &mut checked)?;
    }
    let objects: usize = checked.iter().map(|file| file.objects).sum();
    let count = |severity| {
        let all = checked.iter().flat_map(|file| &file.diagnostics);
        all.filter(|diagnostic| diagnostic.severity == severity).count()
    };
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let report = json!({
        "objects": objects,
        "errors": errors,
        "warnings": warnings,
        "diagnostics": checked
            .iter()
            .flat_map(|file| &file.diagnostics)
            .map(as_json)
            .collect::<Vec<_>>(),
    });
    arguments.format.print(&report, |_| {
        let mut text: String = checked.iter().map(render).collect();
        text.push_str(&format!(
            "{}, {}, {}",
            counted(objects, "object"),
            counted(errors, "error"),
            counted(warnings, "warning")
        ));
        text
    })?;
    Ok(i32::from(errors > 0 || (arguments.strict && warnings > 0)))
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn read(path: &Path, checked: &mut Vec<Checked>) -> anyhow::Result<()> {
    if path == Path::new("-") {
        let text = std::io::read_to_string(std::io::stdin()).context("cannot read the input")?;
        checked.push(check("standard input", text));
        return Ok(());
    }
    if !path.is_dir() {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        checked.push(check(&path.display().to_string(), text));
        return Ok(());
    }
    let mut entries: Vec<PathBuf> = std::fs::read_dir(path)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
        .with_context(|| format!("cannot read the folder {}", path.display()))?;
    entries.sort();
    for entry in entries {
        let hidden = entry.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let wanted = entry.is_dir()
            || entry
                .extension()
                .is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|e| extension == *e));
        if wanted && !hidden && !leads_back(&entry, path) {
            read(&entry, checked)?;
        }
    }
    Ok(())
}

/// Whether `entry` is a link to the folder that it is in, or to one around that.
fn leads_back(entry: &Path, folder: &Path) -> bool {
    match (entry.canonicalize(), folder.canonicalize()) {
        (Ok(entry), Ok(folder)) => folder.starts_with(entry),
        _ => false,
    }
}

fn check(name: &str, text: String) -> Checked {
    let parsed = lateen_api::parse(&text, name);
    Checked {
        name: name.to_owned(),
        text,
        objects: parsed.objects.len(),
        diagnostics: parsed.diagnostics,
    }
}

pub(super) fn as_json(diagnostic: &Diagnostic) -> serde_json::Value {
    json!({
        "severity": diagnostic.severity.to_string(),
        "code": diagnostic.code.to_string(),
        "object": diagnostic.object.as_ref().map(ToString::to_string),
        "field": diagnostic.field,
        "file": &*diagnostic.file,
        "line": diagnostic.line,
        "column": diagnostic.column,
        "message": diagnostic.message,
    })
}

/// The diagnostics of one text, each with the line that it is about.
fn render(file: &Checked) -> String {
    let renderer = Renderer::plain();
    let mut out = String::new();
    for diagnostic in &file.diagnostics {
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
            Severity::Info => Level::INFO,
        };
        let about = match &diagnostic.object {
            Some(object) if diagnostic.field.is_empty() => format!("{object}: "),
            Some(object) => format!("{object}: {}: ", diagnostic.field),
            None => String::new(),
        };
        let title = format!("{about}{}", diagnostic.message);
        let code = diagnostic.code.to_string();
        let head = level.primary_title(&title).id(&code);
        let group = match offset(&file.text, diagnostic) {
            Some(at) => head.element(
                Snippet::source(&file.text)
                    .path(&file.name)
                    .annotation(AnnotationKind::Primary.span(at)),
            ),
            None => head.element(annotate_snippets::Origin::path(&file.name)),
        };
        out.push_str(&renderer.render(&[group]));
        out.push_str("\n\n");
    }
    out
}

/// The rest of the word that the diagnostic points to, as a range of bytes.
fn offset(text: &str, diagnostic: &Diagnostic) -> Option<std::ops::Range<usize>> {
    let line = usize::try_from(diagnostic.line).ok()?.checked_sub(1)?;
    let column = usize::try_from(diagnostic.column).ok()?.checked_sub(1)?;
    let before: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let line = text[before..].lines().next()?;
    let start = line.char_indices().nth(column).map_or(line.len(), |(at, _)| at);
    let length = line[start..].find([' ', ':', ',', '}']).unwrap_or(line.len() - start).max(1);
    let end = (before + start + length).min(text.len());
    (before + start < end).then_some(before + start..end)
}
