//! Identity assertion grants: a company's identity provider says that a client may have a token for a person. What it
//! doesn't say exactly so buys nothing.

use http::Method;
use serde_json::{Value, json};
use taskpass::protocol::token_type::{CLIENT_CREDENTIALS, ID_JAG_PROFILE, JWT_BEARER_GRANT, TOKEN_EXCHANGE};

use crate::harness::{
    API, ARCHIVE, BANK, CLOSED, CORP, Form, Key, OLD, TICKETS, VAULT, World, assert_refused, b64,
    on_both_engines, payment, search, tools,
};

on_both_engines!(
    a_company_decides_in_the_persons_place,
    only_those_who_accept_it_say_so,
    refuses_claims_that_are_not_exactly_so,
    refuses_other_kinds_of_tokens,
    refuses_signatures_and_issuers_that_are_not_trusted,
    refuses_other_clients,
    refuses_an_assertion_without_or_beside_the_request,
    refuses_other_resources,
    grants_no_scope_that_was_not_said,
    grants_no_details_that_were_not_said,
    refuses_a_replay_on_every_node_and_after_a_restart,
    one_of_many_at_once_wins,
    a_refused_assertion_may_come_again,
    refuses_people_and_providers_that_are_switched_off,
    refuses_what_policy_forbids,
    what_it_bought_can_be_taken_back,
);

const RULE: &str = "invalid_grant";

/// What scopes stand for at the tickets server, a company that may decide, and another one.
async fn prepare(world: &World) {
    let keys = |name: &str| json!([{ "jwks": world.key(name).set() }]);
    let corp = world.key("corp").set();
    let registry = json!({
        "identity_providers": [
            { "id": "corp", "issuer": CORP, "jwks": corp, "audiences": ["desktop"], "id_jag": true },
            { "id": "old", "issuer": OLD, "jwks": corp, "status": "suspended", "id_jag": true },
            { "id": "silent", "issuer": "https://silent.example", "jwks": corp },
            { "id": "second", "issuer": "https://second.example", "jwks": world.key("elsewhere").set(), "id_jag": true },
        ],
        "resources": [{
            "resource": TICKETS, "owner": "o@example.com", "scopes": ["tickets.read", "tickets.write", "plain"],
            "detail_types": ["mcp_tool_call"], "served_by": ["tickets-server"],
            "tools": [{ "name": "search_tickets", "impact": "read" }, { "name": "get_ticket", "impact": "read" },
                { "name": "close_ticket", "impact": "external_write" }],
            "scope_tools": {
                "tickets.read": [{ "name": "search_tickets", "arguments": { "/limit": { "maximum": 50 } } }, { "name": "get_ticket" }],
                "tickets.write": [{ "name": "close_ticket" }],
            },
        }],
        "clients": [
            { "client": "editor", "identities": keys("editor") },
            { "client": "relay-app", "identities": keys("relay"), "resources": [API],
              "redirect_uris": ["https://relay.example/callback"] },
            { "client": "public-app", "redirect_uris": ["http://127.0.0.1/callback"] },
        ],
    });
    world.apply(registry).await.ok();
}

/// The claims of an ID-JAG for Alice, with which the editor may read tickets.
fn said(world: &World) -> Value {
    json!({ "iss": CORP, "sub": "alice", "aud": world.issuer, "client_id": "editor", "jti": world.unique("jag"),
        "iat": world.now(), "exp": world.now() + 300, "resource": TICKETS, "scope": "tickets.read" })
}

fn signed(world: &World, claims: &Value) -> String {
    world.key("corp").sign("oauth-id-jag+jwt", claims)
}

/// A request of the editor with this assertion.
fn with(world: &World, assertion: &str) -> Form {
    world.form("/oauth/token", "editor").add("grant_type", JWT_BEARER_GRANT).add("assertion", assertion)
}

/// A request with what was said, but for one claim; `Null` takes it out.
fn but(world: &World, name: &str, value: Value) -> Form {
    let mut claims = said(world);
    claims[name] = value;
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    with(world, &signed(world, &claims))
}

