//! How pages are read whose commands are run.

use lateen_cluster_tests::page::{self, Step};

#[test]
fn a_page_has_steps_with_outputs() {
    let page = "# One\n\n```sh k3d\na\n```\n\n## Two\n```sh\nb\nc\n```\nprints\n```text\nd\n```\n";
    let steps = page::steps(page).expect("a page");
    let step = |section: &str, reader: &str, commands: &str, printed: Option<&str>| Step {
        section: section.to_owned(),
        reader: reader.to_owned(),
        commands: commands.to_owned(),
        printed: printed.map(str::to_owned),
    };
    assert_eq!(steps, [step("One", "k3d", "a\n", None), step("Two", "", "b\nc\n", Some("d\n"))]);
    assert!(page::steps("```sh\na\n").is_err(), "no end");
    assert!(page::steps("```yaml\n```\n").is_err(), "another kind");
}

#[test]
fn counts_may_differ_and_nothing_else() {
    for (wanted, printed, agree) in [
        ("200\n", "200\n", true),
        ("200\n", "201\n", false),
        ("     90 v1\n     10 v2\n", "     85 v1\n     15 v2\n", true),
        ("     90 v1\n     10 v2\n", "     50 v1\n     50 v2\n", false),
        ("     90 v1\n     10 v2\n", "    100 v1\n", false),
        ("    100 v2\n", "    100 v1\n", false),
    ] {
        assert_eq!(page::agrees(wanted, printed), agree, "{wanted:?} {printed:?}");
    }
}

#[test]
fn a_step_fails_with_its_command() {
    let steps = page::steps("```sh\nfalse | cat\n```\n").expect("a page");
    assert!(steps[0].run(&|_| {}).is_err());
}
