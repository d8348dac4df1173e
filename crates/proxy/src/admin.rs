//! Health, Prometheus metrics and the administrative endpoints.
//!
//! Four listeners, all served on the configuration thread so that a scrape of many series costs no
//! worker its time:
//!
//! | port | who asks | what |
//! | --- | --- | --- |
//! | 15021 | the kubelet | `/healthz/ready` |
//! | 15020 | Prometheus | `/stats/prometheus`, with the application's metrics, `/healthz/ready` |
//! | | the kubelet | `/app-health/…`, `/app-lifecycle/…`: the application's probes |
//! | 15090 | Prometheus | `/stats/prometheus` of the proxy alone |
//! | 15000 | whoever runs the proxy, on loopback only | everything in `/help` |

mod dump;
mod metrics;
mod respond;

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use self::respond::{Answer, bytes, json, text};
use crate::certificates::Certificates;
use crate::config::Plans;
use crate::settings::Settings;
use crate::telemetry::Telemetry;
use crate::worker::DrainWatch;

/// A client that takes longer to send a request's headers is let go.
const HEADERS: Duration = Duration::from_secs(10);

/// Which of the listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoints {
    /// Port 15021.
    Health,
    /// Port 15020.
    Metrics,
    /// Port 15090.
    Prometheus,
    /// Port 15000.
    Admin,
}

/// What an endpoint asks of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Finish what is in flight and take nothing new; stay.
    Drain,
    /// Drain, then exit.
    Quit,
}

/// Sets the level of the log (`debug`, or a filter such as `lateen_proxy=debug`) and answers with
/// what holds; `None` only asks. The error is for people.
pub type LogLevel = dyn Fn(Option<&str>) -> Result<String, String> + Send + Sync;

