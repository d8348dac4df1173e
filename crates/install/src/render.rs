//! The chart's templates over values: objects.

use lateen_template::{Functions, Missing, Template};
use serde_json::{Value, json};

use crate::kinds::Kind;
use crate::lookup::Lookup;
use crate::{chart, tree};

/// What an installation is called, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Who installs: `lateen`, or `Helm`.
    pub service: String,
    /// Whether it was there before.
    pub is_upgrade: bool,
}

/// What an installation is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    /// The objects, in the order in which they are applied. The definitions of kinds are not among
    /// them.
    pub objects: Vec<Value>,
    /// What to tell the user at the end.
    pub notes: String,
}

/// Why nothing can be rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// A template refuses, or is wrong.
    #[error(transparent)]
    Template(#[from] lateen_template::Error),
    /// A template whose text is no YAML.
    #[error("{file}: line {line} of what it gives: {message}")]
    Syntax {
        /// The template.
        file: String,
        /// The line of its output, from 1.
        line: u32,
        /// What is wrong.
        message: String,
    },
    /// An object that is of no kind that can be installed.
    #[error("{file}: {object} is of a kind that is not installed")]
    Kind {
        /// The template.
        file: String,
        /// The object.
        object: String,
    },
}

/// An object as people name it: `Deployment istio-system/istiod`.
#[must_use]
pub fn title(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (kind, name) = (text(&object["kind"]), text(&object["metadata"]["name"]));
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}

/// Renders the chart. `values` are complete ([`crate::Given::over_defaults`]), and `lookup` answers
/// what templates ask of the cluster.
///
/// # Errors
/// When a template refuses: its message says why.
pub fn render(values: &Value, release: &Release, lookup: &Lookup) -> Result<Rendered, RenderError> {
    let templates = templates(lookup)?;
    let metadata = tree::document(chart::METADATA).unwrap_or_default();
    let context = json!({
        "Values": values,
        "Release": {
            "Name": release.name,
            "Namespace": release.namespace,
            "Service": release.service,
            "IsInstall": !release.is_upgrade,
            "IsUpgrade": release.is_upgrade,
        },
        "Chart": {
            "Name": metadata["name"],
            "Version": metadata["version"],
            "AppVersion": metadata["appVersion"],
        },
    });
    let mut rendered = Rendered { objects: Vec::new(), notes: String::new() };
    for file in chart::TEMPLATES {
        if file.path.ends_with(".yaml") {
            let text = templates.render(file.path, &context)?;
            rendered.objects.extend(objects(file.path, &text)?);
        } else if file.path.ends_with(".txt") {
            rendered.notes = templates.render(file.path, &context)?;
        }
    }
    rendered.objects.sort_by_key(|object| Kind::of(object).map_or(usize::MAX, Kind::place));
    Ok(rendered)
}

fn templates(lookup: &Lookup) -> Result<Template, lateen_template::Error> {
    let asked = lookup.clone();
    let functions = Functions::charts()
        .with("lookup", move |arguments| {
            let words: Option<Vec<&str>> = arguments.iter().map(|word| word.as_str()).collect();
            match words.as_deref() {
                Some(&[api_version, kind, namespace, name]) => {
                    Ok(asked.ask(api_version, kind, namespace, name))
                }
                _ => Err("lookup takes an API version, a kind, a namespace and a name".to_owned()),
            }
        })
        .with("fromYaml", |arguments| match arguments {
            [Value::String(text)] => tree::document(text).map_err(|error| error.message),
            _ => Err("fromYaml takes one text".to_owned()),
        });
    let mut templates = Template::new(functions).missing(Missing::Empty);
    for file in chart::TEMPLATES {
        templates.add(file.path, file.text)?;
    }
    Ok(templates)
}

fn objects(file: &str, text: &str) -> Result<Vec<Value>, RenderError> {
    let objects = tree::documents(text).map_err(|error| RenderError::Syntax {
        file: file.to_owned(),
        line: error.position.line,
        message: error.message,
    })?;
    match objects.iter().find(|object| Kind::of(object).is_none()) {
        Some(unknown) => Err(RenderError::Kind { file: file.to_owned(), object: title(unknown) }),
        None => Ok(objects),
    }
}
