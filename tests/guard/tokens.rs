//! Who comes in, who doesn't, and what the server behind learns of it.

use serde_json::json;

use super::place::{assert_rpc, call, guarded, request, searcher, until};
use super::server::{answer, plain};
use crate::harness::{Reply, TICKETS, assert_refused};

const METADATA: &str = "https://tickets.example.com/.well-known/oauth-protected-resource/mcp";

#[test]
fn without_a_token_a_client_learns_where_to_get_one() {
    guarded(
        |args| args.scopes = vec!["tickets.read".into()],
        async |world, place| {
            let (reply, reached) = place.reaching(place.post("", &request("ping", json!({})))).await;
            assert_eq!((reply.status, reached.len()), (401, 0));
            assert_eq!(
                reply.header("www-authenticate"),
                format!("Bearer resource_metadata=\"{METADATA}\", scope=\"tickets.read\"")
            );
            let url = place.at("/.well-known/oauth-protected-resource/mcp");
            let metadata = Reply::read(place.http.get(url).send().await.unwrap()).await;
            assert_eq!(metadata.json["resource"], TICKETS);
            assert_eq!(metadata.json["authorization_servers"], json!([world.issuer]));
            assert_eq!(metadata.json["scopes_supported"], json!(["tickets.read"]));
        },
    );
}

#[test]
fn refuses_tokens_that_are_not_good() {
    guarded(
        |_| {},
        async |world, place| {
            let good = world.alices().await;
            let archive = world
                .post(&world.for_person("triage", "alice").set("resource", "https://archive.example.com"))
                .await
                .ok()
                .token();
            let api = world
                .post(&world.for_itself("tickets-server", "https://api.example.com").add("scope", "api.read"))
                .await;
            let id_token = world.id_token("alice", "triage");
            let mut broken = good.clone();
            broken.truncate(good.len() - 4);
            let mut wrong = vec![
                (archive, "token_not_active"),
                (id_token, "token_not_an_access_token"),
                (broken, "token_not_active"),
                ("abc".into(), "token_not_active"),
            ];
            if api.status == 200 {
                wrong.push((api.token(), "audience_not_this_resource"));
            }
            for (token, rule) in wrong {
                let (reply, reached) =
                    place.reaching(place.post(&token, &call("search_tickets", json!({"limit": 1})))).await;
                assert_eq!((reply.status, reached.len()), (401, 0), "{rule}: {}", reply.text);
                assert_eq!(reply.json["error"], "invalid_token", "{}", reply.text);
                assert!(reply.header("www-authenticate").contains("error=\"invalid_token\""));
                if rule != "token_not_active" {
                    assert_eq!(reply.json["rule"], rule);
                }
            }
        },
    );
}

#[test]
fn a_revoked_token_is_out_at_once_and_a_stale_guard_says_503() {
    guarded(
        |_| {},
        async |world, place| {
            let token = searcher(world, 5).await;
            let ask = call("search_tickets", json!({"limit": 1}));
            assert_eq!(place.post(&token, &ask).await.status, 200);
            world.cut("agent", "triage").await.ok();
            until("the guard refuses", async || place.post(&token, &ask).await.status == 401).await;
            assert_refused(&place.post(&token, &ask).await, 401, "invalid_token", "token_revoked");

            let other = world.post(&world.for_person("triage", "alice")).await;
            assert_eq!(other.status, 401, "the agent is suspended");
        },
    );
}

#[test]
fn a_guard_that_hears_nothing_refuses_with_503() {
    guarded(
        |args| args.lease_seconds = Some(5),
        async |world, place| {
            let token = searcher(world, 5).await;
            let ask = call("search_tickets", json!({"limit": 1}));
            assert_eq!(place.post(&token, &ask).await.status, 200);
            world.halt().await;
            world.clock.advance(6);
            let reply = place.post(&token, &ask).await;
            assert_refused(&reply, 503, "temporarily_unavailable", "enforcer_stale");
            assert_eq!((reply.header("retry-after"), reply.header("www-authenticate")), ("1", ""));
            let ready = Reply::read(place.http.get(place.local("/readyz")).send().await.unwrap()).await;
            assert_eq!((ready.status, &ready.json["status"]), (503, &json!("stale")));
        },
    );
}

#[test]
fn one_tool_may_go_on_where_the_operator_says_so() {
    guarded(
        |args| {
            args.lease_seconds = Some(5);
            args.stale_tools = vec!["search_tickets=ttl-only".into()];
        },
        async |world, place| {
            let token =
                super::place::token(world, &super::place::whole(&["get_ticket", "close_ticket"])).await;
            let reader = searcher(world, 5).await;
            let search = call("search_tickets", json!({"limit": 1}));
            assert_eq!(place.post(&reader, &search).await.status, 200);
            assert_eq!(place.post(&token, &call("get_ticket", json!({}))).await.status, 200);
            world.halt().await;
            world.clock.advance(10);
            assert_eq!(place.post(&reader, &search).await.status, 200);
            assert_eq!(place.post(&token, &call("get_ticket", json!({}))).await.status, 503);
            assert_eq!(place.post(&reader, &request("tools/list", json!({}))).await.status, 503);
        },
    );
}

