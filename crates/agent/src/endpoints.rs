//! Health and metrics of the agent and its Envoy, where a native proxy has its own.
//!
//! | port | who asks | what |
//! | --- | --- | --- |
//! | 15021 | the kubelet | `/healthz/ready` |
//! | 15020 | Prometheus | `/stats/prometheus`: the agent's metrics and Istio's standard ones, then Envoy's, then the application's |
//! | | the kubelet | `/app-health/…`, `/app-lifecycle/…`: the application's probes |
//!
//! The admin page (15000) is Envoy's own.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use lateen_proxy::certificates::Certificates;
use lateen_proxy::pod::Pod;
use lateen_proxy::telemetry::Telemetry;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::envoy_admin::EnvoyAdmin;
use crate::status::Status;
use crate::supervise::Order;

/// A client that takes longer to send a request's headers is let go.
const HEADERS: Duration = Duration::from_secs(10);

/// Prometheus' text format, version 0.0.4.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

const TEXT: &str = "text/plain; charset=utf-8";

/// What must be greater than zero before Envoy is ready, as in Istio.
const ARRIVED: [&str; 3] = [
    "cluster_manager.cds.update_success",
    "listener_manager.lds.update_success",
    "listener_manager.workers_started",
];

/// Zero when Envoy serves.
const STATE: &str = "server.state";

/// Which of the two listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// 15021.
    Health,
    /// 15020.
    Metrics,
}

/// What the endpoints show and reach.
#[derive(Debug)]
pub struct Endpoints {
    /// How agent and Envoy stand.
    pub status: Arc<Status>,
    /// The workload's certificate.
    pub certificates: Arc<Certificates>,
    /// Istio's standard metrics.
    pub telemetry: Arc<Telemetry>,
    /// Envoy's own page.
    pub envoy: EnvoyAdmin,
    /// What others ask the application through the agent.
    pub pod: Arc<Pod>,
    /// Where orders go.
    pub orders: mpsc::UnboundedSender<Order>,
}

/// An endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    Ready,
    Metrics,
    Drain,
    Quit,
}

impl Endpoint {
    /// What a path means on a port. What changes something is for the pod itself, as in Istio.
    fn at(port: Port, path: &str, remote: SocketAddr) -> Option<Self> {
        let near = remote.ip().to_canonical().is_loopback();
        match (port, path) {
            (_, "/healthz/ready") => Some(Self::Ready),
            (Port::Metrics, "/stats/prometheus" | "/metrics") => Some(Self::Metrics),
            (Port::Metrics, "/drain") if near => Some(Self::Drain),
            (Port::Metrics, "/quitquitquit") if near => Some(Self::Quit),
            _ => None,
        }
    }

    fn takes(self, method: &Method) -> bool {
        match self {
            Self::Ready | Self::Metrics => method == Method::GET || method == Method::HEAD,
            Self::Drain | Self::Quit => method == Method::POST,
        }
    }
}

