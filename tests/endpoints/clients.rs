//! Clients that describe themselves, by a metadata document over real TLS. Whatever is wrong with the document or its place: no request
//! is kept, nothing is remembered, and one audit row says which rule refused.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use taskpass::protocol::token_type::JWT_BEARER;
use taskpass::time::monotonic;

use crate::harness::{
    Browser, Form, Key, Reply, Site, TICKETS, World, asking_with, assert_refused, authorize, on_both_engines,
};

on_both_engines!(
    a_client_is_known_by_its_document,
    a_document_is_kept_as_long_as_its_site_says,
    refuses_documents_at_places_that_must_not_be_called,
    refuses_documents_that_are_none_and_forgets_them,
    refuses_documents_about_something_else,
    many_at_once_fetch_once,
    a_host_is_not_hammered,
    a_site_that_is_down_for_a_while_stops_nobody,
    only_hosts_that_the_registry_names,
    refuses_documents_where_they_are_switched_off,
    redirect_uris_match_to_the_byte_but_for_a_loopback_port,
    a_client_with_keys_proves_who_it_is,
    a_client_with_keys_hands_its_grant_back,
    clients_made_at_will_share_what_strangers_have,
    a_stranger_makes_no_redirector_of_us,
    refuses_proofs_that_are_not_the_clients,
    a_revoked_client_stays_revoked_whatever_it_says,
    the_registry_refuses_clients_that_do_not_hold_together,
);

const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const BACK: &str = "http://127.0.0.1/callback";
const JSON: &str = "content-type: application/json\r\n";

/// A site that the server may reach and trusts, at a tenant that takes documents.
async fn trusting(world: &mut World) -> Site {
    let site = Site::start("{}".into()).await;
    world.config.ca_file = Some(site.write_ca(world.folder()));
    world.config.allow_networks = vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
    world.restart().await;
    registration(world, json!({ "metadata_documents": true })).await;
    site
}

async fn registration(world: &World, registration: Value) {
    world.apply(json!({ "registration": registration })).await.ok();
}

fn document(client_id: &str) -> Value {
    json!({ "client_id": client_id, "client_name": "An Editor", "redirect_uris": [BACK],
        "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
        "token_endpoint_auth_method": "none", "logo_uri": "https://127.0.0.1:1/logo.png", "unknown": { "member": [1] } })
}

/// Puts a proper document up, with these members changed, and returns its URL.
fn publish(site: &Site, path: &str, more: Value) -> String {
    let url = format!("{}{path}", site.url);
    let mut document = document(&url);
    document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    site.put(path, "200 OK", JSON, &document.to_string());
    url
}

/// What this client asks of a person.
fn request(world: &World, client_id: &str) -> Form {
    world
        .bare("/oauth/par")
        .add("client_id", client_id)
        .add("response_type", "code")
        .add("redirect_uri", "http://127.0.0.1:49152/callback")
        .add("code_challenge", CHALLENGE)
        .add("code_challenge_method", "S256")
        .add("resource", TICKETS)
        .add("scope", "tickets.read")
}

fn by_keys(world: &World, client_id: &str, key: &Key) -> Form {
    let assertion = key.sign("client-authentication+jwt", &world.assertion_claims(client_id));
    request(world, client_id).add("client_assertion_type", JWT_BEARER).add("client_assertion", assertion)
}

async fn pushed(world: &World) -> i64 {
    world.number("SELECT count(*) FROM authorization_requests").await
}

/// The client is refused so, and nothing of its request is kept.
async fn refuses(world: &World, client_id: &str, (status, error, rule): (u16, &str, &str)) -> Reply {
    let before = pushed(world).await;
    let reply = world.refuses(&request(world, client_id), status, error, rule).await;
    // Fewer there may be: those that nobody answered are forgotten.
    assert!(pushed(world).await <= before, "the request was kept");
    reply
}

