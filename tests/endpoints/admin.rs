//! `/admin/v1`: who may, what is applied, keys, the bootstrap token, and the evidence.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Key, Reply, TICKETS, World, assert_refused, claims, on_both_engines, search, tools};

const NOT_ACCEPTED: (u16, &str, &str) = (401, "invalid_token", "access_token_not_accepted");
const LACKS_SCOPE: (u16, &str, &str) = (403, "insufficient_scope", "access_token_lacks_scope");
const WRONG_TOKEN: (u16, &str, &str) = (401, "invalid_token", "bootstrap_token_wrong");

on_both_engines!(
    refuses_whoever_is_no_administrator,
    refuses_rights_that_were_not_given,
    refuses_entries_that_are_not_there,
    strangers_cannot_fill_the_audit_trail,
    the_bootstrap_token_opens_once,
    applies_all_or_nothing_and_says_what_changed,
    explains_without_minting_or_spending,
    explains_which_limit_refused,
    a_rotated_key_is_published_before_it_signs,
    a_revoked_key_kills_its_tokens_and_leaves_the_set,
    a_tampered_row_is_named,
    nothing_shown_holds_a_secret,
);

async fn refuses_whoever_is_no_administrator(world: &mut World) {
    let paths = [
        (Method::GET, "/registry"),
        (Method::GET, "/keys"),
        (Method::GET, "/audit"),
        (Method::GET, "/tokens?agent=triage"),
        (Method::GET, "/tasks/x"),
        (Method::GET, "/revocations"),
    ];
    let agent = world.alices().await;
    let resource = format!("{}/oauth/introspect", world.issuer);
    let guard = world.post(&world.for_itself("tickets-guard", &resource)).await.ok().token();
    let admin = world.admin_token("admin").await;
    let mut forged = claims(&admin);
    forged["scope"] = json!("registry:write");
    let forged = world.key("admin").sign("at+jwt", &forged);
    for (method, path) in &paths {
        for token in
            [&agent, &guard, &forged, "junk", &world.assertion("admin"), &world.id_token("alice", "admin")]
        {
            let asked = world.call(token, method.clone(), path, None);
            let reply = world.refuses_to("main", asked, NOT_ACCEPTED).await;
            assert!(reply.header("www-authenticate").starts_with("Bearer"));
        }
        let refusal = (401, "invalid_token", "access_token_missing");
        world.refuses_to("main", world.get(&format!("/admin/v1{path}")), refusal).await;
    }
    // An agent or enforcer doesn't become one by asking.
    let target = format!("{}/admin/v1", world.issuer);
    world.refuses(&world.for_itself("triage", &target), 400, "invalid_target", "target_unknown").await;
    world.refuses(&world.for_itself("tickets-guard", &target), 400, "invalid_target", "target_unknown").await;
    world
        .refuses(
            &world.for_itself("editor", &target),
            400,
            "unauthorized_client",
            "grant_not_for_this_client",
        )
        .await;
    // A suspended administrator's token is dead, and no new one comes.
    world.cut("client", "admin").await.ok();
    world.refuses_to("main", world.call(&admin, Method::GET, "/keys", None), NOT_ACCEPTED).await;
    world.refuses(&world.for_itself("admin", &target), 401, "invalid_client", "client_suspended").await;
}

async fn refuses_rights_that_were_not_given(world: &mut World) {
    let auditor = world.admin_token("auditor").await;
    world.call(&auditor, Method::GET, "/audit", None).await.ok();
    let cut = json!({ "scope_kind": "agent", "scope_id": "triage" });
    for (method, path, body) in [
        (Method::GET, "/registry", None),
        (Method::GET, "/keys", None),
        (Method::GET, "/tokens?agent=triage", None),
        (Method::PUT, "/registry", Some(json!({ "tenant": "main" }))),
        (Method::POST, "/keys/rotate", Some(json!({}))),
        (Method::POST, "/revocations", Some(cut.clone())),
        (Method::POST, "/reinstatements", Some(cut)),
        (Method::POST, "/explain", Some(json!({ "client_id": "triage", "resource": TICKETS }))),
    ] {
        let asked = world.call(&auditor, method, path, body.as_ref());
        world.refuses_to("main", asked, LACKS_SCOPE).await;
        let row = world.audit("main").await.pop().unwrap().event;
        assert_eq!((&row["event"], &row["client_id"]), (&json!("administration"), &json!("auditor")));
    }
    let target = format!("{}/admin/v1", world.issuer);
    let wider = world.for_itself("auditor", &target).add("scope", "audit:read revoke");
    world.refuses(&wider, 400, "invalid_scope", "scope_exceeds_ceiling").await;
    // A narrower token has less than its client.
    let narrow = world.for_itself("admin", &target).add("scope", "audit:read");
    let narrow = world.post(&narrow).await.ok().token();
    world.refuses_to("main", world.call(&narrow, Method::GET, "/keys", None), LACKS_SCOPE).await;
}

