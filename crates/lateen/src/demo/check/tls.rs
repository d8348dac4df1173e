//! Mutual TLS, as openssl and the applications' logs see it.

use anyhow::{Context, ensure};

use super::tool::{curl, run};
use super::{Outcome, Site};

/// The orders' sidecar proves its identity to openssl, and the orders' application is told the
/// visitor's.
pub async fn mutual_tls(site: &Site) -> Outcome {
    let identity = "spiffe://cluster.local/ns/shop/sa/orders";
    let server = site.inbound("orders")?;
    let root = site.folders.state.join("root-cert.pem");
    let root = root.to_str().context("the state folder's path is not UTF-8")?;
    let (_, handshake) = run(
        "openssl",
        &[
            "s_client",
            "-connect",
            &server.to_string(),
            "-alpn",
            "istio",
            "-CAfile",
            root,
            "-verify_return_error",
            "-showcerts",
        ],
    )
    .await?;
    ensure!(
        handshake.contains("Verify return code: 0 (ok)"),
        "openssl does not trust what {server} shows: {}",
        handshake.lines().find(|line| line.contains("erify")).unwrap_or("no handshake")
    );
    let certificate = site.folders.root.join("orders-seen.pem");
    std::fs::write(&certificate, leaf(&handshake)?)?;
    let certificate = certificate.to_str().context("the folder's path is not UTF-8")?;
    let (_, names) =
        run("openssl", &["x509", "-in", certificate, "-noout", "-ext", "subjectAltName"]).await?;
    ensure!(names.contains(&format!("URI:{identity}")), "{server} shows {names}");

    let path = "/who-calls";
    let answer =
        curl(site.seen_from("visitor", "orders")?, "orders.shop.svc.cluster.local", path).await?;
    ensure!(answer.status == 200, "GET {path} was answered with {}", answer.status);
    let log = std::fs::read_to_string(site.application_log("orders"))?;
    let line = log
        .lines()
        .rev()
        .find(|line| line.contains(path))
        .context("the request is not in the application's log")?;
    ensure!(
        line.contains("URI=spiffe://cluster.local/ns/shop/sa/visitor"),
        "the application was told: {line}"
    );
    Ok(format!("openssl verifies {identity}, the application was told of sa/visitor"))
}

fn leaf(handshake: &str) -> anyhow::Result<&str> {
    const END: &str = "-----END CERTIFICATE-----";
    let begin = handshake.find("-----BEGIN CERTIFICATE-----").context("no certificate shown")?;
    let end = handshake[begin..].find(END).context("the certificate has no end")?;
    Ok(&handshake[begin..begin + end + END.len()])
}

/// Plain text at an inbound port under STRICT gets no answer, and the application hears nothing.
pub async fn plain_text_refused(site: &Site) -> Outcome {
    let path = "/in-plain-text";
    let server = site.inbound("catalog-v1")?;
    let answer = curl(server, "catalog", path).await?;
    ensure!(answer.status == 0, "plain text was answered with {}", answer.status);
    let log = std::fs::read_to_string(site.application_log("catalog-v1"))?;
    ensure!(!log.contains(path), "the application was reached in plain text");
    Ok("the connection is closed before any answer".to_owned())
}
