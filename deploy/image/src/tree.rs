//! The files of a layer, as data.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::elf;
use crate::error::Error;
use crate::machine::Machine;

/// User and group of Istio's proxy, and of Lateen's control plane.
pub const USER: u32 = 1337;

/// Where distributions keep what once stood beside `/usr`.
const MERGED: [&str; 4] = ["bin", "lib", "lib64", "sbin"];

/// Files, folders and links of an image by their paths, without the leading `/`.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    entries: BTreeMap<String, Entry>,
    architecture: Option<&'static str>,
}

/// One of them.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What it is.
    pub content: Content,
    /// Permissions.
    pub mode: u32,
    /// User and group.
    pub owner: u32,
}

/// What an entry is.
#[derive(Debug, Clone)]
pub enum Content {
    /// A folder.
    Folder,
    /// A file with these bytes.
    Bytes(Vec<u8>),
    /// A file of this machine.
    Host(PathBuf),
    /// A symbolic link to a path.
    Link(String),
}

impl Tree {
    /// What every image begins with: folders, users, the name service's order, a `/tmp` for all, and
    /// the certificate authorities that this machine trusts.
    ///
    /// # Errors
    /// When the machine has no certificate authorities.
    pub fn base(machine: &Machine) -> Result<Self, Error> {
        let mut tree = Self::default();
        for name in MERGED {
            tree.insert(name.to_owned(), Content::Link(format!("usr/{name}")), 0o777, 0);
            tree.folder(&format!("usr/{name}"), 0o755, 0);
        }
        for name in ["dev", "etc", "proc", "run", "sys", "usr/local/bin", "var/lib"] {
            tree.folder(name, 0o755, 0);
        }
        tree.folder("tmp", 0o1777, 0);
        tree.insert("var/run".to_owned(), Content::Link("../run".to_owned()), 0o777, 0);
        let users = format!(
            "root:x:0:0:root:/:/sbin/nologin\n\
             istio-proxy:x:{USER}:{USER}:the mesh:/:/sbin/nologin\n\
             nobody:x:65534:65534:nobody:/:/sbin/nologin\n"
        );
        tree.text("etc/passwd", &users);
        tree.text("etc/group", &format!("root:x:0:\nistio-proxy:x:{USER}:\nnogroup:x:65534:\n"));
        tree.text("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n");
        let authorities = machine.certificate_authorities()?;
        tree.host("etc/ssl/certs/ca-certificates.crt", authorities, 0o644);
        Ok(tree)
    }

    /// An empty folder with permissions and an owner.
    pub fn folder(&mut self, path: &str, mode: u32, owner: u32) {
        self.insert(placed(path), Content::Folder, mode, owner);
    }

    /// A file with a text that everybody may read.
    pub fn text(&mut self, path: &str, text: &str) {
        self.insert(placed(path), Content::Bytes(text.as_bytes().to_vec()), 0o644, 0);
    }

    /// A symbolic link.
    pub fn link(&mut self, path: &str, target: &str) {
        self.insert(placed(path), Content::Link(target.to_owned()), 0o777, 0);
    }

    /// A file of this machine as it is.
    pub fn host(&mut self, path: &str, host: impl Into<PathBuf>, mode: u32) {
        self.insert(placed(path), Content::Host(host.into()), mode, 0);
    }

    /// A program or a library of this machine, with its loader and all libraries that it needs; for a
    /// file that is no ELF file, the file alone.
    ///
    /// # Errors
    /// When it cannot be read, or needs what the machine does not have.
    pub fn program(&mut self, path: &str, host: &Path, machine: &Machine) -> Result<(), Error> {
        self.host(path, host, 0o755);
        if !starts_as_elf(host)? {
            return Ok(());
        }
        let needs = machine.needs(host)?;
        let known = *self.architecture.get_or_insert(needs.architecture);
        if known != needs.architecture {
            return Err(Error::Machines {
                image: path.to_owned(),
                first: known,
                second: needs.architecture,
            });
        }
        for (path, host) in needs.files {
            self.host(&path, host, 0o755);
        }
        Ok(())
    }

