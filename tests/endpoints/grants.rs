//! `authorization_code` and `refresh_token` at `/oauth/token`: redeemed once, refreshed in order, ended together.

use serde_json::{Value, json};

use crate::harness::{
    ARCHIVE, Browser, TICKETS, VERIFIER, World, asking, asking_with, assert_refused, on_both_engines, search,
    tools,
};

on_both_engines!(
    rejects_codes_that_are_not_this_clients,
    rejects_a_code_redeemed_twice_and_ends_what_it_bought,
    one_of_many_redeems_a_code,
    rejects_an_expired_code,
    a_code_is_no_other_kind_of_secret,
    what_changed_since_the_yes_counts,
    the_rest_of_a_grant_outlives_a_tool_that_is_switched_off,
    rotates_a_public_clients_refresh_token,
    a_refresh_token_used_twice_within_the_window_has_one_successor,
    rejects_a_refresh_token_replayed_later_and_ends_everything,
    many_at_once_get_the_same_successor,
    what_an_administrator_narrows_later_is_narrower,
    the_same_code_again_is_one_revocation,
    a_refresh_never_widens,
    a_refresh_token_is_its_clients,
    does_not_rotate_for_a_client_with_keys,
    nothing_is_refreshed_after_a_revocation,
    a_client_hands_its_grant_back,
    an_external_write_lives_a_minute,
);

async fn tokens(world: &World, browser: &mut Browser) -> Value {
    let code = browser.code(&asking()).await;
    world.post(&world.redeem(&code)).await.ok().json
}

fn refresh_token(reply: &Value) -> &str {
    reply["refresh_token"].as_str().unwrap()
}

fn access_token(reply: &Value) -> &str {
    reply["access_token"].as_str().unwrap()
}

async fn rejects_codes_that_are_not_this_clients(world: &mut World) {
    let mut browser = Browser::of(world, world, "alice").await;
    let code = browser.code(&asking()).await;
    let good = world.redeem(&code);
    let other = VERIFIER.replace('d', "e");
    for (form, status, error, rule) in [
        (good.clone().set("client_id", "narrow"), 400, "invalid_grant", "authorization_code_of_other_client"),
        (good.clone().set("client_id", "nobody"), 401, "invalid_client", "authorization_client_unknown"),
        (good.clone().set("client_id", "editor"), 401, "invalid_client", "client_authentication_missing"),
        (good.clone().without("client_id"), 401, "invalid_client", "client_authentication_missing"),
        (good.clone().set("code_verifier", other), 400, "invalid_grant", "code_verifier_wrong"),
        (good.clone().set("code_verifier", "short"), 400, "invalid_request", "code_verifier_missing"),
        (good.clone().without("code_verifier"), 400, "invalid_request", "code_verifier_missing"),
        (
            good.clone().set("redirect_uri", "http://127.0.0.1:1/callback"),
            400,
            "invalid_grant",
            "redirect_uri_mismatch",
        ),
        (good.clone().set("resource", ARCHIVE), 400, "invalid_target", "target_not_of_grant"),
        (good.clone().set("scope", "tickets.write"), 400, "invalid_scope", "scope_exceeds_grant"),
        (good.clone().set("code", format!("{code}x")), 400, "invalid_grant", "authorization_code_unknown"),
        (good.clone().without("code"), 400, "invalid_request", "parameter_missing"),
        (good.clone().add("code", &code), 400, "invalid_request", "parameter_repeated"),
        (good.clone().add("client_secret", "x"), 401, "invalid_client", "client_authentication_ambiguous"),
    ] {
        assert_refused(&world.post(&form).await, status, error, rule);
    }
    // Nothing of that has spent it.
    world.post(&good).await.ok();
}

