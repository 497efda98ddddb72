//! The revocation feed: who may read it, what it says, and the enforcer that follows it over real HTTP.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use taskpass::enforcer::{Config, Credentials, EnforcementError, Enforcer, TokenRefusal};
use taskpass::jose::PrivateJwk;
use taskpass::protocol::resource::ResourceUri;

use crate::harness::{
    API, Engine, Form, Reply, TICKETS, Tenant, World, assert_refused, claims, on_both_engines,
};

on_both_engines!(
    only_enforcers_with_a_token_for_the_feed_may_read_it,
    a_snapshot_is_signed_and_shows_only_what_the_enforcer_may_see,
    a_lease_brings_what_is_lacking_and_refuses_what_cannot_be,
    a_stream_brings_each_cutoff_as_it_comes,
    an_enforcer_that_follows_refuses_what_is_cut_within_a_moment,
    an_enforcer_without_its_server_refuses_once_its_lease_has_run_out,
    a_token_ahead_of_the_enforcer_makes_it_catch_up,
    a_cut_tool_is_refused_and_the_token_lives_on,
    a_suspended_enforcer_is_sent_away,
    waiting_ends_when_every_enforcer_has_applied_it_and_a_receipt_says_so,
    waiting_ends_when_the_lease_of_a_lost_enforcer_has_run_out,
    a_database_that_was_set_back_gets_a_log_with_another_name,
    leases_of_the_other_node_count,
    a_database_from_before_a_change_of_name_is_noticed_at_the_start,
);

/// A form that asks for a token for the feed.
fn feed_form(tenant: &Tenant, enforcer: &str) -> Form {
    tenant.for_itself(enforcer, &format!("{}/revocation", tenant.issuer))
}

async fn feed_token(tenant: &Tenant, enforcer: &str) -> String {
    tenant.post(&feed_form(tenant, enforcer)).await.ok().token()
}

async fn lease(tenant: &Tenant, token: &str, body: &Value) -> Reply {
    let url = format!("{}/revocation/lease", tenant.issuer);
    Reply::read(tenant.http.post(url).bearer_auth(token).json(body).send().await.unwrap()).await
}

fn ask(generation: &Value, applied: u64) -> Value {
    json!({ "gen": generation, "applied_seq": applied, "nonce": "n1", "instance": "i1", "lease_seconds": 30 })
}

async fn snapshot(tenant: &Tenant, token: &str) -> Reply {
    let url = format!("{}/revocation/snapshot", tenant.issuer);
    Reply::read(tenant.http.get(url).bearer_auth(token).send().await.unwrap()).await
}

/// The tickets server's enforcer, following the log in this process.
fn enforcer(world: &World, lease_seconds: u64) -> Arc<Enforcer> {
    let key = PrivateJwk::parse(world.key("tickets-guard").private()).unwrap().signing_key().unwrap();
    let credentials = Credentials::new(&world.issuer, "tickets-guard", key);
    let config = Config::new(&world.issuer, ResourceUri::parse(TICKETS).unwrap())
        .clock(world.clock.clone())
        .follow_within(credentials, lease_seconds);
    Enforcer::new(config).unwrap()
}

async fn only_enforcers_with_a_token_for_the_feed_may_read_it(world: &mut World) {
    let good = feed_token(world, "tickets-guard").await;
    snapshot(world, &good).await.ok();
    let introspecting = world.for_itself("tickets-guard", &format!("{}/oauth/introspect", world.issuer));
    let introspecting = world.post(&introspecting).await.ok().token();
    let admin = world.admin_token("admin").await;
    let foreign = feed_token(&world.acme, "tickets-guard").await;
    let alices = world.alices().await;
    for (token, rule) in [
        (introspecting.as_str(), "access_token_not_accepted"),
        (&admin, "access_token_not_accepted"),
        (&foreign, "access_token_not_accepted"),
        (&alices, "access_token_not_accepted"),
        ("nonsense", "access_token_not_accepted"),
    ] {
        assert_refused(&snapshot(world, token).await, 401, "invalid_token", rule);
        assert_refused(&lease(world, token, &ask(&json!("g"), 0)).await, 401, "invalid_token", rule);
        let stream = world.http.get(format!("{}/revocation/stream", world.issuer)).bearer_auth(token);
        assert_refused(&Reply::read(stream.send().await.unwrap()).await, 401, "invalid_token", rule);
    }
    assert_refused(&world.get("/revocation/snapshot").await, 401, "invalid_token", "access_token_missing");
    // Nobody but an enforcer gets such a token in the first place.
    for client in ["triage", "admin", "editor"] {
        let refused = world.post(&feed_form(world, client)).await;
        assert!(refused.status >= 400, "{client}: {}", refused.text);
    }
}

