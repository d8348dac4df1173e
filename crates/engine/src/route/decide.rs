//! The decision about a request.

use std::sync::Arc;
use std::time::Duration;

use super::index::{Candidate, match_of};
use super::redirect::to_https;
use super::rule::{Action, Match, Rule, grpc_timeout};
use super::table::Table;
use super::{DirectResponse, Forward, HttpDecision, Location, Request};
use crate::connection::{Hosts, HttpScope};
use crate::directory::Entry;
use crate::explain::{Explained, Trace, Untraced, What, explain};
use crate::origin::Origin;
use crate::plan::{Need, Plan};
use crate::reason::{Reason, Refusal};

impl Plan {
    /// Where a request goes that came in on a connection of this scope. `random` draws among the
    /// backends of a rule.
    #[must_use]
    pub fn route<'p>(
        &'p self,
        scope: &HttpScope,
        request: &Request<'_>,
        random: u64,
    ) -> HttpDecision<'p> {
        self.route_traced(scope, request, random, &mut Untraced)
    }

    /// [`Self::route`], explained.
    #[must_use]
    pub fn explain_route<'p>(
        &'p self,
        scope: &HttpScope,
        request: &Request<'_>,
        random: u64,
    ) -> Explained<HttpDecision<'p>> {
        explain(|trace| self.route_traced(scope, request, random, trace))
    }

    fn route_traced<'p, T: Trace>(
        &'p self,
        scope: &HttpScope,
        request: &Request<'_>,
        random: u64,
        trace: &mut T,
    ) -> HttpDecision<'p> {
        let table = match self.table(scope, request, trace) {
            Ok(table) => table,
            Err(without) => return without.into(),
        };
        if table.https_redirect && came_over(request) != "https" {
            trace.step(What::Server, &table.origin, true, || "httpsRedirect".to_owned());
            return HttpDecision::Redirect(Location {
                virtual_host: &table.host,
                route_name: "",
                rule: &table.origin,
                status: 301,
                location: to_https(request),
                response_headers: None,
            });
        }
        let path = request.path();
        let Some(found) = table.find(request, path, scope.port, trace) else {
            return HttpDecision::Refuse(Refusal {
                virtual_host: &table.host,
                ..Refusal::new(Reason::NoRoute, &table.origin)
            });
        };
        found.act(self, scope, request, random, trace)
    }

    /// The table of the virtual host, or what is decided without one.
    fn table<'p, T: Trace>(
        &'p self,
        scope: &HttpScope,
        request: &Request<'_>,
        trace: &mut T,
    ) -> Result<&'p Table, NoTable<'p>> {
        match &scope.hosts {
            Hosts::Port => {
                let Some(entry) = self.virtual_host(request.authority, scope.port, trace) else {
                    return Err(self.unknown_host(scope, request, trace));
                };
                self.table_of(entry)
            }
            Hosts::Entry(host) => match self.directory().entry(host) {
                Some(entry) => {
                    trace.step(What::Directory, Origin::mesh_default(), true, || {
                        format!("{host}, by its address: the authority does not matter")
                    });
                    self.table_of(entry)
                }
                None => Err(self.unknown_host(scope, request, trace)),
            },
            Hosts::GatewayHttp(_) | Hosts::GatewayServer(..) => {
                self.gateway_table(&scope.hosts, request.authority, trace).map_err(NoTable::Refuse)
            }
        }
    }

    /// The directory entry that an authority selects on a port.
    fn virtual_host<'p, T: Trace>(
        &'p self,
        authority: &str,
        port: u16,
        trace: &mut T,
    ) -> Option<&'p Arc<Entry>> {
        let (directory, surroundings) = (self.directory(), self.surroundings());
        let found = if T::RECORDS {
            directory.by_authority_in_order(authority, port, &surroundings)
        } else {
            directory.by_authority(authority, port, &surroundings)
        };
        trace.step(What::Directory, Origin::mesh_default(), found.is_some(), || match found {
            Some(entry) => format!("{authority} on port {port} is {}", entry.host),
            None => format!("nothing on port {port} is known as {authority}"),
        });
        found
    }

    fn table_of<'p>(&'p self, entry: &'p Arc<Entry>) -> Result<&'p Table, NoTable<'p>> {
        self.routes(&entry.host).map(Arc::as_ref).ok_or(NoTable::Need(Need { host: &entry.host }))
    }

    fn unknown_host<'p, T: Trace>(
        &'p self,
        scope: &HttpScope,
        request: &Request<'_>,
        trace: &mut T,
    ) -> NoTable<'p> {
        let origin = self.settings().outbound_policy_origin();
        if !self.settings().allow_any() {
            trace.step(What::OutboundPolicy, origin, true, || {
                format!("REGISTRY_ONLY: no {} has {}", scope.describe(), request.authority)
            });
            return NoTable::Refuse(Refusal::new(Reason::NotInRegistry, origin));
        }
        if self.is_own_address(scope.destination) {
            trace.step(What::OutboundPolicy, origin, false, || {
                format!("{} is an address of this proxy itself", scope.destination)
            });
            return NoTable::Refuse(Refusal::new(Reason::PassthroughLoop, origin));
        }
        trace.step(What::OutboundPolicy, origin, true, || {
            format!("ALLOW_ANY: passed through to {}", scope.destination)
        });
        NoTable::Passthrough(origin)
    }
}

