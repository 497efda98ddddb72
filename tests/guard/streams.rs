//! Streams pass as they come, and end with their token.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::place::{Place, call, guarded, request, searcher};
use super::server::stream;
use crate::harness::Reply;

async fn open(place: &Place, token: &str) -> reqwest::Response {
    let request = place.http.post(place.url()).bearer_auth(token).header("content-type", "application/json");
    request.body(call("search_tickets", json!({"limit": 1})).to_string()).send().await.unwrap()
}

async fn piece(response: &mut reqwest::Response) -> Option<String> {
    let piece =
        tokio::time::timeout(Duration::from_secs(5), response.chunk()).await.expect("something comes");
    piece.unwrap().map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
}

#[test]
fn a_stream_passes_unbuffered_and_is_cut_when_its_token_dies() {
    guarded(
        |_| {},
        async |world, place| {
            let token = searcher(world, 5).await;
            let (sender, response) = stream();
            place.server.answers_once(response);
            let mut open = open(place, &token).await;
            assert_eq!(open.headers()["x-accel-buffering"], "no");
            for event in
                ["data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n", ": still here\n\n"]
            {
                sender.send(event).await.unwrap();
                assert_eq!(piece(&mut open).await.as_deref(), Some(event));
            }
            let cut = Instant::now();
            world.cut("agent", "triage").await.ok();
            let last = piece(&mut open).await.unwrap();
            assert!(cut.elapsed() < Duration::from_secs(1), "{:?}", cut.elapsed());
            assert!(last.starts_with("event: message\ndata: ") && last.ends_with("\n\n"), "{last}");
            let error: serde_json::Value =
                serde_json::from_str(last.lines().nth(1).unwrap().strip_prefix("data: ").unwrap()).unwrap();
            assert_eq!((&error["id"], &error["error"]["code"]), (&json!(7), &json!(-32_003)));
            assert_eq!(error["error"]["data"]["rule"], "token_revoked");
            assert_eq!(piece(&mut open).await, None, "a proper end");
            super::place::until("the server notices", async || sender.is_closed()).await;
        },
    );
}

#[test]
fn half_an_event_is_never_completed_by_the_cut() {
    guarded(
        |_| {},
        async |world, place| {
            let token = searcher(world, 5).await;
            let (sender, response) = stream();
            place.server.answers_once(response);
            let mut open = open(place, &token).await;
            sender.send("data: {\"jsonrpc\":\"2.0\",").await.unwrap();
            assert!(piece(&mut open).await.is_some());
            world.cut("agent", "triage").await.ok();
            let end = tokio::time::timeout(Duration::from_secs(5), open.chunk()).await.expect("it ends");
            assert!(end.is_err(), "the connection breaks off: {end:?}");
        },
    );
}

#[test]
fn a_call_that_is_under_way_ends_with_its_token() {
    guarded(
        |_| {},
        async |world, place| {
            let token = searcher(world, 5).await;
            // A server that takes the request and says nothing.
            let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            place.stop_guard().await;
            place.config.upstream = format!("http://{}", silent.local_addr().unwrap()).parse().unwrap();
            place.resume(world).await;
            let (http, url) = (place.http.clone(), place.url());
            let asked = tokio::spawn(async move {
                let request = http.post(url).bearer_auth(token).header("content-type", "application/json");
                Reply::read(
                    request
                        .body(call("search_tickets", json!({"limit": 1})).to_string())
                        .send()
                        .await
                        .unwrap(),
                )
                .await
            });
            let (connection, _) = silent.accept().await.unwrap();
            connection.readable().await.unwrap();
            world.cut("agent", "triage").await.ok();
            let reply = tokio::time::timeout(Duration::from_secs(2), asked).await.expect("at once").unwrap();
            assert_eq!((reply.status, &reply.json["error"]["data"]["rule"]), (401, &json!("token_revoked")));
            assert_eq!(reply.json["id"], 7);
            drop(connection);
        },
    );
}

#[test]
fn a_list_that_took_its_time_is_not_released_under_a_dead_token() {
    guarded(
        |_| {},
        async |world, place| {
            let token = searcher(world, 5).await;
            let (sender, mut response) = stream();
            response.headers_mut().insert("content-type", "application/json".parse().unwrap());
            place.server.answers_once(response);
            let (http, url) = (place.http.clone(), place.url());
            let asked = tokio::spawn(async move {
                let request = http.post(url).bearer_auth(token).header("content-type", "application/json");
                Reply::read(request.body(request_list()).send().await.unwrap()).await
            });
            super::place::until("the server is asked", async || !place.server.seen().is_empty()).await;
            world.cut("agent", "triage").await.ok();
            tokio::time::sleep(Duration::from_millis(300)).await;
            sender.send("{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"tools\":[]}}").await.unwrap();
            drop(sender);
            let reply = asked.await.unwrap();
            assert_eq!((reply.status, &reply.json["error"]["data"]["rule"]), (401, &json!("token_revoked")));
        },
    );
}

fn request_list() -> String {
    request("tools/list", json!({})).to_string()
}

#[test]
fn a_slow_body_is_given_up() {
    guarded(
        |_| {},
        async |world, place| {
            let token = searcher(world, 5).await;
            let head = format!(
                "POST /mcp HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{"
            );
            let mut slow = TcpStream::connect(place.address()).await.unwrap();
            slow.write_all(head.as_bytes()).await.unwrap();
            let mut reply = String::new();
            let read = tokio::io::AsyncReadExt::read_to_string(&mut slow, &mut reply);
            let ended = tokio::time::timeout(Duration::from_secs(15), read).await;
            // Others are served meanwhile and after.
            assert_eq!(place.post(&token, &request("ping", json!({}))).await.status, 200);
            assert!(ended.is_ok() && reply.starts_with("HTTP/1.1 408"), "{reply}");
            assert!(reply.contains("body_too_slow"));
        },
    );
}
