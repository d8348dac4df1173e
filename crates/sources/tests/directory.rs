//! A directory followed through everything that people, editors and Kubernetes do to it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lateen_api::Spec;
use lateen_sources::{Batch, Change, DirectorySource, Settings, SourceError, load_once};
use tempfile::TempDir;
use tokio::time::timeout;

/// Far more than a batch ever takes.
const LIMIT: Duration = Duration::from_secs(20);

/// How long nothing has to happen to count as nothing: many times the time to settle.
const SILENCE: Duration = Duration::from_millis(700);

fn entry(name: &str, host: &str) -> String {
    let hosts = if host.is_empty() { "[]".to_owned() } else { format!("[{host}]") };
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}}}\n\
         spec:\n  hosts: {hosts}\n  ports: [{{number: 80, name: http, protocol: HTTP}}]\n  \
         resolution: DNS\n---\n"
    )
}

/// A directory that is followed, and the objects as somebody knows them who applies the batches.
struct Followed {
    dir: TempDir,
    source: DirectorySource,
    objects: BTreeMap<String, String>,
    last: Batch,
}

impl Followed {
    /// Follows `root` in a new temporary directory, with some files in it.
    async fn at(root: &str, files: &[(&str, &str)]) -> Self {
        Self::with(Settings::default(), root, files).await
    }

    async fn with(settings: Settings, root: &str, files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let root = dir.path().join(root);
        let source = DirectorySource::open(&root, settings).await.unwrap();
        let mut followed = Self { dir, source, objects: BTreeMap::new(), last: Batch::default() };
        followed.batch().await;
        assert!(followed.last.initial);
        followed
    }

    async fn new(files: &[(&str, &str)]) -> Self {
        Self::at("", files).await
    }

    /// Waits so long for quiet that even on a machine that is busy with other things what a test
    /// does in one go is settled in one go.
    async fn patient(files: &[(&str, &str)]) -> Self {
        let (quiet, patience) = (Duration::from_millis(400), LIMIT);
        Self::with(Settings { quiet, patience, ..Settings::default() }, "", files).await
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Takes the next batch.
    async fn batch(&mut self) -> &Batch {
        let batch = timeout(LIMIT, self.source.next()).await.expect("no batch in time");
        let batch = batch.expect("the source has ended");
        for change in &batch.changes {
            match change {
                Change::Upsert(object) => {
                    let Spec::ServiceEntry(entry) = &object.spec else { panic!("{object:?}") };
                    self.objects.insert(object.meta.name.clone(), entry.hosts[0].clone());
                }
                Change::Remove(reference) => {
                    assert!(self.objects.remove(&reference.name).is_some(), "{reference}");
                }
            }
        }
        self.last = batch;
        &self.last
    }

    /// Takes batches until the objects are as expected, `a=host b=host`.
    async fn becomes(&mut self, expected: &str) {
        while self.shown() != expected {
            let shown = self.shown();
            let next = timeout(LIMIT, self.batch()).await;
            assert!(next.is_ok(), "still {shown}, expected {expected}");
        }
    }

    /// The next batch makes the objects what is expected, at once.
    async fn becomes_at_once(&mut self, expected: &str) {
        self.batch().await;
        assert_eq!(self.shown(), expected);
    }

    /// Takes batches until something is said that contains `text`.
    async fn says(&mut self, text: &str) {
        while !self.said().contains(text) {
            let said = self.said();
            let next = timeout(LIMIT, self.batch()).await;
            assert!(next.is_ok(), "nothing says {text}: {said}");
        }
    }

    /// Takes batches until there is nothing to be said.
    async fn is_well(&mut self) {
        while !self.last.diagnostics.is_empty() {
            self.batch().await;
        }
    }

    async fn is_silent(&mut self) {
        let batch = timeout(SILENCE, self.source.next()).await;
        assert!(batch.is_err(), "{batch:?}");
    }

    fn shown(&self) -> String {
        let shown = self.objects.iter().map(|(name, host)| format!("{name}={host}"));
        shown.collect::<Vec<_>>().join(" ")
    }

    fn said(&self) -> String {
        let said = self.last.diagnostics.iter().map(ToString::to_string);
        said.collect::<Vec<_>>().join("\n")
    }
}

#[tokio::test]
async fn what_is_there_comes_first() {
    let mut followed = Followed::new(&[
        ("a.yaml", &entry("a", "a.x")),
        ("deep/er/b.yml", &(entry("b", "b.x") + &entry("c", "c.x"))),
        (
            "d.json",
            r#"{"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": {"name": "d"},
                "spec": {"hosts": ["d.x"], "ports": [{"number": 80, "name": "http"}], "resolution": "DNS"}}"#,
        ),
        ("README.md", "no YAML at all: ["),
        (".hidden.yaml", &entry("hidden", "h.x")),
        ("backup.yaml~", &entry("backup", "b.x")),
        (".git/config.yaml", &entry("git", "g.x")),
    ])
    .await;
    assert_eq!(followed.shown(), "a=a.x b=b.x c=c.x d=d.x");
    assert_eq!(followed.said(), "");
    let namespaces = followed.last.changes.iter().map(|change| change.reference().namespace);
    assert!(namespaces.into_iter().all(|namespace| namespace == "default"));
    followed.is_silent().await;
}

