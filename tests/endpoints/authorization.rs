//! `/oauth/authorize`, `/oauth/par` and `/consent`: who may ask a person, for what, and what becomes of the answer.

use serde_json::json;

use crate::harness::{
    ARCHIVE, Browser, CHALLENGE, CLOSED, DESK, TICKETS, VAULT, World, asking, asking_with, assert_refused,
    authorize, claims, on_both_engines, search, tools,
};

on_both_engines!(
    a_person_agrees_and_the_client_gets_a_token,
    a_person_says_no,
    tells_nobody_but_the_person_about_a_client_that_is_not_sound,
    tells_the_client_what_is_wrong,
    rejects_what_is_wider_than_the_resource,
    a_repeated_parameter_is_refused,
    loopback_may_have_any_port_and_nothing_else,
    nobody_is_asked_where_nobody_may_be,
    who_must_sign_in_anew_cannot_go_round_it,
    a_yes_holds_as_long_as_the_person_chose_last,
    a_yes_to_what_is_no_longer_so_is_asked_again,
    what_strangers_leave_behind_is_bounded,
    another_browser_can_not_answer,
    an_answer_counts_once,
    forged_forms_change_nothing,
    a_consent_page_shows_everything_and_runs_nothing,
    a_request_that_names_nothing_asks_for_every_tool,
    a_second_request_shows_the_difference,
    a_client_with_keys_is_not_asked_about_twice,
    a_pushed_request_is_opened_by_its_client_alone,
    a_pushed_request_waits_as_long_as_the_browser_that_opened_it,
    a_pushed_request_is_answered_once,
    pushing_needs_a_client_that_is_known,
    names_the_agent_that_may_act,
    whoever_is_disabled_meanwhile_agrees_to_nothing,
    one_tenant_knows_nothing_of_the_other,
);

async fn a_person_agrees_and_the_client_gets_a_token(world: &mut World) {
    let mut browser = Browser::of(world, world, "alice").await;
    let back = browser.agree(&asking()).await;
    assert_eq!(back.status, 303);
    assert!(back.location.starts_with(&format!("{DESK}?code=")), "{}", back.location);
    assert_eq!(back.parameter("iss").as_deref(), Some(world.issuer.as_str()));
    assert_eq!(back.parameter("state").as_deref(), Some("client's own"));
    let reply = world.post(&world.redeem(&back.parameter("code").unwrap())).await.ok();
    assert_eq!(reply.json["token_type"], "Bearer");
    assert_eq!(reply.json["scope"], "tickets.read");
    assert!(reply.json["refresh_token"].as_str().unwrap().starts_with("tpr_"));
    let claims = reply.claims();
    assert_eq!(claims["sub"], world.person("alice"));
    assert_eq!(claims["client_id"], "desk");
    assert_eq!(claims["aud"], TICKETS);
    assert!(claims.get("act").is_none() && claims.get("may_act").is_none());
    assert!(claims["sid"].as_str().unwrap().starts_with("ses_"));
    assert!(claims["consent"].as_str().unwrap().starts_with("con_"));
    assert_eq!(claims["task"], reply.json["task"]);
    assert!(world.is_active(&reply.token()).await);
    let rows = world.audit("main").await;
    let agreed =
        rows.iter().find(|row| row.event["event"] == "authorization" && row.event["granted"] == true);
    assert_eq!(agreed.unwrap().event["consent"], claims["consent"]);
}

async fn a_person_says_no(world: &mut World) {
    let mut browser = Browser::of(world, world, "alice").await;
    let page = browser.visit(&authorize(&browser, &asking())).await;
    let back = browser.submit(&page, "/consent", &[("decision", "deny")]).await;
    back.assert_back("access_denied");
    let row = world.audit("main").await.pop().unwrap();
    assert_eq!(
        (row.event["granted"].as_bool(), row.event["rule"].as_str()),
        (Some(false), Some("consent_denied"))
    );
}

