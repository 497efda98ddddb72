//! Lists of tools: nobody sees what its token could never call.

use serde_json::{Value, json};

use super::place::{Place, assert_rpc, guarded, request, searcher, token, whole};
use super::server::{answer, stream, tools};

fn names(result: &Value) -> Vec<&str> {
    result["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect()
}

fn list() -> Value {
    request("tools/list", json!({}))
}

#[test]
fn a_list_shows_what_the_token_could_call() {
    guarded(
        |_| {},
        async |world, place| {
            let reply = place.post(&searcher(world, 5).await, &list()).await;
            assert_eq!(names(&reply.json["result"]), ["search_tickets"]);
            assert!(reply.json["result"].get("ttlMs").is_none(), "a version without caching has none");
            let two = token(world, &whole(&["get_ticket", "close_ticket"])).await;
            let reply = place.modern(&two, &list()).await;
            assert_eq!(names(&reply.json["result"]), ["get_ticket", "close_ticket"], "in the server's order");
            assert_eq!(reply.json["result"]["tools"][0], tools()[1]);
            // A token without details could call nothing.
            let none = world.alices().await;
            let all = place.post(&none, &list()).await;
            let expected: Vec<&str> = if names(&all.json["result"]).is_empty() {
                vec![]
            } else {
                vec!["search_tickets", "get_ticket", "close_ticket"]
            };
            assert_eq!(names(&all.json["result"]), expected);
        },
    );
}

#[test]
fn caching_is_private_and_ends_with_the_token() {
    guarded(
        |_| {},
        async |world, place| {
            let token = searcher(world, 5).await;
            world.advance(40).await;
            for (ttl, expected) in [(3_600_000, 200_000), (1000, 1000)] {
                place.server.answers(move |seen| {
                answer(&json!({ "jsonrpc": "2.0", "id": seen.json["id"], "result": { "resultType": "complete",
                    "tools": tools(), "nextCursor": "page 2", "ttlMs": ttl, "cacheScope": "public" } }))
            });
                let reply = place.modern(&token, &list()).await;
                let result = &reply.json["result"];
                assert_eq!((&result["cacheScope"], &result["ttlMs"]), (&json!("private"), &json!(expected)));
                assert_eq!(
                    (names(result), &result["nextCursor"]),
                    (vec!["search_tickets"], &json!("page 2"))
                );
                assert_eq!(reply.header("cache-control"), "private, no-store");
            }
            // A page on which nothing is left leads on all the same.
            place.server.answers(|seen| {
            answer(&json!({ "jsonrpc": "2.0", "id": seen.json["id"], "result": { "tools": [tools()[2]], "nextCursor": "c" } }))
        });
            let reply = place.modern(&token, &request("tools/list", json!({"cursor": "b"}))).await;
            assert_eq!(reply.json["result"]["tools"], json!([]));
            assert_eq!(reply.json["result"]["nextCursor"], "c");
            assert_eq!(reply.json["result"]["ttlMs"], 0, "where the server says nothing, nothing is kept");
            assert_eq!(place.server.last().json["params"]["cursor"], "b");
        },
    );
}

async fn streamed(place: &Place, token: &str, pieces: &[&'static str]) -> String {
    let (sender, response) = stream();
    place.server.answers_once(response);
    for piece in pieces {
        sender.send(piece).await.unwrap();
    }
    drop(sender);
    place.post(token, &list()).await.text
}

#[test]
fn no_spelling_of_a_stream_leaks_a_tool() {
    guarded(
        |_| {},
        async |world, place| {
            let token = searcher(world, 5).await;
            for pieces in [
                vec![
                    "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"tools\":[{\"name\":\"search_tickets\"},{\"name\":\"close_ticket\"}],\"nextCursor\":\"c\"}}\n\n",
                ],
                vec![
                    "id: 1\r\ndata:\r\n\r\n",
                    "data: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"tools\":[{\"name\":\"search_tickets\"},\r\n",
                    "data: {\"name\":\"close_ticket\"}],\"nextCursor\":\"c\"}}\r\n\r\n",
                ],
                vec![
                    "\u{feff}data: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"nextCursor\":\"c\",\"tools\":[{\"name\":\"search_tickets\"},{\"n\\u0061me\":\"close\\u005fticket\"}]}}\r\r:",
                ],
                vec![
                    ": ping\n\n",
                    "data: [{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"tools\":[{\"name\":\"search_tickets\"},{\"name\":\"close_ticket\"}],\"nextCursor\":\"c\"}}]\n\n",
                ],
                vec![
                    "data: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"too",
                    "ls\":[{\"name\":\"search_tickets\"},{\"name\":\"close_tic",
                    "ket\"}],\"nextCursor\":\"c\"}}\n",
                    "\n",
                ],
            ] {
                let text = streamed(place, &token, &pieces).await;
                assert!(
                    text.contains("search_tickets") && text.contains("nextCursor"),
                    "{pieces:?}: {text:?}"
                );
                assert!(!text.contains("close"), "{pieces:?}: {text:?}");
            }
            // What can't be read with certainty isn't passed on, and the client learns it.
            for pieces in [
                vec![
                    "data: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"tools\":[],\"tools\":[{\"name\":\"close_ticket\"}]}}\n\n",
                ],
                vec!["data: close_ticket\n\n"],
                vec!["data: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"tools\":{\"close_ticket\":1}}}\n\n"],
            ] {
                let text = streamed(place, &token, &pieces).await;
                assert!(
                    !text.contains("close") && text.contains("upstream_malformed"),
                    "{pieces:?}: {text:?}"
                );
            }
            // An event without its end is none.
            assert_eq!(
                streamed(place, &token, &["data: {\"result\":{\"tools\":[\"close_ticket\"]}}\n"]).await,
                ""
            );
        },
    );
}

#[test]
fn a_list_that_cannot_be_read_is_withheld() {
    guarded(
        |_| {},
        async |world, place| {
            let token = searcher(world, 5).await;
            for (content_type, encoding, body) in [
                (
                    "application/json",
                    "",
                    "{\"result\":{\"tools\":[{\"name\":\"close_ticket\"}]},\"result\":{}}",
                ),
                ("text/plain", "", "{\"result\":{\"tools\":[{\"name\":\"close_ticket\"}]}}"),
                ("application/json", "gzip", "close_ticket"),
                ("application/json", "", "close_ticket"),
            ] {
                place.server.answers(move |_| {
                    let mut response = http::Response::builder().header("content-type", content_type);
                    if !encoding.is_empty() {
                        response = response.header("content-encoding", encoding);
                    }
                    response.body(axum::body::Body::from(body)).unwrap()
                });
                let reply = place.post(&token, &list()).await;
                assert_rpc(&reply, 502, -32_603, "upstream_malformed");
                assert!(!reply.text.contains("close_ticket"));
            }
            assert_eq!(place.server.last().headers["accept-encoding"], "identity");
        },
    );
}
