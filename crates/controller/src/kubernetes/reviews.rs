//! Who a token belongs to, by the API server's word (Kubernetes' TokenReview), asked for each connection:
//! so a token counts for no longer than its pod and its service account are there.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::Semaphore;

/// For whom the tokens of Istio's proxies are made.
const AUDIENCE: &str = "istio-ca";

/// What users begin with that are service accounts.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// The claim that names the pod that a token is bound to.
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";

/// Reviews at a time: enough to be quick when a thousand proxies come back at once, few enough for the API
/// server.
const AT_A_TIME: usize = 32;

/// How long the API server may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks the API server about tokens.
#[derive(Clone)]
pub(crate) struct TokenReviews {
    api: Api<TokenReview>,
    slots: Arc<Semaphore>,
}

impl std::fmt::Debug for TokenReviews {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenReviews").finish_non_exhaustive()
    }
}

/// A service account, and the pod that it speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// None: the token is bound to no pod.
    pub(crate) pod: Option<String>,
}

/// Why a token proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReviewError {
    /// The API server says that it is no token of the cluster, for us, now.
    #[error("the API server does not accept the token: {0}")]
    Refused(String),
    /// It is somebody's who is no workload.
    #[error("`{0}` is no service account")]
    NoAccount(String),
    /// The API server cannot be asked.
    #[error("the API server cannot be asked about the token: {0}")]
    Unavailable(String),
}

impl TokenReviews {
    pub(crate) fn new(client: Client) -> Self {
        Self { api: Api::all(client), slots: Arc::new(Semaphore::new(AT_A_TIME)) }
    }

    /// Whose token it is.
    pub(crate) async fn review(&self, token: &str) -> Result<Account, ReviewError> {
        let unavailable =
            |error: &dyn std::fmt::Display| ReviewError::Unavailable(error.to_string());
        let slot = self.slots.acquire().await;
        let _slot = slot.expect("invariant: the semaphore is never closed");
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: Some(token.to_owned()),
                audiences: Some(vec![AUDIENCE.to_owned()]),
            },
            ..TokenReview::default()
        };
        let parameters = PostParams::default();
        let answer = tokio::time::timeout(PATIENCE, self.api.create(&parameters, &review)).await;
        let reviewed = answer.map_err(|late| unavailable(&late))?.map_err(|it| unavailable(&it))?;
        let status = reviewed.status.unwrap_or_default();
        let audiences = status.audiences.unwrap_or_default();
        let is_for_us = audiences.iter().any(|audience| audience == AUDIENCE);
        if status.authenticated != Some(true) || !is_for_us {
            let reason = status.error.unwrap_or_else(|| format!("it is not for `{AUDIENCE}`"));
            return Err(ReviewError::Refused(reason));
        }
        account(status.user.unwrap_or_default())
    }
}

/// The account that a user is.
fn account(user: UserInfo) -> Result<Account, ReviewError> {
    let name = user.username.unwrap_or_default();
    let Some((namespace, account)) =
        name.strip_prefix(SERVICE_ACCOUNT).and_then(|rest| rest.split_once(':'))
    else {
        return Err(ReviewError::NoAccount(name));
    };
    let (namespace, account) = (namespace.to_owned(), account.to_owned());
    let bound = user.extra.unwrap_or_default().remove(POD_NAME);
    let pod = bound.and_then(|names| names.into_iter().next());
    Ok(Account { namespace, name: account, pod })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, pod: Option<&str>) -> UserInfo {
        let extra = pod.map(|pod| [(POD_NAME.to_owned(), vec![pod.to_owned()])].into());
        UserInfo { username: Some(name.to_owned()), extra, ..UserInfo::default() }
    }

    #[test]
    fn users_that_are_service_accounts_are_workloads() {
        let expected = |pod: Option<&str>| Account {
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
            pod: pod.map(str::to_owned),
        };
        let name = "system:serviceaccount:shop:web";
        assert_eq!(account(user(name, Some("web-1"))), Ok(expected(Some("web-1"))));
        assert_eq!(account(user(name, None)), Ok(expected(None)));
        for name in ["system:node:n1", "admin", "system:serviceaccount:shop", ""] {
            let refused = account(user(name, None));
            assert_eq!(refused, Err(ReviewError::NoAccount(name.to_owned())));
        }
    }
}
