//! Where this machine keeps libraries, and everything that a program needs of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::elf::Elf;
use crate::error::Error;

/// Bundles of certificate authorities: Debian's and Alpine's, Fedora's, SUSE's place.
const AUTHORITIES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
];

/// Folders in which loaders look without being told.
const DEFAULT_FOLDERS: [&str; 8] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
];

/// Folders of programs.
const PROGRAM_FOLDERS: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// This machine's libraries.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Where libraries are looked for, in order.
    folders: Vec<PathBuf>,
}

/// What a program needs.
#[derive(Debug, Default)]
pub struct Needs {
    /// For which processor it is.
    pub architecture: &'static str,
    /// Where in the image, and where on this machine: the loader and the libraries.
    pub files: BTreeMap<String, PathBuf>,
}

impl Machine {
    /// This machine, by its defaults and `/etc/ld.so.conf`.
    #[must_use]
    pub fn this() -> Self {
        let mut folders: Vec<PathBuf> = DEFAULT_FOLDERS.iter().map(PathBuf::from).collect();
        configured(Path::new("/etc/ld.so.conf"), &mut folders);
        Self { folders }
    }

    /// A program by its name.
    ///
    /// # Errors
    /// When there is none; `advice` is for the user.
    pub fn program(&self, name: &str, advice: &'static str) -> Result<PathBuf, Error> {
        PROGRAM_FOLDERS
            .iter()
            .map(|folder| Path::new(folder).join(name))
            .find(|path| path.is_file())
            .ok_or_else(|| Error::Program { name: name.to_owned(), advice })
    }

    /// The bundle of certificate authorities that this machine trusts.
    ///
    /// # Errors
    /// When there is none.
    pub fn certificate_authorities(&self) -> Result<PathBuf, Error> {
        AUTHORITIES.iter().map(PathBuf::from).find(|path| path.is_file()).ok_or_else(|| {
            Error::Program { name: AUTHORITIES[0].to_owned(), advice: "install ca-certificates" }
        })
    }

    /// The folder of the plugins that the named library loads by itself.
    ///
    /// # Errors
    /// When there is none.
    pub fn plugins(&self, folder: &str, advice: &'static str) -> Result<PathBuf, Error> {
        self.folders
            .iter()
            .map(|libraries| libraries.join(folder))
            .find(|path| path.is_dir())
            .ok_or_else(|| Error::Program { name: folder.to_owned(), advice })
    }

    /// The loader and all libraries that a program or library needs, those that they need included.
    ///
    /// # Errors
    /// When a file is not readable as ELF, or a library is not on this machine.
    pub fn needs(&self, program: &Path) -> Result<Needs, Error> {
        let elf = read(program)?;
        let mut needs = Needs { architecture: elf.architecture, files: BTreeMap::new() };
        if let Some(interpreter) = &elf.interpreter {
            needs.files.insert(interpreter.clone(), PathBuf::from(interpreter));
        }
        let mut seen = BTreeSet::new();
        let mut open = vec![(program.to_owned(), elf)];
        while let Some((by, elf)) = open.pop() {
            for name in &elf.needed {
                if !seen.insert(name.clone()) || is_loader(name) {
                    continue;
                }
                let (path, library) = self.library(name, &by, &elf)?;
                let place = self.place(&path);
                needs.files.insert(place, path.clone());
                open.push((path, library));
            }
        }
        Ok(needs)
    }

    /// A library for the same processor: where the one who needs it says, else where all are.
    fn library(&self, name: &str, by: &Path, elf: &Elf) -> Result<(PathBuf, Elf), Error> {
        let origin = by.parent().unwrap_or(Path::new("/")).to_string_lossy();
        let own = elf.run_path.iter().map(|folder| {
            PathBuf::from(folder.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin))
        });
        for folder in own.chain(self.folders.iter().cloned()) {
            let path = folder.join(name);
            if !path.is_file() {
                continue;
            }
            let library = read(&path)?;
            if library.architecture == elf.architecture {
                return Ok((path, library));
            }
        }
        Err(Error::Library { name: name.to_owned(), by: by.to_owned() })
    }

    /// Where in an image a library stands. There is no cache of the loader's there: what is only found
    /// by the machine's configuration goes where all loaders look.
    fn place(&self, library: &Path) -> String {
        let folder = library.parent().unwrap_or(Path::new("/"));
        let configured = self.folders[DEFAULT_FOLDERS.len()..].iter().any(|other| other == folder);
        if !configured {
            return library.to_string_lossy().into_owned();
        }
        let name = library.file_name().unwrap_or_default().to_string_lossy();
        format!("/usr/lib/{name}")
    }
}

/// The loader is named by programs in full; libraries that need it mean the same one.
fn is_loader(name: &str) -> bool {
    name.starts_with("ld-linux")
}

fn read(path: &Path) -> Result<Elf, Error> {
    let bytes = std::fs::read(path).map_err(Error::read(path))?;
    Elf::parse(&bytes).map_err(|problem| Error::Elf { path: path.to_owned(), problem })
}

/// Adds the folders that a file of the loader's names (`man ldconfig`).
fn configured(path: &Path, folders: &mut Vec<PathBuf>) {
    // Without the file there is nothing but the defaults.
    let Ok(text) = std::fs::read_to_string(path) else { return };
    for line in text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()) {
        if let Some(pattern) = line.strip_prefix("include ") {
            for included in matching(Path::new(pattern.trim())) {
                configured(&included, folders);
            }
        } else if line.starts_with('/') {
            let folder = PathBuf::from(line);
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
    }
}

/// The files that a pattern such as `/etc/ld.so.conf.d/*.conf` names, sorted.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(name)) = (pattern.parent(), pattern.file_name()) else {
        return Vec::new();
    };
    let name = name.to_string_lossy();
    let Some((start, end)) = name.split_once('*') else { return vec![pattern.to_owned()] };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        })
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_needs_a_loader_and_the_c_library() {
        let own = std::env::current_exe().unwrap();
        let needs = Machine::this().needs(&own).unwrap();
        let names: Vec<&str> =
            needs.files.keys().map(|path| path.rsplit('/').next().unwrap()).collect();
        assert!(names.iter().any(|name| name.starts_with("ld-linux")), "{names:?}");
        assert!(names.contains(&"libc.so.6"), "{names:?}");
        assert!(needs.files.values().all(|path| path.is_file()));
    }

    #[test]
    fn configuration_is_followed_and_its_libraries_stand_where_all_look() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("a.conf"), "# none\n/opt/a # its\n").unwrap();
        std::fs::write(at("b.other"), "/opt/b\n").unwrap();
        let include = format!("include {}\n/opt/c\n", at("*.conf").display());
        std::fs::write(at("main"), include).unwrap();
        let mut folders: Vec<PathBuf> = DEFAULT_FOLDERS.iter().map(PathBuf::from).collect();
        configured(&at("main"), &mut folders);
        assert_eq!(folders[DEFAULT_FOLDERS.len()..], [Path::new("/opt/a"), Path::new("/opt/c")]);
        let machine = Machine { folders };
        assert_eq!(machine.place(Path::new("/opt/a/libx.so.1")), "/usr/lib/libx.so.1");
        assert_eq!(machine.place(Path::new("/lib/libx.so.1")), "/lib/libx.so.1");
    }
}
