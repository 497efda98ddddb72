//! Clients that register themselves (RFC 7591), where the registry lets them.

use serde_json::{Value, json};
use taskpass::flows::clients::{Origin, find};
use taskpass::flows::registration::MOST;
use taskpass::protocol::token_type::JWT_BEARER;

use crate::harness::{Form, Key, Reply, TICKETS, World, assert_refused, on_both_engines};

on_both_engines!(
    is_closed_unless_the_registry_opens_it,
    a_client_registers_itself,
    a_client_with_keys_registers_itself,
    refuses_metadata_that_cannot_be_taken,
    refuses_bodies_that_are_none,
    registrations_are_limited,
    a_revoked_client_stays_revoked_and_closing_ends_them_all,
    there_is_room_for_so_many_and_the_unused_make_room,
    nobody_takes_an_administrators_clients_name,
);

const BACK: &str = "http://127.0.0.1/callback";

async fn open(world: &World) {
    world.apply(json!({ "registration": { "dynamic": true } })).await.ok();
}

async fn send(world: &World, body: impl Into<String>) -> Reply {
    let request = world.http.post(format!("{}/oauth/register", world.issuer));
    let request = request.header("content-type", "application/json").body(body.into());
    Reply::read(request.send().await.unwrap()).await
}

async fn register(world: &World, more: Value) -> Reply {
    let mut metadata = json!({ "redirect_uris": [BACK], "client_name": "An Editor" });
    metadata.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    send(world, metadata.to_string()).await
}

async fn registered(world: &World, more: Value) -> String {
    let reply = register(world, more).await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    reply.json["client_id"].as_str().unwrap().to_owned()
}

fn request(world: &World, client_id: &str) -> Form {
    world
        .bare("/oauth/par")
        .add("client_id", client_id)
        .add("response_type", "code")
        .add("redirect_uri", "http://127.0.0.1:1234/callback")
        .add("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")
        .add("code_challenge_method", "S256")
        .add("resource", TICKETS)
        .add("scope", "tickets.read")
}

async fn rows(world: &World) -> i64 {
    world.number("SELECT count(*) FROM registered_clients").await
}

/// Refused so, with one audit row, and nobody was registered.
async fn refuses(world: &World, sent: impl Future<Output = Reply>, (status, error, rule): (u16, &str, &str)) {
    let before = rows(world).await;
    world.refuses_to("main", sent, (status, error, rule)).await;
    assert_eq!(rows(world).await, before, "{rule}");
}

const UNKNOWN: (u16, &str, &str) = (401, "invalid_client", "authorization_client_unknown");

async fn is_closed_unless_the_registry_opens_it(world: &mut World) {
    let closed = (404, "not_found", "registration_closed");
    refuses(world, register(world, json!({})), closed).await;
    world.apply(json!({ "registration": { "metadata_documents": true } })).await.ok();
    refuses(world, register(world, json!({})), closed).await;
    // Whatever is sent, a closed door says nothing else.
    refuses(world, send(world, "{"), closed).await;
    assert!(
        world
            .get("/.well-known/oauth-authorization-server")
            .await
            .json
            .get("registration_endpoint")
            .is_none()
    );
    open(world).await;
    let metadata = world.get("/.well-known/oauth-authorization-server").await.json;
    assert_eq!(metadata["registration_endpoint"], format!("{}/oauth/register", world.issuer));
    let acme = world.get("/t/acme/.well-known/oauth-authorization-server").await.json;
    assert!(acme.get("registration_endpoint").is_none());
    assert_eq!(world.get("/oauth/register").await.status, 405);
}

