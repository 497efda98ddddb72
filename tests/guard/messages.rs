//! Messages: what the guard reads is what the server reads, or nothing is.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::place::{MODERN, assert_rpc, call, guarded, modern, request, searcher, token, whole};
use crate::harness::assert_refused;

/// Sends bytes as they are, and reads until the other side closes or nothing comes for a while.
pub(crate) async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut reply = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(3), stream.read_to_end(&mut reply)).await;
    String::from_utf8_lossy(&reply).into_owned()
}

#[test]
fn refuses_calls_that_were_not_granted() {
    guarded(
        |_| {},
        async |world, place| {
            let token = searcher(world, 5).await;
            for (message, rule, at) in [
                (call("close_ticket", json!({})), "tool_not_granted", None),
                (call("Search_tickets", json!({})), "tool_not_granted", None),
                (call("search_tickets\u{0}", json!({})), "tool_not_granted", None),
                (call("search_tickets", json!({"limit": 6})), "argument_refused", Some("/limit")),
                (call("search_tickets", json!({"limit": 5.000_000_001})), "argument_refused", Some("/limit")),
                (call("search_tickets", json!({"limit": "5"})), "argument_refused", Some("/limit")),
                (call("search_tickets", json!({"limit": null})), "argument_refused", Some("/limit")),
                (call("search_tickets", json!({"limit": 1e300})), "argument_refused", Some("/limit")),
            ] {
                for modern in [false, true] {
                    let sent = async {
                        if modern && !message["params"]["name"].as_str().unwrap().contains('\u{0}') {
                            place.modern(&token, &message).await
                        } else {
                            place.post(&token, &message).await
                        }
                    };
                    let (reply, reached) = place.reaching(sent).await;
                    assert_rpc(&reply, 200, -32_003, rule);
                    assert_eq!(reply.json["error"]["data"]["at"].as_str(), at);
                    assert_eq!(reply.json["id"], 7);
                    assert!(reached.is_empty(), "{message}");
                    let challenge = &reply.json["error"]["data"]["challenge"];
                    assert_eq!(challenge["error"], "insufficient_scope");
                    let needed = &challenge["authorization_details"][0]["tools"][0];
                    assert_eq!(needed["name"], message["params"]["name"]);
                    assert!(reply.header("www-authenticate").contains("insufficient_scope"));
                }
            }
            let reply = place.post(&token, &call("search_tickets", json!({"limit": 6}))).await;
            let needed = &reply.json["error"]["data"]["challenge"]["authorization_details"][0]["tools"][0];
            assert_eq!(needed["arguments"], json!({"/limit": {"const": 6}}));
            for limit in [json!(5), json!(5.0), json!(0), json!(-3)] {
                assert_eq!(
                    place.post(&token, &call("search_tickets", json!({"limit": limit}))).await.status,
                    200
                );
            }
        },
    );
}

