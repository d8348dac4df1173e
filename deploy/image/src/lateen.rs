//! The images of Lateen: the control plane (`lateen`), what runs in a pod (`lateen-proxy`), the same with
//! stock Envoy (`lateen-proxy-envoy`), and the CNI plugin with its node agent (`lateen-cni`).

use std::path::Path;

use crate::error::Error;
use crate::image::{Image, Settings};
use crate::machine::Machine;
use crate::tree::{Tree, USER};

/// Registry and owner of the images, as the chart's values name them.
pub const HUB: &str = "ghcr.io/lateen";

/// The programs of the packet filter as `lateen-proxy capture` calls them. All but `nft` are names of
/// one program.
const IPTABLES: [&str; 4] =
    ["iptables-restore", "iptables-save", "ip6tables-restore", "ip6tables-save"];
const MULTIPLE: &str = "xtables-nft-multi";

/// Files below the root: everything that all images begin with.
fn base(machine: &Machine, program: &Path) -> Result<Tree, Error> {
    let mut tree = Tree::base(machine)?;
    // What all programs need is a layer that all images share.
    let needs = machine.needs(program)?;
    for (path, host) in needs.files {
        tree.host(&path, host, 0o755);
    }
    Ok(tree)
}

/// The control plane and the command line.
///
/// # Errors
/// When something is not on this machine, or cannot be read.
pub fn lateen(machine: &Machine, program: &Path, version: &str) -> Result<Image, Error> {
    let base = base(machine, program)?;
    let mut own = Tree::default();
    own.program("usr/local/bin/lateen", program, machine)?;
    Ok(Image {
        name: name("lateen", version),
        layers: vec![base.clone(), own.above(&base)],
        settings: settings("lateen", "The control plane of Lateen, a service mesh", version),
    })
}

/// What runs in a pod: the proxy, and the packet filter's programs for its init container; with
/// `envoy`, stock Envoy beside it.
///
/// # Errors
/// When something is not on this machine, or cannot be read.
pub fn proxy(
    machine: &Machine,
    program: &Path,
    envoy: Option<&Path>,
    version: &str,
) -> Result<Image, Error> {
    let base = base(machine, program)?;
    let filter = packet_filter(machine)?.above(&base);
    let mut own = Tree::default();
    own.program("usr/local/bin/lateen-proxy", program, machine)?;
    let mut layers = vec![base.clone(), filter, own.above(&base)];
    let mut image = "lateen-proxy";
    let mut title = "The sidecar and gateway of Lateen, a service mesh";
    if let Some(envoy) = envoy {
        let mut tree = Tree::default();
        tree.program("usr/local/bin/envoy", envoy, machine)?;
        layers.push(tree.above(&base));
        image = "lateen-proxy-envoy";
        title = "The sidecar and gateway of Lateen, a service mesh, with stock Envoy";
    }
    Ok(Image {
        name: name(image, version),
        layers,
        settings: Settings {
            entrypoint: vec!["/usr/local/bin/lateen-proxy".to_owned()],
            ..settings("lateen-proxy", title, version)
        },
    })
}

/// The node agent, which is a command of `program`; the packet filter's programs, and the plugin for it to
/// give to nodes: what these have of libraries is not known, so that the plugin must need none.
///
/// # Errors
/// When something is not on this machine, or cannot be read, or the plugin needs libraries.
pub fn cni(
    machine: &Machine,
    program: &Path,
    plugin: &Path,
    version: &str,
) -> Result<Image, Error> {
    let libraries = machine.needs(plugin)?.files;
    if let Some((library, _)) = libraries.into_iter().next() {
        return Err(Error::NotStatic { program: plugin.to_owned(), library });
    }
    let base = base(machine, program)?;
    let filter = packet_filter(machine)?.above(&base);
    let mut agent = Tree::default();
    agent.program("usr/local/bin/lateen", program, machine)?;
    let mut own = Tree::default();
    own.program("usr/local/bin/lateen-cni", plugin, machine)?;
    let title = "The CNI plugin of Lateen, a service mesh, and its node agent";
    Ok(Image {
        name: name("lateen-cni", version),
        // All but the last are layers of the other images.
        layers: vec![base.clone(), filter, agent.above(&base), own],
        settings: settings("lateen", title, version),
    })
}

/// `iptables-restore` in the flavour that writes nftables, its plugins, and `nft`.
fn packet_filter(machine: &Machine) -> Result<Tree, Error> {
    let mut tree = Tree::default();
    let multiple = machine.program(MULTIPLE, "install iptables")?;
    tree.program(&format!("usr/sbin/{MULTIPLE}"), &multiple, machine)?;
    for name in IPTABLES {
        tree.link(&format!("usr/sbin/{name}"), MULTIPLE);
    }
    let plugins = machine.plugins("xtables", "install iptables")?;
    // Those of ebtables and arptables have no reader here.
    let of_iptables = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        ["libxt_", "libipt_", "libip6t_"].iter().any(|start| name.starts_with(start))
    };
    tree.folder_of(&plugins.to_string_lossy(), &plugins, machine, &of_iptables)?;
    let nft = machine.program("nft", "install nftables")?;
    tree.program("usr/sbin/nft", &nft, machine)?;
    Ok(tree)
}

fn name(image: &str, version: &str) -> String {
    format!("{HUB}/{image}:{version}")
}

fn settings(program: &str, title: &str, version: &str) -> Settings {
    let label =
        |name: &str, text: &str| (format!("org.opencontainers.image.{name}"), text.to_owned());
    Settings {
        user: format!("{USER}:{USER}"),
        entrypoint: vec![format!("/usr/local/bin/{program}")],
        command: Vec::new(),
        environment: vec!["PATH=/usr/local/bin:/usr/sbin:/usr/bin".to_owned()],
        labels: vec![
            label("title", title),
            label("version", version),
            label("licenses", "Apache-2.0"),
        ],
    }
}
