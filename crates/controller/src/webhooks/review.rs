//! AdmissionReview (admission.k8s.io/v1): what the API server asks, and the answer.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// What the API server asks about one object.
#[derive(Debug)]
pub(super) struct Review {
    api_version: String,
    uid: String,
    /// The namespace that the object is for; empty for what has none.
    pub(super) namespace: String,
    /// The object; null when it is removed.
    pub(super) object: Value,
    /// Whether the object is removed.
    pub(super) is_removed: bool,
}

/// A body that is no AdmissionReview.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoReview {
    /// No JSON.
    #[error("this is no JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Another object.
    #[error("this is no AdmissionReview of admission.k8s.io/v1 with a request")]
    Other,
}

/// The answer to a review.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    /// The object is taken; with a patch it is changed before.
    Allowed { patch: Option<Value>, warnings: Vec<String> },
    /// It is not, because.
    Refused(String),
}

/// The longest warning; the API server cuts what is longer.
const LONGEST_WARNING: usize = 256;

impl Review {
    /// Reads a body.
    pub(super) fn read(body: &[u8]) -> Result<Self, NoReview> {
        let mut body: Value = serde_json::from_slice(body)?;
        let object = body.pointer_mut("/request/object").map(Value::take).unwrap_or_default();
        let text = |path: &str| body.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let review = Self {
            uid: text("/request/uid").to_owned(),
            namespace: text("/request/namespace").to_owned(),
            is_removed: text("/request/operation") == "DELETE",
            object,
            api_version: text("/apiVersion").to_owned(),
        };
        let is_review = text("/kind") == "AdmissionReview"
            && matches!(
                review.api_version.as_str(),
                "admission.k8s.io/v1" | "admission.k8s.io/v1beta1"
            )
            && !review.uid.is_empty();
        if is_review { Ok(review) } else { Err(NoReview::Other) }
    }

    /// The body of the answer.
    pub(super) fn answer(&self, answer: &Answer) -> Vec<u8> {
        let mut response = json!({"uid": self.uid});
        match answer {
            Answer::Allowed { patch, warnings } => {
                response["allowed"] = json!(true);
                if let Some(patch) = patch {
                    response["patchType"] = json!("JSONPatch");
                    response["patch"] = json!(STANDARD.encode(patch.to_string()));
                }
                if !warnings.is_empty() {
                    response["warnings"] = warnings.iter().map(|text| shortened(text)).collect();
                }
            }
            Answer::Refused(why) => {
                response["allowed"] = json!(false);
                response["status"] =
                    json!({"status": "Failure", "reason": "Invalid", "code": 422, "message": why});
            }
        }
        let review = json!({
            "apiVersion": self.api_version,
            "kind": "AdmissionReview",
            "response": response,
        });
        review.to_string().into_bytes()
    }
}

/// A warning of a length that reaches its reader whole.
fn shortened(text: &str) -> Value {
    match text.char_indices().nth(LONGEST_WARNING - 1) {
        Some((end, last)) if end + last.len_utf8() < text.len() => {
            json!(format!("{}…", &text[..end]))
        }
        _ => json!(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_review_is_read_and_answered() {
        let body = json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": "7",
                "operation": "CREATE",
                "namespace": "shop",
                "object": {"kind": "Pod"},
            },
        });
        let review = Review::read(body.to_string().as_bytes()).expect("a review");
        assert_eq!(review.namespace, "shop");
        assert_eq!(review.object, json!({"kind": "Pod"}));
        assert!(!review.is_removed);
        let read = |answer: &Answer| -> Value {
            serde_json::from_slice(&review.answer(answer)).expect("JSON")
        };
        let patch = json!([{"op": "add", "path": "/a", "value": 1}]);
        let long = "é".repeat(300);
        let allowed = Answer::Allowed { patch: Some(patch.clone()), warnings: vec![long] };
        let answered = read(&allowed);
        assert_eq!(answered["apiVersion"], "admission.k8s.io/v1");
        let response = &answered["response"];
        assert_eq!((&response["uid"], &response["allowed"]), (&json!("7"), &json!(true)));
        let sent = STANDARD.decode(response["patch"].as_str().expect("a patch")).expect("base64");
        assert_eq!(serde_json::from_slice::<Value>(&sent).expect("JSON"), patch);
        let warning = response["warnings"][0].as_str().expect("a warning");
        assert_eq!(warning.chars().count(), LONGEST_WARNING);
        let refused = read(&Answer::Refused("no".to_owned()));
        assert_eq!(refused["response"]["allowed"], false);
        assert_eq!(refused["response"]["status"]["message"], "no");
    }

    #[test]
    fn what_is_no_review_is_refused() {
        for body in
            ["", "[]", "{}", r#"{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1"}"#]
        {
            assert!(Review::read(body.as_bytes()).is_err(), "{body}");
        }
    }
}
