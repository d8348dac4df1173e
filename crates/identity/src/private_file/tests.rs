use std::thread;

use super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn secrets_are_written_for_the_owner_only_and_nothing_is_left_behind() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    write_private(&path, b"one").unwrap();
    assert_eq!(mode(&path), 0o600);
    write_private(&path, b"two").unwrap();
    assert_eq!(read_private(&path).unwrap(), b"two");
    assert_eq!(names(dir.path()), ["key"]);
}

#[test]
fn an_exposed_secret_is_refused_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    write_private(&path, b"secret").unwrap();
    for exposed in [0o640, 0o604, 0o660, 0o777] {
        fs::set_permissions(&path, fs::Permissions::from_mode(exposed)).unwrap();
        let error = read_private(&path).unwrap_err();
        assert!(matches!(error, FileError::Exposed { .. }), "{error}");
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    assert_eq!(read_private(&path).unwrap(), b"secret");
}

#[test]
fn a_missing_file_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let error = read_private(&dir.path().join("none")).unwrap_err();
    assert!(error.is_missing(), "{error}");
    assert!(write_private(&dir.path().join("none/key"), b"").unwrap_err().is_missing());
}

#[test]
fn of_many_creators_exactly_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    let winners: Vec<bool> = thread::scope(|scope| {
        let create = |n: u8| {
            let path = &path;
            scope.spawn(move || create_private(path, &[n; 64]).unwrap())
        };
        let threads: Vec<_> = (0..8).map(create).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(winners.iter().filter(|won| **won).count(), 1);
    let winner = winners.iter().position(|won| *won).unwrap();
    assert_eq!(read_private(&path).unwrap(), vec![u8::try_from(winner).unwrap(); 64]);
    assert_eq!(names(dir.path()), ["key"]);
}
