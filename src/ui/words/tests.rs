use serde_json::{Value, json};

use super::*;
use crate::ui::tests::samples::{details as read, registry};

const TICKETS: &str = "https://tickets.example.com/mcp";

#[expect(clippy::needless_pass_by_value, reason = "reads better where it is called")]
fn tool_call(tools: Value) -> AuthorizationDetails {
    read(json!([{"type": "mcp_tool_call", "locations": [TICKETS], "tools": tools}]))
}

fn tools(groups: &[ToolGroup]) -> Vec<&Tool> {
    groups.iter().flat_map(|group| &group.tools).collect()
}

/// The one argument of the one tool of the one detail, in words.
#[expect(clippy::needless_pass_by_value, reason = "reads better where it is called")]
fn argument(constraint: Value) -> (String, bool) {
    let found = details(
        &tool_call(json!([{"name": "search_tickets", "arguments": {"/limit": constraint}}])),
        &registry(),
    );
    let way = &found[0].groups[0].tools[0].ways[0];
    assert_eq!(way.arguments[0].path, ["limit"]);
    let phrases: Vec<String> = way.arguments[0].phrases.iter().map(Phrase::to_string).collect();
    (phrases.join(", "), way.arguments[0].required)
}

#[test]
fn every_keyword_has_words() {
    for (constraint, words) in [
        (json!({"const": "open"}), r#"exactly "open""#),
        (json!({"const": {"a": [1, null]}}), r#"exactly {"a":[1,null]}"#),
        (json!({"enum": ["open", 7]}), r#"one of "open", 7"#),
        (json!({"enum": [true]}), "exactly true"),
        (json!({"minimum": 1}), "at least 1"),
        (json!({"maximum": 50}), "at most 50"),
        (json!({"minimum": 0.5, "maximum": 50}), "at least 0.5, at most 50"),
        (json!({"minLength": 1}), "at least 1 character"),
        (json!({"maxLength": 20}), "at most 20 characters"),
        (json!({"prefix": "/docs/"}), r#"begins with "/docs/""#),
        (json!({"maxItems": 5}), "at most 5 items"),
        (json!({"maxItems": 1}), "at most 1 item"),
        (json!({}), ""),
    ] {
        assert_eq!(argument(constraint.clone()), (words.to_owned(), false), "{constraint}");
    }
    assert_eq!(argument(json!({"maximum": 5, "required": true})), ("at most 5".to_owned(), true));
    assert_eq!(argument(json!({"required": false})), (String::new(), false));
}

#[test]
fn what_has_no_words_stays_as_it_is_written() {
    for (constraint, words) in [
        (json!({"pattern": "^a"}), r#""pattern": "^a""#),
        (json!({"maximum": "50"}), r#""maximum": "50""#),
        (json!({"prefix": 3}), r#""prefix": 3"#),
        (json!({"enum": "open"}), r#""enum": "open""#),
        (json!({"required": "yes"}), r#""required": "yes""#),
        (json!({"or \"anything\"": 1}), r#""or \"anything\"": 1"#),
    ] {
        assert_eq!(argument(constraint.clone()).0, words, "{constraint}");
    }
    let odd = read(json!([{
        "type": "mcp_tool_call", "locations": TICKETS, "extra": [1],
        "tools": [{"name": "search_tickets"}, "close_ticket"]
    }]));
    let found = &details(&odd, &registry())[0];
    assert!(found.groups.is_empty() && found.places.is_empty());
    let members: Vec<_> =
        found.members.iter().map(|member| (member.name.as_str(), member.values.join(" "))).collect();
    assert_eq!(
        members,
        [
            ("locations", format!("\"{TICKETS}\"")),
            ("tools", r#"[{"name":"search_tickets"},"close_ticket"]"#.to_owned()),
            ("extra", "[1]".to_owned()),
        ]
    );
    let odd = tool_call(json!([{
        "name": "search_tickets", "hint": "x", "additionalArguments": "no", "arguments": {"limit": {"maximum": 5}, "/a": 1}
    }]));
    let found = &details(&odd, &registry())[0].groups[0].tools[0].ways[0];
    let verbatim: Vec<_> =
        found.verbatim.iter().map(|member| format!("{}={}", member.name, member.values[0])).collect();
    assert_eq!(verbatim, ["hint=\"x\"", "additionalArguments=\"no\"", "limit={\"maximum\":5}", "/a=1"]);
    assert!(!found.closed && found.arguments.is_empty());
}

#[test]
fn the_bytes_of_the_token_are_beside_the_words() {
    let list = tool_call(json!([{"name": "search_tickets", "arguments": {"/limit": {"maximum": 50.0}}}]));
    assert_eq!(
        details(&list, &registry())[0].canonical,
        format!(
            r#"{{"locations":["{TICKETS}"],"tools":[{{"arguments":{{"/limit":{{"maximum":50}}}},"name":"search_tickets"}}],"type":"mcp_tool_call"}}"#
        )
    );
}

#[test]
fn arguments_are_named_by_their_way() {
    let list = tool_call(
        json!([{"name": "search_tickets", "arguments": {"/filter/a~1b~01": {}}, "additionalArguments": false}]),
    );
    let found = details(&list, &registry());
    let way = &found[0].groups[0].tools[0].ways[0];
    assert_eq!(way.arguments[0].path, ["filter", "a/b~1"]);
    assert!(way.closed);
}

#[test]
fn the_worst_comes_first_and_the_unknown_is_the_worst() {
    let list = tool_call(json!([
        {"name": "search_tickets"}, {"name": "made_up"}, {"name": "add_label"}, {"name": "close_ticket"}, {"name": "reply_to_customer"}
    ]));
    let found = details(&list, &registry());
    let names: Vec<_> =
        tools(&found[0].groups).iter().map(|tool| (tool.name.as_str(), tool.listed, tool.disabled)).collect();
    assert_eq!(
        names,
        [
            ("made_up", false, false),
            ("close_ticket", true, false),
            ("reply_to_customer", true, true),
            ("add_label", true, false),
            ("search_tickets", true, false),
        ]
    );
    assert_eq!(found[0].groups[0].impact, Impact::ExternalWrite);
    let onward = &tools(&found[0].groups)[2].onward;
    assert_eq!(
        (onward[0].place.name.as_str(), &onward[0].scopes[..]),
        ("Mail", &["mail.send".to_owned()][..])
    );
    let elsewhere = read(json!([{
        "type": "mcp_tool_call", "locations": [TICKETS, "https://elsewhere.example"], "tools": [{"name": "search_tickets"}]
    }]));
    let found = details(&elsewhere, &registry());
    assert_eq!(found[0].groups[0].impact, Impact::ExternalWrite, "not known at one of two places");
    assert!(!found[0].groups[0].tools[0].listed);
}

#[test]
fn a_tool_may_be_called_in_several_ways() {
    let list = tool_call(json!([
        {"name": "close_ticket", "arguments": {"/reason": {"const": "a"}}},
        {"name": "search_tickets"},
        {"name": "close_ticket", "arguments": {"/reason": {"const": "b"}}}
    ]));
    let found = details(&list, &registry());
    assert_eq!(found[0].groups[0].tools.len(), 1);
    assert_eq!(found[0].groups[0].tools[0].ways.len(), 2);
}

#[test]
fn an_operators_type_speaks_by_its_schema() {
    let list = read(json!([{
        "type": "document_access", "folder": "/support/", "actions": ["read", "comment"], "pages": 20,
        "filter": {"language": "en"}, "locations": [TICKETS]
    }]));
    let found = &details(&list, &registry())[0];
    assert_eq!((found.title.as_str(), found.kind.as_str()), ("Open documents", "document_access"));
    let members: Vec<_> =
        found.members.iter().map(|member| (member.label.as_str(), member.values.join(" | "))).collect();
    assert_eq!(
        members,
        [
            ("Folder", "/support/".to_owned()),
            ("What may be done", "read | comment".to_owned()),
            ("Pages of each document", "20".to_owned()),
            ("filter", r#"{"language":"en"}"#.to_owned()),
            ("locations", TICKETS.to_owned()),
        ]
    );
    assert_eq!(found.members[0].description, "With everything that lies below it.");
}

#[test]
fn a_string_does_not_pass_for_another_value() {
    let list = read(
        json!([{"type": "unheard_of", "a": ["1", 1, "null", null, "", " x", "plain", "\"q\""], "b": [], "c": [[1]], "d": {}}]),
    );
    let found = &details(&list, &registry())[0];
    assert_eq!(found.title, "unheard_of");
    assert_eq!(
        found.members[0].values,
        ["\"1\"", "1", "\"null\"", "null", "\"\"", "\" x\"", "plain", r#""\"q\"""#]
    );
    let rest: Vec<_> = found.members[1..].iter().map(|member| member.values.join(" ")).collect();
    assert_eq!(rest, ["[]", "[[1]]", "{}"]);
}

#[test]
fn a_step_up_shows_the_difference() {
    let given = tool_call(
        json!([{"name": "search_tickets", "arguments": {"/limit": {"maximum": 10}}}, {"name": "add_label"}]),
    );
    let asked = tool_call(json!([
        {"name": "search_tickets", "arguments": {"/limit": {"maximum": 50}}},
        {"name": "add_label", "arguments": {"/label": {"const": "x"}}},
        {"name": "close_ticket"}
    ]));
    let found = news(&asked, &given, &registry());
    let new: Vec<_> =
        tools(&found[0].groups).iter().map(|tool| (tool.name.as_str(), tool.so_far.len())).collect();
    assert_eq!(new, [("close_ticket", 0), ("search_tickets", 1)]);
    assert_eq!(tools(&found[0].groups)[1].so_far[0].arguments[0].phrases[0].to_string(), "at most 10");
    let known: Vec<_> = tools(&found[0].known_groups).iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(known, ["add_label"]);
    assert!(news(&given, &given, &registry()).is_empty());
    assert!(news(&given, &AuthorizationDetails::default(), &registry())[0].known_groups.is_empty());
}
