//! TLS as a client.

use envoy_types::pb::envoy::config::cluster::v3::cluster::TransportSocketMatch;
use envoy_types::pb::envoy::config::core::v3::{
    DataSource, TransportSocket, data_source, transport_socket,
};
use envoy_types::pb::envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::certificate_validation_context::SystemRootCerts;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::common_tls_context::{
    CombinedCertificateValidationContext, ValidationContextType,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::subject_alt_name_matcher::SanType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::tls_parameters::TlsProtocol;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, CommonTlsContext, SdsSecretConfig, SubjectAltNameMatcher,
    TlsCertificate, TlsParameters, UpstreamTlsContext,
};
use envoy_types::pb::envoy::r#type::matcher::v3::{StringMatcher, string_matcher};
use envoy_types::pb::google::protobuf::{Any, Struct, Value, value};
use lateen_mesh::v1::{self, Discovery, Protocol, upstream_tls::Mode};

use super::sds;
use crate::message::any;
use crate::names::{self, Carried};
use crate::placement::Role;

/// How a cluster speaks TLS.
#[derive(Debug, Default)]
pub(crate) struct UpstreamTls {
    /// To every endpoint.
    pub(crate) transport_socket: Option<TransportSocket>,
    /// To endpoints by how they are marked.
    pub(crate) matches: Vec<TransportSocketMatch>,
    /// The server name is the request's authority, and the certificate must have it.
    pub(crate) by_authority: bool,
    /// The certificate's names are not looked at.
    pub(crate) unverified: bool,
}

/// How a destination's cluster speaks TLS for what it carries.
pub(crate) fn upstream(
    destination: &v1::Destination,
    carried: Carried,
    version: Version,
) -> UpstreamTls {
    let absent = v1::UpstreamTls::default();
    let tls = destination.tls.as_ref().unwrap_or(&absent);
    let mesh = || socket(&any(&mesh_context(destination, tls, mesh_alpn(carried, version))));
    match tls.mode() {
        Mode::Disable => UpstreamTls::default(),
        // Nobody knows how an address is marked that only the client knows.
        Mode::Auto if destination.discovery() == Discovery::Passthrough => UpstreamTls::default(),
        Mode::Auto => UpstreamTls {
            matches: vec![
                matching("tlsMode-istio", Some("istio"), mesh()),
                matching("tlsMode-disabled", None, raw_buffer()),
            ],
            ..UpstreamTls::default()
        },
        Mode::Mesh => UpstreamTls { transport_socket: Some(mesh()), ..UpstreamTls::default() },
        Mode::Simple | Mode::Mutual => {
            let http2 = carried == Carried::Http && version == Version::Http2;
            let context = originated_context(tls, http2);
            UpstreamTls {
                transport_socket: Some(socket(&any(&context))),
                by_authority: tls.sni.is_empty(),
                unverified: tls.insecure_skip_verify || !tls.subject_alt_names.is_empty(),
                ..UpstreamTls::default()
            }
        }
    }
}

fn mesh_context(
    destination: &v1::Destination,
    tls: &v1::UpstreamTls,
    alpn_protocols: Vec<String>,
) -> UpstreamTlsContext {
    let expected = if tls.subject_alt_names.is_empty() {
        &destination.identities
    } else {
        &tls.subject_alt_names
    };
    let port = u16::try_from(destination.port).unwrap_or_default();
    let sni = if tls.sni.is_empty() {
        names::sni(&destination.host, port, &destination.subset)
    } else {
        tls.sni.clone()
    };
    UpstreamTlsContext {
        sni,
        common_tls_context: Some(CommonTlsContext {
            tls_params: Some(versions()),
            alpn_protocols,
            tls_certificate_sds_secret_configs: vec![sds(names::WORKLOAD_CERTIFICATE)],
            validation_context_type: Some(validation(expected)),
            ..CommonTlsContext::default()
        }),
        ..UpstreamTlsContext::default()
    }
}

/// What says on the other side what is inside. Istio's own offer is made for each connection, by a
/// filter that stock Envoy lacks. `istio-peer-exchange` is never offered: who agrees on it must
/// speak it.
fn mesh_alpn(carried: Carried, version: Version) -> Vec<String> {
    let offered: &[&str] = match (carried, version) {
        (Carried::Tcp, _) => &["istio"],
        (Carried::Http, Version::Http1) => &["istio-http/1.1", "istio"],
        (Carried::Http, Version::Http2) => &["istio-h2", "istio"],
        (Carried::Http, Version::Downstream) => &["istio-http/1.1", "istio-h2", "istio"],
    };
    offered.iter().map(|&name| name.to_owned()).collect()
}

/// The version in which HTTP is spoken to a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    Http1,
    Http2,
    /// The caller's.
    Downstream,
}

