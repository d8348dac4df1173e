//! TLS as a server.

use common_tls_context::{CombinedCertificateValidationContext, ValidationContextType};
use envoy_types::pb::envoy::config::core::v3::{
    DataSource, TransportSocket, data_source, transport_socket,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, CommonTlsContext, DownstreamTlsContext, SdsSecretConfig,
    SubjectAltNameMatcher, TlsCertificate, TlsParameters, common_tls_context,
    subject_alt_name_matcher, tls_parameters::TlsProtocol,
};
use envoy_types::pb::envoy::r#type::matcher::v3::{StringMatcher, string_matcher::MatchPattern};
use envoy_types::pb::google::protobuf::BoolValue;
use lateen_mesh::name::Name;
use lateen_mesh::v1::{self, ServerTls, TlsVersion, server_tls::Mode};
use subject_alt_name_matcher::SanType;

use crate::message::{ads, any};
use crate::names;
use crate::tls::sds;

/// What both kinds of servers agree on, in the order of preference.
const ALPN: [&str; 2] = ["h2", "http/1.1"];

/// Istio's ciphers of the mesh in TLS 1.2 (`istio-contracts.md` §11).
const CIPHERS: [&str; 6] = [
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-GCM-SHA256",
];

/// The server's side of the mesh's mutual TLS: a certificate of one of the mesh's trust domains is
/// required.
pub(crate) fn mesh(settings: &v1::Settings) -> TransportSocket {
    let domains = std::iter::once(&settings.trust_domain).chain(&settings.trust_domain_aliases);
    let names = domains.map(|domain| SubjectAltNameMatcher {
        san_type: SanType::Uri.into(),
        matcher: Some(StringMatcher {
            match_pattern: Some(MatchPattern::Prefix(format!("spiffe://{domain}/"))),
            ..StringMatcher::default()
        }),
        ..SubjectAltNameMatcher::default()
    });
    let combined = CombinedCertificateValidationContext {
        default_validation_context: Some(CertificateValidationContext {
            match_typed_subject_alt_names: names.collect(),
            ..CertificateValidationContext::default()
        }),
        validation_context_sds_secret_config: Some(sds(names::ROOTS)),
        ..CombinedCertificateValidationContext::default()
    };
    socket(&DownstreamTlsContext {
        common_tls_context: Some(CommonTlsContext {
            tls_params: Some(TlsParameters {
                tls_minimum_protocol_version: TlsProtocol::TlSv12.into(),
                tls_maximum_protocol_version: TlsProtocol::TlSv13.into(),
                cipher_suites: CIPHERS.map(str::to_owned).into(),
                ..TlsParameters::default()
            }),
            alpn_protocols: ALPN.map(str::to_owned).into(),
            tls_certificate_sds_secret_configs: vec![sds(names::WORKLOAD_CERTIFICATE)],
            validation_context_type: Some(ValidationContextType::CombinedValidationContext(
                combined,
            )),
            ..CommonTlsContext::default()
        }),
        require_client_certificate: Some(BoolValue { value: true }),
        ..DownstreamTlsContext::default()
    })
}

/// The server's side of a gateway's TLS.
///
/// # Errors
/// In words, when there is nothing to prove an identity with.
pub(crate) fn gateway(tls: &ServerTls) -> Result<TransportSocket, String> {
    let mut common = CommonTlsContext {
        alpn_protocols: ALPN.map(str::to_owned).into(),
        tls_params: parameters(tls)?,
        ..CommonTlsContext::default()
    };
    if tls.certificate_file.is_empty() || tls.private_key_file.is_empty() {
        let (namespace, name) =
            secret(&tls.secret).ok_or("neither a secret nor files are named")?;
        common.tls_certificate_sds_secret_configs =
            vec![delivered_secret(names::secret(&namespace, &name))];
    } else {
        common.tls_certificates = vec![TlsCertificate {
            certificate_chain: Some(file(&tls.certificate_file)),
            private_key: Some(file(&tls.private_key_file)),
            ..TlsCertificate::default()
        }];
    }
    let mutual = tls.mode() == Mode::Mutual;
    if mutual {
        common.validation_context_type = Some(clients(tls)?);
    }
    Ok(socket(&DownstreamTlsContext {
        common_tls_context: Some(common),
        require_client_certificate: Some(BoolValue { value: mutual }),
        // A resumed session skips the verification of the client.
        disable_stateful_session_resumption: mutual,
        session_ticket_keys_type: mutual.then_some(
            envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::downstream_tls_context
                ::SessionTicketKeysType::DisableStatelessSessionResumption(true),
        ),
        ..DownstreamTlsContext::default()
    }))
}

