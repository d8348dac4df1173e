use std::fmt::Write;

use super::*;

/// A file of ServiceEntries, each given as its name and its only host; no host makes it invalid.
fn entries(objects: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, host) in objects {
        let hosts = if host.is_empty() { "[]".to_owned() } else { format!("[{host}]") };
        writeln!(
            text,
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}}}\n\
             spec:\n  hosts: {hosts}\n  ports: [{{number: 80, name: http, protocol: HTTP}}]\n  \
             resolution: DNS\n---"
        )
        .unwrap();
    }
    text
}

/// Files by name, and how their text is to be read; a text is parsed unless it is `=`, which says
/// that the file is unchanged, or `!`, which says that it cannot be read.
fn reports(files: &[(&str, &str)]) -> BTreeMap<PathBuf, FileReport> {
    let report = |name: &str, text: &str| match text {
        "=" => FileReport::Unchanged,
        "!" => FileReport::Unreadable(crate::directory::unreadable(name.as_ref(), "no")),
        _ => FileReport::Read(lateen_api::parse(text, name)),
    };
    files.iter().map(|(name, text)| (PathBuf::from(name), report(name, text))).collect()
}

/// Changes in short: `+name`, `-name`; `~name` for what was only moved.
fn short(batch: &Batch) -> String {
    let changes = batch.changes.iter().map(|change| match change {
        Change::Upsert(object) => format!("+{}", object.meta.name),
        Change::Remove(reference) => format!("-{}", reference.name),
    });
    let relocated = batch.relocated.iter().map(|object| format!("~{}", object.meta.name));
    changes.chain(relocated).collect::<Vec<_>>().join(" ")
}

/// The objects in force in short: `name=host`.
fn in_force(merge: &Merge) -> String {
    let short = |object: &Arc<Object>| {
        let lateen_api::Spec::ServiceEntry(entry) = &object.spec else { panic!("{object:?}") };
        format!("{}={}", object.meta.name, entry.hosts[0])
    };
    merge.objects().map(short).collect::<Vec<_>>().join(" ")
}

struct Step {
    files: Vec<(&'static str, String)>,
    /// `None` for no batch.
    changes: Option<&'static str>,
    objects: &'static str,
    /// Codes of the diagnostics.
    codes: &'static [&'static str],
}

fn check(steps: Vec<Step>) {
    let mut merge = Merge::new();
    for (index, step) in steps.into_iter().enumerate() {
        let files: Vec<(&str, &str)> =
            step.files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let batch = merge.apply(reports(&files), &[], Vec::new());
        assert_eq!(batch.as_ref().map(short).as_deref(), step.changes, "step {index}: {batch:#?}");
        assert_eq!(in_force(&merge), step.objects, "step {index}");
        if let Some(batch) = batch {
            let codes: Vec<&str> = batch.diagnostics.iter().map(|it| it.code.as_str()).collect();
            assert_eq!(codes, step.codes, "step {index}: {:#?}", batch.diagnostics);
            assert_eq!(batch.initial, index == 0);
        }
    }
}

fn step(
    files: Vec<(&'static str, String)>,
    changes: Option<&'static str>,
    objects: &'static str,
    codes: &'static [&'static str],
) -> Step {
    Step { files, changes, objects, codes }
}

#[test]
fn objects_come_change_and_go() {
    let unchanged = || "=".to_owned();
    check(vec![
        step(vec![], Some(""), "", &[]),
        step(vec![], None, "", &[]),
        step(
            vec![("f", entries(&[("a", "a.x"), ("b", "b.x")]))],
            Some("+a +b"),
            "a=a.x b=b.x",
            &[],
        ),
        step(vec![("f", unchanged())], None, "a=a.x b=b.x", &[]),
        step(
            vec![("f", entries(&[("a", "a.x"), ("b", "c.x")]))],
            Some("+b ~a"),
            "a=a.x b=c.x",
            &[],
        ),
        step(vec![("f", entries(&[("b", "c.x")]))], Some("-a ~b"), "b=c.x", &[]),
        step(vec![], Some("-b"), "", &[]),
    ]);
}

#[test]
fn moving_an_object_to_another_file_or_line_is_no_change() {
    check(vec![
        step(vec![("f", entries(&[("a", "a.x")]))], Some("+a"), "a=a.x", &[]),
        step(vec![("g", entries(&[("a", "a.x")]))], Some("~a"), "a=a.x", &[]),
        step(vec![("g", format!("# a\n\n{}", entries(&[("a", "a.x")])))], Some("~a"), "a=a.x", &[]),
    ]);
}

#[test]
fn a_rejected_object_keeps_its_last_good_version_and_the_others_proceed() {
    let code = &["missing-field"][..];
    check(vec![
        step(
            vec![("f", entries(&[("a", "a.x"), ("b", "b.x")]))],
            Some("+a +b"),
            "a=a.x b=b.x",
            &[],
        ),
        step(vec![("f", entries(&[("a", ""), ("b", "c.x")]))], Some("+b"), "a=a.x b=c.x", code),
        // Still rejected, in the same way: there is nothing new to say.
        step(vec![("f", "=".to_owned())], None, "a=a.x b=c.x", code),
        step(
            vec![("f", entries(&[("a", "d.x"), ("b", "c.x")]))],
            Some("+a ~b"),
            "a=d.x b=c.x",
            &[],
        ),
        step(vec![("f", entries(&[("a", "")]))], Some("-b"), "a=d.x", code),
        step(vec![("f", entries(&[]))], Some("-a"), "", &[]),
    ]);
}