async fn tells_nobody_but_the_person_about_a_client_that_is_not_sound(world: &mut World) {
    let mut browser = Browser::of(world, world, "alice").await;
    for (changes, rule) in [
        (&[("client_id", "nobody")][..], "authorization_client_unknown"),
        (&[("client_id", "")], "parameter_missing"),
        (&[("client_id", "triage")], "authorization_client_unknown"),
        (&[("client_id", "tickets-guard")], "authorization_client_unknown"),
        (&[("client_id", "admin")], "authorization_client_unknown"),
        (&[("client_id", "Desk")], "authorization_client_unknown"),
        (&[("redirect_uri", "")], "redirect_uri_not_registered"),
        (&[("redirect_uri", "https://evil.example.com/callback")], "redirect_uri_not_registered"),
        (&[("redirect_uri", "https://desk.example.com/cb")], "redirect_uri_not_registered"),
        (&[("redirect_uri", "https://desk.example.com/cb?x=1&y=2")], "redirect_uri_not_registered"),
        (&[("redirect_uri", "https://desk.example.com/CB?x=1")], "redirect_uri_not_registered"),
        (&[("redirect_uri", "https://desk.example.com./cb?x=1")], "redirect_uri_not_registered"),
        (&[("redirect_uri", "https://editor.example.com/callback")], "redirect_uri_not_registered"),
        (&[("redirect_uri", "javascript:alert(1)")], "redirect_uri_not_registered"),
        (&[("request_uri", "https://evil.example.com/r")], "request_uri_unknown"),
    ] {
        let page = browser.visit(&authorize(&browser, &asking_with(changes))).await;
        page.assert_error(rule);
        assert!(!page.html.contains("evil"), "{}", page.html);
    }
}

async fn tells_the_client_what_is_wrong(world: &mut World) {
    let mut browser = Browser::of(world, world, "alice").await;
    let short = &CHALLENGE[1..];
    for (changes, error) in [
        (&[("request", "eyJhbGciOiJub25lIn0.e30.")][..], "request_not_supported"),
        (&[("response_type", "token")], "unsupported_response_type"),
        (&[("response_type", "code id_token")], "unsupported_response_type"),
        (&[("response_type", "")], "invalid_request"),
        (&[("response_mode", "fragment")], "invalid_request"),
        (&[("request", "eyJhbGciOiJub25lIn0.e30.")], "request_not_supported"),
        (&[("code_challenge", "")], "invalid_request"),
        (&[("code_challenge", short)], "invalid_request"),
        (&[("code_challenge_method", "plain")], "invalid_request"),
        (&[("code_challenge_method", "")], "invalid_request"),
        (&[("code_challenge_method", "s256")], "invalid_request"),
        (&[("resource", "")], "invalid_target"),
        (&[("resource", "https://unknown.example.com")], "invalid_target"),
        (&[("resource", "https://tickets.example.com/mcp/")], "invalid_target"),
        (&[("resource", CLOSED)], "invalid_target"),
        (&[("resource", VAULT), ("scope", "vault.read")], "invalid_dpop_proof"),
        (&[("scope", "tickets.read archive.read")], "invalid_scope"),
        (&[("scope", "TICKETS.READ")], "invalid_scope"),
        (&[("scope", "tickets.read\u{a0}")], "invalid_scope"),
        (&[("authorization_details", "{}")], "invalid_authorization_details"),
        (&[("authorization_details", "[{\"type\":\"unknown\"}]")], "invalid_authorization_details"),
        (&[("prompt", "none login")], "invalid_request"),
        (&[("requested_actor", "nobody")], "invalid_request"),
        (&[("requested_actor", "dormant")], "invalid_request"),
        (&[("requested_actor", "tickets-server")], "invalid_request"),
    ] {
        let page = browser.visit(&authorize(&browser, &asking_with(changes))).await;
        page.assert_back(error);
        assert_eq!(page.parameter("state").as_deref(), Some("client's own"), "{changes:?}");
    }
    let narrow = [("client_id", "narrow"), ("redirect_uri", "https://narrow.example.com/cb")];
    browser.visit(&authorize(&browser, &asking_with(&narrow))).await.assert_back("invalid_target");
    let query = asking_with(&[("redirect_uri", "https://desk.example.com/cb?x=1"), ("scope", "unknown")]);
    let page = browser.visit(&authorize(&browser, &query)).await;
    assert!(page.location.starts_with("https://desk.example.com/cb?x=1&error="), "{}", page.location);
}

