//! The language and its functions against what Go's own engine gives.

use lateen_template::{Functions, Missing, Template};
use proptest::prelude::*;
use serde_json::{Value, json};

fn data() -> Value {
    json!({
        "a": {"b": 1, "z": [1, null, "x"]}, "n": null, "f": 1.5, "s": "hi",
        "l": ["x", "y"], "e": {}
    })
}

fn rendered(text: &str) -> Result<String, String> {
    Template::parse("t", text)
        .and_then(|template| template.render("t", &data()))
        .map_err(|error| error.to_string())
}

/// Each expectation is what Go 1.26's `text/template` gives with sprig 3.3 and sigs.k8s.io/yaml 1.6.
#[test]
fn templates_give_what_go_gives() {
    let cases: Vec<(String, String)> =
        serde_json::from_str(include_str!("cases.json")).expect("the table is JSON");
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|(text, expected)| {
            let found = rendered(text);
            (found.as_ref() != Ok(expected))
                .then(|| format!("{text}\n  expected {expected:?}\n  found    {found:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (text, expected) in [
        ("x\n {{ nope }}", "t:2:5: function \"nope\" not defined"),
        ("{{ if .s }}", "t:1:4: {{if}} has no {{end}}"),
        ("{{ end }}", "t:1:4: unexpected {{end}}"),
        ("{{ if }}{{ end }}", "t:1:7: missing value for if"),
        ("{{ .a", "t:1:1: unclosed action"),
        ("{{ \"abc }}", "t:1:4: unterminated quoted string"),
        ("{{/* abc }}", "t:1:1: unclosed comment"),
        ("{{ $y }}", "t:1:4: undefined variable \"$y\""),
        ("{{if true}}{{$y := 1}}{{end}}{{$y}}", "t:1:32: undefined variable \"$y\""),
        ("{{ 1 | 2 }}", "t:1:8: non executable command in stage 2 of a pipeline"),
        ("{{ range $i, $j, $k := .l }}{{end}}", "t:1:14: too many declarations in range"),
        ("{{ break }}", "t:1:4: {{break}} outside {{range}}"),
        ("{{ .a.b ) }}", "t:1:9: unexpected ) in command"),
        ("{{ if .s }}{{ define \"x\" }}{{ end }}{{ end }}", "{{define}} inside of another action"),
        ("é{{ .s.x }}", "t:1:5: can't evaluate field x in type string"),
        ("{{ .s | .f }}", "t:1:9: can't give argument to non-function"),
        ("{{ index .l 5 }}", "t:1:4: error calling index: index out of range: 5"),
        ("{{ index .n 1 }}", "index of untyped nil"),
        ("{{ len 3 }}", "error calling len: len of type int64"),
        ("{{ eq .a .a }}", "error calling eq: non-comparable types map and map"),
        ("{{ lt \"a\" 1 }}", "incompatible types for comparison: string and int64"),
        ("{{ template \"zz\" }}", "t:1:4: template \"zz\" not defined"),
        ("{{ range .s }}{{ end }}", "range can't iterate over string"),
        ("{{ nil }}", "nil is not a command"),
        ("{{ printf \"%d\" .s }}", "%d of a value of type string"),
        ("{{ printf \"%s\" }}", "has no argument for its %s"),
        ("{{ fail \"no way\" }}", "t:1:4: error calling fail: no way"),
        ("{{ required \"give it\" .miss }}", "error calling required: give it"),
        ("{{ set .a \"b\" 2 }}", "set changes a variable"),
        ("{{ tpl \"{{ .x. }}\" . }}", "error calling tpl: tpl:1:"),
        ("{{ regexMatch \"(\" .s }}", "error calling regexMatch"),
        ("{{ div 1 0 }}", "the result is not a 64 bit integer"),
    ] {
        let error = rendered(text).expect_err(text);
        assert!(error.contains(expected), "{text}\n  expected {expected}\n  found    {error}");
    }
}

#[test]
fn limits_end_what_does_not_end_itself() {
    for (text, expected) in [
        (
            "{{ define \"x\" }}{{ template \"x\" . }}{{ end }}{{ template \"x\" . }}",
            "nested deeper",
        ),
        ("{{ define \"x\" }}{{ include \"x\" . }}{{ end }}{{ include \"x\" . }}", "nested deeper"),
        ("{{ tpl .t . }}", "nested deeper"),
        ("{{ range 9000000000 }}{{ end }}", "too long"),
        ("{{ range 5000 }}{{ range 500 }}{{ end }}{{ end }}", "too long"),
        ("{{ range 1000 }}{{ range 1000 }}{{ $x := 1 }}{{ end }}{{ end }}", "steps"),
        ("{{ range 5000 }}{{ repeat 100000 \"a\" }}{{ end }}", "longer than"),
        ("{{ repeat 900000000 \"abc\" }}", "more than"),
        ("{{ until 900000000 }}", "more than"),
    ] {
        let error = Template::parse("t", text)
            .and_then(|template| template.render("t", &json!({"t": "{{ tpl .t . }}"})))
            .expect_err(text)
            .to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    let deep = format!("{{{{ {}1{} }}}}", "(".repeat(500), ")".repeat(500));
    assert!(rendered(&deep).expect_err("too deep").contains("nested deeper"));
}

#[test]
fn a_set_shares_its_templates_and_functions() {
    let mut template =
        Template::new(Functions::charts().with("shout", |arguments| match arguments {
            [Value::String(text)] => Ok(Value::String(format!("{text}!"))),
            _ => Err("shout takes one string".to_owned()),
        }))
        .missing(Missing::Empty);
    template.add("names", "{{ define \"name\" }}{{ .given }}{{ end }}").expect("names");
    template
        .add("page", "{{ include \"name\" . | shout }} {{ tpl \"{{ include \\\"name\\\" . }}\" . }}[{{ .none }}]")
        .expect("page");
    let text = template.render("page", &json!({"given": "Ada"})).expect("a page");
    assert_eq!(text, "Ada! Ada[]");
    template.add("strict", "{{ .none.more }}").expect("reads");
    let error = template.render("strict", &json!({})).expect_err("nil has no fields");
    assert_eq!(error.to_string(), "strict:1:4: nil pointer evaluating interface {}.more");
    assert_eq!((error.position.line, error.position.column), (1, 4));
}

proptest! {
    /// Whatever the text, reading and rendering it ends with an answer.
    #[test]
    fn no_text_breaks_it(text in "[a-z{}.$| \"()\\-:=,/*\n0-9`]{0,60}") {
        let _ = rendered(&text);
        let _ = rendered(&format!("{{{{ {text} }}}}"));
    }

    /// A text outside of actions is given back as it is.
    #[test]
    fn plain_text_stays(text in "[^{]{0,80}") {
        prop_assert_eq!(rendered(&text), Ok(text));
    }

    /// `toJson` and `fromJson` are inverse.
    #[test]
    fn json_survives(text in any::<String>()) {
        let template = Template::parse("t", "{{ (toJson . | fromJson).x }}").expect("reads");
        prop_assert_eq!(template.render("t", &json!({"x": text.as_str()})), Ok(text));
    }
}
