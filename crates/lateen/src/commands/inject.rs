//! `lateen inject`: sidecars for the pods of objects in files, as the control plane's webhook gives them.

use std::fmt::Write as _;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use lateen_api::{Object, parse_json, yaml};
use lateen_inject::object::{Outcome, inject_object};
use lateen_inject::settings::ProxyConfigs;
use lateen_inject::{Facts, Labels, Settings};
use serde_json::Value;

/// What the command line asks for.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Objects without pods, and those whose pods are not to be injected, are printed as they stand; of the others \
comments are lost. Warnings go to standard error. What the settings are in a cluster stands in the config \
maps `istio` (key mesh) and `istio-sidecar-injector` (keys config and values) of its control plane; without \
such files they are the defaults. ProxyConfigs among the objects count for all of them; those of the cluster \
are not asked for.

Exit code: 0 when all is done; 1 when a pod cannot be injected; 2 when a file cannot be read.

Examples:
  lateen inject -f web.yaml | kubectl apply -f -
  kubectl get deployment web -o yaml | lateen inject -f - | kubectl apply -f -
  lateen inject -f web.yaml --values values.json --mesh-config mesh.yaml")]
pub struct Arguments {
    /// Files with objects as YAML or JSON; `-` is standard input.
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The namespace of objects that name none.
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// The mesh's settings.
    #[arg(long, value_name = "FILE")]
    mesh_config: Option<PathBuf>,
    /// The control plane's namespace, whose ProxyConfigs are the whole mesh's.
    #[arg(long, value_name = "NAMESPACE", default_value = "istio-system")]
    root_namespace: String,
    /// The injector's configuration: policy, selectors, templates.
    #[arg(long, value_name = "FILE")]
    inject_config: Option<PathBuf>,
    /// The chart's values.
    #[arg(long, value_name = "FILE")]
    values: Option<PathBuf>,
    /// The control plane's revision.
    #[arg(long, default_value = "default")]
    revision: String,
    /// Whether the cluster's nodes know init containers that stay (Kubernetes 1.33 and later).
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    native_sidecars: bool,
}

/// Runs the command; its exit code.
pub fn run(arguments: &Arguments) -> anyhow::Result<i32> {
    let read = |file: &PathBuf| Ok((file.display().to_string(), read(file)?));
    let files: anyhow::Result<Vec<(String, String)>> = arguments.files.iter().map(read).collect();
    let (mut settings, files) = match settings(arguments).and_then(|it| Ok((it, files?))) {
        Ok(read) => read,
        Err(error) => return Ok(failed(&error)),
    };
    let (objects, notices) = proxy_configs(&files, &arguments.namespace);
    settings.proxy_configs = ProxyConfigs::new(&arguments.root_namespace, &objects);
    notices.iter().for_each(|notice| eprintln!("lateen: {notice}"));
    let mut refused = false;
    for (name, text) in &files {
        match inject(text, name, &arguments.namespace, &settings) {
            Ok(done) => {
                print!("{}", done.text);
                for notice in &done.notices {
                    eprintln!("lateen: {notice}");
                }
                refused |= done.refused;
            }
            Err(error) => return Ok(failed(&error)),
        }
    }
    Ok(i32::from(refused))
}

fn failed(error: &anyhow::Error) -> i32 {
    eprintln!("lateen: {error:#}");
    2
}

fn settings(arguments: &Arguments) -> anyhow::Result<Settings> {
    let text = |file: &Option<PathBuf>| match file {
        Some(file) => read(file),
        None => Ok(String::new()),
    };
    let facts = Facts {
        revision: arguments.revision.clone(),
        native_sidecars: arguments.native_sidecars,
        openshift: false,
    };
    let (mesh, config) = (text(&arguments.mesh_config)?, text(&arguments.inject_config)?);
    Ok(Settings::read(&mesh, &config, &text(&arguments.values)?, facts)?)
}

fn read(file: &Path) -> anyhow::Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("standard input cannot be read")?;
        return Ok(text);
    }
    std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))
}

/// The ProxyConfigs in files, of which each has a name and a text, and what is wrong with them.
fn proxy_configs(files: &[(String, String)], namespace: &str) -> (Vec<Object>, Vec<String>) {
    let (mut objects, mut notices) = (Vec::new(), Vec::new());
    for (name, text) in files {
        // Whoever injects the text says what is no YAML.
        for document in yaml::documents(text).into_iter().flatten() {
            let object = lateen_inject::from_tree(&document);
            let items = object["items"].as_array().cloned().unwrap_or_default();
            for mut object in items.into_iter().chain([object]) {
                if object["kind"] != "ProxyConfig" {
                    continue;
                }
                if object["metadata"]["namespace"].is_null() {
                    object["metadata"]["namespace"] = namespace.into();
                }
                let parsed = parse_json(&object, name);
                notices.extend(parsed.diagnostics.iter().map(ToString::to_string));
                objects.extend(parsed.objects);
            }
        }
    }
    (objects, notices)
}

/// What became of a text.
#[derive(Debug, PartialEq)]
struct Done {
    text: String,
    /// Warnings and refusals, each with its object.
    notices: Vec<String>,
    /// Whether a pod could not be injected.
    refused: bool,
}

fn inject(text: &str, name: &str, namespace: &str, settings: &Settings) -> anyhow::Result<Done> {
    let mut done = Done { text: String::new(), notices: Vec::new(), refused: false };
    for (first_line, chunk) in chunks(text) {
        let mut changed = String::new();
        let mut any = false;
        for document in yaml::documents(chunk) {
            let document = document.map_err(|error| {
                let line = u64::from(error.position.line) + first_line;
                anyhow::anyhow!("{name}:{line}: {error}")
            })?;
            let mut object = lateen_inject::from_tree(&document);
            any |= done.object(&mut object, name, namespace, settings);
            write!(changed, "---\n{}", yaml::emit(&object))?;
        }
        if any {
            done.text.push_str(&changed);
            continue;
        }
        done.text.push_str(chunk);
        if !chunk.is_empty() && !chunk.ends_with('\n') {
            done.text.push('\n');
        }
    }
    Ok(done)
}

