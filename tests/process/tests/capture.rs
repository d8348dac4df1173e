//! `lateen capture` against the kernel: the rules are applied, checked, replaced and cleaned in a
//! network namespace of the test's own, and real connections end where Istio's contract says.
//!
//! Network namespaces need root. Without it these tests say so and end.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use lateen_process_tests::peers;
use lateen_testkit::mesh::binary;
use lateen_testkit::program::{Program, run};
use lateen_testkit::wait;

const LIMIT: Duration = Duration::from_secs(10);
const POD: &str = "10.9.0.1";
const PEER: &str = "10.9.0.2";
const POD_V6: &str = "fd00:9::1";
const PEER_V6: &str = "fd00:9::2";
/// The user of an application, and that of the proxy.
const APPLICATION: u32 = 1000;
const PROXY: u32 = 1337;

/// The two ways to write rules.
const FILTERS: [&str; 2] = ["--native-nftables=false", "--native-nftables"];

/// What an injected pod asks for.
const POD_FLAGS: [&str; 8] = ["-p", "15001", "-b", "*", "-d", "15090,15021,15020", "-i", "*"];

/// A network namespace, for as long as its only process runs.
struct Namespace(Program);

impl Namespace {
    fn make(name: &str, folder: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new("unshare");
        command.args(["--net", "sleep", "600"]);
        let holder = Program::start(name, command, folder)?;
        let of = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/net"));
        wait::until("the network namespace is made", LIMIT, || {
            let made = of(&holder.id().to_string())? != of("self")?;
            anyhow::ensure!(made, "not yet: {}", holder.output());
            Ok(())
        })?;
        Ok(Self(holder))
    }

    /// A command that runs inside.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg("--net").args(["--target", &self.0.id().to_string(), "--"]).arg(program);
        command
    }

    /// Runs a command inside to its end; its exit code and all that it printed.
    fn run(&self, program: &Path, arguments: &[&str]) -> anyhow::Result<(i32, String)> {
        let output = self.command(program).args(arguments).output()?;
        let mut text = String::from_utf8(output.stdout)?;
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        Ok((output.status.code().context("a signal ends it")?, text))
    }

    /// Runs a program of the system that has to succeed; what it printed.
    fn system(&self, line: &str) -> anyhow::Result<String> {
        let mut words = line.split_whitespace();
        let program = words.next().context("no program")?;
        let (code, text) = self.run(Path::new(program), &words.collect::<Vec<_>>())?;
        anyhow::ensure!(code == 0, "{line}: {text}");
        Ok(text)
    }
}

/// A pod and a machine beside it, each with its network.
struct Bed {
    pod: Namespace,
    peer: Namespace,
    folder: tempfile::TempDir,
}

impl Bed {
    /// `None` where the machine does not let us, and then it is said.
    fn make() -> anyhow::Result<Option<Self>> {
        let (status, text) = run("unshare", ["--net", "true"])?;
        if !status.success() {
            eprintln!("not tested: network namespaces cannot be made here: {}", text.trim());
            return Ok(None);
        }
        let folder = tempfile::tempdir()?;
        let pod = Namespace::make("pod", folder.path())?;
        let peer = Namespace::make("peer", folder.path())?;
        let other = peer.0.id();
        pod.system(&format!("ip link add eth0 type veth peer name eth0 netns {other}"))?;
        for (namespace, v4, v6) in [(&pod, POD, POD_V6), (&peer, PEER, PEER_V6)] {
            namespace.system(&format!("ip addr add {v4}/24 dev eth0"))?;
            namespace.system(&format!("ip -6 addr add {v6}/64 dev eth0 nodad"))?;
            namespace.system("ip link set eth0 up")?;
            namespace.system("ip link set lo up")?;
        }
        Ok(Some(Self { pod, peer, folder }))
    }

    /// `lateen capture` in the pod; its exit code and all that it printed.
    fn capture(&self, action: &str, flags: &[&str]) -> anyhow::Result<(i32, String)> {
        self.pod.run(&binary(), &[&["capture", action], flags].concat())
    }

    /// The same, where it has to succeed.
    fn done(&self, action: &str, flags: &[&str]) -> anyhow::Result<String> {
        let (code, text) = self.capture(action, flags)?;
        anyhow::ensure!(code == 0, "{action} {flags:?} ends with {code}: {text}");
        Ok(text)
    }

