//! Gateway: what a gateway listens on.

use std::collections::BTreeMap;

use crate::message::{enumeration, message};

message! {
    /// The ports on which gateway workloads take traffic from outside.
    pub struct Gateway {
        /// The ports, with their hosts and TLS settings.
        servers: Vec<Server>, honoured;
        /// Labels of the gateway workloads, in any namespace.
        selector: BTreeMap<String, String>, honoured;
    }

    /// One port of a gateway.
    pub struct Server {
        /// The port, as seen at the gateway's Service.
        port: Option<Port>, honoured, Required;
        /// The address to listen on. The default is every one.
        bind: String, pending;
        /// The hosts that are served, `[namespace/]dnsName`; the namespace narrows which
        /// VirtualServices may attach.
        hosts: Vec<String>, honoured, Required;
        /// What becomes of TLS.
        tls: Option<ServerTlsSettings>, honoured;
        /// Not looked at by Istio either.
        default_endpoint: String, pending;
        /// A name for statistics, unique in the object.
        name: String, inert;
    }

    /// A port with a protocol.
    pub struct Port {
        /// Its number.
        number: u32, honoured, Required;
        /// HTTP, HTTPS, GRPC, GRPC-WEB, HTTP2, MONGO, TCP or TLS.
        protocol: String, honoured, Required;
        /// Its name, unique in the object.
        name: String, honoured, Required;
        /// The workload's port. Superseded in Gateways, where it means nothing.
        target_port: u32, inert;
    }

    /// What a server does about TLS.
    pub struct ServerTlsSettings [
        Holds(
            "(has(self.tlsCertificates) ? 1 : 0) + (has(self.credentialName) ? 1 : 0) + \
             (has(self.credentialNames) ? 1 : 0) <= 1",
            "only one of credentialName, credentialNames or tlsCertificates can be set"
        ),
    ] {
        /// Whether every plain HTTP request is redirected to HTTPS.
        https_redirect: bool, honoured;
        /// Whether TLS ends here, and what is asked of clients.
        mode: ServerTlsMode, honoured;
        /// The file of the certificate.
        server_certificate: String, honoured;
        /// The file of the key.
        private_key: String, honoured;
        /// The file of the certificates that verify clients.
        ca_certificates: String, honoured;
        /// The file of revoked certificates.
        ca_crl: String, pending;
        /// The Secret with all of these, in the gateway workload's namespace.
        credential_name: String, honoured;
        /// Up to two Secrets, one with an RSA and one with an ECDSA certificate.
        credential_names: Vec<String>, honoured, MinItems(1), MaxItems(2);
        /// The Secret or ConfigMap with the certificates that verify clients.
        ca_cert_credential_name: String, pending;
        /// Up to two certificates, one RSA and one ECDSA.
        tls_certificates: Vec<TlsCertificate>, honoured, MinItems(1), MaxItems(2);
        /// Names of which the client's certificate must have one.
        subject_alt_names: Vec<String>, honoured;
        /// Hashes of public keys of which the client's certificate must have one.
        verify_certificate_spki: Vec<String>, pending;
        /// Hashes of certificates of which the client must show one.
        verify_certificate_hash: Vec<String>, pending;
        /// Whether any client certificate will do.
        insecure_skip_verify: Option<bool>, pending;
        /// The lowest version. The default is 1.2.
        min_protocol_version: TlsProtocol, honoured;
        /// The highest version. The default is 1.3.
        max_protocol_version: TlsProtocol, honoured;
        /// The cipher suites for TLS 1.2.
        cipher_suites: Vec<String>, pending;
        /// The curves.
        ecdh_curves: Vec<String>, pending;
    }

    /// Files of a certificate.
    pub struct TlsCertificate {
        /// The file of the certificate.
        server_certificate: String, honoured;
        /// The file of the key.
        private_key: String, honoured;
        /// The file of the certificates that verify clients.
        ca_certificates: String, pending;
    }
}

enumeration! {
    /// Whether TLS ends at the server, and what it asks of clients.
    pub enum ServerTlsMode {
        /// It passes through and is routed by server name.
        Passthrough = 0 "PASSTHROUGH", honoured;
        /// It ends here.
        Simple = 1 "SIMPLE", honoured;
        /// It ends here, and clients must show a certificate.
        Mutual = 2 "MUTUAL", honoured;
        /// It passes through to the service that the server name encodes.
        AutoPassthrough = 3 "AUTO_PASSTHROUGH", pending;
        /// It ends here with the workload's certificate, and clients are mesh workloads.
        IstioMutual = 4 "ISTIO_MUTUAL", pending;
        /// It ends here, and clients may show a certificate.
        OptionalMutual = 5 "OPTIONAL_MUTUAL", pending;
    }

    /// A version of TLS.
    pub enum TlsProtocol {
        /// The default.
        TlsAuto = 0 "TLS_AUTO", honoured;
        /// 1.0.
        TlsV1_0 = 1 "TLSV1_0", pending;
        /// 1.1.
        TlsV1_1 = 2 "TLSV1_1", pending;
        /// 1.2.
        TlsV1_2 = 3 "TLSV1_2", honoured;
        /// 1.3.
        TlsV1_3 = 4 "TLSV1_3", honoured;
    }
}
