//! A client that can name scopes only comes back for what a call needs, and gets that and nothing else.

use serde_json::{Value, json};
use taskpass::protocol::token_type::JWT_BEARER_GRANT;

use super::place::{Place, assert_rpc, call, guarded, request, searcher, until};
use crate::harness::{CORP, Reply, TICKETS, World, assert_refused};

/// What scopes stand for at the tickets server, and a company that decides in the persons' place; then the guard again,
/// which has heard of it.
async fn prepare(world: &World, place: &mut Place) {
    let resource = json!({ "resource": TICKETS, "scopes": ["base", "tickets.read", "tickets.bulk", "tickets.write"],
        "default_scopes": ["base", "tickets.read"], "detail_types": ["mcp_tool_call"],
        "tools": [{ "name": "search_tickets", "impact": "read" }, { "name": "get_ticket", "impact": "read" },
            { "name": "close_ticket", "impact": "external_write" }],
        "scope_tools": {
            "tickets.read": [{ "name": "search_tickets", "arguments": { "/limit": { "maximum": 50 } } }, { "name": "get_ticket" }],
            "tickets.bulk": [{ "name": "search_tickets" }],
            "tickets.write": [{ "name": "close_ticket" }],
        } });
    let corp = json!({ "id": "corp", "issuer": CORP, "jwks": world.key("corp").set(), "id_jag": true });
    let editor = json!({ "client": "editor", "identities": [{ "jwks": world.key("editor").set() }] });
    let registry = json!({ "resources": [resource], "identity_providers": [corp], "clients": [editor] });
    world.apply(registry).await.ok();
    place.stop_guard().await;
    place.resume(world).await;
    until("the guard has heard what clients should ask for", async || {
        metadata(place).await["scopes_supported"].is_array()
    })
    .await;
}

async fn metadata(place: &Place) -> Value {
    let url = place.at("/.well-known/oauth-protected-resource/mcp");
    Reply::read(place.http.get(url).send().await.unwrap()).await.ok().json
}

/// The client's token for these scopes.
async fn token(world: &World, scope: &str) -> String {
    let claims = json!({ "iss": CORP, "sub": "alice", "aud": world.issuer, "client_id": "editor",
        "jti": world.unique("jag"), "iat": world.now(), "exp": world.now() + 300, "resource": TICKETS, "scope": scope });
    let assertion = world.key("corp").sign("oauth-id-jag+jwt", &claims);
    let form = world.form("/oauth/token", "editor").add("grant_type", JWT_BEARER_GRANT);
    world.post(&form.add("assertion", assertion)).await.ok().token()
}

/// A member of a challenge.
fn member(reply: &Reply, name: &str) -> String {
    let challenge = reply.header("www-authenticate");
    let (_, rest) =
        challenge.split_once(&format!("{name}=\"")).unwrap_or_else(|| panic!("{name}: {challenge}"));
    rest.split('"').next().unwrap().to_owned()
}

/// What the client had, and what the challenge names: as the SDKs do it.
fn union(held: &str, reply: &Reply) -> String {
    let challenged = member(reply, "scope");
    let mut all: Vec<_> = held.split(' ').chain(challenged.split(' ')).collect();
    all.sort_unstable();
    all.dedup();
    all.join(" ")
}

#[test]
fn a_client_that_knows_nothing_is_told_what_to_ask_for() {
    guarded(
        |args| args.scopes = vec!["base".to_owned()],
        async |world, place| {
            assert_eq!(
                metadata(place).await["scopes_supported"],
                json!(["base"]),
                "before the registry says more"
            );
            prepare(world, place).await;
            assert_eq!(metadata(place).await["scopes_supported"], json!(["base", "tickets.read"]));
            let reply = place.post("", &request("tools/list", json!({}))).await;
            assert_eq!((reply.status, member(&reply, "scope").as_str()), (401, "base tickets.read"));
            assert!(!reply.header("www-authenticate").contains("error="));
            // A token that lacks what every request needs is told just that.
            let reply =
                place.post(&token(world, "tickets.read").await, &request("tools/list", json!({}))).await;
            assert_eq!((reply.status, member(&reply, "scope").as_str()), (403, "base"));
        },
    );
}

