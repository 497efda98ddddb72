//! Rule 6: nothing widens, by whatever spelling.

use serde_json::{Value, json};

use crate::harness::{BANK, CORP, TICKETS, World, on_both_engines, payment, search, tools};

on_both_engines!(
    refuses_a_wider_scope,
    refuses_details_beyond_the_subject_token,
    refuses_details_that_the_type_does_not_know,
    refuses_details_for_another_place,
    refuses_details_beyond_consent_and_ceiling,
    refuses_an_operators_type_that_widens,
    refuses_a_tool_that_is_switched_off,
    details_stay_the_same_bytes,
);

const DETAILS: &str = "invalid_authorization_details";

async fn refuses_a_wider_scope(world: &mut World) {
    let token = world.alices().await;
    for (scope, rule) in [
        ("tickets.write", "scope_exceeds_subject_token"),
        ("tickets.read tickets.write", "scope_exceeds_subject_token"),
        ("tickets.Read", "scope_unknown_to_resource"),
        ("TICKETS.READ", "scope_unknown_to_resource"),
        ("tickets.read tickets.*", "scope_unknown_to_resource"),
        ("*", "scope_unknown_to_resource"),
        ("openid", "scope_unknown_to_resource"),
        ("api.read", "scope_unknown_to_resource"),
        ("registry:write", "scope_unknown_to_resource"),
        ("tickets.read,tickets.write", "scope_unknown_to_resource"),
    ] {
        world.refuses(&world.onward("triage", &token).add("scope", scope), 400, "invalid_scope", rule).await;
    }
    let wide = world.post(&world.for_person("triage", "alice")).await.ok().token();
    let beyond = world.onward("summarizer", &wide).add("scope", "tickets.write");
    world.refuses(&beyond, 400, "invalid_scope", "scope_exceeds_ceiling").await;
    // Nobody's consent makes more of an agent than its ceiling.
    let own = world.for_itself("summarizer", TICKETS).add("scope", "tickets.write");
    world.refuses(&own, 400, "invalid_scope", "scope_exceeds_ceiling").await;
    // A twin changes nothing.
    let twin = world.onward("triage", &token).add("scope", "tickets.read tickets.read");
    assert_eq!(world.post(&twin).await.ok().json["scope"], "tickets.read");
}

/// One tool with these members.
fn tool(name: &str, arguments: Value) -> Value {
    tools(&json!([{ "name": name, "arguments": arguments }]))
}

async fn refuses_details_beyond_the_subject_token(world: &mut World) {
    let form = world.for_person("triage", "alice").add("authorization_details", search(10));
    let token = world.post(&form).await.ok().token();
    let exceeds = "details_exceed_subject_token";
    let limit = |constraint: Value| tool("search_tickets", json!({ "/limit": constraint }));
    let mut two = search(10);
    two.as_array_mut().unwrap().extend(tools(&json!([{ "name": "get_ticket" }])).as_array().unwrap().clone());
    for (details, rule) in [
        (search(11), exceeds),
        (limit(json!({ "maximum": 10.5 })), exceeds),
        (limit(json!({ "maximum": 1e300 })), exceeds),
        (limit(json!({ "minimum": 0 })), exceeds),
        (limit(json!({ "const": 11 })), exceeds),
        (limit(json!({ "enum": [1, 11] })), exceeds),
        (tool("search_tickets", json!({ "/Limit": { "maximum": 10 } })), exceeds),
        (tool("search_tickets", json!({ "/limit/x": { "maximum": 10 } })), exceeds),
        // An omitted member is an absent bound.
        (tools(&json!([{ "name": "search_tickets" }])), exceeds),
        (tool("search_tickets", json!({})), exceeds),
        (
            json!([{ "type": "mcp_tool_call", "locations": [TICKETS], "tools": [{ "name": "get_ticket" }] }]),
            exceeds,
        ),
        (tool("Search_Tickets", json!({ "/limit": { "maximum": 10 } })), exceeds),
        (tool("search_tickets ", json!({ "/limit": { "maximum": 10 } })), exceeds),
        (tool("ѕearch_tickets", json!({ "/limit": { "maximum": 10 } })), exceeds),
        (tool("search_tickets\u{200b}", json!({ "/limit": { "maximum": 10 } })), exceeds),
        (two, exceeds),
    ] {
        let form = world.onward("triage", &token).add("authorization_details", &details);
        let reply = world.post(&form).await;
        // Some spellings aren't even details of their type; none is granted.
        let found = reply.json["rule"].as_str().unwrap_or_default();
        let rule = if ["details_not_accepted", "details_malformed"].contains(&found) { found } else { rule };
        crate::harness::assert_refused(&reply, 400, DETAILS, rule);
    }
    for details in
        [search(10), search(1), limit(json!({ "const": 3 })), limit(json!({ "maximum": 10, "minimum": 2 }))]
    {
        let form = world.onward("triage", &token).add("authorization_details", &details);
        assert_eq!(world.post(&form).await.ok().json["authorization_details"], details);
    }
    // Scope doesn't come back because details were given, nor the other way round.
    world
        .refuses(
            &world.onward("triage", &token).add("scope", "tickets.read"),
            400,
            "invalid_scope",
            "scope_exceeds_subject_token",
        )
        .await;
    let plain = world.alices().await;
    let form = world.onward("triage", &plain).add("authorization_details", search(1));
    world.refuses(&form, 400, DETAILS, exceeds).await;
}

