//! `envoy --mode validate` on what meshes are lowered to, beside the run that serves them.
//!
//! An Envoy that is served a mesh over ADS refuses what it cannot take, and that fails the run. This
//! asks a fresh Envoy about the whole of it: the workloads under test, in local mode and captured.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use anyhow::{Context, anyhow};
use lateen_compiler::{Change, Client, Compiler, Options, Role};
use lateen_envoy::{Capture, Lowering, Part, Placement, Pool, dump};
use lateen_testkit::envoy::complaints;

use crate::scenario::{CLIENT, GATEWAY, SERVER};
use crate::side::namespace::FILES;

/// How many meshes may wait; whoever brings more waits with them.
const WAITING: usize = 4;

/// A mesh as a side served it.
#[derive(Debug, Clone, Default)]
pub struct Served {
    /// Its objects, as YAML.
    pub mesh: String,
    /// The files with certificates that it names, below the folder that each side has for them.
    pub files: BTreeMap<String, String>,
}

/// Validates meshes, one after another, on a thread of its own.
pub struct Validation {
    meshes: SyncSender<(String, Served)>,
    complaints: Receiver<String>,
    thread: JoinHandle<anyhow::Result<usize>>,
}

impl Validation {
    /// Starts the thread; `captured`: not only what runs, in local mode, but also what proxies have whose
    /// traffic is captured. `None` where no Envoy is given to validate with (`LATEEN_ENVOY`).
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start(captured: bool) -> anyhow::Result<Option<Self>> {
        let Some(envoy) = std::env::var_os("LATEEN_ENVOY") else { return Ok(None) };
        let (meshes, waiting) = sync_channel(WAITING);
        let (complain, complaints) = channel();
        let thread = std::thread::Builder::new()
            .name("validation".to_owned())
            .spawn(move || validate_all(&envoy, captured, &waiting, &complain))?;
        Ok(Some(Self { meshes, complaints, thread }))
    }

    /// Has a mesh validated; `what` names it in complaints.
    ///
    /// # Errors
    /// When the thread has ended, which it says by [`finish`](Self::finish).
    pub fn add(&self, what: &str, served: Served) -> anyhow::Result<()> {
        let sent = self.meshes.send((what.to_owned(), served));
        sent.map_err(|_| anyhow!("nothing validates any more"))
    }

    /// What was found by now.
    pub fn complaints(&self) -> Vec<String> {
        self.complaints.try_iter().collect()
    }

    /// Waits for the meshes that wait. How many configurations were validated, and the complaints that
    /// nobody has read yet.
    ///
    /// # Errors
    /// When Envoy cannot be asked at all.
    pub fn finish(self) -> anyhow::Result<(usize, Vec<String>)> {
        drop(self.meshes);
        let count = self.thread.join().map_err(|_| anyhow!("validating panicked"))??;
        Ok((count, self.complaints.try_iter().collect()))
    }
}

fn validate_all(
    envoy: &OsString,
    captured: bool,
    meshes: &Receiver<(String, Served)>,
    complain: &Sender<String>,
) -> anyhow::Result<usize> {
    let mut count = 0;
    for (what, served) in meshes {
        let folder = tempfile::tempdir()?;
        let mesh = at_hand(&served, folder.path())?;
        for local in [true, false].into_iter().filter(|local| *local || captured) {
            for (name, lowerings) in lowered(&mesh, local)? {
                count += 1;
                let bootstrap = dump::bootstrap(&[&lowerings[0], &lowerings[1]])?;
                for line in complaints(Path::new(envoy), &bootstrap)? {
                    // Whoever listened may be gone.
                    let _ = complain.send(format!("{what}, {name} (local: {local}): {line}"));
                }
            }
        }
    }
    Ok(count)
}

/// The mesh with its files in this folder: what a side mounts is not seen from here.
fn at_hand(served: &Served, folder: &Path) -> anyhow::Result<String> {
    for (name, text) in &served.files {
        std::fs::write(folder.join(name), text)?;
    }
    Ok(served.mesh.replace(&format!("{FILES}/"), &format!("{}/", folder.display())))
}

/// What each of the proxies under test has, as its scope's and its own lowering.
fn lowered(mesh: &str, local: bool) -> anyhow::Result<Vec<(&'static str, [Lowering; 2])>> {
    let mut compiler = Compiler::new(Options { local, ..Options::default() });
    let objects = lateen_api::parse(mesh, "mesh.yaml").objects;
    compiler.apply(objects.into_iter().map(Arc::new).map(Change::Upsert));
    let workloads = compiler.workloads();
    let mut all = Vec::new();
    for under_test in [CLIENT, SERVER, GATEWAY] {
        let found = workloads
            .iter()
            .find(|client| format!("{}/{}", client.namespace, client.name) == under_test);
        let mut client = found.with_context(|| format!("no {under_test}"))?.clone();
        client.whole_scope = true;
        let role = compiler.role(&client.namespace, &client.name);
        client.role = role.with_context(|| format!("{under_test} is no workload"))?;
        all.push((under_test, lower(&mut compiler, &client, local)?));
    }
    Ok(all)
}

fn lower(compiler: &mut Compiler, client: &Client, local: bool) -> anyhow::Result<[Lowering; 2]> {
    let scope = compiler.scope(client);
    let roots = compiler.roots(scope, client);
    let mut resources = Vec::new();
    for (name, output) in compiler.closure(scope, roots) {
        resources.push((name.clone(), Arc::new(output.encoded.decode()?)));
    }
    let mut pool = Pool::default();
    Ok([Part::Scope, Part::Workload].map(|part| {
        let mut lowering = Lowering::new(Placement {
            role: match client.role {
                Role::Sidecar => lateen_envoy::Role::Sidecar,
                Role::Gateway => lateen_envoy::Role::Gateway,
            },
            part,
            capture: if local { Capture::Local } else { Capture::Redirect },
            ipv6: !local,
            agent: true,
            telemetry: true,
        });
        let known = resources.iter();
        lowering.apply(
            &mut pool,
            known.map(|(name, resource)| (name.clone(), Some(Arc::clone(resource)))),
        );
        lowering
    }))
}
