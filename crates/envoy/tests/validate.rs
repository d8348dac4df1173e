//! Real Envoy takes what is lowered, without an error and without a warning.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use envoy_types::pb::envoy::config::listener::v3::Listener;
use lateen_compiler::{Change, Client, Compiler, Options, Role};
use lateen_envoy::{Capture, Kind, Lowering, Part, Placement, Pool, dump};
use prost::Message;

/// Where Envoy is; `None`: nobody said, and nothing is validated.
fn envoy() -> Option<PathBuf> {
    let envoy = std::env::var_os("LATEEN_ENVOY").map(PathBuf::from);
    if envoy.is_none() {
        eprintln!("LATEEN_ENVOY is not set: nothing is validated");
    }
    envoy
}

fn compiler(yaml: &[String], local: bool) -> Compiler {
    let mut compiler = Compiler::new(Options { local, ..Options::default() });
    let mut objects = Vec::new();
    for text in yaml {
        objects.extend(lateen_api::parse(text, "mesh.yaml").objects);
    }
    compiler.apply(objects.into_iter().map(Arc::new).map(Change::Upsert));
    compiler
}

/// Everything that a client's proxy has, lowered in its two parts.
fn lower(compiler: &mut Compiler, client: &Client, local: bool) -> [Lowering; 2] {
    let scope = compiler.scope(client);
    let roots = compiler.roots(scope, client);
    let closure = compiler.closure(scope, roots);
    let mut pool = Pool::default();
    [Part::Scope, Part::Workload].map(|part| {
        let mut lowering = Lowering::new(Placement {
            role: match client.role {
                Role::Sidecar => lateen_envoy::Role::Sidecar,
                Role::Gateway => lateen_envoy::Role::Gateway,
            },
            part,
            capture: if local { Capture::Local } else { Capture::Redirect },
            ipv6: !local,
            agent: true,
            telemetry: true,
        });
        let resources = closure
            .iter()
            .map(|(name, output)| (name.clone(), Some(Arc::new(output.encoded.decode().unwrap()))));
        lowering.apply(&mut pool, resources);
        lowering
    })
}

/// What Envoy has to say against the configuration.
fn complaints(envoy: &Path, lowerings: &[Lowering; 2]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bootstrap.pb");
    std::fs::write(&file, dump::bootstrap(&[&lowerings[0], &lowerings[1]]).unwrap()).unwrap();
    let output = Command::new(envoy)
        .args(["--mode", "validate", "-l", "warning", "-c"])
        .arg(&file)
        .env("LATEEN_PEER_METADATA", "CgA=")
        .env("LATEEN_PEER_METADATA_ID", "sidecar~127.0.0.1~a.b~b.svc.cluster.local")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    let mut complaints: Vec<String> = said
        .lines()
        .filter(|line| {
            ["[warning]", "[error]", "[critical]", "rror"].iter().any(|it| line.contains(it))
        })
        .map(str::to_owned)
        .collect();
    if !output.status.success() && complaints.is_empty() {
        complaints.push(said);
    }
    complaints
}

/// Every workload of a mesh, as what it is.
fn validate(envoy: &Path, what: &str, yaml: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for local in [true, false] {
        let mut compiler = compiler(yaml, local);
        for mut client in compiler.workloads() {
            client.whole_scope = true;
            client.role = compiler.role(&client.namespace, &client.name).unwrap();
            let lowerings = lower(&mut compiler, &client, local);
            for complaint in complaints(envoy, &lowerings) {
                found.push(format!("{what}, {} (local: {local}): {complaint}", client.name));
            }
        }
    }
    found
}

fn folder(path: &Path) -> Vec<String> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
}

#[test]
fn a_mesh_with_everything_in_it() {
    let Some(envoy) = envoy() else { return };
    let mesh = include_str!("everything.yaml").to_owned();
    let found = validate(&envoy, "everything", &[mesh]);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_mesh_with_every_kind_of_server_and_policy() {
    let Some(envoy) = envoy() else { return };
    let mesh = include_str!("edge.yaml").to_owned();
    let found = validate(&envoy, "edge", &[mesh]);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// What the mesh above is made into, so that it is known what Envoy was asked about.
#[test]
fn the_edge_opens_what_its_gateway_says() {
    let mut compiler = compiler(&[include_str!("edge.yaml").to_owned()], false);
    let mut client = compiler.workloads().into_iter().find(|it| it.name == "edge-1").unwrap();
    client.role = compiler.role(&client.namespace, &client.name).unwrap();
    let [scope, workload] = lower(&mut compiler, &client, false);
    let opened: Vec<String> = workload
        .resources(Kind::Listener)
        .map(|resource| {
            let listener = Listener::decode(resource.body.clone()).unwrap();
            let chains = listener.filter_chains.iter().map(|chain| {
                let tls = if chain.transport_socket.is_some() { "tls " } else { "" };
                let matched = chain.filter_chain_match.clone().unwrap_or_default();
                let blocks = matched.prefix_ranges.iter().map(|range| &range.address_prefix);
                let taken: Vec<&String> = matched.server_names.iter().chain(blocks).collect();
                format!("{tls}{}{taken:?}", chain.name)
            });
            format!("{}: {}", listener.name, chains.collect::<Vec<_>>().join(", "))
        })
        .collect();
    insta::assert_snapshot!(opened.join("\n"));
    let secrets: Vec<&str> = scope.resources(Kind::Secret).map(|it| &*it.name).collect();
    insta::assert_snapshot!(secrets.join("\n"));
    let problems: Vec<String> = workload.problems().map(ToString::to_string).collect();
    insta::assert_snapshot!(problems.join("\n"));
}

/// `LATEEN_ENVOY_MESHES`: folders, parted by `:`, each of which holds one mesh or has folders below
/// it that do.
#[test]
fn meshes_that_are_asked_for() {
    let (Some(envoy), Some(folders)) = (envoy(), std::env::var_os("LATEEN_ENVOY_MESHES")) else {
        return;
    };
    let mut open: Vec<PathBuf> = std::env::split_paths(&folders).collect();
    let mut found = Vec::new();
    let mut count = 0;
    while let Some(path) = open.pop() {
        let below = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
        open.extend(below.filter(|path| path.is_dir()));
        let yaml = folder(&path);
        if path.ends_with("mesh") && !yaml.is_empty() {
            count += 1;
            found.extend(validate(&envoy, &path.display().to_string(), &yaml));
        }
    }
    eprintln!("{count} meshes");
    assert!(found.is_empty(), "{}", found.join("\n"));
}
