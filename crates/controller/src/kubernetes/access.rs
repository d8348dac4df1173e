//! Which gateways may have keys, by the API server's word (Kubernetes' SubjectAccessReview): those whose
//! service account may list the secrets of its namespace, as Istio has it. Nobody gets another namespace's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};
use lateen_identity::SpiffeId;

use super::asked;

/// How long an answer counts (Istio's).
const FRESH: Duration = Duration::from_secs(60);

/// Answers that are kept.
const MOST: usize = 4096;

/// Asks the API server about secrets.
#[derive(Clone)]
pub(crate) struct SecretAccess {
    reviews: Api<SubjectAccessReview>,
    /// By namespace and account: the answer, and when it was given.
    answers: Arc<Mutex<Answers>>,
}

type Answers = HashMap<(String, String), (bool, Instant)>;

impl std::fmt::Debug for SecretAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretAccess").finish_non_exhaustive()
    }
}

impl SecretAccess {
    pub(crate) fn new(client: Client) -> Self {
        Self { reviews: Api::all(client), answers: Arc::default() }
    }

    /// Whether a workload may have the secrets of its namespace. While the API server cannot be asked its
    /// last answer counts.
    ///
    /// # Errors
    /// It cannot be asked, and never was.
    pub(crate) async fn review(&self, identity: &SpiffeId) -> Result<bool, kube::Error> {
        let (namespace, account) = (identity.namespace(), identity.service_account());
        let key = (namespace.to_owned(), account.to_owned());
        let known = self.answers().get(&key).copied();
        match known {
            Some((may, at)) if at.elapsed() < FRESH => return Ok(may),
            _ => {}
        }
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(format!("system:serviceaccount:{namespace}:{account}")),
                groups: Some(vec![
                    "system:serviceaccounts".to_owned(),
                    format!("system:serviceaccounts:{namespace}"),
                    "system:authenticated".to_owned(),
                ]),
                resource_attributes: Some(ResourceAttributes {
                    namespace: Some(namespace.to_owned()),
                    verb: Some("list".to_owned()),
                    resource: Some("secrets".to_owned()),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        match asked(self.reviews.create(&PostParams::default(), &review)).await {
            Ok(answer) => {
                let may = answer.status.is_some_and(|status| status.allowed);
                let mut answers = self.answers();
                if answers.len() >= MOST {
                    answers.retain(|_, (_, at)| at.elapsed() < FRESH);
                }
                answers.insert(key, (may, Instant::now()));
                Ok(may)
            }
            Err(error) => match known {
                Some((may, _)) => {
                    tracing::warn!(%error, %identity, may, "the API server's last word on secrets counts");
                    Ok(may)
                }
                None => Err(error),
            },
        }
    }

    fn answers(&self) -> std::sync::MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
