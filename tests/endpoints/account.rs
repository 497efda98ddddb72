//! "What I have given": a person sees all of it and nothing else, takes it back with one click, and is told when that took effect.

use crate::harness::{
    ARCHIVE, Browser, Form, Page, TICKETS, World, asking, assert_refused, claims, on_both_engines,
};

on_both_engines!(
    shows_a_person_everything_of_theirs_and_nothing_else,
    a_withdrawn_consent_takes_everything_that_rests_on_it,
    a_consent_of_an_administrator_is_withdrawn_by_the_person,
    withdrawing_again_writes_nothing,
    a_task_that_is_ended_leaves_the_others,
    refuses_to_take_back_what_is_anybody_elses,
    refuses_forms_that_no_page_of_ours_has_sent,
    no_link_shows_a_withdrawal_that_never_was,
    whoever_isnt_signed_in_is_shown_nothing,
);

const WITHDRAW: &str = "/account/withdraw";
const VERSION: &str = "SELECT max(registry_version) FROM tenants WHERE tenant = 'main'";

/// The secret of the account page's forms.
fn csrf(account: &Page) -> String {
    let hidden = account.hidden(WITHDRAW).into_iter().find(|(name, _)| name == "csrf");
    hidden.unwrap().1
}

/// Presses the button of this consent or task on the account page.
async fn press(browser: &mut Browser, what: (&str, &str)) -> Page {
    let account = browser.get("/account").await;
    let action = browser.path(WITHDRAW);
    browser.post(&action, &[("csrf", csrf(&account).as_str()), what]).await
}

/// The same, and the page after it.
async fn take_back(browser: &mut Browser, what: (&str, &str)) -> Page {
    let sent = press(browser, what).await;
    assert_eq!(sent.status, 303, "{}", sent.html);
    assert!(sent.location.starts_with("/account/withdrawn?"), "{}", sent.location);
    let page = browser.get(&sent.location).await;
    assert_eq!(page.status, 200, "{}", page.html);
    page
}

async fn shows_a_person_everything_of_theirs_and_nothing_else(world: &mut World) {
    let mut alice = Browser::of(world, world, "alice").await;
    let mut bert = Browser::of(world, world, "bert").await;
    let bought = world.post(&world.redeem(&alice.code(&asking()).await)).await.ok();
    world.alices().await;
    let page = alice.get("/account").await.html;
    for part in ["alice-tickets", bought.claims()["consent"].as_str().unwrap(), TICKETS, ARCHIVE] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    assert!(!page.contains("olga-tickets"));
    let page = bert.get("/account").await.html;
    for part in ["alice", bought.claims()["consent"].as_str().unwrap()] {
        assert!(!page.contains(part), "{part} is in {page}");
    }
}

async fn a_withdrawn_consent_takes_everything_that_rests_on_it(world: &mut World) {
    let mut alice = Browser::of(world, world, "alice").await;
    let bought = world.post(&world.redeem(&alice.code(&asking()).await)).await.ok();
    let other = world.alices().await;
    let consent = bought.claims()["consent"].clone();
    let page = take_back(&mut alice, ("consent", consent.as_str().unwrap())).await;
    assert!(page.html.contains("The permission is withdrawn"), "{}", page.html);
    assert!(!world.is_active(&bought.token()).await);
    let refreshed = world.post(&world.refresh(bought.json["refresh_token"].as_str().unwrap())).await;
    assert_refused(&refreshed, 400, "invalid_grant", "refresh_token_unknown");
    assert!(world.is_active(&other).await, "it rested on another consent");
    let rows = world.audit("main").await;
    let cut = rows.iter().rev().find(|row| row.event["detail"]["cutoffs"].is_array()).unwrap();
    assert_eq!(cut.event["detail"]["reason"], "withdrawn by the person");
    // Asked again, the person is asked again.
    let page = alice.visit(&crate::harness::authorize(&alice, &asking())).await;
    assert!(page.html.contains("name=\"decision\""), "{}", page.html);
}

async fn a_consent_of_an_administrator_is_withdrawn_by_the_person(world: &mut World) {
    let mut alice = Browser::of(world, world, "alice").await;
    let token = world.alices().await;
    assert_eq!(claims(&token)["consent"], "alice-tickets");
    let page = take_back(&mut alice, ("consent", "alice-tickets")).await;
    assert!(page.html.contains("The permission is withdrawn"), "{}", page.html);
    assert!(!world.is_active(&token).await);
    let again = world.post(&world.for_person("triage", "alice").add("scope", "tickets.read")).await;
    assert_refused(&again, 400, "invalid_request", "consent_missing");
    assert!(!alice.get("/account").await.html.contains("value=\"alice-tickets\""));
}

async fn withdrawing_again_writes_nothing(world: &mut World) {
    let mut alice = Browser::of(world, world, "alice").await;
    let bought = world.post(&world.redeem(&alice.code(&asking()).await)).await.ok();
    let (task, refresh) = (bought.claims()["task"].clone(), bought.json["refresh_token"].clone());
    let own = claims(&world.alices().await)["task"].clone();
    world.post(&hand_back(world, refresh.as_str().unwrap())).await.ok();
    // Something is left, and with it a form.
    world.alices().await;
    for what in
        [("consent", "alice-tickets"), ("task", task.as_str().unwrap()), ("task", own.as_str().unwrap())]
    {
        take_back(&mut alice, what).await;
        let before = (cutoffs(world).await, world.number(VERSION).await);
        for _ in 0..3 {
            take_back(&mut alice, what).await;
            world.post(&hand_back(world, refresh.as_str().unwrap())).await.ok();
        }
        let after = (cutoffs(world).await, world.number(VERSION).await);
        assert_eq!(before, after, "{what:?}");
    }
}