/// Whom a gateway's server with MUTUAL lets in. Authorities come from a secret of their own, else
/// from beside the certificate, else from a file.
fn clients(tls: &ServerTls) -> Result<ValidationContextType, String> {
    let names = tls.subject_alt_names.iter().flat_map(|name| {
        let kinds = [SanType::Dns, SanType::Uri, SanType::Email, SanType::IpAddress];
        kinds.map(|kind| SubjectAltNameMatcher {
            san_type: kind.into(),
            matcher: Some(StringMatcher {
                match_pattern: Some(MatchPattern::Exact(name.clone())),
                ..StringMatcher::default()
            }),
            ..SubjectAltNameMatcher::default()
        })
    });
    let context = CertificateValidationContext {
        match_typed_subject_alt_names: names.collect(),
        ..CertificateValidationContext::default()
    };
    let own = secret(&tls.ca_secret).map(|(namespace, name)| names::secret(&namespace, &name));
    let beside =
        || secret(&tls.secret).map(|(namespace, name)| names::ca_secret(&namespace, &name));
    match own.or_else(beside) {
        Some(name) => Ok(ValidationContextType::CombinedValidationContext(
            CombinedCertificateValidationContext {
                default_validation_context: Some(context),
                validation_context_sds_secret_config: Some(delivered_secret(name)),
                ..CombinedCertificateValidationContext::default()
            },
        )),
        None if tls.ca_file.is_empty() => {
            Err("MUTUAL without the authorities of clients".to_owned())
        }
        None => Ok(ValidationContextType::ValidationContext(CertificateValidationContext {
            trusted_ca: Some(file(&tls.ca_file)),
            ..context
        })),
    }
}

fn parameters(tls: &ServerTls) -> Result<Option<TlsParameters>, String> {
    let version = |version| match version {
        TlsVersion::Auto => TlsProtocol::TlsAuto,
        TlsVersion::TlsVersion12 => TlsProtocol::TlSv12,
        TlsVersion::TlsVersion13 => TlsProtocol::TlSv13,
    };
    let (minimum, maximum) = (tls.minimum(), tls.maximum());
    if (minimum, maximum) == (TlsVersion::TlsVersion13, TlsVersion::TlsVersion12) {
        return Err("the minimum version of TLS is above the maximum".to_owned());
    }
    let set = (minimum, maximum) != (TlsVersion::Auto, TlsVersion::Auto);
    Ok(set.then(|| TlsParameters {
        tls_minimum_protocol_version: version(minimum).into(),
        tls_maximum_protocol_version: version(maximum).into(),
        ..TlsParameters::default()
    }))
}

/// Namespace and name of a secret of the model.
fn secret(name: &str) -> Option<(String, String)> {
    match Name::parse(name)? {
        Name::Secret { namespace, name } => Some((namespace, name)),
        _ => None,
    }
}

/// Milliseconds after which a listener goes on without a secret that is not there, so that its
/// other servers serve; this one refuses handshakes until it comes.
const SECRET_TIMEOUT: u64 = 1_000;

/// A secret that the control plane sends.
fn delivered_secret(name: String) -> SdsSecretConfig {
    SdsSecretConfig { name, sds_config: Some(ads(Some(SECRET_TIMEOUT))) }
}

fn file(path: &str) -> DataSource {
    DataSource {
        specifier: Some(data_source::Specifier::Filename(path.to_owned())),
        ..DataSource::default()
    }
}

fn socket(context: &DownstreamTlsContext) -> TransportSocket {
    TransportSocket {
        name: "envoy.transport_sockets.tls".to_owned(),
        config_type: Some(transport_socket::ConfigType::TypedConfig(any(context))),
    }
}