async fn rejects_a_code_redeemed_twice_and_ends_what_it_bought(world: &mut World) {
    let mut browser = Browser::of(world, world, "alice").await;
    let code = browser.code(&asking_with(&[("requested_actor", "triage")])).await;
    let bought = world.post(&world.redeem(&code)).await.ok();
    let agents = world.post(&world.onward("triage", &bought.token())).await.ok().token();
    // Somebody who has the code but not the verifier can't end anything.
    let stolen = world.redeem(&code).set("code_verifier", VERIFIER.replace('d', "e"));
    assert_refused(&world.post(&stolen).await, 400, "invalid_grant", "code_verifier_wrong");
    assert!(world.is_active(&bought.token()).await);
    let again = world.post(&world.redeem(&code)).await;
    assert_refused(&again, 400, "invalid_grant", "authorization_code_already_redeemed");
    assert!(!world.is_active(&bought.token()).await);
    assert!(!world.is_active(&agents).await, "the agent's task hangs below the grant");
    let refused = world.post(&world.refresh(refresh_token(&bought.json))).await;
    assert_refused(&refused, 400, "invalid_grant", "refresh_token_unknown");
}

async fn one_of_many_redeems_a_code(world: &mut World) {
    let mut browser = Browser::of(world, world, "alice").await;
    let code = browser.code(&asking()).await;
    let (other, url) = world.second_node().await;
    let mut forms = vec![world.redeem(&code); 16];
    forms.iter_mut().step_by(2).for_each(|form| form.url = format!("{url}/oauth/token"));
    let replies = world.post_all(forms).await;
    let won: Vec<_> = replies.iter().filter(|reply| reply.status == 200).collect();
    assert!(won.len() <= 1, "{} won", won.len());
    // The others were late, so what the first had bought is over.
    world.app().server.refresh().await.unwrap();
    for winner in won {
        assert!(!world.is_active(&winner.token()).await);
    }
    other.stop().await;
}

async fn rejects_an_expired_code(world: &mut World) {
    let mut browser = Browser::of(world, world, "alice").await;
    let code = browser.code(&asking()).await;
    world.pass(60).await;
    let late = world.post(&world.redeem(&code)).await;
    assert_refused(&late, 400, "invalid_grant", "authorization_code_unknown");
}

async fn a_code_is_no_other_kind_of_secret(world: &mut World) {
    let mut browser = Browser::of(world, world, "alice").await;
    let code = browser.code(&asking()).await;
    let refused = world.post(&world.refresh(&code)).await;
    assert_refused(&refused, 400, "invalid_grant", "refresh_token_unknown");
    let reply = world.post(&world.redeem(&code)).await.ok().json;
    let crossed = world.post(&world.redeem(refresh_token(&reply))).await;
    assert_refused(&crossed, 400, "invalid_grant", "authorization_code_unknown");
    for secret in [refresh_token(&reply), &code] {
        assert!(!world.is_active(secret).await);
    }
}

async fn what_changed_since_the_yes_counts(world: &mut World) {
    let mut browser = Browser::of(world, world, "alice").await;
    let codes = [browser.code(&asking()).await];
    let session = browser.sign_in(world, world, "nina").await;
    let ninas = browser.code(&asking()).await;
    world.cut("session", session).await.ok();
    let refused = world.post(&world.redeem(&ninas)).await;
    assert_refused(&refused, 400, "invalid_grant", "session_ended");
    world.cut("user", world.person("alice")).await.ok();
    let refused = world.post(&world.redeem(&codes[0])).await;
    assert_refused(&refused, 400, "invalid_grant", "session_ended");
    world.reinstate("user", &world.person("alice")).await.ok();
    world.cut("client", "desk").await.ok();
    let refused = world.post(&world.redeem(&codes[0])).await;
    assert_refused(&refused, 401, "invalid_client", "authorization_client_unknown");
    world.reinstate("client", "desk").await.ok();
    // Whoever was switched off signs in anew.
    let refused = world.post(&world.redeem(&codes[0])).await;
    assert_refused(&refused, 400, "invalid_grant", "session_ended");
    browser.sign_in(world, world, "alice").await;
    let late = browser.code(&asking()).await;
    world.cut("resource", TICKETS).await.ok();
    let refused = world.post(&world.redeem(&late)).await;
    assert_refused(&refused, 400, "invalid_target", "target_disabled");
}

