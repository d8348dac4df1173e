//! Which kinds of Istio's are installed.

use lateen_api::Kind;
use serde_json::Value;

use super::resource::Resource;

/// Where definitions are listed.
pub(super) const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// What a definition installs, if it is one of ours and is served: the kind in the first of the versions
/// that we prefer.
pub(super) fn installs(definition: &Value) -> Option<Resource> {
    let spec = &definition["spec"];
    let group = spec["group"].as_str()?;
    if !is_followed(group) || !is_established(definition) {
        return None;
    }
    let kind = Kind::find(group, spec["names"]["kind"].as_str()?)?;
    let plural = spec["names"]["plural"].as_str()?;
    let is_served = |wanted: &&str| {
        let versions = spec["versions"].as_array().into_iter().flatten();
        let mut served = versions.filter(|version| version["served"] == true);
        served.any(|version| version["name"] == **wanted)
    };
    let version = kind.versions().iter().copied().find(is_served)?;
    Some(Resource::installed(kind, version, plural))
}

/// Istio's groups.
fn is_followed(group: &str) -> bool {
    group.ends_with(".istio.io")
}

/// Before the server has established a definition it does not answer for the kind.
fn is_established(definition: &Value) -> bool {
    let conditions = definition["status"]["conditions"].as_array().into_iter().flatten();
    let mut established = conditions.filter(|condition| condition["type"] == "Established");
    established.any(|condition| condition["status"] == "True")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn definition(group: &str, kind: &str, versions: &[(&str, bool)], established: &str) -> Value {
        let versions: Vec<Value> =
            versions.iter().map(|(name, served)| json!({"name": name, "served": served})).collect();
        json!({
            "spec": {"group": group, "names": {"kind": kind, "plural": "things"}, "versions": versions},
            "status": {"conditions": [{"type": "Established", "status": established}]},
        })
    }

    #[test]
    fn the_preferred_version_that_is_served_is_followed() {
        let istio = "networking.istio.io";
        for (group, kind, versions, established, expected) in [
            (istio, "Gateway", &[("v1alpha3", true), ("v1", true)][..], "True", Some("v1")),
            (istio, "Gateway", &[("v1", false), ("v1beta1", true)], "True", Some("v1beta1")),
            (istio, "Gateway", &[("v1", false)], "True", None),
            (istio, "Gateway", &[("v1", true)], "False", None),
            (istio, "Unheard", &[("v1", true)], "True", None),
            ("example.com", "Gateway", &[("v1", true)], "True", None),
            ("security.istio.io", "PeerAuthentication", &[("v1", true)], "True", Some("v1")),
        ] {
            let found = installs(&definition(group, kind, versions, established));
            let expected = expected.map(|version| format!("/apis/{group}/{version}/things"));
            assert_eq!(found.map(|resource| resource.path), expected, "{group} {kind}");
        }
    }
}
