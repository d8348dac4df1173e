//! The sample applications: NGINX where it is installed, else a small server of our own with the
//! same behaviour.
//!
//! Every application answers with its name and version, logs a line for each request with the
//! client certificate that its sidecar vouched for, answers 503 to `/fragile` when it is `v2`,
//! and waits two seconds before it answers `/slow`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, body::Incoming};
use hyper_util::rt::TokioIo;

/// How long `/slow` takes.
const SLOW: Duration = Duration::from_secs(2);

/// Path of NGINX, where it is installed.
pub fn nginx() -> Option<PathBuf> {
    std::env::var_os("PATH")
        .into_iter()
        .flat_map(|paths| std::env::split_paths(&paths).collect::<Vec<_>>())
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join("nginx"))
        .find(|path| path.is_file())
}

/// The configuration with which NGINX is one of the sample applications.
pub fn nginx_configuration(
    folder: &Path,
    listen: SocketAddr,
    application: &str,
    version: &str,
) -> String {
    let folder = folder.display();
    let fragile = if version == "v2" { 503 } else { 200 };
    format!(
        r#"daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
    log_format sample '$request_method $request_uri $status xfcc=$http_x_forwarded_client_cert';
    access_log /dev/stdout sample;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {listen};
        keepalive_requests 1000000;
        default_type text/plain;
        location / {{ return 200 "{application} {version}\n"; }}
        location /fragile {{ return {fragile} "{application} {version}\n"; }}
    }}
}}
"#
    )
}

/// `lateen demo-backend`: serves until it is ended.
pub async fn serve(listen: SocketAddr, application: String, version: String) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .with_context(|| format!("the sample application cannot listen on {listen}"))?;
    let text: &'static str = format!("{application} {version}\n").leak();
    let fragile = version == "v2";
    loop {
        let (stream, _) = listener.accept().await.context("cannot accept a connection")?;
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, text, fragile));
            // A client that goes away is no concern of a sample.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    text: &'static str,
    fragile: bool,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path();
    if path.starts_with("/slow") {
        tokio::time::sleep(SLOW).await;
    }
    let status = if fragile && path.starts_with("/fragile") {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    let certificate = request
        .headers()
        .get("x-forwarded-client-cert")
        .map_or("-", |value| value.to_str().unwrap_or("?"));
    println!("{} {} {} xfcc={certificate}", request.method(), request.uri(), status.as_u16());
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("text/plain"));
    Ok(response)
}
