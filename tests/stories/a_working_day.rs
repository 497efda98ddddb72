//! An agent asks, a sub-agent gets less, the server behind goes on, everybody renews, and the task is handed back.

use serde_json::json;

use crate::harness::{API, World, claims, on_both_engines, search};

on_both_engines!(from_the_first_token_to_the_last);

async fn from_the_first_token_to_the_last(world: &mut World) {
    let morning = world
        .for_person("triage", "alice")
        .add("authorization_details", search(50))
        .add("task_lifetime", 3600);
    let morning = world.post(&morning).await.ok();
    let (task, deadline) = (morning.json["task"].clone(), morning.json["task_deadline"].as_i64().unwrap());
    let narrow = world.onward("summarizer", &morning.token()).add("authorization_details", search(5));
    let mut child = world.post(&narrow).await.ok().token();
    let mut own = morning.token();
    let behind = world.post(&world.onward("tickets-server", &child).set("resource", API)).await.ok();
    assert_eq!(behind.json["scope"], "api.read");
    assert_eq!(behind.claims()["act"]["act"]["act"]["sub"], "triage");
    // Renewals, until the deadline cuts the last one short.
    loop {
        let (mine, below) = (claims(&own)["exp"].as_i64().unwrap(), claims(&child)["exp"].as_i64().unwrap());
        world.advance(mine.min(below) - world.now() - 1).await;
        own = world.post(&world.onward("triage", &own)).await.ok().token();
        child = world.post(&world.onward("summarizer", &child)).await.ok().token();
        assert_eq!(claims(&own)["task"], task);
        assert_eq!(claims(&child)["authorization_details"], search(5));
        assert_eq!(claims(&child)["task_ancestors"], json!([task]));
        if claims(&own)["exp"].as_i64() == Some(deadline) {
            break;
        }
    }
    assert!(world.is_active(&own).await && world.is_active(&child).await);
    world.revoke("triage", &own).await.ok();
    assert!(!world.is_active(&own).await && !world.is_active(&child).await);
    for (agent, token) in [("triage", &own), ("summarizer", &child)] {
        world.refuses(&world.onward(agent, token), 400, "invalid_request", "subject_token_revoked").await;
    }
    world.restart().await;
    assert!(!world.is_active(&child).await);
    // Tomorrow is another task; the consent is the same until it ends.
    let next = world.post(&world.for_person("triage", "alice")).await.ok();
    assert_ne!(next.json["task"], task);
    world.advance(86_400).await;
    world.refuses(&world.for_person("triage", "alice"), 400, "invalid_request", "consent_expired").await;
}
