//! Gateways.

use std::sync::Arc;

use lateen_api::Protocol;
use lateen_api::diagnostic::Code;
use lateen_api::host::NamespacedHost;
use lateen_api::networking::{self, ServerTlsMode, ServerTlsSettings, TlsProtocol};
use lateen_mesh::v1::{self, TlsVersion, server_tls::Mode};

use super::{Fact, Lowering, port_number};
use crate::node::{Gateway, Labels, Server, ServerProtocol, ServerTls};
use crate::scope::{Selector, Selects};

/// Binds a Gateway to the workloads of these services instead of by labels.
const GATEWAY_SERVICE: &str = "internal.istio.io/gateway-service";

impl Lowering<'_> {
    pub(super) fn gateway(&mut self, spec: &networking::Gateway) -> Vec<Fact> {
        let meta = &self.object.meta;
        let services = meta.annotations.get(GATEWAY_SERVICE).map(String::as_str);
        let services: Arc<[Arc<str>]> = services
            .into_iter()
            .flat_map(|list| list.split(','))
            .map(|host| host.trim().to_lowercase().into())
            .collect();
        let selector = (services.is_empty() || !spec.selector.is_empty()).then(|| Selector {
            selects: Selects::Gateway,
            namespace: None,
            labels: Labels::new(&spec.selector),
        });
        let name = format!("{}/{}", meta.namespace, meta.name).into();
        let mut servers = Vec::new();
        for (at, server) in spec.servers.iter().enumerate() {
            servers.extend(self.server(&format!("spec.servers[{at}]"), server));
        }
        vec![Fact::Gateway(Arc::new(Gateway {
            source: self.source(),
            name,
            namespace: self.namespace(),
            selector,
            services,
            servers,
        }))]
    }

    fn server(&mut self, field: &str, server: &networking::Server) -> Option<Server> {
        let port = server.port.as_ref()?;
        let number = port_number(port.number)?;
        let tls = server.tls.as_ref();
        let https_redirect = tls.is_some_and(|tls| tls.https_redirect);
        let Some(protocol) = server_protocol(Protocol::parse(&port.protocol), tls) else {
            self.warn(
                Code::FieldNotHonoured,
                field,
                "the server is not opened: this protocol or TLS mode is not honoured yet",
            );
            return None;
        };
        let terminates = matches!(protocol, ServerProtocol::Https | ServerProtocol::TlsTerminated);
        let meta = &self.object.meta;
        let own_name = [&server.name, &port.name].into_iter().find(|name| !name.is_empty());
        let own_name = own_name
            .cloned()
            .unwrap_or_else(|| format!("{}-{number}", port.protocol.to_lowercase()));
        let hosts = server.hosts.iter().map(|text| NamespacedHost::parse(text));
        let hosts = hosts
            .map(|host| (self.namespace_pattern(&host.namespace), Arc::from(host.host.as_str())));
        Some(Server {
            number,
            // It becomes a piece of resource names, which `/` parts.
            name: format!("{}.{}.{own_name}", meta.namespace, meta.name).replace('/', "_").into(),
            protocol,
            hosts: hosts.collect(),
            tls: tls.filter(|_| terminates).map(server_tls),
            https_redirect,
            field: field.to_owned(),
        })
    }
}

/// None for what is not honoured: such a server is not opened at all.
fn server_protocol(declared: Protocol, tls: Option<&ServerTlsSettings>) -> Option<ServerProtocol> {
    let terminated = |inside| match tls?.mode {
        ServerTlsMode::Simple | ServerTlsMode::Mutual => Some(inside),
        ServerTlsMode::Passthrough => Some(ServerProtocol::Passthrough),
        ServerTlsMode::AutoPassthrough
        | ServerTlsMode::IstioMutual
        | ServerTlsMode::OptionalMutual => None,
    };
    match declared {
        Protocol::Http | Protocol::Http2 | Protocol::Grpc | Protocol::GrpcWeb => {
            Some(ServerProtocol::Http)
        }
        Protocol::Https => terminated(ServerProtocol::Https),
        Protocol::Tls => terminated(ServerProtocol::TlsTerminated),
        Protocol::Tcp | Protocol::Mongo | Protocol::Mysql | Protocol::Redis => match tls {
            Some(_) => terminated(ServerProtocol::TlsTerminated),
            None => Some(ServerProtocol::Tcp),
        },
        Protocol::Udp | Protocol::HttpProxy | Protocol::Hbone | Protocol::Unknown => None,
    }
}

fn server_tls(tls: &ServerTlsSettings) -> ServerTls {
    let mode = if tls.mode == ServerTlsMode::Mutual { Mode::Mutual } else { Mode::Simple };
    let file = tls.tls_certificates.first();
    let or_file = |own: &String, other: Option<&String>| {
        if own.is_empty() { other.cloned().unwrap_or_default() } else { own.clone() }
    };
    let names = [&tls.credential_name].into_iter().chain(&tls.credential_names);
    let credential = names.into_iter().find(|name| !name.is_empty());
    ServerTls {
        tls: v1::ServerTls {
            mode: mode.into(),
            secret: String::new(),
            certificate_file: or_file(
                &tls.server_certificate,
                file.map(|file| &file.server_certificate),
            ),
            private_key_file: or_file(&tls.private_key, file.map(|file| &file.private_key)),
            ca_file: tls.ca_certificates.clone(),
            subject_alt_names: tls.subject_alt_names.clone(),
            minimum: version(tls.min_protocol_version).into(),
            maximum: version(tls.max_protocol_version).into(),
            ca_secret: String::new(),
        },
        credential: credential.map(|name| name.as_str().into()),
    }
}

/// Versions below 1.2 are not spoken; asking for one asks for the lowest there is.
fn version(version: TlsProtocol) -> TlsVersion {
    match version {
        TlsProtocol::TlsAuto => TlsVersion::Auto,
        TlsProtocol::TlsV1_0 | TlsProtocol::TlsV1_1 | TlsProtocol::TlsV1_2 => {
            TlsVersion::TlsVersion12
        }
        TlsProtocol::TlsV1_3 => TlsVersion::TlsVersion13,
    }
}
