//! The CNI specification, versions 0.3.0 to 1.1.0, as far as a chained plugin meets it
//! (containernetworking/cni, SPEC.md).

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Value, json};

/// Versions of the specification that have chains.
pub const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// The capability by which a runtime is asked for a pod's annotations (containerd's and CRI-O's name).
pub const ANNOTATIONS: &str = "io.kubernetes.cri.pod-annotations";

/// What a runtime asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// A pod's network namespace was made.
    Add,
    /// It goes.
    Del,
    /// Whether everything is as `Add` left it.
    Check,
    /// Which attachments are still in use.
    Gc,
    /// Whether pods can be added.
    Status,
    /// Which versions the plugin speaks.
    Version,
}

/// The specification's codes of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// A version that this plugin does not speak.
    IncompatibleVersion,
    /// A variable that is missing or wrong.
    Environment,
    /// Something could not be read or written.
    Io,
    /// What was given is no JSON, or not what was expected.
    Decoding,
    /// A network configuration that cannot be.
    Configuration,
    /// It may work later.
    TryAgainLater,
    /// The pod's traffic cannot be captured as its annotations ask (of this plugin's own).
    Capture,
}

impl Code {
    /// Its number: below 100 they are the specification's.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Self::IncompatibleVersion => 1,
            Self::Environment => 4,
            Self::Io => 5,
            Self::Decoding => 6,
            Self::Configuration => 7,
            Self::TryAgainLater => 11,
            Self::Capture => 100,
        }
    }
}

/// What is said when a call fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", Details(details))]
pub struct Failure {
    /// What kind it is of.
    pub code: Code,
    /// What happened.
    pub message: String,
    /// What more is known.
    pub details: String,
}

struct Details<'d>(&'d str);

impl fmt::Display for Details<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(out, ": {}", self.0) }
    }
}

impl Failure {
    /// A failure.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>, details: impl fmt::Display) -> Self {
        Self { code, message: message.into(), details: details.to_string() }
    }

    /// As the runtime reads it.
    #[must_use]
    pub fn to_json(&self, version: &str) -> Value {
        json!({
            "cniVersion": version,
            "code": self.code.number(),
            "msg": self.message,
            "details": self.details,
        })
    }
}

/// The plugin's entry in a network configuration, as the runtime hands it over.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Configuration {
    /// The version that the runtime speaks.
    #[serde(default)]
    pub cni_version: String,
    /// What the plugins before this one made.
    #[serde(default)]
    pub prev_result: Option<Value>,
    /// What the runtime knows of the pod.
    #[serde(default)]
    pub runtime_config: RuntimeConfiguration,
    /// Where the node agent listens (ours).
    #[serde(default)]
    pub socket: PathBuf,
    /// Namespaces whose pods are never captured (ours).
    #[serde(default)]
    pub exclude_namespaces: Vec<String>,
}

/// What a runtime says for each capability that the entry asks for.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct RuntimeConfiguration {
    /// The pod's annotations, where the runtime says them.
    #[serde(default, rename = "io.kubernetes.cri.pod-annotations")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// A call of the plugin.
#[derive(Debug, Clone)]
pub struct Call {
    /// What is asked for.
    pub command: Command,
    /// The network namespace; the commands that are about a pod have one, but for `Del`.
    pub netns: Option<PathBuf>,
    /// The pod's namespace; `None`: this is no pod of Kubernetes.
    pub namespace: Option<String>,
    /// The pod's name.
    pub name: Option<String>,
    /// The configuration.
    pub configuration: Configuration,
}

impl Call {
    /// Reads a call: the variables of its environment and its standard input.
    ///
    /// # Errors
    /// When it is none, or of a version that is not spoken; with the version in which to say so.
    pub fn read(
        variable: impl Fn(&str) -> Option<String>,
        input: &str,
    ) -> Result<Self, (Failure, String)> {
        let newest = VERSIONS[VERSIONS.len() - 1].to_owned();
        let command = command(variable("CNI_COMMAND").as_deref().unwrap_or_default())
            .map_err(|failure| (failure, newest.clone()))?;
        let configuration: Configuration = serde_json::from_str(input).map_err(|error| {
            let failure = Failure::new(
                Code::Decoding,
                "the network configuration on standard input is not understood",
                error,
            );
            (failure, newest.clone())
        })?;
        let version = configuration.cni_version.clone();
        if command != Command::Version && !VERSIONS.contains(&version.as_str()) {
            let failure = Failure::new(
                Code::IncompatibleVersion,
                format!("version {version:?} of the CNI specification is not spoken"),
                format!("these are: {}", VERSIONS.join(", ")),
            );
            return Err((failure, newest));
        }
        let netns = variable("CNI_NETNS").filter(|path| !path.is_empty()).map(PathBuf::from);
        if netns.is_none() && matches!(command, Command::Add | Command::Check) {
            let failure = Failure::new(Code::Environment, "CNI_NETNS is not set", "");
            return Err((failure, version));
        }
        let arguments = variable("CNI_ARGS").unwrap_or_default();
        let argument = |wanted: &str| {
            let mut pairs = arguments.split(';').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == wanted).map(|(_, value)| value.to_owned())
        };
        let (namespace, name) = (argument("K8S_POD_NAMESPACE"), argument("K8S_POD_NAME"));
        Ok(Self { command, netns, namespace, name, configuration })
    }

    /// What the plugins before this one made, passed on; alone (as Multus runs it) it makes nothing.
    #[must_use]
    pub fn result(&self) -> Value {
        let mut result = self.configuration.prev_result.clone().unwrap_or_else(|| json!({}));
        result["cniVersion"] = json!(self.configuration.cni_version);
        result
    }
}

fn command(text: &str) -> Result<Command, Failure> {
    Ok(match text {
        "ADD" => Command::Add,
        "DEL" => Command::Del,
        "CHECK" => Command::Check,
        "GC" => Command::Gc,
        "STATUS" => Command::Status,
        "VERSION" => Command::Version,
        other => {
            let message = format!("CNI_COMMAND is no command: {other:?}");
            let details = "this is a CNI plugin, which container runtimes start";
            return Err(Failure::new(Code::Environment, message, details));
        }
    })
}
