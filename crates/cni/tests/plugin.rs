//! The plugin as a runtime starts it, with an agent that answers as the test says.

use std::io::{BufRead, BufReader, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::JoinHandle;

use lateen_cni::wire::{Answer, Ask};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::{Value, json};

/// Runs it for a pod whose network namespace is this test's.
fn run(command: &str, configuration: &Value) -> Output {
    let mut plugin = Command::new(env!("CARGO_BIN_EXE_lateen-cni"))
        .env_clear()
        .env("CNI_COMMAND", command)
        .env("CNI_CONTAINERID", "1")
        .env("CNI_NETNS", "/proc/self/ns/net")
        .env("CNI_IFNAME", "eth0")
        .env("CNI_ARGS", "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut input = plugin.stdin.take().expect("an input");
    input.write_all(configuration.to_string().as_bytes()).expect("it reads");
    drop(input);
    plugin.wait_with_output().expect("it ends")
}

fn configuration(socket: &Path) -> Value {
    json!({
        "cniVersion": "1.1.0", "name": "net", "type": "lateen-cni", "socket": socket,
        "prevResult": {"ips": [{"address": "10.0.0.7/24"}]},
        "runtimeConfig": {
            "io.kubernetes.cri.pod-annotations": {"sidecar.istio.io/status": "{}"},
        },
    })
}

/// Answers one question; gives it back with the file that came along.
fn agent(socket: &Path, answer: Answer) -> JoinHandle<(Ask, OwnedFd)> {
    let listener = UnixListener::bind(socket).expect("a socket");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a question");
        let mut first = [0; 1];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let buffers = &mut [IoSliceMut::new(&mut first)];
        recvmsg(&stream, buffers, &mut ancillary, RecvFlags::CMSG_CLOEXEC).expect("a byte");
        let files = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut files) => files.next(),
            _ => None,
        });
        let mut line = String::new();
        let mut rest = first.chain(stream.try_clone().expect("a stream"));
        BufReader::new(rest.by_ref()).read_line(&mut line).expect("a line");
        writeln!(stream, "{}", serde_json::to_string(&answer).expect("JSON")).expect("it listens");
        (serde_json::from_str(&line).expect("a question"), files.expect("an open file"))
    })
}

#[test]
fn the_agent_gets_the_network_namespace_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("agent.sock");
    let agent = agent(&socket, Answer::Captured);
    let output = run("ADD", &configuration(&socket));
    assert!(output.status.success(), "{output:?}");
    let result: Value = serde_json::from_slice(&output.stdout).expect("a result");
    assert_eq!(result, json!({"cniVersion": "1.1.0", "ips": [{"address": "10.0.0.7/24"}]}));
    let (question, file) = agent.join().expect("an agent");
    assert_eq!((question.namespace.as_str(), question.name.as_str()), ("shop", "web"));
    let (theirs, ours) = (
        std::fs::File::from(file).metadata().expect("a file"),
        std::fs::metadata("/proc/self/ns/net").expect("a file"),
    );
    assert_eq!(theirs.ino(), ours.ino());
}

#[test]
fn failures_are_said_in_the_specifications_way() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("agent.sock");
    let agent = agent(&socket, Answer::Refused("\"http\" is no port".to_owned()));
    let refused = run("ADD", &configuration(&socket));
    agent.join().expect("an agent");
    std::fs::remove_file(&socket).expect("a socket");
    let alone = run("ADD", &configuration(&socket));
    for (output, code, details) in [(refused, 100, "is no port"), (alone, 11, "agent.sock")] {
        assert_eq!(output.status.code(), Some(1));
        let said: Value = serde_json::from_slice(&output.stdout).expect("an error");
        assert_eq!((&said["code"], &said["cniVersion"]), (&json!(code), &json!("1.1.0")));
        assert!(said["details"].as_str().is_some_and(|text| text.contains(details)), "{said}");
    }
    let deleted = run("DEL", &configuration(&socket));
    assert!(deleted.status.success() && deleted.stdout.is_empty(), "{deleted:?}");
}