#[test]
fn a_rejected_object_without_a_good_version_is_only_reported() {
    check(vec![
        step(
            vec![("f", entries(&[("a", ""), ("b", "b.x")]))],
            Some("+b"),
            "b=b.x",
            &["missing-field"],
        ),
        step(
            vec![("f", entries(&[("a", "a.x"), ("b", "b.x")]))],
            Some("+a ~b"),
            "a=a.x b=b.x",
            &[],
        ),
    ]);
}

#[test]
fn a_rejected_object_keeps_its_version_when_it_moves_to_another_file() {
    check(vec![
        step(vec![("f", entries(&[("a", "a.x")]))], Some("+a"), "a=a.x", &[]),
        step(vec![("g", entries(&[("a", "")]))], Some(""), "a=a.x", &["missing-field"]),
        step(vec![("g", "=".to_owned())], None, "a=a.x", &[]),
        step(vec![], Some("-a"), "", &[]),
    ]);
}

#[test]
fn a_file_that_cannot_be_read_to_the_end_keeps_its_objects() {
    let good = || entries(&[("a", "a.x"), ("b", "b.x")]);
    let broken = |objects| format!("{}: [", entries(objects));
    check(vec![
        step(vec![("f", good())], Some("+a +b"), "a=a.x b=b.x", &[]),
        step(vec![("f", ": [".to_owned())], Some(""), "a=a.x b=b.x", &["syntax"]),
        step(vec![("f", broken(&[("b", "c.x")]))], Some("+b"), "a=a.x b=c.x", &["syntax"]),
        step(vec![("f", "!".to_owned())], Some(""), "a=a.x b=c.x", &["unreadable"]),
        step(vec![("f", good())], Some("+b ~a"), "a=a.x b=b.x", &[]),
        step(vec![("f", broken(&[]))], Some(""), "a=a.x b=b.x", &["syntax"]),
        step(vec![], Some("-a -b"), "", &[]),
    ]);
}

#[test]
fn the_same_object_in_two_files_counts_where_the_path_comes_first() {
    let one = |host| entries(&[("a", host)]);
    let code = &["duplicate-object"][..];
    let same = || "=".to_owned();
    check(vec![
        step(vec![("g", one("g.x"))], Some("+a"), "a=g.x", &[]),
        step(vec![("f", one("f.x")), ("g", same())], Some("+a"), "a=f.x", code),
        step(vec![("f", same()), ("g", one("h.x"))], None, "a=f.x", code),
        // A rejected first version keeps its place while it has a good one.
        step(
            vec![("f", one("")), ("g", same())],
            Some(""),
            "a=f.x",
            &["missing-field", "duplicate-object"],
        ),
        step(vec![("g", same())], Some("+a"), "a=h.x", &[]),
    ]);
}

#[test]
fn a_conflict_names_both_places() {
    let mut merge = Merge::new();
    let text = entries(&[("a", "a.x")]);
    let batch = merge.apply(reports(&[("f", &text), ("g", &text)]), &[], Vec::new()).unwrap();
    let shown = batch.diagnostics[0].to_string();
    assert!(
        shown.starts_with("g:1:1: error[duplicate-object]: ServiceEntry default/a: "),
        "{shown}"
    );
    assert!(shown.contains("f:1"), "{shown}");
}

#[test]
fn files_of_a_directory_that_cannot_be_listed_stay() {
    let mut merge = Merge::new();
    let file = |host| entries(&[("a", host)]);
    let other = entries(&[("b", "b.x")]);
    merge.apply(reports(&[("dir/f", &file("a.x")), ("dir2/g", &other)]), &[], Vec::new());
    let report = crate::directory::unreadable("dir".as_ref(), "no");
    let batch = merge.apply(BTreeMap::new(), &["dir".into()], vec![report.clone()]).unwrap();
    assert_eq!(short(&batch), "-b");
    assert_eq!(in_force(&merge), "a=a.x");
    assert_eq!(batch.diagnostics, std::slice::from_ref(&report));
    assert!(merge.apply(BTreeMap::new(), &["dir".into()], vec![report]).is_none());
    let batch = merge.apply(BTreeMap::new(), &[], Vec::new()).unwrap();
    assert_eq!(short(&batch), "-a");
}

#[test]
fn keeping_keeps_everything() {
    let mut merge = Merge::new();
    merge.apply(reports(&[("f", &entries(&[("a", "a.x")]))]), &[], Vec::new());
    let report = crate::directory::unreadable("".as_ref(), "gone");
    let batch = merge.keep(vec![report.clone()]).unwrap();
    assert_eq!(short(&batch), "");
    assert_eq!(batch.diagnostics, std::slice::from_ref(&report));
    assert!(merge.keep(vec![report]).is_none());
    assert_eq!(in_force(&merge), "a=a.x");
}
