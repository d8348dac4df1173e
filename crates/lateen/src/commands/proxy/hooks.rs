//! What a pod's hooks run in the proxy's container: wait until the proxy is ready, begin its drain.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::Context;
use http::{Method, Request, StatusCode};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::duration;

/// Which proxy.
#[derive(Debug, Clone, Copy, clap::Args)]
struct Which {
    /// Its port for metrics and probes.
    #[arg(long, default_value_t = 15020)]
    port: u16,
}

/// What `wait` asks for.
#[derive(Debug, clap::Args)]
pub struct Wait {
    #[command(flatten)]
    which: Which,
    /// How long to wait.
    #[arg(long, value_parser = duration, default_value = "60s")]
    timeout: Duration,
}

/// What `drain` asks for.
#[derive(Debug, clap::Args)]
pub struct Drain {
    #[command(flatten)]
    which: Which,
}

/// How often a proxy that is not ready is asked again.
const STEP: Duration = Duration::from_millis(100);

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Returns when the proxy is ready.
///
/// # Errors
/// When it is not in time.
pub async fn wait(arguments: Wait) -> anyhow::Result<i32> {
    let until = Instant::now() + arguments.timeout;
    loop {
        let said = match ask(arguments.which, Method::GET, "/healthz/ready").await {
            Ok(StatusCode::OK) => return Ok(0),
            Ok(status) => format!("it answers with {status}"),
            Err(error) => format!("{error:#}"),
        };
        anyhow::ensure!(Instant::now() < until, "the proxy is not ready: {said}");
        tokio::time::sleep(STEP).await;
    }
}

/// Tells the proxy to begin its drain.
///
/// # Errors
/// When it cannot be told.
pub async fn drain(arguments: Drain) -> anyhow::Result<i32> {
    let status = ask(arguments.which, Method::POST, "/drain").await?;
    anyhow::ensure!(status == StatusCode::OK, "the proxy answers with {status}");
    Ok(0)
}

async fn ask(Which { port }: Which, method: Method, path: &str) -> anyhow::Result<StatusCode> {
    let asked = async {
        // A pod may have either family alone.
        let addresses: [SocketAddr; 2] =
            [(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()];
        let stream = TcpStream::connect(&addresses[..])
            .await
            .with_context(|| format!("nobody listens on port {port} of this machine"))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let running = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .body(Empty::<Bytes>::new())?;
        let answer = sender.send_request(request).await;
        running.abort();
        Ok(answer?.status())
    };
    tokio::time::timeout(PATIENCE, asked).await.context("no answer")?
}
