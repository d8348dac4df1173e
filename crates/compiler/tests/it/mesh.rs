//! A mesh made of YAML, and the messages that its workloads get.

use std::collections::BTreeMap;
use std::sync::Arc;

use lateen_api::kind::Kind;
use lateen_api::object::ObjectRef;
use lateen_api::{Diagnostic, Severity};
use lateen_compiler::{Change, Changes, Client, Compiler, Options, Output, Role, ScopeId};
use lateen_mesh::address::unpack_port;
use lateen_mesh::name::Name;
use lateen_mesh::v1::{self, http_rule::Action, resource::Body};

pub struct Mesh {
    pub compiler: Compiler,
}

/// A client with its scope.
pub struct Seen {
    pub client: Client,
    pub scope: ScopeId,
}

/// The objects of a text, which must be without fault.
pub fn parse(text: &str) -> Vec<Change> {
    let parsed = lateen_api::parse(text, "mesh.yaml");
    let errors: Vec<&Diagnostic> =
        parsed.diagnostics.iter().filter(|each| each.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:?}");
    parsed.objects.into_iter().map(|object| Change::Upsert(Arc::new(object))).collect()
}

impl Mesh {
    pub fn new(text: &str) -> Self {
        Self::with(Options::default(), text)
    }

    pub fn with(options: Options, text: &str) -> Self {
        let mut mesh = Self { compiler: Compiler::new(options) };
        mesh.apply(text);
        mesh
    }

    pub fn apply(&mut self, text: &str) -> Changes {
        self.compiler.apply(parse(text))
    }

    pub fn remove(&mut self, kind: Kind, namespace: &str, name: &str) -> Changes {
        self.compiler.apply([Change::Remove(ObjectRef::new(kind, namespace, name))])
    }

    pub fn see(&mut self, client: Client) -> Seen {
        let scope = self.compiler.scope(&client);
        Seen { client, scope }
    }

    /// Some sidecar of a namespace.
    pub fn sidecar(&mut self, namespace: &str) -> Seen {
        self.labelled(namespace, &[])
    }

    pub fn labelled(&mut self, namespace: &str, labels: &[(&str, &str)]) -> Seen {
        self.see(Client {
            namespace: namespace.to_owned(),
            name: "client".to_owned(),
            labels: pairs(labels),
            ..Client::default()
        })
    }

    pub fn gateway(&mut self, namespace: &str, labels: &[(&str, &str)]) -> Seen {
        self.see(Client {
            role: Role::Gateway,
            namespace: namespace.to_owned(),
            name: "gateway".to_owned(),
            labels: pairs(labels),
            addresses: vec!["1.1.1.1".parse().unwrap()],
            ..Client::default()
        })
    }

    pub fn output(&mut self, seen: &Seen, name: &str) -> Option<Arc<Output>> {
        let name = Name::parse(name).unwrap_or_else(|| panic!("{name} is no name"));
        self.compiler.output(seen.scope, &name)
    }

    pub fn resource(&mut self, seen: &Seen, name: &str) -> Option<v1::Resource> {
        let output = self.output(seen, name)?;
        Some(output.encoded.decode().unwrap())
    }

    pub fn routes(&mut self, seen: &Seen, host: &str) -> Option<v1::Routes> {
        match self.resource(seen, &format!("routes/{host}"))?.body {
            Some(Body::Routes(routes)) => Some(routes),
            other => panic!("{other:?}"),
        }
    }

    pub fn gateway_routes(&mut self, seen: &Seen, name: &str) -> Option<v1::Routes> {
        match self.resource(seen, &format!("gateway/{name}"))?.body {
            Some(Body::Routes(routes)) => Some(routes),
            other => panic!("{other:?}"),
        }
    }

    pub fn listener(&mut self, seen: &Seen, port: u16) -> Option<v1::GatewayListener> {
        match self.resource(seen, &format!("gateway/{port}"))?.body {
            Some(Body::Gateway(listener)) => Some(listener),
            other => panic!("{other:?}"),
        }
    }

    /// `host/port/subset`.
    pub fn destination(&mut self, seen: &Seen, name: &str) -> Option<v1::Destination> {
        match self.resource(seen, &format!("destination/{name}"))?.body {
            Some(Body::Destination(destination)) => Some(destination),
            other => panic!("{other:?}"),
        }
    }

    /// Every endpoint of a destination with its template.
    pub fn endpoints(
        &mut self,
        seen: &Seen,
        destination: &str,
    ) -> Vec<(v1::Endpoint, v1::EndpointTemplate)> {
        let destination = self.destination(seen, destination).expect("a destination");
        let mut all = Vec::new();
        for name in &destination.endpoint_slices {
            let Some(Body::Endpoints(slice)) = self.resource(seen, name).unwrap().body else {
                panic!("{name} is no slice")
            };
            for endpoint in &slice.endpoints {
                let template = slice.template(endpoint).expect("a template").into_owned();
                all.push((endpoint.clone(), template));
            }
        }
        all.sort_by(|(a, _), (b, _)| a.workload_uid.cmp(&b.workload_uid));
        all
    }