#[test]
fn clients_that_step_up_are_told_by_403() {
    guarded(
        |args| args.step_up = true,
        async |world, place| {
            let token = searcher(world, 5).await;
            let reply = place.modern(&token, &call("close_ticket", json!({}))).await;
            assert_rpc(&reply, 403, -32_003, "tool_not_granted");
            let challenge = reply.header("www-authenticate");
            assert!(challenge.contains("error=\"insufficient_scope\"") && challenge.len() < 4096);
            assert!(
                challenge.contains(r#"authorization_details="[{\"type\":\"mcp_tool_call\""#),
                "{challenge}"
            );
        },
    );
}

#[test]
fn a_switched_off_tool_is_refused_and_the_token_lives() {
    guarded(
        |_| {},
        async |world, place| {
            let token = token(world, &whole(&["get_ticket", "close_ticket"])).await;
            world.cut("tool", "https://tickets.example.com/mcp#close_ticket").await.ok();
            super::place::until("the tool is off", async || {
                place.post(&token, &call("close_ticket", json!({}))).await.json["error"]["data"]["rule"]
                    == "tool_switched_off"
            })
            .await;
            let reply = place.post(&token, &call("close_ticket", json!({}))).await;
            assert_rpc(&reply, 200, -32_003, "tool_switched_off");
            assert_eq!(reply.header("www-authenticate"), "", "no other token would help");
            assert_eq!(place.post(&token, &call("get_ticket", json!({}))).await.status, 200);
        },
    );
}

#[test]
fn refuses_bodies_with_two_readings() {
    guarded(
        |_| {},
        async |world, place| {
            let token = searcher(world, 5).await;
            let deep = format!(
                r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"search_tickets","arguments":{{"x":{}{}}}}}}}"#,
                "[".repeat(200),
                "]".repeat(200)
            );
            let shapes: Vec<(String, i64, &str)> = [
            (r#"{"jsonrpc":"2.0","id":7,"method":"ping","method":"tools/call","params":{"name":"close_ticket"}}"#, -32_700, "json_malformed"),
            (r#"{"jsonrpc":"2.0","id":7,"method":"ping","\u006dethod":"tools/call","params":{"name":"close_ticket"}}"#, -32_700, "json_malformed"),
            (r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"search_tickets","name":"close_ticket"}}"#, -32_700, "json_malformed"),
            (r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"search_tickets"},"params":{"name":"close_ticket"}}"#, -32_700, "json_malformed"),
            (r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"search_tickets","arguments":{"limit":5,"limit":50}}}"#, -32_700, "json_malformed"),
            (r#"{"jsonrpc":"2.0","id":7,"method":"ping","METHOD":"tools/call","params":{"name":"close_ticket"}}"#, -32_600, "message_malformed"),
            (r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"search_tickets","Name":"close_ticket"}}"#, -32_602, "members_alike"),
            (r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"search_tickets","arguments":{"Limit":5000}}}"#, -32_602, "member_disguised"),
            (r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"search_tickets","arguments":{"limit":5,"LIMIT":5000}}}"#, -32_602, "members_alike"),
            (r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"search_tickets","\u0041rguments":{}}}"#, -32_602, "member_disguised"),
            (r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"search_tickets","arguments":[5]}}"#, -32_602, "params_malformed"),
            (r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":["search_tickets"]}}"#, -32_602, "params_malformed"),
            (r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{}}"#, -32_602, "params_malformed"),
            (r#"{"jsonrpc":"2.0","id":7,"method":"tools/call"} {"jsonrpc":"2.0","id":8,"method":"tools/call"}"#, -32_700, "json_malformed"),
            (r#"[{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"close_ticket"}}]"#, -32_600, "batch_not_allowed"),
            ("\u{feff}{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\"}", -32_700, "json_malformed"),
            ("", -32_700, "json_malformed"),
            (&deep, -32_700, "json_malformed"),
        ]
        .into_iter()
        .map(|(text, code, rule)| (text.to_owned(), code, rule))
        .collect();
            for (text, code, rule) in shapes {
                let (reply, reached) = place.reaching(place.send(&token, text.clone(), &[])).await;
                assert_eq!(reply.status, 400, "{text}: {}", reply.text);
                assert_rpc(&reply, 400, code, rule);
                assert!(reached.is_empty(), "{text}");
            }
        },
    );
}

