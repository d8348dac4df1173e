//! `lateen-image`: writes the images of Lateen from programs that are built already. `./image` builds
//! them and calls this.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use lateen_image::{Image, Machine, lateen};

/// Write Lateen's container images, as archives for `ctr images import` and `docker load`.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Where lateen.tar, lateen-proxy.tar, lateen-proxy-envoy.tar and lateen-cni.tar are written.
    folder: PathBuf,
    /// The folder with the programs lateen and lateen-proxy.
    #[arg(long, value_name = "FOLDER")]
    programs: PathBuf,
    /// Envoy's program. Without it, lateen-proxy-envoy.tar is not written.
    #[arg(long, value_name = "PATH")]
    envoy: Option<PathBuf>,
    /// The CNI plugin, linked statically. Without it, lateen-cni.tar is not written.
    #[arg(long, value_name = "PATH")]
    cni: Option<PathBuf>,
    /// The images' tag.
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    tag: String,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lateen-image: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let machine = Machine::this();
    let (control, proxy) =
        (arguments.programs.join("lateen"), arguments.programs.join("lateen-proxy"));
    let tag = arguments.tag.as_str();
    std::fs::create_dir_all(&arguments.folder)
        .with_context(|| format!("cannot make {}", arguments.folder.display()))?;
    save(&arguments.folder, "lateen", &lateen::lateen(&machine, &control, tag)?)?;
    save(&arguments.folder, "lateen-proxy", &lateen::proxy(&machine, &proxy, None, tag)?)?;
    if let Some(envoy) = arguments.envoy.as_deref() {
        let image = lateen::proxy(&machine, &proxy, Some(envoy), tag)?;
        save(&arguments.folder, "lateen-proxy-envoy", &image)?;
    }
    if let Some(plugin) = arguments.cni.as_deref() {
        let image = lateen::cni(&machine, &control, plugin, tag)?;
        save(&arguments.folder, "lateen-cni", &image)?;
    }
    Ok(())
}

/// Whole or not at all: others may read the folder.
fn save(folder: &Path, name: &str, image: &Image) -> anyhow::Result<()> {
    let path = folder.join(format!("{name}.tar"));
    let partial = folder.join(format!(".{name}.tar.{}", std::process::id()));
    let write = || -> anyhow::Result<()> {
        image.write(BufWriter::new(File::create(&partial)?))?;
        std::fs::rename(&partial, &path)?;
        Ok(())
    };
    let written = write().with_context(|| format!("cannot write {}", path.display()));
    if written.is_err() {
        // What is left of it may not exist.
        let _ = std::fs::remove_file(&partial);
    }
    written?;
    println!("{}: {}", path.display(), image.name);
    Ok(())
}