async fn a_client_registers_itself(world: &mut World) {
    open(world).await;
    let before = world.audit("main").await.len();
    let sent = json!({ "client_uri": "https://app.example", "logo_uri": "javascript:x", "software_id": "x", "scope": "everything",
        "client_id": "admin", "application_type": "native" });
    let reply = register(world, sent).await;
    assert_eq!((reply.status, reply.header("cache-control")), (201, "no-store"));
    let id = reply.json["client_id"].as_str().unwrap();
    assert!(id.starts_with("dyn_") && id.len() == 28, "{id}");
    // RFC 7591 §3.2.1: "all registered metadata about this client", and no secret.
    let expected = json!({ "client_id": id, "client_id_issued_at": world.now(), "client_name": "An Editor", "redirect_uris": [BACK],
        "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"], "token_endpoint_auth_method": "none" });
    assert_eq!(reply.json, expected);
    let row = &world.audit("main").await[before].event;
    assert_eq!(
        (&row["event"], &row["granted"], &row["client_id"]),
        (&json!("administration"), &json!(true), &json!(id))
    );
    assert_eq!(row["detail"]["registered"]["redirect_uris"], json!([BACK]));
    assert_eq!(world.post(&request(world, id)).await.status, 201);
    let elsewhere = request(world, id).set("redirect_uri", "http://127.0.0.1:1234/other");
    world.refuses(&elsewhere, 400, "invalid_request", "redirect_uri_not_registered").await;
    // Another tenant doesn't know it, nor does anybody another spelling of it.
    world.acme.apply(json!({ "registration": { "dynamic": true } })).await.ok();
    let acme =
        Form { tenant: "acme".into(), url: format!("{}/oauth/par", world.acme.issuer), ..request(world, id) };
    world.refuses(&acme, UNKNOWN.0, UNKNOWN.1, UNKNOWN.2).await;
    for other in [id.to_uppercase(), format!("{id}0"), id[..27].to_owned(), format!(" {id}")] {
        world.refuses(&request(world, &other), UNKNOWN.0, UNKNOWN.1, UNKNOWN.2).await;
    }
    let known = known(world, id).await;
    assert_eq!((known.origin, known.known_since.map(|since| since.0)), (Origin::Dynamic, Some(world.now())));
    assert!(known.refreshes && !known.confidential);
}

async fn known(world: &World, id: &str) -> taskpass::flows::clients::KnownClient {
    let server = &world.app().server;
    let tenant = server.tenant("main").unwrap();
    find(server, &tenant, &tenant.state(), id).await.unwrap()
}

async fn a_client_with_keys_registers_itself(world: &mut World) {
    open(world).await;
    let key = Key::generate();
    let keys = json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks": key.set(), "grant_types": ["authorization_code"] });
    let reply = register(world, keys).await;
    assert_eq!((reply.status, &reply.json["jwks"]["keys"][0]["x"]), (201, &key.public["x"]));
    let id = reply.json["client_id"].as_str().unwrap();
    assert!(!known(world, id).await.refreshes);
    world.refuses(&request(world, id), 401, "invalid_client", "client_authentication_missing").await;
    let proof = |key: &Key| {
        let assertion = key.sign("client-authentication+jwt", &world.assertion_claims(id));
        request(world, id).add("client_assertion_type", JWT_BEARER).add("client_assertion", assertion)
    };
    assert_eq!(world.post(&proof(&key)).await.status, 201);
    world.refuses(&proof(&Key::generate()), 401, "invalid_client", "client_unknown").await;
}

async fn refuses_metadata_that_cannot_be_taken(world: &mut World) {
    open(world).await;
    let redirect = (400, "invalid_redirect_uri", "redirect_uri_unfit");
    for uris in [
        json!(null),
        json!([]),
        json!([BACK, "http://app.example/cb"]),
        json!(["https://app.example/cb#x"]),
        json!(["javascript:alert(1)"]),
        json!(["data:text/html,x"]),
        json!(["myapp://callback"]),
        json!(["https://*.app.example/cb", "https://user@app.example/cb"]),
        json!(["/callback"]),
        json!(vec![BACK; 33]),
    ] {
        refuses(world, register(world, json!({ "redirect_uris": uris })), redirect).await;
    }
    let metadata = (400, "invalid_client_metadata", "client_metadata_unfit");
    for more in [
        json!({ "redirect_uris": BACK }),
        json!({ "token_endpoint_auth_method": "client_secret_basic" }),
        json!({ "token_endpoint_auth_method": "client_secret_post" }),
        json!({ "token_endpoint_auth_method": "private_key_jwt" }),
        json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://127.0.0.1/keys" }),
        json!({ "jwks_uri": "https://app.example/keys" }),
        json!({ "jwks": { "keys": [world.key("echo").private()] } }),
        json!({ "client_secret": "chosen by me" }),
        json!({ "grant_types": ["client_credentials"] }),
        json!({ "grant_types": ["implicit"] }),
        json!({ "response_types": ["token"] }),
        json!({ "dpop_bound_access_tokens": true }),
        json!({ "client_name": "a\u{202e}b" }),
        json!({ "client_name": "a".repeat(101) }),
        json!({ "client_name": 1 }),
    ] {
        refuses(world, register(world, more), metadata).await;
    }
}

