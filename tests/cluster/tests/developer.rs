//! The developer's cluster: it stays, is found again, and goes with all that it made, also when what
//! held it was killed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use lateen_cluster_tests::traces::{Traces, processes_of};
use lateen_testkit::cluster::programs::Programs;
use lateen_testkit::cluster::reaper;
use lateen_testkit::program::run;
use lateen_testkit::wait;

#[test]
fn it_stays_and_goes_even_after_a_kill() -> anyhow::Result<()> {
    let cache = tempfile::tempdir()?;
    let cluster = |verb: &str| -> anyhow::Result<String> {
        let output = Command::new(env!("CARGO_BIN_EXE_lateen-cluster"))
            .arg(verb)
            .env("XDG_CACHE_HOME", cache.path())
            .env("LATEEN_KUBERNETES", Programs::find()?.folder())
            .env("LATEEN_CLUSTER_IS_TEST", "yes")
            .output()?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "{verb}: {complaint}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let before = Traces::look()?;
    assert!(cluster("down")?.contains("no cluster"));

    let folder = folder(&cluster("up")?)?;
    assert_eq!(self::folder(&cluster("up")?)?, folder, "the same cluster");
    assert!(answers(&folder)?);
    cluster("down")?;
    assert_gone(&folder, &before)?;

    let folder = self::folder(&cluster("up")?)?;
    kill_all_that_watches(cache.path(), &folder)?;
    assert!(answers(&folder)?, "it runs, and nobody knows of it");
    cluster("down")?;
    assert_gone(&folder, &before)
}

/// The cluster's folder, from what `up` printed.
fn folder(printed: &str) -> anyhow::Result<PathBuf> {
    let line = printed.lines().find_map(|line| line.strip_prefix("export KUBECONFIG="));
    let kubeconfig = Path::new(line.context(printed.to_owned())?);
    Ok(kubeconfig.parent().context("a folder")?.to_owned())
}

fn answers(folder: &Path) -> anyhow::Result<bool> {
    let kubectl = Programs::find()?.path("kubectl");
    let kubeconfig = format!("--kubeconfig={}", folder.join("admin.kubeconfig").display());
    Ok(run(&kubectl.to_string_lossy(), [&kubeconfig, "get", "nodes"])?.0.success())
}

/// Kills who holds the cluster and, before, the shell that would clear it away.
fn kill_all_that_watches(cache: &Path, folder: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(cache.join("lateen/cluster.json"))?;
    let state: serde_json::Value = serde_json::from_str(&text)?;
    let holder = state["holder"].as_u64().context("a process")?.to_string();
    let argument = folder.to_string_lossy().into_owned();
    for entry in std::fs::read_dir("/proc")? {
        let path = entry?.path();
        // Processes end while one looks.
        let Ok(command) = std::fs::read(path.join("cmdline")) else { continue };
        let mut words = command.split(|byte| *byte == 0);
        let watches = words.any(|word| word == b"reaper")
            && words.any(|word| word == argument.as_bytes())
            && command.ends_with(format!("{}\0\0", reaper::MARK).as_bytes());
        if watches {
            let id = path.file_name().context("a process")?.to_string_lossy().into_owned();
            run("kill", ["-KILL", &id])?;
        }
    }
    run("kill", ["-KILL", &holder])?;
    wait::until("the holder is gone", Duration::from_secs(10), || {
        anyhow::ensure!(!Path::new("/proc").join(&holder).join("exe").exists(), "it runs");
        Ok(())
    })
}

fn assert_gone(folder: &Path, before: &Traces) -> anyhow::Result<()> {
    assert!(!folder.exists(), "{} is there", folder.display());
    assert_eq!(processes_of(folder)?, 0);
    assert_eq!(Traces::look()?.since(before), Vec::<String>::new());
    Ok(())
}
