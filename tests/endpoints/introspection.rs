//! `POST /oauth/introspect` (RFC 7662).

use crate::harness::{ARCHIVE, World, claims, on_both_engines};

on_both_engines!(
    tells_an_enforcer_of_the_resource_everything_and_an_outsider_nothing,
    refuses_callers_that_are_no_enforcers,
    a_bearer_token_of_the_endpoint_serves_as_well,
    knows_nothing_of_mangled_opaque_tokens,
    knows_nothing_of_mangled_jwts,
    an_answer_is_never_kept_past_the_token,
    an_expired_token_is_inactive_to_the_second,
);

async fn tells_an_enforcer_of_the_resource_everything_and_an_outsider_nothing(world: &mut World) {
    let token = world.alices().await;
    let answer = world.introspect("tickets-guard", &token).await;
    assert!(answer.is_active());
    let claims = claims(&token);
    for (name, value) in claims.as_object().unwrap() {
        assert_eq!(&answer.json[name], value, "{name}");
    }
    assert_eq!(answer.json["token_type"], "Bearer");
    for outsider in ["api-guard", "archive-guard"] {
        let rows = world.audit("main").await.len();
        let answer = world.introspect(outsider, &token).await;
        assert!(!answer.is_active());
        assert_eq!(answer.header("cache-control"), "no-store");
        assert!(answer.header("etag").is_empty());
        let row = world.audit("main").await.pop().unwrap();
        assert_eq!(row.event["rule"], "token_not_for_caller");
        assert_eq!(world.audit("main").await.len(), rows + 2, "the assertion, and the denial");
    }
}

async fn refuses_callers_that_are_no_enforcers(world: &mut World) {
    let token = world.alices().await;
    for client in ["triage", "admin", "editor"] {
        let form = world.form("/oauth/introspect", client).add("token", &token);
        world.refuses(&form, 400, "unauthorized_client", "caller_not_enforcer").await;
    }
    let bare = world.bare("/oauth/introspect").add("token", &token);
    world.refuses(&bare, 401, "invalid_client", "client_authentication_missing").await;
    let missing = world.form("/oauth/introspect", "tickets-guard");
    world.refuses(&missing, 400, "invalid_request", "parameter_missing").await;
    // Tokens for elsewhere, and the token itself, open nothing here.
    let admin = world.admin_token("admin").await;
    for bearer in [&token, &admin, "junk", ""] {
        let form = bare.clone().header("authorization", format!("Bearer {bearer}"));
        let reply = world.post(&form).await;
        assert_eq!(reply.status, 401, "{}", reply.text);
    }
    let basic = world.form("/oauth/introspect", "tickets-guard").add("token", &token);
    let basic = basic.header("authorization", "Basic eDp5");
    world.refuses(&basic, 401, "invalid_client", "client_authentication_ambiguous").await;
    // A suspended enforcer learns nothing more, by its bearer token neither.
    let resource = format!("{}/oauth/introspect", world.issuer);
    let bearer = world.post(&world.for_itself("tickets-guard", &resource)).await.ok().token();
    world.cut("client", "tickets-guard").await.ok();
    let form = world.form("/oauth/introspect", "tickets-guard").add("token", &token);
    world.refuses(&form, 401, "invalid_client", "client_suspended").await;
    let form = bare.header("authorization", format!("Bearer {bearer}"));
    world.refuses(&form, 401, "invalid_token", "access_token_not_accepted").await;
}

async fn a_bearer_token_of_the_endpoint_serves_as_well(world: &mut World) {
    let token = world.alices().await;
    let resource = format!("{}/oauth/introspect", world.issuer);
    for (guard, sees) in [("tickets-guard", true), ("api-guard", false)] {
        let bearer = world.post(&world.for_itself(guard, &resource)).await.ok().token();
        for scheme in ["Bearer", "bearer"] {
            let form = world.bare("/oauth/introspect").add("token", &token);
            let form = form.header("authorization", format!("{scheme} {bearer}"));
            assert_eq!(world.post(&form).await.is_active(), sees);
        }
    }
}

/// Every way to spell it almost right.
fn mangled(token: &str) -> Vec<String> {
    let swapped: String = token
        .chars()
        .map(|c| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() })
        .collect();
    let last = token.len() - 1;
    vec![
        token[..last].to_owned(),
        token[1..].to_owned(),
        format!("{token}A"),
        format!("{token}="),
        format!("{token} "),
        format!(" {token}"),
        format!("{token}\n"),
        format!("{token}\0"),
        token.to_ascii_uppercase(),
        token.to_ascii_lowercase(),
        swapped,
        format!("{token}{token}"),
        format!("{}{}", &token[..last], if token.ends_with('A') { 'B' } else { 'A' }),
    ]
}

async fn knows_nothing_of_mangled_opaque_tokens(world: &mut World) {
    let token = world.post(&world.for_person("triage", "alice").set("resource", ARCHIVE)).await.ok().token();
    assert!(world.introspect("archive-guard", &token).await.is_active());
    for mangled in mangled(&token) {
        if mangled != token {
            assert!(!world.introspect("archive-guard", &mangled).await.is_active(), "{mangled:?}");
        }
    }
    assert!(!world.introspect("tickets-guard", &token).await.is_active());
}

async fn knows_nothing_of_mangled_jwts(world: &mut World) {
    let token = world.alices().await;
    let claims = claims(&token);
    let (header, rest) = token.split_once('.').unwrap();
    let key = world.key("corp");
    let forged = [
        key.sign("at+jwt", &claims),
        key.hmac("at+jwt", &claims),
        format!("eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.{}.", rest.split_once('.').unwrap().0),
        format!("{header}..{}", rest.split_once('.').unwrap().1),
        "a".repeat(20_000),
        world.id_token("alice", "triage"),
    ];
    for mangled in mangled(&token).into_iter().chain(forged) {
        assert!(!world.is_active(&mangled).await, "{mangled:?}");
    }
    assert!(world.is_active(&token).await);
}

async fn an_answer_is_never_kept_past_the_token(world: &mut World) {
    let token = world.alices().await;
    let first = world.introspect("tickets-guard", &token).await;
    // The lease, less the age of what the node knew.
    let kept: i64 = first.header("cache-control").strip_prefix("private, max-age=").unwrap().parse().unwrap();
    assert!((25..=30).contains(&kept), "{kept}");
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with('"'));
    let form = || {
        world.form("/oauth/introspect", "tickets-guard").add("token", &token).header("if-none-match", &tag)
    };
    assert_eq!(world.post(&form()).await.status, 304);
    world.advance(225).await;
    let late = world.introspect("tickets-guard", &token).await;
    assert_eq!(late.header("cache-control"), "private, max-age=15");
    // A tag is no way around a revocation.
    world.cut("token", claims(&token)["jti"].clone()).await.ok();
    let dead = world.post(&form()).await;
    assert!(!dead.is_active());
    assert_eq!(dead.header("cache-control"), "no-store");
}

async fn an_expired_token_is_inactive_to_the_second(world: &mut World) {
    let token = world.alices().await;
    world.advance(239).await;
    assert!(world.is_active(&token).await);
    world.advance(1).await;
    assert!(!world.is_active(&token).await);
}
