//! Backends of rules: which service, which port, and whether there is such a thing.

use std::sync::Arc;

use lateen_api::diagnostic::Code;
use lateen_mesh::name::Name;
use lateen_mesh::v1;

use super::Linker;
use super::visible::Seen;
use crate::node::{Backend, Source};

/// Status of requests that a VirtualService sends where nothing is.
const NOWHERE: u32 = 503;

/// Which ports the traffic may have come in on.
#[derive(Debug, Clone, Copy)]
pub(super) enum Listening<'p> {
    /// The ports of the entry: the engine knows which.
    Entry(&'p [u16]),
    /// The one port of a gateway's server.
    Server(u16),
}

impl Linker<'_> {
    /// A backend in its final form. One that leads nowhere says so, and is answered with 503.
    pub(super) fn backend(
        &mut self,
        source: &Source,
        backend: &Backend,
        listening: Listening<'_>,
    ) -> v1::Backend {
        let mut out = backend.backend.clone();
        self.provenance.place(&mut out.origin, source);
        if let Some(target) = self.external_name(&out.host) {
            out.host = target;
        }
        match self.resolve(&mut out, listening) {
            Ok(()) => {}
            Err(invalid) => {
                if let (0, Listening::Server(port)) = (out.port, listening) {
                    out.port = u32::from(port);
                }
                self.warn(source, invalid.code, &backend.field, invalid.reason.clone());
                out.invalid = invalid.reason;
                out.invalid_status = NOWHERE;
            }
        }
        out
    }

    /// Says where a backend leads nowhere, whatever port the traffic comes in on.
    pub(super) fn check_backend(&mut self, source: &Source, backend: &Backend) {
        let host = backend.backend.host.as_str();
        let host: Arc<str> = self.external_name(host).unwrap_or_else(|| host.to_owned()).into();
        let seen = self.backend_service(&host);
        let ports: Vec<u16> =
            seen.iter().flat_map(Seen::ports).map(|(_, port)| port.number).collect();
        // A service without ports has no endpoints that any traffic could be for; nothing is said of it.
        let is_open = seen.is_some() && ports.is_empty();
        if !is_open {
            self.backend(source, backend, Listening::Entry(&ports));
        }
    }

    /// What an ExternalName service stands for, where no service has the name.
    fn external_name(&self, host: &str) -> Option<String> {
        let mut host: Arc<str> = host.into();
        let mut found = None;
        // Names may point at names; a circle leads nowhere.
        for _ in 0..8 {
            if !self.query.services(&host).is_empty() {
                break;
            }
            let Some(alias) = self.query.aliases(&host).first() else { break };
            host = alias.target.clone();
            found = Some(host.to_string());
        }
        found
    }

    fn resolve(
        &mut self,
        backend: &mut v1::Backend,
        listening: Listening<'_>,
    ) -> Result<(), Invalid> {
        let host: Arc<str> = backend.host.as_str().into();
        let Some(seen) = self.backend_service(&host) else {
            let namespace = self.scope.namespace();
            return Err(Invalid::new(
                Code::UnknownHost,
                format!("no service {host} is known in namespace {namespace}"),
            ));
        };
        if !backend.subset.is_empty()
            && self.governing(&seen).is_none_or(|rules| rules.subset(&backend.subset).is_none())
        {
            let subset = &backend.subset;
            return Err(Invalid::new(
                Code::UnknownSubset,
                format!("no DestinationRule for {host} has a subset {subset}"),
            ));
        }
        let ports = resolve_port(&seen, backend, listening)?;
        for port in ports {
            self.references.insert(Name::Destination {
                host: host.to_string(),
                port,
                subset: backend.subset.clone(),
            });
        }
        Ok(())
    }
}

/// Settles the port, and says which it can be.
fn resolve_port(
    seen: &Seen<'_>,
    backend: &mut v1::Backend,
    listening: Listening<'_>,
) -> Result<Vec<u16>, Invalid> {
    let ports: Vec<u16> = seen.ports().iter().map(|(_, port)| port.number).collect();
    let written = u16::try_from(backend.port).ok().filter(|port| *port != 0);
    let wanted: Vec<u16> = match (written, ports.as_slice(), listening) {
        (Some(port), ..) => vec![port],
        (None, [only], _) => vec![*only],
        (None, _, Listening::Server(port)) => vec![port],
        (None, _, Listening::Entry(ports)) => ports.to_vec(),
    };
    let known: Vec<u16> = wanted.iter().copied().filter(|port| ports.contains(port)).collect();
    if known.is_empty() {
        let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
        let reason = format!("{} has no port {}", backend.host, wanted.join(", "));
        return Err(Invalid::new(Code::UnknownPort, reason));
    }
    if let ([only], false) = (wanted.as_slice(), is_open(written, &ports, listening)) {
        backend.port = u32::from(*only);
    }
    Ok(known)
}

/// Whether the port stays the listener's, which only the engine knows.
fn is_open(written: Option<u16>, ports: &[u16], listening: Listening<'_>) -> bool {
    written.is_none() && ports.len() != 1 && matches!(listening, Listening::Entry(_))
}

struct Invalid {
    code: Code,
    reason: String,
}

impl Invalid {
    fn new(code: Code, reason: String) -> Self {
        Self { code, reason }
    }
}