    fn serve(
        &self,
        at: &Namespace,
        name: &str,
        user: u32,
        places: &[&str],
    ) -> anyhow::Result<Program> {
        let mut command = at.command(peers::python()?);
        command.arg("-u").arg(script()).arg("serve").arg(user.to_string()).args(places);
        let program = Program::start(name, command, self.folder.path())?;
        wait::until(&format!("{name} listens"), LIMIT, || {
            anyhow::ensure!(program.output().contains("ready"), "{}", program.output());
            Ok(())
        })?;
        Ok(program)
    }

    /// Everything that listens in the pod, and in the machine beside it. The agent is the proxy's
    /// user, by which the kernel tells its answers.
    fn listeners(&self) -> anyhow::Result<[Program; 3]> {
        let pod = [
            "tcp:outbound:15001",
            "tproxy:inbound:15006",
            "tcp:application:8080",
            "tcp:tunnel:15008",
            "tcp:agent:15020",
        ];
        let agent = ["udp-local:dns:15053", "tcp-local:dns:15053"];
        let peer = ["tcp:peer:80", "tcp:peer:8080", "udp:peer:53", "tcp:peer:53"];
        Ok([
            self.serve(&self.pod, "listeners", 0, &pod)?,
            self.serve(&self.pod, "agent", PROXY, &agent)?,
            self.serve(&self.peer, "beside", 0, &peer)?,
        ])
    }

    /// Who answers a user, with the port that the kernel says the connection was made to.
    fn ask(&self, at: &Namespace, user: u32, to: &str) -> anyhow::Result<String> {
        let python = peers::python()?;
        let (script, user) = (script(), user.to_string());
        let mut arguments = vec![script.to_str().context("a path")?, "ask", &user];
        arguments.extend(to.split_whitespace());
        let (code, text) = at.run(&python, &arguments)?;
        anyhow::ensure!(code == 0, "{to}: {text}");
        Ok(text.trim().to_owned())
    }

    /// Asks a table of questions: in the pod unless the user is 0, which stands for the machine beside.
    fn expect(&self, what: &str, table: &[(u32, &str, &str)]) -> anyhow::Result<()> {
        let mut wrong = Vec::new();
        for (user, to, expected) in table {
            let at = if *user == 0 { &self.peer } else { &self.pod };
            let answer = self.ask(at, *user, to)?;
            if answer != *expected {
                wrong.push(format!("{user} to {to}: {answer}, expected {expected}"));
            }
        }
        anyhow::ensure!(wrong.is_empty(), "{what}:\n{}", wrong.join("\n"));
        Ok(())
    }

    /// All rules of both packet filters, without counters and times.
    fn rules(&self) -> anyhow::Result<String> {
        let mut text = String::new();
        for command in ["iptables-save", "ip6tables-save", "nft -s list ruleset inet"] {
            text.push_str(&self.pod.system(command)?);
        }
        // A table of iptables' is made when it is first looked at, and stays.
        let ours =
            |line: &&str| line.starts_with(":ISTIO") || !line.starts_with(['#', ':', '*', 'C']);
        Ok(text.lines().filter(ours).collect::<Vec<_>>().join("\n"))
    }
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/captured.py")
}