async fn a_company_decides_in_the_persons_place(world: &mut World) {
    prepare(world).await;
    let mut claims = said(world);
    // What an ID token may say besides is nothing to decide by.
    claims["auth_time"] = json!(world.now() - 90_000);
    claims["amr"] = json!(["pwd"]);
    claims["acr"] = json!("0");
    claims["email"] = json!("admin@example.com");
    claims["sid"] = json!("session-of-alice");
    claims["aud"] = json!([world.issuer]);
    claims["resource"] = json!([TICKETS]);
    let reply = world.post(&with(world, &signed(world, &claims))).await.ok();
    assert_eq!(reply.json["token_type"], "Bearer");
    assert_eq!(reply.json["scope"], "tickets.read");
    assert!(reply.json.get("refresh_token").is_none() && reply.json.get("issued_token_type").is_none());
    let token = reply.claims();
    assert_eq!((&token["sub"], &token["client_id"]), (&json!(world.person("alice")), &json!("editor")));
    assert_eq!((&token["aud"], &token["sid"]), (&json!(TICKETS), &json!(world.session("alice"))));
    assert!(["act", "may_act", "consent", "cnf"].iter().all(|name| token.get(*name).is_none()));
    let limited = json!({ "name": "search_tickets", "arguments": { "/limit": { "maximum": 50 } } });
    assert_eq!(token["authorization_details"], tools(&json!([limited, { "name": "get_ticket" }])));
    assert_eq!(token["authorization_details"], reply.json["authorization_details"]);
    // The task is the client's.
    let task = format!("/tasks/{}", token["task"].as_str().unwrap());
    let task = world.admin(Method::GET, &task, None).await.ok();
    assert_eq!((&task.json["agent"], &task.json["sub"]), (&json!("editor"), &token["sub"]));
    assert!(world.is_active(&reply.token()).await);
    // A tool that reaches out of the system makes the token short.
    let write = world.post(&but(world, "scope", json!("tickets.write"))).await.ok();
    assert_eq!(write.json["expires_in"], 60);
    let row = world.audit("main").await.pop().unwrap().event;
    assert_eq!((&row["granted"], &row["client_id"]), (&json!(true), &json!("editor")));
    assert_eq!(row["sub"], token["sub"]);
}

async fn only_those_who_accept_it_say_so(world: &mut World) {
    let metadata = async || world.get("/.well-known/oauth-authorization-server").await.ok().json;
    let before = metadata().await;
    assert!(before.get("authorization_grant_profiles_supported").is_none());
    assert!(!before["grant_types_supported"].as_array().unwrap().contains(&json!(JWT_BEARER_GRANT)));
    world.refuses(&with(world, &signed(world, &said(world))), 400, RULE, "id_jag_issuer_not_trusted").await;
    prepare(world).await;
    let after = metadata().await;
    assert_eq!(after["authorization_grant_profiles_supported"], json!([ID_JAG_PROFILE]));
    let grants = after["grant_types_supported"].as_array().unwrap();
    assert!(
        [JWT_BEARER_GRANT, TOKEN_EXCHANGE, CLIENT_CREDENTIALS]
            .iter()
            .all(|name| grants.contains(&json!(name)))
    );
    // §8.4: whose assertions are accepted is nobody's business.
    assert!(!after.to_string().contains("idp.example.com"));
}

