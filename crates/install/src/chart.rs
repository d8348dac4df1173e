//! The Helm chart `deploy/helm/lateen`, as part of the program.

/// A file of the chart: its path in it, and its text.
pub struct File {
    /// As `templates/service.yaml`.
    pub path: &'static str,
    /// What is in it.
    pub text: &'static str,
}

macro_rules! files {
    ($($path:literal),+ $(,)?) => {
        &[$(File {
            path: $path,
            text: include_str!(concat!("../../../deploy/helm/lateen/", $path)),
        }),+]
    };
}

/// `Chart.yaml`.
pub const METADATA: &str = include_str!("../../../deploy/helm/lateen/Chart.yaml");

/// `values.yaml`: the defaults.
pub const VALUES: &str = include_str!("../../../deploy/helm/lateen/values.yaml");

/// `values.schema.json`.
pub const SCHEMA: &str = include_str!("../../../deploy/helm/lateen/values.schema.json");

/// The templates; a test holds the list to the folder.
pub const TEMPLATES: &[File] = files![
    "templates/NOTES.txt",
    "templates/_gateway.tpl",
    "templates/_names.tpl",
    "templates/_webhooks.tpl",
    "templates/account.yaml",
    "templates/checks.yaml",
    "templates/cni.yaml",
    "templates/config.yaml",
    "templates/deployment.yaml",
    "templates/gateways.yaml",
    "templates/roles.yaml",
    "templates/scaling.yaml",
    "templates/service.yaml",
    "templates/webhooks.yaml",
];