fn hand_back(world: &World, token: &str) -> Form {
    world.bare("/oauth/revoke").add("client_id", "desk").add("token", token)
}

async fn cutoffs(world: &World) -> i64 {
    world.number("SELECT count(*) FROM cutoffs").await
}

async fn a_task_that_is_ended_leaves_the_others(world: &mut World) {
    let mut alice = Browser::of(world, world, "alice").await;
    let (ended, other) = (world.alices().await, world.alices().await);
    let page = take_back(&mut alice, ("task", claims(&ended)["task"].as_str().unwrap())).await;
    assert!(page.html.contains("is over"), "{}", page.html);
    assert!(!world.is_active(&ended).await && world.is_active(&other).await);
}

async fn refuses_to_take_back_what_is_anybody_elses(world: &mut World) {
    let mut alice = Browser::of(world, world, "alice").await;
    let bought = world.post(&world.redeem(&alice.code(&asking()).await)).await.ok();
    let alices = world.alices().await;
    let said = bought.claims();
    // Bert has something of his own, and so a form.
    let mut bert = Browser::of(world, world, "bert").await;
    bert.code(&asking()).await;
    for what in [
        ("consent", said["consent"].as_str().unwrap()),
        ("consent", "alice-tickets"),
        ("consent", "nothing"),
        ("consent", ""),
        ("task", said["task"].as_str().unwrap()),
        ("task", claims(&alices)["task"].as_str().unwrap()),
        ("user", &world.person("alice")),
    ] {
        let refused = press(&mut bert, what).await;
        assert!(refused.status >= 400 && refused.location.is_empty(), "{what:?} {}", refused.status);
    }
    assert!(world.is_active(&bought.token()).await && world.is_active(&alices).await);
}

async fn refuses_forms_that_no_page_of_ours_has_sent(world: &mut World) {
    let mut alice = Browser::of(world, world, "alice").await;
    let token = world.alices().await;
    let account = alice.get("/account").await;
    let csrf = csrf(&account);
    let csrf = csrf.as_str();
    let what = ("consent", "alice-tickets");
    let elsewhere = [("sec-fetch-site", "cross-site")];
    for (fields, headers) in [
        (vec![what], vec![("sec-fetch-site", "same-origin")]),
        (vec![what, ("csrf", "guessed")], vec![("sec-fetch-site", "same-origin")]),
        (vec![what, ("csrf", "")], vec![("sec-fetch-site", "same-origin")]),
        (vec![what, ("csrf", csrf), ("csrf", csrf)], vec![("sec-fetch-site", "same-origin")]),
        (vec![what, ("csrf", csrf)], elsewhere.to_vec()),
        (vec![what, ("csrf", csrf)], vec![("origin", "https://evil.example")]),
    ] {
        let refused = alice.post_with(WITHDRAW, &fields, &headers).await;
        assert!(refused.status >= 400 && refused.location.is_empty(), "{fields:?} {headers:?}");
    }
    let both = alice.post(WITHDRAW, &[what, ("csrf", csrf), ("task", "tsk_1")]).await;
    assert!(both.status >= 400);
    assert!(world.is_active(&token).await);
}

async fn no_link_shows_a_withdrawal_that_never_was(world: &mut World) {
    let mut alice = Browser::of(world, world, "alice").await;
    let token = world.alices().await;
    let task = claims(&token)["task"].as_str().unwrap().to_owned();
    let now = world.now();
    for query in [
        format!("consent=alice-tickets&seq=0&at={now}"),
        format!("task={task}&seq=0&at={now}"),
        format!("consent=olga-tickets&seq=0&at={now}"),
    ] {
        let page = alice.get(&format!("/account/withdrawn?{query}")).await;
        page.assert_error("entry_unknown");
    }
    for query in
        ["", "consent=alice-tickets", "seq=0&at=0", "consent=a&task=b&seq=0&at=0", "consent=a&seq=-1&at=x"]
    {
        assert!(alice.get(&format!("/account/withdrawn?{query}")).await.status >= 400, "{query}");
    }
    assert!(world.is_active(&token).await);
}

async fn whoever_isnt_signed_in_is_shown_nothing(world: &mut World) {
    let mut nobody = Browser::new(world);
    for path in ["/account", "/account/withdrawn?consent=alice-tickets&seq=0&at=0"] {
        assert_eq!(nobody.get(path).await.location, "/sign-in", "{path}");
    }
    let mut alice = Browser::of(world, world, "alice").await;
    let account = alice.get("/account").await;
    let csrf = csrf(&account);
    alice.jar.remove("taskpass-session-main");
    let refused = alice.post(WITHDRAW, &[("csrf", &csrf), ("consent", "alice-tickets")]).await;
    refused.assert_error("session_missing");
    // A session of another tenant is none here.
    let mut acme = Browser::of(world, &world.acme, "alice").await;
    let cookie = acme.jar["taskpass-session-acme"].clone();
    nobody.jar.insert("taskpass-session-main".into(), cookie);
    assert_eq!(nobody.get("/account").await.location, "/sign-in");
    assert_eq!(acme.get("/t/acme/account").await.status, 200);
}