async fn rejects_what_is_wider_than_the_resource(world: &mut World) {
    let mut browser = Browser::of(world, world, "alice").await;
    let elsewhere =
        json!([{ "type": "mcp_tool_call", "locations": [ARCHIVE], "tools": [{ "name": "get_ticket" }] }]);
    let payment = json!([{ "type": "payment", "currency": "EUR", "amount": 1 }]);
    for details in [elsewhere, payment, json!([{ "type": "mcp_tool_call", "tools": [], "more": 1 }])] {
        let changes = [("authorization_details", details.to_string())];
        let changes: Vec<_> = changes.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let page = browser.visit(&authorize(&browser, &asking_with(&changes))).await;
        page.assert_back("invalid_authorization_details");
    }
    world.cut("tool", format!("{TICKETS}#get_ticket")).await.ok();
    let tool = tools(&json!([{ "name": "get_ticket" }])).to_string();
    let page = browser.visit(&authorize(&browser, &asking_with(&[("authorization_details", &tool)]))).await;
    page.assert_back("invalid_authorization_details");
}

async fn a_repeated_parameter_is_refused(world: &mut World) {
    let mut browser = Browser::of(world, world, "alice").await;
    for name in ["client_id", "redirect_uri", "scope", "state", "code_challenge", "response_type"] {
        let mut pairs = asking();
        let twin = pairs.iter().find(|(other, _)| other == name).unwrap().clone();
        pairs.push(twin);
        browser.visit(&authorize(&browser, &pairs)).await.assert_error("parameter_repeated");
    }
    // RFC 8707 lets `resource` repeat; a token is for one.
    let mut pairs = asking();
    pairs.push(("resource".into(), ARCHIVE.into()));
    browser.visit(&authorize(&browser, &pairs)).await.assert_back("invalid_target");
}

async fn loopback_may_have_any_port_and_nothing_else(world: &mut World) {
    let mut browser = Browser::of(world, world, "alice").await;
    for good in
        ["http://127.0.0.1:1/callback", "http://127.0.0.1/callback", "http://127.0.0.1:65535/callback"]
    {
        let page = browser.visit(&authorize(&browser, &asking_with(&[("redirect_uri", good)]))).await;
        assert_eq!(page.status, 200, "{good}");
    }
    for bad in [
        "http://127.0.0.1:1/other",
        "https://127.0.0.1:1/callback",
        "http://127.0.0.2:1/callback",
        "http://127.0.0.1:1/callback?x",
        "http://127.0.0.1:1/callback#x",
        "http://127.0.0.1:80@evil.example.com/callback",
        "http://127.0.0.1.evil.example.com/callback",
        "http://localhost:1/callback",
    ] {
        let page = browser.visit(&authorize(&browser, &asking_with(&[("redirect_uri", bad)]))).await;
        page.assert_error("redirect_uri_not_registered");
    }
}

async fn nobody_is_asked_where_nobody_may_be(world: &mut World) {
    let mut stranger = Browser::new(world);
    let silent = asking_with(&[("prompt", "none")]);
    stranger.visit(&authorize(&stranger, &silent)).await.assert_back("login_required");
    let asked = stranger.get(&authorize(&stranger, &asking())).await;
    assert!(asked.location.starts_with("/sign-in?request=tpq_"), "{}", asked.location);
    let mut browser = Browser::of(world, world, "alice").await;
    browser.visit(&authorize(&browser, &silent)).await.assert_back("consent_required");
    let again = browser.get(&authorize(&browser, &asking_with(&[("prompt", "login")]))).await;
    assert!(again.location.starts_with("/sign-in?request="), "{}", again.location);
}