async fn refuses_claims_that_are_not_exactly_so(world: &mut World) {
    prepare(world).await;
    let (now, issuer) = (world.now(), world.issuer.clone());
    for (name, value, rule) in [
        ("aud", json!(format!("{issuer}/oauth/token")), "id_jag_audience_wrong"),
        ("aud", json!(format!("{issuer}/")), "id_jag_audience_wrong"),
        ("aud", json!([issuer, "https://other.example"]), "id_jag_audience_wrong"),
        ("aud", json!([issuer, issuer]), "id_jag_audience_wrong"),
        ("aud", json!([]), "id_jag_audience_wrong"),
        ("aud", json!(world.acme.issuer), "id_jag_audience_wrong"),
        ("aud", json!(TICKETS), "id_jag_audience_wrong"),
        ("aud", json!("editor"), "id_jag_audience_wrong"),
        ("aud", json!({ "x": 1 }), "id_jag_malformed"),
        ("exp", json!(now), "id_jag_expired"),
        ("exp", json!(now - 1000), "id_jag_expired"),
        ("exp", json!(now + 3601), "id_jag_lives_too_long"),
        ("exp", json!(i64::MAX), "id_jag_lives_too_long"),
        ("exp", json!((now + 300).to_string()), "id_jag_malformed"),
        ("iat", json!(now + 31), "id_jag_not_yet_valid"),
        ("iat", json!(now - 7200), "id_jag_lives_too_long"),
        ("iat", json!(now.to_string()), "id_jag_malformed"),
        ("nbf", json!(now + 31), "id_jag_not_yet_valid"),
        ("jti", json!(""), "id_jag_malformed"),
        ("jti", json!("a".repeat(257)), "id_jag_malformed"),
        ("jti", json!(7), "id_jag_malformed"),
        ("sub", json!(""), "id_jag_malformed"),
        ("sub", json!("a\u{0}b"), "id_jag_malformed"),
        ("sub", json!("a".repeat(256)), "id_jag_malformed"),
        ("sub", json!(["alice"]), "id_jag_malformed"),
        ("act", json!({ "sub": "triage" }), "id_jag_already_delegated"),
        ("act", json!({}), "id_jag_already_delegated"),
        ("may_act", json!({ "sub": "triage" }), "id_jag_already_delegated"),
        (
            "cnf",
            json!({ "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" }),
            "id_jag_bound_without_proof",
        ),
        ("cnf", json!({}), "id_jag_bound_without_proof"),
        ("tenant", json!("acme"), "id_jag_of_a_tenant"),
        ("scope", json!(["tickets.read"]), "id_jag_malformed"),
        ("scope", json!("tickets.read  plain"), "id_jag_malformed"),
    ] {
        world.refuses(&but(world, name, value), 400, RULE, rule).await;
    }
    for missing in ["sub", "aud", "client_id", "jti", "exp", "iat"] {
        world.refuses(&but(world, missing, Value::Null), 400, RULE, "id_jag_malformed").await;
    }
    // `null` is not the same as nothing.
    for (name, rule) in [("act", "id_jag_already_delegated"), ("cnf", "id_jag_bound_without_proof")] {
        let mut claims = said(world);
        claims[name] = Value::Null;
        world.refuses(&with(world, &signed(world, &claims)), 400, RULE, rule).await;
    }
    // Accepted on purpose: a clock that is a little ahead.
    for (name, value) in [("iat", now + 30), ("nbf", now + 30), ("exp", now + 3600), ("exp", now + 1)] {
        world.post(&but(world, name, json!(value))).await.ok();
    }
}

async fn refuses_other_kinds_of_tokens(world: &mut World) {
    prepare(world).await;
    let key = world.key("corp");
    for typ in ["JWT", "at+jwt", "id-jag+jwt", "oauth-id-jag", "client-authentication+jwt", "logout+jwt", ""]
    {
        let form = with(world, &key.sign(typ, &said(world)));
        world.refuses(&form, 400, RULE, "id_jag_of_wrong_type").await;
    }
    let untyped = key.sign_with(&json!({ "alg": "ES256", "kid": key.kid }), &said(world));
    let token = world.alices().await;
    for other in [untyped, world.id_token("alice", "editor"), world.assertion("editor"), token] {
        world.refuses(&with(world, &other), 400, RULE, "id_jag_of_wrong_type").await;
    }
    // RFC 7515 §4.1.9, accepted on purpose: media types ignore case, and `application/` may stand before.
    world.post(&with(world, &key.sign("application/OAuth-ID-JAG+JWT", &said(world)))).await.ok();
    // An ID-JAG proves nothing elsewhere: neither a person's sign-in nor a client.
    let assertion = signed(world, &said(world));
    let exchange = world.exchange("triage", &assertion, taskpass::protocol::token_type::TokenType::Jwt);
    assert_eq!(world.post(&exchange).await.status, 400);
    let form = with(world, &signed(world, &said(world))).set("client_assertion", assertion);
    assert_refused(&world.post(&form).await, 401, "invalid_client", "client_assertion_typ_wrong");
}

