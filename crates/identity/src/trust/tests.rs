use std::time::{Duration, SystemTime};

use rustls::client::Resumption;
use rustls::server::NoServerSessionStorage;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use rustls_pki_types::{ServerName, UnixTime};
use tempfile::TempDir;

use super::*;
use crate::workload::unix_time;
use crate::{
    AuthoritySettings, CertificateAuthority, CertificateHandle, KeyAndCsr, PROTOCOL_VERSIONS,
    SpiffeId, peer_identity,
};

const HOUR: Duration = Duration::from_secs(3600);

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

#[derive(Debug)]
struct At(SystemTime);

impl TimeProvider for At {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix_time(self.0))
    }
}

/// A mesh with an authority of its own.
struct Mesh {
    _dir: TempDir,
    authority: CertificateAuthority,
}

impl Mesh {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let settings = AuthoritySettings::new("cluster.local");
        let authority = CertificateAuthority::load_or_create(dir.path(), settings, now()).unwrap();
        Self { _dir: dir, authority }
    }

    fn certificate(&self, identity: &str) -> Arc<CertificateHandle> {
        let identity: SpiffeId = identity.parse().unwrap();
        let key = KeyAndCsr::generate().unwrap();
        let issued = self.authority.sign(key.csr_pem(), &identity, HOUR, now()).unwrap();
        let handle = CertificateHandle::new();
        handle.set(Arc::new(key.certificate(&issued.cert_chain, now()).unwrap()));
        handle
    }

    fn trust(&self, domains: &[&str]) -> Arc<MeshTrust> {
        let domains = domains.iter().map(|domain| (*domain).to_owned());
        MeshTrust::new(self.authority.roots(), domains).unwrap()
    }
}

fn server(
    certificate: Arc<CertificateHandle>,
    verifier: Arc<PeerVerifier>,
    at: SystemTime,
) -> ServerConfig {
    let mut config = ServerConfig::builder_with_details(crypto_provider(), Arc::new(At(at)))
        .with_protocol_versions(PROTOCOL_VERSIONS)
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(certificate);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config
}

fn client(
    certificate: Option<Arc<CertificateHandle>>,
    verifier: Arc<ServerIdentityVerifier>,
    at: SystemTime,
) -> ClientConfig {
    let config = ClientConfig::builder_with_details(crypto_provider(), Arc::new(At(at)))
        .with_protocol_versions(PROTOCOL_VERSIONS)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match certificate {
        Some(certificate) => config.with_client_cert_resolver(certificate),
        None => config.with_no_client_auth(),
    };
    config.resumption = Resumption::disabled();
    config
}

fn expecting(names: &[&str]) -> Arc<[String]> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Shakes hands in memory: both ends after it, or the first error and whose it was.
fn handshake(
    client: ClientConfig,
    server: ServerConfig,
) -> Result<(ClientConnection, ServerConnection), (&'static str, rustls::Error)> {
    // Istio's form. Nobody looks at it.
    let name = ServerName::try_from("outbound_.80_._.any.host").unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    while client.is_handshaking() || server.is_handshaking() || client.wants_write() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut wire = &wire[..];
        while !wire.is_empty() {
            server.read_tls(&mut wire).unwrap();
            server.process_new_packets().map_err(|error| ("server", error))?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut wire = &wire[..];
        while !wire.is_empty() {
            client.read_tls(&mut wire).unwrap();
            client.process_new_packets().map_err(|error| ("client", error))?;
        }
    }
    Ok((client, server))
}

const CART: &str = "spiffe://cluster.local/ns/shop/sa/cart";
const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";

/// A handshake between `web` and `cart`, with trust in `domains` and `expected` names.
fn mesh_handshake(
    mesh: &Mesh,
    domains: &[&str],
    expected: &[&str],
    at: SystemTime,
) -> Result<(ClientConnection, ServerConnection), (&'static str, rustls::Error)> {
    let trust = mesh.trust(domains);
    let verifier = ServerIdentityVerifier::new(trust.clone(), expecting(expected));
    handshake(
        client(Some(mesh.certificate(WEB)), verifier, at),
        server(mesh.certificate(CART), PeerVerifier::required(trust), at),
    )
}

