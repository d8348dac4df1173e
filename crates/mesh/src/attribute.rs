//! What the clauses of policies ask for.

use crate::v1::Attribute;

impl Attribute {
    /// Whether only a request has it, and opaque bytes do not. What is not supported counts: it could be
    /// of a request.
    #[must_use]
    pub fn is_http_only(self) -> bool {
        match self {
            Self::Unsupported
            | Self::Host
            | Self::Method
            | Self::Path
            | Self::Header
            | Self::QueryParameter
            | Self::Cookie => true,
            Self::Principal
            | Self::Namespace
            | Self::ServiceAccount
            | Self::TrustDomain
            | Self::SourceIp
            | Self::RemoteIp
            | Self::DestinationIp
            | Self::DestinationPort
            | Self::Sni => false,
        }
    }
}