async fn refuses_signatures_and_issuers_that_are_not_trusted(world: &mut World) {
    prepare(world).await;
    let key = world.key("corp");
    let (claims, wrong) = (|| said(world), "id_jag_signature_wrong");
    for (name, value, rule) in [
        ("alg", json!("none"), "id_jag_malformed"),
        ("alg", json!("HS256"), "id_jag_malformed"),
        ("crit", json!(["exp"]), "id_jag_malformed"),
        ("jwk", key.public.clone(), "id_jag_malformed"),
        ("jku", json!("https://evil.example"), "id_jag_malformed"),
        ("alg", json!("RS256"), wrong),
        ("kid", json!("another"), wrong),
    ] {
        let mut header = key.header("oauth-id-jag+jwt");
        header[name] = value;
        world.refuses(&with(world, &key.sign_with(&header, &claims())), 400, RULE, rule).await;
    }
    let good = signed(world, &claims());
    let (text, signature) = good.rsplit_once('.').unwrap();
    let twin = format!(r#"{{"sub":"bert",{}"#, &claims().to_string()[1..]);
    let header = key.header("oauth-id-jag+jwt");
    for (assertion, rule) in [
        ("x".to_owned(), "id_jag_malformed"),
        (text.to_owned(), "id_jag_malformed"),
        (format!("{good}="), "id_jag_malformed"),
        (format!("{good}.{signature}"), "id_jag_malformed"),
        (key.sign_text(&header.to_string(), &twin), "id_jag_malformed"),
        (key.hmac("oauth-id-jag+jwt", &claims()), "id_jag_malformed"),
        (format!("{text}."), wrong),
        (format!("{text}.{}", b64([0; 64])), wrong),
        (Key::generate().sign_with(&header, &claims()), wrong),
        // Another provider that is trusted as well, and the tenant of another name.
        (world.key("elsewhere").sign("oauth-id-jag+jwt", &claims()), wrong),
        (world.acme.key("corp").sign("oauth-id-jag+jwt", &claims()), wrong),
    ] {
        world.refuses(&with(world, &assertion), 400, RULE, rule).await;
    }
    for issuer in
        [OLD, "https://silent.example", "https://idp.example.com/", "https://evil.example", "editor", ""]
    {
        let form = but(world, "iss", json!(issuer));
        world.refuses(&form, 400, RULE, "id_jag_issuer_not_trusted").await;
    }
    let own = world.issuer.clone();
    world.refuses(&but(world, "iss", json!(own)), 400, RULE, "id_jag_issuer_not_trusted").await;
    world.refuses(&but(world, "iss", Value::Null), 400, RULE, "id_jag_malformed").await;
    // The same subject at another provider is another person.
    let mut claims = said(world);
    claims["iss"] = json!("https://second.example");
    let other = world.key("elsewhere").sign("oauth-id-jag+jwt", &claims);
    let other = world.post(&with(world, &other)).await.ok().claims();
    assert_ne!(other["sub"], json!(world.person("alice")));
}

async fn refuses_other_clients(world: &mut World) {
    prepare(world).await;
    for client in ["Editor", "editor ", "", "relay-app", "triage", "spiffe://demo.example/agent/triage"] {
        world.refuses(&but(world, "client_id", json!(client)), 400, RULE, "id_jag_of_other_client").await;
    }
    for client in [json!(["editor"]), json!(7)] {
        world.refuses(&but(world, "client_id", client), 400, RULE, "id_jag_malformed").await;
    }
    let assertion = || signed(world, &said(world));
    let bare = |assertion: String| {
        world.bare("/oauth/token").add("grant_type", JWT_BEARER_GRANT).add("assertion", assertion)
    };
    let missing = "client_authentication_missing";
    world.refuses(&bare(assertion()), 401, "invalid_client", missing).await;
    // A name is no proof, and a client that has none may not ask in this way at all.
    world
        .refuses(
            &bare(assertion()).add("client_id", "editor"),
            401,
            "invalid_client",
            "authorization_client_unknown",
        )
        .await;
    let mut claims = said(world);
    claims["client_id"] = json!("public-app");
    let public = bare(signed(world, &claims)).add("client_id", "public-app");
    world.refuses(&public, 400, "unauthorized_client", "id_jag_from_public_client").await;
    let basic = with(world, &assertion()).header("authorization", "Basic ZWRpdG9yOng=");
    world.refuses(&basic, 401, "invalid_client", "client_authentication_ambiguous").await;
    // Agents exchange, enforcers introspect, administrators administer, whatever the provider says.
    for other in ["triage", "tickets-guard"] {
        let mut claims = said(world);
        claims["client_id"] = json!(other);
        let form = world.form("/oauth/token", other).add("grant_type", JWT_BEARER_GRANT);
        let form = form.add("assertion", signed(world, &claims));
        world.refuses(&form, 400, "unauthorized_client", "grant_not_for_this_client").await;
    }
    let mut claims = said(world);
    claims["client_id"] = json!("admin");
    let form = world.form("/oauth/token", "admin").add("grant_type", JWT_BEARER_GRANT);
    let form = form.add("assertion", signed(world, &claims));
    world.refuses(&form, 401, "invalid_client", "authorization_client_unknown").await;
}

async fn refuses_an_assertion_without_or_beside_the_request(world: &mut World) {
    prepare(world).await;
    let assertion = signed(world, &said(world));
    let form = || with(world, &assertion);
    let bad = "invalid_request";
    world.refuses(&form().without("assertion"), 400, bad, "assertion_missing").await;
    world.refuses(&form().set("assertion", ""), 400, bad, "assertion_missing").await;
    world.refuses(&form().add("assertion", &assertion), 400, bad, "parameter_repeated").await;
    world
        .refuses(&form().add("scope", "tickets.read").add("scope", "plain"), 400, bad, "parameter_repeated")
        .await;
    world.refuses(&form().add("scope", "\u{e9}"), 400, "invalid_scope", "scope_malformed").await;
    let details = form().add("authorization_details", "{");
    world.refuses(&details, 400, "invalid_authorization_details", "details_malformed").await;
    let lifetime = form().add("task_lifetime", 10_000_000);
    world.refuses(&lifetime, 400, bad, "task_lifetime_not_allowed").await;
    // Nothing of that has used it up.
    world.post(&form()).await.ok();
}

async fn refuses_other_resources(world: &mut World) {
    prepare(world).await;
    for (value, rule) in [
        (Value::Null, "id_jag_resource_missing"),
        (json!([]), "id_jag_resource_missing"),
        (json!(7), "id_jag_malformed"),
        (json!("https://unknown.example/mcp"), "id_jag_resource_unknown"),
        (json!("https://TICKETS.example.com/mcp"), "id_jag_resource_unknown"),
        (json!(format!("{TICKETS}/")), "id_jag_resource_unknown"),
        (json!("tickets"), "id_jag_resource_unknown"),
        (json!(""), "id_jag_resource_unknown"),
        (json!([TICKETS, API]), "id_jag_resource_not_single"),
        (json!([TICKETS, TICKETS]), "id_jag_resource_not_single"),
        (json!([TICKETS, "https://unknown.example"]), "id_jag_resource_not_single"),
        // Another resource of ours that doesn't know the scope.
        (json!(API), "id_jag_scope_unknown_to_resource"),
    ] {
        world.refuses(&but(world, "resource", value), 400, RULE, rule).await;
    }
    let at = |resource: &str, scope: &str| {
        let mut claims = said(world);
        claims["resource"] = json!(resource);
        claims["scope"] = json!(scope);
        claims
    };
    let target = "invalid_target";
    let closed = with(world, &signed(world, &at(CLOSED, "closed.read")));
    world.refuses(&closed, 400, target, "target_disabled").await;
    let vault = with(world, &signed(world, &at(VAULT, "vault.read")));
    world.refuses(&vault, 400, "invalid_dpop_proof", "sender_constraint_required").await;
    // What the request names is the same one, or nothing is granted.
    for resource in [API, "https://unknown.example", "tickets"] {
        let form = but(world, "scope", json!("tickets.read")).add("resource", resource);
        world.refuses(&form, 400, target, "target_not_of_id_jag").await;
        let both =
            but(world, "scope", json!("tickets.read")).add("resource", TICKETS).add("audience", resource);
        world.refuses(&both, 400, target, "target_not_of_id_jag").await;
    }
    world.post(&but(world, "scope", json!("tickets.read")).add("resource", TICKETS)).await.ok();
    // A client that is registered for others.
    let mut claims = at(TICKETS, "tickets.read");
    claims["client_id"] = json!("relay-app");
    let relay = |claims: &Value| {
        let key = world.key("relay");
        let asserted = key.sign("client-authentication+jwt", &world.assertion_claims("relay-app"));
        with(world, &signed(world, claims)).set("client_assertion", asserted)
    };
    world.refuses(&relay(&claims), 400, target, "client_not_for_resource").await;
    let mut claims = at(API, "api.read");
    claims["client_id"] = json!("relay-app");
    assert_eq!(world.post(&relay(&claims)).await.ok().claims()["aud"], API);
    // An opaque token, for who wants those.
    let archive = world.post(&with(world, &signed(world, &at(ARCHIVE, "archive.read")))).await.ok();
    assert!(archive.token().starts_with("tpo_"));
}

async fn grants_no_scope_that_was_not_said(world: &mut World) {
    prepare(world).await;
    let said_scope = |scope: &str| but(world, "scope", json!(scope));
    for scope in ["tickets.admin", "Tickets.read", "tickets.read tickets.admin", "api.read"] {
        world.refuses(&said_scope(scope), 400, RULE, "id_jag_scope_unknown_to_resource").await;
    }
    // MCP §7.2.1: the intersection, and the assertion's must lie within the request's.
    for (said, asked, granted) in [
        ("tickets.read", "tickets.read", "tickets.read"),
        ("tickets.read", "tickets.read tickets.write", "tickets.read"),
        ("tickets.read plain", "plain tickets.read tickets.write", "plain tickets.read"),
    ] {
        let reply = world.post(&said_scope(said).add("scope", asked)).await.ok();
        assert_eq!((&reply.json["scope"], &reply.claims()["scope"]), (&json!(granted), &json!(granted)));
        assert!(!reply.json["authorization_details"].to_string().contains("close_ticket"));
    }
    for (said, asked) in [("tickets.read tickets.write", "tickets.read"), ("tickets.read", "plain")] {
        world.refuses(&said_scope(said).add("scope", asked), 400, RULE, "id_jag_exceeds_request").await;
    }
    let unknown = said_scope("tickets.read").add("scope", "tickets.read tickets.admin");
    world.refuses(&unknown, 400, "invalid_scope", "scope_unknown_to_resource").await;
    // Nothing said is nothing granted, however much is asked for.
    for form in
        [but(world, "scope", Value::Null), but(world, "scope", Value::Null).add("scope", "tickets.read")]
    {
        world.refuses(&form, 400, "invalid_scope", "nothing_to_grant").await;
    }
    // A scope that stands for no tool opens none.
    let plain = world.post(&said_scope("plain")).await.ok();
    assert!(plain.json.get("authorization_details").is_none());
}

async fn grants_no_details_that_were_not_said(world: &mut World) {
    prepare(world).await;
    let details = |value: Value| but(world, "authorization_details", value);
    let beyond =
        |details: &Value| but(world, "jti", json!(world.unique("jag"))).add("authorization_details", details);
    // The scope's tools and the details', together.
    let both = world.post(&details(tools(&json!([{ "name": "close_ticket" }])))).await.ok();
    let text = both.json["authorization_details"].to_string();
    assert!(text.contains("close_ticket") && text.contains("get_ticket") && text.contains("\"maximum\":50"));
    assert_eq!(both.json["expires_in"], 60);
    // Details alone.
    let mut claims = said(world);
    claims.as_object_mut().unwrap().remove("scope");
    claims["authorization_details"] = search(5);
    let alone = world.post(&with(world, &signed(world, &claims))).await.ok();
    assert_eq!(alone.json["authorization_details"], search(5));
    assert!(alone.json.get("scope").is_none());
    for value in [
        json!("x"),
        json!({}),
        json!([1]),
        json!([{ "type": "unknown" }]),
        json!([{ "type": "mcp_tool_call", "tools": [{ "name": "get_ticket" }] }]),
        json!([{ "type": "mcp_tool_call", "locations": [API], "tools": [{ "name": "get_ticket" }] }]),
        json!([{ "type": "mcp_tool_call", "locations": [TICKETS], "tools": [{ "name": "*" }] }]),
        json!([{ "type": "mcp_tool_call", "locations": [TICKETS], "tools": [{ "name": "get_ticket" }], "x": 1 }]),
        payment(1, "EUR"),
    ] {
        world.refuses(&details(value), 400, RULE, "id_jag_details_not_accepted").await;
    }
    // The request narrows, and never widens.
    let narrowed = world.post(&beyond(&search(10))).await.ok();
    assert_eq!(narrowed.json["authorization_details"], search(10));
    for wider in [
        search(51),
        tools(&json!([{ "name": "search_tickets" }])),
        tools(&json!([{ "name": "close_ticket" }])),
        tools(&json!([{ "name": "Get_ticket" }])),
    ] {
        world.refuses(&beyond(&wider), 400, "invalid_authorization_details", "details_exceed_id_jag").await;
    }
    let elsewhere =
        json!([{ "type": "mcp_tool_call", "locations": [API], "tools": [{ "name": "get_ticket" }] }]);
    world
        .refuses(&beyond(&elsewhere), 400, "invalid_authorization_details", "details_for_other_resource")
        .await;
    world
        .refuses(&beyond(&payment(1, "EUR")), 400, "invalid_authorization_details", "details_not_accepted")
        .await;
    // A tool that is switched off drops out of its scope, and is refused where it is named.
    world.cut("tool", format!("{TICKETS}#get_ticket")).await.ok();
    let rest = world.post(&but(world, "scope", json!("tickets.read"))).await.ok();
    assert!(!rest.json["authorization_details"].to_string().contains("get_ticket"));
    let named = details(tools(&json!([{ "name": "get_ticket" }])));
    world.refuses(&named, 400, "invalid_authorization_details", "tool_disabled").await;
    // Elsewhere a company says how much may be paid.
    let mut claims = said(world);
    claims.as_object_mut().unwrap().remove("scope");
    claims["resource"] = json!(BANK);
    claims["authorization_details"] = payment(100, "EUR");
    let paid = with(world, &signed(world, &claims)).add("authorization_details", payment(40, "EUR"));
    assert_eq!(world.post(&paid).await.ok().json["authorization_details"], payment(40, "EUR"));
    claims["jti"] = json!(world.unique("jag"));
    let more = with(world, &signed(world, &claims)).add("authorization_details", payment(101, "EUR"));
    world.refuses(&more, 400, "invalid_authorization_details", "details_exceed_id_jag").await;
}

async fn refuses_a_replay_on_every_node_and_after_a_restart(world: &mut World) {
    prepare(world).await;
    let claims = said(world);
    let assertion = signed(world, &claims);
    world.post(&with(world, &assertion)).await.ok();
    world.refuses(&with(world, &assertion), 400, RULE, "id_jag_replayed").await;
    // Another signature over the same id is the same one.
    let mut other = claims.clone();
    other["scope"] = json!("tickets.write");
    other["exp"] = json!(world.now() + 900);
    world.refuses(&with(world, &signed(world, &other)), 400, RULE, "id_jag_replayed").await;
    let (node, url) = world.second_node().await;
    let reply = world.post_to(&url, &with(world, &assertion)).await;
    assert_refused(&reply, 400, RULE, "id_jag_replayed");
    let fresh = with(world, &signed(world, &said(world)));
    world.post_to(&url, &fresh).await.ok();
    let again = world.again(&fresh, "editor");
    assert_refused(&world.post(&again).await, 400, RULE, "id_jag_replayed");
    node.stop().await;
    world.restart().await;
    world.refuses(&with(world, &assertion), 400, RULE, "id_jag_replayed").await;
    // As long as it lives, and a moment more: then it has expired.
    world.advance(299).await;
    world.refuses(&with(world, &assertion), 400, RULE, "id_jag_replayed").await;
    world.advance(1).await;
    world.refuses(&with(world, &assertion), 400, RULE, "id_jag_expired").await;
    // The same id of another provider, or of another kind, is another one.
    let mut second = said(world);
    second["iss"] = json!("https://second.example");
    second["jti"] = claims["jti"].clone();
    let second = world.key("elsewhere").sign("oauth-id-jag+jwt", &second);
    let mut asserted = world.assertion_claims("editor");
    asserted["jti"] = claims["jti"].clone();
    let form = with(world, &second).set("client_assertion", world.assert("editor", &asserted));
    world.post(&form).await.ok();
}

async fn one_of_many_at_once_wins(world: &mut World) {
    prepare(world).await;
    let assertion = signed(world, &said(world));
    let before = world.token_records().await;
    let forms = (0..16).map(|_| with(world, &assertion)).collect();
    let replies = world.post_all(forms).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 1);
    for reply in replies.iter().filter(|reply| reply.status != 200) {
        assert_refused(reply, 400, RULE, "id_jag_replayed");
    }
    assert_eq!(world.token_records().await, before + 1);
}

