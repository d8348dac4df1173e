//! The plugin's program and its entry in the network configuration, on the node's disk: each file is
//! replaced whole, and nothing names the program while it is not there.

use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use lateen_cni::conflist::{self, Edit};
use serde_json::Value;

/// Where the plugin is on a node.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Its name.
    pub(super) name: String,
    /// The folder of programs.
    pub(super) programs: PathBuf,
    /// The folder of network configurations.
    pub(super) configurations: PathBuf,
    /// The file among them; `None`: the one that runtimes take.
    pub(super) file: Option<String>,
}

impl Place {
    /// Puts the program and its entry in place, where they are not; what was done.
    ///
    /// # Errors
    /// When there is no network configuration yet, or something cannot be read or written.
    pub(super) fn put(&self, program: &Path, entry: &Value) -> anyhow::Result<Vec<String>> {
        let mut done = Vec::new();
        let wanted = read(program)?;
        let there = self.programs.join(&self.name);
        if fs::read(&there).ok().as_deref() != Some(&wanted) {
            replace(&there, &wanted, 0o755)?;
            done.push(format!("wrote {}", there.display()));
        }
        let files = self.files()?;
        let file = match &self.file {
            Some(wanted) => files.iter().find(|(name, _)| is_file(name, wanted)),
            None => conflist::chosen(&files),
        };
        let (name, text) = file.with_context(|| {
            format!("no network configuration in {} yet", self.configurations.display())
        })?;
        let edit = conflist::insert(name, text, entry).with_context(|| self.shown(name))?;
        if let Some(edit) = edit {
            done.push(self.carry_out(&edit)?);
        }
        // An entry in a file that runtimes do not take any more would be left behind.
        let others = files.iter().filter(|(other, _)| other != name);
        for (name, text) in others {
            if let Ok(Some(edit)) = conflist::remove(name, text, &self.name) {
                done.push(self.carry_out(&edit)?);
            }
        }
        Ok(done)
    }

    /// Takes the entry away, and then the program; what was done.
    ///
    /// # Errors
    /// When something cannot be read or written.
    pub(super) fn remove(&self) -> anyhow::Result<Vec<String>> {
        let mut done = Vec::new();
        for (name, text) in self.files()? {
            // What is no network configuration has no entry of ours.
            if let Ok(Some(edit)) = conflist::remove(&name, &text, &self.name) {
                done.push(self.carry_out(&edit)?);
            }
        }
        let program = self.programs.join(&self.name);
        match fs::remove_file(&program) {
            Ok(()) => done.push(format!("removed {}", program.display())),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| program.display().to_string()),
        }
        Ok(done)
    }

    /// The files that runtimes read: names and texts.
    fn files(&self) -> anyhow::Result<Vec<(String, String)>> {
        let folder = &self.configurations;
        let mut files = Vec::new();
        for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
            let Ok(name) = entry?.file_name().into_string() else { continue };
            if !conflist::is_read(&name) {
                continue;
            }
            // A file may go while one looks, and what is no text is no configuration.
            if let Ok(text) = fs::read_to_string(folder.join(&name)) {
                files.push((name, text));
            }
        }
        Ok(files)
    }

    fn carry_out(&self, edit: &Edit) -> anyhow::Result<String> {
        let path = self.configurations.join(&edit.name);
        let before = edit.removes.as_ref().map(|name| self.configurations.join(name));
        let mode = [Some(&path), before.as_ref()]
            .into_iter()
            .flatten()
            .find_map(|path| Some(fs::metadata(path).ok()?.permissions().mode() & 0o777));
        replace(&path, edit.text.as_bytes(), mode.unwrap_or(0o644))?;
        if let Some(before) = before {
            fs::remove_file(&before).with_context(|| before.display().to_string())?;
        }
        Ok(format!("wrote {}", path.display()))
    }

    fn shown(&self, name: &str) -> String {
        self.configurations.join(name).display().to_string()
    }
}

/// Whether a file has the wanted name, or took the place of one that had.
fn is_file(name: &str, wanted: &str) -> bool {
    let stem = wanted.rsplit_once('.').map_or(wanted, |(stem, _)| stem);
    name == wanted || name.strip_suffix(".conflist") == Some(stem)
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| path.display().to_string())
}

