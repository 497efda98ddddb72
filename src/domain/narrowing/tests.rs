use serde_json::json;

use super::*;

const TICKETS: &str = "https://tickets.example.com/mcp";

fn details(value: Value) -> AuthorizationDetails {
    AuthorizationDetails::from_value(value).unwrap()
}

/// One detail for the ticket server with these tools.
#[expect(clippy::needless_pass_by_value, reason = "reads better with json!")]
fn tools(tools: Value) -> AuthorizationDetails {
    details(json!([{"type": "mcp_tool_call", "locations": [TICKETS], "tools": tools}]))
}

fn payments() -> DetailTypes {
    let payment = OperatorType::from_value(json!({
        "type": "payment",
        "schema": {"type": "object", "required": ["currency"], "properties": {"amount": {"type": "number", "minimum": 0}}},
        "narrowing": {"currency": "equal", "accounts": "subset", "amount": "at_most", "path": "prefix"}
    }));
    DetailTypes::with(vec![payment.unwrap()]).unwrap()
}

fn exceeds(
    types: &DetailTypes,
    child: &AuthorizationDetails,
    parent: &AuthorizationDetails,
) -> Option<(usize, String)> {
    match types.within(child, parent) {
        Ok(()) => None,
        Err(DetailsError::Exceeds { index, reason }) => Some((index, reason.at)),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn check_refuses_unknown_unaccepted_and_malformed_details() {
    let types = payments();
    let accepted = ["mcp_tool_call".to_owned()];
    let good = json!({"type": "mcp_tool_call", "locations": [TICKETS], "tools": [{"name": "a"}]});
    assert_eq!(types.check(&details(json!([good, good])), &accepted), Ok(()));
    assert_eq!(types.check(&details(json!([])), &accepted), Ok(()));
    for (kind, unknown) in
        [("Mcp_tool_call", true), ("mcp_tool_call ", true), ("mcp_tооl_call", true), ("payment", false)]
    {
        let outcome = types.check(&details(json!([good, {"type": kind, "currency": "EUR"}])), &accepted);
        let expected = if unknown {
            DetailsError::UnknownType { index: 1 }
        } else {
            DetailsError::TypeNotAccepted { index: 1 }
        };
        assert_eq!(outcome, Err(expected), "{kind}");
    }
}

#[test]
fn tool_calls_are_read_strictly() {
    let types = DetailTypes::builtin();
    let entry = |locations: Value, tools: Value| json!({"type": "mcp_tool_call", "locations": locations, "tools": tools});
    let a = || json!([{"name": "a"}]);
    for bad in [
        json!({"type": "mcp_tool_call"}),
        json!({"type": "mcp_tool_call", "locations": [TICKETS]}),
        json!({"type": "mcp_tool_call", "tools": [{"name": "a"}]}),
        json!({"type": "mcp_tool_call", "locations": [TICKETS], "tools": [{"name": "a"}], "actions": []}),
        json!({"type": "mcp_tool_call", "locations": [TICKETS], "Tools": [{"name": "a"}]}),
        entry(json!([]), a()),
        entry(json!(TICKETS), a()),
        entry(json!([null]), a()),
        entry(json!([""]), a()),
        entry(json!(["*"]), a()),
        entry(json!(["https://*.example.com/mcp"]), a()),
        entry(json!([TICKETS, TICKETS]), a()),
        entry(json!([TICKETS]), json!([])),
        entry(json!([TICKETS]), json!("a")),
        entry(json!([TICKETS]), json!(["a"])),
        entry(json!([TICKETS]), json!([{}])),
        entry(json!([TICKETS]), json!([{"name": ""}])),
        entry(json!([TICKETS]), json!([{"name": 1}])),
        entry(json!([TICKETS]), json!([{"name": "*"}])),
        entry(json!([TICKETS]), json!([{"name": "search_*"}])),
        entry(json!([TICKETS]), json!([{"name": "a\n"}])),
        entry(json!([TICKETS]), json!([{"name": "a", "args": {}}])),
        entry(json!([TICKETS]), json!([{"name": "a", "arguments": {"/x": {"pattern": ".*"}}}])),
        entry(json!([TICKETS]), Value::Array(vec![json!({"name": "a"}); 17])),
    ] {
        let list = details(json!([bad]));
        let outcome = types.check(&list, &["mcp_tool_call".to_owned()]);
        assert!(matches!(outcome, Err(DetailsError::Malformed { index: 0, .. })), "{list:?}");
        // Malformed details grant nothing, whoever holds them, and aren't within themselves.
        assert!(types.allows_call(&list, TICKETS, "a", &json!({})).is_err());
        assert!(types.tools_for(&list, TICKETS).is_empty());
        assert!(types.within(&list, &list).is_err());
        assert!(types.within(&tools(a()), &list).is_err());
        assert!(types.meet(&list, &list).is_empty());
    }
}

#[test]
fn refuses_every_shape_of_a_wider_child() {
    let types = DetailTypes::builtin();
    let parent = tools(json!([
        {"name": "search_tickets", "arguments": {"/limit": {"maximum": 50}, "/q": {"prefix": "é", "required": true}}},
        {"name": "get", "arguments": {"/id": {}}, "additionalArguments": false}
    ]));
    let search =
        |limit: Value, q: Value| json!([{"name": "search_tickets", "arguments": {"/limit": limit, "/q": q}}]);
    let q = || json!({"prefix": "é", "required": true});
    let wider = [
        (search(json!({"maximum": 51}), q()), "/limit"),
        (search(json!({"maximum": 50.000_001}), q()), "/limit"),
        (search(json!({"maximum": 9_007_199_254_740_993_u64}), q()), "/limit"),
        (search(json!({"enum": [1, 51]}), q()), "/limit"),
        (search(json!({"minimum": -5}), q()), "/limit"),
        (search(json!({}), q()), "/limit"),
        (search(json!({"maximum": 50}), json!({"prefix": "é"})), "/q"),
        (search(json!({"maximum": 50}), json!({"prefix": "e\u{301}", "required": true})), "/q"),
        (search(json!({"maximum": 50}), json!({"prefix": "", "required": true})), "/q"),
        (json!([{"name": "search_tickets", "arguments": {"/Limit": {"maximum": 50}, "/q": q()}}]), "/limit"),
        (json!([{"name": "search_tickets"}]), "/limit"),
        (json!([{"name": "Search_tickets"}]), "Search_tickets"),
        (json!([{"name": "ѕearch_tickets"}]), "ѕearch_tickets"),
        (json!([{"name": "close_ticket"}]), "close_ticket"),
        (json!([{"name": "get", "arguments": {"/id": {}}}]), "/additionalArguments"),
        (json!([{"name": "get", "arguments": {"/id": {}, "/x": {}}, "additionalArguments": false}]), "/x"),
    ];
    for (child, at) in wider {
        let child = tools(child);
        assert_eq!(exceeds(&types, &child, &parent), Some((0, at.to_owned())), "{child:?}");
        // The same beside a detail that is fine: the index tells which.
        let mut both =
            tools(json!([{"name": "get", "arguments": {"/id": {}}, "additionalArguments": false}]))
                .to_value();
        both.as_array_mut().unwrap().push(child.to_value()[0].clone());
        assert_eq!(exceeds(&types, &details(both), &parent), Some((1, at.to_owned())));
    }
    let fine = tools(search(json!({"maximum": 50.0}), json!({"prefix": "éa", "required": true})));
    assert_eq!(types.within(&fine, &parent), Ok(()));
}

#[test]
fn locations_are_compared_byte_for_byte_and_may_be_covered_together() {
    let types = DetailTypes::builtin();
    let detail = |locations: &[&str], tools: &[&str]| {
        let tools: Vec<Value> = tools.iter().map(|name| json!({ "name": name })).collect();
        json!({"type": "mcp_tool_call", "locations": locations, "tools": tools})
    };
    let parent = details(json!([
        detail(&["https://a/mcp"], &["x", "y"]),
        detail(&["https://b/mcp"], &["x"]),
        detail(&["https://b/mcp"], &["z"])
    ]));
    let child = |locations: &[&str], tools: &[&str]| details(json!([detail(locations, tools)]));
    assert_eq!(exceeds(&types, &child(&["https://a/mcp", "https://b/mcp"], &["x"]), &parent), None);
    assert_eq!(exceeds(&types, &child(&["https://b/mcp"], &["x", "z"]), &parent), None);
    assert_eq!(
        exceeds(&types, &child(&["https://a/mcp", "https://b/mcp"], &["x", "y"]), &parent),
        Some((0, "y".into()))
    );
    for other in [
        "https://A/mcp",
        "https://a/mcp/",
        "https://a:443/mcp",
        "https://a/mcp#",
        "https://a/%6dcp",
        "https://a",
    ] {
        assert_eq!(exceeds(&types, &child(&[other], &["x"]), &parent), Some((0, other.into())));
        assert_eq!(types.allows_call(&parent, other, "x", &json!({})), Err(CallRefusal::LocationNotGranted));
    }
}

#[test]
fn a_list_is_a_union_and_an_empty_one_grants_nothing() {
    let types = DetailTypes::builtin();
    let none = AuthorizationDetails::default();
    assert_eq!(types.allows_call(&none, TICKETS, "a", &json!({})), Err(CallRefusal::LocationNotGranted));
    assert!(types.tools_for(&none, TICKETS).is_empty());
    assert_eq!(types.within(&none, &none), Ok(()));
    assert!(exceeds(&types, &tools(json!([{"name": "a"}])), &none).is_some());

    let union = tools(json!([
        {"name": "a", "arguments": {"/n": {"maximum": 1}}}, {"name": "a", "arguments": {"/n": {"minimum": 9}}}, {"name": "b"}
    ]));
    assert_eq!(types.tools_for(&union, TICKETS), BTreeSet::from(["a".to_owned(), "b".to_owned()]));
    for (n, allowed) in [(1, true), (5, false), (9, true)] {
        assert_eq!(types.allows_call(&union, TICKETS, "a", &json!({ "n": n })).is_ok(), allowed);
    }
    assert_eq!(types.allows_call(&union, TICKETS, "c", &json!({})), Err(CallRefusal::ToolNotGranted));
    let refusal = types.allows_call(&union, TICKETS, "a", &json!({"n": 5})).unwrap_err();
    assert!(matches!(&refusal, CallRefusal::ArgumentRefused(reason) if reason.at == "/n"));
    assert!(!refusal.to_string().contains("/n"));
}

#[test]
fn meet_keeps_the_bytes_of_the_narrower_side() {
    let types = DetailTypes::builtin();
    let narrow = AuthorizationDetails::parse(&format!(
        r#"[{{"tools":[{{"arguments":{{"/n":{{"maximum":5.0}}}},"name":"a"}}],"locations":["{TICKETS}"],"type":"mcp_tool_call"}}]"#
    ))
    .unwrap();
    let wide = tools(json!([{"name": "a", "arguments": {"/n": {"maximum": 50}}}, {"name": "b"}]));
    for common in [types.meet(&narrow, &wide), types.meet(&wide, &narrow)] {
        assert_eq!(serde_json::to_string(&common).unwrap(), serde_json::to_string(&narrow).unwrap());
    }
    let other = tools(
        json!([{"name": "b", "arguments": {"/x": {}}}, {"name": "a", "arguments": {"/n": {"minimum": 5}}}, {"name": "c"}]),
    );
    let expected =
        tools(json!([{"name": "a", "arguments": {"/n": {"minimum": 5, "maximum": 50}}}, {"name": "b"}]));
    assert_eq!(types.meet(&wide, &other), expected);
    assert!(types.meet(&wide, &tools(json!([{"name": "c"}]))).is_empty());
    assert!(types.meet(&wide, &AuthorizationDetails::default()).is_empty());
    let twice = details(json!([wide.to_value()[0], narrow.to_value()[0], wide.to_value()[0]]));
    assert_eq!(types.meet(&twice, &twice), wide);
}

#[test]
fn operator_types_are_read_strictly() {
    let make = |kind: &str, schema: Value, narrowing: Value| {
        OperatorType::from_value(json!({"type": kind, "schema": schema, "narrowing": narrowing}))
    };
    assert!(make("a", json!({}), json!({})).is_ok());
    assert!(
        make(
            "a",
            json!({"properties": {"x": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"type": "string"}}}),
            json!({})
        )
        .is_ok()
    );
    assert!(matches!(make("", json!({}), json!({})), Err(OperatorTypeError::Name(_))));
    assert!(matches!(make("mcp_tool_call", json!({}), json!({})), Err(OperatorTypeError::Name(_))));
    assert!(matches!(make("a", json!({}), json!({"type": "subset"})), Err(OperatorTypeError::Rule(_))));
    assert!(matches!(make("a", json!({}), json!({"locations": "prefix"})), Err(OperatorTypeError::Rule(_))));
    for schema in [
        json!({"type": "nonsense"}),
        json!({"$ref": "https://schemas.example.com/a.json"}),
        json!({"$ref": "http://169.254.169.254/latest"}),
        json!({"$ref": "file:///etc/passwd"}),
        json!({"properties": {"x": {"$ref": "other.json"}}}),
        json!({"properties": {"x": {"pattern": "(?=a)b"}}}),
    ] {
        assert!(
            matches!(make("a", schema.clone(), json!({})), Err(OperatorTypeError::Schema(..))),
            "{schema}"
        );
    }
    for value in [
        json!({"type": "a", "schema": {}}),
        json!({"type": "a", "schema": {}, "narrowing": {"x": "at_least"}}),
        json!({"type": "a", "schema": {}, "narrowing": {}, "extra": 1}),
    ] {
        assert!(matches!(OperatorType::from_value(value), Err(OperatorTypeError::Malformed)));
    }
    let twice = vec![make("a", json!({}), json!({})).unwrap(), make("a", json!({}), json!({})).unwrap()];
    assert!(matches!(DetailTypes::with(twice), Err(OperatorTypeError::Name(_))));
}

#[test]
fn operator_types_check_members_and_schema() {
    let types = payments();
    let check = |members: &str| {
        types.check(
            &AuthorizationDetails::parse(&format!("[{{\"type\":\"payment\",{members}}}]")).unwrap(),
            &["payment".to_owned()],
        )
    };
    for good in [
        r#""currency":"EUR""#,
        r#""currency":{"a":[1]},"amount":5,"accounts":["x"],"path":"/a","locations":["https://a"]"#,
    ] {
        assert_eq!(check(good), Ok(()), "{good}");
    }
    for bad in [
        r#""amount":5"#,
        r#""currency":"EUR","amount":-1"#,
        r#""currency":"EUR","amount":"5""#,
        r#""currency":"EUR","accounts":[]"#,
        r#""currency":"EUR","accounts":"x""#,
        r#""currency":"EUR","locations":[]"#,
        r#""currency":"EUR","path":["/a"]"#,
        r#""currency":"EUR","Amount":1"#,
        r#""currency":"EUR","actions":["pay"]"#,
    ] {
        assert!(matches!(check(bad), Err(DetailsError::Malformed { index: 0, .. })), "{bad}");
    }
}

#[test]
fn operator_types_narrow_member_by_member() {
    let types = payments();
    let parent = || json!({"type": "payment", "currency": "EUR", "accounts": ["a", "b", 1], "amount": 100, "path": "/docs/"});
    let child = |member: &str, value: Value| {
        let mut child = parent();
        child[member] = value;
        details(json!([child]))
    };
    let parents = details(json!([{"type": "payment", "currency": "USD"}, parent()]));
    for (member, value) in [
        ("amount", json!(100.0)),
        ("amount", json!(0)),
        ("accounts", json!(["b"])),
        ("accounts", json!([1.0, "a"])),
        ("path", json!("/docs/x")),
        ("currency", json!("EUR")),
    ] {
        assert_eq!(types.within(&child(member, value.clone()), &parents), Ok(()), "{member} {value}");
    }
    for (member, value) in [
        ("amount", json!(100.01)),
        ("amount", json!(9_007_199_254_740_993_u64)),
        ("accounts", json!(["A"])),
        ("accounts", json!(["a", "c"])),
        ("accounts", json!(["1"])),
        ("path", json!("/docs")),
        ("path", json!("/Docs/x")),
        ("path", json!("x/docs/")),
        ("currency", json!("eur")),
        ("currency", json!(["EUR"])),
        ("locations", json!(["https://a"])),
    ] {
        assert_eq!(
            exceeds(&types, &child(member, value.clone()), &parents),
            Some((0, member.to_owned())),
            "{member} {value}"
        );
    }
    let mut omitted = parent();
    omitted.as_object_mut().unwrap().shift_remove("amount");
    assert_eq!(exceeds(&types, &details(json!([omitted])), &parents), Some((0, "amount".to_owned())));
    // A detail of a type nobody granted, and tool calls beside it.
    assert!(exceeds(&types, &details(json!([parent()])), &tools(json!([{"name": "a"}]))).is_some());

    let other = details(
        json!([{"type": "payment", "currency": "EUR", "accounts": ["c", "b"], "amount": 7, "path": "/docs/x"}]),
    );
    let common = details(
        json!([{"type": "payment", "currency": "EUR", "accounts": ["b"], "amount": 7, "path": "/docs/x"}]),
    );
    assert_eq!(types.meet(&parents, &other), common);
    assert!(types.meet(&parents, &details(json!([{"type": "payment", "currency": "GBP"}]))).is_empty());
}
