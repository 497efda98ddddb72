//! Cutting: every kind of scope, at once and in any order; and `POST /oauth/revoke` (RFC 7009).

use serde_json::{Value, json};

use taskpass::domain::audit::{Event, EventKind};
use taskpass::storage::journal::{Entry, JournalError};
use taskpass::storage::tenants;

use crate::harness::{ARCHIVE, Engine, TICKETS, World, assert_refused, claims, on_both_engines};

on_both_engines!(
    every_kind_of_cutoff_kills_what_it_names,
    an_older_or_newer_cutoff_masks_no_other,
    an_ended_session_starts_nothing_new,
    a_cutoff_survives_a_restart_and_reaches_the_other_node,
    an_inner_actor_that_is_cut_kills_the_chain,
    a_cut_token_ends_the_tasks_it_opened,
    refuses_to_hand_back_what_is_not_ones_own,
    a_proof_hands_back_once,
    handing_back_works_while_the_journal_is_full,
    handing_back_nonsense_tells_nothing,
    refuses_to_cut_what_does_not_exist,
    the_log_has_no_gaps,
);

/// The scope of each kind that hits this token.
fn scopes(world: &World, token: &str) -> Vec<(&'static str, Value)> {
    let claims = claims(token);
    let text = |name: &str| claims[name].clone();
    let header: Value = {
        use base64::Engine as _;
        let header = token.split('.').next().unwrap();
        serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(header).unwrap())
            .unwrap()
    };
    vec![
        ("token", text("jti")),
        ("task", text("task")),
        ("session", text("sid")),
        ("consent", text("consent")),
        ("user", json!(world.person("alice"))),
        ("client", json!("summarizer")),
        ("agent", json!("triage")),
        ("resource", json!(TICKETS)),
        ("tool", json!(format!("{TICKETS}#search_tickets"))),
        ("key", header["kid"].clone()),
        ("tenant", json!("main")),
    ]
}

/// A token of the summarizer below the triage agent.
async fn delegated(world: &World) -> String {
    let parent = world.alices().await;
    world.post(&world.onward("summarizer", &parent)).await.ok().token()
}

async fn every_kind_of_cutoff_kills_what_it_names(world: &mut World) {
    for index in 0..11 {
        let token = delegated(world).await;
        let bystander = world.acme.alices().await;
        assert!(world.is_active(&token).await);
        let (kind, id) = scopes(world, &token).swap_remove(index);
        let cut = world.cut(kind, id.clone()).await.ok();
        assert_eq!((&cut.json["scope_kind"], &cut.json["scope_id"]), (&json!(kind), &id));
        let alive = kind == "tool";
        assert_eq!(world.is_active(&token).await, alive, "{kind}");
        let again = world.post(&world.onward("summarizer", &token)).await;
        let expected = if kind == "client" { "client_suspended" } else { "subject_token_revoked" };
        if !alive && kind != "tool" {
            assert_eq!(again.json["rule"], expected, "{kind} {}", again.text);
        }
        assert!(world.acme.is_active(&bystander).await, "{kind} of the other tenant");
        if ["consent", "user", "session", "client", "agent", "resource", "tool"].contains(&kind) {
            world.reinstate(kind, id.as_str().unwrap()).await.ok();
            assert_eq!(world.is_active(&token).await, alive, "{kind}: reinstated, not raised");
        }
    }
    // And everything can be minted again.
    assert!(world.is_active(&delegated(world).await).await);
}

async fn an_older_or_newer_cutoff_masks_no_other(world: &mut World) {
    // For each pair: the one is cut before the token is minted, so it doesn't hit; the other afterwards.
    let harmless = ["session", "task", "token", "tenant"];
    for earlier in harmless {
        for later in harmless {
            let old = delegated(world).await;
            let id = scope(world, &old, earlier);
            world.cut(earlier, id).await.ok();
            // An ended session starts nothing new; this one goes on, and what was cut stays cut.
            lift_session(world, earlier, &old).await;
            let token = delegated(world).await;
            assert!(world.is_active(&token).await, "{earlier} before the mint");
            let id = scope(world, &token, later);
            world.cut(later, id).await.ok();
            assert!(!world.is_active(&token).await, "{later} masked by {earlier}");
            // A newer one that doesn't hit must not hide the one that does.
            world.cut("session", "ups_somebody-elses").await.ok();
            world.cut("task", "tsk_elsewhere").await.ok();
            assert!(!world.is_active(&token).await);
            lift_session(world, later, &token).await;
        }
    }
}