async fn a_snapshot_is_signed_and_shows_only_what_the_enforcer_may_see(world: &mut World) {
    world.cut("agent", "relay").await.ok();
    world.cut("resource", API).await.ok();
    world.cut("tool", format!("{TICKETS}#close_ticket")).await.ok();
    let tickets = snapshot(world, &feed_token(world, "tickets-guard").await).await;
    assert_eq!(tickets.status, 200);
    let seen = |reply: &Reply| -> Vec<(u64, String)> {
        let cutoffs = claims(&reply.text)["cutoffs"].as_array().unwrap().clone();
        let entry =
            |cut: &Value| (cut["seq"].as_u64().unwrap(), cut["scope_kind"].as_str().unwrap().to_owned());
        cutoffs.iter().map(entry).collect()
    };
    assert_eq!(seen(&tickets), [(1, "agent".into()), (3, "tool".into())]);
    let api = snapshot(world, &feed_token(world, "api-guard").await).await;
    assert_eq!(seen(&api), [(1, "agent".into()), (2, "resource".into())]);
    assert_eq!(claims(&api.text)["seq"], 3, "what is hidden is counted all the same");
    // Nobody learns who cut it, or why.
    for member in ["reason", "actor", "a test"] {
        let payload = claims(&tickets.text).to_string();
        assert!(!payload.contains(member), "{member} in {payload}");
    }
}

async fn a_lease_brings_what_is_lacking_and_refuses_what_cannot_be(world: &mut World) {
    let token = feed_token(world, "tickets-guard").await;
    world.cut("agent", "relay").await.ok();
    world.cut("resource", API).await.ok();
    let log = claims(&snapshot(world, &token).await.text)["gen"].clone();
    let answer = lease(world, &token, &ask(&log, 0)).await.ok().json;
    assert_eq!(
        (&answer["head_seq"], &answer["nonce"], &answer["tenant"]),
        (&json!(2), &json!("n1"), &json!("main"))
    );
    assert_eq!(answer["cutoffs"], json!([{ "seq": 1, "scope_kind": "agent", "scope_id": "relay" }]));
    assert_eq!(lease(world, &token, &ask(&log, 2)).await.ok().json["cutoffs"], json!([]));
    assert_refused(&lease(world, &token, &ask(&json!("another"), 2)).await, 410, "gone", "log_replaced");
    assert_refused(&lease(world, &token, &ask(&log, 3)).await, 409, "conflict", "log_set_back");
    let mut long = ask(&log, 2);
    for seconds in [0, 121, 1_000_000] {
        long["lease_seconds"] = json!(seconds);
        assert_refused(&lease(world, &token, &long).await, 400, "invalid_request", "lease_too_long");
    }
    let mut nameless = ask(&log, 2);
    for instance in ["", "two words", &"x".repeat(65)] {
        nameless["instance"] = json!(instance);
        assert_refused(&lease(world, &token, &nameless).await, 400, "invalid_request", "request_malformed");
    }
    // The fleet view knows who asked.
    let fleet = world.admin(Method::GET, "/enforcers", None).await.ok().json;
    assert_eq!(
        (&fleet["enforcers"][0]["enforcer"], &fleet["enforcers"][0]["applied_seq"]),
        (&json!("tickets-guard"), &json!(2))
    );
}

