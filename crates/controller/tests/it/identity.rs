//! Who is served, and who gets which certificate.

use std::{fs, os::unix::fs::PermissionsExt, sync::Arc, time::Duration};

use crate::support::{Mesh, Proxy, shop::files};
use lateen_identity::{KeyAndCsr, SpiffeId, WorkloadCertificate};
use lateen_xds::{
    ca::{
        IstioCertificateRequest, istio_certificate_service_client::IstioCertificateServiceClient,
    },
    client::{Target, Tls, TlsSource},
};
use rustls::{ClientConfig, sign::SingleCertAndKey};
use tonic::{Code, Status};

async fn shop() -> Mesh {
    let files = files();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, &**text)).collect();
    Mesh::start(&files).await
}

fn with_token(mesh: &Mesh, token: &str) -> Target {
    let token = token.to_owned();
    let mut target = mesh.anonymous();
    target.token = Some(Arc::new(move || Ok(token.clone())));
    target
}

/// A target that presents a workload's certificate instead of a token.
fn with_certificate(mesh: &Mesh, certificate: &WorkloadCertificate) -> Target {
    let mut target = mesh.anonymous();
    let source = target.tls.take().expect("TLS");
    let key = Arc::new(SingleCertAndKey::from(certificate.certified_key()));
    let presenting: TlsSource = Arc::new(move || {
        let Tls { config, server_name } = source()?;
        let mut config = ClientConfig::clone(&config);
        config.client_auth_cert_resolver = key.clone();
        Ok(Tls { config: Arc::new(config), server_name })
    });
    target.tls = Some(presenting);
    target
}

async fn create(target: &Target, csr: &str, seconds: i64) -> Result<Vec<String>, Status> {
    let channel = target.channel().await.expect("a connection");
    let mut request = tonic::Request::new(IstioCertificateRequest {
        csr: csr.to_owned(),
        validity_duration: seconds,
        metadata: None,
    });
    if let Some(authorization) = target.authorization().expect("a token") {
        request.metadata_mut().insert("authorization", authorization);
    }
    let response = IstioCertificateServiceClient::new(channel).create_certificate(request).await?;
    Ok(response.into_inner().cert_chain)
}

async fn certificate(target: &Target, seconds: i64) -> WorkloadCertificate {
    let key = KeyAndCsr::generate().expect("a key");
    let chain = create(target, key.csr_pem(), seconds).await.expect("a certificate");
    key.certificate(&chain, std::time::SystemTime::now()).expect("a usable certificate")
}

#[tokio::test]
async fn a_token_gives_the_callers_own_certificate() {
    let mesh = shop().await;
    let issued = certificate(&mesh.target("shop/web"), 600).await;
    assert_eq!(issued.identity().as_str(), "spiffe://cluster.local/ns/shop/sa/web");
    let lifetime = issued.not_after().duration_since(issued.not_before()).expect("a lifetime");
    // Backdated by two minutes, as Istio's are.
    assert_eq!(lifetime, Duration::from_secs(600 + 120));

    // A request for another identity gets the caller's own all the same.
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    let other = "spiffe://cluster.local/ns/shop/sa/db".try_into().unwrap();
    params.subject_alt_names = vec![rcgen::SanType::URI(other)];
    let csr = params.serialize_request(&key).unwrap().pem().unwrap();
    let chain = create(&mesh.target("shop/web"), &csr, 0).await.unwrap();
    let leaf =
        <rustls_pki_types::CertificateDer<'_> as rustls_pki_types::pem::PemObject>::from_pem_slice(
            chain[0].as_bytes(),
        )
        .unwrap();
    let identity = lateen_identity::peer_identity(&[leaf]);
    assert_eq!(identity, Some(SpiffeId::new("cluster.local", "shop", "web").unwrap()));
}

