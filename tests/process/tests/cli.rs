//! The commands that answer a question: exit codes, and one JSON document whatever happens.

use std::path::Path;
use std::process::{Command, Stdio};

use lateen_testkit::mesh::binary;
use serde_json::Value;

struct Answer {
    code: i32,
    out: String,
    err: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {:?}", self.out))
    }
}

fn lateen(dir: &Path, arguments: &[&str]) -> Answer {
    let output = Command::new(binary())
        .args(arguments)
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .expect("the command runs");
    Answer {
        code: output.status.code().expect("no signal ends it"),
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
}

/// A folder with a good mesh, a broken object, bytes that are no text, and an empty folder.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    for name in ["mesh", "empty"] {
        std::fs::create_dir(at(name)).expect("made");
    }
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: shop}\n\
               spec: {containers: [{name: a}]}\nstatus: {podIP: 10.0.0.1, phase: Running}\n";
    let broken = "apiVersion: networking.istio.io/v1\nkind: VirtualService\n\
                  metadata: {name: a, namespace: shop}\nspec: {hosts: [x], http: [{rout: []}]}\n";
    std::fs::write(at("mesh/pod.yaml"), pod).expect("written");
    std::fs::write(at("broken.yaml"), broken).expect("written");
    std::fs::write(at("bytes.yaml"), b"\xff\xfe\x00").expect("written");
    folder
}

#[test]
fn exit_codes_are_as_the_help_says() {
    let folder = folder();
    let explain = ["explain", "--dir", "mesh", "--from", "shop/a"];
    let explained = |rest: &[&'static str]| [&explain[..], rest].concat();
    let cases: Vec<(Vec<&str>, i32)> = vec![
        (vec!["validate", "mesh"], 0),
        (vec!["validate", "empty"], 0),
        (vec!["validate", "-"], 0),
        (vec!["validate", "broken.yaml"], 1),
        (vec!["validate", "bytes.yaml"], 2),
        (vec!["validate", "missing"], 2),
        (vec!["validate", "mesh", "missing"], 2),
        (vec!["addresses", "--dir", "mesh"], 0),
        (vec!["addresses", "--dir", "empty"], 0),
        (vec!["addresses", "--dir", "missing"], 2),
        (vec!["addresses", "--dir", "broken.yaml"], 2),
        (explained(&["GET", "http://192.0.2.1:81/"]), 0),
        (explained(&["G ET", "http://b/"]), 2),
        (explained(&["GET", "/"]), 2),
        (explained(&["GET", "ftp://b/"]), 2),
        (explained(&["GET", "http://b c/"]), 2),
        (explained(&["GET", "http://b:99999/"]), 2),
        (explained(&["GET", "http://b/", "-H", "no colon"]), 2),
        (explained(&["GET", "http://b/", "-H", "two words: x"]), 2),
        (vec!["explain", "--dir", "mesh", "--from", "a", "GET", "http://b/"], 2),
        (vec!["explain", "--dir", "mesh", "--from", "shop/b", "GET", "http://b/"], 2),
        (vec!["explain", "--dir", "missing", "--from", "shop/a", "GET", "http://b/"], 2),
        (vec!["proxy-status", "--monitoring", "127.0.0.1:1"], 2),
    ];
    for (mut arguments, code) in cases {
        let text = lateen(folder.path(), &arguments);
        assert_eq!(text.code, code, "{arguments:?}: {}{}", text.out, text.err);
        arguments.extend(["-o", "json"]);
        let json = lateen(folder.path(), &arguments);
        assert_eq!(json.code, code, "{arguments:?}: {}{}", json.out, json.err);
        assert_eq!(json.json()["error"].is_string(), code == 2, "{arguments:?}: {}", json.out);
        assert_eq!(json.err.contains("lateen: "), code == 2, "{arguments:?}: {}", json.err);
    }
}

#[test]
fn the_demo_starts_nothing_that_cannot_work() {
    let folder = folder();
    for (arguments, code) in [(["demo", "--workers", "0"], 2), (["demo", "--dir", "mesh"], 1)] {
        let answer = lateen(folder.path(), &arguments);
        assert_eq!(answer.code, code, "{arguments:?}: {}{}", answer.out, answer.err);
        assert!(answer.out.is_empty(), "{}", answer.out);
    }
}

#[test]
fn a_reason_is_said_once() {
    let folder = folder();
    let answer = lateen(folder.path(), &["addresses", "--dir", "missing"]);
    assert_eq!(answer.err.matches("No such file").count(), 1, "{}", answer.err);
}

#[test]
fn blank_lines_ask_nothing() {
    let folder = folder();
    let line = r#"{"method": "GET", "url": "http://192.0.2.1:81/"}"#;
    std::fs::write(folder.path().join("requests.jsonl"), format!("{line}\n\n{line}\n"))
        .expect("written");
    let arguments =
        ["explain", "--dir", "mesh", "--from", "shop/a", "--requests", "requests.jsonl"];
    let answer = lateen(folder.path(), &arguments);
    assert_eq!((answer.code, answer.out.lines().count()), (0, 2), "{}{}", answer.out, answer.err);
}

#[test]
fn a_link_back_is_not_followed() {
    let folder = folder();
    std::os::unix::fs::symlink("..", folder.path().join("mesh/back")).expect("a link");
    std::os::unix::fs::symlink(".", folder.path().join("mesh/loop")).expect("a link");
    let answer = lateen(folder.path(), &["validate", "mesh", "-o", "json"]);
    assert_eq!(answer.json()["objects"], 1, "{}", answer.out);
}

#[test]
fn nothing_is_to_be_said_about_the_sample() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../../crates/lateen/src/demo/mesh");
    let answer = lateen(Path::new("."), &["validate", sample, "-o", "json"]);
    assert_eq!((answer.code, &answer.json()["diagnostics"]), (0, &serde_json::json!([])));
}
