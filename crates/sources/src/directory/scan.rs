//! Looking at the tree.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File, Metadata};
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lateen_api::{Code, Diagnostic, Severity};

use super::SourceError;
use super::links::{self, Route};
use super::watch::Watch;
use crate::Batch;
use crate::merge::{FileReport, Merge};

/// More than any configuration; a file beyond it was put there by mistake.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// A file changed so shortly before it was read may change again without its times telling.
const TIMES_ARE_COARSE: Duration = Duration::from_secs(1);

/// Reads a tree, again and again, each time only what changed.
#[derive(Debug)]
pub(super) struct Scanner {
    root: PathBuf,
    known: HashMap<PathBuf, Known>,
}

/// What is remembered of a file that was read.
#[derive(Debug)]
struct Known {
    stamp: Stamp,
    /// Whether the stamp alone can tell that the file is the same.
    settled: bool,
    hash: u64,
}

#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// What a look at the tree found.
#[derive(Debug, Default)]
pub(super) struct Scan {
    files: BTreeMap<PathBuf, FileReport>,
    /// Directories that are there but could not be listed, and links that lead nowhere.
    unlisted: Vec<PathBuf>,
    pub(super) diagnostics: Vec<Diagnostic>,
}

impl Scan {
    pub(super) fn merge_into(self, merge: &mut Merge) -> Option<Batch> {
        merge.apply(self.files, &self.unlisted, self.diagnostics)
    }
}

impl Scanner {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), known: HashMap::new() }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Looks at the whole tree; tells `watch` about every place before looking there.
    pub(super) fn scan(&mut self, watch: &mut dyn Watch) -> Result<Scan, SourceError> {
        let unreadable = |source| SourceError::Unreadable { dir: self.root.clone(), source };
        let absolute = std::path::absolute(&self.root).map_err(unreadable)?;
        let root = follow(&absolute, watch).map_err(unreadable)?;
        // The root itself may be replaced.
        watch.entry(&root);
        if !root.metadata().map_err(unreadable)?.is_dir() {
            return Err(SourceError::NotADirectory { dir: self.root.clone() });
        }
        let mut walk = Walk {
            former: std::mem::take(&mut self.known),
            known: HashMap::new(),
            seen: HashSet::new(),
            scan: Scan::default(),
            watch,
        };
        let listed = walk.directory(&self.root, &root);
        let Walk { former, known, scan, .. } = walk;
        match listed {
            Ok(()) => {
                self.known = known;
                Ok(scan)
            }
            Err(source) => {
                self.known = former;
                self.known.extend(known);
                Err(SourceError::Unreadable { dir: self.root.clone(), source })
            }
        }
    }
}

struct Walk<'a> {
    former: HashMap<PathBuf, Known>,
    known: HashMap<PathBuf, Known>,
    /// Directories and files visited, free of links: a tree may hold the same one twice, or itself.
    seen: HashSet<PathBuf>,
    scan: Scan,
    watch: &'a mut dyn Watch,
}