#[test]
fn refuses_calls_that_hide_in_other_messages() {
    guarded(
        |_| {},
        async |world, place| {
            let token = searcher(world, 50).await;
            let told = |method: &str| json!({"jsonrpc": "2.0", "method": method, "params": {"name": "close_ticket"}});
            for method in ["tools/call", "notifications/tools/call", "tools/list", "close_ticket"] {
                let (reply, reached) = place.reaching(place.post(&token, &told(method))).await;
                assert_rpc(&reply, 400, -32_601, "method_not_allowed");
                assert!(reached.is_empty(), "{method}");
            }
            for method in [
                "resources/read",
                "prompts/get",
                "completion/complete",
                "tasks/result",
                "tools/run",
                "Tools/Call",
            ] {
                let (reply, reached) =
                    place.reaching(place.post(&token, &request(method, json!({"name": "a"})))).await;
                assert_rpc(&reply, 200, -32_601, "method_not_allowed");
                assert!(reached.is_empty(), "{method}");
            }
            let reply = place.modern(&token, &request("completion/complete", json!({}))).await;
            assert_rpc(&reply, 404, -32_601, "method_not_allowed");
            let (reply, reached) = place
                .reaching(
                    place.post(&token, &json!({"jsonrpc": "2.0", "id": 1, "result": {"action": "accept"}})),
                )
                .await;
            assert_rpc(&reply, 400, -32_600, "response_not_expected");
            assert!(reached.is_empty());
            assert_eq!(
                place
                    .post(&token, &json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))
                    .await
                    .status,
                202
            );
            for harmless in ["initialize", "ping", "logging/setLevel"] {
                assert_eq!(place.post(&token, &request(harmless, json!({}))).await.status, 200, "{harmless}");
            }
            assert_eq!(place.modern(&token, &request("server/discover", json!({}))).await.status, 200);
        },
    );
}

#[test]
fn the_operator_may_let_more_through() {
    guarded(
        |args| args.allow = vec![taskpass::config::Allowed::Resources],
        async |world, place| {
            let token = searcher(world, 5).await;
            let read = request("resources/read", json!({"uri": "file:///a"}));
            assert_eq!(place.post(&token, &read).await.status, 200);
            let headers = [
                ("mcp-protocol-version", MODERN),
                ("mcp-method", "resources/read"),
                ("mcp-name", "file:///b"),
            ];
            assert_rpc(
                &place.send(&token, modern(read).to_string(), &headers).await,
                400,
                -32_020,
                "header_mismatch",
            );
            assert_rpc(
                &place.post(&token, &request("prompts/get", json!({}))).await,
                200,
                -32_601,
                "method_not_allowed",
            );
        },
    );
}

#[test]
fn headers_and_body_say_the_same() {
    guarded(
        |_| {},
        async |world, place| {
            let token = token(world, &whole(&["get_ticket"])).await;
            let body = modern(call("get_ticket", json!({}))).to_string();
            let good =
                [("mcp-protocol-version", MODERN), ("mcp-method", "tools/call"), ("mcp-name", "get_ticket")];
            assert_eq!(place.send(&token, body.clone(), &good).await.status, 200);
            let encoded = [good[0], good[1], ("mcp-name", "=?base64?Z2V0X3RpY2tldA==?=")];
            assert_eq!(place.send(&token, body.clone(), &encoded).await.status, 200);
            let mut shapes: Vec<Vec<(&str, &str)>> = vec![
                vec![good[0], good[1], ("mcp-name", "close_ticket")],
                vec![good[0], good[1], ("mcp-name", "Get_ticket")],
                vec![good[0], good[1], ("mcp-name", "=?base64?Y2xvc2VfdGlja2V0?=")],
                vec![good[0], good[1], ("mcp-name", "=?base64?!!?=")],
                vec![good[0], ("mcp-method", "ping"), good[2]],
                vec![("mcp-protocol-version", "2025-11-25"), good[1], good[2]],
                vec![good[1], good[2]],
                vec![("mcp-method", "tools/call"), ("mcp-name", "get_ticket")],
            ];
            for left_out in 0..3 {
                let mut some = good.to_vec();
                some.remove(left_out);
                shapes.push(some);
            }
            for repeated in good {
                let mut twice = good.to_vec();
                twice.push(repeated);
                shapes.push(twice);
            }
            for headers in shapes {
                let (reply, reached) = place.reaching(place.send(&token, body.clone(), &headers)).await;
                assert_rpc(&reply, 400, -32_020, "header_mismatch");
                assert_eq!(reply.json["id"], 7);
                assert!(reached.is_empty(), "{headers:?}");
            }
            // A modern header over a body of before, and the other way round, have two readings.
            let old = call("get_ticket", json!({})).to_string();
            assert_rpc(&place.send(&token, old.clone(), &good).await, 400, -32_020, "header_mismatch");
            assert_rpc(&place.send(&token, body, &[]).await, 400, -32_020, "header_mismatch");
            let unknown = place.send(&token, old, &[("mcp-protocol-version", "2031-01-01")]).await;
            assert_rpc(&unknown, 400, -32_022, "version_unsupported");
            assert!(unknown.json["error"]["data"]["supported"].as_array().unwrap().contains(&json!(MODERN)));
        },
    );
}

