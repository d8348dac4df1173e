//! Programs that play the applications.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use lateen_testkit::mesh::Mesh;
use lateen_testkit::program::Program;
use lateen_testkit::wait;

/// Python with grpcio and websockets, as `./test` installed it.
///
/// # Errors
/// When `LATEEN_TEST_VENV` is not set.
pub fn python() -> anyhow::Result<PathBuf> {
    let folder = std::env::var_os("LATEEN_TEST_VENV")
        .context("LATEEN_TEST_VENV is not set: run the process tests by `./test process`")?;
    Ok(Path::new(&folder).join("bin/python"))
}

/// Starts a script of `peers/`.
///
/// # Errors
/// When it does not start.
pub fn script(mesh: &Mesh, name: &str, arguments: &[&str]) -> anyhow::Result<Program> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(name);
    let mut command = Command::new(python()?);
    command.arg("-u").arg(path).args(arguments);
    Program::start(&name.replace('.', "-"), command, &mesh.logs())
}

/// Starts NGINX as the application `name`, which answers `NAME\n` to everything.
///
/// # Errors
/// When it does not listen in time.
pub fn nginx(mesh: &Mesh, name: &str, listen: SocketAddr) -> anyhow::Result<Program> {
    let folder = mesh.logs().join(name);
    std::fs::create_dir_all(&folder)?;
    let configuration = folder.join("nginx.conf");
    let place = folder.display();
    std::fs::write(
        &configuration,
        format!(
            r#"daemon off;
worker_processes 1;
pid {place}/pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
    access_log /dev/stdout;
    client_body_temp_path {place}/body;
    proxy_temp_path {place}/proxy;
    fastcgi_temp_path {place}/fastcgi;
    uwsgi_temp_path {place}/uwsgi;
    scgi_temp_path {place}/scgi;
    server {{
        listen {listen};
        keepalive_requests 100000000;
        default_type text/plain;
        location / {{ return 200 "{name}\n"; }}
    }}
}}
"#
        ),
    )?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(&folder).arg("-c").arg(&configuration).args(["-e", "stderr"]);
    let mut program = Program::start(&format!("nginx-{name}"), command, &mesh.logs())?;
    listening(listen, &mut program)?;
    Ok(program)
}

/// What openssl prints when it is run in `folder`.
///
/// # Panics
/// When it fails, with its complaint: the test cannot go on.
#[must_use]
pub fn openssl(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).current_dir(folder).output();
    let output = output.expect("openssl is installed");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments:?}: {complaint}");
    String::from_utf8(output.stdout).expect("openssl prints text")
}

/// Waits until something listens there.
///
/// # Errors
/// When nothing does in time, or the program has ended.
pub fn listening(address: SocketAddr, program: &mut Program) -> anyhow::Result<()> {
    wait::until(&format!("{address} is listened on"), Duration::from_secs(10), || {
        program.running()?;
        std::net::TcpStream::connect(address)?;
        Ok(())
    })
}