async fn the_rest_of_a_grant_outlives_a_tool_that_is_switched_off(world: &mut World) {
    let mut browser = Browser::of(world, world, "alice").await;
    let both = json!([{ "type": "mcp_tool_call", "locations": [TICKETS],
        "tools": [{ "name": "search_tickets" }, { "name": "get_ticket" }] }]);
    let named = both.to_string();
    let code = browser.code(&asking_with(&[("authorization_details", named.as_str())])).await;
    let bought = world.post(&world.redeem(&code)).await.ok().json;
    assert_eq!(bought["authorization_details"], both);
    world.cut("tool", format!("{TICKETS}#search_tickets")).await.ok();
    let renewed = world.post(&world.refresh(refresh_token(&bought))).await.ok();
    assert_eq!(renewed.json["authorization_details"][0]["tools"], json!([{ "name": "get_ticket" }]));
    assert_eq!(renewed.claims()["authorization_details"], renewed.json["authorization_details"]);
    let form = world.refresh(refresh_token(&renewed.json)).add("authorization_details", named);
    world.refuses(&form, 400, "invalid_authorization_details", "tool_disabled").await;
}

async fn rotates_a_public_clients_refresh_token(world: &mut World) {
    let mut browser = Browser::of(world, world, "alice").await;
    let first = tokens(world, &mut browser).await;
    world.pass(200).await;
    let second = world.post(&world.refresh(refresh_token(&first))).await.ok();
    assert_ne!(second.json["refresh_token"], first["refresh_token"]);
    assert_eq!(second.json["task"], first["task"]);
    assert_eq!(second.claims()["exp"], world.now() + 240);
    assert!(second.claims().get("act").is_none());
    assert!(world.is_active(&second.token()).await);
    world.pass(100).await;
    let third = world.post(&world.refresh(refresh_token(&second.json))).await.ok();
    assert_ne!(third.json["refresh_token"], second.json["refresh_token"]);
}

async fn a_refresh_token_used_twice_within_the_window_has_one_successor(world: &mut World) {
    let mut browser = Browser::of(world, world, "alice").await;
    let first = tokens(world, &mut browser).await;
    let lost = world.post(&world.refresh(refresh_token(&first))).await.ok().json;
    world.pass(30).await;
    let again = world.post(&world.refresh(refresh_token(&first))).await.ok().json;
    assert_eq!(lost["refresh_token"], again["refresh_token"]);
    // Once the successor has been used, its predecessor proves a theft.
    world.post(&world.refresh(refresh_token(&again))).await.ok();
    let replayed = world.post(&world.refresh(refresh_token(&first))).await;
    assert_refused(&replayed, 400, "invalid_grant", "refresh_token_replayed");
    assert!(!world.is_active(access_token(&again)).await);
}

async fn rejects_a_refresh_token_replayed_later_and_ends_everything(world: &mut World) {
    let mut browser = Browser::of(world, world, "alice").await;
    let first = tokens(world, &mut browser).await;
    let second = world.post(&world.refresh(refresh_token(&first))).await.ok().json;
    world.pass(31).await;
    let replayed = world.post(&world.refresh(refresh_token(&first))).await;
    assert_refused(&replayed, 400, "invalid_grant", "refresh_token_replayed");
    assert!(!world.is_active(access_token(&second)).await);
    let refused = world.post(&world.refresh(refresh_token(&second))).await;
    assert_refused(&refused, 400, "invalid_grant", "refresh_token_unknown");
}

async fn many_at_once_get_the_same_successor(world: &mut World) {
    let mut browser = Browser::of(world, world, "alice").await;
    let first = tokens(world, &mut browser).await;
    let (other, url) = world.second_node().await;
    let mut forms = vec![world.refresh(refresh_token(&first)); 12];
    forms.iter_mut().step_by(2).for_each(|form| form.url = format!("{url}/oauth/token"));
    let replies = world.post_all(forms).await;
    let successors: std::collections::HashSet<_> = replies
        .iter()
        .map(|reply| reply.json["refresh_token"].as_str().unwrap_or("none").to_owned())
        .collect();
    assert_eq!(successors.len(), 1, "{successors:?}");
    assert!(replies.iter().all(|reply| reply.status == 200));
    other.stop().await;
}

