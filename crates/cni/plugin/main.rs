//! The CNI plugin: what a container runtime starts for each pod of its node. See the library.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use lateen_cni::chain;
use lateen_cni::protocol::{Call, Code, Failure};
use lateen_cni::wire::{Answer, Ask, LONGEST};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

/// How long the agent may take. Runtimes give a pod's network some minutes.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    match run() {
        Ok(text) => print(&text, ExitCode::SUCCESS),
        Err((failure, version)) => print(&failure.to_json(&version).to_string(), ExitCode::FAILURE),
    }
}

/// What is to be printed.
fn run() -> Result<String, (Failure, String)> {
    let mut input = String::new();
    io::stdin().read_to_string(&mut input).map_err(|error| {
        let failure = Failure::new(Code::Io, "standard input cannot be read", error);
        (failure, String::new())
    })?;
    let call = Call::read(|name| std::env::var(name).ok(), &input)?;
    let version = call.configuration.cni_version.clone();
    let answer = chain::answer(&call, |socket, question, netns| {
        ask(socket, question, netns).map_err(|error| format!("{}: {error}", socket.display()))
    });
    Ok(answer.map_err(|failure| (failure, version))?.map_or_else(String::new, |it| it.to_string()))
}

fn ask(socket: &Path, question: &Ask, netns: &Path) -> io::Result<Answer> {
    let netns = File::open(netns)?;
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let line = format!("{}\n", serde_json::to_string(question)?);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let files = [netns.as_fd()];
    if !ancillary.push(SendAncillaryMessage::ScmRights(&files)) {
        return Err(io::Error::other("no room for one open file"));
    }
    // The file goes with the first byte, whatever more of the line goes with it.
    let sent =
        sendmsg(&stream, &[IoSlice::new(line.as_bytes())], &mut ancillary, SendFlags::NOSIGNAL)?;
    stream.write_all(&line.as_bytes()[sent..])?;
    let mut answer = String::new();
    let limit = u64::try_from(LONGEST).unwrap_or(u64::MAX);
    BufReader::new(stream.take(limit)).read_line(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}

fn print(text: &str, code: ExitCode) -> ExitCode {
    // Nobody is left to be told when the runtime does not listen.
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}
