//! What holds at every endpoint, whatever it does.

use http::Method;
use serde_json::json;

use crate::harness::{Reply, TICKETS, World, assert_refused, on_both_engines};

on_both_engines!(
    a_wrong_method_is_405_with_allow,
    a_body_that_is_too_large_is_413,
    another_content_type_is_415,
    an_unknown_path_is_a_json_404,
    refuses_repeated_parameters,
    an_empty_parameter_is_absent_and_an_unknown_one_ignored,
    secrets_in_the_query_string_are_not_read,
    too_many_requests_are_told_when_to_come_back,
);

const FORM: &str = "application/x-www-form-urlencoded";

async fn send(world: &World, method: Method, path: &str, kind: &str, body: String) -> Reply {
    let request = world.http.request(method, format!("{}{path}", world.issuer)).header("content-type", kind);
    Reply::read(request.body(body).send().await.unwrap()).await
}

async fn a_wrong_method_is_405_with_allow(world: &mut World) {
    for (path, allowed) in [
        ("/oauth/token", "POST"),
        ("/oauth/introspect", "POST"),
        ("/oauth/revoke", "POST"),
        ("/oauth/jwks", "GET"),
        ("/.well-known/oauth-authorization-server", "GET"),
        ("/admin/v1/revocations", "POST"),
        ("/admin/v1/audit", "GET"),
        ("/t/acme/oauth/token", "POST"),
    ] {
        let wrong = if allowed == "POST" { Method::PATCH } else { Method::DELETE };
        let reply = send(world, wrong, path, FORM, String::new()).await;
        assert_eq!(reply.status, 405, "{path}");
        assert!(reply.header("allow").contains(allowed), "{path}: {:?}", reply.headers);
        assert_eq!(reply.header("cache-control"), "no-store");
        assert_eq!(reply.json["error"], "invalid_request");
    }
    // RFC 6749 §3.2: "The client MUST use the HTTP POST method when making access token requests."
    let form = world.for_itself("summarizer", TICKETS);
    let reply = world.get(&format!("/oauth/token?{}", form.body())).await;
    assert_eq!(reply.status, 405);
    assert_eq!(world.token_records().await, 0);
}

async fn a_body_that_is_too_large_is_413(world: &mut World) {
    for path in ["/oauth/token", "/oauth/introspect", "/oauth/revoke", "/t/acme/oauth/token"] {
        let reply = send(world, Method::POST, path, FORM, format!("token={}", "a".repeat(70_000))).await;
        assert_eq!((reply.status, reply.header("cache-control")), (413, "no-store"), "{path}");
    }
    // CVE-2026-9704: a subject token that is too large is never dropped in favour of another grant.
    let form = world.for_itself("summarizer", TICKETS).add("subject_token", "a".repeat(66_000));
    assert_eq!(world.post(&form).await.status, 413);
    let form = world.for_person("summarizer", "alice").set("subject_token", "a".repeat(60_000));
    world.refuses(&form, 400, "invalid_request", "subject_token_malformed").await;
}

async fn another_content_type_is_415(world: &mut World) {
    let form = world.for_itself("summarizer", TICKETS);
    for kind in
        ["application/json", "multipart/form-data", "text/plain", "", "application/x-www-form-urlencodedx"]
    {
        for path in ["/oauth/token", "/oauth/introspect", "/oauth/revoke"] {
            let reply = send(world, Method::POST, path, kind, form.body()).await;
            assert_eq!((reply.status, reply.header("cache-control")), (415, "no-store"), "{kind} {path}");
            assert_eq!(reply.json["error"], "invalid_request");
        }
    }
    let kind = "Application/X-WWW-Form-Urlencoded; charset=UTF-8";
    send(world, Method::POST, "/oauth/token", kind, form.body()).await.ok();
    let token = world.admin_token("admin").await;
    let request = world.http.post(format!("{}/admin/v1/revocations", world.issuer)).bearer_auth(token);
    let reply = Reply::read(request.header("content-type", FORM).body("a=b").send().await.unwrap()).await;
    assert_eq!(reply.status, 415);
}

async fn an_unknown_path_is_a_json_404(world: &mut World) {
    for path in [
        "/",
        "/oauth",
        "/oauth/token/",
        "/OAUTH/TOKEN",
        "/oauth/authorise",
        "/admin/v1/",
        "/admin/v2/keys",
        "/t/acme",
        "/t/acme/nothing",
        "/../etc/passwd",
        "/.well-known/nothing",
    ] {
        let reply = world.get(path).await;
        assert_eq!(reply.status, 404, "{path}");
        assert_eq!(reply.header("content-type"), "application/json", "{path}");
        assert_eq!(reply.header("cache-control"), "no-store", "{path}");
        assert!(reply.json["error"].is_string(), "{path}");
    }
}