async fn a_stream_brings_each_cutoff_as_it_comes(world: &mut World) {
    let token = feed_token(world, "tickets-guard").await;
    let log = claims(&snapshot(world, &token).await.text)["gen"].as_str().unwrap().to_owned();
    let open = |after: String| {
        let stream = world.http.get(format!("{}/revocation/stream", world.issuer)).bearer_auth(&token);
        stream.header("last-event-id", after).send()
    };
    for wrong in ["", "nonsense", "a.b"] {
        assert_refused(
            &Reply::read(open(wrong.into()).await.unwrap()).await,
            400,
            "invalid_request",
            "request_malformed",
        );
    }
    for gone in ["other.0".to_owned(), format!("{log}.9")] {
        assert_refused(&Reply::read(open(gone).await.unwrap()).await, 410, "gone", "log_replaced");
    }
    let mut stream = open(format!("{log}.0")).await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    for (seq, kind, id) in [(1, "agent", "relay"), (3, "user", "usr_0123456789abcdefghjkmn")] {
        world.cut(kind, id).await.ok();
        let chunk =
            tokio::time::timeout(Duration::from_secs(3), stream.chunk()).await.unwrap().unwrap().unwrap();
        let text = String::from_utf8(chunk.to_vec()).unwrap();
        assert!(text.starts_with(&format!("event: cutoffs\nid: {log}.{seq}\n")), "{text}");
        assert!(text.contains(&format!("\"scope_id\":\"{id}\"")), "{text}");
        if seq == 1 {
            // Hidden from this enforcer, and yet its number goes by.
            world.cut("resource", API).await.ok();
            let chunk = stream.chunk().await.unwrap().unwrap();
            assert!(chunk.ends_with(b"data: {\"prev\":1,\"seq\":2,\"cutoffs\":[]}\n\n"), "{chunk:?}");
        }
    }
}

async fn an_enforcer_that_follows_refuses_what_is_cut_within_a_moment(world: &mut World) {
    let guard = enforcer(world, 30);
    let following = guard.start();
    guard.ready().await;
    let token = world.alices().await;
    let verified = guard.check(&token).await.unwrap();
    let bystander =
        world.post(&world.for_person("triage", "alice").add("scope", "tickets.read")).await.ok().token();
    let waiting = {
        let (guard, verified) = (Arc::clone(&guard), verified.clone());
        tokio::spawn(async move { guard.until_refused(&verified).await })
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished());
    world.cut("task", claims(&token)["task"].clone()).await.ok();
    let refused = tokio::time::timeout(Duration::from_secs(2), waiting).await.unwrap().unwrap();
    assert!(matches!(refused, EnforcementError::Refused(TokenRefusal::TokenRevoked)), "{refused}");
    assert!(guard.recheck(&verified).is_err());
    let again = guard.check(&token).await;
    assert!(matches!(again, Err(EnforcementError::Refused(TokenRefusal::TokenRevoked))), "{again:?}");
    guard.check(&bystander).await.unwrap();
    drop(following);
}

async fn an_enforcer_without_its_server_refuses_once_its_lease_has_run_out(world: &mut World) {
    let guard = enforcer(world, 30);
    guard.ready().await;
    let token = world.alices().await;
    guard.check(&token).await.unwrap();
    world.stop().await;
    world.clock.advance(30);
    let verified = guard.check(&token).await.unwrap();
    world.clock.advance(1);
    let stale = guard.check(&token).await;
    assert!(matches!(stale, Err(EnforcementError::Stale(_))), "{stale:?}");
    assert!(matches!(guard.recheck(&verified), Err(EnforcementError::Stale(_))));
    assert!(!guard.status().fresh);
    // And it recovers by itself.
    world.start_again().await;
    world.advance(1).await;
    guard.check(&token).await.unwrap();
}

async fn a_token_ahead_of_the_enforcer_makes_it_catch_up(world: &mut World) {
    // Nothing runs in the background: it learns only by what it is asked.
    let guard = enforcer(world, 30);
    guard.ready().await;
    world.cut("agent", "relay").await.ok();
    let ahead = world.alices().await;
    assert_eq!(guard.status().rev.unwrap().seq, 0);
    guard.check(&ahead).await.unwrap();
    assert_eq!(guard.status().rev.unwrap().seq, 1);
}

