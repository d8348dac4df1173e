//! Why a pod cannot be injected.

/// Why a pod cannot be injected. The text reaches the pod's author, in the events of what creates the
/// pod.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Something that is no pod.
    #[error("this is no pod: {0}")]
    NotAPod(&'static str),
    /// An annotation, or the value that stands in for it, that cannot be taken.
    #[error("{origin}: {value:?} {fault}")]
    Setting {
        /// Where it stands.
        origin: String,
        /// What stands there.
        value: String,
        /// What is wrong with it.
        fault: String,
    },
    /// A template that nobody has defined.
    #[error(
        "the annotation {}: there is no template {name:?}; there are {known}",
        crate::names::TEMPLATES
    )]
    UnknownTemplate {
        /// Its name.
        name: String,
        /// Those that there are, separated by commas.
        known: String,
    },
    /// A template of Istio's that is not offered.
    #[error(
        "the annotation {}: the template {name:?} is not offered: {why}",
        crate::names::TEMPLATES
    )]
    NotOffered {
        /// Its name.
        name: String,
        /// Why.
        why: &'static str,
    },
    /// A template that cannot be rendered for this pod.
    #[error("the injection template {name:?}: {fault}")]
    Template {
        /// Its name.
        name: String,
        /// What is wrong.
        fault: String,
    },
}

impl Error {
    pub(crate) fn setting(origin: &str, value: &str, fault: impl Into<String>) -> Self {
        Self::Setting { origin: origin.to_owned(), value: value.to_owned(), fault: fault.into() }
    }
}
