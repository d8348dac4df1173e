//! Certificates and keys from files that a DestinationRule or a Gateway names.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustc_hash::FxHashMap;
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// A chain and its key.
pub(super) type Pair = (Arc<[CertificateDer<'static>]>, Arc<PrivateKeyDer<'static>>);

/// Where roots come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Roots {
    /// No roots are needed.
    Unneeded,
    /// The system's.
    System,
    /// A PEM file.
    File(String),
}

/// What a configuration is built from. Clones share.
#[derive(Debug, Clone)]
pub(super) struct Loaded {
    pub(super) roots: Arc<RootCertStore>,
    pub(super) pair: Option<Pair>,
}

impl Loaded {
    /// Whether both came from the same reading of the same files.
    pub(super) fn same(&self, other: &Self) -> bool {
        let pair = match (&self.pair, &other.pair) {
            (None, None) => true,
            (Some((_, one)), Some((_, another))) => Arc::ptr_eq(one, another),
            _ => false,
        };
        Arc::ptr_eq(&self.roots, &other.roots) && pair
    }
}

/// A file cannot be used, and why.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unusable(String);

/// Files that have been read, looked at again when they may have changed.
#[derive(Debug, Default)]
pub(super) struct Files {
    read: Mutex<FxHashMap<Key, Entry>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    roots: Roots,
    /// Files of the chain and of the key.
    pair: Option<(String, String)>,
}

#[derive(Debug)]
struct Entry {
    checked: Instant,
    stamps: Vec<Stamp>,
    loaded: Loaded,
}

/// When a file was last written, and its length.
type Stamp = (SystemTime, u64);

/// How long files are believed to be unchanged. Certificates are renewed well before their end.
const CHECK: Duration = Duration::from_secs(10);

impl Files {
    /// Roots, and a pair of `(chain, key)`. Files are read off the worker.
    pub(super) async fn load(
        self: &Arc<Self>,
        roots: Roots,
        pair: Option<(&str, &str)>,
    ) -> Result<Loaded, Unusable> {
        let pair = pair.map(|(chain, key)| (chain.to_owned(), key.to_owned()));
        let key = Key { roots, pair };
        if let Some(loaded) = self.fresh(&key) {
            return Ok(loaded);
        }
        let files = Arc::clone(self);
        tokio::task::spawn_blocking(move || files.read(key))
            .await
            .map_err(|error| Unusable(error.to_string()))?
    }

    fn fresh(&self, key: &Key) -> Option<Loaded> {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = read.get(key)?;
        (entry.checked.elapsed() < CHECK).then(|| entry.loaded.clone())
    }

    fn read(&self, key: Key) -> Result<Loaded, Unusable> {
        let stamps = stamps(&key)?;
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = read.get_mut(&key)
            && entry.stamps == stamps
        {
            entry.checked = Instant::now();
            return Ok(entry.loaded.clone());
        }
        let loaded = read_files(&key)?;
        let entry = Entry { checked: Instant::now(), stamps, loaded: loaded.clone() };
        read.insert(key, entry);
        Ok(loaded)
    }
}

fn stamps(key: &Key) -> Result<Vec<Stamp>, Unusable> {
    let roots = match &key.roots {
        Roots::File(path) => Some(path),
        Roots::Unneeded | Roots::System => None,
    };
    let pair = key.pair.iter().flat_map(|(chain, key)| [chain, key]);
    let paths = roots.into_iter().chain(pair);
    paths.map(|path| stamp(path).map_err(|error| unreadable(path, &error))).collect()
}

fn stamp(path: &str) -> io::Result<Stamp> {
    let metadata = Path::new(path).metadata()?;
    Ok((metadata.modified()?, metadata.len()))
}

fn read_files(key: &Key) -> Result<Loaded, Unusable> {
    let roots = match &key.roots {
        Roots::Unneeded => RootCertStore::empty(),
        Roots::System => system_roots()?,
        Roots::File(path) => read_roots(path)?,
    };
    let pair = key.pair.as_ref().map(|(chain, key)| read_pair(chain, key)).transpose()?;
    Ok(Loaded { roots: Arc::new(roots), pair })
}

fn read_roots(path: &str) -> Result<RootCertStore, Unusable> {
    let mut store = RootCertStore::empty();
    for root in read_chain(path)? {
        store.add(root).map_err(|error| unreadable(path, &error))?;
    }
    Ok(store)
}

fn system_roots() -> Result<RootCertStore, Unusable> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(found.certs);
    if store.is_empty() {
        let errors: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        return Err(Unusable(format!(
            "the system has no trusted authorities ({})",
            errors.join("; ")
        )));
    }
    Ok(store)
}

fn read_pair(chain: &str, key: &str) -> Result<Pair, Unusable> {
    let certificates = read_chain(chain)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, &error))?;
    Ok((certificates.into(), Arc::new(private)))
}

fn read_chain(path: &str) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable(path, &error))?;
    if chain.is_empty() {
        return Err(Unusable(format!("{path} holds no certificate")));
    }
    Ok(chain)
}

fn unreadable(path: &str, error: &dyn std::fmt::Display) -> Unusable {
    Unusable(format!("{path} cannot be used: {error}"))
}
