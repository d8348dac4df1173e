//! Where a path leads, and through which places.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

/// As many links in one path as the kernel follows.
const MAX_LINKS: usize = 40;

/// The way from a path to what it means.
#[derive(Debug)]
pub(super) struct Route {
    /// Where the path ends, free of links; the first entry that is missing if it leads nowhere.
    pub(super) end: PathBuf,
    /// Each link on the way, in a directory that is free of links. Whoever replaces one of these,
    /// or the end, changes what the path means.
    pub(super) links: Vec<PathBuf>,
    /// Whether there is something at the end.
    pub(super) reached: io::Result<()>,
}

/// Follows an absolute path as the kernel does.
pub(super) fn resolve(path: &Path) -> Route {
    let mut rest = parts(path);
    let mut end = PathBuf::from("/");
    let mut links = Vec::new();
    while let Some(part) = rest.pop_front() {
        if part == ".." {
            end.pop();
            continue;
        }
        let next = end.join(&part);
        match link(&next) {
            Ok(None) => end = next,
            Ok(Some(_)) if links.len() == MAX_LINKS => {
                let reached = Err(io::Error::other("too many levels of symbolic links"));
                return Route { end: next, links, reached };
            }
            Ok(Some(to)) => {
                links.push(next);
                if to.is_absolute() {
                    end = PathBuf::from("/");
                }
                for part in parts(&to).into_iter().rev() {
                    rest.push_front(part);
                }
            }
            Err(error) => return Route { end: next, links, reached: Err(error) },
        }
    }
    Route { end, links, reached: Ok(()) }
}

/// Where a link leads; `None` for what is no link.
fn link(path: &Path) -> io::Result<Option<PathBuf>> {
    let is_link = path.symlink_metadata()?.is_symlink();
    is_link.then(|| std::fs::read_link(path)).transpose()
}

fn parts(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(part) => Some(part.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn passes_every_link_and_agrees_with_the_kernel() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("..2024/deep")).unwrap();
        fs::write(root.join("..2024/deep/a.yaml"), "").unwrap();
        symlink("..2024", root.join("..data")).unwrap();
        symlink("..data/deep/a.yaml", root.join("a.yaml")).unwrap();
        symlink(root.join("a.yaml"), root.join("..2024/again")).unwrap();

        let route = resolve(&root.join("..data/deep/../again"));
        route.reached.unwrap();
        assert_eq!(route.end, root.join("..2024/deep/a.yaml"));
        let names = ["..data", "..2024/again", "a.yaml", "..data"];
        assert_eq!(route.links, names.map(|name| root.join(name)));
        assert_eq!(root.join("..data/again").canonicalize().unwrap(), route.end);
    }

    #[test]
    fn says_what_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        symlink("gone/a.yaml", root.join("a.yaml")).unwrap();
        symlink("b", root.join("b")).unwrap();
        let dangling = resolve(&root.join("a.yaml"));
        assert_eq!(dangling.end, root.join("gone"));
        assert_eq!(dangling.links, [root.join("a.yaml")]);
        assert_eq!(dangling.reached.unwrap_err().kind(), io::ErrorKind::NotFound);
        let circle = resolve(&root.join("b"));
        assert_eq!(circle.links.len(), MAX_LINKS);
        assert!(circle.reached.is_err());
    }
}
