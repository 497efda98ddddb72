use serde_json::{from_str, json};

use super::*;

fn rules(tool: &Value) -> ArgumentRules {
    try_rules(tool).unwrap()
}

fn try_rules(tool: &Value) -> Result<ArgumentRules, Reason> {
    ArgumentRules::parse(tool.get("arguments"), tool.get("additionalArguments"))
}

#[test]
fn refuses_malformed_rules() {
    for tool in [
        json!({"arguments": []}),
        json!({"arguments": null}),
        json!({"arguments": {"": {}}}),
        json!({"arguments": {"limit": {"maximum": 1}}}),
        json!({"arguments": {"/a~3": {}}}),
        json!({"arguments": {"/a/0": {}}}),
        json!({"arguments": {"/a": {"maximum": 1}, "/a/b": {}}}),
        json!({"arguments": {"/a": {"const": {"b": 1}}, "/a/b": {"const": 1}}}),
        json!({"additionalArguments": null}),
        json!({"additionalArguments": "false"}),
        json!({"additionalArguments": {}}),
    ] {
        assert!(try_rules(&tool).is_err(), "{tool}");
    }
    let many: Map<String, Value> = (0..=MAX_ARGUMENTS).map(|n| (format!("/a{n}"), json!({}))).collect();
    assert!(try_rules(&json!({ "arguments": many })).is_err());
}

