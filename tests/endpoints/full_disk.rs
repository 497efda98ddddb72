//! A disk that is nearly full: what is refused then, and what goes on. `conformance/faults` fills a real one.

use reqwest::Method;
use serde_json::json;

use crate::harness::{Engine, TICKETS, World, assert_refused, claims, on_both_engines};

on_both_engines!(what_is_kept_back_is_for_revocations,);

/// Whether an enforcer that came in by its own token, and so spends nothing, is told that this token is good.
async fn is_active(world: &World, token: &str) -> bool {
    let own = world.for_itself("tickets-guard", &format!("{}/oauth/introspect", world.issuer));
    let bearer = format!("Bearer {}", world.post(&own).await.ok().token());
    let form = world.bare("/oauth/introspect").header("authorization", bearer).add("token", token);
    world.post(&form).await.is_active()
}

async fn what_is_kept_back_is_for_revocations(world: &mut World) {
    let (cut, handed_back) = (world.alices().await, world.alices().await);
    // No disk has that much.
    world.config.disk_reserve_mib = u32::MAX;
    world.restart().await;
    let minting = world.post(&world.for_itself("summarizer", TICKETS)).await;
    if world.engine == Engine::Postgres {
        // Its disk is its operator's.
        return drop(minting.ok());
    }
    let records = world.token_records().await;
    for form in
        [world.for_person("triage", "alice").add("scope", "tickets.read"), world.onward("summarizer", &cut)]
    {
        assert_refused(&world.post(&form).await, 503, "temporarily_unavailable", "disk_nearly_full");
    }
    assert_refused(&minting, 503, "temporarily_unavailable", "disk_nearly_full");
    assert_eq!(minting.header("retry-after"), "1");
    assert_eq!(world.token_records().await, records);
    // A refusal that can't be recorded isn't told as one.
    let stranger = world.call("junk", Method::GET, "/audit", None).await;
    assert_refused(&stranger, 503, "temporarily_unavailable", "disk_nearly_full");

    // Administrators come in, tokens are introspected, and revocations are made and recorded.
    let rows = world.audit("main").await.len();
    assert!(is_active(world, &cut).await);
    world.cut("token", claims(&cut)["jti"].clone()).await.ok();
    world.revoke("triage", &handed_back).await.ok();
    assert!(!is_active(world, &cut).await && !is_active(world, &handed_back).await);
    let written: Vec<_> = world.audit("main").await.split_off(rows);
    let revocations = written.iter().filter(|row| row.event["event"] == "revocation");
    assert_eq!(
        revocations.map(|row| row.event["granted"].clone()).collect::<Vec<_>>(),
        [json!(true), json!(true)]
    );
}