/// What is decided where no table is.
pub(crate) enum NoTable<'p> {
    Refuse(Refusal<'p>),
    Passthrough(&'p Origin),
    Need(Need<'p>),
}

impl<'p> From<NoTable<'p>> for HttpDecision<'p> {
    fn from(without: NoTable<'p>) -> Self {
        match without {
            NoTable::Refuse(refusal) => Self::Refuse(refusal),
            NoTable::Passthrough(origin) => Self::Passthrough(origin),
            NoTable::Need(need) => Self::Need(need),
        }
    }
}

/// What a table decided on.
#[derive(Clone, Copy)]
struct Found<'p> {
    virtual_host: &'p str,
    rule: &'p Rule,
    matched: Option<&'p Match>,
}

impl Table {
    fn find<'p, T: Trace>(
        &'p self,
        request: &Request<'_>,
        path: &str,
        port: u16,
        trace: &mut T,
    ) -> Option<Found<'p>> {
        let candidate = if T::RECORDS {
            self.find_in_order(request, path, port, trace)
        } else {
            self.index.find(&self.rules, request, path, port)
        }?;
        Some(Found {
            virtual_host: &self.host,
            rule: self.rules.get(candidate.rule as usize)?,
            matched: match_of(&self.rules, candidate),
        })
    }

    fn find_in_order<T: Trace>(
        &self,
        request: &Request<'_>,
        path: &str,
        port: u16,
        trace: &mut T,
    ) -> Option<Candidate> {
        for candidate in self.index.candidates() {
            let Some(matched) = match_of(&self.rules, *candidate) else {
                let origin = self.rules.get(candidate.rule as usize).map(|rule| &rule.origin)?;
                trace.step(What::Route, origin, true, || "matches every request".to_owned());
                return Some(*candidate);
            };
            match matched.mismatch(request, path, port) {
                Some(why) => trace.step(What::Route, &matched.origin, false, || why),
                None => {
                    trace.step(What::Route, &matched.origin, true, || {
                        "the first that matches".to_owned()
                    });
                    return Some(*candidate);
                }
            }
        }
        trace.step(What::Route, &self.origin, false, || {
            format!("no route of {} matches", self.host)
        });
        None
    }
}

impl<'p> Found<'p> {
    fn act<T: Trace>(
        self,
        plan: &'p Plan,
        scope: &HttpScope,
        request: &Request<'_>,
        random: u64,
        trace: &mut T,
    ) -> HttpDecision<'p> {
        let rule = self.rule;
        match &rule.action {
            Action::Forward(_) => match self.forward(plan, scope, request, random, trace) {
                Ok(forward) => HttpDecision::Forward(forward),
                Err(refusal) => HttpDecision::Refuse(Refusal {
                    virtual_host: self.virtual_host,
                    route_name: self.route_name(),
                    response_headers: [refusal.response_headers[0], Some(&rule.response_headers)],
                    ..refusal
                }),
            },
            Action::Redirect(redirect) => HttpDecision::Redirect(Location {
                virtual_host: self.virtual_host,
                route_name: self.route_name(),
                rule: &rule.origin,
                status: redirect.status,
                location: redirect.location(
                    request,
                    self.matched.and_then(|matched| matched.path.as_ref()),
                    scope.port,
                ),
                response_headers: Some(&rule.response_headers),
            }),
            Action::Respond { status, body } => HttpDecision::Respond(DirectResponse {
                virtual_host: self.virtual_host,
                route_name: self.route_name(),
                rule: &rule.origin,
                status: *status,
                body,
                response_headers: &rule.response_headers,
            }),
        }
    }

    fn forward<T: Trace>(
        self,
        plan: &'p Plan,
        scope: &HttpScope,
        request: &Request<'_>,
        random: u64,
        trace: &mut T,
    ) -> Result<Forward<'p>, Refusal<'p>> {
        let rule = self.rule;
        let Action::Forward(backends) = &rule.action else {
            return Err(Refusal::new(Reason::NoBackend, &rule.origin));
        };
        // A port match at a gateway compares with the server's number, but "the port of the
        // listener" of a backend is the same one.
        let (backend, destination) =
            backends.choose(plan, scope.port, scope.destination, random, &rule.origin, trace)?;
        let matcher = self.matched.and_then(|matched| matched.path.as_ref());
        Ok(Forward {
            destination,
            virtual_host: self.virtual_host,
            route_name: self.route_name(),
            rule: &rule.origin,
            backend: &backend.origin,
            path_and_query: rule
                .rewrite
                .as_ref()
                .map(|rewrite| rewrite.apply(request.path_and_query, matcher)),
            authority: rule
                .rewrite_authority
                .as_deref()
                .or(rule.header_authority.as_deref())
                .or(backend.authority.as_deref()),
            request_headers: [&backend.request_headers, &rule.request_headers],
            response_headers: [&backend.response_headers, &rule.response_headers],
            timeout: timeout(rule.timeout_ms, request),
            retries: rule.retries.as_ref(),
        })
    }

    fn route_name(&self) -> &'p str {
        self.matched.map_or(&self.rule.name, |matched| &matched.route_name)
    }
}

/// The rule's timeout; for gRPC the caller's deadline where it is shorter.
fn timeout(rule_ms: u64, request: &Request<'_>) -> Option<Duration> {
    let rule = crate::settings::positive_millis(rule_ms);
    let deadline = request
        .headers
        .get("grpc-timeout")
        .and_then(|value| value.to_str().ok())
        .and_then(grpc_timeout);
    match (rule, deadline) {
        (Some(rule), Some(deadline)) => Some(rule.min(deadline)),
        (rule, deadline) => rule.or(deadline),
    }
}

/// The scheme of the connection: `x-forwarded-proto`, which a gateway sets itself, and not what the
/// client calls it.
fn came_over<'r>(request: &'r Request<'_>) -> &'r str {
    let told = request.headers.get("x-forwarded-proto").and_then(|told| told.to_str().ok());
    told.unwrap_or(request.scheme)
}