async fn a_refused_assertion_may_come_again(world: &mut World) {
    prepare(world).await;
    let assertion = signed(world, &said(world));
    let refused = with(world, &assertion).add("resource", API);
    world.refuses(&refused, 400, "invalid_target", "target_not_of_id_jag").await;
    world.post(&with(world, &assertion)).await.ok();
}

async fn refuses_people_and_providers_that_are_switched_off(world: &mut World) {
    prepare(world).await;
    world.cut("user", world.person("alice")).await.ok();
    world.refuses(&but(world, "scope", json!("tickets.read")), 400, RULE, "session_ended").await;
    world.post(&but(world, "sub", json!("bert"))).await.ok();
    let mut claims = said(world);
    claims["sub"] = json!("bert");
    claims["sid"] = json!("session-of-bert");
    world.cut("session", world.session("bert")).await.ok();
    world.refuses(&with(world, &signed(world, &claims)), 400, RULE, "session_ended").await;
    world.cut("client", "editor").await.ok();
    let form = but(world, "sub", json!("bert"));
    world.refuses(&form, 401, "invalid_client", "client_suspended").await;
    world.reinstate("client", "editor").await.ok();
    let off = json!({ "identity_providers": [{ "id": "corp", "issuer": CORP, "jwks": world.key("corp").set(),
        "id_jag": true, "status": "suspended" }] });
    world.apply(off).await.ok();
    let form = but(world, "sub", json!("bert"));
    world.refuses(&form, 400, RULE, "id_jag_issuer_not_trusted").await;
    let deaf =
        json!({ "identity_providers": [{ "id": "corp", "issuer": CORP, "jwks": world.key("corp").set() }] });
    world.apply(deaf).await.ok();
    let form = but(world, "sub", json!("bert"));
    world.refuses(&form, 400, RULE, "id_jag_issuer_not_trusted").await;
}

