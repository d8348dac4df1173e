//! Checks that are a few requests each.

use std::time::Duration;

use anyhow::ensure;

use super::tool::{Answer, curl, curl_many};
use super::{Outcome, Site};

/// Authority of the catalog for callers inside the mesh.
pub const CATALOG: &str = "catalog.shop.svc.cluster.local";
const ORDERS: &str = "orders.shop.svc.cluster.local";
const OUTSIDE: &str = "shop.example";

fn expect(answer: &Answer, status: u16, what: &str) -> anyhow::Result<()> {
    ensure!(
        answer.status == status,
        "{what} was answered with {} instead of {status} ({})",
        answer.status,
        answer.body.trim()
    );
    Ok(())
}

/// The policy in the root namespace refuses `/forbidden` to an outside caller at the gateway and
/// to an inside caller at a sidecar, and nothing else.
pub async fn policy(site: &Site) -> Outcome {
    let inside = site.seen_from("visitor", "catalog")?;
    expect(&curl(site.gateway, OUTSIDE, "/").await?, 200, "GET / from outside")?;
    expect(&curl(inside, CATALOG, "/").await?, 200, "GET / from inside")?;
    for (address, host, side) in [(site.gateway, OUTSIDE, "outside"), (inside, CATALOG, "inside")] {
        let answer = curl(address, host, "/forbidden/fruit").await?;
        expect(&answer, 403, &format!("GET /forbidden/fruit from {side}"))?;
        ensure!(
            answer.body == "RBAC: access denied",
            "the refusal from {side} has the body {:?}",
            answer.body
        );
    }
    Ok("403 at the gateway and at a sidecar, 200 for the rest".to_owned())
}

/// The visitor may not read `/internal` of the catalog; the gateway may.
pub async fn caller_denied(site: &Site) -> Outcome {
    let inside = site.seen_from("visitor", "catalog")?;
    expect(&curl(inside, CATALOG, "/internal").await?, 403, "the visitor's GET /internal")?;
    expect(&curl(site.gateway, OUTSIDE, "/internal").await?, 200, "the gateway's GET /internal")?;
    Ok("403 for the visitor, 200 for the gateway".to_owned())
}

/// The second version of the catalog fails at `/fragile`, and no caller notices.
pub async fn retry(site: &Site) -> Outcome {
    const REQUESTS: u32 = 40;
    let inside = site.seen_from("visitor", "catalog")?;
    let answers = curl_many(inside, CATALOG, "/fragile", REQUESTS).await?;
    ensure!(answers.len() == REQUESTS as usize, "{} of {REQUESTS} were answered", answers.len());
    let bad = answers.iter().filter(|(status, _)| *status != 200).count();
    ensure!(bad == 0, "{bad} of {REQUESTS} requests failed");
    let log = std::fs::read_to_string(site.application_log("catalog-v2"))?;
    let failures = log
        .lines()
        .filter(|line| line.starts_with("GET /fragile") && line.contains(" 503 "))
        .count();
    ensure!(failures > 0, "the failing version was never asked, so nothing was shown");
    Ok(format!("{REQUESTS} of {REQUESTS} succeeded, {failures} attempts had failed"))
}

/// `/slow` takes two seconds; the route allows half of one.
pub async fn timeout(site: &Site) -> Outcome {
    let inside = site.seen_from("visitor", "orders")?;
    let answer = curl(inside, ORDERS, "/slow").await?;
    expect(&answer, 504, "GET /slow")?;
    ensure!(
        answer.elapsed < Duration::from_millis(1500),
        "the answer took {} ms",
        answer.elapsed.as_millis()
    );
    ensure!(answer.body == "upstream request timeout", "the body is {:?}", answer.body);
    Ok(format!("504 after {} ms", answer.elapsed.as_millis()))
}