fn flags<'f>(filter: &'f str, more: &[&'f str]) -> Vec<&'f str> {
    [&POD_FLAGS, more, &[filter]].concat()
}

/// Where there is nothing; applied; applied again; with other settings; cleaned; cleaned again.
#[test]
fn rules_are_applied_checked_replaced_and_cleaned() -> anyhow::Result<()> {
    let Some(bed) = Bed::make()? else { return Ok(()) };
    bed.pod.system("iptables -t nat -A OUTPUT -p tcp --dport 9 -j ACCEPT")?;
    bed.pod.system("nft add table inet others")?;
    let before = bed.rules()?;
    for filter in FILTERS {
        for more in [
            &[][..],
            &["-m", "TPROXY", "--enable-ipv6", "--redirect-dns", "--capture-all-dns"],
            &["-k", "vm0,vm1", "-c", "other0", "-x", "10.1.2.3/8,fd00::/8", "--drop-invalid"],
            &["-b", "8080", "-i", "0.0.0.0/0,::/0", "-q", "80", "-o", "81", "--dual-stack"],
        ] {
            let flags = flags(filter, more);
            let (code, text) = bed.capture("check", &flags)?;
            assert_eq!((code, text.contains("nothing of it is there")), (126, true), "{text}");

            bed.done("apply", &flags)?;
            bed.done("check", &flags)?;
            let applied = bed.rules()?;
            assert!(applied.len() > before.len(), "{applied}");

            let again = bed.done("apply", &flags)?;
            assert!(
                again.lines().all(|line| line.ends_with("nothing to do") || line.contains("note")),
                "{again}"
            );
            assert_eq!(bed.rules()?, applied);

            // Other settings over these, and back.
            let others = [filter, "-u", "7", "-b", "9090", "-i", "10.0.0.0/8", "--enable-ipv6"];
            bed.done("apply", &others)?;
            bed.done("check", &others)?;
            let (code, text) = bed.capture("check", &flags)?;
            assert_eq!((code, text.contains("missing: ")), (126, true), "{text}");
            bed.done("apply", &flags)?;
            bed.done("check", &flags)?;

            bed.done("clean", &flags)?;
            assert_eq!(bed.rules()?.trim(), before.trim(), "{flags:?}");
            let left = bed.pod.system("ip rule")? + &bed.pod.system("ip -6 rule")?;
            assert!(!left.contains("lookup 133"), "{left}");
            assert!(!bed.pod.system("ip -6 addr show dev lo")?.contains("::6/128"));
            let again = bed.done("clean", &flags)?;
            assert!(
                again.lines().all(|line| line.ends_with("nothing to do") || line.contains("note")),
                "{again}"
            );
        }
    }
    Ok(())
}

/// A rule that somebody took out, or put in, is found and mended; rules of others do not count.
#[test]
fn what_others_change_is_found_and_mended() -> anyhow::Result<()> {
    let Some(bed) = Bed::make()? else { return Ok(()) };
    let tamperings = [
        (FILTERS[0], "iptables -t nat -D ISTIO_INBOUND -p tcp --dport 15021 -j RETURN"),
        (FILTERS[0], "iptables -t nat -I ISTIO_OUTPUT 1 -j RETURN"),
        (FILTERS[0], "iptables -t nat -F OUTPUT"),
        (FILTERS[0], "iptables -t mangle -N ISTIO_DROP"),
        (FILTERS[1], "nft insert rule inet istio-proxy-nat istio-output return"),
        (FILTERS[1], "nft flush chain inet istio-proxy-nat prerouting"),
        (FILTERS[1], "nft add table inet istio-proxy-raw"),
    ];
    for (filter, tampering) in tamperings {
        let flags = flags(filter, &[]);
        bed.done("apply", &flags)?;
        bed.pod.system(tampering)?;
        let (code, text) = bed.capture("check", &flags)?;
        assert_eq!(code, 126, "{tampering}: {text}");
        bed.done("apply", &flags)?;
        bed.done("check", &flags)?;
        bed.done("clean", &flags)?;
    }
    Ok(())
}

#[test]
fn connections_end_where_the_contract_says() -> anyhow::Result<()> {
    let Some(bed) = Bed::make()? else { return Ok(()) };
    let _listeners = bed.listeners()?;
    let untouched = [
        (APPLICATION, "10.9.0.2 80", "peer 80"),
        (0, "10.9.0.1 8080", "application 8080"),
        (0, "fd00:9::1 8080", "application 8080"),
    ];
    bed.expect("before", &untouched)?;
    for filter in FILTERS {
        let all = flags(filter, &["--enable-ipv6", "--redirect-dns", "--capture-all-dns"]);
        bed.done("apply", &all)?;
        bed.expect(
            filter,
            &[
                // The application's traffic goes to the proxy, wherever it is meant to go.
                (APPLICATION, "10.9.0.2 80", "outbound 15001"),
                (APPLICATION, "10.9.0.77 1", "outbound 15001"),
                (APPLICATION, "fd00:9::2 80", "outbound 15001"),
                // The proxy's own does not.
                (PROXY, "10.9.0.2 80", "peer 80"),
                (PROXY, "fd00:9::2 80", "peer 80"),
                // The proxy to its own pod: inbound. The application to itself: left alone.
                (PROXY, "10.9.0.1 8080", "inbound 15006"),
                (PROXY, "fd00:9::1 8080", "inbound 15006"),
                (APPLICATION, "10.9.0.1 8080", "application 8080"),
                (APPLICATION, "127.0.0.1 8080", "application 8080"),
                (PROXY, "127.0.0.1 8080", "application 8080"),
                (PROXY, "::1 8080", "application 8080"),
                // What the proxy passes through, from the address that says so.
                (PROXY, "10.9.0.1 8080 127.0.0.6", "application 8080"),
                (PROXY, "fd00:9::1 8080 ::6", "application 8080"),
                // What arrives, but for the ports that are left alone.
                (0, "10.9.0.1 8080", "inbound 15006"),
                (0, "fd00:9::1 8080", "inbound 15006"),
                (0, "10.9.0.1 1", "inbound 15006"),
                (0, "10.9.0.1 15008", "tunnel 15008"),
                (0, "10.9.0.1 15020", "agent 15020"),
                // Name servers.
                (APPLICATION, "10.9.0.2 53 udp", "dns 15053"),
                (APPLICATION, "10.9.0.2 53", "dns 15053"),
                (PROXY, "10.9.0.2 53 udp", "peer 53"),
            ],
        )?;
        let some = ["-b", "8080", "-i", "10.9.0.64/26", "-q", "8080", "-x", "10.9.0.77/32", filter];
        bed.done("apply", &some)?;
        bed.expect(
            filter,
            &[
                (APPLICATION, "10.9.0.2 80", "peer 80"),
                (APPLICATION, "10.9.0.2 8080", "outbound 15001"),
                (APPLICATION, "10.9.0.78 1", "outbound 15001"),
                (APPLICATION, "10.9.0.77 1", "nobody"),
                (0, "10.9.0.1 8080", "inbound 15006"),
                (0, "10.9.0.1 15020", "agent 15020"),
                (0, "10.9.0.1 1", "nobody"),
            ],
        )?;
        bed.done("clean", &some)?;
        bed.expect("after", &untouched)?;
    }
    Ok(())
}

/// The proxy takes the packets as they are: the kernel says the port that the client dialled.
#[test]
fn transparent_connections_keep_their_destination() -> anyhow::Result<()> {
    let Some(bed) = Bed::make()? else { return Ok(()) };
    let _listeners = bed.listeners()?;
    for filter in FILTERS {
        let flags = flags(filter, &["-m", "TPROXY", "--enable-ipv6"]);
        bed.done("apply", &flags)?;
        bed.expect(
            filter,
            &[
                (0, "10.9.0.1 8080", "inbound 8080"),
                (0, "fd00:9::1 8080", "inbound 8080"),
                (0, "10.9.0.1 1", "inbound 1"),
                (0, "10.9.0.1 15020", "agent 15020"),
                (APPLICATION, "10.9.0.2 80", "outbound 15001"),
                (APPLICATION, "10.9.0.1 8080", "application 8080"),
                (PROXY, "10.9.0.2 80", "peer 80"),
                (PROXY, "127.0.0.1 8080", "application 8080"),
                (PROXY, "10.9.0.1 8080 127.0.0.6", "application 8080"),
            ],
        )?;
        bed.done("clean", &flags)?;
    }
    Ok(())
}

/// All of it is said at once, in the words of the command line and of variables; nothing is written.
#[test]
fn wrong_settings_are_refused_before_anything_runs() -> anyhow::Result<()> {
    let output = Command::new(binary())
        .args(["capture", "apply", "-b", "http", "-p", "0"])
        .env("ISTIO_OUTBOUND_OWNER_GROUPS", "no-such-group-here")
        .env("ISTIO_SERVICE_CIDR", "10.0.0.0")
        .env("PATH", "")
        .output()?;
    let said = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(2), "{said}");
    for place in ["--istio-inbound-ports: \"http\"", "--envoy-port: \"0\"", "ISTIO_SERVICE_CIDR"] {
        assert!(said.contains(place), "{said}");
    }
    let output = Command::new(binary())
        .args(["capture", "apply"])
        .env("ISTIO_OUTBOUND_OWNER_GROUPS", "no-such-group-here")
        .output()?;
    let said = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("\"no-such-group-here\" is no group"), "{said}");
    Ok(())
}