const NOT_FETCHED: (u16, &str, &str) = (401, "invalid_client", "client_metadata_not_fetched");
const UNFIT: (u16, &str, &str) = (401, "invalid_client", "client_metadata_document_unfit");
const UNKNOWN: (u16, &str, &str) = (401, "invalid_client", "authorization_client_unknown");
const BAD_URL: (u16, &str, &str) = (401, "invalid_client", "client_id_url_unfit");

async fn accepts(world: &World, client_id: &str) {
    let reply = world.post(&request(world, client_id)).await;
    assert_eq!(reply.status, 201, "{client_id}: {}", reply.text);
}

async fn a_client_is_known_by_its_document(world: &mut World) {
    let site = trusting(world).await;
    let metadata = world.get("/.well-known/oauth-authorization-server").await.json;
    assert_eq!(metadata["client_id_metadata_document_supported"], true);
    assert!(metadata.get("registration_endpoint").is_none());
    let client = publish(&site, "/client.json", json!({}));
    for _ in 0..3 {
        accepts(world, &client).await;
    }
    assert_eq!(site.hits(), 1, "one document, one fetch, and nothing that it names");
    // With a longer media type, without the members that have defaults, in another order, with a query, a slash at the end.
    let short = |url: &str| json!({ "redirect_uris": [BACK], "client_id": url }).to_string();
    for (path, kind) in [
        ("/short", "content-type: Application/JSON; charset=utf-8\r\n"),
        ("/typed", "content-type: application/client-metadata+json\r\n"),
        ("/query?v=1", JSON),
        ("/slash/", JSON),
    ] {
        let url = format!("{}{path}", site.url);
        site.put(path, "200 OK", kind, &short(&url));
        accepts(world, &url).await;
    }
}

async fn a_document_is_kept_as_long_as_its_site_says(world: &mut World) {
    let site = trusting(world).await;
    for (number, (header, seconds)) in [
        ("", 300),
        ("cache-control: max-age=600\r\n", 600),
        ("cache-control: max-age=0\r\n", 60),
        ("cache-control: no-store\r\n", 60),
        ("cache-control: public, max-age=31536000\r\n", 86_400),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/client-{number}");
        let url = format!("{}{path}", site.url);
        site.put(&path, "200 OK", &format!("{JSON}{header}"), &document(&url).to_string());
        let before = site.hits();
        accepts(world, &url).await;
        world.advance(seconds - 1).await;
        accepts(world, &url).await;
        assert_eq!(site.hits() - before, 1, "{header}");
        world.advance(1).await;
        accepts(world, &url).await;
        assert_eq!(site.hits() - before, 2, "{header}");
    }
}

async fn refuses_documents_at_places_that_must_not_be_called(world: &mut World) {
    // A good document with a good certificate, on this machine: but nobody allowed that.
    let site = Site::start("{}".into()).await;
    let port = site.url.rsplit_once(':').unwrap().1.to_owned();
    world.config.ca_file = Some(site.write_ca(world.folder()));
    // The company's own network is for its identity providers, and for nobody who names it.
    world.config.allow_networks = vec!["10.0.0.0/8".parse().unwrap(), "169.254.0.0/16".parse().unwrap()];
    world.restart().await;
    registration(world, json!({ "metadata_documents": true })).await;
    publish(&site, "/client.json", json!({}));
    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:7f00:1]",
        "[::7f00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.168.0.1",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[ff02::1]",
    ] {
        refuses(world, &format!("https://{host}:{port}/client.json"), NOT_FETCHED).await;
    }
    // Other spellings of these never get as far.
    for host in [
        "2130706433",
        "0x7f.1",
        "127.1",
        "0177.0.0.1",
        "127.0.0.1.",
        "LOCALHOST",
        "[::ffff:127.0.0.1]",
        "%6cocalhost",
    ] {
        refuses(world, &format!("https://{host}:{port}/client.json"), BAD_URL).await;
    }
    assert_eq!((site.connections.load(Ordering::SeqCst), site.hits()), (0, 0), "a connection was made");
}