async fn refuses_entries_that_are_not_there(world: &mut World) {
    let admin = world.admin_token("admin").await;
    let scope = |kind: &str, id: &str| json!({ "scope_kind": kind, "scope_id": id });
    for (method, path, body) in [
        (Method::POST, "/revocations", Some(scope("agent", "nobody"))),
        (Method::POST, "/revocations", Some(scope("token", "tok_nothing"))),
        (Method::POST, "/revocations", Some(scope("key", "nothing"))),
        (Method::POST, "/reinstatements", Some(scope("agent", "triage"))),
        (Method::GET, "/tasks/tsk_nothing", None),
    ] {
        let asked = world.call(&admin, method, path, body.as_ref());
        world.refuses_to("main", asked, (404, "not_found", "entry_unknown")).await;
        let row = world.audit("main").await.pop().unwrap().event;
        assert_eq!((&row["event"], &row["client_id"]), (&json!("administration"), &json!("admin")));
    }
}

async fn strangers_cannot_fill_the_audit_trail(world: &mut World) {
    world.config.token_limit_per_second = 1;
    world.restart().await;
    let admin = world.admin_token("admin").await;
    let rows = world.audit("main").await.len();
    let junk = || world.http.get(format!("{}/admin/v1/keys", world.issuer)).bearer_auth("junk");
    let statuses = world.flood(junk).await;
    assert!(statuses.contains(&429), "{}", statuses.len());
    // What is turned away by the limit leaves no row; and whoever has proved who it is isn't held up by it.
    let refused = statuses.iter().filter(|status| **status == 401).count();
    assert_eq!(world.audit("main").await.len(), rows + refused);
    world.call(&admin, Method::GET, "/keys", None).await.ok();
}

async fn the_bootstrap_token_opens_once(world: &mut World) {
    assert!(world.app().bootstrap.is_none(), "a server with an administrator offers no way in");
    let Some(bare) = World::start(world.engine, false).await else { return };
    let token = bare.app().bootstrap.as_ref().unwrap().expose().to_owned();
    let enroll = async |token: &str, client: &str, jwks: Value| {
        let body = json!({ "bootstrap_token": token, "client": client, "jwks": jwks });
        let request = bare.http.post(format!("{}/admin/v1/bootstrap", bare.issuer)).json(&body);
        Reply::read(request.send().await.unwrap()).await
    };
    let keys = bare.key("admin").set();
    for wrong in ["", "junk", &token[1..], &format!("{token}x"), &token.to_ascii_uppercase()] {
        bare.refuses_to("main", enroll(wrong, "admin", keys.clone()), WRONG_TOKEN).await;
    }
    // A request that fails for another reason spends nothing.
    assert_eq!(enroll(&token, "usr_admin", keys.clone()).await.status, 400);
    assert_eq!(enroll(&token, "admin", json!({ "keys": [] })).await.status, 400);
    let created = enroll(&token, "admin", keys).await;
    assert_eq!((created.status, &created.json["client"]), (201, &json!("admin")));
    bare.refuses_to("main", enroll(&token, "mallory", Key::generate().set()), WRONG_TOKEN).await;
    bare.admin(Method::GET, "/registry", None).await.ok();
    let rows: Vec<_> = bare.audit("main").await.iter().map(|row| row.event.to_string()).collect();
    assert!(!rows.iter().any(|row| row.contains(&token)));
    bare.end().await;
    // And not after an hour.
    let Some(bare) = World::start(world.engine, false).await else { return };
    let token = bare.app().bootstrap.as_ref().unwrap().expose().to_owned();
    bare.advance(3601).await;
    let body = json!({ "bootstrap_token": token, "client": "admin", "jwks": bare.key("admin").set() });
    let request = bare.http.post(format!("{}/admin/v1/bootstrap", bare.issuer)).json(&body);
    let reply = Reply::read(request.send().await.unwrap()).await;
    assert_refused(&reply, 401, "invalid_token", "bootstrap_token_wrong");
    bare.end().await;
}

