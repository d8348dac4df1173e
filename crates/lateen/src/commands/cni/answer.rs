//! The plugin's questions, answered.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use lateen_capture::pod::{Decision, Pod};
use lateen_cni::pod::{Mesh, Verdict};
use lateen_cni::wire::{Answer, Ask, LONGEST, What};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::{UnixListener, UnixStream};

use super::metrics::{Became, Metrics};
use super::namespace::within;
use super::pods::Pods;
use crate::commands::capture::filter::Filter;
use crate::commands::capture::{self, machine};

/// Who answers.
#[derive(Clone)]
pub(super) struct Answers {
    pub(super) pods: Pods,
    pub(super) mesh: Arc<Mesh>,
    pub(super) filter: Filter,
    pub(super) metrics: Arc<Metrics>,
}

/// Listens where the plugin asks. Only root may ask: what it sends is acted upon.
///
/// # Errors
/// When the socket cannot be made.
pub(super) fn listen(socket: &Path) -> anyhow::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt;

    let failed = || format!("cannot listen on {}", socket.display());
    if let Some(folder) = socket.parent() {
        std::fs::create_dir_all(folder).with_context(failed)?;
        std::fs::set_permissions(folder, PermissionsExt::from_mode(0o700)).with_context(failed)?;
    }
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(failed);
        }
        _ => {}
    }
    let listener = UnixListener::bind(socket).with_context(failed)?;
    std::fs::set_permissions(socket, PermissionsExt::from_mode(0o600)).with_context(failed)?;
    Ok(listener)
}

impl Answers {
    /// Answers until it is dropped, each question on its own.
    pub(super) async fn run(self, listener: UnixListener) {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!("a question of the plugin is lost: {error}");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    continue;
                }
            };
            let answers = self.clone();
            tokio::spawn(async move {
                if let Err(error) = answers.serve(stream).await {
                    tracing::warn!("a question of the plugin cannot be answered: {error:#}");
                }
            });
        }
    }

    async fn serve(&self, mut stream: UnixStream) -> anyhow::Result<()> {
        let (question, namespace) = receive(&stream).await?;
        let answer = self.answer(&question, namespace).await;
        let (became, text) = match &answer {
            Answer::Captured => (Became::Captured, String::new()),
            Answer::Left(why) => (Became::Left, why.clone()),
            Answer::Refused(why) => (Became::Refused, why.clone()),
            Answer::Unknown(why) => (Became::Unknown, why.clone()),
        };
        self.metrics.asked(became);
        let Ask { what, namespace, name } = &question;
        tracing::info!(?what, %namespace, %name, "{became:?} {text}");
        let line = format!("{}\n", serde_json::to_string(&answer)?);
        stream.write_all(line.as_bytes()).await?;
        Ok(())
    }

    async fn answer(&self, question: &Ask, namespace: OwnedFd) -> Answer {
        match self.pods.get(&question.namespace, &question.name).await {
            Ok(Some(pod)) => self.decide(&pod, question.what, namespace).await,
            Ok(None) => Answer::Unknown("the API server has no such pod".to_owned()),
            Err(error) => Answer::Unknown(format!("the API server does not say: {error}")),
        }
    }

    /// Captures a pod, as the API server has it, in its network namespace, if it is to be; or looks
    /// whether it is.
    pub(super) async fn decide(
        &self,
        pod: &serde_json::Value,
        what: What,
        namespace: OwnedFd,
    ) -> Answer {
        let ours = match self.mesh.verdict(pod) {
            Verdict::Left(why) => return Answer::Left(why.to_owned()),
            Verdict::Ours(ours) => ours,
        };
        let filter = self.filter;
        let done = within(namespace, move || carry_out(ours, what, filter)).await;
        done.unwrap_or_else(|error| Answer::Refused(format!("{error:#}")))
    }
}

