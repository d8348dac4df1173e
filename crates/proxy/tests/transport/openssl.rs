//! `openssl s_client`, as a peer by another hand.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::site::{Ca, soon};

/// A certificate of the mesh with its key, made by openssl and signed by the authority.
pub struct Identity {
    chain: PathBuf,
    key: PathBuf,
    root: PathBuf,
}

impl Identity {
    pub async fn new(ca: &Ca, account: &str) -> Self {
        let folder = ca.folder.path();
        let [chain, key, root] =
            ["chain", "key", "root"].map(|part| folder.join(format!("{account}-{part}.pem")));
        let request = Command::new("openssl")
            .args(["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
            .args(["-subj", "/CN=ignored", "-keyout"])
            .arg(&key)
            .output()
            .await
            .unwrap();
        assert!(request.status.success(), "{}", String::from_utf8_lossy(&request.stderr));
        let signed = ca.sign(&String::from_utf8(request.stdout).unwrap(), account);
        std::fs::write(&chain, signed[..signed.len() - 1].concat()).unwrap();
        std::fs::write(&root, ca.root_pem()).unwrap();
        Self { chain, key, root }
    }

    fn present(&self, command: &mut Command) {
        command.arg("-cert").arg(&self.chain).arg("-key").arg(&self.key);
        command.arg("-cert_chain").arg(&self.chain);
    }
}

/// What a connection by openssl came to.
#[derive(Debug)]
#[expect(dead_code, reason = "what openssl reports is shown when a test fails")]
pub struct Session {
    /// What the other side sent.
    pub answer: String,
    /// What openssl says about the handshake.
    pub report: String,
    pub success: bool,
}

/// Connects, with the identity's certificate and its roots if there is one, sends `question` and
/// reads until the connection ends.
pub async fn connect(
    address: SocketAddr,
    identity: Option<&Identity>,
    arguments: &[&str],
    question: &str,
) -> Session {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-ign_eof", "-connect", &address.to_string()]).args(arguments);
    if let Some(identity) = identity {
        identity.present(&mut command);
        command.arg("-CAfile").arg(&identity.root).arg("-verify_return_error");
    }
    talk(command, question).await
}

/// The same, without looking at the server's certificate.
pub async fn connect_unverified(
    address: SocketAddr,
    identity: &Identity,
    arguments: &[&str],
    question: &str,
) -> Session {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-ign_eof", "-connect", &address.to_string()]).args(arguments);
    identity.present(&mut command);
    talk(command, question).await
}

async fn talk(mut command: Command, question: &str) -> Session {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    // A handshake that failed closes the pipe before everything is written.
    let _ = input.write_all(question.as_bytes()).await;
    let output = soon(child.wait_with_output()).await.unwrap();
    drop(input);
    Session {
        answer: String::from_utf8_lossy(&output.stdout).into_owned(),
        report: String::from_utf8_lossy(&output.stderr).into_owned(),
        success: output.status.success(),
    }
}
