//! Rules 2, 4 and 8: who may exchange whose token, and what becomes of the task.

use serde_json::{Value, json};
use taskpass::protocol::token_type::TokenType;

use crate::harness::{API, TICKETS, World, claims, on_both_engines, search, tools};

on_both_engines!(
    a_renewal_stays_in_its_task_and_adds_no_actor,
    a_delegation_opens_a_child_task,
    refuses_agents_whom_nobody_lets_act,
    refuses_a_chain_that_is_too_deep,
    refuses_actor_tokens_that_prove_another,
    refuses_a_splice_of_two_tasks,
    behind_a_server_a_token_opens_its_tools_way_only,
    refuses_to_go_where_the_token_does_not_lead,
    a_child_ends_with_its_parent,
    handing_back_ends_the_subtree,
);

async fn a_renewal_stays_in_its_task_and_adds_no_actor(world: &mut World) {
    let first = world.post(&world.for_person("triage", "alice").add("scope", "tickets.read")).await.ok();
    world.advance(200).await;
    let second = world.post(&world.onward("triage", &first.token())).await.ok();
    assert_eq!(second.json["task"], first.json["task"]);
    assert_eq!(second.json["task_deadline"], first.json["task_deadline"]);
    let (before, after) = (first.claims(), second.claims());
    for same in ["act", "sub", "aud", "scope", "consent", "sid", "client_id"] {
        assert_eq!(before[same], after[same], "{same}");
    }
    assert_ne!(before["jti"], after["jti"]);
    // A longer life can't be asked for along the way.
    let longer = world.onward("triage", &second.token()).add("task_lifetime", 28_800);
    assert_eq!(world.post(&longer).await.ok().json["task_deadline"], first.json["task_deadline"]);
    let wider = world.onward("triage", &second.token()).add("scope", "tickets.write");
    world.refuses(&wider, 400, "invalid_scope", "scope_exceeds_subject_token").await;
}

async fn a_delegation_opens_a_child_task(world: &mut World) {
    let parent = world.post(&world.for_person("triage", "alice")).await.ok();
    let child =
        world.post(&world.onward("summarizer", &parent.token()).add("scope", "tickets.read")).await.ok();
    let claims = child.claims();
    assert_eq!(claims["act"], json!({ "sub": "summarizer", "act": { "sub": "triage" } }));
    assert_eq!(claims["client_id"], "summarizer");
    assert_eq!(claims["sub"], world.person("alice"));
    assert_eq!(claims["task_ancestors"], json!([parent.json["task"]]));
    assert_eq!(
        (&claims["consent"], &claims["sid"]),
        (&json!("alice-tickets"), &json!(world.session("alice")))
    );
    assert_ne!(child.json["task"], parent.json["task"]);
    assert_eq!(child.json["task_deadline"], parent.json["task_deadline"]);
    // What is below renews itself in its own task.
    let renewed = world.post(&world.onward("summarizer", &child.token())).await.ok();
    assert_eq!((&renewed.json["task"], &renewed.claims()["act"]), (&child.json["task"], &claims["act"]));
    // The parent can't take over what its child was given.
    let back = world.onward("triage", &child.token());
    world.refuses(&back, 400, "invalid_request", "agent_may_not_act_for_subject").await;
}

async fn refuses_agents_whom_nobody_lets_act(world: &mut World) {
    let token = world.alices().await;
    for agent in ["stranger", "relay", "echo"] {
        world
            .refuses(&world.onward(agent, &token), 400, "invalid_request", "agent_may_not_act_for_subject")
            .await;
    }
    // Inner actors are history: triage may delegate to the summarizer, the relay may not because of it.
    let child = world.post(&world.onward("summarizer", &token)).await.ok().token();
    let again = world.onward("summarizer", &child);
    world.post(&again).await.ok();
    let below = world.post(&world.onward("relay", &child)).await.ok().token();
    world
        .refuses(&world.onward("summarizer", &below), 400, "invalid_request", "agent_may_not_act_for_subject")
        .await;
    // Administrators and enforcers hold tokens of their own; agents can't take them up.
    for client in ["admin", "auditor"] {
        let admin = world.admin_token(client).await;
        let form = world.onward("triage", &admin);
        world.refuses(&form, 400, "invalid_request", "agent_may_not_act_for_subject").await;
    }
}

async fn refuses_a_chain_that_is_too_deep(world: &mut World) {
    let mut token = world.alices().await;
    for agent in ["summarizer", "relay", "echo"] {
        token = world.post(&world.onward(agent, &token)).await.ok().token();
    }
    let chain = claims(&token);
    assert_eq!(chain["task_ancestors"].as_array().unwrap().len(), 3);
    assert_eq!(chain["act"]["act"]["act"]["act"]["sub"], "triage");
    world.refuses(&world.onward("stranger", &token), 400, "invalid_request", "delegation_too_deep").await;
    // A renewal at the bottom is no level.
    world.post(&world.onward("echo", &token)).await.ok();
}