impl Done {
    /// Injects an object, or those of a list; whether one of them was.
    fn object(
        &mut self,
        object: &mut Value,
        file: &str,
        namespace: &str,
        settings: &Settings,
    ) -> bool {
        let is_list = object["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
        if is_list && let Some(items) = object["items"].as_array_mut() {
            let mut any = false;
            for item in items {
                any |= self.object(item, file, namespace, settings);
            }
            return any;
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (kind, name) = (text(&object["kind"]), text(&object["metadata"]["name"]));
        let what = format!("{file}: {kind} {name}");
        match inject_object(object, namespace, &|_| Labels::new(), settings) {
            Ok(Outcome::Injected(warnings)) => {
                self.notices.extend(warnings.iter().map(|text| format!("{what}: {text}")));
                true
            }
            Ok(Outcome::Skipped(reason)) => {
                self.notices.push(format!("{what}: not injected: {reason}"));
                false
            }
            Ok(Outcome::NoPods) => false,
            Err(error) => {
                self.notices.push(format!("{what}: cannot be injected: {error}"));
                self.refused = true;
                false
            }
        }
    }
}

/// The parts between lines that begin with `---`, each with its marker and the number of lines before it.
fn chunks(text: &str) -> Vec<(u64, &str)> {
    let mut chunks = Vec::new();
    let (mut start, mut start_line, mut at) = (0, 0, 0);
    for (number, line) in (0_u64..).zip(text.split_inclusive('\n')) {
        let rest = line.strip_prefix("---");
        let marker =
            rest.is_some_and(|rest| rest.trim_end().is_empty() || rest.starts_with([' ', '\t']));
        if marker && at > start {
            chunks.push((start_line, &text[start..at]));
            (start, start_line) = (at, number);
        }
        at += line.len();
    }
    chunks.push((start_line, &text[start..]));
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn injected(text: &str) -> Done {
        let settings = Settings::read("", "", "", Facts::default()).expect("defaults");
        inject(text, "web.yaml", "shop", &settings).expect("YAML")
    }

    const SERVICE: &str = "\
# The address of all of it.
apiVersion: v1
kind: Service
metadata: {name: web}
";

    #[test]
    fn objects_without_pods_stand_as_they_are_in_their_order() {
        let pod = "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: web\nspec:\n  containers:\n  - name: app\n    image: app:1\n";
        let done = injected(&format!("{SERVICE}{pod}---\n{SERVICE}"));
        assert!(done.text.starts_with(SERVICE), "{}", done.text);
        assert!(done.text.ends_with(&format!("---\n{SERVICE}")), "{}", done.text);
        assert!(done.text.contains("name: istio-proxy"), "{}", done.text);
        assert_eq!((done.notices, done.refused), (Vec::new(), false));
        let once = done.text;
        assert_eq!(injected(&once).text, once, "injecting twice is the same as once");
    }

    #[test]
    fn proxy_configs_in_the_input_count() {
        let text = "\
kind: List
apiVersion: v1
items:
- kind: ProxyConfig
  apiVersion: networking.istio.io/v1beta1
  metadata: {name: own}
  spec: {concurrency: 7}
---
kind: ProxyConfig
apiVersion: networking.istio.io/v1beta1
metadata: {name: mesh, namespace: istio-system}
spec: {concurrency: 3, environmentVariables: {A: b}}
---
kind: ProxyConfig
apiVersion: networking.istio.io/v1beta1
metadata: {name: bad, namespace: other}
spec: {concurrency: -1}
---
kind: Pod
apiVersion: v1
metadata: {name: web}
spec: {containers: [{name: app, image: a}]}
";
        let files = [("web.yaml".to_owned(), text.to_owned())];
        let (objects, notices) = proxy_configs(&files, "shop");
        assert_eq!((objects.len(), notices.len()), (2, 1), "{notices:?}");
        assert!(notices[0].contains("concurrency"), "{notices:?}");
        let mut settings = Settings::read("", "", "", Facts::default()).expect("defaults");
        settings.proxy_configs = ProxyConfigs::new("istio-system", &objects);
        let own = inject(text, "web.yaml", "shop", &settings).expect("YAML").text;
        assert!(own.contains(r#"\"concurrency\":7"#), "{own}");
        let elsewhere = inject(text, "web.yaml", "other", &settings).expect("YAML").text;
        assert!(elsewhere.contains(r#"\"concurrency\":3"#), "{elsewhere}");
    }

    #[test]
    fn items_of_lists_are_injected_and_refusals_name_their_object() {
        let done = injected(
            "\
kind: List
apiVersion: v1
items:
- kind: Deployment
  apiVersion: apps/v1
  metadata: {name: web}
  spec: {template: {spec: {containers: [{name: app, image: a}]}}}
- kind: Pod
  apiVersion: v1
  metadata: {name: bad, annotations: {sidecar.istio.io/interceptionMode: MAYBE}}
  spec: {containers: [{name: app, image: a}]}
",
        );
        assert!(done.refused);
        assert_eq!(done.notices.len(), 1, "{:?}", done.notices);
        assert!(done.notices[0].starts_with("web.yaml: Pod bad: cannot be injected"));
        assert!(done.text.contains("deployments/web"), "{}", done.text);
    }
}