#[test]
fn allows_and_names_the_argument_that_it_does_not() {
    let open = json!({"arguments": {"/limit": {"maximum": 50}, "/f/a~1b": {"const": "x"}, "/q": {"required": true}}});
    for (arguments, at) in [
        (r#"{"q":null}"#, None),
        (r#"{"q":1,"limit":50,"other":[]}"#, None),
        (r#"{"q":1,"f":{}}"#, None),
        (r#"{"q":1,"f":{"a/b":"x","c":1}}"#, None),
        (r#"{"q":1,"Limit":51}"#, None),
        (r#"{"q":1,"limit":51}"#, Some("/limit")),
        (r#"{"q":1,"limit":"50"}"#, Some("/limit")),
        (r#"{"q":1,"limit":null}"#, Some("/limit")),
        (r#"{"q":1,"limit":9007199254740993}"#, Some("/limit")),
        (r#"{"q":1,"f":{"a/b":"X"}}"#, Some("/f/a~1b")),
        (r#"{"q":1,"f":[{"a/b":"y"}]}"#, Some("/f/a~1b")),
        (r#"{"q":1,"f":null}"#, Some("/f/a~1b")),
        ("{}", Some("/q")),
        ("null", Some("/q")),
        ("[]", Some("")),
        ("\"q\"", Some("")),
    ] {
        let result = rules(&open).allows(&from_str(arguments).unwrap());
        assert_eq!(result.err().map(|reason| reason.at).as_deref(), at, "{arguments}");
    }
}

#[test]
fn closed_arguments_hold_only_what_is_named() {
    let closed = json!({"arguments": {"/limit": {}, "/f": {"required": true}, "/f/x": {"maximum": 5}}, "additionalArguments": false});
    for (arguments, at) in [
        (r#"{"f":{}}"#, None),
        (r#"{"f":{"x":5},"limit":{"deep":[1]}}"#, None),
        (r#"{"f":{"x":5,"y":1}}"#, Some("/f/y")),
        (r#"{"f":{},"Limit":1}"#, Some("/Limit")),
        (r#"{"f":{},"limit\u0000":1}"#, Some("/limit\0")),
        (r#"{"f":{},"":1}"#, Some("/")),
        (r#"{"f":{},"f/x":1}"#, Some("/f~1x")),
        (r#"{"f":[]}"#, Some("/f/x")),
    ] {
        let result = rules(&closed).allows(&from_str(arguments).unwrap());
        assert_eq!(result.err().map(|reason| reason.at).as_deref(), at, "{arguments}");
    }
    let nothing = rules(&json!({"additionalArguments": false}));
    assert!(nothing.allows(&json!({})).is_ok() && nothing.allows(&Value::Null).is_ok());
    assert!(nothing.allows(&json!({"a": 1})).is_err());
}

#[test]
fn within_follows_what_is_allowed() {
    let cases = r#"[
        [true,  {"arguments":{"/limit":{"maximum":50}}}, {}],
        [false, {}, {"arguments":{"/limit":{"maximum":50}}}],
        [false, {"arguments":{"/Limit":{"maximum":50}}}, {"arguments":{"/limit":{"maximum":50}}}],
        [true,  {}, {"arguments":{"/limit":{}}}],
        [false, {}, {"arguments":{"/f/x":{}}}],
        [true,  {"arguments":{"/f/y":{}}}, {"arguments":{"/f/x":{}}}],
        [true,  {"arguments":{"/f/y/z":{"maximum":1}}}, {"arguments":{"/f/y":{}}}],
        [true,  {"arguments":{"/f/y":{"required":true}}}, {"arguments":{"/f":{"required":true}}}],
        [false, {"arguments":{"/f/y":{}}}, {"arguments":{"/f":{"required":true}}}],
        [false, {}, {"additionalArguments":false}],
        [true,  {"additionalArguments":false}, {}],
        [true,  {"additionalArguments":false}, {"arguments":{"/a":{"maximum":1},"/f/x":{"maximum":1}}}],
        [false, {"additionalArguments":false}, {"arguments":{"/a":{"required":true}}}],
        [true,  {"arguments":{"/a":{}},"additionalArguments":false}, {"arguments":{"/a":{},"/b":{}},"additionalArguments":false}],
        [false, {"arguments":{"/a":{},"/b":{}},"additionalArguments":false}, {"arguments":{"/a":{}},"additionalArguments":false}],
        [false, {"arguments":{"/a":{}},"additionalArguments":true}, {"arguments":{"/a":{}},"additionalArguments":false}],
        [true,  {"arguments":{"/a/b":{}},"additionalArguments":false}, {"arguments":{"/a":{}},"additionalArguments":false}],
        [false, {"arguments":{"/a":{}},"additionalArguments":false}, {"arguments":{"/a/b":{}},"additionalArguments":false}],
        [false, {"arguments":{"/a":{}},"additionalArguments":false}, {"arguments":{"/a":{},"/a/b":{}},"additionalArguments":false}],
        [true,  {"arguments":{"/a":{"const":{"b":1}}},"additionalArguments":false}, {"arguments":{"/a/b":{"maximum":5}},"additionalArguments":false}],
        [false, {"arguments":{"/a":{"const":{"b":6}}},"additionalArguments":false}, {"arguments":{"/a/b":{"maximum":5}},"additionalArguments":false}],
        [false, {"arguments":{"/a":{"const":{"b":1,"c":1}}},"additionalArguments":false}, {"arguments":{"/a/b":{"maximum":5}},"additionalArguments":false}],
        [false, {"arguments":{"/a":{"const":[1]}},"additionalArguments":false}, {"arguments":{"/a/b":{"maximum":5}},"additionalArguments":false}],
        [false, {"arguments":{"/a":{"const":{"b":1}}}}, {"arguments":{"/a/b":{"required":true}}}],
        [true,  {"arguments":{"/a":{"const":{"b":1},"required":true}}}, {"arguments":{"/a/b":{"required":true}}}],
        [false, {"arguments":{"/a":{"const":{},"required":true}}}, {"arguments":{"/a/b":{"required":true}}}]
    ]"#;
    for case in from_str::<Vec<(bool, Value, Value)>>(cases).unwrap() {
        let (expected, child, parent) = case;
        assert_eq!(rules(&child).within(&rules(&parent)).is_ok(), expected, "{child} within {parent}");
    }
}

#[test]
fn meet_is_what_both_allow() {
    let cases = r#"[
        [{"arguments":{"/a":{"maximum":1}}}, {"arguments":{"/b":{"maximum":2}}}, {"arguments":{"/a":{"maximum":1},"/b":{"maximum":2}}}],
        [{"arguments":{"/a":{"maximum":1}}}, {"arguments":{"/b":{}},"additionalArguments":false}, {"arguments":{"/b":{}},"additionalArguments":false}],
        [{"arguments":{"/a":{"required":true}}}, {"arguments":{"/b":{}},"additionalArguments":false}, null],
        [{"arguments":{"/a":{"const":1}}}, {"arguments":{"/a":{"const":2}}}, null],
        [{"arguments":{"/a":{"const":1}},"additionalArguments":false}, {"arguments":{"/a":{"const":2}}}, {"additionalArguments":false}],
        [{"arguments":{"/a":{"enum":[{"b":1},{"b":9},{"b":1,"c":1},3]}}}, {"arguments":{"/a/b":{"maximum":5,"required":true}},"additionalArguments":false},
         {"arguments":{"/a":{"const":{"b":1},"required":true}},"additionalArguments":false}],
        [{"arguments":{"/a":{"required":true}},"additionalArguments":false}, {"arguments":{"/a/b":{}},"additionalArguments":false},
         {"arguments":{"/a":{"required":true},"/a/b":{}},"additionalArguments":false}],
        [{"arguments":{"/a":{"maximum":1}}}, {"arguments":{"/a/b":{}}}, null]
    ]"#;
    for (a, b, expected) in from_str::<Vec<(Value, Value, Option<Value>)>>(cases).unwrap() {
        let expected = expected.map(|tool| rules(&tool));
        assert_eq!(rules(&a).meet(&rules(&b)), expected, "{a} {b}");
        assert_eq!(rules(&b).meet(&rules(&a)), expected, "{b} {a}");
        if let Some(common) = expected {
            let mut tool = Map::new();
            common.write(&mut tool);
            assert_eq!(rules(&Value::Object(tool)), common);
        }
    }
}
