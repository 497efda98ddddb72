//! Evidence: every decision is in the issuer's chain, once, however often the wire breaks.

use http::StatusCode;
use serde_json::{Value, json};

use super::place::{assert_rpc, call, guarded, request, searcher, until};
use crate::harness::{Reply, TICKETS, World, assert_refused, on_both_engines};

async fn enforcements(world: &World) -> Vec<Value> {
    let rows = world.audit("main").await;
    rows.into_iter().map(|row| row.event).filter(|event| event["event"] == "enforcement").collect()
}

#[test]
fn each_decision_is_one_row_with_what_it_was_decided_under() {
    guarded(
        |_| {},
        async |world, place| {
            let token = searcher(world, 5).await;
            place.post(&token, &call("search_tickets", json!({"limit": 1}))).await;
            place.post(&token, &call("close_ticket", json!({"secret": "argument"}))).await;
            place.post(&token, &request("ping", json!({}))).await;
            place.post("", &request("ping", json!({}))).await;
            until("they are delivered", async || enforcements(world).await.len() >= 3).await;
            let rows = enforcements(world).await;
            let claims = crate::harness::claims(&token);
            let told: Vec<_> =
                rows.iter().map(|row| (row["granted"].as_bool().unwrap(), row["rule"].as_str())).collect();
            assert_eq!(
                told,
                [(true, None), (false, Some("tool_not_granted")), (false, Some("token_missing"))]
            );
            for (row, tool) in rows.iter().zip(["search_tickets", "close_ticket"]) {
                for name in ["sub", "act", "task", "client_id", "jti"] {
                    assert_eq!(row[name], claims[name], "{name}");
                }
                assert_eq!((&row["resource"], &row["rev"]), (&json!(TICKETS), &claims["rev"]));
                let detail = &row["detail"];
                assert_eq!((&detail["tool"], &detail["enforcer"]), (&json!(tool), &json!("tickets-guard")));
                assert_eq!(detail["at"], world.now());
                assert!(detail["lease_age_ms"].is_u64(), "{detail}");
            }
            assert!(!rows.iter().any(|row| row.to_string().contains("secret")), "no arguments");
        },
    );
}

#[test]
fn evidence_outlives_the_guard_and_the_issuers_absence() {
    guarded(
        |_| {},
        async |world, place| {
            let token = searcher(world, 5).await;
            world.halt().await;
            for _ in 0..3 {
                assert_eq!(
                    place.post(&token, &call("search_tickets", json!({"limit": 1}))).await.status,
                    200
                );
            }
            place.stop_guard().await;
            world.revive().await;
            assert_eq!(enforcements(world).await.len(), 0);
            place.resume(world).await;
            until("they are delivered", async || enforcements(world).await.len() == 3).await;
            tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
            assert_eq!(enforcements(world).await.len(), 3, "once");
        },
    );
}

#[test]
fn a_full_spool_refuses_calls() {
    guarded(
        |args| args.spool_bytes = Some(2000),
        async |world, place| {
            let token = searcher(world, 5).await;
            let ask = call("search_tickets", json!({"limit": 1}));
            world.halt().await;
            let mut refused = None;
            for _ in 0..10 {
                let (reply, reached) = place.reaching(place.post(&token, &ask)).await;
                if reply.status != 200 {
                    assert!(reached.is_empty());
                    refused = Some(reply);
                    break;
                }
            }
            assert_refused(
                &refused.expect("it is full"),
                503,
                "temporarily_unavailable",
                "evidence_not_writable",
            );
            // What needs no evidence goes on; readiness tells.
            assert_eq!(place.post(&token, &request("ping", json!({}))).await.status, 200);
            world.revive().await;
            until("there is room again", async || place.post(&token, &ask).await.status == 200).await;
        },
    );
}

