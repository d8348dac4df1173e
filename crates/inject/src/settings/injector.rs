//! The injector's configuration: who is injected, with which templates.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::custom::Template;
use lateen_api::mesh_config::{KubernetesLabelSelector, LabelSelectorRequirement};
use serde_json::Value;

use super::SettingsError;
use crate::json::items;

/// What happens to pods that say nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Policy {
    /// They are injected.
    #[default]
    Enabled,
    /// They are not.
    Disabled,
    /// A word that is neither: nothing is injected.
    Unknown(String),
}

/// The config map `istio-sidecar-injector`, key `config`.
#[derive(Debug, Clone)]
pub struct InjectorConfig {
    /// What happens to pods that say nothing.
    pub policy: Policy,
    /// Pods that are always injected.
    pub always_inject: Vec<KubernetesLabelSelector>,
    /// Pods that never are; goes before the former.
    pub never_inject: Vec<KubernetesLabelSelector>,
    /// Templates of pods that name none.
    pub default_templates: Vec<String>,
    /// Names that stand for several templates.
    pub aliases: BTreeMap<String, Vec<String>>,
    /// Annotations that every injected pod gets.
    pub injected_annotations: BTreeMap<String, String>,
    /// Templates of the user's own, by name.
    pub templates: BTreeMap<String, Arc<Template>>,
}

impl Default for InjectorConfig {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            always_inject: Vec::new(),
            never_inject: Vec::new(),
            default_templates: vec!["sidecar".to_owned()],
            aliases: BTreeMap::new(),
            injected_annotations: BTreeMap::new(),
            templates: BTreeMap::new(),
        }
    }
}

const WHAT: &str = "the injector's configuration";

impl InjectorConfig {
    /// Reads the configuration; what it leaves out may stand in the chart's values under
    /// `sidecarInjectorWebhook`, from where Istio's chart makes it.
    pub(super) fn read(config: &Value, values: &Value) -> Result<Self, SettingsError> {
        let webhook = &values["sidecarInjectorWebhook"];
        let either = |field: &str| match &config[field] {
            Value::Null => webhook[field].clone(),
            given => given.clone(),
        };
        let policy = match config["policy"].as_str() {
            None | Some("enabled") => Policy::Enabled,
            Some("disabled") => Policy::Disabled,
            Some(other) => Policy::Unknown(other.to_owned()),
        };
        let mut read = Self {
            policy,
            always_inject: selectors(&either("alwaysInjectSelector"), "alwaysInjectSelector")?,
            never_inject: selectors(&either("neverInjectSelector"), "neverInjectSelector")?,
            injected_annotations: texts(&either("injectedAnnotations")),
            ..Self::default()
        };
        let defaults = list(&either("defaultTemplates"));
        if !defaults.is_empty() {
            read.default_templates = defaults;
        }
        for (name, templates) in either("aliases").as_object().into_iter().flatten() {
            read.aliases.insert(name.clone(), list(templates));
        }
        for (name, text) in either("templates").as_object().into_iter().flatten() {
            let Some(text) = text.as_str() else { continue };
            if crate::template::is_built_in(name) {
                // Istio's chart lists its own templates here, too; ours are code.
                continue;
            }
            let template = crate::custom::parse(name, text)
                .map_err(|error| SettingsError::Template { name: name.clone(), error })?;
            read.templates.insert(name.clone(), Arc::new(template));
        }
        Ok(read)
    }
}

fn list(value: &Value) -> Vec<String> {
    let texts = value.as_array().into_iter().flatten().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

fn texts(value: &Value) -> BTreeMap<String, String> {
    let members = value.as_object().into_iter().flatten();
    members.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

fn selectors(value: &Value, path: &str) -> Result<Vec<KubernetesLabelSelector>, SettingsError> {
    let selectors = value.as_array().into_iter().flatten();
    selectors.map(|selector| read_selector(selector, path)).collect()
}

fn read_selector(value: &Value, path: &str) -> Result<KubernetesLabelSelector, SettingsError> {
    let mut selector = KubernetesLabelSelector {
        match_labels: texts(&value["matchLabels"]),
        ..KubernetesLabelSelector::default()
    };
    for expression in items(value, "matchExpressions") {
        let text = |field: &str| expression[field].as_str().unwrap_or_default().to_owned();
        let operator = text("operator");
        if !["In", "NotIn", "Exists", "DoesNotExist"].contains(&operator.as_str()) {
            let fault = format!("{operator:?} is no operator: In, NotIn, Exists or DoesNotExist");
            return Err(SettingsError::Value { what: WHAT, path: path.to_owned(), fault });
        }
        let values = list(&expression["values"]);
        selector.match_expressions.push(LabelSelectorRequirement {
            key: text("key"),
            operator,
            values,
        });
    }
    Ok(selector)
}
