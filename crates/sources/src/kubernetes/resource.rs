//! What is asked of the API server for each kind.

use lateen_api::Kind;
use lateen_api::kubernetes::SERVICE_NAME_LABEL;

use super::Settings;
use super::definitions::DEFINITIONS;
use super::prune::Keep;

/// What a watch is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Topic {
    /// Which kinds are installed.
    Definitions,
    /// Objects of a kind.
    Objects(Kind),
}

impl std::fmt::Display for Topic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Definitions => f.write_str("CustomResourceDefinition"),
            Self::Objects(kind) => kind.fmt(f),
        }
    }
}

/// Something that can be listed and watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resource {
    pub topic: Topic,
    /// `/apis/networking.istio.io/v1/gateways`.
    pub path: String,
    /// What is left to the server to choose, as a part of the query, encoded.
    pub select: Option<String>,
}

/// Types of secrets that hold no gateway's certificate.
const OTHER_SECRETS: [&str; 8] = [
    "helm.sh/release.v1",
    "kubernetes.io/service-account-token",
    "kubernetes.io/dockerconfigjson",
    "kubernetes.io/dockercfg",
    "kubernetes.io/basic-auth",
    "kubernetes.io/ssh-auth",
    "bootstrap.kubernetes.io/token",
    "istio.io/ca-root",
];

impl Resource {
    /// The definitions of kinds.
    pub fn definitions() -> Self {
        Self { topic: Topic::Definitions, path: DEFINITIONS.to_owned(), select: None }
    }

    /// The one ConfigMap with the mesh's settings.
    pub fn mesh_config(settings: &Settings) -> Self {
        let path = format!("/api/v1/namespaces/{}/configmaps", settings.root_namespace);
        let select = format!("metadata.name={}", settings.mesh_config());
        Self::of(Kind::ConfigMap, path, Some(field(&select)))
    }

    /// The namespaces.
    pub fn namespaces() -> Self {
        Self::of(Kind::Namespace, "/api/v1/namespaces".to_owned(), None)
    }

    /// Kinds of Kubernetes' own, but for the above. Pods that have run their course are nobody's
    /// endpoint; slices that are of no service are nobody's list.
    pub fn built_in() -> Vec<Self> {
        let core = |kind, plural: &str, select| Self::of(kind, format!("/api/v1/{plural}"), select);
        let over = "status.phase!=Succeeded,status.phase!=Failed";
        let secrets = OTHER_SECRETS.map(|name| format!("type!={name}")).join(",");
        vec![
            core(Kind::Service, "services", None),
            core(Kind::Pod, "pods", Some(field(over))),
            core(Kind::Node, "nodes", None),
            core(Kind::Secret, "secrets", Some(field(&secrets))),
            Self::of(
                Kind::EndpointSlice,
                "/apis/discovery.k8s.io/v1/endpointslices".to_owned(),
                Some(format!("labelSelector={}", encoded(SERVICE_NAME_LABEL))),
            ),
        ]
    }

    /// A kind that is installed.
    pub fn installed(kind: Kind, version: &str, plural: &str) -> Self {
        let group = kind.group();
        Self::of(kind, format!("/apis/{group}/{version}/{plural}"), None)
    }

    fn of(kind: Kind, path: String, select: Option<String>) -> Self {
        Self { topic: Topic::Objects(kind), path, select }
    }

    /// What is read of its objects.
    pub fn keep(&self) -> Keep {
        match self.topic {
            Topic::Definitions => Keep::definition(),
            Topic::Objects(kind) => Keep::object(kind),
        }
    }
}

fn field(selector: &str) -> String {
    format!("fieldSelector={}", encoded(selector))
}

/// A text as a value in a query (RFC 3986, section 3.4).
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_encoded() {
        for (text, expected) in [
            ("status.phase!=Failed", "status.phase%21%3DFailed"),
            ("kubernetes.io/service-name", "kubernetes.io/service-name"),
            ("a=b,c", "a%3Db%2Cc"),
            ("é", "%C3%A9"),
        ] {
            assert_eq!(encoded(text), expected);
        }
    }

    #[test]
    fn a_revision_has_settings_of_its_own() {
        for (revision, expected) in
            [("", "istio"), ("default", "istio"), ("canary", "istio-canary")]
        {
            let resource = Resource::mesh_config(&Settings::new("mesh", revision));
            assert_eq!(resource.path, "/api/v1/namespaces/mesh/configmaps");
            let select = format!("fieldSelector=metadata.name%3D{expected}");
            assert_eq!(resource.select, Some(select));
        }
    }
}