#[test]
fn what_a_revoked_token_is_refused_is_recorded_with_its_agent() {
    guarded(
        |_| {},
        async |world, place| {
            let token = searcher(world, 5).await;
            let ask = call("search_tickets", json!({"limit": 1}));
            assert_eq!(place.post(&token, &ask).await.status, 200);
            world.cut("agent", "triage").await.ok();
            until("it is refused", async || place.post(&token, &ask).await.status == 401).await;
            let body = json!({ "token": token, "tool": "search_tickets", "arguments": {} });
            let answer = place.http.post(place.local("/v1/authorize")).json(&body).send().await.unwrap();
            assert_eq!(Reply::read(answer).await.json["rule"], "token_revoked");
            // Somebody else's letters under its name are nobody's.
            let (head, letter, tail) =
                (&token[..token.len() - 9], &token[token.len() - 9..][..1], &token[token.len() - 8..]);
            let forged = format!("{head}{}{tail}", if letter == "A" { "B" } else { "A" });
            assert_eq!(place.post(&forged, &ask).await.status, 401);
            let of = async |rule: &str| {
                enforcements(world).await.into_iter().filter(|row| row["rule"] == rule).collect::<Vec<_>>()
            };
            until("they are delivered", async || {
                of("token_revoked").await.len() >= 2 && of("signature_wrong").await.len() == 1
            })
            .await;
            let claims = crate::harness::claims(&token);
            for row in of("token_revoked").await {
                for name in ["sub", "act", "task", "client_id", "jti"] {
                    assert_eq!(row[name], claims[name], "{name}");
                }
            }
            assert!(of("signature_wrong").await[0].get("act").is_none());
        },
    );
}

on_both_engines!(
    takes_a_batch_once,
    refuses_batches_of_others,
    refuses_what_is_no_batch,
    a_runaway_enforcer_is_told_to_wait
);

async fn a_runaway_enforcer_is_told_to_wait(world: &mut World) {
    world.config.token_limit_per_second = 100;
    world.restart().await;
    let (token, other) = (reporter(world, "tickets-guard").await, reporter(world, "archive-guard").await);
    // The same batch again and again: it counts, and costs this test nothing.
    let events: Vec<_> = (0..512).map(|_| decision(&json!({}))).collect();
    let body = json!({ "batch": BATCH, "events": events });
    let mut taken = 0;
    let told = loop {
        let reply = bring(world, &token, &body).await;
        if reply.status != 204 {
            break reply;
        }
        taken += 1;
        assert!(taken < 400, "there is no limit");
    };
    assert_refused(&told, 429, "slow_down", "too_many_requests");
    assert!(taken >= 39 && told.header("retry-after") == "1", "{taken}");
    // It is its own limit.
    let foreign =
        json!({ "batch": BATCH, "events": [decision(&json!({"resource": "https://archive.example.com"}))] });
    assert_eq!(bring(world, &other, &foreign).await.status, 204);
}

async fn bring(world: &World, token: &str, body: &Value) -> Reply {
    let request =
        world.http.post(format!("{}/revocation/decisions", world.issuer)).bearer_auth(token).json(body);
    Reply::read(request.send().await.unwrap()).await
}

async fn reporter(world: &World, enforcer: &str) -> String {
    let form = world.for_itself(enforcer, &format!("{}/revocation", world.issuer)).add("scope", "revocation");
    world.post(&form).await.ok().token()
}

fn decision(changes: &Value) -> Value {
    let mut decision = json!({ "event": "enforcement", "granted": true, "resource": TICKETS, "at": 1_800_000_000,
        "jti": "tok_1", "sub": "usr_1", "act": { "sub": "triage" }, "client_id": "triage", "task": "tsk_1",
        "tool": "search_tickets", "rev": "abc.4", "lease_age_ms": 12 });
    for (name, value) in changes.as_object().unwrap() {
        decision[name] = value.clone();
    }
    decision
}

const BATCH: &str = "0123456789abcdef0123456789abcdef";

async fn takes_a_batch_once(world: &mut World) {
    let token = reporter(world, "tickets-guard").await;
    let body = json!({ "batch": BATCH, "events": [decision(&json!({})), decision(&json!({"granted": false, "rule": "tool_not_granted"}))] });
    for _ in 0..3 {
        let reply = bring(world, &token, &body).await;
        assert_eq!((reply.status, reply.text.as_str()), (StatusCode::NO_CONTENT.as_u16(), ""));
    }
    let rows = enforcements(world).await;
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert_eq!((&rows[1]["rule"], &rows[1]["rev"]), (&json!("tool_not_granted"), &json!("abc.4")));
    world.restart().await;
    assert_eq!(bring(world, &token, &body).await.status, 204);
    // The same id of another enforcer is another batch.
    let mut foreign = body.clone();
    foreign["events"] = json!([decision(&json!({"resource": "https://archive.example.com"}))]);
    assert_eq!(bring(world, &reporter(world, "archive-guard").await, &foreign).await.status, 204);
    assert_eq!(enforcements(world).await.len(), 3);
    // Many at once: one of them is written.
    let racing = json!({ "batch": "ffffffffffffffff", "events": [decision(&json!({}))] });
    let replies = futures_util::future::join_all((0..8).map(|_| bring(world, &token, &racing))).await;
    assert!(replies.iter().all(|reply| reply.status == 204));
    assert_eq!(enforcements(world).await.len(), 4);
}