/// A declared port says it. Towards any other a sidecar keeps the caller's; a gateway speaks HTTP/1.1 where
/// the protocol is detected (`istio-defaults.md`, HTTP protocol upstream).
pub(crate) const fn version(protocol: Protocol, role: Role) -> Version {
    match protocol {
        Protocol::Auto if matches!(role, Role::Gateway) => Version::Http1,
        Protocol::Http | Protocol::GrpcWeb => Version::Http1,
        Protocol::Http2 | Protocol::Grpc => Version::Http2,
        Protocol::Auto | Protocol::Tcp | Protocol::Tls => Version::Downstream,
    }
}

fn originated_context(tls: &v1::UpstreamTls, http2: bool) -> UpstreamTlsContext {
    let mutual = tls.mode() == Mode::Mutual;
    let certificate = TlsCertificate {
        certificate_chain: Some(file(&tls.certificate_file)),
        private_key: Some(file(&tls.private_key_file)),
        ..TlsCertificate::default()
    };
    let roots = (!tls.insecure_skip_verify).then(|| {
        let mut context = CertificateValidationContext {
            match_typed_subject_alt_names: subject_alt_names(&tls.subject_alt_names),
            ..CertificateValidationContext::default()
        };
        if tls.ca_file.is_empty() {
            context.system_root_certs = Some(SystemRootCerts {});
        } else {
            context.trusted_ca = Some(file(&tls.ca_file));
        }
        ValidationContextType::ValidationContext(context)
    });
    let by_server_name = roots.is_some() && tls.subject_alt_names.is_empty() && !tls.sni.is_empty();
    UpstreamTlsContext {
        sni: tls.sni.clone(),
        auto_sni_san_validation: by_server_name,
        common_tls_context: Some(CommonTlsContext {
            tls_params: Some(versions()),
            alpn_protocols: if http2 { vec!["h2".to_owned()] } else { Vec::new() },
            tls_certificates: if mutual { vec![certificate] } else { Vec::new() },
            validation_context_type: roots,
            ..CommonTlsContext::default()
        }),
        ..UpstreamTlsContext::default()
    }
}

fn versions() -> TlsParameters {
    TlsParameters {
        tls_minimum_protocol_version: TlsProtocol::TlSv12.into(),
        tls_maximum_protocol_version: TlsProtocol::TlSv13.into(),
        ..TlsParameters::default()
    }
}

/// The mesh's roots, and one of these names.
fn validation(expected: &[String]) -> ValidationContextType {
    let roots: SdsSecretConfig = sds(names::ROOTS);
    if expected.is_empty() {
        return ValidationContextType::ValidationContextSdsSecretConfig(roots);
    }
    ValidationContextType::CombinedValidationContext(CombinedCertificateValidationContext {
        default_validation_context: Some(CertificateValidationContext {
            match_typed_subject_alt_names: subject_alt_names(expected),
            ..CertificateValidationContext::default()
        }),
        validation_context_sds_secret_config: Some(roots),
        ..CombinedCertificateValidationContext::default()
    })
}

/// Any of these names, in the form that each has.
fn subject_alt_names(names: &[String]) -> Vec<SubjectAltNameMatcher> {
    let exact = |name: &String| {
        let san_type = if name.contains("://") {
            SanType::Uri
        } else if name.parse::<std::net::IpAddr>().is_ok() {
            SanType::IpAddress
        } else {
            SanType::Dns
        };
        SubjectAltNameMatcher {
            san_type: san_type.into(),
            matcher: Some(StringMatcher {
                match_pattern: Some(string_matcher::MatchPattern::Exact(name.clone())),
                ..StringMatcher::default()
            }),
            ..SubjectAltNameMatcher::default()
        }
    };
    names.iter().map(exact).collect()
}

fn file(path: &str) -> DataSource {
    DataSource {
        specifier: Some(data_source::Specifier::Filename(path.to_owned())),
        ..DataSource::default()
    }
}

fn socket(context: &Any) -> TransportSocket {
    TransportSocket {
        name: "envoy.transport_sockets.tls".to_owned(),
        config_type: Some(transport_socket::ConfigType::TypedConfig(context.clone())),
    }
}

fn raw_buffer() -> TransportSocket {
    TransportSocket {
        name: "envoy.transport_sockets.raw_buffer".to_owned(),
        config_type: Some(transport_socket::ConfigType::TypedConfig(any(&RawBuffer {}))),
    }
}

fn matching(name: &str, mode: Option<&str>, socket: TransportSocket) -> TransportSocketMatch {
    let mark = mode.map(|mode| {
        let value = Value { kind: Some(value::Kind::StringValue(mode.to_owned())) };
        ("tlsMode".to_owned(), value)
    });
    TransportSocketMatch {
        name: name.to_owned(),
        r#match: Some(Struct { fields: mark.into_iter().collect() }),
        transport_socket: Some(socket),
    }
}