    /// A folder of this machine with all that `wanted` says of it, and the libraries that ELF files
    /// in it need. `wanted` is asked about each path below the folder.
    ///
    /// # Errors
    /// When something cannot be read, or needs what the machine does not have.
    pub fn folder_of(
        &mut self,
        path: &str,
        host: &Path,
        machine: &Machine,
        wanted: &dyn Fn(&Path) -> bool,
    ) -> Result<(), Error> {
        self.folder(path, 0o755, 0);
        for entry in std::fs::read_dir(host).map_err(Error::read(host))? {
            let entry = entry.map_err(Error::read(host))?;
            let from = entry.path();
            if !wanted(&from) {
                continue;
            }
            let name = entry.file_name();
            let to = format!("{path}/{}", name.to_string_lossy());
            let kind = entry.file_type().map_err(Error::read(&from))?;
            if kind.is_dir() {
                self.folder_of(&to, &from, machine, wanted)?;
            } else if kind.is_symlink() {
                let target = std::fs::read_link(&from).map_err(Error::read(&from))?;
                self.link(&to, &target.to_string_lossy());
            } else if kind.is_file() {
                if starts_as_elf(&from)? {
                    self.program(&to, &from, machine)?;
                }
                let metadata = entry.metadata().map_err(Error::read(&from))?;
                self.host(&to, from, metadata.permissions().mode() & 0o755);
            }
        }
        Ok(())
    }

    /// All entries, sorted: a folder stands before what is in it.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(path, entry)| (path.as_str(), entry))
    }

    /// For which processor the programs in it are; `None` without any.
    #[must_use]
    pub fn architecture(&self) -> Option<&'static str> {
        self.architecture
    }

    /// This tree without what another one, below it, has as well.
    #[must_use]
    pub fn above(mut self, below: &Self) -> Self {
        self.entries.retain(|path, entry| match below.entries.get(path) {
            Some(other) => !entry.is_same(other),
            None => true,
        });
        self
    }

    /// Folders on the way are made.
    fn insert(&mut self, path: String, content: Content, mode: u32, owner: u32) {
        for (end, _) in path.match_indices('/') {
            let parent = Entry { content: Content::Folder, mode: 0o755, owner: 0 };
            self.entries.entry(path[..end].to_owned()).or_insert(parent);
        }
        self.entries.insert(path, Entry { content, mode, owner });
    }
}

impl Entry {
    fn is_same(&self, other: &Self) -> bool {
        let content = match (&self.content, &other.content) {
            (Content::Folder, Content::Folder) => true,
            (Content::Bytes(one), Content::Bytes(two)) => one == two,
            (Content::Host(one), Content::Host(two)) => one == two,
            (Content::Link(one), Content::Link(two)) => one == two,
            _ => false,
        };
        content && self.mode == other.mode && self.owner == other.owner
    }
}

/// A path of an image without the leading `/`, where it really is: `lib/…` is `usr/lib/…`.
fn placed(path: &str) -> String {
    let path = path.trim_matches('/');
    match path.split_once('/') {
        Some((first, _)) if MERGED.contains(&first) => format!("usr/{path}"),
        _ => path.to_owned(),
    }
}

fn starts_as_elf(path: &Path) -> Result<bool, Error> {
    let mut head = Vec::new();
    let file = std::fs::File::open(path).map_err(Error::read(path))?;
    file.take(4).read_to_end(&mut head).map_err(Error::read(path))?;
    Ok(elf::is_elf(&head))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_on_the_way_are_made_and_old_places_lead_below_usr() {
        let mut tree = Tree::default();
        tree.text("/lib/x86_64-linux-gnu/a", "a");
        let paths: Vec<&str> = tree.entries().map(|(path, _)| path).collect();
        assert_eq!(
            paths,
            ["usr", "usr/lib", "usr/lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu/a"]
        );
    }

    #[test]
    fn a_folder_keeps_what_it_was_made_with() {
        let mut tree = Tree::default();
        tree.folder("var/own", 0o700, USER);
        tree.text("var/own/file", "");
        let own = tree.entries().find(|(path, _)| *path == "var/own").unwrap().1;
        assert_eq!((own.mode, own.owner), (0o700, USER));
    }

    #[test]
    fn what_is_below_is_not_repeated() {
        let mut below = Tree::default();
        below.text("etc/a", "a");
        below.text("etc/b", "b");
        let mut tree = below.clone();
        tree.text("etc/b", "other");
        tree.text("etc/c", "c");
        let paths: Vec<String> =
            tree.above(&below).entries().map(|(path, _)| path.to_owned()).collect();
        assert_eq!(paths, ["etc/b", "etc/c"]);
    }
}
