//! `authz-envoy`: the cases of `authz`, decided by a stock Envoy.
//!
//! Each file is lowered as the control plane does it for a sidecar behind iptables, and its
//! `virtualInbound` listens in one Envoy. What a case says of the connection is made true: addresses
//! by a PROXY header in place of iptables, the caller's identity by mutual TLS with a certificate for
//! it, the trusted client's address by `x-forwarded-for`. Nothing else of the listener is changed.

mod application;
mod certificates;
mod client;
mod config;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use lateen_api::Kind;
use lateen_testkit::program::Program;
use lateen_testkit::wait;
use serde_json::Value;

use self::application::Application;
use self::certificates::Authority;
use crate::case::{self, list, text};
use crate::mesh::Objects;
use crate::tally::{Tally, Verdict};

/// One file, with what became of its objects.
struct Case {
    file: PathBuf,
    content: Value,
    objects: Objects,
    /// The name of its listener, or why it has none.
    listener: anyhow::Result<String>,
}

/// Runs all files in one Envoy.
pub fn run(files: &[PathBuf], tally: &mut Tally) -> anyhow::Result<()> {
    let authority = Authority::new()?;
    let application = Application::start()?;
    let mut bootstrap = config::Builder::new(&authority, application.address());
    let mut cases = Vec::new();
    for (number, file) in files.iter().enumerate() {
        let content = case::read(file)?;
        let (objects, client) = crate::authz::read(&content);
        let listener = objects
            .closure(&client)
            .and_then(|closure| bootstrap.listener(&format!("case-{number}"), closure));
        cases.push(Case { file: file.clone(), content, objects, listener });
    }
    let folder = tempfile::tempdir().context("no folder for Envoy's files")?;
    let envoy = Envoy::start(&bootstrap.encode(), folder)?;
    for case in &cases {
        for request in list(&case.content, "requests") {
            let name = format!("{}#{}", text(&case.content, "name"), request["id"]);
            let verdict = judge(case, &envoy, &authority, request)
                .with_context(|| format!("{}: {name}", case.file.display()))?;
            tally.record(&name, verdict);
        }
    }
    Ok(())
}

fn judge(
    case: &Case,
    envoy: &Envoy,
    authority: &Authority,
    request: &Value,
) -> anyhow::Result<Verdict> {
    let Case { objects, listener, .. } = case;
    let listener = match (listener, objects.not_honoured.first(), objects.refused.first()) {
        (_, Some(what), _) => return Ok(Verdict::Skipped(what.clone())),
        (_, _, Some(why)) => {
            return Ok(Verdict::Failed(format!("an object is refused: {why}")));
        }
        (Err(error), ..) => return Ok(Verdict::Failed(format!("{error:#}"))),
        (Ok(listener), ..) => listener,
    };
    let content = &request["request"];
    if !content["jwt"].is_null() && objects.has(Kind::RequestAuthentication) {
        return Ok(Verdict::Skipped("RequestAuthentication".to_owned()));
    }
    let address = envoy.listeners.get(listener).context("the listener is not there")?;
    let answer = client::ask(*address, authority, content)?;
    let expected = text(request, "expect");
    anyhow::ensure!(matches!(expected, "allow" | "deny"), "expect: {expected:?}");
    Ok(if answer.allowed() == (expected == "allow") {
        Verdict::Passed
    } else {
        Verdict::Failed(format!("{answer:?}, expected {expected}: {content}"))
    })
}

/// A running Envoy and where its listeners are.
struct Envoy {
    listeners: BTreeMap<String, SocketAddr>,
    /// Ends with this, before the folder with its files goes.
    _program: Program,
    _folder: tempfile::TempDir,
}

impl Envoy {
    fn start(bootstrap: &[u8], folder: tempfile::TempDir) -> anyhow::Result<Self> {
        let config = folder.path().join("bootstrap.pb");
        let admin = folder.path().join("admin");
        std::fs::write(&config, bootstrap)?;
        let mut command = Command::new(lateen_testkit::envoy::binary()?);
        command.args(["--disable-hot-restart", "--concurrency", "1", "-l", "warning", "-c"]);
        command.arg(&config).arg("--admin-address-path").arg(&admin);
        let mut program = Program::start("envoy", command, folder.path())?;
        let listeners = wait::until("Envoy's listeners", Duration::from_secs(30), || {
            program.running()?;
            let address: SocketAddr = std::fs::read_to_string(&admin)?.parse()?;
            client::listeners(address)
        })?;
        let said = program.output();
        anyhow::ensure!(said.is_empty(), "Envoy complains: {said}");
        Ok(Self { listeners, _program: program, _folder: folder })
    }
}
