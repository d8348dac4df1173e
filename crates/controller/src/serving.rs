//! The server's own certificate, and how TLS is spoken.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use lateen_compiler::Options;
use lateen_identity::{
    CertificateAuthority, MeshTrust, PROTOCOL_VERSIONS, PeerVerifier, SignError, crypto_provider,
};
use rustls::{
    ServerConfig,
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio_util::sync::CancellationToken;

use crate::authority::Authority;

/// The certificate that is presented now.
#[derive(Debug)]
pub(crate) struct Serving {
    authority: Authority,
    names: Vec<String>,
    addresses: Vec<IpAddr>,
    lifetime: Duration,
    current: ArcSwap<CertifiedKey>,
}

impl Serving {
    /// Certifies the server for Istio's names of a control plane (contracts: the DNS names of istiod's
    /// certificate), our own, loopback, and the address that it listens on.
    pub(crate) fn new(
        authority: Authority,
        options: &Options,
        listen: IpAddr,
        lifetime: Duration,
    ) -> Result<Arc<Self>, SignError> {
        let namespace = &options.root_namespace;
        let mut names: Vec<String> = ["istiod", "istiod-remote", "istio-pilot"]
            .map(|service| format!("{service}.{namespace}.svc"))
            .into();
        if !matches!(options.revision.as_str(), "" | "default") {
            names.push(format!("istiod-{}.{namespace}.svc", options.revision));
        }
        if namespace != "istio-system" {
            names.push("istiod.istio-system.svc".to_owned());
        }
        names.extend(["lateen".to_owned(), "localhost".to_owned()]);
        let mut addresses: Vec<IpAddr> =
            vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        if !listen.is_unspecified() && !addresses.contains(&listen) {
            addresses.push(listen);
        }
        let key = certify(&authority.current(), &names, &addresses, lifetime)?;
        let current = ArcSwap::new(key);
        Ok(Arc::new(Self { authority, names, addresses, lifetime, current }))
    }

    /// Renews the certificate at half its life, and when the authority is exchanged, until stopped. When that fails the one that is
    /// there goes on serving, and it is tried again ten times before that one ends.
    pub(crate) async fn keep_fresh(self: Arc<Self>, stop: CancellationToken) {
        let (renewal, retry) = (self.lifetime / 2, self.lifetime / 20);
        let mut wait = renewal;
        let mut authority = self.authority.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = authority.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
            wait = match certify(&authority.current(), &self.names, &self.addresses, self.lifetime)
            {
                Ok(key) => {
                    self.current.store(key);
                    tracing::info!("the server's certificate is renewed");
                    renewal
                }
                Err(error) => {
                    tracing::error!(%error, "the server's certificate cannot be renewed");
                    retry
                }
            };
        }
    }
}

impl ResolvesServerCert for Serving {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn certify(
    authority: &CertificateAuthority,
    names: &[String],
    addresses: &[IpAddr],
    lifetime: Duration,
) -> Result<Arc<CertifiedKey>, SignError> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let certificate =
        authority.serving_certificate(&names, addresses, lifetime, SystemTime::now())?;
    Ok(certificate.certified_key)
}

/// TLS 1.2 and later, HTTP/2 only; a client certificate is verified when there is one. Sessions
/// are not resumed: each connection proves anew who it is.
pub(crate) fn tls(serving: Arc<Serving>, trust: Arc<MeshTrust>) -> Arc<ServerConfig> {
    let mut config = ServerConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(PROTOCOL_VERSIONS)
        .expect("invariant: the provider supports the versions that are named beside it")
        .with_client_cert_verifier(PeerVerifier::optional(trust))
        .with_cert_resolver(serving);
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Arc::new(config)
}