impl Walk<'_> {
    /// Visits a directory that stands at `path` and really at `target`. An error is about the
    /// directory itself; what is wrong below it is reported.
    fn directory(&mut self, path: &Path, target: &Path) -> io::Result<()> {
        if !self.seen.insert(target.to_owned()) {
            return Ok(());
        }
        self.watch.directory(target);
        let mut names = Vec::new();
        for entry in fs::read_dir(target)? {
            let name = entry?.file_name();
            if !name.as_bytes().starts_with(b".") && !name.as_bytes().ends_with(b"~") {
                names.push(name);
            }
        }
        names.sort();
        for name in names {
            self.entry(&path.join(&name), &target.join(&name));
        }
        Ok(())
    }

    /// Visits an entry whose directory is free of links. What was removed since that was listed is
    /// passed over: it gives a hint of its own.
    fn entry(&mut self, path: &Path, entry: &Path) {
        let visited = match self.look_at(entry) {
            Ok((target, metadata)) if metadata.is_dir() => self.directory(path, &target),
            Ok((target, metadata)) if is_configuration(path) => self.file(path, &target, &metadata),
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        let Err(error) = visited else { return };
        if entry.symlink_metadata().is_err() {
            return;
        }
        let report = unreadable(path, &error.to_string());
        if is_configuration(path) && !entry.is_dir() {
            self.scan.files.insert(path.to_owned(), FileReport::Unreadable(report));
        } else {
            self.scan.unlisted.push(path.to_owned());
            self.scan.diagnostics.push(report);
        }
    }

    /// What an entry is and where it really stands.
    fn look_at(&mut self, entry: &Path) -> io::Result<(PathBuf, Metadata)> {
        let metadata = entry.symlink_metadata()?;
        if !metadata.is_symlink() {
            return Ok((entry.to_owned(), metadata));
        }
        let target = follow(entry, self.watch)?;
        let metadata = target.metadata()?;
        Ok((target, metadata))
    }

    fn file(&mut self, path: &Path, target: &Path, metadata: &Metadata) -> io::Result<()> {
        if !metadata.is_file() {
            return Err(io::Error::other("this is neither a file nor a directory"));
        }
        if !self.seen.insert(target.to_owned()) {
            return Ok(());
        }
        let former = self.former.remove(path);
        if self.watch.is_being_written(target) {
            // What it held stays until it is whole again.
            self.known.extend(former.map(|former| (path.to_owned(), former)));
            self.scan.files.insert(path.to_owned(), FileReport::Unchanged);
            return Ok(());
        }
        let mut file = File::open(target)?;
        let metadata = file.metadata()?;
        let stamp = Stamp::of(&metadata);
        let report = match former {
            Some(former) if former.settled && former.stamp == stamp => {
                self.known.insert(path.to_owned(), former);
                FileReport::Unchanged
            }
            former => {
                let contents = read(&mut file, &metadata)?;
                let hash = hash(&contents);
                let known = Known { settled: stamp.is_settled(), stamp, hash };
                self.known.insert(path.to_owned(), known);
                match former {
                    Some(former) if former.hash == hash => FileReport::Unchanged,
                    _ => parse(path, &contents),
                }
            }
        };
        self.scan.files.insert(path.to_owned(), report);
        Ok(())
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether a later change is sure to have another time of change, which unlike that of
    /// modification nobody can set.
    fn is_settled(&self) -> bool {
        let changed = u64::try_from(self.changed.0).unwrap_or_default();
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(changed);
        SystemTime::now().duration_since(changed).is_ok_and(|age| age > TIMES_ARE_COARSE)
    }
}

/// Follows links to where a path really leads. Every place on the way is watched before it is
/// relied on: what was found is looked up again until it is the same twice.
fn follow(path: &Path, watch: &mut dyn Watch) -> io::Result<PathBuf> {
    /// Who replaces links faster than this gives a hint, since the former ones are watched.
    const ATTEMPTS: usize = 8;
    let mut route = links::resolve(path);
    for _ in 0..ATTEMPTS {
        route.links.iter().for_each(|link| watch.entry(link));
        watch.entry(&route.end);
        let again = links::resolve(path);
        let same = (&again.links, &again.end) == (&route.links, &route.end);
        route = again;
        if same {
            break;
        }
    }
    let Route { end, reached, .. } = route;
    reached.map(|()| end)
}

fn is_configuration(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().as_bytes();
    [&b"yaml"[..], b"yml", b"json"].contains(&extension)
}

fn read(file: &mut File, metadata: &Metadata) -> io::Result<Vec<u8>> {
    if metadata.size() > MAX_FILE_BYTES {
        let mebibytes = MAX_FILE_BYTES / 1024 / 1024;
        return Err(io::Error::other(format!("it is larger than {mebibytes} MiB")));
    }
    let mut contents = Vec::new();
    file.take(MAX_FILE_BYTES).read_to_end(&mut contents)?;
    Ok(contents)
}

fn hash(contents: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(contents);
    hasher.finish()
}

fn parse(path: &Path, contents: &[u8]) -> FileReport {
    match std::str::from_utf8(contents) {
        Ok(text) => FileReport::Read(lateen_api::parse(text, &path.to_string_lossy())),
        Err(error) => {
            let at = error.valid_up_to();
            FileReport::Unreadable(unreadable(path, &format!("byte {at} of it is not UTF-8")))
        }
    }
}

/// Something to say about a file or directory as a whole.
pub(crate) fn unreadable(path: &Path, reason: &str) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        code: Code::Unreadable,
        object: None,
        field: String::new(),
        file: Arc::from(&*path.to_string_lossy()),
        line: 0,
        column: 0,
        message: reason.to_owned(),
    }
}
