//! Why the proxy answered by itself, or why an exchange ended badly.
//!
//! Every such answer has one [`Reason`] with a stable code. The code stands in the JSON access log
//! (`reason`), in the header `x-lateen-reason` for peers of the mesh, and in the ring of failures.
//! Codes are never renamed and never reused: people write alerts on them. `docs/reasons.md` is
//! generated from the registry.

mod document;
mod registry;

use std::borrow::Cow;

pub use document::document;
pub use registry::Reason;

use super::flags::Flags;

/// Who has to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The client that sent the request or opened the connection.
    Downstream,
    /// The mesh itself: proxy, control plane, certificates.
    Mesh,
    /// The destination, or the network on the way to it.
    Upstream,
    /// What an operator wrote: the answer is as configured.
    Policy,
}

impl Side {
    /// The word in logs and in `docs/reasons.md`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Downstream => "downstream",
            Self::Mesh => "mesh",
            Self::Upstream => "upstream",
            Self::Policy => "policy",
        }
    }
}

/// Whether the application may have seen the request: whether it is safe to send it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reached {
    /// It has not.
    No,
    /// It may have, in whole or in part.
    Maybe,
    /// It has: the response had begun.
    Yes,
}

impl Reached {
    /// The word in logs and in `docs/reasons.md`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Maybe => "maybe",
            Self::Yes => "yes",
        }
    }
}

/// The text of an answer, in Envoy's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// `%RESPONSE_CODE_DETAILS%` and the body as they stand.
    Fixed {
        /// Response code details, without spaces.
        details: &'static str,
        /// Body, `text/plain`; empty for none.
        body: &'static str,
    },
    /// Both are made from the reason of the reset; the details also from the failure of the
    /// transport where there is one, which a client is not told.
    Reset(&'static str),
    /// The response had begun: there is no body, and the details name the reason of the reset.
    ResetMidway(&'static str),
}

impl From<lateen_engine::Reason> for Reason {
    fn from(reason: lateen_engine::Reason) -> Self {
        use lateen_engine::Reason as Engine;
        match reason {
            Engine::NoRoute => Self::NoRoute,
            Engine::NotInRegistry => Self::NotInRegistry,
            Engine::DetailsMissing => Self::DetailsTimedOut,
            Engine::InvalidBackend => Self::InvalidBackend,
            Engine::NoBackend => Self::NoBackend,
            Engine::NoHealthyUpstream => Self::NoHealthyUpstream,
            Engine::PassthroughLoop => Self::PassthroughLoop,
            Engine::MtlsRequired => Self::MtlsRequired,
            Engine::TlsRequired => Self::TlsRequired,
            Engine::ProtocolMismatch => Self::ProtocolMismatch,
            Engine::PortNotDeclared => Self::PortNotDeclared,
            Engine::NoServer => Self::NoServer,
            Engine::AuthorizationDenied => Self::AuthorizationDenied,
            Engine::BadPath => Self::BadPath,
            Engine::NoInbound => Self::NoInbound,
        }
    }
}

/// What the registry says of a reason.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    /// The stable code.
    pub code: &'static str,
    /// What happened, in a sentence.
    pub meaning: &'static str,
    /// What to look at next.
    pub advice: &'static str,
    /// Who has to act.
    pub side: Side,
    /// Whether the application may have seen the request.
    pub reached: Reached,
    /// Envoy's response flag.
    pub flags: Flags,
    /// HTTP status of the answer; `None` where nothing is answered: the connection or the stream
    /// ends, or the status had been sent.
    pub status: Option<u16>,
    /// Details and body.
    pub text: Text,
}

impl Reason {
    /// The stable code, such as `no_healthy_upstream`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.facts().code
    }

    /// The reason with this code.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.code() == code)
    }

    /// Whether something went wrong, as opposed to an answer that is what somebody configured for
    /// the good case (a redirect, a direct response).
    #[must_use]
    pub const fn is_failure(self) -> bool {
        !matches!(self, Self::Redirect | Self::HttpsRedirect | Self::DirectResponse)
    }

    /// Envoy's response flags for an HTTP exchange.
    #[must_use]
    pub const fn flags(self) -> Flags {
        self.facts().flags
    }

    /// Envoy's response flags for a TCP connection.
    ///
    /// They differ where Envoy answers a request by itself and sends a connection to a cluster
    /// without endpoints (`BlackHoleCluster`).
    #[must_use]
    pub const fn connection_flags(self) -> Flags {
        match self {
            Self::NotInRegistry | Self::PassthroughLoop => Flags::NO_HEALTHY_UPSTREAM,
            // Bytes have no exchange that could be broken off.
            Self::UpstreamResetMidway | Self::DownstreamReset => Flags::NONE,
            _ => {
                let flags = self.facts().flags;
                // Its one attempt is all that Envoy's TCP proxy makes.
                if flags.contains(Flags::UPSTREAM_CONNECTION_FAILURE) {
                    flags.union(Flags::CONNECT_ATTEMPTS_EXCEEDED)
                } else {
                    flags
                }
            }
        }
    }

    /// `%RESPONSE_CODE_DETAILS%`. `transport` is why the transport failed, if that is known.
    #[must_use]
    pub fn details(self, transport: Option<&str>) -> Cow<'static, str> {
        match self.facts().text {
            Text::Fixed { details, .. } => Cow::Borrowed(details),
            Text::Reset(reset) => {
                let transport = transport.map(|failure| format!("|{failure}")).unwrap_or_default();
                let details =
                    format!("upstream_reset_before_response_started{{{reset}{transport}}}");
                Cow::Owned(details.replace(' ', "_"))
            }
            Text::ResetMidway(reset) => {
                let details = format!("upstream_reset_after_response_started{{{reset}}}");
                Cow::Owned(details.replace(' ', "_"))
            }
        }
    }

    /// Body of the answer, `text/plain`. `retried` says that this was not the first attempt.
    #[must_use]
    pub fn body(self, retried: bool) -> Cow<'static, str> {
        match self.facts().text {
            Text::Fixed { body, .. } => Cow::Borrowed(body),
            Text::ResetMidway(_) => Cow::Borrowed(""),
            Text::Reset(reset) => {
                let retried = if retried { "retried and the latest " } else { "" };
                Cow::Owned(format!(
                    "upstream connect error or disconnect/reset before headers. \
                     {retried}reset reason: {reset}"
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests;