#[test]
fn refuses_bodies_that_are_not_plain_json() {
    guarded(
        |args| args.max_body = Some(2000),
        async |world, place| {
            let token = searcher(world, 5).await;
            let ping = request("ping", json!({})).to_string();
            for headers in [
                vec![("content-type", "text/plain")],
                vec![("content-type", "application/json; charset=utf-16")],
                vec![("content-encoding", "gzip")],
            ] {
                let (reply, reached) = place.reaching(place.send(&token, ping.clone(), &headers)).await;
                assert_refused(&reply, 415, "invalid_request", "content_type_wrong");
                assert!(reached.is_empty());
            }
            let huge = request("ping", json!({"x": "y".repeat(3000)})).to_string();
            let (reply, reached) = place.reaching(place.send(&token, huge, &[])).await;
            assert_refused(&reply, 413, "invalid_request", "body_too_large");
            assert!(reached.is_empty());
            let (reply, reached) = place.reaching(place.send(&token, vec![0xff, 0xfe, b'{', 0], &[])).await;
            assert_rpc(&reply, 400, -32_700, "json_malformed");
            assert!(reached.is_empty());
        },
    );
}

#[test]
fn refuses_conflicting_lengths_and_closes() {
    guarded(
        |_| {},
        async |world, place| {
            let token = searcher(world, 5).await;
            let inner = call("close_ticket", json!({})).to_string();
            let head = format!(
                "POST /mcp HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n"
            );
            for lengths in [
                "content-length: 5\r\ncontent-length: 6\r\n".to_owned(),
                format!("content-length: {}\r\ntransfer-encoding: chunked\r\n", inner.len()),
                "transfer-encoding: chunked, identity\r\n".to_owned(),
            ] {
                let text = format!("{head}{lengths}\r\n0\r\n\r\n{inner}");
                let (reply, reached) = place.reaching(raw(place.address(), text.as_bytes())).await;
                // Refused, or dropped without a word; in any case the connection is over, and nothing has a second reading.
                assert!(reply.is_empty() || reply.starts_with("HTTP/1.1 400"), "{lengths}: {reply}");
                assert!(reply.matches("HTTP/1.1").count() <= 1, "{lengths}: {reply}");
                assert!(
                    !reached.iter().any(|seen| seen.json["params"]["name"] == "close_ticket"),
                    "{lengths}"
                );
            }
        },
    );
}

#[test]
fn the_bytes_that_were_judged_are_the_bytes_that_arrive() {
    guarded(
        |_| {},
        async |world, place| {
            let token = searcher(world, 50).await;
            let text = "{ \"params\" : {\"arguments\":{\"limit\":5e0,\"q\":\"caf\\u00e9 \\ud83d\\ude00\"},\"name\":\"search_tickets\"},\n \"method\":\"tools/call\",\"id\":7,\"jsonrpc\":\"2.0\"}\n";
            assert_eq!(place.send(&token, text, &[]).await.status, 200);
            assert_eq!(place.server.last().body, text.as_bytes());
            assert_eq!(place.server.last().json["params"]["arguments"]["limit"], Value::from(5.0));
        },
    );
}