async fn refuses_details_that_the_type_does_not_know(world: &mut World) {
    let form = world.for_person("triage", "alice");
    for details in [
        json!([{ "type": "unknown" }]),
        json!([{ "type": "MCP_TOOL_CALL", "locations": [TICKETS], "tools": [{ "name": "get_ticket" }] }]),
        payment(1, "EUR"),
        tools(&json!([])),
        tools(&json!("*")),
        tools(&json!([{ "name": "*" }])),
        tools(&json!([{ "name": "get_ticket", "anything": true }])),
        tools(&json!([{ "name": 7 }])),
        tools(&json!([{}])),
        tool("search_tickets", json!({ "/limit": { "maximun": 1 } })),
        tool("search_tickets", json!({ "/limit": { "maximum": "1" } })),
        tool("search_tickets", json!({ "/limit": { "pattern": ".*" } })),
        tool("search_tickets", json!({ "limit": { "maximum": 1 } })),
        json!([{ "type": "mcp_tool_call", "locations": [TICKETS], "tools": [{ "name": "get_ticket" }], "actions": ["*"] }]),
        json!([{ "type": "mcp_tool_call", "tools": [{ "name": "get_ticket" }] }]),
    ] {
        let form = world.again(&form, "triage").add("authorization_details", &details);
        let reply = world.post(&form).await;
        assert_eq!(
            (reply.status, reply.json["error"].as_str()),
            (400, Some(DETAILS)),
            "{details} {}",
            reply.text
        );
    }
}

async fn refuses_details_for_another_place(world: &mut World) {
    let form = world.for_person("triage", "alice");
    for locations in [
        json!(["https://archive.example.com"]),
        json!([TICKETS, "https://archive.example.com"]),
        json!(["https://TICKETS.example.com/mcp"]),
        json!(["https://tickets.example.com/mcp/"]),
        json!(["https://tickets.example.com"]),
        json!(["*"]),
        json!([]),
        json!(TICKETS),
    ] {
        let details =
            json!([{ "type": "mcp_tool_call", "locations": locations, "tools": [{ "name": "get_ticket" }] }]);
        let reply = world.post(&world.again(&form, "triage").add("authorization_details", &details)).await;
        assert_eq!(
            (reply.status, reply.json["error"].as_str()),
            (400, Some(DETAILS)),
            "{details} {}",
            reply.text
        );
    }
}