#[tokio::test]
async fn certificates_are_refused_with_a_reason_and_counted() {
    let mesh = shop().await;
    let elsewhere = shop().await;
    let good = KeyAndCsr::generate().unwrap().csr_pem().to_owned();
    let issuer = lateen_identity::TokenIssuer::load_or_create(&mesh.state()).unwrap();
    let second = Duration::from_secs(1);
    let past = std::time::SystemTime::now() - 10 * second;
    let expired = issuer.issue("shop", "web", second, past).unwrap();
    let token = mesh.token("shop/web");
    let foreign = elsewhere.token("shop/web");
    let weak = WEAK_CSR;
    for (target, csr, seconds, code, reason) in [
        (mesh.anonymous(), &*good, 0, Code::Unauthenticated, "no-credentials"),
        (with_token(&mesh, "nonsense"), &*good, 0, Code::Unauthenticated, "malformed"),
        (with_token(&mesh, &foreign), &*good, 0, Code::Unauthenticated, "foreign"),
        (with_token(&mesh, &expired), &*good, 0, Code::Unauthenticated, "expired"),
        (with_token(&mesh, &token), "nonsense", 0, Code::InvalidArgument, "bad-request"),
        (with_token(&mesh, &token), weak, 0, Code::InvalidArgument, "weak-key"),
        (with_token(&mesh, &token), &*good, -1, Code::InvalidArgument, "lifetime"),
        (with_token(&mesh, &token), &*good, 91 * 86_400, Code::InvalidArgument, "lifetime"),
    ] {
        let counted = |page: &str| -> u64 {
            let prefix = format!("lateen_csr_refusals{{reason=\"{reason}\"}} ");
            let line = page.lines().find_map(|line| line.strip_prefix(&prefix));
            line.map_or(0, |count| count.parse().unwrap())
        };
        let before = counted(&mesh.page("/metrics").await.1);
        let status = create(&target, csr, seconds).await.expect_err(reason);
        assert_eq!(status.code(), code, "{reason}: {status}");
        assert!(!status.message().is_empty());
        assert_eq!(counted(&mesh.page("/metrics").await.1), before + 1, "{reason}");
    }
    let (_, page) = mesh.page("/metrics").await;
    for line in [
        "citadel_server_csr_count 8",
        "citadel_server_success_cert_issuance_count 0",
        "citadel_server_authentication_failure_count 4",
        "citadel_server_csr_parsing_err_count 2",
        "citadel_server_csr_sign_err_count 2",
    ] {
        assert!(page.lines().any(|other| other == line), "{line} is not in\n{page}");
    }
}

#[tokio::test]
async fn a_certificate_is_as_good_as_a_token() {
    let mesh = shop().await;
    let first = certificate(&mesh.target("shop/web"), 0).await;
    let target = with_certificate(&mesh, &first);
    let second = certificate(&target, 0).await;
    assert_eq!(second.identity(), first.identity());
    let mut proxy = Proxy::new(target, "sidecar", "shop/web-1", &["*"]);
    proxy.cut().await;
    let status = mesh.json("/debug/syncz").await;
    assert_eq!(status[0]["identity"], "spiffe://cluster.local/ns/shop/sa/web");

    // A certificate of another mesh is no credential here, and the connection is not made.
    let elsewhere = shop().await;
    let foreign = certificate(&elsewhere.target("shop/web"), 0).await;
    let mut proxy = Proxy::new(with_certificate(&mesh, &foreign), "sidecar", "shop/web-1", &["*"]);
    assert_ne!(proxy.refused().await.code, Some(Code::Ok));
    let (_, page) = mesh.page("/metrics").await;
    assert!(page.contains("lateen_stream_refusals{reason=\"handshake\"} 1"), "{page}");
}

#[tokio::test]
async fn a_stream_is_for_the_workloads_own_identity_only() {
    let mesh = shop().await;
    for (workload, account, code, message) in [
        ("shop/db-1", "shop/web", Code::PermissionDenied, "its service account is db"),
        ("front/gateway-1", "shop/web", Code::PermissionDenied, "another namespace"),
        ("shop/cart-1", "shop/web", Code::NotFound, "no workload shop/cart-1"),
    ] {
        let end = mesh.proxy(workload, account).refused().await;
        assert_eq!(end.code, Some(code), "{workload}");
        assert!(end.reason.contains(message), "{}", end.reason);
    }
    let end = Proxy::new(mesh.anonymous(), "sidecar", "shop/web-1", &["*"]).refused().await;
    assert_eq!(end.code, Some(Code::Unauthenticated));
    let end = Proxy::new(mesh.target("shop/web"), "ztunnel", "shop/web-1", &["*"]).refused().await;
    assert_eq!(end.code, Some(Code::InvalidArgument));
    let (_, page) = mesh.page("/metrics").await;
    for (reason, count) in [("identity", 2), ("unknown-workload", 1), ("no-credentials", 1)] {
        let line = format!("lateen_stream_refusals{{reason=\"{reason}\"}} {count}");
        assert!(page.contains(&line), "{line} is not in\n{page}");
    }
}

#[tokio::test]
async fn a_server_with_another_root_is_not_talked_to() {
    let (mesh, elsewhere) = (shop().await, shop().await);
    let mut target = elsewhere.target("shop/web");
    target.authority = mesh.discovery().to_string();
    let end = Proxy::new(target, "sidecar", "shop/web-1", &["*"]).refused().await;
    assert_eq!(end.code, None);
    assert!(end.reason.contains("invalid peer certificate"), "{}", end.reason);
}

#[tokio::test]
async fn secrets_in_the_state_folder_are_for_their_owner_only() {
    let mesh = shop().await;
    for file in ["ca-key.pem", "token-key.pem", "tokens/shop/web", "tokens/front/gateway"] {
        let mode = fs::metadata(mesh.state().join(file)).expect(file).permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file} has mode {mode:o}");
    }
    let root = fs::read_to_string(mesh.state().join("root-cert.pem")).expect("a root");
    assert!(root.starts_with("-----BEGIN CERTIFICATE-----"));
}

/// A request with an RSA key of 1024 bits, made with `openssl req -new -newkey rsa:1024`.
const WEAK_CSR: &str = include_str!("support/weak.csr.pem");