async fn refuses_what_policy_forbids(world: &mut World) {
    prepare(world).await;
    let policies = r#"permit(principal, action, resource);
        forbid(principal is Client, action, resource) when { context.impacts.contains("external_write") };"#;
    world.apply(json!({ "policies": policies })).await.ok();
    world.refuses(&but(world, "scope", json!("tickets.write")), 403, "access_denied", "policy_denied").await;
    world.post(&but(world, "scope", json!("tickets.read"))).await.ok();
}

async fn what_it_bought_can_be_taken_back(world: &mut World) {
    prepare(world).await;
    for kind in ["client", "user", "session", "task", "token"] {
        let mut claims = said(world);
        claims["sub"] = json!(format!("person-{kind}"));
        claims["sid"] = json!(format!("session-{kind}"));
        let token = world.post(&with(world, &signed(world, &claims))).await.ok();
        assert!(world.is_active(&token.token()).await);
        let said = token.claims();
        let id = match kind {
            "client" => said["client_id"].clone(),
            "user" => said["sub"].clone(),
            "session" => said["sid"].clone(),
            "task" => said["task"].clone(),
            _ => said["jti"].clone(),
        };
        world.cut(kind, id).await.ok();
        assert!(!world.is_active(&token.token()).await, "{kind}");
        if kind == "client" {
            world.reinstate("client", "editor").await.ok();
        }
    }
}
