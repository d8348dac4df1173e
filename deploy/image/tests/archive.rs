//! The archive of an image, read as `docker load` and as containerd read it, unpacked, and its programs
//! run inside.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use lateen_image::layer::Descriptor;
use lateen_image::{Image, Machine, lateen};
use serde_json::Value;

/// A program of this workspace stands for Lateen's: what is packed around it is the same.
fn image() -> Image {
    let program = Path::new(env!("CARGO_BIN_EXE_lateen-image"));
    let envoy = std::env::var_os("LATEEN_ENVOY").map(PathBuf::from);
    lateen::proxy(&Machine::this(), program, envoy.as_deref(), "1.2.3").expect("a sound archive")
}

fn archive(image: &Image) -> Vec<u8> {
    let mut bytes = Vec::new();
    image.write(&mut bytes).expect("a sound archive");
    bytes
}

/// The files of an archive by their names.
fn files(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries().expect("a sound archive") {
        let mut entry = entry.expect("a sound archive");
        assert_eq!(entry.header().mtime().expect("a sound archive"), 0);
        let name = entry.path().expect("a sound archive").to_string_lossy().into_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("a sound archive");
        assert!(files.insert(name, bytes).is_none());
    }
    files
}

fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("a sound archive")
}

/// A blob by its descriptor, checked.
fn blob<'f>(files: &'f BTreeMap<String, Vec<u8>>, descriptor: &Value) -> &'f [u8] {
    let digest = descriptor["digest"]
        .as_str()
        .expect("a sound archive")
        .strip_prefix("sha256:")
        .expect("a sound archive");
    let bytes = &files[&format!("blobs/sha256/{digest}")];
    assert_eq!(Descriptor::of(bytes).sha256, digest);
    assert_eq!(descriptor["size"], bytes.len());
    bytes
}

#[test]
fn both_readers_find_the_same_image() {
    let image = image();
    let bytes = archive(&image);
    assert!(bytes == archive(&image), "the same files give the same bytes");
    let files = files(&bytes);

    assert_eq!(parse(&files["oci-layout"])["imageLayoutVersion"], "1.0.0");
    let index = parse(&files["index.json"]);
    let entry = &index["manifests"][0];
    assert_eq!(entry["annotations"]["io.containerd.image.name"], image.name);
    let manifest = parse(blob(&files, entry));
    let config = parse(blob(&files, &manifest["config"]));
    assert_eq!(config["config"]["User"], "1337:1337");
    assert_eq!(config["config"]["Entrypoint"][0], "/usr/local/bin/lateen-proxy");

    let saved = &parse(&files["manifest.json"])[0];
    assert_eq!(saved["RepoTags"][0], image.name);
    let path = |descriptor: &Value| {
        format!("blobs/{}", descriptor["digest"].as_str().unwrap().replace(':', "/"))
    };
    assert_eq!(saved["Config"], path(&manifest["config"]));
    let layers = manifest["layers"].as_array().unwrap();
    let identities = config["rootfs"]["diff_ids"].as_array().unwrap();
    assert_eq!(layers.len(), identities.len());
    for (number, layer) in layers.iter().enumerate() {
        blob(&files, layer);
        assert_eq!(layer["digest"], identities[number]);
        assert_eq!(saved["Layers"][number], path(layer));
    }
}

/// The layers of an image, one over the other.
fn unpack(archive: &[u8]) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a sound archive");
    let files = files(archive);
    for layer in parse(&files["manifest.json"])[0]["Layers"].as_array().expect("a sound archive") {
        let mut layer =
            tar::Archive::new(files[layer.as_str().expect("a sound archive")].as_slice());
        layer.set_preserve_permissions(true);
        layer.unpack(root.path()).expect("a sound archive");
    }
    root
}

#[test]
fn programs_of_the_image_run_in_it_as_its_user() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not tested: only root can enter another root folder");
        return;
    }
    let image = image();
    let root = unpack(&archive(&image));
    let mut programs = vec![
        ("/usr/local/bin/lateen-proxy", "lateen-image "),
        ("/usr/sbin/iptables-restore", "iptables-restore v"),
        ("/usr/sbin/ip6tables-save", "ip6tables-save v"),
        ("/usr/sbin/nft", "nftables v"),
    ];
    if image.name.contains("-envoy") {
        programs.push(("/usr/local/bin/envoy", "/1.40."));
    }
    // Whoever packs may keep the folder to themselves; the image's user has to enter it.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(root.path(), open).unwrap();
    for (program, expected) in programs {
        let output = Command::new("chroot")
            .arg("--userspec=1337:1337")
            .arg(root.path())
            .args([program, "--version"])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains(expected), "{program}: {text}");
    }
    assert!(root.path().join("etc/ssl/certs/ca-certificates.crt").is_file());
    let mode = std::fs::metadata(root.path().join("tmp")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o7777, 0o1777);
}

/// Rules with all the matches and targets of the capture: each asks for a plugin.
#[test]
fn the_packet_filter_of_the_image_has_the_plugins_of_the_capture() {
    let rules = "*nat\n:OWN - [0:0]\n\
                 -A OWN -p tcp -m multiport ! --dports 53,15008 -m owner --uid-owner 1337 -j RETURN\n\
                 -A OWN -p tcp -j REDIRECT --to-ports 15006\nCOMMIT\n\
                 *mangle\n:OWN - [0:0]\n\
                 -A OWN -p tcp -m mark --mark 0x539 -j RETURN\n\
                 -A OWN -m conntrack --ctstate INVALID -j DROP\n\
                 -A OWN -p tcp -j MARK --set-xmark 0x539/0xffffffff\n\
                 -A OWN -j CONNMARK --save-mark\nCOMMIT\n\
                 *raw\n:OWN - [0:0]\n-A OWN -p udp --dport 53 -j CT --zone 1\nCOMMIT\n";
    let possible = Command::new("unshare").args(["--net", "true"]).status();
    if !possible.is_ok_and(|status| status.success()) {
        eprintln!("not tested: network namespaces cannot be made here");
        return;
    }
    let root = unpack(&archive(&image()));
    let file = root.path().join("rules");
    std::fs::write(&file, rules).unwrap();
    for program in ["iptables-restore", "ip6tables-restore"] {
        let output = Command::new("unshare")
            .args(["--net", "chroot"])
            .arg(root.path())
            .args([&format!("/usr/sbin/{program}"), "/rules"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
