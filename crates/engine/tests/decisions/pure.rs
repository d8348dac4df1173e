//! The crate reads no clock, makes no randomness and does no I/O.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the crate's own sources") {
        let path = entry.expect("the crate's own sources").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_clock_no_randomness_no_io() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    assert!(files.len() > 20, "only {} sources were found", files.len());
    for file in files {
        let text = fs::read_to_string(&file).expect("the crate's own sources");
        for forbidden in [
            "Instant",
            "SystemTime",
            "UNIX_EPOCH",
            "rand::",
            "getrandom",
            "RandomState",
            "tokio",
            "std::fs",
            "std::io",
            "std::env",
            "std::thread",
            "std::process",
            "TcpStream",
            "TcpListener",
            "UdpSocket",
            "UnixStream",
            "ToSocketAddrs",
            "std::collections::HashMap",
            "OnceLock",
            "LazyLock",
            "Mutex",
            "Atomic",
            "println!",
            "thread_local",
        ] {
            assert!(!text.contains(forbidden), "{} uses {forbidden}", file.display());
        }
    }
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .expect("the crate's own manifest");
    let dependencies: Vec<&str> = manifest
        .split_once("[dependencies]")
        .and_then(|(_, rest)| rest.split_once("[dev-dependencies]"))
        .map(|(dependencies, _)| dependencies.lines().filter(|line| line.contains(".workspace")))
        .expect("a list of dependencies")
        .map(|line| line.split('.').next().unwrap_or(line))
        .collect();
    assert_eq!(
        dependencies,
        ["lateen-mesh", "bytes", "http", "prost", "regex", "rustc-hash", "smallvec", "thiserror"],
        "whatever else is depended on could do I/O"
    );
}