#[tokio::test]
async fn files_are_edited_in_place_added_and_removed() {
    let mut followed = Followed::new(&[("a.yaml", &entry("a", "a.x"))]).await;
    followed.write("a.yaml", &entry("a", "b.x"));
    followed.becomes_at_once("a=b.x").await;
    followed.write("b.yaml", &entry("b", "b.x"));
    followed.becomes_at_once("a=b.x b=b.x").await;
    fs::remove_file(followed.path("a.yaml")).unwrap();
    followed.becomes_at_once("b=b.x").await;
    fs::rename(followed.path("b.yaml"), followed.path("c.yaml")).unwrap();
    followed.batch().await;
    assert!(followed.last.changes.is_empty(), "{:?}", followed.last);
    assert_eq!(followed.last.relocated.len(), 1);
    // The same length within the resolution of a file's times.
    for host in ["1.x", "2.x", "3.x", "4.x", "5.x"] {
        followed.write("c.yaml", &entry("b", host));
        followed.becomes(&format!("b={host}")).await;
    }
}

#[tokio::test]
async fn only_a_change_in_meaning_is_a_change() {
    let mut followed =
        Followed::new(&[("a.yaml", &(entry("a", "a.x") + &entry("b", "b.x")))]).await;
    // The same bytes again.
    followed.write("a.yaml", &(entry("a", "a.x") + &entry("b", "b.x")));
    fs::set_permissions(followed.path("a.yaml"), fs::Permissions::from_mode(0o600)).unwrap();
    followed.is_silent().await;
    followed
        .write("a.yaml", &("# A comment\n".to_owned() + &entry("b", "c.x") + &entry("a", "a.x")));
    followed.batch().await;
    let changed: Vec<_> = followed.last.changes.iter().map(|it| it.reference().name).collect();
    assert_eq!(changed, ["b"]);
    assert_eq!(followed.last.relocated[0].meta.name, "a");
}

#[tokio::test]
async fn a_hundred_files_written_at_once_are_one_batch() {
    let mut followed = Followed::patient(&[]).await;
    for number in 0..100 {
        followed.write(&format!("{number}.yaml"), &entry(&format!("e{number}"), "e.x"));
    }
    followed.batch().await;
    assert_eq!(followed.objects.len(), 100);
    for number in 0..100 {
        followed.write(&format!("{number}.yaml"), &entry(&format!("e{number}"), "f.x"));
    }
    followed.batch().await;
    assert!(followed.objects.values().all(|host| host == "f.x"));
    assert_eq!(followed.last.changes.len(), 100);
}