async fn who_must_sign_in_anew_cannot_go_round_it(world: &mut World) {
    let mut browser = Browser::of(world, world, "alice").await;
    world.advance(5).await;
    let sent = browser.get(&authorize(&browser, &asking_with(&[("prompt", "login")]))).await.location;
    let around = sent.replace("/sign-in?", "/consent?");
    assert_eq!(browser.get(&around).await.location, sent);
    let page = browser.visit(&authorize(&browser, &asking())).await;
    let mut fields = page.hidden("/consent");
    let handle = sent.split("request=").nth(1).unwrap();
    fields.iter_mut().filter(|(name, _)| name == "request").for_each(|(_, value)| handle.clone_into(value));
    fields.push(("decision".into(), "allow".into()));
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    browser.post("/consent", &fields).await.assert_error("session_missing");
    // Nor does any other sign-in count: it has to be the one for this request.
    browser.sign_in(world, world, "alice").await;
    assert_eq!(browser.get(&around).await.location, sent);
}

async fn a_yes_holds_as_long_as_the_person_chose_last(world: &mut World) {
    let mut browser = Browser::of(world, world, "alice").await;
    let ends = async |browser: &mut Browser, expiry: &str, changes: &[(&str, &str)]| {
        let page = browser.visit(&authorize(browser, &asking_with(changes))).await;
        let back = browser.submit(&page, "/consent", &[("decision", "allow"), ("expiry", expiry)]).await;
        assert!(back.parameter("code").is_some(), "{}", back.html);
        world.number("SELECT max(expires_at) FROM consents").await - world.now()
    };
    assert_eq!(ends(&mut browser, "7776000", &[]).await, 90 * 86_400);
    // For more, and for less time.
    assert_eq!(ends(&mut browser, "86400", &[("scope", "tickets.read tickets.write")]).await, 86_400);
    assert_eq!(ends(&mut browser, "2592000", &[]).await, 30 * 86_400);
}

async fn a_yes_to_what_is_no_longer_so_is_asked_again(world: &mut World) {
    let mut browser = Browser::of(world, world, "alice").await;
    let bought = world.post(&world.redeem(&browser.code(&asking()).await)).await.ok();
    // One person's page is not another's, whoever has signed in meanwhile.
    let page = browser.visit(&authorize(&browser, &asking_with(&[("scope", "tickets.write")]))).await;
    browser.sign_in(world, world, "bert").await;
    let again = browser.submit(&page, "/consent", &[("decision", "allow")]).await;
    assert!(again.location.starts_with("/consent?request="), "{} {}", again.location, again.html);
    browser.sign_in(world, world, "alice").await;
    // The page shows what is new against the consent, which is withdrawn while the page is open.
    let page =
        browser.visit(&authorize(&browser, &asking_with(&[("scope", "tickets.read tickets.write")]))).await;
    world.cut("consent", bought.claims()["consent"].clone()).await.ok();
    let again = browser.submit(&page, "/consent", &[("decision", "allow")]).await;
    assert!(again.location.starts_with("/consent?request="), "{}", again.location);
    assert_eq!(world.number("SELECT count(*) FROM consents WHERE withdrawn_at IS NULL").await, 0);
    let page = browser.get(&again.location).await;
    let back = browser.submit(&page, "/consent", &[("decision", "allow")]).await;
    assert!(back.parameter("code").is_some());
}

async fn what_strangers_leave_behind_is_bounded(world: &mut World) {
    let mut browser = Browser::new(world);
    let long = "s".repeat(2049);
    for changes in [[("state", long.as_str())], [("state", &long[1..])]] {
        let kept = world.number("SELECT count(*) FROM authorization_requests").await;
        let page = browser.get(&authorize(&browser, &asking_with(&changes))).await;
        let fits = changes[0].1.len() <= 2048;
        assert_eq!(page.status, if fits { 303 } else { 400 });
        let now = world.number("SELECT count(*) FROM authorization_requests").await;
        assert_eq!(now - kept, i64::from(fits));
    }
}

