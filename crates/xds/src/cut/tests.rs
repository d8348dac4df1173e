use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn resource(name: &str, size: usize) -> Resource {
    Resource { name: name.into(), version: "".into(), body: vec![7; size].into() }
}

fn marker(sequence: u64, chunk: u32, last: bool) -> Marker {
    Marker { sequence, chunk, last }
}

#[test]
fn an_empty_cut_is_one_empty_chunk() {
    assert_eq!(split(Vec::new(), Vec::new(), 10), [Chunk::default()]);
}

#[test]
fn a_large_resource_has_a_chunk_of_its_own() {
    let resources = vec![resource("a", 4), resource("b", 100), resource("c", 4), resource("d", 4)];
    let names: Vec<Vec<String>> = split(resources, vec!["e".into()], 10)
        .into_iter()
        .map(|chunk| {
            let resources = chunk.resources.iter().map(|resource| resource.name.to_string());
            resources.chain(chunk.removed.iter().map(|name| format!("-{name}"))).collect()
        })
        .collect();
    assert_eq!(names, [vec!["a"], vec!["b"], vec!["c", "d"], vec!["-e"]]);
}

#[test]
fn what_is_no_cut_is_refused() {
    let mut assembler = CutAssembler::new(10);
    assert_eq!(assembler.push(Chunk::default(), marker(1, 0, false)), Ok(None));
    assert!(assembler.is_incomplete());
    assert_eq!(
        assembler.push(Chunk::default(), marker(2, 0, true)),
        Err(CutError::Interleaved { sequence: 2, unfinished: 1 })
    );
    assert!(!assembler.is_incomplete());
    assert_eq!(
        assembler.push(Chunk::default(), marker(3, 1, true)),
        Err(CutError::Order { sequence: 3, chunk: 1, expected: 0 })
    );
    let large = Chunk { resources: vec![resource("a", 11)], removed: Vec::new() };
    assert_eq!(
        assembler.push(large, marker(4, 0, true)),
        Err(CutError::TooLarge { sequence: 4, limit: 10 })
    );
}

#[test]
fn a_reset_forgets_the_beginning() {
    let mut assembler = CutAssembler::new(10);
    let first = Chunk { resources: vec![resource("a", 1)], removed: Vec::new() };
    assert_eq!(assembler.push(first, marker(1, 0, false)), Ok(None));
    assembler.reset();
    let whole = assembler.push(Chunk::default(), marker(1, 0, true)).unwrap().unwrap();
    assert_eq!(whole.resources, []);
}

proptest! {
    #[test]
    fn what_was_split_is_assembled(
        sizes in prop::collection::vec(0_usize..50, 0..20),
        removed in prop::collection::vec("[a-z]{1,8}", 0..5),
        limit in 1_usize..100,
    ) {
        let resources: Vec<Resource> = sizes
            .iter()
            .enumerate()
            .map(|(index, size)| Resource {
                name: format!("r{index}").into(),
                version: "v".into(),
                body: Bytes::from(vec![0; *size]),
            })
            .collect();
        let removed: Vec<Arc<str>> = removed.into_iter().map(Into::into).collect();
        let chunks = split(resources.clone(), removed.clone(), limit);
        let count = u32::try_from(chunks.len()).unwrap();
        let mut assembler = CutAssembler::new(usize::MAX);
        for (number, chunk) in (0..).zip(chunks) {
            let cut = assembler.push(chunk, marker(9, number, number + 1 == count)).unwrap();
            if number + 1 < count {
                prop_assert_eq!(cut, None);
            } else {
                prop_assert_eq!(
                    cut,
                    Some(Cut { sequence: 9, resources: resources.clone(), removed: removed.clone() })
                );
            }
        }
    }
}
