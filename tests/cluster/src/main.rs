//! `lateen-cluster`: a cluster of *node* depth that stays, for a developer. `./test cluster up` and
//! `./test cluster down` call it.

mod state;

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use std::os::unix::process::CommandExt;

use anyhow::Context;
use lateen_cluster_tests::images;
use lateen_testkit::cluster::node::namespaces::Slot;
use lateen_testkit::cluster::{Node, reaper};
use lateen_testkit::wait;

use state::State;

/// How long the cluster may take to stand. Some ten seconds are usual.
const PATIENCE: Duration = Duration::from_secs(300);

const USAGE: &str = "Usage: lateen-cluster up [ARCHIVE…] | down";

fn main() -> anyhow::Result<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let verb = arguments.next().unwrap_or_default();
    let archives: Vec<PathBuf> = arguments.map(PathBuf::from).collect();
    match verb.to_string_lossy().as_ref() {
        "up" => up(&archives)?,
        "down" => down()?,
        // What `up` leaves behind.
        "hold" => hold(&archives)?,
        _ => {
            eprintln!("{USAGE}");
            return Ok(ExitCode::from(2));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn up(archives: &[PathBuf]) -> anyhow::Result<()> {
    if let Some(state) = State::read()? {
        anyhow::ensure!(
            state.holder_runs(),
            "a cluster has died: ./test cluster down clears it away"
        );
        println!("It is up already.");
        return tell(&state);
    }
    let log = State::log()?;
    let output = std::fs::File::create(&log)?;
    let mut holder = Command::new(std::env::current_exe()?)
        .arg("hold")
        .args(archives)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .process_group(0)
        .spawn()?;
    let state = wait::until("the cluster stands", PATIENCE, || {
        if let Some(status) = holder.try_wait()? {
            // Said at once, not at the limit.
            return Ok(Err(status));
        }
        State::read()?.context("not yet").map(Ok)
    })?;
    match state {
        Ok(state) => tell(&state),
        Err(status) => anyhow::bail!("{status}:\n{}", std::fs::read_to_string(&log)?),
    }
}

fn tell(state: &State) -> anyhow::Result<()> {
    println!("export KUBECONFIG={}", state.folder.join("admin.kubeconfig").display());
    println!("export PATH={}:$PATH", state.programs.display());
    Ok(())
}

/// Has the cluster until this process is killed; its reaper does the rest.
fn hold(archives: &[PathBuf]) -> anyhow::Result<()> {
    // A test of this program takes its turn with the other tests.
    let is_test = std::env::var_os("LATEEN_CLUSTER_IS_TEST").is_some();
    let node = Node::start_in(if is_test { Slot::Test } else { Slot::Developer })?;
    images::import(&node)?;
    for archive in archives {
        node.import(archive)?;
    }
    let state = State {
        holder: std::process::id(),
        folder: node.api().folder().to_owned(),
        programs: node.api().programs().folder().to_owned(),
    };
    state.write()?;
    loop {
        std::thread::park();
    }
}

/// Also what is left of a cluster whose holder, or reaper, was killed.
fn down() -> anyhow::Result<()> {
    let Some(state) = State::read()? else {
        println!("There is no cluster.");
        return Ok(());
    };
    if state.holder_runs() {
        let status = Command::new("kill").arg(state.holder.to_string()).status()?;
        anyhow::ensure!(status.success(), "the process {} cannot be ended", state.holder);
        wait::until("the cluster's holder ends", PATIENCE, || {
            anyhow::ensure!(!state.holder_runs(), "it runs");
            Ok(())
        })?;
    }
    reaper::sweep(&state.folder)?;
    State::remove()
}
