//! What a hostile reading of the guard found: each was let through once.

use std::time::Duration;

use axum::body::Body;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::place::{Place, assert_rpc, call, guarded, request, searcher, until};
use super::server::{answer, stream, tools};
use crate::harness::{ARCHIVE, World};

/// A call whose body stops half way, and the other half.
async fn half_sent(place: &Place, token: &str) -> (TcpStream, String) {
    let body = call("search_tickets", json!({"limit": 1})).to_string();
    let (first, rest) = body.split_at(body.len() / 2);
    let head = format!(
        "POST /mcp HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{first}",
        body.len()
    );
    let mut slow = TcpStream::connect(place.address()).await.unwrap();
    slow.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    (slow, rest.to_owned())
}

async fn finish((mut slow, rest): (TcpStream, String)) -> String {
    slow.write_all(rest.as_bytes()).await.unwrap();
    let mut reply = String::new();
    slow.read_to_string(&mut reply).await.unwrap();
    reply
}

#[test]
fn a_refusal_that_overtakes_its_body_keeps_the_connection() {
    guarded(
        |_| {},
        async |_, place| {
            let body = call("search_tickets", json!({"limit": 1})).to_string();
            let head = format!(
                "POST /mcp HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            let mut stream = TcpStream::connect(place.address()).await.unwrap();
            stream.set_nodelay(true).unwrap();
            // As many clients write it: the head, and a moment later the body; then the same again on the same connection.
            for round in 0..3 {
                stream.write_all(head.as_bytes()).await.unwrap();
                tokio::time::sleep(Duration::from_millis(50)).await;
                stream.write_all(body.as_bytes()).await.unwrap();
                let mut reply = vec![0; 4096];
                let length = stream.read(&mut reply).await.unwrap();
                let reply = String::from_utf8_lossy(&reply[..length]).into_owned();
                assert!(reply.starts_with("HTTP/1.1 401"), "{round}: {reply:?}");
            }
        },
    );
}

#[test]
fn a_call_whose_token_died_while_its_body_came_does_not_reach_the_server() {
    guarded(
        |_| {},
        async |world, place| {
            let token = searcher(world, 5).await;
            // A connection to the server stands ready: a call is on it at once.
            place.post(&token, &request("ping", json!({}))).await;
            let mut slow = Vec::new();
            for _ in 0..8 {
                slow.push(half_sent(place, &token).await);
            }
            world.cut("agent", "triage").await.ok();
            until("the guard knows", async || {
                place.post(&token, &request("ping", json!({}))).await.status == 401
            })
            .await;
            let before = place.server.seen().len();
            for one in slow {
                let reply = finish(one).await;
                assert!(reply.starts_with("HTTP/1.1 401"), "{reply}");
            }
            assert_eq!(place.server.seen().len(), before, "the server was called");
            until("the refusals are in the chain", async || {
                let rows = world.audit("main").await;
                rows.iter().filter(|row| row.event["rule"] == "token_revoked").count() >= 8
            })
            .await;
            let rows = world.audit("main").await;
            let granted =
                |event: &serde_json::Value| event["event"] == "enforcement" && event["granted"] == true;
            assert!(
                !rows.iter().any(|row| granted(&row.event)),
                "a call under a dead token is written down as granted"
            );
        },
    );
}

#[test]
fn a_call_whose_token_expired_while_its_body_came_does_not_reach_the_server() {
    guarded(
        |_| {},
        async |world, place| {
            let token = searcher(world, 5).await;
            place.post(&token, &request("ping", json!({}))).await;
            let slow = half_sent(place, &token).await;
            world.advance(241).await;
            let (reply, reached) = place.reaching(finish(slow)).await;
            assert!(reply.starts_with("HTTP/1.1 401"), "{reply}");
            assert!(reached.is_empty(), "the server was called");
        },
    );
}

/// Whatever woke the guard up, it looks at the clock before it lets anything out: timers stand still in a machine that
/// sleeps, and the clock of leases doesn't.
#[test]
fn nothing_leaves_an_open_stream_after_the_machine_has_slept() {
    guarded(
        |_| {},
        async |world, place| {
            let token = searcher(world, 5).await;
            let (sender, response) = stream();
            place.server.answers_once(response);
            let request =
                place.http.post(place.url()).bearer_auth(&token).header("content-type", "application/json");
            let body = call("search_tickets", json!({"limit": 1})).to_string();
            let mut open = request.body(body).send().await.unwrap();
            sender.send("data: 1\n\n").await.unwrap();
            assert!(open.chunk().await.unwrap().is_some());
            world.advance(3600).await;
            sender.send("data: secret\n\n").await.unwrap();
            let rest = open.text().await.unwrap_or_default();
            assert!(!rest.contains("secret"), "{rest}");
        },
    );
}

/// An opaque token is asked about once; that answer holds for as long as a lease, not until the token expires.
#[test]
fn a_stream_of_an_opaque_token_ends_with_the_lease_when_the_issuer_is_away() {
    guarded(
        |_| {},
        async |world, place| {
            place.stop_guard().await;
            let file = json!({ "issuer": world.issuer, "client_id": "archive-guard",
                "private_jwk": world.key("archive-guard").private() });
            std::fs::write(&place.config.credentials, file.to_string()).unwrap();
            place.config.resource = ARCHIVE.to_owned();
            place.resume(world).await;
            let token =
                world.post(&world.for_person("triage", "alice").set("resource", ARCHIVE)).await.ok().token();
            let (sender, response) = stream();
            place.server.answers_once(response);
            let request =
                place.http.post(place.at("/")).bearer_auth(&token).header("content-type", "application/json");
            let mut open = request.body(self::request("ping", json!({})).to_string()).send().await.unwrap();
            assert_eq!(open.status(), 200);
            sender.send("data: 1\n\n").await.unwrap();
            assert!(open.chunk().await.unwrap().is_some());
            world.halt().await;
            world.clock.advance(40);
            sender.send("data: secret\n\n").await.unwrap();
            drop(sender);
            let rest = open.text().await.unwrap_or_default();
            world.revive().await;
            assert!(!rest.contains("secret"), "{rest}");
        },
    );
}

#[test]
fn a_dry_run_never_hands_our_tokens_on_however_they_are_wrapped() {
    guarded(
        |args| args.dry_run = true,
        async |world, place| {
            let token = searcher(world, 5).await;
            let ask = call("search_tickets", json!({"limit": 1})).to_string();
            let own = "Bearer own-key-of-the-server".to_owned();
            for values in [
                vec![format!("Bearer  {token}")],
                vec![format!("DPoP {token}")],
                vec![format!("Bearer {token}, x")],
                vec![format!("Bearer {token}"), own.clone()],
                vec![own.clone(), format!("Bearer {token}")],
                vec![token.clone()],
                vec!["Bearer  tpo_abc".to_owned()],
            ] {
                let headers: Vec<_> = values.iter().map(|value| ("authorization", value.as_str())).collect();
                assert_eq!(place.send("", ask.clone(), &headers).await.status, 200);
                let last = place.server.last();
                let passed = format!("{:?}", last.headers);
                assert!(!passed.contains(&token) && !passed.contains("tpo_"), "{passed}");
            }
            place.send("", ask, &[("authorization", &own)]).await;
            assert_eq!(place.server.last().headers["authorization"], own);
        },
    );
}

#[test]
fn a_dry_run_lets_a_session_go_on_whatever_it_thinks_of_the_request() {
    guarded(
        |args| args.dry_run = true,
        async |world, place| {
            let token = searcher(world, 5).await;
            place.server.answers(|seen| {
                let mut response = answer(&json!({ "jsonrpc": "2.0", "id": seen.json["id"], "result": {} }));
                response.headers_mut().insert("mcp-session-id", "session-1".parse().unwrap());
                response
            });
            let sealed = place.post(&token, &request("initialize", json!({}))).await;
            let sealed = sealed.header("mcp-session-id").to_owned();
            for (token, message) in
                [("", call("close_ticket", json!({}))), (token.as_str(), call("close_ticket", json!({})))]
            {
                place.send(token, message.to_string(), &[("mcp-session-id", &sealed)]).await;
                assert_eq!(place.server.last().headers["mcp-session-id"], "session-1");
            }
        },
    );
}

async fn list_as(world: &World, place: &Place, event: Vec<u8>) -> String {
    let response = axum::response::Response::builder().header("content-type", "text/event-stream");
    place.server.answers_once(response.body(Body::from(event)).unwrap());
    let token = searcher(world, 5).await;
    let request = place.http.post(place.url()).bearer_auth(token).header("content-type", "application/json");
    let body = request.body(request_list()).send().await.unwrap().bytes().await.unwrap_or_default();
    String::from_utf8_lossy(&body).into_owned()
}

fn request_list() -> String {
    request("tools/list", json!({})).to_string()
}

#[test]
fn a_list_that_some_readers_would_read_is_no_comment() {
    guarded(
        |_| {},
        async |world, place| {
            let list = json!({ "jsonrpc": "2.0", "id": 7, "result": { "tools": tools() } }).to_string();
            // Readers put a replacement character where a byte is not UTF-8, and go on.
            let broken = [b"data: ", list.as_bytes(), b"\n: \xff\n\n"].concat();
            let shown = list_as(world, place, broken).await;
            assert!(!shown.contains("close_ticket"), "{shown}");
            // Some split lines at every line end that Unicode knows.
            for end in ["\u{2028}", "\u{85}", "\u{b}", "\u{c}", "\u{1e}"] {
                let hidden = format!(": x{end}data: {list}\n\n");
                let shown = list_as(world, place, hidden.into_bytes()).await;
                assert!(!shown.contains("close_ticket"), "{end:?}: {shown}");
                let hidden = format!("event: x{end}data: {list}\ndata: {{}}\n\n");
                let shown = list_as(world, place, hidden.into_bytes()).await;
                assert!(!shown.contains("close_ticket"), "{end:?}: {shown}");
            }
        },
    );
}

#[test]
fn what_connection_names_is_gone_before_anything_is_compared() {
    guarded(
        |_| {},
        async |world, place| {
            let token = searcher(world, 5).await;
            let message = super::place::modern(call("search_tickets", json!({"limit": 1}))).to_string();
            let headers = [
                ("mcp-protocol-version", super::place::MODERN),
                ("mcp-method", "tools/call"),
                ("mcp-name", "search_tickets"),
                ("connection", "mcp-protocol-version, mcp-method, mcp-name"),
            ];
            let (reply, reached) = place.reaching(place.send(&token, message, &headers)).await;
            assert_rpc(&reply, 400, -32_020, "header_mismatch");
            assert!(reached.is_empty());
        },
    );
}

#[test]
fn a_token_without_the_scope_leaves_evidence() {
    guarded(
        |args| args.scopes = vec!["tickets.write".to_owned()],
        async |world, place| {
            let token = searcher(world, 5).await;
            assert_eq!(place.post(&token, &request("ping", json!({}))).await.status, 403);
            until("it is in the chain", async || {
                world.audit("main").await.iter().any(|row| row.event["rule"] == "scope_missing")
            })
            .await;
        },
    );
}

#[test]
fn connections_that_say_nothing_are_hung_up_on() {
    guarded(
        |_| {},
        async |_, place| {
            for beginning in ["", "P", "PRI * HTTP/2.0\r\n"] {
                let mut silent = TcpStream::connect(place.address()).await.unwrap();
                silent.write_all(beginning.as_bytes()).await.unwrap();
                let mut words = Vec::new();
                let ended =
                    tokio::time::timeout(Duration::from_secs(15), silent.read_to_end(&mut words)).await;
                assert!(ended.is_ok(), "held for ever after {beginning:?}");
            }
        },
    );
}

#[test]
fn a_guard_of_a_resource_that_is_not_its_enforcers_lets_nobody_in() {
    guarded(
        |_| {},
        async |world, place| {
            let token = searcher(world, 5).await;
            let ping = request("ping", json!({}));
            assert_eq!(place.post(&token, &ping).await.status, 200);
            // The registry takes the resource from this enforcer: it no longer hears of the resource's kill switch.
            let keys = json!([{ "jwks": world.key("tickets-guard").set() }]);
            let moved = json!({ "enforcers": [{ "enforcer": "tickets-guard", "resources": [ARCHIVE], "identities": keys }] });
            world.apply(moved).await.ok();
            world.cut("resource", crate::harness::TICKETS).await.ok();
            world.clock.advance(40);
            world.app().server.refresh().await.unwrap();
            let status = place.post(&token, &ping).await.status;
            assert_ne!(status, 200, "the resource is switched off");
        },
    );
}
