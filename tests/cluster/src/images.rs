//! Images of others' programs, by the names that they have in public, packed from this machine's.

use std::path::Path;

use lateen_testkit::cluster::Node;
use lateen_testkit::cluster::images::Packed;
use lateen_testkit::cluster::programs::Programs;

/// NGINX with the folders of its official image: pages in `/usr/share/nginx/html`, servers in
/// `/etc/nginx/conf.d`.
pub const NGINX: &str = "docker.io/library/nginx:1.29";

/// curl, with a shell.
pub const CURL: &str = "docker.io/curlimages/curl:8.16.0";

/// Prometheus, with its `promtool`: of `tools`, since Debian's cannot ask Kubernetes what to scrape.
const PROMETHEUS: &str = "docker.io/prom/prometheus:v3.16.0";

const NGINX_SETTINGS: &str = "\
worker_processes 1;
pid /run/nginx.pid;
error_log /dev/stderr notice;
events { worker_connections 1024; }
http {
    access_log /dev/stdout;
    keepalive_timeout 65;
    client_body_temp_path /tmp/body;
    proxy_temp_path /tmp/proxy;
    fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi;
    scgi_temp_path /tmp/scgi;
    include /etc/nginx/conf.d/*.conf;
}
";

const NGINX_SERVER: &str = "\
server {
    listen 80;
    root /usr/share/nginx/html;
    index index.html;
}
";

/// Gives NGINX, curl and Prometheus to the node.
///
/// # Errors
/// When they are not on this machine.
pub fn import(node: &Node) -> anyhow::Result<()> {
    let folder = node.api().folder();
    node.import(&nginx()?.write(folder)?)?;
    node.import(&curl()?.write(folder)?)?;
    node.import(&prometheus(node.api().programs())?.write(folder)?)
}

fn nginx() -> anyhow::Result<Packed> {
    let mut image = Packed::new(NGINX)?;
    image.programs(&["nginx"])?;
    let tree = image.tree();
    tree.folder("var/log/nginx", 0o755, 0);
    tree.folder("var/lib/nginx", 0o755, 0);
    tree.text("etc/nginx/nginx.conf", NGINX_SETTINGS);
    tree.text("etc/nginx/conf.d/default.conf", NGINX_SERVER);
    tree.text("usr/share/nginx/html/index.html", "NGINX\n");
    image.entrypoint(&["nginx", "-g", "daemon off;"]);
    Ok(image)
}

fn curl() -> anyhow::Result<Packed> {
    let mut image = Packed::new(CURL)?;
    image.programs(&["curl"])?;
    image.entrypoint(&["curl"]);
    Ok(image)
}

fn prometheus(built: &Programs) -> anyhow::Result<Packed> {
    let mut image = Packed::new(PROMETHEUS)?;
    for program in ["prometheus", "promtool"] {
        image.program_at(&format!("bin/{program}"), &built.path(program))?;
    }
    image.entrypoint(&["/bin/prometheus"]);
    Ok(image)
}

/// Gives the archives of Lateen's images in `folder` (`./image`) to the node.
///
/// # Errors
/// When one is missing.
pub fn import_lateen(node: &Node, folder: &Path) -> anyhow::Result<()> {
    for name in ["lateen", "lateen-proxy", "lateen-proxy-envoy"] {
        node.import(&folder.join(format!("{name}.tar")))?;
    }
    Ok(())
}

/// Gives the CNI plugin and its agent to the node.
///
/// # Errors
/// When their archive is missing.
pub fn import_cni(node: &Node, folder: &Path) -> anyhow::Result<()> {
    node.import(&folder.join("lateen-cni.tar"))
}
