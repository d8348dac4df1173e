//! Starting a side in namespaces of its own: network, mounts, processes.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use super::protocol::Engine;

/// Where a side finds the files of a scenario, at the same path on both sides.
pub const FILES: &str = "/mnt";

/// Every address is local; names are resolved by the side itself; `/mnt` is the side's own, and so
/// are temporary files, whose names may come from process ids.
const SET_UP: &str = r#"
set -e
ip link set lo up
ip route add local 0.0.0.0/0 dev lo
mount -t tmpfs tmpfs /mnt
mkdir /mnt/tmp
export TMPDIR=/mnt/tmp
printf 'nameserver 127.0.0.1\noptions ndots:1 timeout:1 attempts:1\n' > /mnt/resolv.conf
printf '127.0.0.1 localhost\n' > /mnt/hosts
mount --bind /mnt/resolv.conf /etc/resolv.conf
mount --bind /mnt/hosts /etc/hosts
exec "$@"
"#;

/// The command that runs a side.
///
/// # Errors
/// When namespaces can be made neither as root nor as a user.
pub fn command(engine: Engine) -> anyhow::Result<Command> {
    let unshare = unshare()?;
    let mut command = Command::new("unshare");
    command
        .args(unshare)
        .args(["--", "sh", "-c", SET_UP, "side"])
        .arg(std::env::current_exe()?)
        .args(["side", engine.name()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    Ok(command)
}

/// Cuts the connections that lead to these addresses: those that proxies keep for later requests were
/// accepted under a former mesh, and go on under its listeners and its mode of mutual TLS.
///
/// # Errors
/// When `ss` (iproute2) cannot be run.
pub fn cut<'a>(addresses: impl Iterator<Item = &'a SocketAddr>) -> anyhow::Result<()> {
    let filters: Vec<String> = addresses.map(|address| format!("dst {address}")).collect();
    if filters.is_empty() {
        return Ok(());
    }
    let mut command = Command::new("ss");
    command.args(["--kill", "--no-header", "--tcp", "state", "established"]);
    // It says which it has cut, and grumbles about those that were ending anyway.
    let said =
        command.arg(filters.join(" or ")).output().context("the bed needs `ss` (iproute2)")?;
    drop(said);
    Ok(())
}

/// What `unshare` is told: with a user namespace where this is not root.
fn unshare() -> anyhow::Result<&'static [&'static str]> {
    const ROOT: &[&str] = &["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
    const USER: &[&str] = &[
        "--user",
        "--map-root-user",
        "--net",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ];
    let mut said = String::new();
    for arguments in [ROOT, USER] {
        let probe = Command::new("unshare")
            .args(arguments)
            .args(["--", "ip", "link", "set", "lo", "up"])
            .output()
            .context("the bed needs `unshare` (util-linux) and `ip` (iproute2)")?;
        if probe.status.success() {
            return Ok(arguments);
        }
        said.push_str(&String::from_utf8_lossy(&probe.stderr));
    }
    ensure!(
        said.is_empty(),
        "the bed cannot make network namespaces, neither as root nor in a user namespace:\n{said}"
    );
    anyhow::bail!("the bed cannot make network namespaces: `unshare` fails without a word")
}
