//! The local endpoints.

use serde_json::{Value, json};

use super::place::{Place, guarded, searcher, until};
use crate::harness::Reply;

async fn introspect(place: &Place, token: &str) -> Reply {
    let request = place
        .http
        .post(place.local("/introspect"))
        .header("content-type", "application/x-www-form-urlencoded");
    Reply::read(request.body(format!("token={token}")).send().await.unwrap()).await
}

async fn authorize(place: &Place, body: &Value) -> Reply {
    Reply::read(place.http.post(place.local("/v1/authorize")).json(body).send().await.unwrap()).await
}

async fn forward(place: &Place, token: &str, query: &str) -> Reply {
    let mut request = place.http.get(place.local(&format!("/forward-auth{query}")));
    if !token.is_empty() {
        request = request.bearer_auth(token);
    }
    Reply::read(request.send().await.unwrap()).await
}

#[test]
fn introspection_knows_of_revocations_at_once() {
    guarded(
        |_| {},
        async |world, place| {
            let token = searcher(world, 5).await;
            let reply = introspect(place, &token).await;
            let theirs = world.introspect("tickets-guard", &token).await;
            assert_eq!(reply.json, theirs.json, "the same members as at the issuer");
            assert_eq!(reply.header("cache-control"), "no-store");
            let form = world.for_person("triage", "alice").set("resource", "https://archive.example.com");
            let other = world.post(&form);
            assert!(
                !introspect(place, &other.await.ok().token()).await.is_active(),
                "for this resource only"
            );
            assert!(!introspect(place, "abc").await.is_active());
            world.cut("agent", "triage").await.ok();
            until("it is inactive", async || !introspect(place, &token).await.is_active()).await;
            let empty = Reply::read(place.http.post(place.local("/introspect")).send().await.unwrap()).await;
            assert_eq!(empty.status, 400);
            let page = place.http.post(place.local("/introspect")).header("origin", "http://localhost:3000");
            let page = page
                .header("content-type", "application/x-www-form-urlencoded")
                .body("token=abc")
                .send()
                .await
                .unwrap();
            assert_eq!(page.status(), 401, "a page in a browser on this machine is no local caller");
        },
    );
}

#[test]
fn others_ask_whether_a_call_is_allowed() {
    guarded(
        |_| {},
        async |world, place| {
            let token = searcher(world, 5).await;
            let ask = |tool: &str, arguments: Value| json!({ "token": token, "tool": tool, "arguments": arguments });
            assert_eq!(
                authorize(place, &ask("search_tickets", json!({"limit": 5}))).await.json,
                json!({ "allowed": true })
            );
            let reply = authorize(place, &ask("search_tickets", json!({"limit": 6}))).await;
            let found = (reply.status, &reply.json["allowed"], &reply.json["rule"], &reply.json["at"]);
            assert_eq!(found, (200, &json!(false), &json!("argument_refused"), &json!("/limit")));
            assert!(reply.json["challenge"].as_str().unwrap().contains("authorization_details="));
            let reply = authorize(place, &json!({ "token": "abc", "tool": "search_tickets" })).await;
            assert_eq!(reply.json["allowed"], false);
            assert!(reply.json["challenge"].as_str().unwrap().contains("error=\"invalid_token\""));
            for body in [
                json!({}),
                json!({ "token": 1, "tool": "a" }),
                json!({ "token": "a", "tool": "a", "scopes": [] }),
                json!([]),
            ] {
                assert_eq!(authorize(place, &body).await.status, 400, "{body}");
            }
            let twice =
                format!("{{\"token\":\"{token}\",\"tool\":\"close_ticket\",\"tool\":\"search_tickets\"}}");
            let reply =
                Reply::read(place.http.post(place.local("/v1/authorize")).body(twice).send().await.unwrap())
                    .await;
            assert_eq!(reply.status, 400);
        },
    );
}

#[test]
fn proxies_ask_about_requests() {
    guarded(
        |_| {},
        async |world, place| {
            let token = searcher(world, 5).await;
            let reply = forward(place, &token, "?scope=tickets.read").await;
            assert_eq!((reply.status, reply.header("x-taskpass-agent")), (200, "triage"));
            assert_eq!(reply.header("x-taskpass-sub"), world.person("alice"));
            let reply = forward(place, "", "").await;
            assert_eq!(reply.status, 401);
            assert!(reply.header("www-authenticate").starts_with("Bearer resource_metadata="));
            let reply = forward(place, "abc", "").await;
            assert_eq!(reply.status, 401);
            assert!(reply.header("www-authenticate").contains("invalid_token"));
            for (query, status) in [
                ("?scope=tickets.read%20tickets.write", 403),
                ("?scope=tickets.read&scope=tickets.write", 403),
                ("?tool=close_ticket", 403),
                ("?tool=search_tickets", 403),
                // What isn't understood must not count as nothing.
                ("?scopes=tickets.write", 500),
                ("?tool=search_tickets&tool=close_ticket", 500),
            ] {
                assert_eq!(forward(place, &token, query).await.status, status, "{query}");
            }
            let whole = super::place::token(world, &super::place::whole(&["get_ticket"])).await;
            assert_eq!(forward(place, &whole, "?tool=get_ticket").await.status, 200);
        },
    );
}

#[test]
fn health_tells_the_truth() {
    guarded(
        |_| {},
        async |_, place| {
            for (path, word) in [("/healthz", "ok"), ("/readyz", "ready")] {
                let reply = Reply::read(place.http.get(place.local(path)).send().await.unwrap()).await;
                assert_eq!((reply.status, &reply.json["status"]), (200, &json!(word)), "{path}");
            }
        },
    );
}

#[test]
fn callers_of_other_machines_prove_who_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("local.token");
    std::fs::write(&file, "a-long-local-token\n").unwrap();
    guarded(
        |args| args.local_token_file = Some(file.clone()),
        async |_, place| {
            // A page isn't local, so it needs the token as another machine would.
            let ask = |bearer: &'static str| {
                let request = place.http.post(place.local("/introspect")).header("origin", "http://x");
                let request = request.header("content-type", "application/x-www-form-urlencoded");
                request.bearer_auth(bearer).body("token=abc").send()
            };
            assert_eq!(ask("wrong").await.unwrap().status(), 401);
            assert_eq!(ask("a-long-local-token").await.unwrap().status(), 200);
        },
    );
}