fn scope(world: &World, token: &str, kind: &str) -> Value {
    scopes(world, token).into_iter().find(|(other, _)| *other == kind).unwrap().1
}

async fn lift_session(world: &mut World, kind: &str, token: &str) {
    if kind == "session" {
        world.reinstate("session", claims(token)["sid"].as_str().unwrap()).await.ok();
    }
}

async fn an_ended_session_starts_nothing_new(world: &mut World) {
    let token = world.alices().await;
    world.cut("session", claims(&token)["sid"].clone()).await.ok();
    let form = world.for_person("triage", "alice").add("scope", "tickets.read");
    world.refuses(&form, 400, "invalid_request", "subject_token_revoked").await;
}

async fn a_cutoff_survives_a_restart_and_reaches_the_other_node(world: &mut World) {
    let (dead, alive) = (world.alices().await, world.alices().await);
    let (second, node) = world.second_node().await;
    world.cut("token", claims(&dead)["jti"].clone()).await.ok();
    // The other node reads the log on its own; a token minted under the newer log makes it catch up at once.
    let newer = world.alices().await;
    let ask = |token: &str| world.form("/oauth/introspect", "tickets-guard").add("token", token);
    assert!(world.post_to(&node, &ask(&newer)).await.is_active());
    assert!(!world.post_to(&node, &ask(&dead)).await.is_active());
    assert!(world.post_to(&node, &ask(&alive)).await.is_active());
    second.stop().await;
    world.restart().await;
    assert!(!world.is_active(&dead).await);
    assert!(world.is_active(&alive).await);
}

async fn an_inner_actor_that_is_cut_kills_the_chain(world: &mut World) {
    let child = delegated(world).await;
    let below = world.post(&world.onward("relay", &child)).await.ok().token();
    world.cut("agent", "summarizer").await.ok();
    assert!(!world.is_active(&child).await);
    assert!(!world.is_active(&below).await);
    world.refuses(&world.onward("relay", &below), 400, "invalid_request", "subject_token_revoked").await;
    let own = world.post(&world.for_itself("relay", TICKETS)).await.ok().token();
    world.cut("agent", "relay").await.ok();
    assert!(!world.is_active(&own).await);
}

async fn a_cut_token_ends_the_tasks_it_opened(world: &mut World) {
    let parent = world.alices().await;
    let child = world.post(&world.onward("summarizer", &parent)).await.ok().token();
    let renewed = world.post(&world.onward("triage", &parent)).await.ok().token();
    let cut = world.cut("token", claims(&parent)["jti"].clone()).await.ok();
    assert_eq!(cut.json["cutoffs"].as_array().unwrap().len(), 2);
    assert!(!world.is_active(&parent).await);
    assert!(!world.is_active(&child).await);
    assert!(world.is_active(&renewed).await, "one token was cut, not its task");
}

async fn refuses_to_hand_back_what_is_not_ones_own(world: &mut World) {
    let token = world.alices().await;
    let opaque = world.post(&world.for_person("triage", "alice").set("resource", ARCHIVE)).await.ok().token();
    for token in [&token, &opaque] {
        for client in ["summarizer", "stranger", "admin", "tickets-guard"] {
            let form = world.form("/oauth/revoke", client).add("token", token);
            world.refuses(&form, 400, "invalid_request", "token_not_of_client").await;
        }
    }
    assert!(world.is_active(&token).await);
    assert!(world.introspect("archive-guard", &opaque).await.is_active());
    world.revoke("triage", &opaque).await.ok();
    assert!(!world.introspect("archive-guard", &opaque).await.is_active());
    let admin = world.admin_token("admin").await;
    world.revoke("admin", &admin).await.ok();
    let reply = world.call(&admin, http::Method::GET, "/keys", None).await;
    assert_refused(&reply, 401, "invalid_token", "access_token_not_accepted");
}

async fn a_proof_hands_back_once(world: &mut World) {
    let (first, second) = (world.alices().await, world.alices().await);
    let form = world.form("/oauth/revoke", "triage").add("token", &first);
    let rows = world.audit("main").await.len();
    world.post(&form).await.ok();
    assert_eq!(world.audit("main").await.len(), rows + 1, "the proof is spent in the row of what it did");
    let again = form.set("token", &second);
    world.refuses(&again, 401, "invalid_client", "client_assertion_replayed").await;
    assert!(world.is_active(&second).await);
    // A refused one is spent as well.
    let foreign = world.form("/oauth/revoke", "summarizer").add("token", &second);
    world.refuses(&foreign, 400, "invalid_request", "token_not_of_client").await;
    world.refuses(&foreign, 401, "invalid_client", "client_assertion_replayed").await;
    // Of many at once, on two nodes, one wins.
    let (other, node) = world.second_node().await;
    let form = world.form("/oauth/revoke", "triage").add("token", &second);
    let there = crate::harness::Form { url: form.url.replace(&world.issuer, &node), ..form.clone() };
    let forms = (0..16).map(|number| if number % 2 == 0 { form.clone() } else { there.clone() }).collect();
    let replies = world.post_all(forms).await;
    let (won, lost): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 200);
    assert_eq!(won.len(), 1, "{replies:?}");
    lost.iter().for_each(|reply| assert_refused(reply, 401, "invalid_client", "client_assertion_replayed"));
    other.stop().await;
}

