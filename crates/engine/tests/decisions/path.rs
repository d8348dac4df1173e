//! What holds for every normalised path.

use lateen_engine::path::{normalize, without_query};
use lateen_mesh::v1::PathNormalization;
use proptest::prelude::*;
use proptest::sample::select;

const PIECES: &[&str] = &[
    "/", "//", ".", "..", "%2e", "%2E", "%2f", "%5C", "\\", "a", "%41", "%zz", "%", "?", "#", "é",
    "%25", "%252e", "%32", "%65", "2", "e", "{", " ",
];

proptest! {
    #[test]
    fn normal_paths_are_safe_and_stay_as_they_are(
        pieces in proptest::collection::vec(select(PIECES), 0..12),
        normalization in select(vec![
            PathNormalization::Base,
            PathNormalization::MergeSlashes,
            PathNormalization::DecodeAndMergeSlashes,
        ]),
    ) {
        let target = format!("/{}", pieces.concat());
        let normal = normalize(&target, normalization, false).expect("there is no NUL in it");
        let again = normalize(&normal, normalization, false).expect("there is no NUL in it");
        prop_assert_eq!(&*again, &*normal);
        let path = without_query(&normal);
        prop_assert!(path.starts_with('/'));
        prop_assert!(!path.contains('\\'));
        prop_assert!(path.split('/').all(|segment| segment != "." && segment != ".."), "{}", path);
        if normalization != PathNormalization::Base {
            // Of nothing but slashes two are left, as Envoy has it.
            prop_assert!(path == "//" || !path.contains("//"), "{}", path);
        }
        if normalization == PathNormalization::DecodeAndMergeSlashes {
            let lower = path.to_ascii_lowercase();
            prop_assert!(!lower.contains("%2f") && !lower.contains("%5c"), "{}", path);
        }
    }
}
