//! `authz`: policies and requests; whether each request is allowed. A case is one request.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::Context;
use http::{HeaderMap, HeaderName, HeaderValue};
use lateen_api::Kind;
use lateen_compiler::{Client, Role};
use lateen_engine::authorize::Peer;
use lateen_engine::{Plan, Request};
use serde_json::Value;

use crate::case::{self, labels, list, port, text};
use crate::mesh::Objects;
use crate::tally::{Tally, Verdict};

/// Runs the requests of one file.
pub fn run(file: &Path, tally: &mut Tally) -> anyhow::Result<()> {
    let case = case::read(file)?;
    let (objects, client) = read(&case);
    let plan = objects.plan(&client);
    for request in list(&case, "requests") {
        let name = format!("{}#{}", text(&case, "name"), request["id"]);
        let verdict = match (&plan, objects.not_honoured.first(), objects.refused.first()) {
            (_, Some(what), _) => Verdict::Skipped(what.clone()),
            (_, _, Some(why)) => Verdict::Failed(format!("an object is refused: {why}")),
            (Err(error), ..) => Verdict::Failed(format!("{error:#}")),
            (Ok(plan), ..) => judge(plan, &objects, request)
                .with_context(|| format!("{}: {name}", file.display()))?,
        };
        tally.record(&name, verdict);
    }
    Ok(())
}

/// The objects of a file, and the workload that its requests come to.
pub fn read(case: &Value) -> (Objects, Client) {
    let mut objects = Objects::default();
    objects.add_all(list(case, "policies"));
    objects.add_mesh_config(&case["meshConfig"]);
    let workload = &case["workload"];
    let client = Client {
        role: Role::Sidecar,
        namespace: text(workload, "namespace").to_owned(),
        name: "workload".to_owned(),
        labels: labels(workload, "labels"),
        ..Client::default()
    };
    (objects, client)
}

/// Asks the engine about one request, as the proxy does.
fn judge(plan: &Plan, objects: &Objects, case: &Value) -> anyhow::Result<Verdict> {
    let request = &case["request"];
    if !request["jwt"].is_null() && objects.has(Kind::RequestAuthentication) {
        return Ok(Verdict::Skipped("RequestAuthentication".to_owned()));
    }
    let identity = request["principal"].as_str().map(|principal| format!("spiffe://{principal}"));
    let address = |key: &str| -> anyhow::Result<Option<IpAddr>> {
        request[key].as_str().map(|text| text.parse().with_context(|| text.to_owned())).transpose()
    };
    let source = address("sourceIP")?.context("a request without sourceIP")?;
    let peer = Peer {
        identity: identity.as_deref(),
        source,
        remote: address("remoteIP")?.unwrap_or(source),
        destination: SocketAddr::new(
            address("destIP")?.unwrap_or(source),
            port(request, "port").context("a request without port")?,
        ),
        sni: request["sni"].as_str(),
    };
    let allowed = match text(request, "protocol") {
        "tcp" => plan.authorize_connection(&peer).allowed,
        "http" => allows(plan, &peer, request)?,
        other => anyhow::bail!("protocol {other:?}"),
    };
    let expected = text(case, "expect");
    anyhow::ensure!(matches!(expected, "allow" | "deny"), "expect: {expected:?}");
    Ok(if allowed == (expected == "allow") {
        Verdict::Passed
    } else {
        let seen = if allowed { "allowed" } else { "denied" };
        Verdict::Failed(format!("{seen}, expected {expected}: {request}"))
    })
}

fn allows(plan: &Plan, peer: &Peer<'_>, request: &Value) -> anyhow::Result<bool> {
    let mut headers = HeaderMap::new();
    for (name, value) in labels(request, "headers") {
        headers.append(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
    }
    // A path that cannot be normalised is answered with 400 before any policy is asked.
    let Some(path) = plan.settings().normalize(text(request, "path")) else { return Ok(false) };
    let request = Request {
        method: text(request, "method"),
        scheme: "http",
        authority: text(request, "host"),
        path_and_query: &path,
        headers: &headers,
    };
    Ok(plan.authorize_request(peer, &request).allowed)
}
