//! The certificate of an authenticated peer.

use rustls_pki_types::CertificateDer;

/// What a verified client certificate says, kept in the forms in which requests need it.
///
/// One value is shared by all requests of a connection.
#[derive(Debug)]
pub struct PeerCertificate {
    /// The one URI SAN, where it is a SPIFFE ID (`spiffe://…`, whole).
    pub spiffe: Option<String>,
    /// URI SANs in the certificate's order.
    pub uri_sans: Vec<String>,
    /// DNS SANs in the certificate's order.
    pub dns_sans: Vec<String>,
    /// Subject in RFC 2253 form; empty for mesh certificates.
    pub subject: String,
    /// SHA-256 of the certificate's DER encoding, lower-case hex.
    pub sha256: String,
    /// The certificate itself.
    pub der: CertificateDer<'static>,
}
