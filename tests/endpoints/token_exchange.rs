//! `POST /oauth/token`: what is granted, and which subject tokens are refused.

use serde_json::{Value, json};
use taskpass::protocol::token_type::{JWT_BEARER_GRANT, TokenType};

use crate::harness::{
    API, ARCHIVE, BANK, CLOSED, CORP, OLD, TICKETS, VAULT, World, assert_refused, b64, claims,
    on_both_engines, payment, search, section, tools,
};

on_both_engines!(
    grants_what_was_asked_and_says_so,
    grants_the_largest_common_part_when_nothing_is_named,
    an_external_write_lives_a_minute,
    an_opaque_token_introspects_like_any_other,
    refuses_subject_tokens_of_another_type,
    refuses_subject_tokens_that_are_not_for_this_client,
    refuses_subject_tokens_with_actors_or_keys_inside,
    refuses_malformed_subject_tokens,
    refuses_expired_and_revoked_subject_tokens,
    refuses_upstreams_that_are_unknown_or_switched_off,
    refuses_a_disabled_person,
    refuses_without_a_living_consent,
    refuses_bad_targets,
    refuses_bad_parameters,
    refuses_forged_identity_members_in_the_form,
    refuses_task_lifetimes_beyond_policy,
    refuses_by_policy,
    refuses_agents_that_mint_nothing,
    a_svid_as_subject_is_the_agent_itself,
    no_token_outlives_consent_or_task,
);

async fn grants_what_was_asked_and_says_so(world: &mut World) {
    let form =
        world.for_person("triage", "alice").add("scope", "tickets.read").add("task_purpose", "sort tickets");
    let reply = world.post(&form).await.ok();
    assert_eq!(reply.header("cache-control"), "no-store");
    assert_eq!(reply.json["token_type"], "Bearer");
    assert_eq!(reply.json["issued_token_type"], TokenType::AccessToken.as_str());
    assert_eq!(reply.json["scope"], "tickets.read");
    assert_eq!(reply.json["expires_in"], 240);
    assert_eq!(reply.json["task_deadline"], world.now() + 3600);
    assert!(reply.json.get("refresh_token").is_none());
    let claims = reply.claims();
    assert_eq!(claims["iss"], world.issuer);
    assert_eq!(claims["aud"], TICKETS);
    assert_eq!(claims["sub"], world.person("alice"));
    assert_eq!(claims["act"], json!({ "sub": "triage" }));
    assert_eq!(claims["client_id"], "triage");
    assert_eq!(claims["consent"], "alice-tickets");
    assert_eq!(claims["sid"], world.session("alice"));
    assert_eq!(claims["task"], reply.json["task"]);
    assert_eq!(claims["exp"], world.now() + 240);
    let row = world.audit("main").await.pop().unwrap();
    assert_eq!(row.event["jti"], claims["jti"]);
    assert_eq!(row.event["task_purpose"], "sort tickets");
    let record =
        world.admin(http::Method::GET, &format!("/tasks/{}", claims["task"].as_str().unwrap()), None).await;
    assert_eq!(record.ok().json["purpose"], "sort tickets");
}

async fn grants_the_largest_common_part_when_nothing_is_named(world: &mut World) {
    let all = world.post(&world.for_person("triage", "alice")).await.ok();
    assert_eq!(all.json["scope"], "tickets.read tickets.write");
    assert_eq!(all.json["authorization_details"], all.claims()["authorization_details"]);
    let fewer = world.post(&world.onward("summarizer", &all.token())).await.ok();
    assert_eq!(fewer.json["scope"], "tickets.read");
    assert_eq!(fewer.json["authorization_details"], search(20));
    // Whoever names what it needs doesn't get the rest.
    let named =
        world.post(&world.for_person("triage", "alice").add("authorization_details", search(5))).await.ok();
    assert!(named.json.get("scope").is_none());
}

async fn an_external_write_lives_a_minute(world: &mut World) {
    let details = tools(&json!([{ "name": "close_ticket" }]));
    let reply =
        world.post(&world.for_person("triage", "alice").add("authorization_details", details)).await.ok();
    assert_eq!(reply.json["expires_in"], 60);
}