async fn refuses_documents_that_are_none_and_forgets_them(world: &mut World) {
    let site = trusting(world).await;
    let url = |path: &str| format!("{}{path}", site.url);
    let proper = |path: &str| document(&url(path)).to_string();
    let large = |path: &str| {
        let mut large = document(&url(path));
        large["padding"] = json!("x".repeat(5 * 1024));
        large.to_string()
    };
    let put = |path: &'static str, status: &str, headers: &str, body: &str| {
        site.put(path, status, headers, body);
        path
    };
    let location = format!("{JSON}location: {}\r\n", publish(&site, "/good", json!({})));
    let paths = [
        put("/301", "301 Moved Permanently", &location, &proper("/301")),
        put("/302", "302 Found", &location, &proper("/302")),
        put("/307", "307 Temporary Redirect", &location, ""),
        put("/201", "201 Created", JSON, &proper("/201")),
        put("/203", "203 Non-Authoritative Information", JSON, &proper("/203")),
        put("/304", "304 Not Modified", JSON, ""),
        put("/403", "403 Forbidden", JSON, &proper("/403")),
        put("/404", "404 Not Found", JSON, &proper("/404")),
        put("/500", "500 Internal Server Error", JSON, &proper("/500")),
        put("/html", "200 OK", "content-type: text/html\r\n", &proper("/html")),
        put("/text", "200 OK", "content-type: text/plain; charset=application/json\r\n", &proper("/text")),
        put("/untyped", "200 OK", "", &proper("/untyped")),
        put("/big", "200 OK", JSON, &large("/big")),
        put("/encoded", "200 OK", &format!("{JSON}content-encoding: gzip\r\n"), "\u{1f}"),
        put("/list", "200 OK", JSON, &format!("[{}]", proper("/list"))),
        put(
            "/twice",
            "200 OK",
            JSON,
            &proper("/twice").replacen('{', r#"{"client_id":"https://app.example/x","#, 1),
        ),
        put("/trailing", "200 OK", JSON, &(proper("/trailing") + "{}")),
        put("/empty", "200 OK", JSON, ""),
        put("/deep", "200 OK", JSON, &format!("{{\"a\":{}{}}}", "[".repeat(40), "]".repeat(40))),
        // What every site of the tests does wrong: without end, cut off.
        "/large",
        "/cut",
    ];
    for path in paths {
        let other = world.for_itself("relay", TICKETS);
        let client = url(path);
        let (_, served) = tokio::join!(refuses_alone(world, &client), async {
            tokio::time::timeout(Duration::from_secs(3), world.post(&other)).await
        });
        served.expect("a bad site held others up").ok();
        // A moment later it is still left alone, and then it is asked anew: nothing of its error was kept.
        let hits = site.hits();
        refuses(world, &client, NOT_FETCHED).await;
        assert_eq!(site.hits(), hits, "{path} was asked again at once");
        // The hosts' own limit counts real time.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    world.advance(5).await;
    for path in ["/301", "/404", "/html", "/big"] {
        accepts(world, &publish(&site, path, json!({}))).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Refused because its document can't be had; the audit has the rule, whatever else goes on.
async fn refuses_alone(world: &World, client: &str) {
    let before = world.audit("main").await.len();
    let reply = world.post(&request(world, client)).await;
    assert_eq!(reply.json["rule"], NOT_FETCHED.2, "{client}");
    assert_refused(&reply, NOT_FETCHED.0, NOT_FETCHED.1, NOT_FETCHED.2);
    let rows = world.audit("main").await;
    let ours = rows[before..].iter().filter(|row| row.event["rule"] == NOT_FETCHED.2).count();
    assert_eq!(ours, 1, "{client}");
}

async fn refuses_documents_about_something_else(world: &mut World) {
    let site = trusting(world).await;
    let client = publish(&site, "/client.json", json!({}));
    // The same document, found by another spelling of its URL, is another client's: and says that it is not about it.
    for path in [
        "/client.json/",
        "/Client.json",
        "/CLIENT.JSON",
        "/client.json?",
        "/client.json?x",
        "/client%2Ejson",
        "//client.json",
    ] {
        site.put(path, "200 OK", JSON, &document(&client).to_string());
        refuses(world, &format!("{}{path}", site.url), UNFIT).await;
    }
    for url in [
        format!("{client}#"),
        format!("{client}#x"),
        format!("{}/a/../client.json", site.url),
        format!("{}/%2e/client.json", site.url),
        client.replace("https://", "https://user@"),
        client.replace("https://", "HTTPS://"),
        client.replace("https://", "https:\\\\"),
        site.url.clone(),
        format!("{}/", site.url),
    ] {
        let expected = if url.starts_with("https://") { BAD_URL } else { UNKNOWN };
        refuses(world, &url, expected).await;
    }
    refuses(world, &client.replace("https://", "http://"), UNKNOWN).await;
    for (path, more) in [
        ("/other", json!({ "client_id": client })),
        ("/nameless", json!({ "client_id": null })),
        ("/secret", json!({ "token_endpoint_auth_method": "client_secret_basic" })),
        ("/post", json!({ "token_endpoint_auth_method": "client_secret_post", "client_secret": "s" })),
        ("/keyless", json!({ "token_endpoint_auth_method": "private_key_jwt" })),
        (
            "/private",
            json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks": { "keys": [world.key("echo").private()] } }),
        ),
        ("/script", json!({ "redirect_uris": ["javascript:alert(1)"] })),
        ("/nowhere", json!({ "redirect_uris": [] })),
        ("/bidi", json!({ "client_name": "An \u{202e}rotidE" })),
        ("/machine", json!({ "grant_types": ["client_credentials"] })),
        ("/bound", json!({ "dpop_bound_access_tokens": true })),
    ] {
        refuses(world, &publish(&site, path, more), UNFIT).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // None of them was kept: put right, each is taken once it has rested.
    refuses(world, &publish(&site, "/other", json!({})), NOT_FETCHED).await;
    world.advance(5).await;
    accepts(world, &publish(&site, "/other", json!({}))).await;
}

async fn many_at_once_fetch_once(world: &mut World) {
    let site = trusting(world).await;
    let client = publish(&site, "/client.json", json!({}));
    let replies = world.post_all(vec![request(world, &client); 30]).await;
    assert!(replies.iter().all(|reply| reply.status == 201));
    assert_eq!(site.hits(), 1);
    let missing = format!("{}/missing", site.url);
    let replies = world.post_all(vec![request(world, &missing); 30]).await;
    assert!(replies.iter().all(|reply| reply.json["rule"] == NOT_FETCHED.2));
    assert_eq!(site.hits(), 2);
}

async fn a_host_is_not_hammered(world: &mut World) {
    let site = trusting(world).await;
    let good = publish(&site, "/client.json", json!({}));
    accepts(world, &good).await;
    let started = monotonic();
    let forms = (0..200).map(|number| request(world, &format!("{}/missing/{number}", site.url))).collect();
    let replies = world.post_all(forms).await;
    let limited = replies.iter().filter(|reply| reply.status == 429).count();
    let most =
        20 + 5 * (usize::try_from(monotonic().saturating_duration_since(started).as_secs()).unwrap() + 1);
    assert!(site.hits() <= most, "{} requests", site.hits());
    assert!(limited >= 200 - most, "{limited}");
    // Who is known goes on.
    accepts(world, &good).await;
}

async fn a_site_that_is_down_for_a_while_stops_nobody(world: &mut World) {
    let site = trusting(world).await;
    let client = publish(&site, "/client.json", json!({}));
    accepts(world, &client).await;
    site.put("/client.json", "503 Service Unavailable", JSON, "{}");
    world.advance(301).await;
    for _ in 0..3 {
        accepts(world, &client).await;
    }
    assert_eq!(site.hits(), 2, "a site that is down is left alone");
    world.advance(3600).await;
    refuses(world, &client, NOT_FETCHED).await;
    // A site that takes the document away has said something, and is heard at once.
    world.advance(5).await;
    accepts(world, &publish(&site, "/client.json", json!({}))).await;
    site.put("/client.json", "404 Not Found", JSON, "{}");
    world.advance(301).await;
    refuses(world, &client, NOT_FETCHED).await;
}

async fn only_hosts_that_the_registry_names(world: &mut World) {
    let site = trusting(world).await;
    let client = publish(&site, "/client.json", json!({}));
    registration(world, json!({ "metadata_documents": true, "metadata_document_hosts": ["app.example"] }))
        .await;
    let rule = (401, "invalid_client", "client_metadata_host_not_allowed");
    for url in [
        &client,
        &client.replace("127.0.0.1", "app.example.evil.example"),
        &client.replace("127.0.0.1", "evil-app.example"),
        &client.replace("127.0.0.1", "sub.app.example"),
        &client.replace("127.0.0.1", "app.example."),
    ] {
        refuses(world, url, rule).await;
    }
    assert_eq!(site.connections.load(Ordering::SeqCst), 0);
    registration(
        world,
        json!({ "metadata_documents": true, "metadata_document_hosts": ["app.example", "127.0.0.1"] }),
    )
    .await;
    accepts(world, &client).await;
    for host in
        ["https://app.example", "App.example", "app.example:443", "app.example/x", "", "*.example", "a b"]
    {
        let wrong =
            json!({ "registration": { "metadata_documents": true, "metadata_document_hosts": [host] } });
        assert_refused(&world.apply(wrong).await, 400, "invalid_request", "registry_invalid");
    }
}

async fn refuses_documents_where_they_are_switched_off(world: &mut World) {
    let site = trusting(world).await;
    let client = publish(&site, "/client.json", json!({}));
    accepts(world, &client).await;
    // The other tenant has never said that it takes them; and this one takes it back.
    let other = Form {
        tenant: "acme".into(),
        url: format!("{}/t/acme/oauth/par", world.issuer),
        ..request(world, &client)
    };
    world.refuses(&other, UNKNOWN.0, UNKNOWN.1, UNKNOWN.2).await;
    registration(world, json!({ "metadata_documents": false })).await;
    refuses(world, &client, UNKNOWN).await;
    let metadata = world.get("/.well-known/oauth-authorization-server").await.json;
    assert_eq!(metadata["client_id_metadata_document_supported"], false);
    assert_eq!(site.hits(), 1);
}

async fn redirect_uris_match_to_the_byte_but_for_a_loopback_port(world: &mut World) {
    let site = trusting(world).await;
    let uris = json!([
        "http://127.0.0.1/callback",
        "http://localhost:3000/callback",
        "http://[::1]/callback",
        "https://app.example/callback?a=b",
        "com.example.app:/callback",
        "javascript:alert(1)",
        "myapp://callback"
    ]);
    let client = publish(&site, "/client.json", json!({ "redirect_uris": uris }));
    let with = |uri: &str| request(world, &client).set("redirect_uri", uri);
    for uri in [
        "http://127.0.0.1/callback",
        "http://127.0.0.1:1/callback",
        "http://127.0.0.1:65535/callback",
        "http://localhost/callback",
        "http://localhost:3001/callback",
        "http://[::1]:8080/callback",
        "https://app.example/callback?a=b",
        "com.example.app:/callback",
    ] {
        assert_eq!(world.post(&with(uri)).await.status, 201, "{uri}");
    }
    for uri in [
        "http://127.0.0.1:1/callback/",
        "http://127.0.0.1:1/Callback",
        "http://127.0.0.1:1/callback?x",
        "http://127.0.0.1:1/callback#x",
        "http://127.0.0.1:0/callback",
        "http://127.0.0.1:65536/callback",
        "http://127.0.0.1:1@app.example/callback",
        "http://127.0.0.1.app.example/callback",
        "http://127.0.0.2/callback",
        "https://127.0.0.1/callback",
        "http://LOCALHOST/callback",
        "http://localhost.app.example/callback",
        "https://app.example:443/callback?a=b",
        "https://app.example:8443/callback?a=b",
        "https://app.example/callback",
        "https://app.example/callback?a=b&c=d",
        "https://APP.example/callback?a=b",
        "com.example.app:/callback/x",
        "com.example.app://callback",
        "javascript:alert(1)",
        "myapp://callback",
        "https://evil.example/callback",
    ] {
        let before = pushed(world).await;
        world.refuses(&with(uri), 400, "invalid_request", "redirect_uri_not_registered").await;
        assert_eq!(pushed(world).await, before, "{uri}");
    }
    world
        .refuses(
            &request(world, &client).without("redirect_uri"),
            400,
            "invalid_request",
            "redirect_uri_not_registered",
        )
        .await;
}

async fn a_client_with_keys_proves_who_it_is(world: &mut World) {
    let site = trusting(world).await;
    let (first, second) = (Key::generate(), Key::generate());
    site.put("/keys", "200 OK", JSON, &first.set().to_string());
    let by_jwt = |more: Value| {
        let mut members = json!({ "token_endpoint_auth_method": "private_key_jwt" });
        members.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        members
    };
    let inline = publish(&site, "/inline", by_jwt(json!({ "jwks": first.set() })));
    let remote = publish(&site, "/remote", by_jwt(json!({ "jwks_uri": format!("{}/keys", site.url) })));
    for client in [&inline, &remote] {
        let form = by_keys(world, client, &first);
        assert_eq!(world.post(&form).await.status, 201);
        // Single use, whether or not it came with a `client_id`.
        world.refuses(&form, 401, "invalid_client", "client_assertion_replayed").await;
        world.refuses(&form.without("client_id"), 401, "invalid_client", "client_assertion_replayed").await;
        let form = by_keys(world, client, &first).without("client_id");
        assert_eq!(world.post(&form).await.status, 201);
        world.refuses(&request(world, client), 401, "invalid_client", "client_authentication_missing").await;
        world.refuses(&by_keys(world, client, &second), 401, "invalid_client", "client_unknown").await;
    }
    // The same `jti` by another client is another proof.
    let claims = |client: &str| {
        let mut claims = world.assertion_claims(client);
        claims["jti"] = json!("the-same");
        first.sign("JWT", &claims)
    };
    for client in [&inline, &remote] {
        let form = by_keys(world, client, &first).set("client_assertion", claims(client));
        assert_eq!(world.post(&form).await.status, 201);
    }
}

async fn a_client_with_keys_hands_its_grant_back(world: &mut World) {
    let site = trusting(world).await;
    let key = Key::generate();
    let keys = json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks": key.set() });
    let client = publish(&site, "/client", keys);
    let mut browser = Browser::of(world, world, "alice").await;
    let code = browser.code(&asking_with(&[("client_id", client.as_str())])).await;
    let proved = |form: Form| {
        let assertion = key.sign("client-authentication+jwt", &world.assertion_claims(&client));
        form.add("client_assertion_type", JWT_BEARER).add("client_assertion", assertion)
    };
    let redeem = world.redeem(&code).without("client_id");
    let bought = world.post(&proved(redeem)).await.ok();
    let refresh = bought.json["refresh_token"].as_str().unwrap();
    let hand_back = || world.bare("/oauth/revoke").add("token", refresh);
    world
        .refuses(
            &hand_back().add("client_id", &client),
            401,
            "invalid_client",
            "client_authentication_missing",
        )
        .await;
    world.post(&proved(hand_back())).await.ok();
    assert!(!world.is_active(&bought.token()).await);
}

async fn clients_made_at_will_share_what_strangers_have(world: &mut World) {
    let site = trusting(world).await;
    let key = Key::generate();
    let keys = json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks": key.set() });
    let client = publish(&site, "/client", keys);
    let proved = |form: Form| {
        let assertion = key.sign("client-authentication+jwt", &world.assertion_claims(&client));
        form.add("client_assertion_type", JWT_BEARER).add("client_assertion", assertion)
    };
    // What isn't theirs is no row, and costs nobody anything.
    let rows = world.audit("main").await.len();
    world.post(&proved(world.bare("/oauth/revoke").add("token", "garbage"))).await.ok();
    assert_eq!(world.audit("main").await.len(), rows);
    // What they are refused is one, as a stranger's is: within the limit of all strangers.
    let code = world.redeem("tpc_unknown").without("client_id");
    world.refuses(&proved(code), 400, "invalid_grant", "authorization_code_unknown").await;
}

async fn a_stranger_makes_no_redirector_of_us(world: &mut World) {
    let site = trusting(world).await;
    let client = publish(&site, "/client.json", json!({}));
    let wrong = asking_with(&[("client_id", client.as_str()), ("response_type", "token")]);
    let mut nobody = Browser::new(world);
    nobody.get(&authorize(&nobody, &wrong)).await.assert_error("response_type_unsupported");
    let silent = asking_with(&[("client_id", client.as_str()), ("prompt", "none")]);
    nobody.get(&authorize(&nobody, &silent)).await.assert_error("login_required");
    let mut alice = Browser::of(world, world, "alice").await;
    alice.get(&authorize(&alice, &wrong)).await.assert_back("unsupported_response_type");
    let registered = asking_with(&[("response_type", "token")]);
    nobody.get(&authorize(&nobody, &registered)).await.assert_back("unsupported_response_type");
}

async fn refuses_proofs_that_are_not_the_clients(world: &mut World) {
    let site = trusting(world).await;
    let key = Key::generate();
    let keys = json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks": key.set() });
    let client = publish(&site, "/client", keys.clone());
    let other = publish(&site, "/other", keys);
    let public = publish(&site, "/public", json!({}));
    let token_endpoint = format!("{}/oauth/token", world.issuer);
    let signed = |change: &dyn Fn(&mut Value)| {
        let mut claims = world.assertion_claims(&client);
        change(&mut claims);
        by_keys(world, &client, &key).set("client_assertion", key.sign("client-authentication+jwt", &claims))
    };
    for (form, rule) in [
        (signed(&|claims| claims["aud"] = json!(token_endpoint)), "client_assertion_audience_wrong"),
        (
            signed(&|claims| claims["aud"] = json!([world.issuer, "https://app.example"])),
            "client_assertion_audience_wrong",
        ),
        (signed(&|claims| claims["sub"] = json!(other)), "client_assertion_issuer_not_subject"),
        (signed(&|claims| claims["exp"] = json!(world.now())), "client_assertion_expired"),
        (signed(&|claims| claims["exp"] = json!(world.now() + 3600)), "client_assertion_lives_too_long"),
        (signed(&|claims| claims["jti"] = json!("")), "client_assertion_malformed"),
        (by_keys(world, &other, &key).set("client_id", &client), "client_id_mismatch"),
        (by_keys(world, &client, &key).set("client_id", &public), "client_id_mismatch"),
        (by_keys(world, &client, &key).set("client_id", "editor"), "client_id_mismatch"),
        (by_keys(world, "editor", world.key("editor")).set("client_id", &client), "client_id_mismatch"),
        (by_keys(world, &client, world.key("editor")), "client_unknown"),
        (by_keys(world, &public, &key), "client_unknown"),
        (
            by_keys(world, &client, &key).header("authorization", "Basic eDp5"),
            "client_authentication_ambiguous",
        ),
        (by_keys(world, &client, &key).add("client_secret", "s"), "client_authentication_ambiguous"),
        (by_keys(world, &client, &key).without("client_assertion_type"), "client_authentication_missing"),
        (
            by_keys(world, &client, &key).set("client_assertion_type", "urn:x"),
            "client_assertion_type_unsupported",
        ),
        (
            by_keys(world, &client, &key)
                .set("client_assertion", key.hmac("JWT", &world.assertion_claims(&client))),
            "client_assertion_malformed",
        ),
    ] {
        let before = pushed(world).await;
        let reply = world.post(&form).await;
        assert_eq!(reply.json["rule"], rule, "{}", reply.text);
        assert_eq!((reply.status, &reply.json["error"]), (401, &json!("invalid_client")));
        assert_eq!(pushed(world).await, before);
    }
}

async fn a_revoked_client_stays_revoked_whatever_it_says(world: &mut World) {
    let site = trusting(world).await;
    let client = publish(&site, "/client.json", json!({}));
    let neighbour = publish(&site, "/neighbour.json", json!({}));
    accepts(world, &client).await;
    world.cut("client", client.as_str()).await.ok();
    refuses(world, &client, UNKNOWN).await;
    // Another document at the same URL, an expired cache, a restart, another node: nothing brings it back.
    publish(
        &site,
        "/client.json",
        json!({ "client_name": "Somebody Else", "redirect_uris": ["https://app.example/cb"] }),
    );
    world.advance(86_401).await;
    refuses(world, &client, UNKNOWN).await;
    world.restart().await;
    refuses(world, &client, UNKNOWN).await;
    accepts(world, &neighbour).await;
    let hits = site.hits();
    refuses(world, &client, UNKNOWN).await;
    assert_eq!(site.hits(), hits, "a revoked client's document is not even fetched");
    // One may be cut before it first shows up; a typing error is no URL of a document.
    let early = publish(&site, "/early.json", json!({}));
    world.cut("client", early.as_str()).await.ok();
    refuses(world, &early, UNKNOWN).await;
    for typo in [
        site.url.clone(),
        client.replace("https", "http"),
        format!("{client}#x"),
        "dyn_".into(),
        "dyn_nobody".into(),
    ] {
        assert_refused(&world.cut("client", typo.as_str()).await, 404, "not_found", "entry_unknown");
    }
    world.reinstate("client", &client).await.ok();
    publish(&site, "/client.json", json!({}));
    accepts(world, &client).await;
}

async fn the_registry_refuses_clients_that_do_not_hold_together(world: &mut World) {
    for client in [
        json!({ "client": "desk", "redirect_uris": ["http://app.example/cb"] }),
        json!({ "client": "desk", "redirect_uris": ["https://app.example/cb#x"] }),
        json!({ "client": "desk", "redirect_uris": ["javascript:alert(1)"] }),
        json!({ "client": "desk", "redirect_uris": [BACK, "cb"] }),
        json!({ "client": "desk", "redirect_uris": [BACK], "resources": ["https://unknown.example"] }),
        json!({ "client": "dyn_desk", "redirect_uris": [BACK] }),
        json!({ "client": "https://app.example/client.json", "redirect_uris": [BACK] }),
    ] {
        assert_refused(
            &world.apply(json!({ "clients": [client] })).await,
            400,
            "invalid_request",
            "registry_invalid",
        );
    }
    let desk = json!({ "client": "desk", "redirect_uris": [BACK], "resources": [TICKETS] });
    world.apply(json!({ "clients": [desk] })).await.ok();
    accepts(world, "desk").await;
    refuses(world, "auditor", UNKNOWN).await;
}