/// In the pod's network namespace.
fn carry_out(mut pod: Pod, what: What, filter: Filter) -> anyhow::Result<Answer> {
    pod.ipv6 = machine::ipv6(pod.dual_stack());
    let outcome = match pod.decide()? {
        Decision::Captured(outcome) => outcome,
        Decision::NotCaptured(why) => return Ok(Answer::Left(why.to_owned())),
    };
    for notice in &outcome.notices {
        tracing::warn!("{notice}");
    }
    let settings = machine::numbered(outcome.settings)?;
    match what {
        What::Capture => capture::apply(&settings, filter)?,
        What::Check if capture::is_in_place(&settings, filter)? => {}
        What::Check => return Ok(Answer::Refused("its rules are not in place".to_owned())),
    }
    Ok(Answer::Captured)
}

/// A question, and the network namespace that came with it.
async fn receive(stream: &UnixStream) -> anyhow::Result<(Ask, OwnedFd)> {
    let mut line = Vec::new();
    let mut namespace = None;
    while !line.ends_with(b"\n") {
        anyhow::ensure!(line.len() < LONGEST, "it is longer than {LONGEST} bytes");
        let mut buffer = [0; 4096];
        let (count, file) = stream
            .async_io(Interest::READABLE, || receive_some(stream, &mut buffer))
            .await
            .context("it cannot be read")?;
        anyhow::ensure!(count > 0, "it ends early");
        line.extend_from_slice(&buffer[..count]);
        namespace = namespace.or(file);
    }
    let question = serde_json::from_slice(&line).context("it is not understood")?;
    Ok((question, namespace.context("no network namespace came with it")?))
}

