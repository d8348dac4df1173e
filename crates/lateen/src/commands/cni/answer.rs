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
