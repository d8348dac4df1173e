//! From aims to what is asked: one or two parts of an aim are put at an edge.

use std::collections::BTreeSet;

use super::aim::{Aim, Part};
use super::{About, Asked, Caller, Place, Speech};
use crate::generate::edge::{Edge, Spelling};
use crate::generate::mesh::Mesh;
use crate::generate::random::Random;

/// How a host is named in the `host` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Naming {
    /// With the port that is dialled.
    Port,
    /// With another port.
    OtherPort,
    /// With a colon and no port.
    EmptyPort,
    /// In capital letters.
    OtherCase,
    /// With a dot at its end.
    Dot,
    /// Without its last byte.
    Shorter,
    /// With a byte more.
    Longer,
    /// One label more in front.
    Below,
    /// Only its first label.
    FirstLabel,
    /// Its first two labels.
    TwoLabels,
    /// Three labels: up to `svc`.
    ThreeLabels,
    /// An address.
    Address,
    /// Some other name.
    Unknown,
    /// Nothing.
    Empty,
    /// No header.
    Absent,
    /// Two headers.
    Doubled,
}

impl Naming {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Port,
        Self::OtherPort,
        Self::EmptyPort,
        Self::OtherCase,
        Self::Dot,
        Self::Shorter,
        Self::Longer,
        Self::Below,
        Self::FirstLabel,
        Self::TwoLabels,
        Self::ThreeLabels,
        Self::Address,
        Self::Unknown,
        Self::Empty,
        Self::Absent,
        Self::Doubled,
    ];

    fn write(self, host: &str, port: u16) -> Vec<String> {
        let bare = host.split(':').next().unwrap_or(host);
        let labels = |count: usize| bare.split('.').take(count).collect::<Vec<_>>().join(".");
        vec![match self {
            Self::Port => format!("{bare}:{port}"),
            Self::OtherPort => format!("{bare}:81"),
            Self::EmptyPort => format!("{bare}:"),
            Self::OtherCase => host.to_uppercase(),
            Self::Dot => format!("{bare}."),
            Self::Shorter => bare.chars().take(bare.len().saturating_sub(1)).collect(),
            Self::Longer => format!("{bare}x"),
            Self::Below => format!("below.{bare}"),
            Self::FirstLabel => labels(1),
            Self::TwoLabels => labels(2),
            Self::ThreeLabels => labels(3),
            Self::Address => format!("127.0.0.1:{port}"),
            Self::Unknown => "nowhere.example".to_owned(),
            Self::Empty => String::new(),
            Self::Absent => return Vec::new(),
            Self::Doubled => return vec![host.to_owned(), "nowhere.example".to_owned()],
        }]
    }
}

/// `count` things to ask: each aim is met at least once while there is room, then missed.
pub fn asked(random: &mut Random, mesh: &Mesh, aims: &[Aim], count: usize) -> Vec<Asked> {
    let mut all: Vec<Asked> = Vec::new();
    let mut order: Vec<usize> = (0..aims.len()).collect();
    for at in (1..order.len()).rev() {
        order.swap(at, random.below(at + 1));
    }
    for at in order.iter().copied() {
        if all.len() < count * 2 / 5 {
            all.push(hit(aims[at].clone()));
        }
    }
    while all.len() < count && !aims.is_empty() {
        let mut aim = random.pick(aims).clone();
        for _ in 0..=random.below(4) / 3 {
            miss(random, mesh, &mut aim);
        }
        if mesh.can_be_dialled(&aim.asked) {
            all.push(aim.asked);
        }
    }
    all
}

fn hit(aim: Aim) -> Asked {
    let mut asked = aim.asked;
    for part in aim.parts {
        asked.about.insert(match part {
            Part::Path => About::Path(Edge::Hit),
            Part::Method => About::Method(Edge::Hit),
            Part::Header(_) => About::Header(Edge::Hit),
            Part::Query(_) => About::Query(Edge::Hit),
            Part::ServerName => About::ServerName(Edge::Hit),
            Part::Identity => About::Identity(Edge::Hit),
            Part::Authority => continue,
        });
    }
    asked
}

/// Puts one part at an edge.
fn miss(random: &mut Random, mesh: &Mesh, aim: &mut Aim) {
    let asked = &mut aim.asked;
    if random.percent(10) {
        return other_way(random, mesh, asked);
    }
    let Some(part) = part(random, &aim.parts) else { return };
    match part {
        Part::Path if random.percent(50) => {
            let spelling = *random.pick(&Spelling::ALL);
            asked.spelling = Some(spelling);
            asked.about.insert(About::Written(spelling));
        }
        Part::Path => {
            let edge = *random.pick(&Edge::SINGLE);
            let path = edge.value(&asked.path, random);
            asked.path = if path.starts_with('/') { path } else { format!("/{path}") };
            asked.about.insert(About::Path(edge));
        }
        Part::Method => {
            let edge = *random.pick(&Edge::SINGLE);
            let method = edge.value(&asked.method, random);
            let method: String = method.chars().filter(char::is_ascii_alphabetic).collect();
            asked.method = if method.is_empty() { "get".to_owned() } else { method };
            asked.about.insert(About::Method(edge));
        }
        Part::Authority => {
            let naming = *random.pick(&Naming::ALL);
            let host = asked.authority.first().cloned().unwrap_or_default();
            asked.authority = naming.write(&host, asked.port);
            asked.about.insert(About::Authority(naming));
        }
        Part::Header(name) => header(random, asked, &name),
        Part::Query(name) => query(random, asked, &name),
        Part::ServerName => server_name(random, asked),
        Part::Identity => identity(random, asked),
    }
}