#[tokio::test]
async fn editors_write_beside_and_rename() {
    let mut followed = Followed::patient(&[("a.yaml", &entry("a", "a.x"))]).await;
    // vim: swap file, backup, new file under the old name.
    followed.write(".a.yaml.swp", "swap");
    fs::rename(followed.path("a.yaml"), followed.path("a.yaml~")).unwrap();
    followed.write("a.yaml", &entry("a", "b.x"));
    fs::remove_file(followed.path("a.yaml~")).unwrap();
    fs::remove_file(followed.path(".a.yaml.swp")).unwrap();
    followed.becomes_at_once("a=b.x").await;
    // Most others: a temporary file that is renamed over the old one.
    followed.write(".a.yaml.tmp", &entry("a", "c.x"));
    fs::rename(followed.path(".a.yaml.tmp"), followed.path("a.yaml")).unwrap();
    followed.becomes_at_once("a=c.x").await;
    // Emacs: a lock that is a link to nowhere.
    symlink("me@host.1:2", followed.path(".#a.yaml")).unwrap();
    followed.write("a.yaml", &entry("a", "d.x"));
    fs::remove_file(followed.path(".#a.yaml")).unwrap();
    followed.becomes_at_once("a=d.x").await;
    // Temporary files alone are nobody's business.
    followed.write(".b.yaml.swp", "swap");
    followed.write("b.yaml~", &entry("b", "b.x"));
    followed.is_silent().await;
}

#[tokio::test]
async fn new_directories_are_followed_at_once() {
    let mut followed = Followed::new(&[]).await;
    for round in 0..10 {
        let dir = followed.path(&format!("d{round}/sub/subsub"));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("a.yaml"), entry("a", &format!("{round}.x"))).unwrap();
        followed.becomes(&format!("a={round}.x")).await;
        fs::write(dir.join("a.yaml"), entry("a", &format!("again-{round}.x"))).unwrap();
        followed.becomes(&format!("a=again-{round}.x")).await;
        fs::remove_dir_all(followed.path(&format!("d{round}"))).unwrap();
        followed.becomes("").await;
    }
}

#[tokio::test]
async fn directories_are_moved_in_out_and_around() {
    let mut followed = Followed::at("root", &[("root/one/a.yaml", &entry("a", "a.x"))]).await;
    fs::create_dir(followed.path("outside")).unwrap();
    fs::rename(followed.path("root/one"), followed.path("root/two")).unwrap();
    followed.batch().await;
    assert!(followed.last.changes.is_empty());
    followed.write("root/two/a.yaml", &entry("a", "b.x"));
    followed.becomes("a=b.x").await;
    fs::rename(followed.path("root/two"), followed.path("outside/two")).unwrap();
    followed.becomes("").await;
    followed.write("outside/two/a.yaml", &entry("a", "c.x"));
    followed.is_silent().await;
    fs::rename(followed.path("outside/two"), followed.path("root/two")).unwrap();
    followed.becomes("a=c.x").await;
    // Removed and made again under the same name, perhaps with the same inode.
    for host in ["1.x", "2.x", "3.x"] {
        fs::remove_dir_all(followed.path("root/two")).unwrap();
        fs::create_dir(followed.path("root/two")).unwrap();
        followed.write("root/two/a.yaml", &entry("a", host));
        followed.becomes(&format!("a={host}")).await;
        followed.write("root/two/a.yaml", &entry("a", &format!("again-{host}")));
        followed.becomes(&format!("a=again-{host}")).await;
    }
}

/// What the kubelet does when a ConfigMap changes.
fn swap(root: &Path, version: &str, files: &[(&str, &str)]) {
    let data = root.join(version);
    fs::create_dir(&data).unwrap();
    for (name, text) in files {
        fs::write(data.join(name), text).unwrap();
    }
    let former = fs::read_link(root.join("..data")).ok();
    symlink(version, root.join("..data_tmp")).unwrap();
    fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    for (name, _) in files {
        if root.join(name).symlink_metadata().is_err() {
            symlink(format!("..data/{name}"), root.join(name)).unwrap();
        }
    }
    if let Some(former) = former {
        fs::remove_dir_all(root.join(former)).unwrap();
    }
}