async fn refuses_actor_tokens_that_prove_another(world: &mut World) {
    let token = world.alices().await;
    let form = world.onward("summarizer", &token);
    let with = |actor: &str, kind: TokenType| {
        world.again(&form, "summarizer").add("actor_token", actor).add("actor_token_type", kind.as_str())
    };
    let (not_accepted, not_of_client) = ("actor_token_not_accepted", "actor_token_not_of_client");
    for (actor, kind, rule) in [
        (token.clone(), TokenType::AccessToken, not_of_client),
        (world.svid("triage"), TokenType::Jwt, not_of_client),
        (world.svid("summarizer"), TokenType::AccessToken, not_accepted),
        (world.id_token("alice", "summarizer"), TokenType::IdToken, not_accepted),
        (world.id_token("alice", "summarizer"), TokenType::Jwt, not_accepted),
        ("junk".to_owned(), TokenType::Jwt, not_accepted),
        ("junk".to_owned(), TokenType::AccessToken, not_accepted),
        (world.acme.svid("summarizer"), TokenType::Jwt, not_accepted),
    ] {
        world.refuses(&with(&actor, kind), 400, "invalid_request", rule).await;
    }
    let lonely = world.again(&form, "summarizer").add("actor_token", world.svid("summarizer"));
    world.refuses(&lonely, 400, "invalid_request", "actor_token_without_type").await;
    let lonely = world.again(&form, "summarizer").add("actor_token_type", TokenType::Jwt.as_str());
    world.refuses(&lonely, 400, "invalid_request", "actor_token_without_type").await;
    world.post(&with(&world.svid("summarizer"), TokenType::Jwt)).await.ok();
}

async fn refuses_a_splice_of_two_tasks(world: &mut World) {
    let one = world.alices().await;
    let two = world.alices().await;
    let child_of_one = world.post(&world.onward("summarizer", &one)).await.ok().token();
    let spliced = |subject: &str, actor: &str| {
        let form = world.onward("summarizer", subject).add("actor_token", actor);
        form.add("actor_token_type", TokenType::AccessToken.as_str())
    };
    // Each is genuine, and they don't belong together.
    for form in [spliced(&two, &child_of_one), spliced(&one, &child_of_one)] {
        world.refuses(&form, 400, "invalid_request", "actor_token_not_of_client").await;
    }
    world.post(&spliced(&child_of_one, &child_of_one)).await.ok();
}

async fn behind_a_server_a_token_opens_its_tools_way_only(world: &mut World) {
    let searching = world.for_person("triage", "alice").add("authorization_details", search(10));
    let searching = world.post(&searching).await.ok().token();
    let on = |token: &str| world.onward("tickets-server", token).set("resource", API);
    let granted = world.post(&on(&searching)).await.ok();
    assert_eq!(granted.json["scope"], "api.read");
    assert_eq!(granted.claims()["act"], json!({ "sub": "tickets-server", "act": { "sub": "triage" } }));
    assert_eq!(granted.claims()["sub"], world.person("alice"));
    let write = on(&searching).add("scope", "api.write");
    world.refuses(&write, 400, "invalid_scope", "scope_exceeds_downstream").await;
    let closing = world
        .for_person("triage", "alice")
        .add("authorization_details", tools(&json!([{ "name": "close_ticket" }])));
    let closing = world.post(&closing).await.ok().token();
    world
        .refuses(&on(&closing).add("scope", "api.read"), 400, "invalid_scope", "scope_exceeds_downstream")
        .await;
    assert_eq!(world.post(&on(&closing)).await.ok().json["scope"], "api.write");
    // A token without tools leads nowhere.
    let plain = world.alices().await;
    world.refuses(&on(&plain), 400, "invalid_scope", "nothing_to_grant").await;
    world
        .refuses(&on(&plain).add("scope", "api.read"), 400, "invalid_scope", "scope_exceeds_downstream")
        .await;
    // A tool that is switched off closes its way.
    world.cut("tool", format!("{TICKETS}#search_tickets")).await.ok();
    world.refuses(&on(&searching), 400, "invalid_scope", "nothing_to_grant").await;
}

async fn refuses_to_go_where_the_token_does_not_lead(world: &mut World) {
    let token = world.alices().await;
    let elsewhere = world.onward("triage", &token).set("resource", crate::harness::ARCHIVE);
    world.refuses(&elsewhere, 400, "invalid_target", "target_not_reachable").await;
    let home = world.onward("tickets-server", &token);
    world.refuses(&home, 400, "invalid_target", "target_not_in_ceiling").await;
}

async fn a_child_ends_with_its_parent(world: &mut World) {
    let parent = world
        .post(&world.for_person("triage", "alice").add("scope", "tickets.read").add("task_lifetime", 100))
        .await
        .ok();
    let child = world.onward("summarizer", &parent.token()).add("task_lifetime", 3600);
    let child = world.post(&child).await.ok();
    assert_eq!(child.json["task_deadline"], parent.json["task_deadline"]);
    assert_eq!(child.json["expires_in"], 100);
    let shorter = world.onward("summarizer", &parent.token()).add("task_lifetime", 10);
    assert_eq!(world.post(&shorter).await.ok().json["expires_in"], 10);
    world.cut("task", parent.json["task"].clone()).await.ok();
    assert!(!world.is_active(&child.token()).await);
    world
        .refuses(&world.onward("summarizer", &child.token()), 400, "invalid_request", "subject_token_revoked")
        .await;
}

async fn handing_back_ends_the_subtree(world: &mut World) {
    let parent = world.alices().await;
    let child = world.post(&world.onward("summarizer", &parent)).await.ok().token();
    let grandchild = world.post(&world.onward("relay", &child)).await.ok().token();
    let other = world.alices().await;
    world.revoke("summarizer", &child).await.ok();
    for (token, alive) in [(&parent, true), (&child, false), (&grandchild, false), (&other, true)] {
        assert_eq!(world.is_active(token).await, alive);
    }
    let renewal = world.onward("relay", &grandchild);
    world.refuses(&renewal, 400, "invalid_request", "subject_token_revoked").await;
    world.revoke("triage", &parent).await.ok();
    assert!(!world.is_active(&parent).await);
    let task = claims(&parent)["task"].clone();
    let record =
        world.admin(http::Method::GET, &format!("/tasks/{}", task.as_str().unwrap()), None).await.ok();
    assert_ne!(record.json["ended_at"], Value::Null);
}