#[test]
fn both_ends_learn_who_the_other_is() {
    let (client, server) =
        mesh_handshake(&Mesh::new(), &["cluster.local"], &[CART], now()).unwrap();
    let peer = |chain: Option<&[CertificateDer<'_>]>| peer_identity(chain.unwrap()).unwrap();
    assert_eq!(peer(client.peer_certificates()).as_str(), CART);
    assert_eq!(peer(server.peer_certificates()).as_str(), WEB);
    assert_eq!(client.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
}

#[test]
fn tls_1_2_is_the_floor() {
    let mesh = Mesh::new();
    let trust = mesh.trust(&["cluster.local"]);
    let verifier = ServerIdentityVerifier::new(trust.clone(), expecting(&[CART]));
    let old = ClientConfig::builder_with_details(crypto_provider(), Arc::new(At(now())))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(mesh.certificate(WEB));
    let server = server(mesh.certificate(CART), PeerVerifier::required(trust), now());
    let (_, server) = handshake(old, server).unwrap();
    assert_eq!(server.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_2));
    assert_eq!(peer_identity(server.peer_certificates().unwrap()).unwrap().as_str(), WEB);
}

#[test]
fn the_expected_names_decide() {
    let mesh = Mesh::new();
    let alias = "spiffe://alias/ns/shop/sa/cart";
    for (expected, accepted) in [
        (&[CART][..], true),
        (&[alias, CART], true),
        (&[], true),
        (&[WEB], false),
        (&[alias], false),
        (&["spiffe://cluster.local/ns/shop/sa/car"], false),
        (&["spiffe://cluster.local/ns/shop/sa/cart2"], false),
        (&["SPIFFE://cluster.local/ns/shop/sa/cart"], false),
        (&["*"], false),
        (&[""], false),
    ] {
        let result = mesh_handshake(&mesh, &["cluster.local"], expected, now());
        assert_eq!(result.is_ok(), accepted, "{expected:?}: {:?}", result.err());
        if let Err((whose, error)) = result {
            assert_eq!(whose, "client");
            let refused = IdentityRefused::find(&error).unwrap();
            assert!(matches!(refused, IdentityRefused::Unexpected { .. }), "{refused}");
            assert!(refused.to_string().contains(CART), "{refused}");
        }
    }
}

#[test]
fn trust_domains_decide_where_no_name_is_expected() {
    let mesh = Mesh::new();
    for (domains, expected, refused_by) in [
        (&["cluster.local"][..], &[][..], None),
        (&["old", "cluster.local"], &[], None),
        (&[], &[], None),
        (&["other"], &[], Some("client")),
        (&["cluster"], &[], Some("client")),
        (&["cluster.local.evil"], &[], Some("client")),
        // The client expects the name, but the server does not trust the client's domain.
        (&["other"], &[CART], Some("server")),
    ] {
        let result = mesh_handshake(&mesh, domains, expected, now());
        let error = result.err();
        assert_eq!(error.as_ref().map(|(whose, _)| *whose), refused_by, "{domains:?} {error:?}");
        if let Some((_, error)) = error {
            let refused = IdentityRefused::find(&error).unwrap();
            assert!(matches!(refused, IdentityRefused::ForeignTrustDomain { .. }), "{refused}");
        }
    }
}

#[test]
fn names_other_than_uris_can_be_expected() {
    let mesh = Mesh::new();
    let address = "10.1.2.3".parse().unwrap();
    let serving =
        mesh.authority.serving_certificate(&["db.example"], &[address], HOUR, now()).unwrap();
    for (expected, accepted) in [
        (&["db.example"][..], true),
        (&["DB.example"], true),
        (&["10.1.2.3"], true),
        (&["10.1.2.4"], false),
        (&["example"], false),
        // No SPIFFE ID in it, so nothing else will do.
        (&[], false),
    ] {
        let verifier =
            ServerIdentityVerifier::new(mesh.trust(&["cluster.local"]), expecting(expected));
        let key = rustls::sign::SingleCertAndKey::from(serving.certified_key.as_ref().clone());
        let server = ServerConfig::builder_with_details(crypto_provider(), Arc::new(At(now())))
            .with_protocol_versions(PROTOCOL_VERSIONS)
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(key));
        let result = handshake(client(None, verifier, now()), server);
        assert_eq!(result.is_ok(), accepted, "{expected:?}: {:?}", result.err());
    }
}

#[test]
fn a_stranger_is_refused_by_either_end() {
    let (mesh, stranger) = (Mesh::new(), Mesh::new());
    let trust = mesh.trust(&["cluster.local"]);
    let try_with = |of_client: &Mesh, of_server: &Mesh| {
        let verifier = ServerIdentityVerifier::new(trust.clone(), expecting(&[]));
        handshake(
            client(Some(of_client.certificate(WEB)), verifier, now()),
            server(of_server.certificate(CART), PeerVerifier::required(trust.clone()), now()),
        )
        .err()
        .unwrap()
    };
    for (whose, error) in [try_with(&mesh, &stranger), try_with(&stranger, &mesh)] {
        let unknown = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let bad = rustls::Error::InvalidCertificate(rustls::CertificateError::BadSignature);
        assert!([unknown, bad].contains(&error), "{whose}: {error}");
        assert_eq!(IdentityRefused::find(&error), None);
    }
}