#[tokio::test]
async fn a_configmap_is_swapped_as_a_whole() {
    let mut followed = Followed::patient(&[]).await;
    let root = followed.dir.path().to_owned();
    let version = |host: &str| [("a.yaml", entry("a", host)), ("b.yaml", entry("b", host))];
    for round in 0..5 {
        let host = format!("{round}.x");
        let files = version(&host);
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, &**text)).collect();
        swap(&root, &format!("..2024_{round}"), &files);
        followed.becomes_at_once(&format!("a={host} b={host}")).await;
        assert_eq!(followed.said(), "");
    }
}

#[tokio::test]
async fn links_are_followed_and_what_they_lead_through_is_watched() {
    let mut followed = Followed::at(
        "root",
        &[
            ("root/own.yaml", &entry("own", "o.x")),
            ("elsewhere/v1/a.yaml", &entry("a", "a.x")),
            ("elsewhere/v2/a.yaml", &entry("a", "b.x")),
            ("team/t.yaml", &entry("t", "t.x")),
        ],
    )
    .await;
    symlink("v1", followed.path("elsewhere/current")).unwrap();
    symlink("../elsewhere/current/a.yaml", followed.path("root/a.yaml")).unwrap();
    symlink(followed.path("team"), followed.path("root/team")).unwrap();
    followed.becomes_at_once("a=a.x own=o.x t=t.x").await;
    followed.write("elsewhere/v1/a.yaml", &entry("a", "c.x"));
    followed.becomes_at_once("a=c.x own=o.x t=t.x").await;
    symlink("v2", followed.path("elsewhere/next")).unwrap();
    fs::rename(followed.path("elsewhere/next"), followed.path("elsewhere/current")).unwrap();
    followed.becomes_at_once("a=b.x own=o.x t=t.x").await;
    followed.write("team/t.yaml", &entry("t", "u.x"));
    followed.becomes_at_once("a=b.x own=o.x t=u.x").await;
    // What stands beside the target of a link is nobody's business.
    followed.write("elsewhere/v2/b.yaml", &entry("b", "b.x"));
    followed.write("elsewhere/v1/a.yaml", &entry("a", "d.x"));
    followed.is_silent().await;
    // A circle, and the same directory a second time.
    symlink(".", followed.path("root/circle")).unwrap();
    symlink("team", followed.path("root/zteam")).unwrap();
    followed.is_silent().await;
}

#[tokio::test]
async fn a_link_that_leads_nowhere_is_reported_and_its_objects_stay() {
    let mut followed =
        Followed::at("root", &[("root/x.yaml", ""), ("a.yaml", &entry("a", "a.x"))]).await;
    symlink("../a.yaml", followed.path("root/a.yaml")).unwrap();
    followed.becomes("a=a.x").await;
    fs::remove_file(followed.path("a.yaml")).unwrap();
    followed.says("a.yaml: error[unreadable]").await;
    assert_eq!(followed.shown(), "a=a.x");
    followed.write("a.yaml", &entry("a", "b.x"));
    followed.becomes("a=b.x").await;
    assert_eq!(followed.said(), "");
}