async fn another_browser_can_not_answer(world: &mut World) {
    let mut browser = Browser::of(world, world, "alice").await;
    let mut other = Browser::of(world, world, "mallory").await;
    other.visit("/account").await;
    let to = browser.get(&authorize(&browser, &asking())).await.location;
    let handle = to.split("request=").nth(1).unwrap().to_owned();
    other.get(&to).await.assert_error("authorization_request_gone");
    let mine = other.visit(&authorize(&other, &asking())).await;
    let mut fields = mine.hidden("/consent");
    fields.iter_mut().filter(|(name, _)| name == "request").for_each(|(_, value)| value.clone_from(&handle));
    fields.push(("decision".into(), "allow".into()));
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    other.post("/consent", &fields).await.assert_error("authorization_request_gone");
    assert_eq!(browser.get(&to).await.status, 200);
}

async fn an_answer_counts_once(world: &mut World) {
    let mut browser = Browser::of(world, world, "alice").await;
    let page = browser.visit(&authorize(&browser, &asking())).await;
    let first = browser.submit(&page, "/consent", &[("decision", "allow")]).await;
    assert!(first.parameter("code").is_some());
    for decision in ["allow", "deny"] {
        let second = browser.submit(&page, "/consent", &[("decision", decision)]).await;
        second.assert_error("authorization_request_gone");
    }
}

async fn forged_forms_change_nothing(world: &mut World) {
    let mut browser = Browser::of(world, world, "alice").await;
    let page = browser.visit(&authorize(&browser, &asking())).await;
    let mut fields = page.hidden("/consent");
    fields.push(("decision".into(), "allow".into()));
    let all: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let without: Vec<_> = all.iter().copied().filter(|(name, _)| *name != "csrf").collect();
    let others = Browser::of(world, world, "alice").await;
    let mut others = others;
    let elsewhere = others.visit(&authorize(&others, &asking())).await;
    let foreign = elsewhere.hidden("/consent").into_iter().find(|(name, _)| name == "csrf").unwrap().1;
    let swapped: Vec<_> = all
        .iter()
        .map(|(name, value)| (*name, if *name == "csrf" { foreign.as_str() } else { value }))
        .collect();
    let same = [("sec-fetch-site", "same-origin")];
    type Sent<'a> = (&'a [(&'a str, &'a str)], &'a [(&'static str, &'a str)]);
    let cases: [Sent<'_>; 6] = [
        (&without, &same),
        (&swapped, &same),
        (&all, &[("sec-fetch-site", "cross-site")]),
        (&all, &[("sec-fetch-site", "same-site")]),
        (&all, &[("origin", "https://evil.example.com")]),
        (&all, &[("origin", "http://127.0.0.1")]),
    ];
    for (fields, headers) in cases {
        let reply = browser.post_with("/consent", fields, headers).await;
        assert_eq!(reply.status, 400, "{headers:?}");
        assert!(reply.html.contains("form_forged"), "{}", reply.html);
    }
    assert!(browser.post("/consent", &all).await.parameter("code").is_some());
}

