//! A dry run: everything is decided and written down, and everything passes.

use serde_json::json;

use super::place::{MODERN, call, guarded, request, searcher, until};

#[test]
fn a_dry_run_lets_pass_what_it_would_refuse_and_writes_it_down() {
    guarded(
        |args| args.dry_run = true,
        async |world, place| {
            let token = searcher(world, 5).await;
            let forbidden = call("close_ticket", json!({}));
            assert_eq!(place.post(&token, &forbidden).await.json["result"]["content"][0]["text"], "done");
            assert!(!place.server.last().headers.contains_key("authorization"));
            assert_eq!(place.post("", &forbidden).await.status, 200);
            let batch = json!([forbidden]).to_string();
            place.send(&token, batch.clone(), &[]).await;
            assert_eq!(place.server.last().body, batch.as_bytes());
            place.send(&token, forbidden.to_string(), &[("mcp-protocol-version", MODERN)]).await;
            let list = place.post(&token, &request("tools/list", json!({}))).await;
            assert_eq!(list.json["result"]["tools"].as_array().unwrap().len(), 3);
            // A credential of the server's own passes, one of ours never does, not even a dead one.
            place.send("", forbidden.to_string(), &[("authorization", "Bearer own-key-of-the-server")]).await;
            assert_eq!(place.server.last().headers["authorization"], "Bearer own-key-of-the-server");
            world.cut("agent", "triage").await.ok();
            until("the token is dead", async || {
                place.post(&token, &call("search_tickets", json!({"limit": 1}))).await;
                assert!(!place.server.last().headers.contains_key("authorization"));
                !place.server.last().headers.contains_key("x-taskpass-sub")
            })
            .await;
            until("the refusals are in the chain", async || {
                let rows = world.audit("main").await;
                let told = |rule: &str| {
                    rows.iter().any(|row| row.event["rule"] == rule && row.event["detail"]["dry_run"] == true)
                };
                ["tool_not_granted", "token_missing", "batch_not_allowed", "header_mismatch", "token_revoked"]
                    .into_iter()
                    .all(told)
            })
            .await;
        },
    );
}
