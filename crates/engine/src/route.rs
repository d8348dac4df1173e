//! Where an HTTP request goes.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;

use crate::connection::{Hosts, HttpScope};
use crate::destination::Destination;
use crate::origin::Origin;
use crate::plan::Need;
use crate::reason::Refusal;
use crate::retry::RetryPolicy;

mod backend;
mod decide;
mod headers;
mod index;
mod l4;
mod matcher;
mod path_matcher;
mod redirect;
mod rewrite;
mod rule;
mod table;

pub use headers::HeaderOperations;
pub(crate) use l4::L4Rule;
pub(crate) use matcher::{HeaderField, ends_with_ignore_case, starts_with_ignore_case, whole};
pub use redirect::Location;
pub(crate) use table::Table;

/// The head of a request, as it came but for the path, which is normalised
/// ([`crate::settings::Settings::normalize`]).
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a str,
    /// `http` or `https`, as the client spoke to this proxy.
    pub scheme: &'a str,
    /// `:authority`, or the `host` header: raw, port included.
    pub authority: &'a str,
    /// Path with query.
    pub path_and_query: &'a str,
    /// The other headers.
    pub headers: &'a HeaderMap,
}

impl<'a> Request<'a> {
    /// The path without query and fragment.
    #[must_use]
    pub fn path(&self) -> &'a str {
        crate::path::without_query(self.path_and_query)
    }
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum HttpDecision<'p> {
    /// Send it to a destination.
    Forward(Forward<'p>),
    /// Answer with a redirect.
    Redirect(Location<'p>),
    /// Answer with a fixed response.
    Respond(DirectResponse<'p>),
    /// Send it, untouched, to the address that the client dialled; the setting that allows it.
    Passthrough(&'p Origin),
    /// Answer with a refusal.
    Refuse(Refusal<'p>),
    /// Details must arrive first.
    Need(Need<'p>),
}

/// A request on its way to a destination.
#[derive(Debug, Clone)]
pub struct Forward<'p> {
    /// Where to. Shared, so that an exchange can outlive the plan.
    pub destination: &'p Arc<Destination>,
    /// Pattern of the virtual host that the request fell under.
    pub virtual_host: &'p str,
    /// The route's name in logs: `<rule>.<match>`; may be empty.
    pub route_name: &'p str,
    /// The rule that decided.
    pub rule: &'p Origin,
    /// The backend that was chosen.
    pub backend: &'p Origin,
    /// Path and query to send; `None`: as they came.
    pub path_and_query: Option<String>,
    /// Authority to send; `None`: as it came.
    pub authority: Option<&'p str>,
    /// To be applied in this order: the backend's, then the rule's.
    pub request_headers: [&'p HeaderOperations; 2],
    /// To be applied in this order: the backend's, then the rule's.
    pub response_headers: [&'p HeaderOperations; 2],
    /// For the whole exchange, retries included; a caller's `grpc-timeout` counted in.
    pub timeout: Option<Duration>,
    /// Absent: no retries.
    pub retries: Option<&'p RetryPolicy>,
}

impl PartialEq for Forward<'_> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(self.destination, other.destination)
            && self.virtual_host == other.virtual_host
            && self.route_name == other.route_name
            && self.rule == other.rule
            && self.backend == other.backend
            && self.path_and_query == other.path_and_query
            && self.authority == other.authority
            && self.request_headers == other.request_headers
            && self.response_headers == other.response_headers
            && self.timeout == other.timeout
            && self.retries.map(std::ptr::from_ref) == other.retries.map(std::ptr::from_ref)
    }
}

/// A fixed response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectResponse<'p> {
    /// Pattern of the virtual host that the request fell under.
    pub virtual_host: &'p str,
    /// The route's name in logs.
    pub route_name: &'p str,
    /// The rule that decided.
    pub rule: &'p Origin,
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: &'p bytes::Bytes,
    /// The rule's response headers, to be applied to it.
    pub response_headers: &'p HeaderOperations,
}

impl HttpScope {
    /// What virtual hosts are looked for, in words.
    pub(crate) fn describe(&self) -> String {
        match &self.hosts {
            Hosts::Port => format!("virtual hosts of port {}", self.port),
            Hosts::Entry(host) => format!("virtual host of {host}"),
            Hosts::GatewayHttp(port) => format!("virtual hosts of the gateway's port {port}"),
            Hosts::GatewayServer(port, server) => {
                format!("virtual hosts of server {server} on the gateway's port {port}")
            }
        }
    }
}