/// One of the parts; rather one of those that only some conditions are about.
fn part(random: &mut Random, parts: &BTreeSet<Part>) -> Option<Part> {
    let common = |part: &&Part| matches!(part, Part::Path | Part::Authority);
    let (common, rare): (Vec<&Part>, Vec<&Part>) = parts.iter().partition(common);
    let parts = match (common.is_empty(), rare.is_empty()) {
        (true, true) => return None,
        (true, false) => rare,
        (false, true) => common,
        (false, false) if random.percent(65) => rare,
        (false, false) => common,
    };
    Some((*random.pick(&parts)).clone())
}

fn header(random: &mut Random, asked: &mut Asked, name: &str) {
    let edge = *random.pick(&Edge::ALL);
    let before = asked.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone());
    asked.headers.retain(|(own, _)| own != name);
    for value in edge.values(&before.unwrap_or_else(|| "jason".to_owned()), random) {
        let name = if random.percent(15) { name.to_uppercase() } else { name.to_owned() };
        asked.headers.push((name, value));
    }
    asked.about.insert(About::Header(edge));
}

fn query(random: &mut Random, asked: &mut Asked, name: &str) {
    let edge = *random.pick(&Edge::ALL);
    let before = asked.query.iter().find(|(own, _)| own == name);
    let before = before.and_then(|(_, value)| value.clone()).unwrap_or_else(|| "1".to_owned());
    asked.query.retain(|(own, _)| own != name);
    for value in edge.values(&before, random) {
        let value = value.replace(' ', "%20");
        let name = if random.percent(10) { name.to_uppercase() } else { name.to_owned() };
        let bare = value.is_empty() && random.percent(50);
        asked.query.push((name, (!bare).then_some(value)));
    }
    asked.about.insert(About::Query(edge));
}

fn server_name(random: &mut Random, asked: &mut Asked) {
    let edge = *random.pick(&[
        Edge::Shorter,
        Edge::Longer,
        Edge::Changed,
        Edge::OtherCase,
        Edge::Absent,
        Edge::Before,
    ]);
    if let Caller::Tls { sni, .. } | Caller::Mesh { sni, .. } = &mut asked.caller {
        *sni = match edge {
            Edge::Absent => String::new(),
            Edge::Longer => format!("{sni}x"),
            Edge::Before => format!("below.{sni}"),
            edge => edge.value(sni, random),
        };
        asked.about.insert(About::ServerName(edge));
    }
}

fn identity(random: &mut Random, asked: &mut Asked) {
    let identity = match &mut asked.caller {
        Caller::Plain => return,
        Caller::Mesh { identity, .. } => identity,
        Caller::Tls { certificate, .. } => {
            let (edge, other) =
                *random.pick(&[(Edge::Absent, ""), (Edge::Changed, "other.example")]);
            *certificate = other;
            asked.about.insert(About::Identity(edge));
            return;
        }
    };
    let edge = *random.pick(&[Edge::Shorter, Edge::Longer, Edge::Changed, Edge::Absent]);
    let other = match edge {
        Edge::Shorter => identity.strip_suffix(char::is_alphanumeric).map(ToOwned::to_owned),
        Edge::Longer => Some(format!("{identity}x")),
        Edge::Changed => Some("spiffe://cluster.local/ns/other/sa/other".to_owned()),
        _ => None,
    };
    match other {
        Some(other) => *identity = other,
        None => asked.caller = Caller::Plain,
    }
    asked.about.insert(About::Identity(edge));
}

/// The same, in another way: another version of HTTP, other bytes, another port, another caller.
fn other_way(random: &mut Random, mesh: &Mesh, asked: &mut Asked) {
    match random.below(4) {
        0 => asked.http2 = !asked.http2,
        1 => {
            asked.speech = match asked.speech {
                Speech::Request => Speech::Bytes,
                Speech::Bytes => Speech::Request,
            };
        }
        2 => asked.method = random.one(&["HEAD", "get", "BREW", "OPTIONS", "TRACE"]).to_owned(),
        _ => match asked.place {
            Place::Inbound => asked.port = *random.pick(&mesh.world.server_ports()),
            Place::Outbound => {
                if let Some(service) =
                    mesh.world.services.iter().find(|service| service.host == asked.service)
                {
                    asked.port = random.pick(&service.ports).number;
                }
            }
            Place::Gateway => asked.http2 = !asked.http2,
        },
    }
}
