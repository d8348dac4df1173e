//! Work in the network namespace of a pod: on a thread that enters it and ends.

use std::fs::File;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::Context;
use lateen_capture::host;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Does something in a network namespace.
///
/// # Errors
/// When it cannot be entered.
pub(super) async fn within<T: Send + 'static>(
    namespace: OwnedFd,
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    on_a_thread(move || {
        enter(namespace.as_fd())?;
        work()
    })
    .await
}

/// The named network namespace that has one of these addresses, if there is one.
///
/// # Errors
/// When the folder cannot be read.
pub(super) async fn with_address(
    folder: &Path,
    addresses: Vec<IpAddr>,
) -> anyhow::Result<Option<OwnedFd>> {
    let folder = folder.to_owned();
    on_a_thread(move || {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            // They come and go; what is left of one cannot be entered.
            let Ok(file) = File::open(entry?.path()) else { continue };
            if enter(file.as_fd()).is_err() {
                continue;
            }
            let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
            let v4 = text("/proc/thread-self/net/fib_trie");
            let v6 = text("/proc/thread-self/net/if_inet6");
            if addresses.iter().any(|address| host::has_address(&v4, &v6, *address)) {
                return Ok(Some(file.into()));
            }
        }
        Ok(None)
    })
    .await
}

fn enter(namespace: BorrowedFd<'_>) -> anyhow::Result<()> {
    move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))
        .context("the pod's network namespace cannot be entered")
}

/// A thread that has been in a pod's network must not come back: it is nobody else's afterwards.
async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let (told, outcome) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("pod".to_owned()).spawn(move || {
        // Nobody listens any more where the question was given up.
        let _ = told.send(work());
    })?;
    outcome.await.context("the work in the pod's network ended without an outcome")?
}