#[test]
fn certificates_count_during_their_life_only() {
    let mesh = Mesh::new();
    for (at, accepted) in [
        (now() - Duration::from_secs(119), true),
        (now() + HOUR - Duration::from_secs(1), true),
        (now() - Duration::from_secs(121), false),
        (now() + HOUR + Duration::from_secs(1), false),
    ] {
        let result = mesh_handshake(&mesh, &["cluster.local"], &[CART], at);
        assert_eq!(result.is_ok(), accepted, "{at:?}: {:?}", result.err());
    }
}

#[test]
fn a_client_without_a_certificate_is_let_in_only_where_that_is_optional() {
    let mesh = Mesh::new();
    let trust = mesh.trust(&["cluster.local"]);
    let try_with = |certificate, peers| {
        let verifier = ServerIdentityVerifier::new(trust.clone(), expecting(&[CART]));
        handshake(
            client(certificate, verifier, now()),
            server(mesh.certificate(CART), peers, now()),
        )
    };
    let empty = || Some(CertificateHandle::new());
    for certificate in [None, empty()] {
        let (_, server) = try_with(certificate, PeerVerifier::optional(trust.clone())).unwrap();
        assert!(server.peer_certificates().is_none());
    }
    for certificate in [None, empty()] {
        let (whose, error) =
            try_with(certificate, PeerVerifier::required(trust.clone())).err().unwrap();
        assert_eq!((whose, error), ("server", rustls::Error::NoCertificatesPresented));
    }
    // Optional is not lax: what is presented is verified.
    let stranger = Mesh::new().certificate(WEB);
    assert!(try_with(Some(stranger), PeerVerifier::optional(trust.clone())).is_err());
    let (_, server) =
        try_with(Some(mesh.certificate(WEB)), PeerVerifier::optional(trust.clone())).unwrap();
    assert!(server.peer_certificates().is_some());
}

#[test]
fn a_server_without_a_certificate_yet_refuses() {
    let mesh = Mesh::new();
    let trust = mesh.trust(&[]);
    let verifier = ServerIdentityVerifier::new(trust.clone(), expecting(&[]));
    let server = server(CertificateHandle::new(), PeerVerifier::required(trust), now());
    assert!(handshake(client(Some(mesh.certificate(WEB)), verifier, now()), server).is_err());
}

#[test]
fn roots_and_trust_domains_are_swapped_under_configurations_in_use() {
    let (old, new) = (Mesh::new(), Mesh::new());
    let trust = old.trust(&["cluster.local"]);
    let verifier = ServerIdentityVerifier::new(trust.clone(), expecting(&[]));
    let peers = PeerVerifier::required(trust.clone());
    let certificates = CertificateHandle::new();
    let client = client(Some(certificates.clone()), verifier, now());
    let server = server(certificates.clone(), peers, now());
    let works = || handshake(client.clone(), server.clone()).is_ok();
    let present = |mesh: &Mesh| certificates.set(mesh.certificate(CART).get().unwrap());

    present(&old);
    assert!(works());
    present(&new);
    assert!(!works());
    let both = [old.authority.roots(), new.authority.roots()].concat();
    trust.set_roots(&both).unwrap();
    assert!(works());
    present(&old);
    assert!(works());
    trust.set_roots(new.authority.roots()).unwrap();
    assert!(!works());
    present(&new);
    assert!(works());
    trust.set_trust_domains(["other".to_owned()]);
    assert!(!works());
    trust.set_roots(&both).unwrap();
    assert!(!works(), "the trust domains outlive the roots");
    trust.set_trust_domains(["other".to_owned(), "cluster.local".to_owned()]);
    assert!(works());
}

#[test]
fn roots_that_are_none_are_refused_and_the_former_ones_stay() {
    let mesh = Mesh::new();
    assert_eq!(MeshTrust::new(&[], []).unwrap_err(), TrustError::NoRoots);
    let trust = mesh.trust(&["cluster.local"]);
    assert_eq!(trust.set_roots(&[]), Err(TrustError::NoRoots));
    let broken = [mesh.authority.roots()[0].clone(), CertificateDer::from(vec![1, 2, 3])];
    assert!(matches!(trust.set_roots(&broken), Err(TrustError::BadRoot { position: 2, .. })));
    let verifier = ServerIdentityVerifier::new(trust.clone(), expecting(&[CART]));
    handshake(
        client(Some(mesh.certificate(WEB)), verifier, now()),
        server(mesh.certificate(CART), PeerVerifier::required(trust), now()),
    )
    .unwrap();
}
