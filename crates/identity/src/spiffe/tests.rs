use proptest::prelude::*;

use super::*;

#[test]
fn parses_what_istio_writes() {
    let id: SpiffeId = "spiffe://cluster.local/ns/shop/sa/cart".parse().unwrap();
    assert_eq!(id.trust_domain(), "cluster.local");
    assert_eq!(id.namespace(), "shop");
    assert_eq!(id.service_account(), "cart");
    assert_eq!(id.principal(), "cluster.local/ns/shop/sa/cart");
    assert_eq!(id.to_string(), "spiffe://cluster.local/ns/shop/sa/cart");
}

#[test]
fn refuses_what_is_no_workload() {
    for text in [
        "",
        "cluster.local/ns/shop/sa/cart",
        "spiffe://cluster.local",
        "spiffe://cluster.local/ns/shop",
        "spiffe://cluster.local/ns/shop/sa/",
        "spiffe://cluster.local/ns//sa/cart",
        "spiffe:///ns/shop/sa/cart",
        "spiffe://cluster.local/ns/shop/sa/cart/more",
        "spiffe://cluster.local/sa/cart/ns/shop",
        "spiffe://cluster.local/NS/shop/sa/cart",
        "SPIFFE://cluster.local/ns/shop/sa/cart",
        "spiffe://cluster.local/ns/sh%6fp/sa/cart",
        "spiffe://cluster.local/ns/shop/sa/cart?x=1",
        "spiffe://cluster.local/ns/../sa/cart",
        "spiffe://user@cluster.local/ns/shop/sa/cart",
        "spiffe://cluster.local:80/ns/shop/sa/cart",
        "spiffe://cluster.local/ns/shop/sa/cart ",
    ] {
        assert!(text.parse::<SpiffeId>().is_err(), "{text}");
    }
}

#[test]
fn an_at_sign_in_the_trust_domain_becomes_a_dot() {
    let id = SpiffeId::new("team@corp", "a", "b").unwrap();
    assert_eq!(id.as_str(), "spiffe://team.corp/ns/a/sa/b");
}

#[test]
fn moves_to_an_alias() {
    let id = SpiffeId::new("old", "a", "b").unwrap().in_trust_domain("new").unwrap();
    assert_eq!(id.as_str(), "spiffe://new/ns/a/sa/b");
}

#[test]
fn trust_domain_of_any_path() {
    for (uri, expected) in [
        ("spiffe://td/ns/a/sa/b", Some("td")),
        ("spiffe://td/agent", Some("td")),
        ("spiffe://td/", None),
        ("spiffe://td", None),
        ("spiffe:///x", None),
        ("https://td/x", None),
    ] {
        assert_eq!(trust_domain_of(uri), expected, "{uri}");
    }
}

proptest! {
    #[test]
    fn formats_what_it_parsed(
        domain in "[a-z0-9][a-z0-9.-]{0,20}", namespace in "[a-z0-9-]{1,20}", account in "[a-z0-9]{1,9}"
    ) {
        let id = SpiffeId::new(&domain, &namespace, &account).unwrap();
        let back: SpiffeId = id.as_str().parse().unwrap();
        prop_assert_eq!(&back, &id);
        prop_assert_eq!(back.trust_domain(), domain);
        prop_assert_eq!(back.namespace(), namespace);
        prop_assert_eq!(back.service_account(), account);
    }

    #[test]
    fn never_panics(text in ".{0,60}") {
        let _ = text.parse::<SpiffeId>();
        let _ = format!("spiffe://{text}").parse::<SpiffeId>();
    }
}
