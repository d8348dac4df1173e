//! The plugin in a network configuration: it comes and goes, and everything else stays.

use lateen_cni::conflist::{ConflistError, chosen, insert, is_read, remove};
use proptest::prelude::*;
use serde_json::{Value, json};

const KIND: &str = "lateen-cni";

fn entry() -> Value {
    json!({"type": KIND, "socket": "/agent.sock"})
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn it_is_the_last_of_a_chain() {
    let before = json!({"cniVersion": "1.0.0", "name": "net", "disableCheck": true,
        "plugins": [{"type": "bridge"}, {"type": KIND, "old": 1}, {"type": "portmap"}]});
    let edit =
        insert("10-a.conflist", &before.to_string(), &entry()).expect("a list").expect("an edit");
    assert_eq!((edit.name.as_str(), &edit.removes), ("10-a.conflist", &None));
    let after = parse(&edit.text);
    assert_eq!(after["plugins"], json!([{"type": "bridge"}, {"type": "portmap"}, entry()]));
    assert_eq!(after["disableCheck"], true);
    assert_eq!(insert("10-a.conflist", &edit.text, &entry()), Ok(None), "again");
    let gone = remove("10-a.conflist", &edit.text, KIND).expect("a list").expect("an edit");
    assert_eq!(parse(&gone.text)["plugins"], json!([{"type": "bridge"}, {"type": "portmap"}]));
    assert_eq!(remove("10-a.conflist", &gone.text, KIND), Ok(None), "again");
}

#[test]
fn a_single_plugin_becomes_a_list_and_comes_back() {
    let alone = json!({"cniVersion": "0.3.1", "name": "net", "type": "ptp", "mtu": 1400});
    for name in ["10-a.conf", "10-a.json"] {
        let edit = insert(name, &alone.to_string(), &entry()).expect("a network").expect("an edit");
        assert_eq!((edit.name.as_str(), edit.removes.as_deref()), ("10-a.conflist", Some(name)));
        let list = parse(&edit.text);
        assert_eq!(list["plugins"][0], json!({"type": "ptp", "mtu": 1400}));
        assert_eq!((&list["cniVersion"], &list["name"]), (&json!("0.3.1"), &json!("net")));
        assert_eq!(insert(&edit.name, &edit.text, &entry()), Ok(None), "again");
        let back = remove(&edit.name, &edit.text, KIND).expect("a list").expect("an edit");
        assert_eq!((back.name.as_str(), back.removes.as_deref()), (name, Some("10-a.conflist")));
        assert_eq!(parse(&back.text), alone);
    }
}

/// Of two revisions the one that goes last gives the single file back.
#[test]
fn revisions_hand_the_single_file_on() {
    let alone = json!({"cniVersion": "1.0.0", "name": "net", "type": "ptp"});
    let other = json!({"type": "lateen-cni-next", "socket": "/next.sock"});
    let one = insert("a.conf", &alone.to_string(), &entry()).expect("a network").expect("an edit");
    let two = insert(&one.name, &one.text, &other).expect("a list").expect("an edit");
    let first = remove(&two.name, &two.text, KIND).expect("a list").expect("an edit");
    assert_eq!(first.name, "a.conflist");
    assert_eq!(insert(&first.name, &first.text, &other), Ok(None), "the other one stays as it is");
    let last =
        remove(&first.name, &first.text, "lateen-cni-next").expect("a list").expect("an edit");
    assert_eq!((last.name.as_str(), parse(&last.text)), ("a.conf", alone));
}

#[test]
fn runtimes_take_the_first_file_that_is_a_network() {
    let list = json!({"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": "a"}]}).to_string();
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let files = [
        file("90-z.conflist", &list),
        file("05-b.conf", "{"),
        file("00-readme.txt", &list),
        file("10-a.conflist", &list),
        file(".00-new.conflist", &list),
    ];
    assert_eq!(chosen(&files).map(|(name, _)| name.as_str()), Some("10-a.conflist"));
    assert_eq!(chosen(&[]), None);
    assert!(is_read("a.json") && !is_read("a.conflist.bak"));
}

#[test]
fn what_is_no_network_configuration_is_not_touched() {
    let version = ConflistError::Version("0.2.0".to_owned());
    for (name, text, expected) in [
        ("a.conflist", "[]", ConflistError::Shape("it is no object")),
        ("a.conflist", r#"{"plugins": []}"#, ConflistError::Shape("it has no name")),
        (
            "a.conflist",
            r#"{"cniVersion": "1.0.0", "name": "n", "plugins": []}"#,
            ConflistError::Shape("it has no plugins"),
        ),
        (
            "a.conflist",
            r#"{"cniVersion": "1.0.0", "name": "n"}"#,
            ConflistError::Shape("it has no list of plugins"),
        ),
        (
            "a.conf",
            r#"{"cniVersion": "1.0.0", "name": "n"}"#,
            ConflistError::Shape("it has no type"),
        ),
        ("a.conf", r#"{"cniVersion": "0.2.0", "name": "n", "type": "b"}"#, version),
    ] {
        assert_eq!(insert(name, text, &entry()), Err(expected), "{text}");
    }
    assert!(matches!(insert("a.conf", "{", &entry()), Err(ConflistError::Syntax(_))));
}

fn networks() -> impl Strategy<Value = Value> {
    let plugin = ("[a-z]{1,8}", any::<Option<u16>>()).prop_map(|(kind, mtu)| {
        let mut plugin = json!({"type": kind});
        if let Some(mtu) = mtu {
            plugin["mtu"] = json!(mtu);
        }
        plugin
    });
    let version = prop::sample::select(vec!["0.3.1", "0.4.0", "1.0.0", "1.1.0"]);
    let plugins = prop::collection::vec(plugin, 1..5);
    (version, "[a-z]{1,8}", plugins, any::<bool>()).prop_map(|(version, name, plugins, more)| {
        let mut list = json!({"cniVersion": version, "name": name, "plugins": plugins});
        if more {
            list["disableGC"] = json!(true);
        }
        list
    })
}

proptest! {
    #[test]
    fn what_comes_goes_without_a_trace(list in networks()) {
        let with = insert("n.conflist", &list.to_string(), &entry()).unwrap().unwrap();
        let list_with = parse(&with.text);
        let plugins = list_with["plugins"].as_array().unwrap();
        prop_assert_eq!(plugins.last(), Some(&entry()));
        prop_assert_eq!(insert("n.conflist", &with.text, &entry()), Ok(None));
        let back = remove("n.conflist", &with.text, KIND).unwrap().unwrap();
        // The order of its fields, too.
        prop_assert_eq!(parse(&back.text).to_string(), list.to_string());
    }
}