/// A resource with a scope and a tool, and these members.
fn scoped(members: &Value) -> Value {
    let mut resource = json!({ "resource": "https://x.example", "scopes": ["a"], "detail_types": ["mcp_tool_call"],
        "tools": [{ "name": "t" }] });
    for (name, value) in members.as_object().unwrap() {
        resource[name] = value.clone();
    }
    resource
}

async fn applies_all_or_nothing_and_says_what_changed(world: &mut World) {
    let new =
        json!({ "tenant": "main", "agents": [{ "agent": "new", "owner": "o@example.com", "tier": 1 }] });
    let dry = world.admin(Method::PUT, "/registry?dry_run=true", Some(&new)).await.ok();
    assert_eq!((&dry.json["applied"], &dry.json["changes"][0]["action"]), (&json!(false), &json!("create")));
    let applied = world.apply(new.clone()).await.ok();
    assert_eq!(applied.json["applied"], true);
    let again = world.apply(new).await.ok();
    assert_eq!(again.json["changes"][0]["action"], "unchanged");
    for wrong in [
        json!({ "agents": [{ "agent": "usr_x" }] }),
        json!({ "agents": [{ "agent": "spiffe://x" }] }),
        json!({ "agents": [{ "agent": "ok" }, { "agent": "a", "tier": 9 }] }),
        json!({ "agents": [{ "agent": "ok", "shoe_size": 1 }] }),
        json!({ "clients": [{ "client": "triage" }] }),
        json!({ "agents": [{ "agent": "ok", "may_delegate_to": ["nobody"] }] }),
        json!({ "agents": [{ "agent": "ok", "identities": [{ "spiffe_id": "spiffe://demo.example/agent/triage" }] }] }),
        json!({ "agents": [{ "agent": "ok", "ceiling": [{ "resource": TICKETS, "scopes": ["nothing"] }] }] }),
        json!({ "agents": [{ "agent": "ok", "identities": [{ "jwks_uri": "http://plain.example" }] }] }),
        json!({ "resources": [{ "resource": "https://x.example", "token": { "lifetime_seconds": 301 } }] }),
        json!({ "resources": [{ "resource": "HTTPS://x.example" }] }),
        json!({ "resources": [scoped(&json!({ "default_scopes": ["z"] }))] }),
        json!({ "resources": [scoped(&json!({ "scope_tools": { "z": [{ "name": "t" }] } }))] }),
        json!({ "resources": [scoped(&json!({ "scope_tools": { "a": [{ "name": "T" }] } }))] }),
        json!({ "resources": [scoped(&json!({ "scope_tools": { "a": [{ "name": "*" }] } }))] }),
        json!({ "resources": [scoped(&json!({ "scope_tools": { "a": ["t"] } }))] }),
        json!({ "resources": [scoped(&json!({ "scope_tools": { "a": [{ "name": "t", "limit": 1 }] } }))] }),
        json!({ "resources": [scoped(&json!({ "scope_tools": { "a": [{ "name": "t" }] }, "detail_types": [] }))] }),
        json!({ "policies": "permit(principal" }),
        json!({ "unknown": [] }),
    ] {
        let reply = world.apply(wrong.clone()).await;
        assert_refused(&reply, 400, "invalid_request", "registry_invalid");
    }
    let registry = world.admin(Method::GET, "/registry", None).await.ok();
    assert!(!registry.text.contains("\"ok\""), "half of a document was applied");
}

async fn explains_without_minting_or_spending(world: &mut World) {
    let subject = world.id_token("alice", "triage");
    let ask = |scope: &str| {
        json!({ "client_id": "triage", "subject_token": subject, "resource": TICKETS, "scope": scope,
            "subject_token_type": "urn:ietf:params:oauth:token-type:id_token" })
    };
    let before = world.audit("main").await.len();
    let token = world.admin_token("admin").await;
    let records = world.token_records().await;
    let yes = world.call(&token, Method::POST, "/explain", Some(&ask("tickets.read"))).await.ok();
    assert_eq!(yes.json["granted"], true);
    assert_eq!(yes.json["would_issue"]["scope"], "tickets.read");
    assert!(yes.json.get("access_token").is_none() && !yes.text.contains("eyJ"));
    let no = world.call(&token, Method::POST, "/explain", Some(&ask("tickets.all"))).await.ok();
    assert_eq!(no.json["granted"], false);
    assert!(no.text.contains("scope_unknown_to_resource"));
    assert_eq!(world.token_records().await, records);
    assert_eq!(world.audit("main").await.len(), before + 1, "the administrator's own token only");
}