#[test]
fn the_server_learns_who_calls_and_never_sees_the_token() {
    guarded(
        |_| {},
        async |world, place| {
            let token = searcher(world, 5).await;
            let forged = [
                ("x-taskpass-sub", "root"),
                ("x_taskpass_agent", "root"),
                ("x-taskpass-admin", "yes"),
                ("dpop", "eyJ.x.y"),
                ("proxy-authorization", "Basic x"),
                ("connection", "x-hop"),
                ("x-hop", "1"),
                ("x-kept", "2"),
            ];
            let body = call("search_tickets", json!({"limit": 1})).to_string();
            assert_eq!(place.send(&token, body.clone(), &forged).await.status, 200);
            let seen = place.server.last();
            assert_eq!(seen.body, body.as_bytes(), "these very bytes");
            let header = |name: &str| seen.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(header("x-taskpass-sub"), Some(world.person("alice")));
            assert_eq!(header("x-taskpass-agent").as_deref(), Some("triage"));
            assert_eq!(header("x-taskpass-client").as_deref(), Some("triage"));
            assert!(
                header("x-taskpass-task").unwrap().starts_with("tsk_"),
                "{:?}",
                header("x-taskpass-task")
            );
            assert_eq!(header("host"), Some(place.server.address.to_string()));
            assert_eq!((header("x-kept").as_deref(), seen.uri.path()), (Some("2"), "/mcp"));
            for name in [
                "authorization",
                "dpop",
                "proxy-authorization",
                "x_taskpass_agent",
                "x-taskpass-admin",
                "x-hop",
            ] {
                assert_eq!(header(name), None, "{name}");
            }
            assert!(!format!("{seen:?}").contains(&token));
        },
    );
}

#[test]
fn refuses_what_is_not_one_bearer_header() {
    guarded(
        |_| {},
        async |world, place| {
            let token = searcher(world, 5).await;
            let bearer = format!("Bearer {token}");
            let ping = request("ping", json!({})).to_string();
            let twice = [("authorization", bearer.as_str()), ("authorization", bearer.as_str())];
            let reply = place.send("", ping.clone(), &twice).await;
            assert_refused(&reply, 400, "invalid_request", "authorization_malformed");
            let url = format!("{}?access_token={token}", place.url());
            let (reply, reached) =
                place.reaching(place.http.post(url).bearer_auth(&token).body(ping.clone()).send()).await;
            let reply = Reply::read(reply.unwrap()).await;
            assert_refused(&reply, 400, "invalid_request", "token_in_query");
            assert!(reached.is_empty());
            let foreign = place.send(&token, ping.clone(), &[("origin", "https://evil.example")]).await;
            assert_refused(&foreign, 403, "invalid_request", "origin_not_allowed");
            assert_eq!(
                place.send(&token, ping, &[("origin", "https://tickets.example.com")]).await.status,
                200
            );
            assert!(!place.server.last().headers.contains_key("origin"));
        },
    );
}

#[test]
fn other_paths_methods_and_scopes_do_not_pass() {
    guarded(
        |args| args.scopes = vec!["tickets.write".into()],
        async |world, place| {
            let token = searcher(world, 5).await;
            for path in
                ["/", "/mcp/", "/MCP", "/mcp/../mcp", "/%6dcp", "//mcp", "/mcp%2f", "/healthz", "/introspect"]
            {
                let raw = format!(
                    "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                );
                let reply = super::messages::raw(place.address(), raw.as_bytes()).await;
                assert!(reply.starts_with("HTTP/1.1 404"), "{path}: {reply}");
            }
            let put =
                Reply::read(place.http.put(place.url()).bearer_auth(&token).send().await.unwrap()).await;
            assert_eq!((put.status, put.header("allow")), (405, "POST, GET, DELETE"));
            let (reply, reached) = place.reaching(place.post(&token, &request("ping", json!({})))).await;
            assert_refused(&reply, 403, "insufficient_scope", "scope_missing");
            assert!(reply.header("www-authenticate").contains("scope=\"tickets.write\""));
            assert!(reached.is_empty());
        },
    );
}

#[test]
fn an_agent_and_a_task_have_limits_of_their_own() {
    guarded(
        |args| {
            args.agent_limit = Some("3/h".parse().unwrap());
            args.task_limit = Some("2/h".parse().unwrap());
        },
        async |world, place| {
            let (one, two) = (searcher(world, 5).await, searcher(world, 5).await);
            let ping = request("ping", json!({}));
            assert_eq!(
                (place.post(&one, &ping).await.status, place.post(&one, &ping).await.status),
                (200, 200)
            );
            let task = place.post(&one, &ping).await;
            assert_refused(&task, 429, "slow_down", "rate_limited");
            assert!(task.header("retry-after").parse::<u64>().unwrap() > 600);
            // That refused request still counted for the agent.
            assert_refused(&place.post(&two, &ping).await, 429, "slow_down", "rate_limited");
        },
    );
}

#[test]
fn a_server_that_fails_redirects_or_wants_a_token_is_a_bad_gateway() {
    guarded(
        |_| {},
        async |world, place| {
            let token = searcher(world, 5).await;
            let ask = call("search_tickets", json!({"limit": 1}));
            for (status, rule) in [(307, "upstream_redirects"), (401, "upstream_wants_token")] {
                place.server.answers(move |_| {
                    let mut response = answer(&json!({"secret": "internal"}));
                    *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
                    response.headers_mut().insert("location", "http://internal.example/mcp".parse().unwrap());
                    response.headers_mut().insert("www-authenticate", "Bearer realm=x".parse().unwrap());
                    response
                });
                let reply = place.post(&token, &ask).await;
                assert_rpc(&reply, 502, -32_603, rule);
                assert_eq!((reply.header("location"), reply.header("www-authenticate")), ("", ""));
                assert!(!reply.text.contains("internal"));
            }
            place.server.answers(plain);
            assert_eq!(place.post(&token, &ask).await.status, 200);
        },
    );
}