async fn a_cut_tool_is_refused_and_the_token_lives_on(world: &mut World) {
    let guard = enforcer(world, 30);
    let following = guard.start();
    guard.ready().await;
    let details = crate::harness::search(50).to_string();
    let form = || world.for_person("triage", "alice").add("authorization_details", &details);
    let token = world.post(&form()).await.ok().token();
    let verified = guard.check(&token).await.unwrap();
    let call = json!({ "limit": 5 });
    guard.authorize(&verified, "search_tickets", &call).unwrap();
    let tool = format!("{TICKETS}#search_tickets");
    world.cut("tool", tool.as_str()).await.ok();
    let cut = async {
        while guard.authorize(&verified, "search_tickets", &call).is_ok() {
            tokio::task::yield_now().await
        }
    };
    tokio::time::timeout(Duration::from_secs(2), cut).await.unwrap();
    let verified = guard.check(&token).await.unwrap();
    assert!(guard.tools_for(&verified).is_empty());
    // Reinstated, a new token has the tool; the old one doesn't get it back.
    world.reinstate("tool", &tool).await.ok();
    let new = guard.check(&world.post(&form()).await.ok().token()).await.unwrap();
    guard.authorize(&new, "search_tickets", &call).unwrap();
    assert!(guard.authorize(&verified, "search_tickets", &call).is_err());
    drop(following);
}

async fn a_suspended_enforcer_is_sent_away(world: &mut World) {
    let token = feed_token(world, "tickets-guard").await;
    let log = claims(&snapshot(world, &token).await.text)["gen"].as_str().unwrap().to_owned();
    let stream = world.http.get(format!("{}/revocation/stream", world.issuer)).bearer_auth(&token);
    let mut stream = stream.header("last-event-id", format!("{log}.0")).send().await.unwrap();
    world.cut("client", "tickets-guard").await.ok();
    let ended = async { while stream.chunk().await.is_ok_and(|chunk| chunk.is_some()) {} };
    tokio::time::timeout(Duration::from_secs(3), ended).await.unwrap();
    assert_refused(&snapshot(world, &token).await, 401, "invalid_token", "access_token_not_accepted");
    assert!(world.post(&feed_form(world, "tickets-guard")).await.status >= 400);
}

async fn wait_for(tenant: &Tenant, kind: &str, id: &Value) -> Reply {
    let body = json!({ "scope_kind": kind, "scope_id": id, "reason": "a test" });
    tenant.admin(Method::POST, "/revocations?wait=effective", Some(&body)).await
}

async fn waiting_ends_when_every_enforcer_has_applied_it_and_a_receipt_says_so(world: &mut World) {
    let guard = enforcer(world, 30);
    let following = guard.start();
    guard.ready().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let token = world.alices().await;
    let verified = guard.check(&token).await.unwrap();
    let answer = wait_for(world, "agent", &json!("triage")).await.ok().json;
    // The clock stands still: no lease can have run out meanwhile.
    assert!(guard.recheck(&verified).is_err());
    let receipt = claims(answer["receipt"].as_str().unwrap());
    assert_eq!((&receipt["acknowledged"], &receipt["leases_expired"]), (&json!(1), &json!(0)));
    assert_eq!((&receipt["seq"], &receipt["gen"]), (&answer["seq"], &answer["gen"]));
    assert_eq!(receipt["cutoffs"], json!([{ "seq": 1, "scope_kind": "agent", "scope_id": "triage" }]));
    let last = world.audit("main").await.pop().unwrap().event;
    assert_eq!(last["detail"]["effective"]["acknowledged"], json!(1));
    drop(following);
}

async fn waiting_ends_when_the_lease_of_a_lost_enforcer_has_run_out(world: &mut World) {
    let token = feed_token(world, "tickets-guard").await;
    let log = claims(&snapshot(world, &token).await.text)["gen"].clone();
    lease(world, &token, &ask(&log, 0)).await.ok();
    let id = json!("triage");
    let waiting = wait_for(world, "agent", &id);
    tokio::pin!(waiting);
    let early = tokio::time::timeout(Duration::from_millis(700), &mut waiting).await;
    assert!(early.is_err(), "it may still be accepting tokens");
    world.advance(31).await;
    let answer = tokio::time::timeout(Duration::from_secs(3), waiting).await.unwrap().ok().json;
    let receipt = claims(answer["receipt"].as_str().unwrap());
    assert_eq!((&receipt["acknowledged"], &receipt["leases_expired"]), (&json!(0), &json!(1)));
}

