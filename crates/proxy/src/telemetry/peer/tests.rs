use super::*;
use crate::telemetry::sample::{CALLEE, CALLER, headers, own, workload};

fn announced(name: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    own(name, "v1").announce(&mut headers);
    headers
}

#[test]
fn what_one_proxy_says_another_understands() {
    let mut headers = announced("reviews");
    assert_eq!(headers[METADATA_ID], "sidecar~127.0.0.1~reviews-7f.shop~shop.svc.cluster.local");
    let taken = PeerCache::default().take(&mut headers, Some(CALLEE));
    assert!(headers.is_empty(), "the headers are taken off");
    assert!(taken.present);
    assert_eq!(taken.peer.unwrap().peer(), crate::telemetry::sample::REVIEWS_V1);
}

#[test]
fn nothing_is_believed_of_strangers() {
    type Case<'a> = (&'a str, HeaderMap, Option<&'a str>, bool);
    let table: [Case<'_>; 6] = [
        ("no proof of identity", announced("reviews"), None, true),
        ("another's identity", announced("reviews"), Some(CALLER), true),
        (
            "another namespace",
            announced("reviews"),
            Some("spiffe://cluster.local/ns/other/sa/reviews"),
            true,
        ),
        ("no SPIFFE ID of a workload", announced("reviews"), Some("spiffe://elsewhere/x"), true),
        ("no metadata", headers(&[("x-envoy-peer-metadata-id", "a")]), Some(CALLEE), true),
        ("nothing at all", HeaderMap::new(), Some(CALLEE), false),
    ];
    for (case, mut headers, principal, present) in table {
        let taken = PeerCache::default().take(&mut headers, principal);
        assert_eq!(taken.peer, None, "{case}");
        assert_eq!(taken.present, present, "{case}");
        assert!(headers.is_empty(), "{case}: headers stay");
    }
}

#[test]
fn metadata_is_read_as_envoy_reads_it() {
    let mut map = announced("reviews");
    let padded = map[METADATA].to_str().unwrap().to_owned();
    map.insert(METADATA, padded.trim_end_matches('=').parse().unwrap());
    assert!(PeerCache::default().take(&mut map, Some(CALLEE)).peer.is_some(), "without padding");
    for value in ["not base64!", "AAAA", &"A".repeat(LONGEST + 1)] {
        assert_eq!(
            PeerMetadata::decode(value.as_bytes()),
            None,
            "{}",
            &value[..value.len().min(20)]
        );
    }
}

#[test]
fn the_struct_has_istios_fields() {
    let map = announced("reviews");
    let bytes = BASE64.decode(map[METADATA].as_bytes()).unwrap();
    let Struct { fields } = Struct::decode(&*bytes).unwrap();
    let keys: Vec<_> = fields.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        ["CLUSTER_ID", "IDENTITY", "LABELS", "NAME", "NAMESPACE", "OWNER", "WORKLOAD_NAME"]
    );
    assert_eq!(
        string(&fields, "OWNER"),
        "kubernetes://apis/apps/v1/namespaces/shop/deployments/reviews-v1"
    );
    assert_eq!(string(&fields, "IDENTITY"), CALLEE);
}

#[test]
fn a_peer_that_changes_its_metadata_is_read_anew() {
    let mut cache = PeerCache::default();
    let before = cache.take(&mut announced("reviews"), Some(CALLEE)).peer.unwrap();
    let mut changed = workload("reviews", "v2");
    changed.owner_name = "reviews-v9".to_owned();
    let own = OwnWorkload::new(
        &changed,
        "cluster.local",
        "sidecar~127.0.0.1~reviews-7f.shop~shop.svc.cluster.local",
    );
    let mut headers = HeaderMap::new();
    own.announce(&mut headers);
    let after = cache.take(&mut headers, Some(CALLEE)).peer.unwrap();
    assert_eq!((before.peer().workload, after.peer().workload), ("reviews-v1", "reviews-v9"));
}

#[test]
fn the_cache_is_bounded() {
    let mut cache = PeerCache::default();
    for number in 0..3 * CACHED {
        let mut headers = announced("reviews");
        headers.insert(METADATA_ID, number.to_string().parse().unwrap());
        cache.take(&mut headers, Some(CALLEE));
        assert!(cache.by_id.len() <= CACHED);
    }
}