/// What the endpoints show and reach.
pub struct Admin {
    /// The proxy's settings.
    pub settings: Arc<Settings>,
    /// The configuration in force.
    pub plans: Plans,
    /// The workload's certificate.
    pub certificates: Arc<Certificates>,
    /// Metrics and failures.
    pub telemetry: Arc<Telemetry>,
    /// Whether the proxy is going down.
    pub drain: DrainWatch,
    /// When the proxy started.
    pub started: Instant,
    /// Carries out what an endpoint asks for.
    pub act: Box<dyn Fn(Action) + Send + Sync>,
    /// The log's level; `None` where it cannot be changed.
    pub log_level: Option<Arc<LogLevel>>,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Serves one of the listeners until the task is dropped.
pub async fn serve(listener: TcpListener, endpoints: Endpoints, admin: Arc<Admin>) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                tokio::spawn(connection(stream, remote, endpoints, Arc::clone(&admin)));
            }
            Err(error) => {
                // Out of file descriptors, most likely: wait for some to come free.
                tracing::warn!(%error, ?endpoints, "cannot accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    remote: SocketAddr,
    endpoints: Endpoints,
    admin: Arc<Admin>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let admin = Arc::clone(&admin);
        async move { Ok::<_, Infallible>(admin.respond(endpoints, remote, &request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, %remote, "an administrative connection broke");
    }
}

/// An endpoint: where it is, how it is called, and what it is for.
struct Endpoint {
    path: &'static str,
    method: Method,
    help: &'static str,
    /// On the port for metrics too, not only on that for administration.
    metrics: bool,
    answer: fn(&Admin, Option<&str>) -> Answer,
}

impl Endpoint {
    fn offered_on(&self, endpoints: Endpoints, remote: SocketAddr) -> bool {
        match endpoints {
            Endpoints::Admin => true,
            Endpoints::Health => self.path == "/healthz/ready",
            Endpoints::Prometheus => self.path == STATS,
            // What changes something is for the pod itself, as in Istio.
            Endpoints::Metrics => {
                let near = remote.ip().to_canonical().is_loopback();
                self.metrics && (self.method == Method::GET || near)
            }
        }
    }
}

const ENDPOINTS: [Endpoint; 14] = [
    Endpoint {
        path: "/help",
        method: Method::GET,
        help: "this page",
        metrics: false,
        answer: |_, _| text(StatusCode::OK, help()),
    },
    Endpoint {
        path: "/healthz/ready",
        method: Method::GET,
        help: "200 when the proxy can serve",
        metrics: true,
        answer: |admin, _| admin.ready(),
    },
    Endpoint {
        path: "/ready",
        method: Method::GET,
        help: "200 and LIVE when the proxy can serve",
        metrics: false,
        answer: |admin, _| admin.ready(),
    },
    Endpoint {
        path: STATS,
        method: Method::GET,
        help: "metrics in Prometheus' text format",
        metrics: true,
        answer: |admin, _| metrics::answer(admin, None),
    },
    Endpoint {
        path: "/metrics",
        method: Method::GET,
        help: "the same",
        metrics: true,
        answer: |admin, _| metrics::answer(admin, None),
    },
    Endpoint {
        path: "/config_dump",
        method: Method::GET,
        help: "the resources in force, with their versions (?name= a part of the name)",
        metrics: false,
        answer: |admin, query| json(&dump::config(admin, parameter(query, "name"))),
    },
    Endpoint {
        path: "/failures",
        method: Method::GET,
        help: "the last exchanges and connections that failed, and why",
        metrics: false,
        answer: |admin, _| json(&admin.telemetry.failures()),
    },
    Endpoint {
        path: "/certs",
        method: Method::GET,
        help: "the workload's certificate",
        metrics: false,
        answer: |admin, _| json(&dump::certificates(&admin.certificates)),
    },
    Endpoint {
        path: "/server_info",
        method: Method::GET,
        help: "version, settings, and how the proxy stands with its control plane",
        metrics: false,
        answer: |admin, _| json(&dump::server_info(admin)),
    },
    Endpoint {
        path: "/logging",
        method: Method::POST,
        help: "set the log's level (?level=debug), or ask for it",
        metrics: false,
        answer: |admin, query| admin.logging(parameter(query, "level")),
    },
    Endpoint {
        path: "/reopen_logs",
        method: Method::POST,
        help: "open the access log's files anew, after they were rotated",
        metrics: false,
        answer: |admin, _| match admin.telemetry.reopen_access_log() {
            true => text(StatusCode::OK, "OK\n".to_owned()),
            false => text(StatusCode::SERVICE_UNAVAILABLE, "busy, try again\n".to_owned()),
        },
    },
    Endpoint {
        path: "/drain_listeners",
        method: Method::POST,
        help: "finish what is in flight, take nothing new",
        metrics: false,
        answer: |admin, _| admin.act(Action::Drain),
    },
    Endpoint {
        path: "/drain",
        method: Method::POST,
        help: "the same",
        metrics: true,
        answer: |admin, _| admin.act(Action::Drain),
    },
    Endpoint {
        path: "/quitquitquit",
        method: Method::POST,
        help: "drain, then exit",
        metrics: true,
        answer: |admin, _| admin.act(Action::Quit),
    },
];

fn help() -> String {
    let width = ENDPOINTS.iter().map(|endpoint| endpoint.path.len()).max().unwrap_or_default();
    ENDPOINTS
        .iter()
        .map(|Endpoint { path, method, help, .. }| format!("{method:<5}{path:<width$}  {help}\n"))
        .collect()
}

/// Where the metrics are; `/metrics` is the same.
const STATS: &str = "/stats/prometheus";

impl Admin {
    /// What others ask the application through the proxy, and the endpoints.
    async fn respond(
        &self,
        endpoints: Endpoints,
        remote: SocketAddr,
        request: &Request<Incoming>,
    ) -> Answer {
        let (pod, path) = (&self.settings.pod, request.uri().path());
        if endpoints == Endpoints::Metrics {
            if let Some(answered) = pod.probe(path, request.headers()).await {
                return bytes(answered.status, answered.body);
            }
            if pod.has_metrics()
                && request.method() == Method::GET
                && [STATS, "/metrics"].contains(&path)
            {
                return metrics::answer(self, pod.metrics(request.headers()).await);
            }
        }
        self.answer(endpoints, remote, request)
    }

    fn answer(
        &self,
        endpoints: Endpoints,
        remote: SocketAddr,
        request: &Request<Incoming>,
    ) -> Answer {
        let path = request.uri().path();
        let offered: Vec<_> = ENDPOINTS
            .iter()
            .filter(|endpoint| endpoint.path == path && endpoint.offered_on(endpoints, remote))
            .collect();
        let Some(endpoint) = offered.first() else {
            return text(StatusCode::NOT_FOUND, "there is no such endpoint\n".to_owned());
        };
        let read = request.method() == Method::HEAD && endpoint.method == Method::GET;
        if request.method() != endpoint.method && !read {
            let message = format!("{path} takes {}\n", endpoint.method);
            return text(StatusCode::METHOD_NOT_ALLOWED, message);
        }
        (endpoint.answer)(self, request.uri().query())
    }

    /// Why the proxy is not ready; `None` when it is.
    #[must_use]
    pub fn unready(&self) -> Option<&'static str> {
        if self.drain.is_draining() {
            return Some("draining");
        }
        if !*self.plans.ready().borrow() {
            return Some("waiting for the configuration");
        }
        if !*self.certificates.issued().borrow() {
            return Some("waiting for the workload's certificate");
        }
        None
    }

    fn ready(&self) -> Answer {
        match self.unready() {
            None => text(StatusCode::OK, "LIVE\n".to_owned()),
            Some(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
        }
    }

    fn act(&self, action: Action) -> Answer {
        (self.act)(action);
        text(StatusCode::OK, "OK\n".to_owned())
    }

    fn logging(&self, level: Option<&str>) -> Answer {
        let Some(set) = &self.log_level else {
            let message = "the log's level cannot be changed\n".to_owned();
            return text(StatusCode::NOT_IMPLEMENTED, message);
        };
        match set(level) {
            Ok(level) => text(StatusCode::OK, format!("{level}\n")),
            Err(problem) => text(StatusCode::BAD_REQUEST, format!("{problem}\n")),
        }
    }
}

/// The value of a parameter of the query. Nothing in these is ever escaped.
fn parameter<'q>(query: Option<&'q str>, name: &str) -> Option<&'q str> {
    query?
        .split('&')
        .find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name))
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests;