async fn a_database_that_was_set_back_gets_a_log_with_another_name(world: &mut World) {
    let guard = enforcer(world, 30);
    guard.ready().await;
    let before = world.alices().await;
    guard.check(&before).await.unwrap();
    world.cut("agent", "relay").await.ok();
    let old = world.app().server.tenant("main").unwrap().view.rev();
    world.tamper("UPDATE tenants SET head_seq = 0 WHERE tenant = 'main'").await;
    world.tamper("DELETE FROM cutoffs").await;
    world.advance(1).await;
    let new = world.app().server.tenant("main").unwrap().view.rev();
    assert_ne!(old.generation, new.generation);
    // Whatever was minted before is dead here and at the enforcer, and what is minted now is good.
    assert!(!world.is_active(&before).await);
    let after = world.alices().await;
    world.advance(31).await;
    guard.check(&after).await.unwrap();
    let dead = guard.check(&before).await;
    assert!(matches!(dead, Err(EnforcementError::Refused(TokenRefusal::TokenRevoked))), "{dead:?}");
    let told =
        world.audit("main").await.into_iter().any(|row| row.event["detail"]["log_replaced"].is_object());
    assert!(told);
    // What nodes report is as old as the copy: leases that were granted since are in no report.
    let early =
        tokio::time::timeout(Duration::from_millis(300), wait_for(world, "agent", &json!("triage"))).await;
    assert!(early.is_err(), "somebody may hold a lease that nobody knows of");
}

async fn leases_of_the_other_node_count(world: &mut World) {
    if world.engine == Engine::Sqlite {
        return;
    }
    let (other, url) = world.second_node().await;
    let token = feed_token(world, "tickets-guard").await;
    let log = claims(&snapshot(world, &token).await.text)["gen"].clone();
    let lease = world.http.post(format!("{url}/revocation/lease")).bearer_auth(&token).json(&ask(&log, 0));
    assert_eq!(lease.send().await.unwrap().status(), 200);
    let id = json!("triage");
    let waiting = wait_for(world, "agent", &id);
    tokio::pin!(waiting);
    assert!(tokio::time::timeout(Duration::from_millis(900), &mut waiting).await.is_err());
    let fleet = world.admin(Method::GET, "/enforcers", None).await.ok().json;
    assert_eq!(fleet["enforcers"][0]["enforcer"], "tickets-guard");
    // It tells the other node that it has applied the entry; this one hears of it.
    let lease = world.http.post(format!("{url}/revocation/lease")).bearer_auth(&token).json(&ask(&log, 1));
    assert_eq!(lease.send().await.unwrap().status(), 200);
    let answer = tokio::time::timeout(Duration::from_secs(3), waiting).await.unwrap().ok().json;
    assert_eq!(claims(answer["receipt"].as_str().unwrap())["acknowledged"], 1);
    other.stop().await;
}

async fn a_database_from_before_a_change_of_name_is_noticed_at_the_start(world: &mut World) {
    let before = world.alices().await;
    let first = world.app().server.tenant("main").unwrap().view.rev().generation;
    // The log gets another name, and the mark beside the database says so.
    world.cut("agent", "relay").await.ok();
    world.tamper("UPDATE tenants SET head_seq = 0 WHERE tenant = 'main'").await;
    world.advance(1).await;
    let second = world.app().server.tenant("main").unwrap().view.rev().generation;
    assert_ne!(first, second);
    tokio::time::sleep(Duration::from_millis(600)).await;
    // A start on the same database changes nothing.
    world.restart().await;
    assert_eq!(world.app().server.tenant("main").unwrap().view.rev().generation, second);
    tokio::time::sleep(Duration::from_millis(600)).await;
    // Put back as it was before all this: by its name the log is the first one again.
    let back = format!("UPDATE tenants SET generation = '{first}' WHERE tenant = 'main'");
    world.tamper(Box::leak(back.into_boxed_str())).await;
    world.tamper("DELETE FROM generations").await;
    world.restart().await;
    let third = world.app().server.tenant("main").unwrap().view.rev().generation;
    assert!(third != first && third != second);
    assert!(!world.is_active(&before).await);
}