#[tokio::test]
async fn a_broken_file_is_reported_and_its_objects_stay() {
    let mut followed =
        Followed::new(&[("a.yaml", &entry("a", "a.x")), ("b.yaml", &entry("b", "b.x"))]).await;
    followed.write("a.yaml", "kind: [");
    followed.says("a.yaml:").await;
    assert!(followed.said().contains("error[syntax]"), "{}", followed.said());
    assert_eq!(followed.shown(), "a=a.x b=b.x");
    // It goes on being said while something else changes.
    followed.write("b.yaml", &entry("b", "c.x"));
    followed.becomes_at_once("a=a.x b=c.x").await;
    assert!(followed.said().contains("error[syntax]"), "{}", followed.said());
    // A rejected object keeps its version, its neighbour proceeds.
    followed.write("a.yaml", &(entry("a", "") + &entry("d", "d.x")));
    followed.becomes_at_once("a=a.x b=c.x d=d.x").await;
    assert!(followed.said().contains("ServiceEntry default/a"), "{}", followed.said());
    fs::write(followed.path("a.yaml"), b"\xff\xfe").unwrap();
    followed.says("not UTF-8").await;
    assert_eq!(followed.shown(), "a=a.x b=c.x d=d.x");
    // From unreadable to being written.
    let mut file = fs::File::create(followed.path("a.yaml")).unwrap();
    followed.is_silent().await;
    file.write_all(entry("a", "e.x").as_bytes()).unwrap();
    drop(file);
    followed.becomes_at_once("a=e.x b=c.x").await;
    assert_eq!(followed.said(), "");
}

#[tokio::test]
async fn what_may_not_be_read_is_reported_and_its_objects_stay() {
    let mut followed =
        Followed::new(&[("a.yaml", &entry("a", "a.x")), ("sub/b.yaml", &entry("b", "b.x"))]).await;
    let allow = |name, mode| {
        fs::set_permissions(followed.dir.path().join(name), fs::Permissions::from_mode(mode))
    };
    let (file, directory) = ("a.yaml", "sub");
    allow(file, 0o000).unwrap();
    allow(directory, 0o000).unwrap();
    if fs::read(followed.path(file)).is_ok() {
        println!("skipped: this user may read everything");
        allow(directory, 0o700).unwrap();
        return;
    }
    followed.says("a.yaml: error[unreadable]").await;
    followed.says("sub: error[unreadable]").await;
    assert_eq!(followed.shown(), "a=a.x b=b.x");
    fs::set_permissions(followed.path(file), fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(followed.path(directory), fs::Permissions::from_mode(0o700)).unwrap();
    followed.is_well().await;
    followed.write("sub/b.yaml", &entry("b", "c.x"));
    followed.becomes("a=a.x b=c.x").await;
}

#[tokio::test]
async fn the_same_object_in_two_files_is_a_conflict() {
    let mut followed =
        Followed::new(&[("a.yaml", &entry("a", "1.x")), ("b/a.yaml", &entry("a", "2.x"))]).await;
    assert_eq!(followed.shown(), "a=1.x");
    assert!(
        followed.said().contains("b/a.yaml:1:1: error[duplicate-object]"),
        "{}",
        followed.said()
    );
    fs::remove_file(followed.path("a.yaml")).unwrap();
    followed.becomes_at_once("a=2.x").await;
    assert_eq!(followed.said(), "");
}

#[tokio::test]
async fn what_is_no_file_is_reported() {
    let mut followed = Followed::new(&[]).await;
    let socket = std::os::unix::net::UnixListener::bind(followed.path("a.yaml")).unwrap();
    followed.says("neither a file nor a directory").await;
    drop(socket);
    fs::remove_file(followed.path("a.yaml")).unwrap();
    followed.is_well().await;
}

#[tokio::test]
async fn the_root_vanishes_and_comes_back() {
    let mut followed = Followed::at("x/root", &[("x/root/a.yaml", &entry("a", "a.x"))]).await;
    fs::rename(followed.path("x/root"), followed.path("x/away")).unwrap();
    followed.says("cannot read the directory").await;
    assert_eq!(followed.shown(), "a=a.x");
    fs::rename(followed.path("x/away"), followed.path("x/root")).unwrap();
    followed.is_well().await;
    followed.write("x/root/a.yaml", &entry("a", "b.x"));
    followed.becomes("a=b.x").await;

    // Moved away with what holds it.
    fs::rename(followed.path("x"), followed.path("y")).unwrap();
    followed.says("cannot read the directory").await;
    fs::rename(followed.path("y"), followed.path("x")).unwrap();
    followed.is_well().await;
    followed.write("x/root/a.yaml", &entry("a", "d.x"));
    followed.becomes("a=d.x").await;
    followed.write("x/root/a.yaml", &entry("a", "b.x"));
    followed.becomes("a=b.x").await;

    // Removed with what holds it.
    fs::remove_dir_all(followed.path("x")).unwrap();
    followed.says("cannot read the directory").await;
    assert_eq!(followed.shown(), "a=b.x");
    fs::create_dir(followed.path("x")).unwrap();
    followed.is_silent().await;
    fs::create_dir(followed.path("x/root")).unwrap();
    followed.becomes("").await;
    followed.write("x/root/a.yaml", &entry("a", "c.x"));
    followed.becomes("a=c.x").await;
    assert_eq!(followed.said(), "");
}

#[tokio::test]
async fn the_root_is_a_link_that_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    for version in ["v1", "v2"] {
        fs::create_dir(dir.path().join(version)).unwrap();
        fs::write(dir.path().join(version).join("a.yaml"), entry("a", version)).unwrap();
    }
    symlink("v1", dir.path().join("root")).unwrap();
    let root = dir.path().join("root");
    let mut source = DirectorySource::open(&root, Settings::default()).await.unwrap();
    let initial = source.next().await.unwrap();
    assert_eq!(initial.changes.len(), 1);
    symlink("v2", dir.path().join("next")).unwrap();
    fs::rename(dir.path().join("next"), &root).unwrap();
    let batch = timeout(LIMIT, source.next()).await.unwrap().unwrap();
    let [Change::Upsert(object)] = &batch.changes[..] else { panic!("{batch:?}") };
    let Spec::ServiceEntry(entry) = &object.spec else { panic!("{object:?}") };
    assert_eq!(entry.hosts, ["v2"]);
}

