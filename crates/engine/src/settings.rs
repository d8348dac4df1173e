//! What holds for everything in a scope.

use std::borrow::Cow;
use std::time::Duration;

use lateen_mesh::v1;

use crate::origin::{Objects, Origin};
use crate::path;

/// The compiled `settings` resource.
#[derive(Debug)]
pub struct Settings {
    message: v1::Settings,
    outbound_policy_origin: Origin,
    allow_any: bool,
    normalization: v1::PathNormalization,
}

impl Settings {
    pub(crate) fn compile(message: v1::Settings, objects: &Objects) -> Result<Self, String> {
        let policy = v1::OutboundPolicy::try_from(message.outbound_policy)
            .map_err(|_| format!("outbound policy {} is not known", message.outbound_policy))?;
        // How paths are read is part of what is enforced: guessing could let something through.
        let normalization =
            v1::PathNormalization::try_from(message.path_normalization).map_err(|_| {
                format!("path normalization {} is not known", message.path_normalization)
            })?;
        Ok(Self {
            outbound_policy_origin: objects.resolve(message.outbound_policy_origin.as_ref())?,
            allow_any: policy == v1::OutboundPolicy::AllowAny,
            normalization,
            message,
        })
    }

    /// The message as it came: trust domains, cluster, access log, trust bundles.
    #[must_use]
    pub fn message(&self) -> &v1::Settings {
        &self.message
    }

    /// Whether what is not in the registry is passed through.
    #[must_use]
    pub fn allow_any(&self) -> bool {
        self.allow_any
    }

    /// What set the outbound policy.
    #[must_use]
    pub fn outbound_policy_origin(&self) -> &Origin {
        &self.outbound_policy_origin
    }

    /// How long to wait for a client's first bytes; `None`: without limit.
    #[must_use]
    pub fn protocol_detection_timeout(&self) -> Option<Duration> {
        positive_millis(u64::from(self.message.protocol_detection_timeout_ms))
    }

    /// For connections that no destination governs; 10 seconds unless set.
    #[must_use]
    pub fn connect_timeout(&self) -> Duration {
        positive_millis(u64::from(self.message.connect_timeout_ms))
            .unwrap_or(Duration::from_secs(10))
    }

    /// The path and query as everything after matches and forwards them; `None`: the request is
    /// refused with [`crate::Reason::BadPath`].
    #[must_use]
    pub fn normalize<'a>(&self, path_and_query: &'a str) -> Option<Cow<'a, str>> {
        path::normalize(path_and_query, self.normalization, self.message.merge_slashes)
    }
}

impl Default for Settings {
    /// Until the scope's settings have arrived nothing is passed through.
    fn default() -> Self {
        Self {
            message: v1::Settings {
                trust_domain: "cluster.local".to_owned(),
                cluster_domain: "cluster.local".to_owned(),
                root_namespace: "istio-system".to_owned(),
                ..v1::Settings::default()
            },
            outbound_policy_origin: Origin::default(),
            allow_any: false,
            normalization: v1::PathNormalization::Base,
        }
    }
}

/// A duration in milliseconds where 0 means that there is none.
pub(crate) fn positive_millis(millis: u64) -> Option<Duration> {
    (millis > 0).then(|| Duration::from_millis(millis))
}
