//! Rule 1: who proves to be whom, and once.

use serde_json::{Value, json};
use taskpass::protocol::token_type::{JWT_BEARER, JWT_SPIFFE};

use crate::harness::{Form, Key, TICKETS, World, assert_refused, b64, on_both_engines};

on_both_engines!(
    refuses_assertions_with_wrong_claims,
    refuses_assertions_with_wrong_headers,
    refuses_malformed_assertions,
    accepts_what_is_accepted_on_purpose,
    refuses_a_replay_on_every_endpoint,
    refuses_a_replay_after_a_restart_and_on_another_node,
    one_of_many_at_once_wins,
    the_same_jti_of_another_client_is_another_mark,
    a_spent_assertion_stays_spent_when_the_request_was_refused,
    refuses_two_ways_to_authenticate,
    refuses_wrong_svids,
    a_svid_authenticates_until_it_expires,
);

/// A request that would be granted, but for its assertion.
fn with(world: &World, assertion: &str) -> Form {
    world.for_itself("summarizer", TICKETS).set("client_assertion", assertion)
}

async fn refuses_assertions_with_wrong_claims(world: &mut World) {
    let now = world.now();
    let issuer = world.issuer.clone();
    for (name, value, rule) in [
        ("aud", json!([issuer, "https://other.example"]), "client_assertion_audience_wrong"),
        ("aud", json!([issuer, issuer]), "client_assertion_audience_wrong"),
        ("aud", json!(format!("{issuer}/oauth/token")), "client_assertion_audience_wrong"),
        ("aud", json!(format!("{issuer}/")), "client_assertion_audience_wrong"),
        ("aud", json!(world.acme.issuer), "client_assertion_audience_wrong"),
        ("aud", json!([]), "client_assertion_audience_wrong"),
        ("iss", json!("triage"), "client_unknown"),
        ("sub", json!("triage"), "client_assertion_issuer_not_subject"),
        ("exp", json!(now), "client_assertion_expired"),
        ("exp", json!(now - 1000), "client_assertion_expired"),
        ("exp", json!(now + 309), "client_assertion_lives_too_long"),
        ("exp", json!(i64::MAX), "client_assertion_lives_too_long"),
        ("nbf", json!(now + 9), "client_assertion_not_yet_valid"),
        ("iat", json!(now + 9), "client_assertion_not_yet_valid"),
        ("exp", json!((now + 60).to_string()), "client_assertion_malformed"),
        ("exp", json!(-1), "client_assertion_expired"),
        ("exp", Value::Null, "client_assertion_malformed"),
        ("jti", json!(""), "client_assertion_malformed"),
        ("jti", json!("a".repeat(257)), "client_assertion_malformed"),
        ("jti", json!(7), "client_assertion_malformed"),
        ("iss", json!("nobody"), "client_unknown"),
        ("iss", json!("Summarizer"), "client_unknown"),
        ("iss", json!(["summarizer"]), "client_assertion_malformed"),
    ] {
        let mut claims = world.assertion_claims("summarizer");
        claims[name] = value;
        let form = with(world, &world.assert("summarizer", &claims));
        world.refuses(&form, 401, "invalid_client", rule).await;
    }
    for missing in ["iss", "sub", "aud", "exp", "jti"] {
        let mut claims = world.assertion_claims("summarizer");
        claims.as_object_mut().unwrap().remove(missing);
        let form = with(world, &world.assert("summarizer", &claims));
        world.refuses(&form, 401, "invalid_client", "client_assertion_malformed").await;
    }
}

async fn refuses_assertions_with_wrong_headers(world: &mut World) {
    let claims = || world.assertion_claims("summarizer");
    let key = world.key("summarizer");
    for typ in ["at+jwt", "logout+jwt", "secevent+jwt", "dpop+jwt", "oauth-authz-req+jwt", "x", ""] {
        let form = with(world, &key.sign(typ, &claims()));
        world.refuses(&form, 401, "invalid_client", "client_assertion_typ_wrong").await;
    }
    let malformed = "client_assertion_malformed";
    for (name, value, rule) in [
        ("alg", json!("none"), malformed),
        ("alg", json!("None"), malformed),
        ("alg", json!("HS256"), malformed),
        ("alg", json!("es256"), malformed),
        ("alg", Value::Null, malformed),
        ("crit", json!(["exp"]), malformed),
        ("crit", json!([]), malformed),
        ("jwk", key.public.clone(), malformed),
        ("jku", json!("https://evil.example"), malformed),
        ("x5u", json!("https://evil.example"), malformed),
        ("zip", json!("DEF"), malformed),
        ("p2c", json!(1_000_000_000), malformed),
        ("alg", json!("RS256"), "client_unknown"),
        ("alg", json!("PS256"), "client_unknown"),
        ("alg", json!("EdDSA"), "client_unknown"),
        ("kid", json!("another"), "client_unknown"),
    ] {
        let mut header = key.header("client-authentication+jwt");
        header[name] = value;
        let form = with(world, &key.sign_with(&header, &claims()));
        world.refuses(&form, 401, "invalid_client", rule).await;
    }
    // An embedded key that signed it is nobody's.
    let own = Key::generate();
    let header = json!({ "alg": "ES256", "typ": "JWT", "jwk": own.public });
    world.refuses(&with(world, &own.sign_with(&header, &claims())), 401, "invalid_client", malformed).await;
    let header = json!({ "alg": "ES256", "typ": "JWT" });
    world
        .refuses(&with(world, &own.sign_with(&header, &claims())), 401, "invalid_client", "client_unknown")
        .await;
    world.refuses(&with(world, &key.hmac("JWT", &claims())), 401, "invalid_client", malformed).await;
}