/// Writes a file beside the one that it then takes the place of; names with a dot first are not read.
fn replace(path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let aside = path.with_file_name(format!(".{name}.new"));
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&aside)?;
        file.write_all(bytes)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        drop(file);
        fs::rename(&aside, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct Node {
        _folder: tempfile::TempDir,
        place: Place,
        program: PathBuf,
    }

    fn node(files: &[(&str, &Value)]) -> Node {
        let folder = tempfile::tempdir().unwrap();
        let place = Place {
            name: "lateen-cni".to_owned(),
            programs: folder.path().join("bin"),
            configurations: folder.path().join("net.d"),
            file: None,
        };
        fs::create_dir(&place.programs).unwrap();
        fs::create_dir(&place.configurations).unwrap();
        for (name, value) in files {
            fs::write(place.configurations.join(name), value.to_string()).unwrap();
        }
        let program = folder.path().join("plugin");
        fs::write(&program, "a program").unwrap();
        Node { _folder: folder, place, program }
    }

    impl Node {
        fn put(&self) -> anyhow::Result<Vec<String>> {
            self.place.put(&self.program, &json!({"type": "lateen-cni", "socket": "/s"}))
        }

        fn configuration(&self, name: &str) -> Option<Value> {
            let text = fs::read_to_string(self.place.configurations.join(name)).ok()?;
            Some(serde_json::from_str(&text).unwrap())
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.place.configurations).unwrap();
            let mut names: Vec<String> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    fn list() -> Value {
        json!({"cniVersion": "1.0.0", "name": "net", "plugins": [{"type": "bridge"}]})
    }

    #[test]
    fn it_comes_stays_and_goes_without_a_trace() {
        let node = node(&[("10-net.conflist", &list()), ("90-other.conflist", &list())]);
        assert_eq!(node.put().unwrap().len(), 2);
        let program = node.place.programs.join("lateen-cni");
        assert_eq!(fs::metadata(&program).unwrap().permissions().mode() & 0o777, 0o755);
        let with = node.configuration("10-net.conflist").unwrap();
        assert_eq!(with["plugins"][1]["type"], "lateen-cni");
        assert_eq!(node.configuration("90-other.conflist"), Some(list()));
        assert_eq!(node.put().unwrap(), Vec::<String>::new(), "again nothing is written");

        // Somebody else writes the file anew, and the program is an old one.
        fs::write(node.place.configurations.join("10-net.conflist"), list().to_string()).unwrap();
        fs::write(&program, "an older program").unwrap();
        assert_eq!(node.put().unwrap().len(), 2);
        assert_eq!(node.configuration("10-net.conflist"), Some(with));

        assert_eq!(node.place.remove().unwrap().len(), 2);
        assert_eq!(node.configuration("10-net.conflist"), Some(list()));
        assert_eq!(node.names(), ["10-net.conflist", "90-other.conflist"]);
        assert!(!program.exists());
        assert_eq!(node.place.remove().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn it_moves_to_the_file_that_runtimes_take() {
        let node = node(&[("50-late.conflist", &list())]);
        node.put().unwrap();
        fs::write(node.place.configurations.join("05-first.conflist"), list().to_string()).unwrap();
        node.put().unwrap();
        assert_eq!(node.configuration("50-late.conflist"), Some(list()));
        let first = node.configuration("05-first.conflist").unwrap();
        assert_eq!(first["plugins"][1]["type"], "lateen-cni");
    }

    #[test]
    fn a_file_of_one_plugin_comes_back() {
        let alone = json!({"cniVersion": "0.4.0", "name": "net", "type": "bridge", "mtu": 9000});
        let mut node = node(&[("10-net.conf", &alone)]);
        node.place.file = Some("10-net.conf".to_owned());
        node.put().unwrap();
        assert_eq!(node.names(), ["10-net.conflist"]);
        assert_eq!(node.put().unwrap(), Vec::<String>::new());
        node.place.remove().unwrap();
        assert_eq!(node.names(), ["10-net.conf"]);
        assert_eq!(node.configuration("10-net.conf"), Some(alone));
    }

    #[test]
    fn without_a_network_configuration_the_program_waits_for_one() {
        let node = node(&[]);
        let error = node.put().unwrap_err().to_string();
        assert!(error.contains("no network configuration"), "{error}");
        fs::write(node.place.configurations.join("00-half.conflist"), "{").unwrap();
        fs::write(node.place.configurations.join("10-net.conflist"), list().to_string()).unwrap();
        assert_eq!(node.put().unwrap().len(), 1);
    }
}