async fn explains_which_limit_refused(world: &mut World) {
    let token = world.admin_token("admin").await;
    let ask = |details: &Value, scope: Option<&str>| {
        let mut ask = json!({ "client_id": "triage", "resource": TICKETS, "authorization_details": details,
            "subject_token": world.id_token("alice", "triage"),
            "subject_token_type": "urn:ietf:params:oauth:token-type:id_token" });
        ask["scope"] = scope.map_or(Value::Null, Value::from);
        ask
    };
    let detail = async |body: Value| {
        let answer = world.call(&token, Method::POST, "/explain", Some(&body)).await.ok().json;
        let rules = answer["rules"].as_array().unwrap();
        let refused = rules.iter().find(|rule| rule["verdict"] == "refuse").unwrap();
        (answer["refusal"].as_str().unwrap().to_owned(), refused["detail"].as_str().unwrap().to_owned())
    };
    let (rule, text) = detail(ask(&search(51), None)).await;
    assert_eq!(rule, "details_exceed_consent");
    for word in ["tool search_tickets, /limit:", r#"the limit is {"maximum":50}"#, "consent alice-tickets"] {
        assert!(text.contains(word), "{text}");
    }
    let (rule, text) = detail(ask(&tools(&json!([{ "name": "drop_tickets" }])), None)).await;
    assert_eq!(rule, "details_exceed_consent");
    assert!(text.contains("drop_tickets: this tool was not granted"), "{text}");
    let (rule, text) = detail(ask(&search(50), Some("tickets.read tickets.all"))).await;
    assert_eq!(
        (rule.as_str(), text.contains("(tickets.all)")),
        ("scope_unknown_to_resource", true),
        "{text}"
    );
    // The agent itself hears no more than the fixed sentence.
    let form = world.for_person("triage", "alice").add("authorization_details", search(51));
    let reply = world.post(&form).await;
    assert_eq!(reply.json["error_description"], "The details exceed the consent.");
    let policies = r#"permit(principal, action, resource);
        @id("no-writes") forbid(principal, action, resource) when { context.scopes.contains("tickets.write") };
        forbid(principal, action, resource) when { context.tools.contains("get_ticket") };
        @decision("needs_approval") forbid(principal, action, resource) when { context.tools.contains("close_ticket") };"#;
    world.apply(json!({ "policies": policies })).await.ok();
    let of = |tool: &str| tools(&json!([{ "name": tool }]));
    for (tool, scope, refusal, word) in [
        ("close_ticket", "tickets.write", "policy_denied", "(policy no-writes forbids it)"),
        ("get_ticket", "tickets.read", "policy_denied", "(policy number 3 forbids it)"),
        ("close_ticket", "tickets.read", "policy_needs_approval", "(policy number 4 asks for it)"),
    ] {
        let (rule, text) = detail(ask(&of(tool), Some(scope))).await;
        assert_eq!((rule.as_str(), text.contains(word)), (refusal, true), "{text}");
    }
}

async fn a_rotated_key_is_published_before_it_signs(world: &mut World) {
    let old = world.alices().await;
    // A list of what the members would be is no object.
    for body in [json!([]), json!([null]), json!(["ES256"]), json!("ES256"), json!(null)] {
        let refused = world.admin(Method::POST, "/keys/rotate", Some(&body)).await;
        assert_refused(&refused, 400, "invalid_request", "registry_invalid");
    }
    let rotated = world.admin(Method::POST, "/keys/rotate", Some(&json!({}))).await.ok();
    let kid = rotated.json["kid"].as_str().unwrap().to_owned();
    let published = world.get("/oauth/jwks").await.ok();
    assert!(published.text.contains(&kid));
    assert!(published.header("cache-control").contains("max-age"));
    for private in ["\"d\"", "\"p\"", "\"k\"", "wrapped"] {
        assert!(!published.text.contains(private));
    }
    let signer = |token: &str| {
        use base64::Engine as _;
        let header = token.split('.').next().unwrap();
        let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(header).unwrap();
        serde_json::from_slice::<Value>(&header).unwrap()["kid"].as_str().unwrap().to_owned()
    };
    let first = signer(&old);
    world.advance(200).await;
    let renewed = world.post(&world.onward("triage", &old)).await.ok().token();
    assert_eq!(signer(&renewed), first, "it signs only after one publication period");
    world.advance(700).await;
    let new = world.alices().await;
    assert_eq!(signer(&new), kid);
    assert!(world.is_active(&new).await);
    taskpass::flows::signing_keys::keep(&world.app().server, "main").await.unwrap();
    // The old one verifies what it signed until the last of it has expired.
    assert!(world.get("/oauth/jwks").await.text.contains(&first));
    world.advance(300 + 5 + 900).await;
    taskpass::flows::signing_keys::keep(&world.app().server, "main").await.unwrap();
    assert!(!world.get("/oauth/jwks").await.text.contains(&first));
    world.restart().await;
    world.alices().await;
}