async fn an_opaque_token_introspects_like_any_other(world: &mut World) {
    let token = world.post(&world.for_person("triage", "alice").set("resource", ARCHIVE)).await.ok().token();
    assert!(!token.contains('.'), "{token}");
    let answer = world.introspect("archive-guard", &token).await;
    assert!(answer.is_active());
    assert_eq!(answer.json["sub"], world.person("alice"));
    assert_eq!(answer.json["act"]["sub"], "triage");
    assert_eq!(answer.json["aud"], ARCHIVE);
    // It can be renewed like any other.
    let renewed = world.post(&world.onward("triage", &token).set("resource", ARCHIVE)).await.ok();
    assert_eq!(renewed.json["task"], answer.json["task"]);
}

async fn refuses_subject_tokens_of_another_type(world: &mut World) {
    let corp = world.key("corp");
    let claims = world.id_claims("alice", "triage");
    let with = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        claims
    };
    let wrong = "subject_token_of_wrong_type";
    let logout = with("events", json!({ "http://schemas.openid.net/event/backchannel-logout": {} }));
    let ours = world.alices().await;
    for (kind, token, rule) in [
        (TokenType::IdToken, corp.sign("at+jwt", &claims), wrong),
        (TokenType::IdToken, corp.sign("application/at+jwt", &claims), wrong),
        (TokenType::IdToken, corp.sign("logout+jwt", &claims), wrong),
        (TokenType::Jwt, corp.sign("logout+jwt", &claims), wrong),
        (TokenType::IdToken, corp.sign("secevent+jwt", &claims), wrong),
        (TokenType::IdToken, corp.sign("dpop+jwt", &claims), wrong),
        (TokenType::IdToken, corp.sign("client-authentication+jwt", &claims), wrong),
        // A logout token or security event that says nothing in its header.
        (TokenType::IdToken, corp.sign("JWT", &logout), wrong),
        (TokenType::Jwt, corp.sign("JWT", &logout), wrong),
        // Keycloak's refresh, offline and logout tokens.
        (TokenType::IdToken, corp.sign("JWT", &with("typ", json!("Refresh"))), wrong),
        (TokenType::Jwt, corp.sign("JWT", &with("typ", json!("Offline"))), wrong),
        (TokenType::IdToken, corp.sign("JWT", &with("typ", json!("Logout"))), wrong),
        // One of ours, declared to be somebody else's.
        (TokenType::IdToken, ours.clone(), wrong),
        (TokenType::Jwt, ours.clone(), wrong),
        // Somebody else's, declared to be ours.
        (TokenType::AccessToken, world.id_token("alice", "triage"), wrong),
        (TokenType::AccessToken, world.svid("triage"), wrong),
        (TokenType::AccessToken, world.assertion("triage"), wrong),
        (TokenType::AccessToken, corp.sign("at+jwt", &claims), "subject_token_of_other_tenant"),
        (TokenType::IdToken, world.svid("triage"), "subject_token_malformed"),
        (TokenType::IdToken, world.assertion("triage"), wrong),
    ] {
        world.refuses(&world.exchange("triage", &token, kind), 400, "invalid_request", rule).await;
    }
    // The key of the company can't make one of ours.
    let mut forged = crate::harness::claims(&ours);
    forged["jti"] = json!("tok_forged");
    let forged = corp.sign("at+jwt", &forged);
    world.refuses(&world.onward("triage", &forged), 400, "invalid_request", "subject_token_revoked").await;
}

async fn refuses_subject_tokens_that_are_not_for_this_client(world: &mut World) {
    let corp = world.key("corp");
    let mut azp = world.id_claims("alice", "triage");
    azp["azp"] = json!("somebody-else");
    let mut many = world.id_claims("alice", "triage");
    many["aud"] = json!(["triage", "other"]);
    many["azp"] = json!("other");
    for claims in [
        world.id_claims("alice", "summarizer"),
        world.id_claims("alice", "Triage"),
        world.id_claims("alice", "triage "),
        world.id_claims("alice", &world.issuer),
        azp,
        many,
    ] {
        let form = world.exchange("triage", &corp.sign("JWT", &claims), TokenType::IdToken);
        world.refuses(&form, 400, "invalid_request", "subject_token_audience_wrong").await;
    }
    // An audience that the provider's entry names is as good as the agent's own.
    let desktop = world.id_token("alice", "desktop");
    world.post(&world.exchange("triage", &desktop, TokenType::IdToken)).await.ok();
}