async fn a_consent_page_shows_everything_and_runs_nothing(world: &mut World) {
    let mut browser = Browser::of(world, world, "alice").await;
    let details = search(25).to_string();
    let page =
        browser.visit(&authorize(&browser, &asking_with(&[("authorization_details", &details)]))).await;
    for text in
        ["Desk", "alice@example.com", TICKETS, "tickets.read", "search_tickets", "limit", "25", "127.0.0.1"]
    {
        assert!(page.html.contains(text), "{text} isn't shown: {}", page.html);
    }
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    for part in [
        "default-src 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self' http://127.0.0.1:49152",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    for (name, value) in
        [("cache-control", "no-store"), ("x-frame-options", "DENY"), ("referrer-policy", "no-referrer")]
    {
        assert_eq!(page.headers[name], value);
    }
    let hostile = json!([{ "client": "desk", "name": "<script>alert(1)</script>\u{202e}ksed",
        "redirect_uris": ["http://127.0.0.1/callback"] }]);
    world.apply(json!({ "clients": hostile })).await.ok();
    let page = browser.visit(&authorize(&browser, &asking())).await;
    assert!(
        !page.html.contains('\u{202e}') && page.html.contains("&#60;script")
            || page.html.contains("&lt;script")
    );
}

async fn a_request_that_names_nothing_asks_for_every_tool(world: &mut World) {
    let mut browser = Browser::of(world, world, "alice").await;
    {
        let page = browser.visit(&authorize(&browser, &asking_with(&[("scope", "")]))).await;
        for tool in ["search_tickets", "get_ticket", "close_ticket"] {
            assert!(page.html.contains(tool), "{}", page.html);
        }
        let back = browser.submit(&page, "/consent", &[("decision", "allow")]).await;
        let claims = world.post(&world.redeem(&back.parameter("code").unwrap())).await.ok().claims();
        let every =
            json!([{ "name": "search_tickets" }, { "name": "get_ticket" }, { "name": "close_ticket" }]);
        assert_eq!(claims["authorization_details"], tools(&every));
    }
    // A scope that stands for no tool opens none, and whoever names details gets those.
    let scoped = world.post(&world.redeem(&browser.code(&asking()).await)).await.ok().claims();
    assert!(scoped.get("authorization_details").is_none());
    let named = asking_with(&[("authorization_details", &search(5).to_string())]);
    let claims = world.post(&world.redeem(&browser.code(&named).await)).await.ok().claims();
    assert_eq!(claims["authorization_details"], search(5));
}

async fn a_second_request_shows_the_difference(world: &mut World) {
    let mut browser = Browser::of(world, world, "alice").await;
    let first = world.post(&world.redeem(&browser.code(&asking()).await)).await.ok();
    let wider = asking_with(&[("scope", "tickets.read tickets.write")]);
    let page = browser.visit(&authorize(&browser, &wider)).await;
    assert_eq!(page.status, 200);
    let (new, old) = (page.html.find("tickets.write").unwrap(), page.html.find("tickets.read").unwrap());
    assert!(new < old, "what is new comes first: {}", page.html);
    let back = browser.submit(&page, "/consent", &[("decision", "allow")]).await;
    let second = world.post(&world.redeem(&back.parameter("code").unwrap())).await.ok();
    assert_eq!(second.json["scope"], "tickets.read tickets.write");
    assert_eq!(first.claims()["consent"], second.claims()["consent"]);
    assert_ne!(first.claims()["task"], second.claims()["task"]);
    // A public client on loopback is never assured: the person is asked again, about all of it.
    let page = browser.visit(&authorize(&browser, &asking())).await;
    assert_eq!(page.status, 200);
}

async fn a_client_with_keys_is_not_asked_about_twice(world: &mut World) {
    let mut browser = Browser::of(world, world, "alice").await;
    let editor =
        asking_with(&[("client_id", "editor"), ("redirect_uri", "https://editor.example.com/callback")]);
    let back = browser.agree(&editor).await;
    assert!(back.parameter("code").is_some());
    let silent = browser.visit(&authorize(&browser, &editor)).await;
    assert!(silent.parameter("code").is_some(), "{silent:?}");
    let mut quiet = editor.clone();
    quiet.push(("prompt".into(), "none".into()));
    assert!(browser.visit(&authorize(&browser, &quiet)).await.parameter("code").is_some());
    let mut asked = editor.clone();
    asked.push(("prompt".into(), "consent".into()));
    assert_eq!(browser.visit(&authorize(&browser, &asked)).await.status, 200);
}

async fn a_pushed_request_is_opened_by_its_client_alone(world: &mut World) {
    let mut form = world.bare("/oauth/par");
    form.pairs = asking();
    let pushed = world.post(&form).await.ok();
    assert_eq!((pushed.status, pushed.json["expires_in"].as_i64()), (201, Some(90)));
    let uri = pushed.json["request_uri"].as_str().unwrap().to_owned();
    let by = |client: &str| {
        vec![("client_id".to_owned(), client.to_owned()), ("request_uri".to_owned(), uri.clone())]
    };
    let mut browser = Browser::of(world, world, "alice").await;
    browser.visit(&authorize(&browser, &by("narrow"))).await.assert_error("request_uri_unknown");
    // What stands beside the reference counts for nothing.
    let mut beside = by("desk");
    beside.push(("scope".into(), "tickets.write".into()));
    let page = browser.visit(&authorize(&browser, &beside)).await;
    assert!(page.html.contains("tickets.read") && !page.html.contains("tickets.write"), "{}", page.html);
    world.pass(91).await;
    browser.visit(&authorize(&browser, &by("desk"))).await.assert_error("request_uri_unknown");
}

async fn a_pushed_request_waits_as_long_as_the_browser_that_opened_it(world: &mut World) {
    let mut form = world.bare("/oauth/par");
    form.pairs = asking();
    let uri = world.post(&form).await.ok().json["request_uri"].as_str().unwrap().to_owned();
    let mut browser = Browser::of(world, world, "alice").await;
    let opening = [("client_id".to_owned(), "desk".to_owned()), ("request_uri".to_owned(), uri)];
    let page = browser.visit(&authorize(&browser, &opening)).await;
    world.advance(1700).await;
    world.app().server.prune().await.unwrap();
    let back = browser.submit(&page, "/consent", &[("decision", "allow")]).await;
    assert!(back.parameter("code").is_some(), "{} {}", back.location, back.html);
}

async fn a_pushed_request_is_answered_once(world: &mut World) {
    let mut form = world.bare("/oauth/par");
    form.pairs = asking();
    let uri = world.post(&form).await.ok().json["request_uri"].as_str().unwrap().to_owned();
    let opening = vec![("client_id".to_owned(), "desk".to_owned()), ("request_uri".to_owned(), uri)];
    let mut browser = Browser::of(world, world, "alice").await;
    // It may be opened twice before anybody has answered: pages are loaded again.
    let first = browser.visit(&authorize(&browser, &opening)).await;
    let second = browser.visit(&authorize(&browser, &opening)).await;
    assert!(browser.submit(&first, "/consent", &[("decision", "allow")]).await.parameter("code").is_some());
    let late = browser.submit(&second, "/consent", &[("decision", "allow")]).await;
    late.assert_error("authorization_request_gone");
    browser.visit(&authorize(&browser, &opening)).await.assert_error("request_uri_unknown");
}

async fn pushing_needs_a_client_that_is_known(world: &mut World) {
    let with = |client: &str, changes: &[(&str, &str)]| {
        let mut form = world.form("/oauth/par", client);
        form.pairs.extend(asking_with(changes));
        form
    };
    let mut bare = world.bare("/oauth/par");
    bare.pairs =
        asking_with(&[("client_id", "editor"), ("redirect_uri", "https://editor.example.com/callback")]);
    assert_refused(&world.post(&bare).await, 401, "invalid_client", "client_authentication_missing");
    let editor = [("client_id", "editor"), ("redirect_uri", "https://editor.example.com/callback")];
    let good = with("editor", &editor);
    world.post(&good).await.ok();
    assert_refused(&world.post(&good).await, 401, "invalid_client", "client_assertion_replayed");
    let desks = with("editor", &[("redirect_uri", "https://editor.example.com/callback")]);
    assert_refused(&world.post(&desks).await, 401, "invalid_client", "client_id_mismatch");
    let agent = with("triage", &[("client_id", "triage")]);
    assert_refused(&world.post(&agent).await, 400, "unauthorized_client", "grant_not_for_this_client");
    let mut nested = world.bare("/oauth/par");
    nested.pairs = asking_with(&[("request_uri", "urn:ietf:params:oauth:request_uri:x")]);
    assert_refused(&world.post(&nested).await, 400, "invalid_request", "request_uri_not_accepted");
    let mut elsewhere = world.bare("/oauth/par");
    elsewhere.pairs = asking_with(&[("redirect_uri", "https://evil.example.com/")]);
    assert_refused(&world.post(&elsewhere).await, 400, "invalid_request", "redirect_uri_not_registered");
}

async fn names_the_agent_that_may_act(world: &mut World) {
    let mut browser = Browser::of(world, world, "nina").await;
    let asked = asking_with(&[("requested_actor", "triage")]);
    let page = browser.visit(&authorize(&browser, &asked)).await;
    assert!(page.html.contains("triage"), "{}", page.html);
    let back = browser.submit(&page, "/consent", &[("decision", "allow")]).await;
    let reply = world.post(&world.redeem(&back.parameter("code").unwrap())).await.ok();
    assert_eq!(reply.claims()["may_act"], json!({ "sub": "triage" }));
    // The agent takes it up, in a task below the person's grant; another agent can't.
    let taken = world.post(&world.onward("triage", &reply.token())).await.ok();
    let (own, agents) = (reply.claims(), taken.claims());
    assert_eq!(agents["act"], json!({ "sub": "triage" }));
    assert_eq!(agents["sub"], world.person("nina"));
    assert_eq!(agents["task_ancestors"], json!([own["task"]]));
    assert_eq!(agents["consent"], own["consent"]);
    let other = world.post(&world.onward("stranger", &reply.token())).await;
    assert_refused(&other, 400, "invalid_request", "actor_not_in_may_act");
    // And by the person's ID token too, for no administrator has consented for Nina.
    let direct = world.post(&world.for_person("triage", "nina").add("scope", "tickets.read")).await.ok();
    assert_eq!(direct.claims()["consent"], own["consent"]);
    let wider = world.post(&world.for_person("triage", "nina").add("scope", "tickets.write")).await;
    assert_refused(&wider, 400, "invalid_scope", "scope_exceeds_consent");
    // Taking the consent back ends all of it.
    let token = taken.token();
    assert!(world.is_active(&token).await);
    world.cut("consent", own["consent"].clone()).await.ok();
    for token in [&token, &reply.token(), &direct.token()] {
        assert!(!world.is_active(token).await);
    }
    let again = world.post(&world.for_person("triage", "nina").add("scope", "tickets.read")).await;
    assert_refused(&again, 400, "invalid_request", "consent_missing");
}

async fn whoever_is_disabled_meanwhile_agrees_to_nothing(world: &mut World) {
    let mut browser = Browser::of(world, world, "alice").await;
    let page = browser.visit(&authorize(&browser, &asking())).await;
    world.cut("user", world.person("alice")).await.ok();
    let refused = browser.submit(&page, "/consent", &[("decision", "allow")]).await;
    refused.assert_error("session_missing");
}

async fn one_tenant_knows_nothing_of_the_other(world: &mut World) {
    let mut browser = Browser::of(world, world, "alice").await;
    let code = browser.code(&asking()).await;
    let refused = world.acme.post(&world.acme.redeem(&code)).await;
    assert_refused(&refused, 400, "invalid_grant", "authorization_code_unknown");
    let mut at_acme = Browser::of(world, &world.acme, "alice").await;
    let page = at_acme.visit(&authorize(&at_acme, &asking())).await;
    assert_eq!(page.status, 200);
    let back = at_acme.submit(&page, "/t/acme/consent", &[("decision", "allow")]).await;
    assert_eq!(back.parameter("iss").as_deref(), Some(world.acme.issuer.as_str()));
    let token = world.acme.post(&world.acme.redeem(&back.parameter("code").unwrap())).await.ok().token();
    assert_eq!(claims(&token)["tenant"], "acme");
    // The session of one tenant is none at the other.
    let mut mixed = Browser::new(&world.acme);
    mixed.jar.clone_from(&browser.jar);
    let asked = mixed.get(&authorize(&mixed, &asking())).await;
    assert!(asked.location.starts_with("/t/acme/sign-in"), "{}", asked.location);
}
