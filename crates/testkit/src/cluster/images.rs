//! Images of programs that this machine has, for the node's pods.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use lateen_image::{Image, Machine, Settings, Tree};

use crate::program::run;

/// The program of a pod's first container: it waits to be told to end, and reaps orphans.
const PAUSE: &str = "#include <signal.h>\n#include <sys/wait.h>\n#include <unistd.h>\n\
    static void end(int s) { (void)s; _exit(0); }\n\
    static void reap(int s) { (void)s; while (waitpid(-1, 0, WNOHANG) > 0) {} }\n\
    int main(void) { signal(SIGTERM, end); signal(SIGINT, end); signal(SIGCHLD, reap); \
    for (;;) pause(); }\n";

/// An image with programs of this machine, made step by step and written to an archive.
pub struct Packed {
    name: String,
    machine: Machine,
    tree: Tree,
    settings: Settings,
}

impl Packed {
    /// Begins an image with users, certificate authorities, a shell and the usual small programs.
    ///
    /// # Errors
    /// When one of them is not on this machine.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        let machine = Machine::this();
        let tree = Tree::base(&machine)?;
        let mut packed = Self {
            name: name.to_owned(),
            machine,
            tree,
            settings: Settings {
                environment: vec!["PATH=/usr/local/bin:/usr/sbin:/usr/bin:/bin".to_owned()],
                ..Settings::default()
            },
        };
        packed.programs(&["sh", "cat", "env", "id", "ls", "sleep", "true"])?;
        Ok(packed)
    }

    /// Adds programs of this machine, each at its own path.
    ///
    /// # Errors
    /// When one of them is missing, or a library that it needs.
    pub fn programs(&mut self, names: &[&str]) -> anyhow::Result<()> {
        for name in names {
            let host = self.machine.program(name, "install its Debian package")?;
            let path = host.to_string_lossy().into_owned();
            self.tree.program(path.trim_start_matches('/'), &host, &self.machine)?;
        }
        Ok(())
    }

    /// Adds a program of this machine at another path.
    ///
    /// # Errors
    /// When it is missing, or a library that it needs.
    pub fn program_at(&mut self, path: &str, host: &Path) -> anyhow::Result<()> {
        Ok(self.tree.program(path, host, &self.machine)?)
    }

    /// Adds a folder of this machine where it stands.
    ///
    /// # Errors
    /// When something in it cannot be read.
    pub fn folder(&mut self, host: &Path) -> anyhow::Result<()> {
        let path = host.to_string_lossy().into_owned();
        self.tree.folder_of(path.trim_start_matches('/'), host, &self.machine, &|_| true)?;
        Ok(())
    }

    /// The files, for additions of any kind.
    pub fn tree(&mut self) -> &mut Tree {
        &mut self.tree
    }

    /// What its containers run.
    pub fn entrypoint(&mut self, program: &[&str]) {
        self.settings.entrypoint = program.iter().map(|&part| part.to_owned()).collect();
    }

    /// Writes the archive into `folder`; its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(self, folder: &Path) -> anyhow::Result<PathBuf> {
        let path = folder.join(format!("{}.tar", self.name.replace(['/', ':'], "-")));
        let file =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let image = Image { name: self.name, layers: vec![self.tree], settings: self.settings };
        image.write(std::io::BufWriter::new(file))?;
        Ok(path)
    }
}

/// The image of which every pod's first container is; its archive lies in `folder`.
///
/// # Errors
/// When there is no C compiler, or a file cannot be written.
pub fn pause(name: &str, folder: &Path) -> anyhow::Result<PathBuf> {
    let (source, program) = (folder.join("pause.c"), folder.join("pause"));
    std::fs::write(&source, PAUSE)?;
    let mut compiler = Command::new("cc");
    compiler.args(["-Os", "-s", "-static", "-o"]).args([&program, &source]);
    let output = compiler.output().context("cannot run cc")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "cc: {complaint}");
    let mut tree = Tree::default();
    tree.program("pause", &program, &Machine::this())?;
    let settings = Settings { entrypoint: vec!["/pause".to_owned()], ..Settings::default() };
    let image = Image { name: name.to_owned(), layers: vec![tree], settings };
    let path = folder.join("pause.tar");
    image.write(File::create(&path)?)?;
    Ok(path)
}

/// Gives the images of an archive to containerd.
///
/// # Errors
/// When the archive is none, or containerd refuses it.
pub fn import(socket: &Path, archive: &Path) -> anyhow::Result<()> {
    let arguments = [
        "--address".as_ref(),
        socket.as_os_str(),
        "--namespace".as_ref(),
        "k8s.io".as_ref(),
        "images".as_ref(),
        "import".as_ref(),
        "--no-unpack".as_ref(),
        archive.as_os_str(),
    ];
    let (status, text) = run("ctr", arguments)?;
    anyhow::ensure!(status.success(), "ctr images import {}: {text}", archive.display());
    Ok(())
}