#[tokio::test]
async fn a_slow_receiver_gets_the_latest() {
    let mut followed = Followed::new(&[("a.yaml", &entry("a", "0.x"))]).await;
    for round in 1..=10 {
        followed.write("a.yaml", &entry("a", &format!("{round}.x")));
        tokio::time::sleep(Duration::from_millis(80)).await;
    }
    let mut batches = 0;
    while followed.shown() != "a=10.x" {
        followed.batch().await;
        batches += 1;
    }
    assert!(batches <= 2, "{batches}");
    followed.is_silent().await;
}

#[tokio::test]
async fn asking_in_vain_loses_nothing() {
    let mut followed = Followed::new(&[]).await;
    for number in 0..10 {
        let host = format!("{number}.x");
        followed.write("a.yaml", &entry("a", &host));
        let expected = format!("a={host}");
        let persistent = async {
            // Gives up in every phase: before, while and after the tree is looked at.
            while followed.shown() != expected {
                let _ = timeout(Duration::from_millis(1), followed.batch()).await;
            }
        };
        timeout(LIMIT, persistent).await.expect("a batch was lost");
    }
}

#[tokio::test]
async fn a_file_that_is_being_written_keeps_what_it_held() {
    let mut followed = Followed::new(&[("a.yaml", &entry("a", "a.x"))]).await;
    // As a shell does it: emptied first, filled by and by, closed at the end.
    let mut file = fs::File::create(followed.path("a.yaml")).unwrap();
    followed.is_silent().await;
    let text = entry("a", "b.x") + &entry("b", "b.x");
    let (first, second) = text.split_at(text.len() / 2);
    file.write_all(first.as_bytes()).unwrap();
    followed.is_silent().await;
    file.write_all(second.as_bytes()).unwrap();
    followed.is_silent().await;
    drop(file);
    followed.becomes_at_once("a=b.x b=b.x").await;
    // Emptied for good.
    followed.write("a.yaml", "");
    followed.becomes_at_once("").await;
}