async fn handing_back_works_while_the_journal_is_full(world: &mut World) {
    // SQLite has one writer, whom holding up would hold up everybody.
    if world.engine == Engine::Sqlite {
        return;
    }
    let token = world.alices().await;
    let server = world.app().server.clone();
    let acme = server.tenant("acme").unwrap();
    let mut held = server.db.write().await.unwrap();
    tenants::lock(&mut held, "acme").await.unwrap();
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..6000 {
        let (journal, event) = (server.journal.clone(), Event::new(EventKind::Token, true));
        let (tenant, rev) = (acme.name.clone(), acme.view.rev());
        // Of a registry that never was, so that nothing of it is ever written.
        let entry =
            Entry { tenant, rev, registry_version: -1, mark: None, mint: None, event, more: Vec::new() };
        waiting.spawn(async move { journal.record(entry).await });
    }
    assert!(matches!(waiting.join_next().await, Some(Ok(Err(JournalError::Full)))));
    let minting = world.post(&world.for_itself("summarizer", TICKETS)).await;
    assert_refused(&minting, 503, "temporarily_unavailable", "overloaded");
    world.revoke("triage", &token).await.ok();
    drop(held);
    waiting.join_all().await;
    assert!(!world.is_active(&token).await);
}

async fn handing_back_nonsense_tells_nothing(world: &mut World) {
    let token = world.alices().await;
    let foreign = world.acme.alices().await;
    for nonsense in ["junk", "tpo_junk", &foreign, &token[1..], &world.id_token("alice", "triage")] {
        let reply = world.revoke("triage", nonsense).await.ok();
        assert_eq!(reply.text, "{}");
    }
    assert!(world.acme.is_active(&foreign).await);
    assert!(world.is_active(&token).await);
    world.refuses(&world.form("/oauth/revoke", "triage"), 400, "invalid_request", "parameter_missing").await;
    let bare = world.bare("/oauth/revoke").add("token", &token);
    world.refuses(&bare, 401, "invalid_client", "client_authentication_missing").await;
    world.advance(240).await;
    world.revoke("triage", &token).await.ok();
}

async fn refuses_to_cut_what_does_not_exist(world: &mut World) {
    let seq = world.cut("session", "ses_s").await.ok().json["seq"].clone();
    for (kind, id) in [
        ("tenant", "acme"),
        ("agent", "Triage"),
        ("agent", "nobody"),
        ("client", "nobody"),
        ("resource", "https://unknown.example.com"),
        ("tool", "https://tickets.example.com/mcp#nothing"),
        ("tool", "search_tickets"),
        ("consent", "nothing"),
        ("user", "alice"),
        ("user", "usr_short"),
        ("key", "unknown"),
        ("token", "tok_unknown"),
        ("session", ""),
        ("session", "session-of-alice"),
    ] {
        assert_refused(&world.cut(kind, id).await, 404, "not_found", "entry_unknown");
        assert!(!world.reinstate(kind, id).await.headers.is_empty());
    }
    assert_refused(&world.cut("everything", "x").await, 400, "invalid_request", "registry_invalid");
    assert_refused(&world.cut("agent", json!(["triage"])).await, 400, "invalid_request", "registry_invalid");
    assert_eq!(
        world.cut("session", "ses_s").await.ok().json["seq"].as_u64(),
        seq.as_u64().map(|seq| seq + 1)
    );
}

async fn the_log_has_no_gaps(world: &mut World) {
    for number in 0..5 {
        world.cut("session", format!("ses_{number}")).await.ok();
    }
    let token = delegated(world).await;
    world.revoke("summarizer", &token).await.ok();
    let log = world.admin(http::Method::GET, "/revocations?after=2", None).await.ok();
    let seqs: Vec<_> = log.json["cutoffs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cutoff| cutoff["seq"].as_u64().unwrap())
        .collect();
    assert_eq!(seqs, [3, 4, 5, 6]);
}