async fn refuses_details_beyond_consent_and_ceiling(world: &mut World) {
    let form = world.for_person("triage", "alice").add("authorization_details", search(51));
    world.refuses(&form, 400, DETAILS, "details_exceed_consent").await;
    let wide = world
        .post(&world.for_person("triage", "alice").add("authorization_details", search(50)))
        .await
        .ok()
        .token();
    let beyond = world.onward("summarizer", &wide).add("authorization_details", search(21));
    world.refuses(&beyond, 400, DETAILS, "details_exceed_ceiling").await;
    world.post(&world.onward("summarizer", &wide).add("authorization_details", search(20))).await.ok();
    // Nothing in common is nothing, and never an empty token.
    world
        .apply(
            json!({ "consents": [{ "consent": "alice-tickets", "user": { "issuer": CORP, "subject": "alice" },
        "agent": "triage", "resource": TICKETS, "expires_at": world.now() + 1000 }] }),
        )
        .await
        .ok();
    world.refuses(&world.for_person("triage", "alice"), 400, "invalid_scope", "nothing_to_grant").await;
    world
        .refuses(
            &world.for_person("triage", "alice").add("authorization_details", "[]"),
            400,
            "invalid_scope",
            "nothing_to_grant",
        )
        .await;
}

async fn refuses_an_operators_type_that_widens(world: &mut World) {
    let ask = |details: Value| {
        world.for_person("triage", "alice").set("resource", BANK).add("authorization_details", details)
    };
    let token = world.post(&ask(payment(50, "EUR"))).await.ok().token();
    let on = |details: Value| {
        world.onward("triage", &token).set("resource", BANK).add("authorization_details", details)
    };
    let exceeds = "details_exceed_subject_token";
    for details in [payment(51, "EUR"), payment(50, "USD"), payment(50, "eur"), payment(50, "EUR ")] {
        world.refuses(&on(details), 400, DETAILS, exceeds).await;
    }
    for details in [
        json!([{ "type": "payment", "currency": "EUR" }]),
        json!([{ "type": "payment", "currency": "EUR", "amount": "1" }]),
        json!([{ "type": "payment", "currency": "EUR", "amount": -1 }]),
        json!([{ "type": "payment", "currency": "EUR", "amount": 1, "to": "mallory" }]),
        json!([{ "type": "payment", "amount": 1 }]),
        search(1),
    ] {
        world.refuses(&on(details), 400, DETAILS, "details_not_accepted").await;
    }
    world.refuses(&ask(payment(101, "EUR")), 400, DETAILS, "details_exceed_consent").await;
    assert_eq!(
        world.post(&on(payment(49, "EUR"))).await.ok().json["authorization_details"],
        payment(49, "EUR")
    );
}

async fn refuses_a_tool_that_is_switched_off(world: &mut World) {
    let token = world
        .post(&world.for_person("triage", "alice").add("authorization_details", search(10)))
        .await
        .ok()
        .token();
    world.cut("tool", format!("{TICKETS}#search_tickets")).await.ok();
    // The token lives on; only calls of the tool are refused, and no new token has it.
    assert!(world.is_active(&token).await);
    world.refuses(&world.onward("triage", &token), 400, "invalid_scope", "nothing_to_grant").await;
    let form = world.for_person("triage", "alice").add("authorization_details", search(10));
    world.refuses(&form, 400, DETAILS, "tool_disabled").await;
    let other = world
        .for_person("triage", "alice")
        .add("authorization_details", tools(&json!([{ "name": "get_ticket" }])));
    world.post(&other).await.ok();
    world.reinstate("tool", &format!("{TICKETS}#search_tickets")).await.ok();
    world.post(&world.again(&form, "triage")).await.ok();
}

async fn details_stay_the_same_bytes(world: &mut World) {
    let reply =
        world.post(&world.for_person("triage", "alice").add("authorization_details", search(7))).await.ok();
    let shown = world.introspect("tickets-guard", &reply.token()).await;
    let row = world
        .audit("main")
        .await
        .into_iter()
        .rev()
        .find(|row| row.event["jti"] == reply.claims()["jti"])
        .unwrap();
    for text in [
        reply.json["authorization_details"].to_string(),
        reply.claims()["authorization_details"].to_string(),
        shown.json["authorization_details"].to_string(),
        row.event["authorization_details"].to_string(),
    ] {
        assert_eq!(text, reply.json["authorization_details"].to_string());
    }
}
