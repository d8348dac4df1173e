//! Where a redirect leads.

use envoy_types::pb::envoy::config::route::v3::RedirectAction;
use envoy_types::pb::envoy::config::route::v3::redirect_action::{
    PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier,
};
use lateen_mesh::v1::{self, redirect::Port};

/// `port` is the listener's, `scheme` that of its requests.
pub(super) fn redirect(
    message: &v1::Redirect,
    path: Option<&v1::PathMatch>,
    port: u16,
    scheme: &str,
) -> RedirectAction {
    let response_code = match message.status {
        302 => RedirectResponseCode::Found,
        303 => RedirectResponseCode::SeeOther,
        307 => RedirectResponseCode::TemporaryRedirect,
        308 => RedirectResponseCode::PermanentRedirect,
        _ => RedirectResponseCode::MovedPermanently,
    };
    let port_redirect = match message.port {
        Some(Port::PortNumber(number)) => number,
        Some(Port::PortFromRequest(true)) => port.into(),
        Some(Port::PortFromScheme(_) | Port::PortFromRequest(false)) | None => 0,
    };
    let scheme = if message.scheme.is_empty() { scheme } else { &message.scheme };
    let default = if scheme == "https" { 443 } else { 80 };
    let path = if message.path.is_empty() {
        let prefix = (!message.path_prefix.is_empty()).then(|| match path {
            Some(v1::PathMatch { kind: Some(v1::path_match::Kind::SegmentPrefix(_)), .. })
                if message.path_prefix.len() > 1 =>
            {
                message.path_prefix.trim_end_matches('/').to_owned()
            }
            _ => message.path_prefix.clone(),
        });
        prefix.map(PathRewriteSpecifier::PrefixRewrite)
    } else {
        Some(PathRewriteSpecifier::PathRedirect(message.path.clone()))
    };
    RedirectAction {
        host_redirect: message.authority.clone(),
        // The port that the scheme stands for is not written.
        port_redirect: if port_redirect == default { 0 } else { port_redirect },
        response_code: response_code.into(),
        scheme_rewrite_specifier: (!message.scheme.is_empty())
            .then(|| SchemeRewriteSpecifier::SchemeRedirect(message.scheme.clone())),
        path_rewrite_specifier: path,
        ..RedirectAction::default()
    }
}
