//! The isolation boundary: same names, other keys, and nothing of one counts in the other.

use http::Method;
use serde_json::json;
use taskpass::protocol::token_type::TokenType;

use crate::harness::{Form, TICKETS, World, assert_refused, claims, on_both_engines};

on_both_engines!(
    each_tenant_has_its_own_issuer_and_keys,
    refuses_the_other_tenants_tokens_everywhere,
    refuses_the_other_tenants_credentials,
    a_cutoff_in_one_leaves_the_other_alone,
    refuses_unknown_tenants,
    the_issuer_never_comes_from_the_request,
);

async fn each_tenant_has_its_own_issuer_and_keys(world: &mut World) {
    for tenant in [world.tenant("main"), world.tenant("acme")] {
        let metadata = tenant.get("/.well-known/oauth-authorization-server").await.ok();
        assert_eq!(metadata.json["issuer"], tenant.issuer);
        assert_eq!(metadata.json["token_endpoint"], format!("{}/oauth/token", tenant.issuer));
        let token = tenant.alices().await;
        let found = claims(&token);
        assert_eq!((&found["iss"], &found["tenant"]), (&json!(tenant.issuer), &json!(tenant.name)));
        assert!(tenant.is_active(&token).await);
    }
    let (main, acme) = (world.get("/oauth/jwks").await.ok(), world.acme.get("/oauth/jwks").await.ok());
    let kid = |keys: &serde_json::Value| keys["keys"][0]["kid"].clone();
    assert_ne!(kid(&main.json), kid(&acme.json));
    // RFC 8414 §3.1: the well-known string goes between the host and the path of the issuer.
    let inserted = world.get("/.well-known/oauth-authorization-server/t/acme").await.ok();
    assert_eq!(inserted.json["issuer"], world.acme.issuer);
    // The same person is somebody else there.
    assert_ne!(world.person("alice"), world.acme.person("alice"));
}

async fn refuses_the_other_tenants_tokens_everywhere(world: &mut World) {
    let acme = &world.acme;
    let token = world.alices().await;
    let rule = "subject_token_of_other_tenant";
    world.refuses(&acme.onward("triage", &token), 400, "invalid_request", rule).await;
    world
        .refuses(
            &acme.exchange("triage", &token, TokenType::Jwt),
            400,
            "invalid_request",
            "subject_token_issuer_unknown",
        )
        .await;
    assert!(!acme.is_active(&token).await);
    acme.revoke("triage", &token).await.ok();
    assert!(world.is_active(&token).await);
    for client in ["admin", "auditor"] {
        let admin = world.admin_token(client).await;
        for (method, path) in [(Method::GET, "/audit"), (Method::GET, "/registry"), (Method::GET, "/keys")] {
            let reply = acme.call(&admin, method, path, None).await;
            assert_refused(&reply, 401, "invalid_token", "access_token_not_accepted");
        }
        let cut = json!({ "scope_kind": "agent", "scope_id": "triage" });
        let reply = acme.call(&admin, Method::POST, "/revocations", Some(&cut)).await;
        assert_refused(&reply, 401, "invalid_token", "access_token_not_accepted");
    }
    let resource = format!("{}/oauth/introspect", world.issuer);
    let bearer = world.post(&world.for_itself("tickets-guard", &resource)).await.ok().token();
    let form = acme
        .bare("/oauth/introspect")
        .add("token", &token)
        .header("authorization", format!("Bearer {bearer}"));
    world.refuses(&form, 401, "invalid_token", "access_token_not_accepted").await;
    // Nor does one tenant mint for the other's endpoints.
    let form = world.for_itself("admin", &format!("{}/admin/v1", acme.issuer));
    world.refuses(&form, 400, "invalid_target", "target_unknown").await;
    // An opaque token's hash is looked up in its own tenant only.
    let opaque = world
        .post(&world.for_person("triage", "alice").set("resource", crate::harness::ARCHIVE))
        .await
        .ok()
        .token();
    assert!(!acme.introspect("archive-guard", &opaque).await.is_active());
    // A section about the other tenant is refused.
    let section = json!({ "tenant": "acme", "agents": [] });
    let reply = world.admin(Method::PUT, "/registry", Some(&section)).await;
    assert_refused(&reply, 400, "invalid_request", "registry_invalid");
}

async fn refuses_the_other_tenants_credentials(world: &mut World) {
    let acme = &world.acme;
    let to_acme =
        |form: Form| Form { tenant: "acme".into(), url: format!("{}/oauth/token", acme.issuer), ..form };
    // Main's assertion, sent to the other tenant: its key is nobody's there.
    let form = to_acme(world.for_itself("summarizer", TICKETS));
    world.refuses(&form, 401, "invalid_client", "client_unknown").await;
    // Signed by the right key there, made for the issuer here.
    let stray = acme.assert("summarizer", &world.assertion_claims("summarizer"));
    let form = acme.for_itself("summarizer", TICKETS).set("client_assertion", stray);
    world.refuses(&form, 401, "invalid_client", "client_assertion_audience_wrong").await;
    let form = acme.for_itself("summarizer", TICKETS);
    let svid = acme.by_svid(&form, &world.svid("summarizer"));
    world.refuses(&svid, 401, "invalid_client", "svid_signature_wrong").await;
    let person = acme.exchange("triage", &world.id_token("alice", "triage"), TokenType::IdToken);
    world.refuses(&person, 400, "invalid_request", "subject_token_signature_wrong").await;
    // The same assertion claims under each tenant's key are two assertions.
    acme.post(&form).await.ok();
}

async fn a_cutoff_in_one_leaves_the_other_alone(world: &mut World) {
    let (here, there) = (world.alices().await, world.acme.alices().await);
    for (kind, id) in [("agent", json!("triage")), ("resource", json!(TICKETS)), ("tenant", json!("main"))] {
        world.cut(kind, id).await.ok();
    }
    world.cut("user", json!(world.acme.person("alice"))).await.ok();
    assert!(!world.is_active(&here).await);
    assert!(world.acme.is_active(&there).await);
    world.acme.alices().await;
}

async fn refuses_unknown_tenants(world: &mut World) {
    for name in ["nobody", "Acme", "acme%2f", "%61cme2"] {
        let url = format!("{}/t/{name}/oauth/token", world.issuer);
        let reply = world.post(&Form { url, ..world.for_itself("summarizer", TICKETS) }).await;
        assert_eq!(reply.status, 404, "{name} {}", reply.text);
    }
    assert_eq!(world.token_records().await, 0);
}

async fn the_issuer_never_comes_from_the_request(world: &mut World) {
    let request = world.http.get(format!("{}/.well-known/openid-configuration", world.issuer));
    let request = request.header("host", "evil.example").header("x-forwarded-host", "evil.example");
    let request =
        request.header("x-forwarded-proto", "https").header("forwarded", "host=evil.example;proto=https");
    let reply = crate::harness::Reply::read(request.send().await.unwrap()).await;
    assert_eq!(reply.json["issuer"], world.issuer);
    assert!(!reply.text.contains("evil"));
    let mut claims = world.assertion_claims("summarizer");
    claims["aud"] = json!("https://evil.example");
    let form =
        world.for_itself("summarizer", TICKETS).set("client_assertion", world.assert("summarizer", &claims));
    let form = form.header("host", "evil.example").header("x-forwarded-host", "evil.example");
    world.refuses(&form, 401, "invalid_client", "client_assertion_audience_wrong").await;
}