    pub fn inbound(&mut self, seen: &Seen) -> v1::Inbound {
        let name = format!("inbound/{}/{}", seen.client.namespace, seen.client.name);
        match self.resource(seen, &name).expect("an inbound side").body {
            Some(Body::Inbound(inbound)) => inbound,
            other => panic!("{other:?}"),
        }
    }

    pub fn policy(&mut self, seen: &Seen, name: &str) -> Option<v1::AuthorizationPolicy> {
        match self.resource(seen, &format!("policy/{name}"))?.body {
            Some(Body::Policy(policy)) => Some(policy),
            other => panic!("{other:?}"),
        }
    }

    pub fn settings(&mut self, seen: &Seen) -> v1::Settings {
        match self.resource(seen, "settings").expect("settings").body {
            Some(Body::Settings(settings)) => settings,
            other => panic!("{other:?}"),
        }
    }

    /// The scope's whole directory by host.
    pub fn directory(&mut self, seen: &Seen) -> BTreeMap<String, v1::DirectoryEntry> {
        let mut entries = BTreeMap::new();
        for name in self.compiler.roots(seen.scope, &seen.client) {
            if !matches!(name, Name::Directory { .. }) {
                continue;
            }
            let output = self.compiler.output(seen.scope, &name).expect("a root");
            let Some(Body::Directory(slice)) = output.encoded.decode().unwrap().body else {
                panic!("{name} is no slice")
            };
            for entry in &slice.entries {
                let former = entries.insert(slice.host(entry).into_owned(), entry.clone());
                assert!(former.is_none(), "{former:?} is there twice");
            }
        }
        entries
    }

    /// What the resource has to say, as `code: message` lines.
    pub fn said(&mut self, seen: &Seen, name: &str) -> Vec<String> {
        let output = self.output(seen, name).expect("an output");
        let lines = output.diagnostics.iter();
        lines.map(|each| format!("{} {}: {}", each.code, each.field, each.message)).collect()
    }
}

pub fn pairs(labels: &[(&str, &str)]) -> BTreeMap<String, String> {
    labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Ports of an entry.
pub fn ports(entry: &v1::DirectoryEntry) -> Vec<u16> {
    entry.ports.iter().map(|port| unpack_port(*port).unwrap().0).collect()
}

/// A table in short: per rule what it matches, and where it goes.
pub fn short(routes: &v1::Routes) -> Vec<String> {
    let http = routes.http.iter().map(|rule| {
        let matches: Vec<String> = rule.matches.iter().map(short_match).collect();
        let action = match &rule.action {
            Some(Action::Forward(forward)) => short_backends(&forward.backends),
            Some(Action::Redirect(redirect)) => format!("redirect {}", redirect.status),
            Some(Action::DirectResponse(response)) => format!("respond {}", response.status),
            None => "nothing".to_owned(),
        };
        format!("{}[{}] -> {action}", rule.name, matches.join(" | "))
    });
    let l4 = |matches: &[v1::L4Match], backends: &[v1::Backend]| {
        let matches: Vec<String> =
            matches.iter().map(|each| format!("{}:{}", each.sni.join(","), each.port)).collect();
        format!("[{}] -> {}", matches.join(" | "), short_backends(backends))
    };
    let tcp = routes.tcp.iter().map(|rule| format!("tcp{}", l4(&rule.matches, &rule.backends)));
    let tls = routes.tls.iter().map(|rule| format!("tls{}", l4(&rule.matches, &rule.backends)));
    http.chain(tcp).chain(tls).collect()
}

fn short_match(each: &v1::HttpMatch) -> String {
    use lateen_mesh::v1::path_match::Kind;
    let path = each.path.as_ref().and_then(|path| path.kind.as_ref());
    let path = path.map_or(String::new(), |kind| match kind {
        Kind::Exact(text) => format!("={text}"),
        Kind::Prefix(text) | Kind::SegmentPrefix(text) => text.clone(),
        Kind::Regex(text) => format!("~{text}"),
    });
    let ports: Vec<String> = each.ports.iter().map(|port| format!(":{port}")).collect();
    let headers: Vec<String> = each.headers.iter().map(|each| format!("@{}", each.name)).collect();
    format!("{path}{}{}", ports.join(""), headers.join(""))
}

pub fn short_backends(backends: &[v1::Backend]) -> String {
    let backends: Vec<String> = backends
        .iter()
        .map(|backend| {
            let subset = if backend.subset.is_empty() {
                String::new()
            } else {
                format!("#{}", backend.subset)
            };
            let invalid = if backend.invalid.is_empty() { "" } else { "!" };
            let weight =
                if backends.len() > 1 { format!("={}", backend.weight) } else { String::new() };
            let host = backend.host.trim_end_matches(".svc.cluster.local");
            format!("{invalid}{host}:{}{subset}{weight}", backend.port)
        })
        .collect();
    backends.join(" ")
}