#[tokio::test]
async fn a_file_that_is_never_closed_is_read_after_a_while() {
    let settings = Settings { unfinished: Duration::from_millis(600), ..Settings::default() };
    let mut followed = Followed::with(settings, "", &[("a.yaml", &entry("a", "a.x"))]).await;
    let mut file = fs::File::create(followed.path("a.yaml")).unwrap();
    file.write_all(entry("a", "b.x").as_bytes()).unwrap();
    followed.becomes_at_once("a=b.x").await;
    file.write_all(entry("c", "c.x").as_bytes()).unwrap();
    followed.becomes_at_once("a=b.x c=c.x").await;
}

/// Whatever is done to a tree, following it ends with what reading it anew finds.
#[tokio::test]
async fn following_agrees_with_reading_anew() {
    let settings = Settings { quiet: Duration::from_millis(5), ..Settings::default() };
    let mut followed = Followed::with(settings, "", &[]).await;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for burst in 0..60 {
        for _ in 0..random.below(12) {
            disturb(followed.dir.path(), &mut random);
        }
        let expected = |followed: &Followed| {
            let loaded = load_once(followed.dir.path()).unwrap();
            let shown = loaded.objects.iter().map(|object| {
                let Spec::ServiceEntry(entry) = &object.spec else { panic!("{object:?}") };
                format!("{}={}", object.meta.name, entry.hosts[0])
            });
            shown.collect::<Vec<_>>().join(" ")
        };
        let expected = expected(&followed);
        let agreed = timeout(LIMIT, followed.becomes(&expected)).await;
        assert!(agreed.is_ok(), "burst {burst}: {} is not {expected}", followed.shown());
    }
}

/// A sequence of numbers that looks random and is always the same.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn file(&mut self) -> String {
        format!("{}/{}.yaml", self.directory(), self.below(4))
    }

    fn directory(&mut self) -> &'static str {
        [".", "a", "b", "a/c", "a/c/d"][usize::try_from(self.below(5)).unwrap()]
    }
}

/// Does something to a tree. Much of it fails, for want of a directory or a file; so be it.
fn disturb(root: &Path, random: &mut Random) {
    let file = root.join(random.file());
    let other_file = root.join(random.file());
    let (directory, other) = (root.join(random.directory()), root.join(random.directory()));
    let text = entry(&format!("e{}", random.below(5)), &format!("h{}.x", random.below(100)));
    let _ = match random.below(8) {
        0..3 => fs::write(file, text),
        3 => fs::remove_file(file),
        4 => fs::rename(file, other_file),
        5 => fs::create_dir_all(directory),
        6 if directory != root.join(".") => fs::remove_dir_all(directory),
        _ => fs::rename(directory, other),
    };
}

#[tokio::test]
async fn a_missing_root_is_an_error_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("none");
    let error = DirectorySource::open(&missing, Settings::default()).await.unwrap_err();
    assert!(matches!(error, SourceError::Unreadable { .. }), "{error}");
    assert!(error.to_string().contains("none"), "{error}");
    let file = dir.path().join("file.yaml");
    fs::write(&file, "").unwrap();
    let error = DirectorySource::open(&file, Settings::default()).await.unwrap_err();
    assert!(matches!(error, SourceError::NotADirectory { .. }), "{error}");
    assert!(matches!(load_once(&missing).unwrap_err(), SourceError::Unreadable { .. }));
}

#[test]
fn reading_once_finds_what_following_finds() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    fs::write(dir.path().join("b.yaml"), entry("b", "b.x") + "---\nkind: [").unwrap();
    fs::write(dir.path().join("sub/a.yaml"), entry("a", "a.x")).unwrap();
    let loaded = load_once(dir.path()).unwrap();
    let names: Vec<&str> = loaded.objects.iter().map(|object| &*object.meta.name).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(loaded.diagnostics.len(), 1, "{:?}", loaded.diagnostics);
    let file = dir.path().join("sub/a.yaml");
    assert_eq!(&*loaded.objects[0].origin.file, file.to_str().unwrap());
}
