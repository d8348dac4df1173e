//! The rules of dependency and the absences that `docs/architecture.md` states.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What each crate may depend on, of our own crates. The table of `docs/architecture.md`.
fn allowed() -> BTreeMap<&'static str, &'static [&'static str]> {
    BTreeMap::from([
        ("lateen-api", &[][..]),
        ("lateen-mesh", &[]),
        ("lateen-engine", &["lateen-mesh"]),
        ("lateen-compiler", &["lateen-api", "lateen-mesh"]),
        ("lateen-sources", &["lateen-api"]),
        ("lateen-identity", &[]),
        ("lateen-xds", &[]),
        (
            "lateen-controller",
            &[
                "lateen-api",
                "lateen-mesh",
                "lateen-compiler",
                "lateen-envoy",
                "lateen-sources",
                "lateen-identity",
                "lateen-inject",
                "lateen-xds",
            ],
        ),
        ("lateen-envoy", &["lateen-mesh"]),
        ("lateen-proxy", &["lateen-mesh", "lateen-engine", "lateen-xds", "lateen-identity"]),
        ("lateen-agent", &["lateen-mesh", "lateen-xds", "lateen-identity", "lateen-proxy"]),
        ("lateen-capture", &[]),
        ("lateen-cni", &["lateen-capture"]),
        ("lateen-template", &[]),
        ("lateen-install", &["lateen-api", "lateen-template"]),
        ("lateen-inject", &["lateen-api", "lateen-template"]),
    ])
}

fn packages() -> Vec<serde_json::Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    metadata["packages"].as_array().expect("packages").clone()
}

/// Names of the non-development dependencies of a package.
fn dependencies(package: &serde_json::Value) -> BTreeSet<String> {
    package["dependencies"]
        .as_array()
        .expect("dependencies")
        .iter()
        .filter(|dependency| dependency["kind"] != "dev")
        .map(|dependency| dependency["name"].as_str().expect("a name").to_owned())
        .collect()
}

#[test]
fn crates_depend_only_on_what_the_table_allows() {
    let allowed = allowed();
    let mut seen = BTreeSet::new();
    for package in packages() {
        let name = package["name"].as_str().expect("a name").to_owned();
        let Some(may) = allowed.get(name.as_str()) else { continue };
        seen.insert(name.clone());
        for dependency in dependencies(&package) {
            assert!(
                !dependency.starts_with("lateen") || may.contains(&dependency.as_str()),
                "{name} depends on {dependency}, which docs/architecture.md does not allow"
            );
        }
    }
    assert_eq!(seen.len(), allowed.len(), "a crate of the table is missing: found {seen:?}");
}

#[test]
fn the_documented_table_is_the_checked_one() {
    let text = std::fs::read_to_string(root().join("docs/architecture.md")).expect("the page");
    for (name, may) in allowed() {
        let name = name.trim_start_matches("lateen-");
        let row = text
            .lines()
            .find(|line| line.starts_with(&format!("| `{name}` |")))
            .unwrap_or_else(|| panic!("docs/architecture.md has no row for `{name}`"));
        let last = row.trim_end_matches('|').rsplit('|').next().expect("a last cell");
        let documented: BTreeSet<String> =
            last.split('`').skip(1).step_by(2).map(|name| format!("lateen-{name}")).collect();
        let checked: BTreeSet<String> = may.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(documented, checked, "the row of `{name}`");
    }
}

/// Files of a crate's `src`, with their text.
fn sources(name: &str) -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source file");
                found.push((path, text));
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join("crates").join(name).join("src"), &mut found);
    assert!(!found.is_empty(), "crate {name} has no sources");
    found
}

fn absent(name: &str, forbidden: &[&str], why: &str) {
    for (path, text) in sources(name) {
        for word in forbidden {
            assert!(!text.contains(word), "{} names `{word}`: {why}", path.display());
        }
    }
}

#[test]
fn decisions_take_time_randomness_and_names_by_argument() {
    let forbidden = [
        "Instant::now",
        "SystemTime::now",
        "tokio::",
        "std::fs",
        "TcpStream",
        "UdpSocket",
        "std::env",
        "std::thread",
        "rand::",
        "getrandom",
    ];
    absent("engine", &forbidden, "the engine has no clock, no randomness and no I/O");
    absent("compiler", &forbidden, "the compiler has no clock, no randomness and no I/O");
    absent("mesh", &forbidden, "the model is data");
    absent("envoy", &forbidden, "the lowering has no clock, no randomness and no I/O");
    absent("capture", &forbidden, "rules are rendered from settings and texts alone");
    absent("capture", &["std::process", "println!"], "who runs programs is `lateen capture`");
    absent("cni", &forbidden, "the plugin's program and the node agent do what is decided here");
    absent("inject", &forbidden, "a pod is injected by settings and its own words alone");
}

#[test]
fn no_back_end_reads_an_istio_object_and_no_front_end_knows_envoy() {
    absent("engine", &["lateen_api"], "the engine reads the model only");
    absent("envoy", &["lateen_api", "lateen_compiler"], "the lowering reads the model only");
    absent("proxy", &["lateen_api"], "the proxy reads the model only");
    absent("compiler", &["envoy_types", "lateen_engine"], "the compiler does not know who reads");
    absent("api", &["envoy_types"], "objects do not know who serves them");
}

#[test]
fn the_control_plane_takes_no_telemetry() {
    absent(
        "controller",
        &["MetricsService", "AccessLogService", "TraceService", "opentelemetry"],
        "telemetry goes from the proxies to whoever scrapes them",
    );
}

#[test]
fn there_is_no_web_interface() {
    for name in ["controller", "proxy"] {
        absent(name, &["text/html", "<html"], "other programs draw what Lateen emits");
    }
}

#[test]
fn no_file_hides_two() {
    let mut long = Vec::new();
    for entry in std::fs::read_dir(root().join("crates")).expect("crates") {
        let name = entry.expect("a crate").file_name().into_string().expect("a name");
        for (path, text) in sources(&name) {
            let generated = path.components().any(|part| part.as_os_str() == "generated");
            if !generated && text.lines().count() > 800 {
                long.push(path);
            }
        }
    }
    assert!(long.is_empty(), "past 800 lines something is hiding: {long:?}");
}