#[test]
fn a_scope_opens_its_tools_and_a_refused_call_names_the_scope() {
    guarded(
        |args| args.step_up = true,
        async |world, place| {
            prepare(world, place).await;
            let held = "tickets.read";
            let reader = token(world, held).await;
            assert_eq!(place.modern(&reader, &call("get_ticket", json!({}))).await.status, 200);
            assert_eq!(
                place.modern(&reader, &call("search_tickets", json!({ "limit": 50 }))).await.status,
                200
            );
            let list = place.post(&reader, &request("tools/list", json!({}))).await;
            // What can be had is shown: a client calls nothing that it doesn't see. What no scope stands for is hidden.
            assert!(list.text.contains("close_ticket") && !list.text.contains("drop_table"), "{}", list.text);

            // Another tool: one more scope, and the details beside it.
            let refused = place.modern(&reader, &call("close_ticket", json!({ "id": 1 }))).await;
            assert_rpc(&refused, 403, -32_003, "tool_not_granted");
            assert_eq!(member(&refused, "error"), "insufficient_scope");
            assert_eq!(
                member(&refused, "scope"),
                "tickets.write",
                "what this call needs, not what the client holds"
            );
            let challenge = &refused.json["error"]["data"]["challenge"];
            assert_eq!(challenge["scope"], "tickets.write");
            assert_eq!(challenge["authorization_details"][0]["tools"], json!([{ "name": "close_ticket" }]));
            let wider = token(world, &union(held, &refused)).await;
            assert_eq!(place.modern(&wider, &call("close_ticket", json!({ "id": 1 }))).await.status, 200);
            assert_eq!(place.modern(&wider, &call("get_ticket", json!({}))).await.status, 200);

            // The same tool beyond its limit: the scope that has none.
            let refused = place.modern(&reader, &call("search_tickets", json!({ "limit": 51 }))).await;
            assert_rpc(&refused, 403, -32_003, "argument_refused");
            assert_eq!(member(&refused, "scope"), "tickets.bulk");
            let bulk = token(world, &union(held, &refused)).await;
            assert_eq!(
                place.modern(&bulk, &call("search_tickets", json!({ "limit": 51 }))).await.status,
                200
            );
            assert_eq!(place.modern(&bulk, &call("close_ticket", json!({}))).await.status, 403);

            // An agent has nobody beside it who could be asked.
            let agents = place.post(&searcher(world, 5).await, &request("tools/list", json!({}))).await;
            assert!(agents.text.contains("search_tickets") && !agents.text.contains("close_ticket"));
            // A tool that is switched off can't be had either.
            world.cut("tool", format!("{TICKETS}#get_ticket")).await.ok();
            until("the tool is hidden", async || {
                let list = place.post(&wider, &request("tools/list", json!({}))).await;
                !list.text.contains("get_ticket")
            })
            .await;

            // What no scope stands for has details only, and no scope that would be asked for in vain.
            let refused = place.modern(&reader, &call("drop_table", json!({}))).await;
            assert_rpc(&refused, 403, -32_003, "tool_not_granted");
            assert!(!refused.header("www-authenticate").contains("scope=\""));
            assert!(refused.header("www-authenticate").contains("authorization_details="));
        },
    );
}

#[test]
fn a_scope_without_details_opens_nothing() {
    guarded(
        |_| {},
        async |world, place| {
            // An agent names a scope and no details: decision 0005 gives it just that.
            let form = world.for_person("triage", "alice").add("scope", "tickets.read");
            let token = world.post(&form).await.ok().token();
            let reply = place.post(&token, &call("get_ticket", json!({}))).await;
            assert_rpc(&reply, 200, -32_003, "location_not_granted");
        },
    );
}

#[test]
fn a_proxy_is_told_the_scopes_of_its_path() {
    guarded(
        |args| args.scopes = vec!["base".to_owned()],
        async |world, place| {
            prepare(world, place).await;
            let ask = async |token: &str, query: &str| {
                let request =
                    place.http.get(place.local(&format!("/forward-auth{query}"))).bearer_auth(token);
                Reply::read(request.send().await.unwrap()).await
            };
            let token = token(world, "base tickets.read").await;
            assert_eq!(ask(&token, "?scope=tickets.read").await.status, 200);
            let refused = ask(&token, "?scope=tickets.read%20tickets.write").await;
            assert_eq!((refused.status, refused.json["rule"].as_str()), (403, Some("scope_missing")));
            assert_eq!(member(&refused, "scope"), "base tickets.read tickets.write");
            let refused = ask(&token, "?tool=close_ticket").await;
            assert_eq!((refused.status, member(&refused, "scope").as_str()), (403, "base tickets.write"));
        },
    );
}

#[test]
fn only_the_enforcer_of_a_resource_learns_of_its_tools() {
    guarded(
        |_| {},
        async |world, place| {
            prepare(world, place).await;
            let url = format!("{}/revocation/advice", world.issuer);
            let ask = async |token: &str, resource: Option<&str>| {
                let mut request = world.http.get(&url).bearer_auth(token);
                if let Some(resource) = resource {
                    request = request.header("taskpass-resource", resource);
                }
                Reply::read(request.send().await.unwrap()).await
            };
            let own = async |enforcer: &str| {
                let form = world.for_itself(enforcer, &format!("{}/revocation", world.issuer));
                world.post(&form).await.ok().token()
            };
            let guard = own("tickets-guard").await;
            let advice = ask(&guard, Some(TICKETS)).await.ok();
            assert_eq!(advice.json["scope"], "base tickets.read");
            assert_eq!(advice.json["scope_tools"]["tickets.write"], json!([{ "name": "close_ticket" }]));
            assert_eq!(advice.header("cache-control"), "no-store");
            assert_refused(&ask(&guard, None).await, 400, "invalid_request", "parameter_missing");
            let other = own("api-guard").await;
            assert_refused(
                &ask(&other, Some(TICKETS)).await,
                400,
                "invalid_request",
                "resource_of_other_enforcer",
            );
            let agent = searcher(world, 5).await;
            assert_refused(
                &ask(&agent, Some(TICKETS)).await,
                401,
                "invalid_token",
                "access_token_not_accepted",
            );
        },
    );
}
