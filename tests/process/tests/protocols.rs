//! HTTP, gRPC, WebSocket and TCP through two sidecars, with programs of others at both ends.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;

use lateen_process_tests::{peers, yaml};
use lateen_testkit::mesh::{Mesh, curl};

/// One workload for each protocol, and a caller.
fn mesh() -> Mesh {
    let mut text = String::new();
    for (name, number, port_name) in
        [("web", 1, "http"), ("rpc", 2, "grpc"), ("socket", 3, "http-ws"), ("raw", 4, "tcp")]
    {
        let pod = format!("{name}-1");
        let address = format!("10.0.0.{number}");
        text.push_str(&yaml::pod(&pod, name, "v1", &address));
        let cluster_ip = format!("10.96.0.{number}");
        let endpoints = [(pod.as_str(), address.as_str(), true)];
        text.push_str(&yaml::service(name, &cluster_ip, port_name, (80, 8080), &endpoints));
    }
    text.push_str(&yaml::pod("caller", "caller", "v1", "10.0.0.9"));
    let mut mesh =
        Mesh::start(&[("mesh.yaml", &yaml::mesh("")), ("workloads.yaml", &text)]).expect("a mesh");
    for workload in ["test/web-1", "test/rpc-1", "test/socket-1", "test/raw-1", "test/caller"] {
        mesh.start_proxy(workload, &[]).expect("a proxy");
    }
    mesh
}

fn host(service: &str) -> String {
    format!("{service}.test.svc.cluster.local")
}

#[test]
fn real_programs_talk_through_two_sidecars() {
    let mesh = mesh();
    http(&mesh);
    grpc(&mesh);
    websocket(&mesh);
    tcp(&mesh);
}

fn http(mesh: &Mesh) {
    let _nginx = peers::nginx(mesh, "web", mesh.application("test/web-1", 8080).unwrap()).unwrap();
    let seen = mesh.service("test/caller", &host("web"), 80).unwrap();
    let (_, text) = curl(&["-H", "Host: web", &format!("http://{seen}/")]).unwrap();
    assert_eq!(text, "web\n\n200");
    // A body that comes in chunks, announced with `100-continue`.
    let body = mesh.logs().join("body");
    std::fs::write(&body, vec![b'x'; 1_000_000]).unwrap();
    let (_, text) = curl(&[
        "-H",
        "Host: web",
        "-H",
        "Transfer-Encoding: chunked",
        "-H",
        "Expect: 100-continue",
        "--data-binary",
        &format!("@{}", body.display()),
        &format!("http://{seen}/upload"),
    ])
    .unwrap();
    // NGINX takes a body of one megabyte and answers.
    assert!(text.ends_with("\n200"), "{text}");
}

fn grpc(mesh: &Mesh) {
    let listen = mesh.application("test/rpc-1", 8080).unwrap();
    let mut server = peers::script(mesh, "grpc_server.py", &[&listen.to_string()]).unwrap();
    peers::listening(listen, &mut server).unwrap();
    let seen = mesh.service("test/caller", &host("rpc"), 80).unwrap().to_string();
    let client = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/grpc_client.py");
    let output = Command::new(peers::python().unwrap())
        .args([client, &seen, &host("rpc")])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let problems = String::from_utf8_lossy(&output.stderr);
    let expected = "unary hello world unary\n\
        server-stream 100 item 99\n\
        client-stream 500000 bytes\n\
        both echo a,echo b\n\
        refuse FAILED_PRECONDITION not like this\n";
    assert_eq!(text, expected, "{problems}");
}

fn websocket(mesh: &Mesh) {
    let listen = mesh.application("test/socket-1", 8080).unwrap();
    let mut server = peers::script(mesh, "ws_server.py", &[&listen.to_string()]).unwrap();
    peers::listening(listen, &mut server).unwrap();
    let seen = mesh.service("test/caller", &host("socket"), 80).unwrap().to_string();
    let client = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/ws_client.py");
    let output = Command::new(peers::python().unwrap())
        .args([client, &seen, &host("socket")])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text, "same\nsame\nsame\n", "{}", String::from_utf8_lossy(&output.stderr));
}

/// The client closes its half; the server answers after that.
fn tcp(mesh: &Mesh) {
    let listener = TcpListener::bind(mesh.application("test/raw-1", 8080).unwrap()).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        stream.write_all(format!("got {}", all.len()).as_bytes()).unwrap();
    });
    let seen = mesh.service("test/caller", &host("raw"), 80).unwrap();
    let mut stream = TcpStream::connect(seen).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    stream.write_all(&vec![7; 300_000]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "got 300000");
    server.join().unwrap();
}