async fn refuses_malformed_assertions(world: &mut World) {
    let key = world.key("summarizer");
    let good = world.assertion("summarizer");
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let header = key.header("JWT").to_string();
    let claims = world.assertion_claims("summarizer").to_string();
    let twin = format!(r#"{{"sub":"admin",{}"#, &claims[1..]);
    let deep = format!(r#"{{"x":{}1{},{}"#, "[".repeat(3000), "]".repeat(3000), &claims[1..]);
    let other = world.assertion("triage");
    let malformed = "client_assertion_malformed";
    for (assertion, rule) in [
        ("x".to_owned(), malformed),
        ("..".to_owned(), malformed),
        (signed.to_owned(), malformed),
        (format!("{good}="), malformed),
        (format!("{good}\n"), malformed),
        (format!("{good}.{signature}"), malformed),
        (format!("{signed}."), "client_unknown"),
        (format!("{signed}.{}", b64([0; 64])), "client_unknown"),
        (format!("{signed}.{}", other.rsplit_once('.').unwrap().1), "client_unknown"),
        (json!({ "payload": "e30", "protected": "e30", "signature": "AA" }).to_string(), malformed),
        (json!({ "payload": "e30", "signatures": [] }).to_string(), malformed),
        (key.sign_text(&header, &twin), malformed),
        (key.sign_text(r#"{"alg":"ES256","alg":"ES256"}"#, &claims), malformed),
        (key.sign_text(&header, &deep), malformed),
        (key.sign_text(&header, "[]"), malformed),
        (key.sign_text(&header, &format!("{claims} {{}}")), malformed),
        (key.sign_text("[]", &claims), malformed),
        ("A".repeat(20_000), malformed),
    ] {
        world.refuses(&with(world, &assertion), 401, "invalid_client", rule).await;
    }
    let missing = "client_authentication_missing";
    let form = world.for_itself("summarizer", TICKETS);
    world.refuses(&form.clone().without("client_assertion"), 401, "invalid_client", missing).await;
    world.refuses(&form.clone().set("client_assertion", ""), 401, "invalid_client", missing).await;
    world.refuses(&form.clone().without("client_assertion_type"), 401, "invalid_client", missing).await;
    for kind in ["jwt-bearer", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer", "x"] {
        let form = form.clone().set("client_assertion_type", kind);
        world.refuses(&form, 401, "invalid_client", "client_assertion_type_unsupported").await;
    }
    let mismatch = form.add("client_id", "triage");
    world.refuses(&mismatch, 401, "invalid_client", "client_id_mismatch").await;
}

async fn accepts_what_is_accepted_on_purpose(world: &mut World) {
    for (name, value) in [
        ("nbf", json!(world.now() + 8)),
        ("iat", json!(world.now() + 8)),
        ("exp", json!(world.now() + 308)),
        ("aud", json!([world.issuer])),
        ("extra", json!({ "a": 1 })),
    ] {
        let mut claims = world.assertion_claims("summarizer");
        claims[name] = value;
        world.post(&with(world, &world.assert("summarizer", &claims))).await.ok();
    }
    for typ in ["JWT", "jwt", "application/jwt", "CLIENT-AUTHENTICATION+JWT"] {
        let assertion = world.key("summarizer").sign(typ, &world.assertion_claims("summarizer"));
        world.post(&with(world, &assertion)).await.ok();
    }
    for name in ["summarizer", "spiffe://demo.example/agent/summarizer"] {
        world.post(&world.for_itself("summarizer", TICKETS).add("client_id", name)).await.ok();
    }
}

async fn refuses_a_replay_on_every_endpoint(world: &mut World) {
    let form = world.for_itself("summarizer", TICKETS);
    let token = world.post(&form).await.ok().token();
    world.refuses(&form, 401, "invalid_client", "client_assertion_replayed").await;
    let elsewhere = world.bare("/oauth/revoke").add("client_assertion_type", JWT_BEARER);
    let elsewhere = elsewhere.add("client_assertion", form.get("client_assertion")).add("token", &token);
    world.refuses(&elsewhere, 401, "invalid_client", "client_assertion_replayed").await;
    assert!(world.is_active(&token).await, "a replayed assertion revoked a token");
    // The other way round: spent at introspection, refused at the token endpoint.
    let spent = world.form("/oauth/introspect", "tickets-guard").add("token", &token);
    assert!(world.post(&spent).await.is_active());
    world.refuses(&spent, 401, "invalid_client", "client_assertion_replayed").await;
    let minting = world.for_itself("tickets-guard", &format!("{}/oauth/introspect", world.issuer));
    let minting = minting.set("client_assertion", spent.get("client_assertion"));
    world.refuses(&minting, 401, "invalid_client", "client_assertion_replayed").await;
    // Spent at revocation.
    let spent = world.form("/oauth/revoke", "summarizer").add("token", "unknown");
    world.post(&spent).await.ok();
    let minting = form.set("client_assertion", spent.get("client_assertion"));
    world.refuses(&minting, 401, "invalid_client", "client_assertion_replayed").await;
}

async fn refuses_a_replay_after_a_restart_and_on_another_node(world: &mut World) {
    let form = world.for_itself("summarizer", TICKETS);
    world.post(&form).await.ok();
    let (second, node) = world.second_node().await;
    let reply = world.post_to(&node, &form).await;
    assert_refused(&reply, 401, "invalid_client", "client_assertion_replayed");
    world.post_to(&node, &world.for_itself("summarizer", TICKETS)).await.ok();
    second.stop().await;
    world.restart().await;
    world.refuses(&form, 401, "invalid_client", "client_assertion_replayed").await;
}

async fn one_of_many_at_once_wins(world: &mut World) {
    let form = world.for_itself("summarizer", TICKETS);
    let (second, node) = world.second_node().await;
    let other = Form { url: form.url.replace(&world.issuer, &node), ..form.clone() };
    let forms = (0..32).map(|number| if number % 2 == 0 { form.clone() } else { other.clone() }).collect();
    let replies = world.post_all(forms).await;
    let (won, lost): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 200);
    assert_eq!(won.len(), 1, "{replies:?}");
    lost.iter().for_each(|reply| assert_refused(reply, 401, "invalid_client", "client_assertion_replayed"));
    assert_eq!(world.token_records().await, 1);
    second.stop().await;
}

async fn the_same_jti_of_another_client_is_another_mark(world: &mut World) {
    for client in ["summarizer", "relay"] {
        let mut claims = world.assertion_claims(client);
        claims["jti"] = json!("same");
        let form = world.for_itself(client, TICKETS).set("client_assertion", world.assert(client, &claims));
        world.post(&form).await.ok();
        world.refuses(&form, 401, "invalid_client", "client_assertion_replayed").await;
    }
}

async fn a_spent_assertion_stays_spent_when_the_request_was_refused(world: &mut World) {
    let form = world.for_itself("summarizer", "https://unknown.example.com");
    world.refuses(&form, 400, "invalid_target", "target_unknown").await;
    let again = form.set("resource", TICKETS);
    world.refuses(&again, 401, "invalid_client", "client_assertion_replayed").await;
}

async fn refuses_two_ways_to_authenticate(world: &mut World) {
    let token = world.alices().await;
    let form = world.for_itself("summarizer", TICKETS);
    for header in ["Basic c3VtbWFyaXplcjp4", "Basic ", "x", &format!("Bearer {token}")] {
        let form = world.again(&form, "summarizer").header("authorization", header);
        world.refuses(&form, 401, "invalid_client", "client_authentication_ambiguous").await;
    }
    let secret = world.again(&form, "summarizer").add("client_secret", "hunter2");
    world.refuses(&secret, 401, "invalid_client", "client_authentication_ambiguous").await;
    // A junk assertion beside a bearer token at introspection.
    let resource = format!("{}/oauth/introspect", world.issuer);
    let bearer = world.post(&world.for_itself("tickets-guard", &resource)).await.ok().token();
    let both = world.bare("/oauth/introspect").add("token", &token).add("client_assertion", "junk");
    let both = both.header("authorization", format!("Bearer {bearer}"));
    world.refuses(&both, 401, "invalid_client", "client_authentication_ambiguous").await;
}

async fn refuses_wrong_svids(world: &mut World) {
    let spire = world.key("spire");
    let form = world.for_itself("summarizer", TICKETS);
    let claims = || world.svid_claims("summarizer");
    let changed = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        spire.sign("JWT", &claims)
    };
    let header = |name: &str, value: Value| {
        let mut header = spire.header("JWT");
        header[name] = value;
        spire.sign_with(&header, &claims())
    };
    let mut without_kid = spire.header("JWT");
    without_kid.as_object_mut().unwrap().remove("kid");
    let mut without_exp = claims();
    without_exp.as_object_mut().unwrap().remove("exp");
    let (malformed, unsigned, audience) = ("svid_malformed", "svid_signature_wrong", "svid_audience_wrong");
    for (svid, rule) in [
        // Another trust domain's key, though it is trusted for its own.
        (world.key("elsewhere").sign("JWT", &claims()), unsigned),
        (world.acme.key("spire").sign("JWT", &claims()), unsigned),
        (world.key("summarizer").sign("JWT", &claims()), unsigned),
        (changed("sub", json!("spiffe://unknown.example/agent/summarizer")), "svid_trust_domain_unknown"),
        (changed("sub", json!("spiffe://other.example/agent/summarizer")), unsigned),
        (changed("sub", json!("spiffe://demo.example/agent/nobody")), "svid_not_registered"),
        (changed("sub", json!("spiffe://demo.example/agent/Summarizer")), "svid_not_registered"),
        (changed("sub", json!("spiffe://demo.example/agent/summarizer/")), malformed),
        (changed("sub", json!("spiffe://demo.example/agent//summarizer")), malformed),
        (changed("sub", json!("spiffe://DEMO.example/agent/summarizer")), malformed),
        (changed("sub", json!("spiffe://demo.example/agent/summarizer?x")), malformed),
        (changed("sub", json!("spiffe://demo.example/agent/%73ummarizer")), malformed),
        (changed("sub", json!("summarizer")), malformed),
        (changed("sub", json!(["spiffe://demo.example/agent/summarizer"])), malformed),
        (changed("aud", json!([world.issuer, "x"])), audience),
        (changed("aud", json!([])), audience),
        (changed("aud", json!(world.acme.issuer)), audience),
        (changed("exp", json!(world.now())), "svid_expired"),
        (changed("nbf", json!(world.now() + 9)), "svid_expired"),
        (changed("exp", json!((world.now() + 60).to_string())), malformed),
        (spire.sign("JWT", &without_exp), malformed),
        (spire.sign_with(&without_kid, &claims()), malformed),
        (header("kid", json!("unknown")), unsigned),
        (header("alg", json!("EdDSA")), malformed),
        (header("alg", json!("none")), malformed),
        (header("typ", json!("at+jwt")), malformed),
        (header("typ", json!("wit+jwt")), malformed),
        (header("cty", json!("x")), malformed),
        (header("jwk", spire.public.clone()), malformed),
        (spire.hmac("JWT", &claims()), malformed),
        (world.assertion("summarizer"), malformed),
    ] {
        world.refuses(&world.by_svid(&form, &svid), 401, "invalid_client", rule).await;
    }
    // A JWT-SVID is not a `private_key_jwt`.
    let confused = form.set("client_assertion", world.svid("summarizer"));
    world.refuses(&confused, 401, "invalid_client", "client_assertion_malformed").await;
    let dormant = world.by_svid(&world.for_itself("dormant", TICKETS), &world.svid("dormant"));
    world.refuses(&dormant, 401, "invalid_client", "client_suspended").await;
    // The row names the agent by its id, however it proved who it is and wherever it asks.
    for path in ["/oauth/token", "/oauth/introspect", "/oauth/revoke"] {
        let form = world.by_svid(&world.bare(path).add("token", "x"), &world.svid("dormant"));
        world.refuses(&form, 401, "invalid_client", "client_suspended").await;
        assert_eq!(world.audit("main").await.pop().unwrap().event["client_id"], "dormant");
    }
    let mismatch =
        confused.set("client_assertion", world.svid("summarizer")).set("client_assertion_type", JWT_SPIFFE);
    let mismatch = mismatch.add("client_id", "triage");
    world.refuses(&mismatch, 401, "invalid_client", "client_id_mismatch").await;
}

async fn a_svid_authenticates_until_it_expires(world: &mut World) {
    let svid = world.svid("summarizer");
    let form = world.by_svid(&world.for_itself("summarizer", TICKETS), &svid);
    world.post(&form).await.ok();
    world.post(&form).await.ok();
    let token =
        world.post(&world.by_svid(&world.for_person("triage", "alice"), &world.svid("triage"))).await.ok();
    assert_eq!(token.claims()["client_id"], "triage");
    world.advance(299).await;
    world.post(&form).await.ok();
    world.advance(1).await;
    world.refuses(&form, 401, "invalid_client", "svid_expired").await;
}