async fn refuses_subject_tokens_with_actors_or_keys_inside(world: &mut World) {
    for (name, value, error, rule) in [
        ("act", json!({ "sub": "admin" }), "invalid_request", "subject_token_already_delegated"),
        ("act", Value::Null, "invalid_request", "subject_token_already_delegated"),
        ("may_act", json!({ "sub": "triage" }), "invalid_request", "subject_token_already_delegated"),
        ("cnf", json!({ "jkt": "x" }), "invalid_dpop_proof", "subject_token_bound_without_proof"),
    ] {
        for kind in [TokenType::IdToken, TokenType::Jwt] {
            let mut claims = world.id_claims("alice", "triage");
            claims[name] = value.clone();
            let token = world.key("corp").sign("JWT", &claims);
            world.refuses(&world.exchange("triage", &token, kind), 400, error, rule).await;
        }
    }
}

async fn refuses_malformed_subject_tokens(world: &mut World) {
    let corp = world.key("corp");
    let claims = world.id_claims("alice", "triage");
    let good = corp.sign("JWT", &claims);
    let header = corp.header("JWT");
    let with = |name: &str, value: Value| {
        let mut header = header.clone();
        header[name] = value;
        corp.sign_with(&header, &claims)
    };
    let (malformed, unsigned) = ("subject_token_malformed", "subject_token_signature_wrong");
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let text = claims.to_string();
    let twin = format!(r#"{{"sub":"mallory",{}"#, &text[1..]);
    let mut string_exp = claims.clone();
    string_exp["exp"] = json!(string_exp["exp"].to_string());
    let mut nobody = claims.clone();
    nobody["sub"] = json!("");
    let mut nested = claims.clone();
    nested["x"] = (0..40).fold(json!(1), |inner, _| json!([inner]));
    for (token, rule) in [
        (with("alg", json!("none")), malformed),
        (format!("{}.{}.", b64(r#"{"alg":"none"}"#), b64(&text)), malformed),
        (corp.hmac("JWT", &claims), malformed),
        (with("crit", json!(["exp"])), malformed),
        (with("jwk", corp.public.clone()), malformed),
        (with("jku", json!("https://evil.example/keys")), malformed),
        (with("x5c", json!([])), malformed),
        (with("b64", json!(false)), malformed),
        (with("zip", json!("DEF")), malformed),
        (with("kid", json!(["a"])), malformed),
        (with("kid", json!("unknown")), unsigned),
        (with("alg", json!("RS256")), unsigned),
        (format!("{good}="), malformed),
        (format!(" {good}"), malformed),
        (format!("{good}.{signature}"), malformed),
        (signed.to_owned(), malformed),
        (format!("{signed}."), unsigned),
        (format!("{signed}.{}", b64([0; 64])), unsigned),
        (json!({ "payload": "e30", "protected": "e30", "signature": "AA" }).to_string(), malformed),
        (corp.sign_text(&header.to_string(), &twin), malformed),
        (corp.sign_text(r#"{"alg":"none","alg":"ES256","typ":"JWT"}"#, &text), malformed),
        (corp.sign_text(&header.to_string(), "not json"), malformed),
        (corp.sign_text(&header.to_string(), "[]"), malformed),
        (corp.sign("JWT", &string_exp), malformed),
        (corp.sign("JWT", &nobody), malformed),
        (corp.sign("JWT", &nested), malformed),
        ("a".repeat(20_000), malformed),
        (world.key("triage").sign("JWT", &claims), unsigned),
        (world.acme.key("corp").sign("JWT", &claims), unsigned),
    ] {
        let form = world.exchange("triage", &token, TokenType::IdToken);
        world.refuses(&form, 400, "invalid_request", rule).await;
    }
    for token in ["tpo_", "tpo_AAAA", "x", "a.b.c"] {
        world.refuses(&world.onward("triage", token), 400, "invalid_request", malformed).await;
    }
}

async fn refuses_expired_and_revoked_subject_tokens(world: &mut World) {
    let corp = world.key("corp");
    let expired = "subject_token_expired";
    for (name, value) in [("exp", 0), ("exp", -600), ("nbf", 31), ("iat", 31), ("iat", 3600)] {
        let mut claims = world.id_claims("alice", "triage");
        claims[name] = json!(world.now() + value);
        let form = world.exchange("triage", &corp.sign("JWT", &claims), TokenType::IdToken);
        world.refuses(&form, 400, "invalid_request", expired).await;
    }
    let token = world.alices().await;
    let other = world.alices().await;
    world.cut("token", claims(&other)["jti"].clone()).await.ok();
    world.refuses(&world.onward("triage", &other), 400, "invalid_request", "subject_token_revoked").await;
    world.advance(239).await;
    world.post(&world.onward("triage", &token)).await.ok();
    world.advance(1).await;
    world.refuses(&world.onward("triage", &token), 400, "invalid_request", expired).await;
}

async fn refuses_upstreams_that_are_unknown_or_switched_off(world: &mut World) {
    let corp = world.key("corp");
    for (issuer, rule) in [
        (OLD, "identity_provider_disabled"),
        ("https://evil.example", "subject_token_issuer_unknown"),
        (&format!("{CORP}/"), "subject_token_issuer_unknown"),
        ("https://IDP.example.com", "subject_token_issuer_unknown"),
        (&world.issuer, "subject_token_of_wrong_type"),
    ] {
        let mut claims = world.id_claims("alice", "triage");
        claims["iss"] = json!(issuer);
        let form = world.exchange("triage", &corp.sign("JWT", &claims), TokenType::IdToken);
        world.refuses(&form, 400, "invalid_request", rule).await;
    }
}

async fn refuses_a_disabled_person(world: &mut World) {
    let token = world.alices().await;
    world.cut("user", json!({ "issuer": CORP, "subject": "alice" })).await.ok();
    assert!(!world.is_active(&token).await);
    world.refuses(&world.for_person("triage", "alice"), 400, "invalid_request", "user_disabled").await;
    world.refuses(&world.onward("triage", &token), 400, "invalid_request", "subject_token_revoked").await;
    world.reinstate("user", &world.person("alice")).await.ok();
    assert!(!world.is_active(&token).await, "what was cut stays dead");
    world.post(&world.for_person("triage", "alice")).await.ok();
}

async fn refuses_without_a_living_consent(world: &mut World) {
    let bad = "invalid_request";
    world.refuses(&world.for_person("triage", "mallory"), 400, bad, "consent_missing").await;
    world.refuses(&world.for_person("triage", "Alice"), 400, bad, "consent_missing").await;
    world.refuses(&world.for_person("summarizer", "alice"), 400, bad, "consent_missing").await;
    world.refuses(&world.for_person("triage", "olga"), 400, bad, "consent_expired").await;
    // A group's consent, and only for the group.
    let member = |groups: Value| {
        let mut claims = world.id_claims("gina", "triage");
        claims["groups"] = groups;
        world.exchange("triage", &world.key("corp").sign("JWT", &claims), TokenType::IdToken)
    };
    for groups in
        [json!([]), json!(["Support"]), json!("support"), json!({ "support": true }), json!([["support"]])]
    {
        world.refuses(&member(groups), 400, bad, "consent_missing").await;
    }
    let granted = world.post(&member(json!(["x", "support"]))).await.ok();
    assert_eq!(granted.claims()["consent"], "support");
    world
        .refuses(
            &member(json!(["support"])).add("scope", "tickets.write"),
            400,
            "invalid_scope",
            "scope_exceeds_consent",
        )
        .await;
    // Withdrawn: the tokens die, and no new ones come.
    world.cut("consent", "support").await.ok();
    assert!(!world.is_active(&granted.token()).await);
    world.refuses(&member(json!(["support"])), 400, bad, "consent_missing").await;
    // Narrowed after the mint: a renewal sees the new bound.
    let token = world.post(&world.for_person("triage", "alice")).await.ok().token();
    world.apply(json!({ "consents": [{ "consent": "alice-tickets", "user": { "issuer": CORP, "subject": "alice" },
        "agent": "triage", "resource": TICKETS, "scopes": ["tickets.read"], "expires_at": world.now() + 1000 }] })).await.ok();
    let wide = world.onward("triage", &token).add("scope", "tickets.write");
    world.refuses(&wide, 400, "invalid_scope", "scope_exceeds_consent").await;
}

async fn refuses_bad_targets(world: &mut World) {
    let form = world.for_person("triage", "alice");
    let bad = "invalid_target";
    for (target, rule) in [
        ("", "target_missing"),
        ("https://unknown.example.com", "target_unknown"),
        ("https://tickets.example.com", "target_unknown"),
        ("https://tickets.example.com/MCP", "target_unknown"),
        ("https://tickets.example.com/mcp/", "target_unknown"),
        ("/mcp", "target_malformed"),
        ("tickets.example.com/mcp", "target_malformed"),
        ("https://tickets.example.com/mcp#x", "target_malformed"),
        ("https://tickets.example.com/mcp?x=1", "target_malformed"),
        ("https://TICKETS.example.com/mcp", "target_malformed"),
        ("https://tickets.example.com:443/mcp", "target_malformed"),
        ("https://a@tickets.example.com/mcp", "target_malformed"),
        ("https://tickets.example.com/a/../mcp", "target_malformed"),
        ("https://tickets.example.com/mcp ", "target_malformed"),
        (CLOSED, "target_disabled"),
        (API, "target_not_in_ceiling"),
    ] {
        world.refuses(&world.again(&form, "triage").set("resource", target), 400, bad, rule).await;
    }
    for (name, value) in [("resource", ARCHIVE), ("audience", ARCHIVE), ("audience", "tickets")] {
        world.refuses(&world.again(&form, "triage").add(name, value), 400, bad, "target_not_single").await;
    }
    // `audience` names it as well as `resource`, and both may say the same.
    world.post(&world.again(&form, "triage").without("resource").add("audience", TICKETS)).await.ok();
    world.post(&world.again(&form, "triage").add("audience", TICKETS)).await.ok();
    for own in [format!("{}/admin/v1", world.issuer), format!("{}/oauth/introspect", world.issuer)] {
        world.refuses(&world.again(&form, "triage").set("resource", own), 400, bad, "target_unknown").await;
    }
    let vault = world.again(&form, "triage").set("resource", VAULT);
    world.refuses(&vault, 400, "invalid_dpop_proof", "sender_constraint_required").await;
    // Switched off after the issue: the kill switch.
    let token = world.alices().await;
    world.cut("resource", TICKETS).await.ok();
    assert!(!world.is_active(&token).await);
    world.refuses(&world.again(&form, "triage"), 400, bad, "target_disabled").await;
    world.reinstate("resource", TICKETS).await.ok();
    world.post(&world.again(&form, "triage")).await.ok();
    assert!(!world.is_active(&token).await);
}

async fn refuses_bad_parameters(world: &mut World) {
    let form = world.for_person("triage", "alice");
    let access = TokenType::AccessToken.as_str();
    let again = || world.again(&form, "triage");
    let bad = "invalid_request";
    world.refuses(&again().without("grant_type"), 400, bad, "parameter_missing").await;
    world.refuses(&again().set("grant_type", ""), 400, bad, "parameter_missing").await;
    let of_clients = "grant_not_for_this_client";
    for grant in ["authorization_code", "refresh_token", JWT_BEARER_GRANT] {
        world.refuses(&again().set("grant_type", grant), 400, "unauthorized_client", of_clients).await;
    }
    for grant in ["password", "implicit", "CLIENT_CREDENTIALS", "x"] {
        world
            .refuses(
                &again().set("grant_type", grant),
                400,
                "unsupported_grant_type",
                "grant_type_unsupported",
            )
            .await;
    }
    // A subject token that went missing is never another grant.
    world.refuses(&again().without("subject_token"), 400, bad, "subject_token_missing").await;
    world.refuses(&again().set("subject_token", ""), 400, bad, "subject_token_missing").await;
    world.refuses(&again().without("subject_token_type"), 400, bad, "subject_token_missing").await;
    for kind in ["refresh_token", "saml2", "urn:ietf:params:oauth:token-type:refresh_token", "access_token"] {
        let form = again().set("subject_token_type", kind);
        world.refuses(&form, 400, bad, "subject_token_type_unsupported").await;
    }
    for kind in
        ["urn:ietf:params:oauth:token-type:refresh_token", "urn:ietf:params:oauth:token-type:id_token"]
    {
        let form = again().add("requested_token_type", kind);
        world.refuses(&form, 400, bad, "requested_token_type_unsupported").await;
    }
    world.post(&again().add("requested_token_type", access)).await.ok();
    world.refuses(&again().add("task_purpose", "ä".repeat(501)), 400, bad, "task_purpose_too_long").await;
    for scope in [
        "tickets.read  tickets.write",
        " tickets.read",
        "tickets.read\ttickets.write",
        "a\"b",
        "ticketś.read",
    ] {
        world.refuses(&again().add("scope", scope), 400, "invalid_scope", "scope_malformed").await;
    }
    for details in
        ["{", "{}", "[1]", "[{}]", "[{\"type\":1}]", "[{\"type\":\"a\",\"type\":\"b\"}]", "null", "\"x\""]
    {
        let form = again().add("authorization_details", details);
        let reply = world.refuses(&form, 400, "invalid_authorization_details", "details_malformed").await;
        assert!(!reply.text.contains(details) || details.len() < 4);
    }
    let deep = format!("[{{\"type\":\"mcp_tool_call\",\"x\":{}1{}}}]", "[".repeat(200), "]".repeat(200));
    world
        .refuses(
            &again().add("authorization_details", deep),
            400,
            "invalid_authorization_details",
            "details_malformed",
        )
        .await;
}

async fn refuses_forged_identity_members_in_the_form(world: &mut World) {
    let form = world.for_person("triage", "alice").add("scope", "tickets.read");
    let forged = [
        ("act", r#"{"sub":"admin"}"#),
        ("may_act", r#"{"sub":"stranger"}"#),
        ("cnf", r#"{"jkt":"x"}"#),
        ("task", "tsk_forged"),
        ("task_ancestors", "[\"tsk_forged\"]"),
        ("sub", "usr_forged"),
        ("tenant", "acme"),
        ("rev", "x.999999"),
        ("consent", "olga-tickets"),
        ("sid", "forged"),
        ("exp", "9999999999"),
        ("iss", "https://x"),
    ];
    let form = forged.iter().fold(form, |form, (name, value)| form.add(name, value));
    let claims = world.post(&form).await.ok().claims();
    assert_eq!(claims["act"], json!({ "sub": "triage" }));
    assert_eq!(claims["sub"], world.person("alice"));
    assert_eq!(claims["tenant"], "main");
    assert_eq!(claims["consent"], "alice-tickets");
    for absent in ["may_act", "cnf", "task_ancestors"] {
        assert!(claims.get(absent).is_none(), "{absent}");
    }
    assert!(!claims.to_string().contains("forged"));
}

async fn refuses_task_lifetimes_beyond_policy(world: &mut World) {
    let form = world.for_person("triage", "alice");
    for lifetime in [
        "0",
        "-1",
        "28801",
        "9223372036854775807",
        "99999999999999999999",
        "60.5",
        "1e3",
        "abc",
        " 60",
        "0x3c",
    ] {
        let form = world.again(&form, "triage").add("task_lifetime", lifetime);
        world.refuses(&form, 400, "invalid_request", "task_lifetime_not_allowed").await;
    }
    let reply = world.post(&world.again(&form, "triage").add("task_lifetime", 28_800)).await.ok();
    assert_eq!(reply.json["task_deadline"], world.now() + 28_800);
}

async fn refuses_by_policy(world: &mut World) {
    let policies = "permit(principal, action, resource);\n\
        forbid(principal == Agent::\"triage\", action, resource) when { context.scopes.contains(\"tickets.write\") };\n\
        @decision(\"needs_approval\") forbid(principal, action, resource) when { context.tools.contains(\"close_ticket\") };";
    world.apply(json!({ "policies": policies })).await.ok();
    let form = world.for_person("triage", "alice");
    let again = || world.again(&form, "triage");
    world.post(&again().add("scope", "tickets.read")).await.ok();
    world.refuses(&again().add("scope", "tickets.write"), 403, "access_denied", "policy_denied").await;
    let close = tools(&json!([{ "name": "close_ticket" }]));
    let form = again().add("authorization_details", &close);
    world.refuses(&form, 403, "access_denied", "policy_needs_approval").await;
    // One that asks and one that denies: denied.
    let both = again().add("authorization_details", &close).add("scope", "tickets.write");
    world.refuses(&both, 403, "access_denied", "policy_denied").await;
    // A policy that fails while it is evaluated denies.
    world.apply(json!({ "policies": "permit(principal, action, resource);\nforbid(principal, action, resource) when { context.absent == 1 };" })).await.ok();
    world.refuses(&again().add("scope", "tickets.read"), 403, "access_denied", "policy_denied").await;
}

async fn refuses_agents_that_mint_nothing(world: &mut World) {
    world.refuses(&world.for_person("orphan", "alice"), 400, "invalid_request", "agent_without_owner").await;
    world.refuses(&world.for_itself("orphan", TICKETS), 400, "invalid_request", "agent_without_owner").await;
    world.refuses(&world.for_person("dormant", "alice"), 401, "invalid_client", "client_suspended").await;
    world.refuses(&world.for_itself("dormant", TICKETS), 401, "invalid_client", "client_suspended").await;
    for (client, rule) in [
        ("editor", "grant_not_for_this_client"),
        ("admin", "grant_not_for_this_client"),
        ("tickets-guard", "grant_not_for_this_client"),
    ] {
        world.refuses(&world.for_person(client, "alice"), 400, "unauthorized_client", rule).await;
    }
    world
        .refuses(
            &world.for_itself("editor", TICKETS),
            400,
            "unauthorized_client",
            "grant_not_for_this_client",
        )
        .await;
    // Suspended by revocation: nothing more is minted until it is reinstated.
    let token = world.alices().await;
    world.cut("agent", "triage").await.ok();
    assert!(!world.is_active(&token).await);
    world.refuses(&world.for_person("triage", "alice"), 401, "invalid_client", "client_suspended").await;
    let triage = json!({ "agents": [section(world)["agents"][0]] });
    let applied = world.apply(triage).await.ok();
    assert!(applied.json["notes"].as_array().is_some_and(|notes| !notes.is_empty()), "{}", applied.text);
    world.refuses(&world.for_person("triage", "alice"), 401, "invalid_client", "client_suspended").await;
    world.reinstate("agent", "triage").await.ok();
    world.alices().await;
    assert!(!world.is_active(&token).await);
}

async fn a_svid_as_subject_is_the_agent_itself(world: &mut World) {
    let form = world.exchange("summarizer", &world.svid("summarizer"), TokenType::Jwt);
    let claims = world.post(&form).await.ok().claims();
    assert_eq!((&claims["sub"], &claims["act"]["sub"]), (&json!("summarizer"), &json!("summarizer")));
    let others = world.exchange("summarizer", &world.svid("triage"), TokenType::Jwt);
    world.refuses(&others, 400, "invalid_request", "subject_token_audience_wrong").await;
    for (claims, key, rule) in [
        (json!({ "aud": "https://other.example" }), "spire", "subject_token_audience_wrong"),
        (json!({ "exp": world.now() }), "spire", "subject_token_expired"),
        (json!({}), "elsewhere", "subject_token_signature_wrong"),
        (
            json!({ "sub": "spiffe://unknown.example/agent/summarizer" }),
            "spire",
            "subject_token_issuer_unknown",
        ),
        (json!({ "sub": "spiffe://demo.example/../agent" }), "spire", "subject_token_malformed"),
    ] {
        let mut full = world.svid_claims("summarizer");
        full.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        let form = world.exchange("summarizer", &world.key(key).sign("JWT", &full), TokenType::Jwt);
        world.refuses(&form, 400, "invalid_request", rule).await;
    }
}

async fn no_token_outlives_consent_or_task(world: &mut World) {
    let brief = world.post(&world.for_person("triage", "bert")).await.ok();
    assert_eq!(brief.json["expires_in"], 100);
    let short = world
        .post(&world.for_person("triage", "alice").add("scope", "tickets.read").add("task_lifetime", 90))
        .await
        .ok();
    assert_eq!(
        (&short.json["expires_in"], &short.json["task_deadline"]),
        (&json!(90), &json!(world.now() + 90))
    );
    world.advance(89).await;
    let last = world.post(&world.onward("triage", &short.token())).await.ok();
    assert_eq!((&last.json["expires_in"], &last.json["task"]), (&json!(1), &short.json["task"]));
    world.advance(1).await;
    let reply = world.post(&world.onward("triage", &last.token())).await;
    assert_refused(&reply, 400, "invalid_request", "subject_token_expired");
    world.advance(9).await;
    let late = world.post(&world.for_person("triage", "bert")).await.ok();
    assert_eq!(late.json["expires_in"], 1);
    world.advance(1).await;
    world.refuses(&world.for_person("triage", "bert"), 400, "invalid_request", "consent_expired").await;
    let paid = world
        .for_person("triage", "alice")
        .set("resource", BANK)
        .add("authorization_details", payment(100, "EUR"));
    world.post(&paid).await.ok();
}
