//! What is asked, in the words of `exchanges.yaml`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::asked::{Asked, Caller, Place, Speech};
use super::mesh::Mesh;
use super::random::Random;
use crate::scenario::{
    self, Behaviour, Bytes, ClientTls, Exchange, Expect, HttpVersion, Instead, Request, Span,
    Target, TlsVersion,
};

/// Name of the server outside of the mesh; it listens at one address for each of its ports.
pub const OUTSIDE: &str = "outside";

/// The exchange in which this is asked.
pub(super) fn exchange(random: &mut Random, mesh: &Mesh, asked: &Asked, number: usize) -> Exchange {
    let about: Vec<String> = asked.about.iter().map(|about| format!("{about:?}")).collect();
    let mut exchange = Exchange {
        name: format!("{number:02} {}", about.join(" ")).trim_end().to_owned(),
        place: match asked.place {
            Place::Outbound => scenario::Place::Outbound,
            Place::Inbound => scenario::Place::Inbound,
            Place::Gateway => scenario::Place::Gateway,
        },
        to: Target {
            service: (asked.place == Place::Outbound).then(|| asked.service.clone()),
            port: Some(asked.port),
            address: None,
        },
        from: None,
        http: if asked.http2 { HttpVersion::Http2 } else { HttpVersion::Http1 },
        tls: tls(random, asked),
        backends: BTreeMap::new(),
        requests: Vec::new(),
        bytes: None,
    };
    match asked.speech {
        Speech::Request => {
            exchange.backends = backends(random, mesh);
            exchange.requests.push(request(random, mesh, asked));
        }
        Speech::Bytes => exchange.bytes = Some(bytes(random, mesh)),
    }
    exchange
}

fn tls(random: &mut Random, asked: &Asked) -> Option<ClientTls> {
    let (identity, sni, certificate) = match &asked.caller {
        Caller::Plain => return None,
        Caller::Mesh { identity, sni } => (Some(identity.clone()), sni, ""),
        Caller::Tls { sni, certificate } => (None, sni, *certificate),
    };
    let offers: &[&[&str]] = match (identity.is_some(), asked.speech, asked.http2) {
        (true, Speech::Request, false) => &[
            &["istio-http/1.1", "istio", "http/1.1"],
            &["istio"],
            &["istio-http/1.0", "istio"],
            &[],
        ],
        (true, Speech::Request, true) => &[&["istio-h2", "istio", "h2"], &["istio"]],
        (true, Speech::Bytes, _) => &[&["istio-peer-exchange", "istio"], &["istio"], &["other"]],
        (false, Speech::Request, false) => &[&["http/1.1"], &["h2", "http/1.1"], &[]],
        (false, Speech::Request, true) => &[&["h2"], &["h2", "http/1.1"]],
        (false, Speech::Bytes, _) => &[&[], &["other"], &["h2"]],
    };
    let alpn = random.percent(50).then(|| {
        let offered = random.pick(offers).iter();
        offered.map(|protocol| (*protocol).to_owned()).collect()
    });
    let sni = (!sni.is_empty()).then(|| sni.clone());
    let certificate = (!certificate.is_empty()).then(|| certificate.to_owned());
    Some(ClientTls { sni, alpn, identity, certificate, version: version(random) })
}

/// Mostly what both sides would agree on.
fn version(random: &mut Random) -> Option<TlsVersion> {
    match random.below(10) {
        0 => Some(TlsVersion::Tls12),
        1 => Some(TlsVersion::Tls13),
        _ => None,
    }
}

fn request(random: &mut Random, mesh: &Mesh, asked: &Asked) -> Request {
    let mut headers: Vec<String> = Vec::new();
    let authority = match asked.authority.as_slice() {
        [] => String::new(),
        [empty] if empty.is_empty() => {
            headers.push("host: ".to_owned());
            String::new()
        }
        [first, others @ ..] => {
            headers.extend(others.iter().map(|other| format!("host: {other}")));
            first.clone()
        }
    };
    headers.extend(asked.headers.iter().map(|(name, value)| {
        let name = if asked.http2 { name.to_lowercase() } else { name.clone() };
        format!("{name}: {value}")
    }));
    if asked.http2 {
        // There, the authority is no header.
        headers.retain(|header| !header.starts_with("host:"));
    }
    let has_body = matches!(asked.method.as_str(), "POST" | "PUT" | "PATCH") && random.percent(50);
    Request {
        method: asked.method.clone(),
        path: asked.target(random),
        authority: Some(authority),
        headers,
        body: has_body.then(|| "a body".to_owned()),
        trailers: Vec::new(),
        times: 1,
        chance: mesh.world.spread,
        varies: BTreeMap::new(),
        expect: Expect::default(),
    }
}

/// Bytes that are neither HTTP nor TLS, and clearly so.
fn bytes(random: &mut Random, mesh: &Mesh) -> Bytes {
    let send =
        random.one(&["hello\n", "\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}", "SSH-2.0-x\r\n", "[GET /]\n"]);
    Bytes {
        send: send.to_owned(),
        wait: true,
        times: 1,
        chance: mesh.world.spread,
        expect: Expect::default(),
    }
}

/// What backends do: mostly they answer.
fn backends(random: &mut Random, mesh: &Mesh) -> BTreeMap<String, Vec<Behaviour>> {
    if !random.percent(30) {
        return BTreeMap::new();
    }
    let behaviours = behaviours(random, mesh.world.spread);
    let workloads = mesh.world.services.iter().flat_map(|service| {
        let pods = service
            .versions
            .iter()
            .map(|version| format!("{}/{}-{version}", service.namespace, service.name));
        let server = (service.name == "server").then(|| scenario::SERVER.to_owned());
        pods.chain(server).collect::<Vec<_>>()
    });
    workloads.map(|workload| (workload, behaviours.clone())).collect()
}

/// What a backend does, one after another. Where chance picks among several backends, they always do
/// the same, so that chance does not matter.
fn behaviours(random: &mut Random, spread: bool) -> Vec<Behaviour> {
    let status = |status: u16| Behaviour { status: Some(status), ..Behaviour::default() };
    let instead = |instead| Behaviour { instead: Some(instead), ..Behaviour::default() };
    let fine = Behaviour::default();
    let headers = |headers: &[&str]| Behaviour {
        headers: headers.iter().map(|header| (*header).to_owned()).collect(),
        ..Behaviour::default()
    };
    let slow = Behaviour { delay: Some(Span(Duration::from_millis(700))), ..fine.clone() };
    let mut all = match random.below(16) {
        0 => vec![status(503), fine],
        1 => vec![status(500), status(503), fine],
        2 => vec![status(502), status(504), status(503), fine],
        3 => vec![status(409), fine],
        4 => vec![status(418), status(418)],
        5 => vec![instead(Instead::Close), fine],
        6 => vec![instead(Instead::Reset), fine],
        7 => vec![instead(Instead::RefuseStream), fine],
        8 => vec![slow, fine],
        9 => vec![headers(&["x-backend: one", "X-Answer: a", "x-answer: b"])],
        10 => vec![headers(&["server: own", "set-cookie: a=b", "set-cookie: c=d"])],
        11 => vec![status(204)],
        12 => vec![Behaviour { body: Some("another body".to_owned()), ..status(404) }],
        13 => vec![instead(Instead::Close)],
        14 => vec![Behaviour { headers: vec!["grpc-status: 14".to_owned()], ..fine.clone() }, fine],
        _ => vec![status(503)],
    };
    if spread {
        all.truncate(1);
    }
    all
}
