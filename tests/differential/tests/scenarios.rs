//! The schema, as scenarios are read and written.

use std::path::Path;

use lateen_differential::generate;
use lateen_differential::run;
use lateen_differential::scenario::{End, HttpVersion, Scenario, Wanted};

const TEXT: &str = r#"
name: one
why: All of the schema's odd corners.
fields: [MeshConfig accessLogEncoding=JSON, "VirtualService spec.http[].match[].uri"]
dns: {db.example: [10.1.1.1]}
servers: {database: "10.1.1.1:5432"}
exchanges:
  - name: a request
    place: outbound
    to: {service: web, port: 80}
    http: 2
    tls: {sni: web.example, version: 1.3}
    backends: {default/web: [{status: 503, delay: 250ms}, {headers: ["x-a: 1"]}]}
    requests:
      - {path: /a?b=%2f, headers: ["X-A: 1"], times: 2, chance: true,
         expect: {status: 200, response_headers: {x-count: 1, x-none: null, x-two: [a, 2]}}}
  - name: bytes
    place: inbound
    to: {port: 9000}
    bytes: {send: "a\r\n\x01", expect: {end: closed}}
"#;

#[test]
fn a_scenario_is_read_as_it_is_meant() {
    let read = Scenario::from_yaml(TEXT).unwrap();
    let [request, bytes] = read.exchanges.as_slice() else { panic!("two exchanges") };
    assert_eq!(request.http, HttpVersion::Http2);
    let headers = &request.requests[0].expect.response_headers;
    assert_eq!(headers["x-count"], Wanted::One("1".to_owned()));
    assert_eq!(headers["x-none"], Wanted::Absent);
    assert_eq!(headers["x-two"], Wanted::Many(vec!["a".to_owned(), "2".to_owned()]));
    let bytes = bytes.bytes.as_ref().unwrap();
    assert_eq!((bytes.send.as_str(), bytes.wait), ("a\r\n\u{1}", true));
    assert_eq!(bytes.expect.end, Some(End::Closed));
}

#[test]
fn what_is_written_is_read_again() {
    let read = Scenario::from_yaml(TEXT).unwrap();
    assert_eq!(Scenario::from_yaml(&read.to_yaml()).unwrap(), read);
    for seed in 0..20 {
        let made = generate::scenario(seed);
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join(&made.name);
        made.write(&folder).unwrap();
        assert_eq!(Scenario::load(&folder).unwrap(), made, "seed {seed}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_the_place() {
    for (from, to, said) in [
        ("why: All", "whyy: All", "unknown field `whyy`"),
        ("path: /a", "pth: /a", "exchanges[0] (a request)"),
        ("accessLogEncoding=JSON", "accessLogEncoding=XML", "no honoured field"),
        ("to: {port: 9000}", "to: {service: web}", "exchange `bytes`"),
        ("name: bytes", "name: a request", "two exchanges are named"),
        ("bytes: {send", "requests: [{}]\n    bytes: {send", "either `requests` or `bytes`"),
        ("delay: 250ms", "delay: 250", "250"),
        ("\"X-A: 1\"", "\"X-A\"", "no header"),
        ("chance: true", "chance: true, expectt: 1", "unknown field `expectt`"),
    ] {
        let text = TEXT.replacen(from, to, 1);
        assert_ne!(text, TEXT, "{from}");
        let error = format!("{:#}", Scenario::from_yaml(&text).unwrap_err());
        assert!(error.contains(said), "{to}: {error}");
    }
}

#[test]
fn every_scenario_of_the_project_can_be_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let scenarios = run::load(&folder).unwrap();
    assert!(!scenarios.is_empty());
}