/// Serves one of the listeners until the task is dropped.
pub async fn serve(listener: TcpListener, port: Port, endpoints: Arc<Endpoints>) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                tokio::spawn(connection(stream, remote, port, Arc::clone(&endpoints)));
            }
            Err(error) => {
                // Out of file descriptors, most likely: wait for some to come free.
                tracing::warn!(%error, ?port, "cannot accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, remote: SocketAddr, port: Port, endpoints: Arc<Endpoints>) {
    let service = service_fn(|request: Request<Incoming>| {
        let endpoints = Arc::clone(&endpoints);
        async move { Ok::<_, Infallible>(endpoints.answer(port, remote, &request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, %remote, "a connection of {port:?} broke");
    }
}

impl Endpoints {
    async fn answer(
        &self,
        port: Port,
        remote: SocketAddr,
        request: &Request<Incoming>,
    ) -> Response<Full<Bytes>> {
        if port == Port::Metrics
            && let Some(answered) = self.pod.probe(request.uri().path(), request.headers()).await
        {
            return response(answered.status, TEXT, answered.body);
        }
        let Some(endpoint) = Endpoint::at(port, request.uri().path(), remote) else {
            return text(StatusCode::NOT_FOUND, "there is no such endpoint\n");
        };
        if !endpoint.takes(request.method()) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "that is not how this is asked for\n");
        }
        match endpoint {
            Endpoint::Ready => match self.unready().await {
                None => text(StatusCode::OK, "LIVE\n"),
                Some(why) => text(StatusCode::SERVICE_UNAVAILABLE, &format!("{why}\n")),
            },
            Endpoint::Metrics => {
                response(StatusCode::OK, METRICS, self.metrics(request.headers()).await)
            }
            Endpoint::Drain => self.order(Order::Drain),
            Endpoint::Quit => self.order(Order::Quit),
        }
    }

    /// Why Envoy cannot serve; `None` when it can. Once it could, it is asked no more.
    pub async fn unready(&self) -> Option<String> {
        if self.status.is_draining() {
            return Some("draining".to_owned());
        }
        if !*self.certificates.issued().borrow() {
            return Some("waiting for the workload's certificate".to_owned());
        }
        if !self.status.is_running() {
            return Some("Envoy does not run".to_owned());
        }
        if self.status.is_ready() {
            return None;
        }
        let names = ARRIVED.map(|name| name.replace('.', "\\.")).join("|");
        let stats = match self.envoy.stats(&format!("^({names}|server\\.state)$")).await {
            Ok(stats) => stats,
            Err(error) => return Some(error.to_string()),
        };
        let value = |name: &str| stats.iter().find(|(stat, _)| stat == name).map(|(_, it)| *it);
        if let Some(missing) = ARRIVED.iter().find(|name| value(name).unwrap_or(0) == 0) {
            return Some(format!("Envoy's {missing} is 0"));
        }
        if value(STATE) != Some(0) {
            return Some("Envoy initializes".to_owned());
        }
        self.status.envoy_ready();
        None
    }

    /// The agent's metrics, Istio's standard ones, and Envoy's own and the application's if they can be
    /// had: a failing part does not take the others with it.
    async fn metrics(&self, headers: &HeaderMap) -> Bytes {
        let envoy = match self.envoy.get("/stats/prometheus").await {
            Ok(page) => page,
            Err(error) => {
                self.status.scrape_failed();
                tracing::warn!(%error, "Envoy's metrics are missing in a scrape");
                Bytes::new()
            }
        };
        // Asking makes it so.
        let _ = self.unready().await;
        let mut page = String::new();
        for (name, help, kind, value) in self.status.metrics() {
            // Writing to a string cannot fail.
            let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
        }
        self.write_certificate(&mut page);
        page.extend(self.telemetry.expose_standard());
        let mut page = page.into_bytes();
        page.extend_from_slice(&envoy);
        page.extend_from_slice(&self.pod.metrics(headers).await.unwrap_or_default());
        page.into()
    }

    fn write_certificate(&self, page: &mut String) {
        let status = self.certificates.status();
        let Some(certificate) = status.certificate else { return };
        let left = certificate.not_after().duration_since(SystemTime::now());
        let name = "istio_agent_cert_expiry_seconds";
        let _ = writeln!(
            page,
            "# HELP {name} Time until the workload's certificate expires.\n# TYPE {name} gauge\n\
             {name}{{resource_name=\"default\"}} {}",
            left.unwrap_or_default().as_secs()
        );
    }

    fn order(&self, order: Order) -> Response<Full<Bytes>> {
        // Without a receiver the agent has ended already.
        let _ = self.orders.send(order);
        text(StatusCode::OK, "OK\n")
    }
}

fn text(status: StatusCode, body: &str) -> Response<Full<Bytes>> {
    response(status, TEXT, body.to_owned().into())
}

fn response(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, POST"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_port_offers_what_it_is_for() {
        let [near, far] = ["127.0.0.1:1", "192.0.2.1:1"].map(|text| text.parse().unwrap());
        for (port, path, remote, endpoint) in [
            (Port::Health, "/healthz/ready", far, Some(Endpoint::Ready)),
            (Port::Health, "/stats/prometheus", far, None),
            (Port::Metrics, "/healthz/ready", far, Some(Endpoint::Ready)),
            (Port::Metrics, "/stats/prometheus", far, Some(Endpoint::Metrics)),
            (Port::Metrics, "/metrics", far, Some(Endpoint::Metrics)),
            (Port::Metrics, "/quitquitquit", near, Some(Endpoint::Quit)),
            (Port::Metrics, "/quitquitquit", far, None),
            (Port::Metrics, "/drain", near, Some(Endpoint::Drain)),
            (Port::Metrics, "/drain", far, None),
            (Port::Metrics, "/config_dump", near, None),
        ] {
            assert_eq!(Endpoint::at(port, path, remote), endpoint, "{port:?} {path} {remote}");
        }
        assert!(Endpoint::Quit.takes(&Method::POST) && !Endpoint::Quit.takes(&Method::GET));
        assert!(Endpoint::Ready.takes(&Method::HEAD) && !Endpoint::Ready.takes(&Method::POST));
    }
}
