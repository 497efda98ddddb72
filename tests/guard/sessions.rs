//! Sessions of versions before 2026-07-28: whoever opened one has it, nobody else.

use http::Method;
use serde_json::{Value, json};

use super::place::{MODERN, Place, assert_rpc, call, guarded, modern, request, searcher};
use super::server::{answer, stream};
use crate::harness::{Reply, World};

async fn open(place: &Place, token: &str) -> String {
    place.server.answers(|seen| {
        let mut response = answer(&json!({ "jsonrpc": "2.0", "id": seen.json["id"], "result": {} }));
        response.headers_mut().insert("mcp-session-id", "session-1".parse().unwrap());
        response
    });
    let reply = place.post(token, &request("initialize", json!({}))).await;
    let session = reply.header("mcp-session-id").to_owned();
    assert_ne!(session, "session-1", "the server's own id opens nothing");
    session
}

async fn within(place: &Place, token: &str, session: &str, message: &Value) -> Reply {
    place.send(token, message.to_string(), &[("mcp-session-id", session)]).await
}

async fn bare(place: &Place, method: Method, token: &str, headers: &[(&str, &str)]) -> Reply {
    let mut request =
        place.http.request(method, place.url()).bearer_auth(token).header("accept", "text/event-stream");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Reply::read(request.send().await.unwrap()).await
}

/// A token of another task of the same agent and person, and one of another agent.
async fn others(world: &World) -> Vec<String> {
    let second = searcher(world, 5).await;
    let delegated =
        world.post(&world.onward("summarizer", &second).add("scope", "tickets.read")).await.ok().token();
    vec![second, delegated]
}

#[test]
fn a_session_is_whose_it_is() {
    guarded(
        |_| {},
        async |world, place| {
            let token = searcher(world, 5).await;
            let session = open(place, &token).await;
            let ask = call("search_tickets", json!({"limit": 1}));
            assert_eq!(within(place, &token, &session, &ask).await.status, 200);
            assert_eq!(place.server.last().headers["mcp-session-id"], "session-1");
            // A renewed token of the same task goes on in it.
            let renewed =
                world.post(&world.onward("triage", &token).add("scope", "tickets.read")).await.ok().token();
            assert_ne!(renewed, token);
            assert_eq!(within(place, &renewed, &session, &ask).await.status, 200);
            for thief in others(world).await {
                let (reply, reached) = place.reaching(within(place, &thief, &session, &ask)).await;
                assert_rpc(&reply, 404, -32_001, "session_unknown");
                assert!(reached.is_empty());
                for method in [Method::GET, Method::DELETE] {
                    let headers = [("mcp-session-id", session.as_str()), ("last-event-id", "9")];
                    let (reply, reached) = place.reaching(bare(place, method, &thief, &headers)).await;
                    assert_eq!(
                        (reply.status, reply.json["rule"].as_str(), reached.len()),
                        (404, Some("session_unknown"), 0)
                    );
                }
            }
            let mut tampered = session.clone().into_bytes();
            *tampered.last_mut().unwrap() ^= 1;
            let other_id = session.replace("session-1", "session-2");
            for forged in ["session-1", "session-1~", "~", &other_id, &String::from_utf8(tampered).unwrap()] {
                let (reply, reached) = place.reaching(within(place, &token, forged, &ask)).await;
                assert_rpc(&reply, 404, -32_001, "session_unknown");
                assert!(reached.is_empty(), "{forged}");
            }
        },
    );
}

#[test]
fn a_session_outlives_the_guard() {
    guarded(
        |_| {},
        async |world, place| {
            let token = searcher(world, 5).await;
            let session = open(place, &token).await;
            place.stop_guard().await;
            place.resume(world).await;
            assert_eq!(within(place, &token, &session, &request("ping", json!({}))).await.status, 200);
            assert_eq!(place.server.last().headers["mcp-session-id"], "session-1");
        },
    );
}

#[test]
fn streams_and_ends_of_sessions_pass() {
    guarded(
        |_| {},
        async |world, place| {
            let token = searcher(world, 5).await;
            let session = open(place, &token).await;
            let (sender, response) = stream();
            place.server.answers_once(response);
            sender.send("id: 4\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{}}\n\n").await.unwrap();
            sender.send("data: {\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{\"tools\":[{\"name\":\"close_ticket\"}]}}\n\n").await.unwrap();
            drop(sender);
            let headers = [("mcp-session-id", session.as_str()), ("last-event-id", "3")];
            let reply = bare(place, Method::GET, &token, &headers).await;
            assert!(
                reply.text.contains("notifications/message") && reply.text.contains("id: 4"),
                "{}",
                reply.text
            );
            assert!(
                !reply.text.contains("close_ticket"),
                "a list that goes on in another stream is filtered there"
            );
            assert_eq!(place.server.last().headers["last-event-id"], "3");
            place.server.answers(|_| http::Response::new(axum::body::Body::from("ended")));
            assert_eq!(bare(place, Method::DELETE, &token, &headers).await.status, 200);
            assert_eq!(
                (place.server.last().method, place.server.last().headers["mcp-session-id"].to_str().unwrap()),
                (Method::DELETE, "session-1")
            );
            assert_eq!(bare(place, Method::DELETE, &token, &[]).await.status, 405);
            // A server without streams says so itself; nobody else's stream goes on without a session.
            place
                .server
                .answers(|_| http::Response::builder().status(405).body(axum::body::Body::empty()).unwrap());
            assert_eq!(bare(place, Method::GET, &token, &[("last-event-id", "3")]).await.status, 405);
            assert!(!place.server.last().headers.contains_key("last-event-id"));
        },
    );
}

#[test]
fn the_newer_version_has_no_sessions() {
    guarded(
        |_| {},
        async |world, place| {
            let token = searcher(world, 5).await;
            let session = open(place, &token).await;
            let body = modern(request("server/discover", json!({}))).to_string();
            let headers = [
                ("mcp-protocol-version", MODERN),
                ("mcp-method", "server/discover"),
                ("mcp-session-id", &session),
            ];
            let reply = place.send(&token, body, &headers).await;
            assert_eq!((reply.status, reply.header("mcp-session-id")), (200, ""));
            assert!(!place.server.last().headers.contains_key("mcp-session-id"));
            let (reply, reached) =
                place.reaching(bare(place, Method::GET, &token, &[("mcp-protocol-version", MODERN)])).await;
            assert_eq!((reply.status, reached.len()), (405, 0));
        },
    );
}

#[test]
fn an_answer_to_the_server_belongs_to_a_session() {
    guarded(
        |_| {},
        async |world, place| {
            let token = searcher(world, 5).await;
            let session = open(place, &token).await;
            let accept = json!({ "jsonrpc": "2.0", "id": 1, "result": { "action": "accept" } });
            assert_eq!(within(place, &token, &session, &accept).await.status, 200);
            for thief in others(world).await {
                assert_rpc(&within(place, &thief, &session, &accept).await, 404, -32_001, "session_unknown");
            }
        },
    );
}
