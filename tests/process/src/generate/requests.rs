//! Requests.

use std::fmt::Write as _;

use serde_json::json;

use super::mesh::VIRTUAL_HOST;
use super::{METHODS, PATHS, Random, USERS};

/// A request of the caller.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Its `x-request-id`.
    pub id: String,
    method: &'static str,
    /// The service that is dialled.
    service: &'static str,
    /// The name that the service is called by.
    name: String,
    /// The `host` header, where it is another.
    host: Option<&'static str>,
    path: String,
    headers: Vec<(&'static str, String)>,
}

/// Some requests.
pub fn requests(random: &mut Random, count: usize) -> Vec<Asked> {
    (0..count).map(|number| request(random, number)).collect()
}

fn request(random: &mut Random, number: usize) -> Asked {
    let usual = ["alpha", "alpha", "beta", "beta", "gamma"];
    let service = if random.percent(95) { random.one(&usual) } else { "empty" };
    let name = match random.below(4) {
        0 => service.to_owned(),
        1 => format!("{service}.test"),
        2 => format!("{service}.test.svc"),
        _ => format!("{service}.test.svc.cluster.local"),
    };
    let host = random.percent(25).then(|| {
        random.one(&[VIRTUAL_HOST, VIRTUAL_HOST, "ALPHA.test", "nowhere.example", "beta:80"])
    });
    let mut headers = Vec::new();
    if random.percent(50) {
        headers.push(("x-user", random.one(&USERS).to_owned()));
    }
    if random.percent(20) {
        headers.push(("x-debug", String::new()));
    }
    Asked {
        id: format!("request-{number}"),
        method: random.one(&METHODS),
        service,
        name,
        host,
        path: path(random),
        headers,
    }
}

fn path(random: &mut Random) -> String {
    let mut path = random.one(&PATHS).to_owned();
    match random.below(8) {
        0 => path.push_str("/more"),
        1 => path.push('s'),
        2 => path = format!("/x/..{path}"),
        3 => path = format!("/{}", path.trim_start_matches('/').to_uppercase()),
        _ => {}
    }
    match random.below(5) {
        0 => path.push_str("?version=2"),
        1 => path.push_str("?q=a&version=1"),
        _ => {}
    }
    path
}

impl Asked {
    /// The whole name of the service that is dialled.
    #[must_use]
    pub fn dialled_host(&self) -> String {
        format!("{}.test.svc.cluster.local", self.service)
    }

    /// The request as `lateen explain --requests` takes it.
    #[must_use]
    pub fn question(&self) -> String {
        let mut headers: Vec<String> =
            self.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        headers.push(format!("x-request-id: {}", self.id));
        headers.extend(self.host.map(|host| format!("host: {host}")));
        let url = format!("http://{}{}", self.name, self.path);
        json!({ "method": self.method, "url": url, "headers": headers }).to_string()
    }

    /// The request as it is sent.
    #[must_use]
    pub fn head(&self) -> String {
        let Self { id, method, name, host, path, .. } = self;
        let host = host.unwrap_or(name);
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nx-request-id: {id}\r\n");
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("content-length: 0\r\nconnection: close\r\n\r\n");
        head
    }
}