async fn a_revoked_key_kills_its_tokens_and_leaves_the_set(world: &mut World) {
    let token = world.alices().await;
    let kid = world.get("/oauth/jwks").await.json["keys"][0]["kid"].as_str().unwrap().to_owned();
    world.cut("key", kid.as_str()).await.ok();
    assert!(!world.is_active(&token).await);
    assert!(!world.get("/oauth/jwks").await.text.contains(&kid));
    let new = world.alices().await;
    assert!(world.is_active(&new).await);
    let keys = world.admin(Method::GET, "/keys", None).await.ok();
    assert!(!keys.text.contains("wrapped") && !keys.text.contains("\"d\""), "{}", keys.text);
}

async fn a_tampered_row_is_named(world: &mut World) {
    for _ in 0..3 {
        world.alices().await;
    }
    assert_eq!(world.first_bad("main").await, None);
    let body = "UPDATE audit SET body = replace(body, 'alice-tickets', 'olga-tickets') WHERE tenant = 'main' AND seq = 3";
    assert_eq!(world.tamper(body).await, 1);
    assert_eq!(world.first_bad("main").await.unwrap().0, 3);
    let back = "UPDATE audit SET body = replace(body, 'olga-tickets', 'alice-tickets') WHERE tenant = 'main' AND seq = 3";
    assert_eq!(world.tamper(back).await, 1);
    assert_eq!(world.first_bad("main").await, None);
    world.tamper("UPDATE audit SET at = at + 1 WHERE tenant = 'main' AND seq = 2").await;
    assert_eq!(world.first_bad("main").await.unwrap().0, 2);
    world.tamper("UPDATE audit SET at = at - 1 WHERE tenant = 'main' AND seq = 2").await;
    // A cut tail, and then a gap; the other tenant's chain is whole.
    let last = world.audit("main").await.len() as u64;
    world.tamper("DELETE FROM audit WHERE tenant = 'main' AND seq = (SELECT max(seq) FROM audit WHERE tenant = 'main')").await;
    assert_eq!(world.first_bad("main").await.unwrap().0, last);
    world.tamper("DELETE FROM audit WHERE tenant = 'main' AND seq = 2").await;
    assert_eq!(world.first_bad("main").await.unwrap().0, 2);
    assert_eq!(world.first_bad("acme").await, None);
    // Leave a whole chain behind for the check that follows every test.
    world.tamper("DELETE FROM audit WHERE tenant = 'main'").await;
    world.tamper("DELETE FROM audit_checkpoints WHERE tenant = 'main'").await;
    let start = "UPDATE tenants SET audit_seq = 0, audit_hash = '0000000000000000000000000000000000000000000000000000000000000000' WHERE tenant = 'main'";
    world.tamper(start).await;
}

async fn nothing_shown_holds_a_secret(world: &mut World) {
    let token = world.alices().await;
    let opaque = world
        .post(&world.for_person("triage", "alice").set("resource", crate::harness::ARCHIVE))
        .await
        .ok()
        .token();
    let tail = |token: &str| token[token.len() - 20..].to_owned();
    for path in
        ["/audit?limit=1000", "/tokens?agent=triage", "/registry", "/keys", "/revocations", "/openapi.json"]
    {
        let shown = world.admin(Method::GET, path, None).await.ok();
        assert!(!shown.text.contains(&tail(&token)) && !shown.text.contains(&tail(&opaque)), "{path}");
        assert_eq!(shown.header("cache-control"), "no-store", "{path}");
    }
    let records = world.admin(Method::GET, "/tokens?agent=triage", None).await.ok();
    assert_eq!(records.json["tokens"].as_array().unwrap().len(), 2);
    // Opaque tokens are stored as hashes, and nothing else of them is.
    assert_eq!(world.number("SELECT count(*) FROM tokens WHERE hash IS NOT NULL").await, 1);
    assert_eq!(
        world.number("SELECT count(*) FROM tokens WHERE hash LIKE 'tpo_%' OR claims LIKE '%tpo\\_%'").await,
        0
    );
    let metrics =
        Reply::read(world.http.get(format!("{}/metrics", world.issuer)).send().await.unwrap()).await;
    assert!(!metrics.text.contains("eyJ"));
}
