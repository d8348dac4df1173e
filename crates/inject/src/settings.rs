//! What injection depends on besides the pod: the injector's configuration, the chart's values, the
//! mesh's settings, and facts of the cluster.

mod injector;
mod mesh;
mod proxy_configs;
mod values;

use serde_json::Value;

pub use injector::{InjectorConfig, Policy};
pub use mesh::{MeshSettings, ProxySettings};
pub use proxy_configs::ProxyConfigs;
pub use values::{Cni, Engine, Init, Proxy, Readiness, Values};

/// Everything that injection depends on.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Policy, selectors and templates.
    pub injector: InjectorConfig,
    /// The chart's values.
    pub values: Values,
    /// The mesh's settings, as far as injection reads them.
    pub mesh: MeshSettings,
    /// Settings of proxies that are objects of their own.
    pub proxy_configs: ProxyConfigs,
    /// Facts of the cluster and the control plane.
    pub facts: Facts,
}

/// Facts of the cluster and the control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The control plane's revision; `default` where it has no name.
    pub revision: String,
    /// Whether the cluster's nodes know init containers that stay (Kubernetes 1.33 by default, as Istio
    /// decides it); an annotation of the pod goes before.
    pub native_sidecars: bool,
    /// Whether the cluster is OpenShift, which gives each namespace a range of users.
    pub openshift: bool,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            revision: crate::names::DEFAULT_REVISION.to_owned(),
            native_sidecars: true,
            openshift: false,
        }
    }
}

/// Why settings cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A text that is no YAML.
    #[error("{what}: line {line}: {message}")]
    Syntax {
        /// Which text.
        what: &'static str,
        /// The line, from 1.
        line: u32,
        /// What is wrong.
        message: String,
    },
    /// A value that cannot be taken.
    #[error("{what}: {path}: {fault}")]
    Value {
        /// Which text.
        what: &'static str,
        /// Where in it.
        path: String,
        /// What is wrong.
        fault: String,
    },
    /// A template that cannot be read.
    #[error("the injection template {name}: {error}")]
    Template {
        /// Its name.
        name: String,
        /// What is wrong.
        error: lateen_template::Error,
    },
}

impl Settings {
    /// Reads the mesh's settings (config map `istio`, key `mesh`) and the injector's (config map
    /// `istio-sidecar-injector`, keys `config` and `values`). An empty text stands for the defaults.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn read(
        mesh: &str,
        config: &str,
        values: &str,
        facts: Facts,
    ) -> Result<Self, SettingsError> {
        let mesh = document("the mesh's settings", mesh)?;
        let config = document("the injector's configuration", config)?;
        let values = document("the injector's values", values)?;
        Self::from_json(mesh, &config, values, facts)
    }

    /// The same of trees that were read already.
    ///
    /// # Errors
    /// When one of them says something that cannot be.
    pub fn from_json(
        mesh: Value,
        config: &Value,
        values: Value,
        facts: Facts,
    ) -> Result<Self, SettingsError> {
        let values = Values::read(values)?;
        let openshift = facts.openshift || values.platform == "openshift";
        Ok(Self {
            injector: InjectorConfig::read(config, &values.raw)?,
            mesh: MeshSettings::read(mesh),
            proxy_configs: ProxyConfigs::default(),
            values,
            facts: Facts { openshift, ..facts },
        })
    }
}

fn document(what: &'static str, text: &str) -> Result<Value, SettingsError> {
    crate::json::from_yaml(text).map_err(|error| SettingsError::Syntax {
        what,
        line: error.position.line,
        message: error.message,
    })
}
