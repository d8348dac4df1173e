//! Where a redirect leads.

use lateen_mesh::v1;

use super::path_matcher::PathMatcher;
use super::rewrite::replace_matched;
use super::{HeaderOperations, Request};
use crate::authority;
use crate::origin::Origin;

/// A redirect to be answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location<'p> {
    /// Pattern of the virtual host that the request fell under.
    pub virtual_host: &'p str,
    /// The route's name in logs.
    pub route_name: &'p str,
    /// The rule, or the server with `httpsRedirect`, that decided.
    pub rule: &'p Origin,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// Value of the `location` header.
    pub location: String,
    /// The rule's response headers, to be applied to the answer.
    pub response_headers: Option<&'p HeaderOperations>,
}

/// A compiled redirect.
#[derive(Debug)]
pub(crate) struct Redirect {
    pub(crate) status: u16,
    scheme: Box<str>,
    authority: Box<str>,
    path: Box<str>,
    path_prefix: Box<str>,
    port: RedirectPort,
}

#[derive(Debug, Clone, Copy)]
enum RedirectPort {
    /// The authority's, but for a default port of the scheme that is left.
    Kept,
    Number(u16),
    /// The listener's.
    Request,
}

impl Redirect {
    pub(crate) fn compile(message: &v1::Redirect) -> Result<Self, String> {
        use v1::redirect::Port;
        let status = match message.status {
            0 => 301,
            status @ (301 | 302 | 303 | 307 | 308) => {
                u16::try_from(status).map_err(|_| "redirect status".to_owned())?
            }
            status => return Err(format!("{status} is no status of a redirect")),
        };
        let port = match message.port {
            Some(Port::PortNumber(number)) => RedirectPort::Number(
                u16::try_from(number).map_err(|_| format!("redirect port {number}"))?,
            ),
            Some(Port::PortFromRequest(true)) => RedirectPort::Request,
            // Istio leaves that to Envoy, which keeps the authority's.
            Some(Port::PortFromScheme(_) | Port::PortFromRequest(false)) | None => {
                RedirectPort::Kept
            }
        };
        Ok(Self {
            status,
            scheme: message.scheme.as_str().into(),
            authority: message.authority.as_str().into(),
            path: message.path.as_str().into(),
            path_prefix: message.path_prefix.as_str().into(),
            port,
        })
    }

    /// The target; `port` is the listener's.
    pub(crate) fn location(
        &self,
        request: &Request<'_>,
        matcher: Option<&PathMatcher>,
        port: u16,
    ) -> String {
        let scheme = if self.scheme.is_empty() { request.scheme } else { &self.scheme };
        let mut out = format!("{scheme}://");
        self.push_authority(&mut out, request, scheme, port);
        self.push_path(&mut out, request, matcher);
        out
    }

    fn push_authority(&self, out: &mut String, request: &Request<'_>, scheme: &str, port: u16) {
        let (request_host, request_port) = authority::split(request.authority);
        let host = if self.authority.is_empty() { request_host } else { &self.authority };
        out.push_str(host);
        let told = match self.port {
            RedirectPort::Number(number) => Some(number),
            RedirectPort::Request => Some(port),
            RedirectPort::Kept => None,
        };
        // The port that the scheme stands for is none that anybody was told.
        if let Some(number) = told.filter(|number| *number != default_port(scheme)) {
            out.push_str(&format!(":{number}"));
            return;
        }
        let kept = request_port.filter(|kept| {
            let left = scheme != request.scheme && kept.parse() == Ok(default_port(request.scheme));
            self.authority.is_empty() && !left
        });
        if let Some(kept) = kept {
            out.push(':');
            out.push_str(kept);
        }
    }

    fn push_path(&self, out: &mut String, request: &Request<'_>, matcher: Option<&PathMatcher>) {
        let path = request.path();
        let query = &request.path_and_query[path.len()..];
        if !self.path.is_empty() {
            if !self.path.starts_with('/') {
                out.push('/');
            }
            out.push_str(&self.path);
            if !self.path.contains('?') {
                out.push_str(query);
            }
        } else if self.path_prefix.is_empty() {
            out.push_str(request.path_and_query);
        } else {
            out.push_str(&replace_matched(path, query, matcher, &self.path_prefix));
        }
    }
}

fn default_port(scheme: &str) -> u16 {
    if scheme == "https" { 443 } else { 80 }
}

/// Where `httpsRedirect` leads: the same URL over https. Envoy keeps the authority as it is, whatever
/// port it names (`require_tls` of a virtual host).
pub(crate) fn to_https(request: &Request<'_>) -> String {
    format!("https://{}{}", request.authority, request.path_and_query)
}