fn receive_some(stream: &UnixStream, buffer: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(stream, &mut [IoSliceMut::new(buffer)], &mut ancillary, flags)?;
    let mut file = None;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(files) = message {
            file = files.last();
        }
    }
    Ok((received.bytes, file))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs::File;
    use std::io::{BufRead, BufReader};
    use std::os::unix::fs::symlink;
    use std::process::{Child, Command, Stdio};

    use super::super::namespace::with_address;
    use super::*;

    /// The network of a pod, for as long as its only process runs.
    struct Sandbox(Child);

    impl Drop for Sandbox {
        fn drop(&mut self) {
            // It may have ended by itself.
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    impl Sandbox {
        /// `None` where the machine does not let us, and then it is said.
        fn make(addresses: &[&str]) -> Option<Self> {
            let mut script = "ip link set lo up && ip link add eth0 type veth peer name eth1 && \
                              ip link set eth0 up"
                .to_owned();
            for address in addresses {
                let undetected = if address.contains(':') { " nodad" } else { "" };
                script.push_str(&format!(" && ip addr add {address} dev eth0{undetected}"));
            }
            script.push_str(" && echo made && exec sleep 600");
            let mut command = Command::new("unshare");
            command.args(["--net", "sh", "-c", &script]).stdout(Stdio::piped());
            let mut sandbox = Self(command.spawn().unwrap());
            let mut said = String::new();
            let output = sandbox.0.stdout.take().unwrap();
            BufReader::new(output).read_line(&mut said).unwrap();
            if said != "made\n" {
                eprintln!("not tested: network namespaces cannot be made here");
                return None;
            }
            Some(sandbox)
        }

        fn path(&self) -> String {
            format!("/proc/{}/ns/net", self.0.id())
        }

        fn file(&self) -> OwnedFd {
            File::open(self.path()).unwrap().into()
        }

        /// What a program of the system prints inside.
        fn prints(&self, words: &[&str]) -> String {
            let namespace = format!("--net={}", self.path());
            let output = Command::new("nsenter").arg(namespace).args(words).output().unwrap();
            assert!(output.status.success(), "{words:?}: {output:?}");
            String::from_utf8(output.stdout).unwrap()
        }

        async fn answer(&self, pod: &Pod, what: What, filter: Filter) -> Answer {
            let pod = pod.clone();
            within(self.file(), move || carry_out(pod, what, filter)).await.unwrap()
        }
    }

    fn pod(mode: &str, dual_stack: bool) -> Pod {
        let text = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let annotations = BTreeMap::from([
            text("sidecar.istio.io/status", "{}"),
            text("sidecar.istio.io/interceptionMode", mode),
        ]);
        let environment = BTreeMap::from([text("ISTIO_DUAL_STACK", &dual_stack.to_string())]);
        // In TPROXY mode the proxy is root, and told by its group.
        let user = Some(if mode == "TPROXY" { 0 } else { 1337 });
        Pod { annotations, environment, user, group: Some(1337), ipv6: false }
    }

    #[tokio::test]
    async fn rules_come_into_the_pods_network_and_nowhere_else() {
        const V4: &str = "10.9.0.1/24";
        const V6: &str = "fd00:9::1/64";
        let own = || std::fs::read_link("/proc/self/ns/net").unwrap();
        let before = own();
        for (addresses, mode, nftables, families) in [
            (&[V4][..], "REDIRECT", false, (true, false)),
            (&[V4], "TPROXY", true, (true, false)),
            (&[V6], "REDIRECT", false, (false, true)),
            (&[V6], "TPROXY", true, (false, true)),
            (&[V4, V6], "TPROXY", false, (true, true)),
        ] {
            let Some(sandbox) = Sandbox::make(addresses) else { return };
            let case = format!("{addresses:?} {mode} {nftables}");
            let pod = pod(mode, addresses.len() > 1);
            let filter = Filter::chosen(nftables);
            let missing = sandbox.answer(&pod, What::Check, filter).await;
            assert!(matches!(missing, Answer::Refused(_)), "{case}: {missing:?}");
            for what in [What::Capture, What::Check, What::Capture] {
                assert_eq!(sandbox.answer(&pod, what, filter).await, Answer::Captured, "{case}");
            }
            // As the system's own programs see it.
            if nftables {
                assert!(sandbox.prints(&["nft", "list", "ruleset"]).contains("15006"), "{case}");
            } else {
                assert!(sandbox.prints(&["iptables-save"]).contains("15006"), "{case}");
                let v6 = sandbox.prints(&["ip6tables-save"]).contains("15006");
                assert_eq!(v6, families.1, "{case}");
            }
            let passthrough = sandbox.prints(&["ip", "-6", "addr", "show", "dev", "lo"]);
            assert_eq!(passthrough.contains("::6/128"), families.1, "{case}");
            for (family, is_there) in [("-4", families.0 || mode == "TPROXY"), ("-6", families.1)] {
                let marked = sandbox.prints(&["ip", family, "rule"]).contains("0x539");
                assert_eq!(marked, mode == "TPROXY" && is_there, "{case} {family}");
            }
        }
        assert_eq!(own(), before);
    }

    #[tokio::test]
    async fn what_is_wrong_in_a_pod_reaches_whoever_asks() {
        let Some(sandbox) = Sandbox::make(&["10.9.0.1/24"]) else { return };
        let mut wrong = pod("REDIRECT", false);
        let name = "traffic.sidecar.istio.io/includeInboundPorts";
        wrong.annotations.insert(name.to_owned(), "http".to_owned());
        let work = move || carry_out(wrong, What::Capture, Filter::Iptables);
        let error = within(sandbox.file(), work).await.unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        let none = sandbox.answer(&pod("NONE", false), What::Capture, Filter::Iptables).await;
        assert!(matches!(none, Answer::Left(_)), "{none:?}");
        assert!(!sandbox.prints(&["iptables-save"]).contains("ISTIO"));
    }

    #[tokio::test]
    async fn a_pods_network_is_found_by_its_address() {
        let Some(one) = Sandbox::make(&["10.9.0.1/24"]) else { return };
        let Some(other) = Sandbox::make(&["10.9.0.2/24", "fd00:9::2/64"]) else { return };
        let folder = tempfile::tempdir().unwrap();
        symlink(one.path(), folder.path().join("cni-1")).unwrap();
        symlink(other.path(), folder.path().join("cni-2")).unwrap();
        std::fs::write(folder.path().join("cni-3"), "what is left of one").unwrap();
        for (address, expected) in [
            ("10.9.0.1", Some(&one)),
            ("10.9.0.2", Some(&other)),
            ("fd00:9::2", Some(&other)),
            ("10.9.0.3", None),
        ] {
            let found = with_address(folder.path(), vec![address.parse().unwrap()]).await.unwrap();
            let inode = |file: OwnedFd| rustix::fs::fstat(&file).unwrap().st_ino;
            assert_eq!(found.map(inode), expected.map(|it| inode(it.file())), "{address}");
        }
    }
}