async fn refuses_bodies_that_are_none(world: &mut World) {
    open(world).await;
    let metadata = (400, "invalid_client_metadata", "client_metadata_unfit");
    let twice = format!(r#"{{"redirect_uris":["{BACK}"],"redirect_uris":["https://evil.example/cb"]}}"#);
    let deep = format!(r#"{{"redirect_uris":["{BACK}"],"x":{}{}}}"#, "[".repeat(20), "]".repeat(20));
    for body in ["", "{", "[]", "null", "\"x\"", &twice, &deep] {
        refuses(world, send(world, body), metadata).await;
    }
    let large = json!({ "redirect_uris": [BACK], "x": "x".repeat(20_000) }).to_string();
    assert_eq!(send(world, large).await.status, 413);
    let request = world.http.post(format!("{}/oauth/register", world.issuer));
    let request = request.header("content-type", "application/x-www-form-urlencoded").body("redirect_uris=x");
    assert_eq!(request.send().await.unwrap().status(), 415);
    assert_eq!(rows(world).await, 0);
}

async fn registrations_are_limited(world: &mut World) {
    open(world).await;
    world.config.token_limit_per_second = 100;
    world.restart().await;
    let mut statuses = Vec::new();
    for _ in 0..40 {
        statuses.push(register(world, json!({})).await.status);
    }
    assert!(statuses.contains(&201) && statuses.contains(&429), "{statuses:?}");
    let made = statuses.iter().filter(|status| **status == 201).count();
    assert_eq!(rows(world).await, i64::try_from(made).unwrap());
    // Nobody else notices.
    world.post(&world.for_itself("relay", TICKETS)).await.ok();
}

async fn a_revoked_client_stays_revoked_and_closing_ends_them_all(world: &mut World) {
    open(world).await;
    let (first, second) = (registered(world, json!({})).await, registered(world, json!({})).await);
    world.cut("client", first.as_str()).await.ok();
    world.refuses(&request(world, &first), UNKNOWN.0, UNKNOWN.1, UNKNOWN.2).await;
    assert_eq!(world.post(&request(world, &second)).await.status, 201);
    world.restart().await;
    world.refuses(&request(world, &first), UNKNOWN.0, UNKNOWN.1, UNKNOWN.2).await;
    assert_refused(
        &world.cut("client", "dyn_00000000000000000000000a").await,
        404,
        "not_found",
        "entry_unknown",
    );
    assert_refused(&world.acme.cut("client", first.as_str()).await, 404, "not_found", "entry_unknown");
    world.reinstate("client", &first).await.ok();
    assert_eq!(world.post(&request(world, &first)).await.status, 201);
    world.apply(json!({ "registration": { "dynamic": false } })).await.ok();
    for client in [&first, &second] {
        world.refuses(&request(world, client), UNKNOWN.0, UNKNOWN.1, UNKNOWN.2).await;
    }
}

async fn there_is_room_for_so_many_and_the_unused_make_room(world: &mut World) {
    open(world).await;
    let used = registered(world, json!({})).await;
    let unused = registered(world, json!({})).await;
    let consents = world.tamper("INSERT INTO consents (tenant, id, user_id, client_id, client_name, agent, resource, scope,
        authorization_details, given_at, changed_at, expires_at) SELECT tenant, 'con_1', 'usr_1', id, '', '', 'https://a.example', '', '[]', 0, 0, 1900000000
        FROM registered_clients ORDER BY id LIMIT 1").await;
    assert_eq!(consents, 1);
    let kept = if used < unused { &used } else { &unused };
    world
        .tamper(
            "INSERT INTO registered_clients (tenant, id, body, created_at)
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9998)
        SELECT 'main', 'dyn_' || i, '{}', 1800000000 FROM n",
        )
        .await;
    assert_eq!(rows(world).await, MOST);
    let reply = register(world, json!({})).await;
    assert_refused(&reply, 503, "temporarily_unavailable", "registration_full");
    assert_eq!(rows(world).await, MOST);
    // After a day those that nobody has said yes to are forgotten, and there is room.
    world.advance(86_401).await;
    world.app().server.prune().await.unwrap();
    assert_eq!(rows(world).await, 1);
    assert_eq!(world.post(&request(world, kept)).await.status, 201);
    registered(world, json!({})).await;
}

async fn nobody_takes_an_administrators_clients_name(world: &mut World) {
    open(world).await;
    world
        .apply(json!({ "clients": [{ "client": "desk", "name": "The Desk", "redirect_uris": [BACK] }] }))
        .await
        .ok();
    for name in ["The Desk", " the desk ", "THE DESK", "desk", "Admin"] {
        let id = registered(world, json!({ "client_name": name })).await;
        assert_eq!(known(world, &id).await.name, id, "{name}");
    }
    let id = registered(world, json!({ "client_name": "Another Desk" })).await;
    assert_eq!(known(world, &id).await.name, "Another Desk");
}
