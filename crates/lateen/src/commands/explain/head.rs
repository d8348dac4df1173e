//! The head of the request, changed on its way as proxies change it.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use lateen_engine::{Forward, Plan, Request};

use super::question::Question;

const CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const ORIGINAL_PATH: HeaderName = HeaderName::from_static("x-envoy-original-path");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a new request ID looks like; which one it is makes no difference.
const SOME_ID: HeaderValue = HeaderValue::from_static("00000000-0000-4000-8000-000000000000");

/// The head of the request.
#[derive(Debug, Clone)]
pub struct Head {
    method: String,
    scheme: &'static str,
    authority: String,
    path_and_query: String,
    headers: HeaderMap,
}

impl Head {
    /// As the proxy that takes it first reads it; `None` when the path cannot be normalised.
    pub fn admitted(question: &Question, plan: &Plan) -> Option<Self> {
        let mut head = Self {
            method: question.method.clone(),
            scheme: if question.is_tls() { "https" } else { "http" },
            authority: question.authority.clone(),
            path_and_query: plan.settings().normalize(&question.path_and_query)?.into_owned(),
            headers: question.headers.clone(),
        };
        head.set_host();
        Some(head)
    }

    /// As a sidecar changes it before it is routed.
    pub fn leaving_workload(mut self) -> Self {
        self.headers.remove(CLIENT_CERT);
        self.set_defaults();
        self
    }

    /// As a gateway changes it before it is authorized and routed: what only the mesh may say is
    /// taken out. `source`: where the request comes from.
    pub fn entering_mesh(mut self, source: IpAddr) -> Self {
        let internal = |name: &HeaderName| {
            name.as_str().starts_with("x-envoy-") || name.as_str().starts_with("x-lateen-")
        };
        let names: Vec<HeaderName> =
            self.headers.keys().filter(|name| internal(name)).cloned().collect();
        for name in names {
            self.headers.remove(name);
        }
        self.headers.remove(CLIENT_CERT);
        let sources: Vec<String> = self
            .headers
            .get_all(FORWARDED_FOR)
            .iter()
            .filter_map(|value| value.to_str().ok().map(str::to_owned))
            .chain([source.to_string()])
            .collect();
        if let Ok(sources) = HeaderValue::try_from(sources.join(",")) {
            self.headers.insert(FORWARDED_FOR, sources);
        }
        self.headers.insert(FORWARDED_PROTO, HeaderValue::from_static(self.scheme));
        self.headers.insert(REQUEST_ID, SOME_ID);
        self
    }

    /// As a route sends it on.
    pub fn forwarded(&self, forward: &Forward<'_>) -> Self {
        let mut head = self.clone();
        for operations in forward.request_headers {
            operations.apply(&mut head.headers);
        }
        if let Some(path) = &forward.path_and_query {
            if let Ok(original) = HeaderValue::try_from(&head.path_and_query) {
                head.headers.insert(ORIGINAL_PATH, original);
            }
            head.path_and_query.clone_from(path);
        }
        if let Some(authority) = forward.authority {
            authority.clone_into(&mut head.authority);
            head.set_host();
        }
        head
    }

    /// As the proxy of the workload that is reached reads it; `None` when the path cannot be
    /// normalised there.
    pub fn arrived(&self, plan: &Plan, tls: bool) -> Option<Self> {
        let path = plan.settings().normalize(&self.path_and_query)?.into_owned();
        let scheme = if tls { "https" } else { "http" };
        let mut head = Self { scheme, path_and_query: path, ..self.clone() };
        head.set_defaults();
        Some(head)
    }

    /// The last address in `x-forwarded-for`.
    pub fn last_forwarded(&self) -> Option<IpAddr> {
        let value = self.headers.get_all(FORWARDED_FOR).iter().next_back()?;
        value.to_str().ok()?.rsplit(',').next()?.trim().parse().ok()
    }

    pub fn request(&self) -> Request<'_> {
        Request {
            method: &self.method,
            scheme: self.scheme,
            authority: &self.authority,
            path_and_query: &self.path_and_query,
            headers: &self.headers,
        }
    }

    fn set_host(&mut self) {
        if let Ok(host) = HeaderValue::try_from(&self.authority) {
            self.headers.insert(header::HOST, host);
        }
    }

    fn set_defaults(&mut self) {
        self.headers.entry(REQUEST_ID).or_insert(SOME_ID);
        self.headers.entry(FORWARDED_PROTO).or_insert(HeaderValue::from_static(self.scheme));
    }
}