async fn refuses_repeated_parameters(world: &mut World) {
    let form = world.for_person("triage", "alice").add("scope", "tickets.read");
    let names: Vec<_> =
        form.pairs.iter().map(|(name, _)| name.clone()).filter(|name| name != "resource").collect();
    for name in names {
        let value = form.get(&name).to_owned();
        for twin in [value.as_str(), ""] {
            world.refuses(&form.clone().add(&name, twin), 400, "invalid_request", "parameter_repeated").await;
        }
    }
    for name in ["client_id", "actor_token", "requested_token_type", "task_purpose", "authorization_details"]
    {
        let form = form.clone().add(name, "").add(name, "");
        world.refuses(&form, 400, "invalid_request", "parameter_repeated").await;
    }
    let token = world.alices().await;
    for path in ["/oauth/introspect", "/oauth/revoke"] {
        let form = world.form(path, "tickets-guard").add("token", &token).add("token", &token);
        world.refuses(&form, 400, "invalid_request", "parameter_repeated").await;
    }
    // Not UTF-8, and more than anybody needs.
    for body in ["scope=%ff".to_owned(), (0..65).map(|n| format!("p{n}=x&")).collect()] {
        let body = format!("{}&{body}", world.for_itself("summarizer", TICKETS).body());
        let reply = send(world, Method::POST, "/oauth/token", FORM, body).await;
        assert_refused(&reply, 400, "invalid_request", "request_malformed");
    }
    assert!(world.is_active(&token).await);
}

async fn an_empty_parameter_is_absent_and_an_unknown_one_ignored(world: &mut World) {
    let form = world
        .for_person("triage", "alice")
        .add("scope", "")
        .add("authorization_details", "")
        .add("actor_token", "");
    let form =
        form.add("actor_token_type", "").add("client_id", "").add("task_lifetime", "").add("audience", "");
    let form = form.add("unknown", "x").add("unknown", "y");
    assert_eq!(world.post(&form).await.ok().json["scope"], "tickets.read tickets.write");
}

async fn secrets_in_the_query_string_are_not_read(world: &mut World) {
    let form = world.for_itself("summarizer", TICKETS);
    let in_query = crate::harness::Form {
        url: format!("{}?{}", form.url, form.body()),
        pairs: Vec::new(),
        ..form.clone()
    };
    world.refuses(&in_query, 401, "invalid_client", "client_authentication_missing").await;
    let admin = world.admin_token("admin").await;
    let reply = world.get(&format!("/admin/v1/keys?access_token={admin}")).await;
    assert_refused(&reply, 401, "invalid_token", "access_token_missing");
    assert_eq!(reply.header("www-authenticate"), "Bearer");
    let token = world.alices().await;
    let form = world.form("/oauth/introspect", "tickets-guard");
    let in_query = crate::harness::Form { url: format!("{}?token={token}", form.url), ..form };
    world.refuses(&in_query, 400, "invalid_request", "parameter_missing").await;
}

async fn too_many_requests_are_told_when_to_come_back(world: &mut World) {
    world.config.token_limit_per_second = 1;
    world.config.introspection_limit_per_second = 1;
    world.restart().await;
    let forms = (0..12).map(|_| world.for_itself("summarizer", TICKETS)).collect();
    let replies = world.post_all(forms).await;
    let limited: Vec<_> = replies.iter().filter(|reply| reply.status == 429).collect();
    assert!(!limited.is_empty() && limited.len() < 12, "{}", limited.len());
    for reply in limited {
        assert_refused(reply, 429, "slow_down", "too_many_requests");
        assert_eq!(reply.header("retry-after"), "1");
    }
    // Another client isn't starved, and revocation isn't limited.
    let token = world.post(&world.for_itself("relay", TICKETS)).await.ok().token();
    for _ in 0..8 {
        world.revoke("relay", "junk").await.ok();
    }
    let forms =
        (0..12).map(|_| world.form("/oauth/introspect", "tickets-guard").add("token", &token)).collect();
    let replies = world.post_all(forms).await;
    assert!(replies.iter().any(|reply| reply.status == 429 && reply.header("retry-after") == "1"));
    let body = json!({ "bootstrap_token": "x", "client": "y", "jwks": {} });
    let begun = taskpass::time::monotonic();
    let statuses =
        world.flood(|| world.http.post(format!("{}/admin/v1/bootstrap", world.issuer)).json(&body)).await;
    // A machine on which 200 of these take longer than a second can't come to the limit.
    let too_slow =
        statuses.len() as u64 / taskpass::time::monotonic().duration_since(begun).as_secs().max(1) < 200;
    assert!(statuses.contains(&401) && (statuses.contains(&429) || too_slow), "{}", statuses.len());
}