async fn what_an_administrator_narrows_later_is_narrower(world: &mut World) {
    const WIKI: &str = "https://wiki.example.com/mcp";
    let wiki = |scopes: &[&str]| json!({ "resources": [{ "resource": WIKI, "scopes": scopes }] });
    world.apply(wiki(&["wiki.read", "wiki.write"])).await.ok();
    let mut browser = Browser::of(world, world, "alice").await;
    let both = asking_with(&[("resource", WIKI), ("scope", "wiki.read wiki.write")]);
    let bought = world.post(&world.redeem(&browser.code(&both).await)).await.ok().json;
    assert_eq!(bought["scope"], "wiki.read wiki.write");
    world.apply(wiki(&["wiki.read"])).await.ok();
    let form = world.refresh(refresh_token(&bought)).add("scope", "wiki.write");
    world.refuses(&form, 400, "invalid_scope", "scope_unknown_to_resource").await;
    let renewed = world.post(&world.refresh(refresh_token(&bought))).await.ok().json;
    assert_eq!(renewed["scope"], "wiki.read");
    let desk =
        json!({ "client": "desk", "redirect_uris": ["http://127.0.0.1/callback"], "resources": [ARCHIVE] });
    world.apply(json!({ "clients": [desk] })).await.ok();
    let form = world.refresh(refresh_token(&renewed));
    world.refuses(&form, 400, "invalid_target", "client_not_for_resource").await;
}

async fn the_same_code_again_is_one_revocation(world: &mut World) {
    let mut browser = Browser::of(world, world, "alice").await;
    let code = browser.code(&asking()).await;
    world.post(&world.redeem(&code)).await.ok();
    let cutoffs = "SELECT count(*) FROM cutoffs";
    for _ in 0..3 {
        let refused = world.post(&world.redeem(&code)).await;
        assert_refused(&refused, 400, "invalid_grant", "authorization_code_already_redeemed");
    }
    assert_eq!(world.number(cutoffs).await, 1);
}

async fn a_refresh_never_widens(world: &mut World) {
    let mut browser = Browser::of(world, world, "alice").await;
    let details = search(25).to_string();
    let code = browser.code(&asking_with(&[("authorization_details", &details)])).await;
    let first = world.post(&world.redeem(&code)).await.ok().json;
    let form = world.refresh(refresh_token(&first));
    let wider = search(26).to_string();
    let other = tools(&json!([{ "name": "get_ticket" }])).to_string();
    for (name, value, error, rule) in [
        ("scope", "tickets.read tickets.write", "invalid_scope", "scope_exceeds_grant"),
        ("authorization_details", &wider, "invalid_authorization_details", "details_exceed_grant"),
        ("authorization_details", &other, "invalid_authorization_details", "details_exceed_grant"),
        ("resource", ARCHIVE, "invalid_target", "target_not_of_grant"),
    ] {
        assert_refused(&world.post(&form.clone().set(name, value)).await, 400, error, rule);
    }
    let less = search(5).to_string();
    let narrowed = world.post(&form.set("authorization_details", less)).await.ok();
    assert_eq!(narrowed.claims()["authorization_details"], search(5));
    // What was granted stays granted: the next refresh may have all of it again.
    let full = world.post(&world.refresh(refresh_token(&narrowed.json))).await.ok();
    assert_eq!(full.claims()["authorization_details"], search(25));
}

async fn a_refresh_token_is_its_clients(world: &mut World) {
    let mut browser = Browser::of(world, world, "alice").await;
    let first = tokens(world, &mut browser).await;
    let form = world.refresh(refresh_token(&first));
    let other = world.post(&form.clone().set("client_id", "narrow")).await;
    assert_refused(&other, 400, "invalid_grant", "refresh_token_of_other_client");
    let agent = world.form("/oauth/token", "triage").add("grant_type", "refresh_token");
    let agent = agent.add("refresh_token", refresh_token(&first));
    assert_refused(&world.post(&agent).await, 400, "unauthorized_client", "grant_not_for_this_client");
    let elsewhere = world.acme.post(&world.acme.refresh(refresh_token(&first))).await;
    assert_refused(&elsewhere, 400, "invalid_grant", "refresh_token_unknown");
    world.post(&form).await.ok();
}

