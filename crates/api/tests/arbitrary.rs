//! Whatever is written, reading it ends, without a panic.

#![cfg(test)]

use lateen_api::{Kind, Severity, account, parse};
use proptest::collection::vec;
use proptest::prelude::*;

/// Names of fields of all kinds, so that generated trees get below the surface.
fn names() -> Vec<String> {
    let mut names: Vec<String> = account()
        .flat_map(|line| line.path.split(['.', '[', ']']).map(str::to_owned).collect::<Vec<_>>())
        .filter(|name| !name.is_empty())
        .collect();
    names.extend(["8080", "x", "per_try_timeout", "<<", "é"].map(str::to_owned));
    names.sort();
    names.dedup();
    names
}

/// Every kind of object; the settings of the mesh are none.
fn kinds() -> Vec<Kind> {
    Kind::ALL.iter().copied().filter(|kind| *kind != Kind::MeshConfig).collect()
}

fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("[]".to_owned()),
        Just("{}".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| number.to_string()),
        prop::sample::select(vec![
            "'*'",
            "a.b",
            "1s",
            "-1.5h",
            "STRICT",
            "MUTUAL",
            "'~/*'",
            "HTTP",
            "'('",
            "'%'",
            "unix:///a",
            "10.0.0.0/8",
            "[::1]",
            "99999999999999999999999",
            "'{**}/*'",
            "outbound_.80_._.a",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,12}".prop_map(|text| format!("{text:?}")),
    ]
}

/// A tree in YAML's flow style.
fn tree() -> impl Strategy<Value = String> {
    let names = prop::sample::select(names());
    scalar().prop_recursive(6, 60, 5, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
            vec((names.clone(), inner), 0..5).prop_map(|entries| {
                let entries: Vec<String> =
                    entries.iter().map(|(name, value)| format!("{name:?}: {value}")).collect();
                format!("{{{}}}", entries.join(", "))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_tree_is_read_as_any_kind(
        kind in prop::sample::select(kinds()),
        spec in tree(),
        meta in tree(),
    ) {
        let text = format!(
            "apiVersion: {}\nkind: {}\nmetadata: {{name: a, labels: {meta}}}\nspec: {spec}\nports: {spec}\n",
            kind.api_version(),
            kind.name(),
        );
        let parsed = parse(&text, "f");
        let refused = parsed.diagnostics.iter().any(|it| it.severity == Severity::Error);
        prop_assert_eq!(parsed.objects.is_empty(), refused);
        for said in &parsed.diagnostics {
            prop_assert!(said.line >= 1 && said.line <= 5, "{}", said);
        }
    }

    #[test]
    fn any_text_is_read(text in "\\PC{0,40}|([-{}\\[\\]:,'\"#&*|>!%@` \n\ta-c01]{0,80})") {
        parse(&text, "f");
    }

    #[test]
    fn the_settings_of_the_mesh_may_be_any_tree(mesh in tree()) {
        lateen_api::parse_mesh_config(&mesh, "f");
    }
}
