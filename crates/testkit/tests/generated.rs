//! The checked-in Rust code is what the `.proto` files give.
//!
//! `LATEEN_REGENERATE=1 cargo test -p lateen-testkit --test generated` writes it anew. It stands
//! in this crate since this one builds without the crates whose code it generates.

use std::path::{Path, PathBuf};

/// Which `.proto` file of which crate gives which generated file.
const PROTOS: &[(&str, &str, &str)] = &[
    ("mesh", "lateen/mesh/v1/mesh.proto", "lateen.mesh.v1.rs"),
    ("xds", "envoy/service/discovery/v3/discovery.proto", "envoy.service.discovery.v3.rs"),
    ("xds", "istio/v1/auth/ca.proto", "istio.v1.auth.rs"),
    ("agent", "envoy/service/secret/v3/sds.proto", "envoy.service.secret.v3.rs"),
    ("agent", "envoy/service/accesslog/v3/als.proto", "envoy.service.accesslog.v3.rs"),
];

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn generated_code_is_current() {
    let mut stale = Vec::new();
    for (name, proto, file) in PROTOS {
        let include = crates().join(name).join("proto");
        let descriptors = protox::compile([include.join(proto)], [&include])
            .unwrap_or_else(|error| panic!("{proto} does not compile: {error}"));
        let out = tempfile::tempdir().expect("a temporary folder");
        let mut config = prost_build::Config::new();
        config.out_dir(out.path()).btree_map(["."]).bytes(["."]);
        if *name == "mesh" {
            // The proxy shows the resources in force as JSON.
            config.type_attribute(".", "#[derive(::serde::Serialize)]");
        }
        config.service_generator(tonic_prost_build::configure().service_generator());
        config.compile_fds(descriptors).expect("code is generated");
        let fresh = std::fs::read_to_string(out.path().join(file)).expect("the code");
        let kept = crates().join(name).join("src/generated").join(file);
        if std::env::var_os("LATEEN_REGENERATE").is_some() {
            std::fs::create_dir_all(kept.parent().expect("a parent")).expect("the folder");
            std::fs::write(&kept, &fresh).expect("the code is written");
        }
        if std::fs::read_to_string(&kept).unwrap_or_default() != fresh {
            stale.push(kept);
        }
    }
    assert!(stale.is_empty(), "stale, see the head of this test: {stale:?}");
}