async fn does_not_rotate_for_a_client_with_keys(world: &mut World) {
    let mut browser = Browser::of(world, world, "alice").await;
    let callback = "https://editor.example.com/callback";
    let code = browser.code(&asking_with(&[("client_id", "editor"), ("redirect_uri", callback)])).await;
    let form = world.form("/oauth/token", "editor").add("grant_type", "authorization_code");
    let form = form.add("code", &code).add("redirect_uri", callback).add("code_verifier", VERIFIER);
    let first = world.post(&form).await.ok().json;
    for _ in 0..3 {
        world.pass(100).await;
        let form = world.form("/oauth/token", "editor").add("grant_type", "refresh_token");
        let again = world.post(&form.add("refresh_token", refresh_token(&first))).await.ok().json;
        assert_eq!(again["refresh_token"], first["refresh_token"]);
    }
    let bare = world.refresh(refresh_token(&first)).set("client_id", "editor");
    assert_refused(&world.post(&bare).await, 401, "invalid_client", "client_authentication_missing");
}

async fn nothing_is_refreshed_after_a_revocation(world: &mut World) {
    for kind in ["consent", "task", "session", "user", "client"] {
        let mut browser = Browser::of(world, world, "alice").await;
        let first = world.post(&world.redeem(&browser.code(&asking()).await)).await.ok();
        let claims = first.claims();
        let id = match kind {
            "session" => claims["sid"].clone(),
            "user" => claims["sub"].clone(),
            "client" => claims["client_id"].clone(),
            other => claims[other].clone(),
        };
        world.cut(kind, id.clone()).await.ok();
        assert!(!world.is_active(&first.token()).await, "{kind}");
        let refused = world.post(&world.refresh(refresh_token(&first.json))).await;
        assert!(refused.status >= 400, "{kind}: {}", refused.text);
        assert!(refused.json.get("access_token").is_none());
        if matches!(kind, "user" | "client") {
            world.reinstate(kind, id.as_str().unwrap()).await.ok();
        }
    }
}

async fn a_client_hands_its_grant_back(world: &mut World) {
    let mut browser = Browser::of(world, world, "alice").await;
    let first = tokens(world, &mut browser).await;
    let hand_back = |token: &str| world.bare("/oauth/revoke").add("client_id", "desk").add("token", token);
    let foreign = world.post(&hand_back(access_token(&first)).set("client_id", "narrow")).await;
    assert_refused(&foreign, 400, "invalid_request", "token_not_of_client");
    world.post(&hand_back(refresh_token(&first))).await.ok();
    assert!(!world.is_active(access_token(&first)).await, "the whole grant is over");
    let refused = world.post(&world.refresh(refresh_token(&first))).await;
    assert_refused(&refused, 400, "invalid_grant", "refresh_token_unknown");
    let second = tokens(world, &mut browser).await;
    world.post(&hand_back(access_token(&second))).await.ok();
    let refused = world.post(&world.refresh(refresh_token(&second))).await;
    assert_refused(&refused, 400, "invalid_grant", "refresh_token_unknown");
    // RFC 7009 §2.2: a token that is none is no error.
    assert_eq!(world.post(&hand_back("tpr_unknown")).await.status, 200);
}

async fn an_external_write_lives_a_minute(world: &mut World) {
    let mut browser = Browser::of(world, world, "alice").await;
    let details = tools(&json!([{ "name": "close_ticket" }])).to_string();
    let code = browser.code(&asking_with(&[("authorization_details", &details)])).await;
    let reply = world.post(&world.redeem(&code)).await.ok();
    assert_eq!(reply.json["expires_in"], 60);
}