async fn refuses_batches_of_others(world: &mut World) {
    let body = json!({ "batch": BATCH, "events": [decision(&json!({}))] });
    let api = reporter(world, "api-guard").await;
    assert_refused(&bring(world, &api, &body).await, 400, "invalid_request", "decision_of_other_resource");
    let introspection = world
        .post(&world.for_itself("tickets-guard", &format!("{}/oauth/introspect", world.issuer)))
        .await
        .ok()
        .token();
    let acme = world.tenant("acme");
    let form =
        acme.for_itself("tickets-guard", &format!("{}/revocation", acme.issuer)).add("scope", "revocation");
    let acmes = acme.post(&form).await.ok().token();
    for token in
        ["abc".to_owned(), introspection, acmes, world.alices().await, world.admin_token("admin").await]
    {
        let reply = bring(world, &token, &body).await;
        assert_refused(&reply, 401, "invalid_token", "access_token_not_accepted");
    }
    let own = reporter(world, "tickets-guard").await;
    world.cut("client", "tickets-guard").await;
    let reply = bring(world, &own, &body).await;
    assert!([204, 401].contains(&reply.status), "{}", reply.text);
    assert!(enforcements(world).await.len() <= 1);
}

async fn refuses_what_is_no_batch(world: &mut World) {
    let token = reporter(world, "tickets-guard").await;
    let many: Vec<_> = (0..513).map(|_| decision(&json!({}))).collect();
    for body in [
        json!({ "batch": "short", "events": [] }),
        json!({ "batch": format!("{BATCH}'"), "events": [] }),
        json!({ "batch": BATCH, "events": many }),
        json!({ "batch": BATCH, "events": [decision(&json!({"rule": "x"}))] }),
        json!({ "batch": BATCH, "events": [decision(&json!({"granted": false}))] }),
        json!({ "batch": BATCH, "events": [decision(&json!({"granted": false, "rule": "Not a name"}))] }),
        json!({ "batch": BATCH, "events": [decision(&json!({"event": "token"}))] }),
        json!({ "batch": BATCH, "events": [decision(&json!({"tool": "x".repeat(2000)}))] }),
        json!({ "batch": BATCH, "events": [decision(&json!({"surprise": 1}))] }),
        json!({ "batch": BATCH }),
    ] {
        let reply = bring(world, &token, &body).await;
        assert_eq!((reply.status, &reply.json["error"]), (400, &json!("invalid_request")), "{}", reply.text);
    }
    let huge = json!({ "batch": "x".repeat(2 << 20), "events": [] });
    assert_eq!(bring(world, &token, &huge).await.status, 413);
    assert_eq!(enforcements(world).await.len(), 0);
}

#[test]
fn a_refusal_without_evidence_stays_a_refusal() {
    guarded(
        |args| args.spool_bytes = Some(10),
        async |world, place| {
            let token = searcher(world, 5).await;
            let reply = place.post(&token, &call("close_ticket", json!({}))).await;
            assert_rpc(&reply, 200, -32_003, "tool_not_granted");
            assert_eq!(place.post("", &request("ping", json!({}))).await.status, 401);
        },
    );
}

#[test]
fn strangers_cannot_fill_the_chain() {
    guarded(
        |_| {},
        async |world, place| {
            for _ in 0..200 {
                assert_eq!(place.post("", &request("ping", json!({}))).await.status, 401);
            }
            let token = searcher(world, 5).await;
            place.post(&token, &call("close_ticket", json!({}))).await;
            until("all is delivered", async || {
                enforcements(world).await.iter().any(|row| row["rule"] == "tool_not_granted")
            })
            .await;
            let strangers =
                enforcements(world).await.iter().filter(|row| row["rule"] == "token_missing").count();
            assert!((100..180).contains(&strangers), "{strangers}");
        },
    );
}
