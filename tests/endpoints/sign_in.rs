//! People sign in at identity providers, over real TLS: what comes back must fit the browser, the provider and the request, and
//! whatever doesn't opens no session.

use serde_json::{Value, json};
use taskpass::domain::user::{upstream_session_id, user_id};
use taskpass::protocol::token_type::TokenType;

use crate::harness::{
    Browser, Form, Idp, Page, TICKETS, Tokens, World, asking, asking_with, assert_refused, authorize, b64,
    on_both_engines,
};

on_both_engines!(
    somebody_signs_in,
    refuses_an_id_token_that_proves_nothing,
    refuses_an_answer_that_was_not_asked_for,
    refuses_the_answer_of_another_provider,
    refuses_when_the_provider_cannot_be_asked,
    refuses_metadata_that_is_not_the_issuers,
    keeps_secrets_below_their_folder,
    people_are_not_linked_by_email,
    a_disabled_provider_ends_everything,
    a_disabled_person_is_out,
    an_old_sign_in_is_none_where_a_new_one_is_asked_for,
    signing_out_takes_nothing_back,
    what_was_granted_ends_with_the_session_at_the_provider,
    an_address_chooses_the_provider,
    agents_exchange_what_a_discovered_provider_signs,
    the_provider_logs_somebody_out,
    the_provider_logs_out_everywhere,
    a_logout_ends_nothing_of_another_provider,
    refuses_a_logout_token_that_proves_nothing,
    development_is_off_by_default,
    development_signs_in_by_a_click,
);

/// Lets the server reach this machine, and trust these providers.
async fn trust(world: &mut World, providers: &[&Idp]) {
    let path = world.folder().join("ca.pem");
    let pems: String = providers.iter().map(|idp| idp.ca_pem.as_str()).collect();
    std::fs::write(&path, pems).unwrap();
    world.config.ca_file = Some(path);
    world.config.allow_networks = vec!["127.0.0.0/8".parse().unwrap()];
    world.restart().await;
}

fn entry(id: &str, idp: &Idp) -> Value {
    json!({ "id": id, "issuer": idp.issuer, "sign_in": { "client_id": "taskpass" } })
}

/// A world with one identity provider, `home`.
async fn home(world: &mut World) -> Idp {
    let idp = Idp::start(json!({})).await;
    trust(world, &[&idp]).await;
    world.apply(json!({ "identity_providers": [entry("home", &idp)] })).await.ok();
    idp
}

/// A browser that was sent away, and what it took along.
struct Away {
    browser: Browser,
    sent: Page,
    id: &'static str,
}

impl Away {
    /// A browser of this tenant that has chosen the provider.
    async fn to(world: &World, tenant: &str, id: &'static str) -> Self {
        let mut browser = Browser::new(world.tenant(tenant));
        let sent = depart(&mut browser, id).await;
        Self { browser, sent, id }
    }

    fn took(&self, name: &str) -> String {
        self.sent.parameter(name).unwrap_or_else(|| panic!("no {name} in {}", self.sent.location))
    }

    /// The claims of the ID token that the provider should give.
    fn claims(&self, world: &World, idp: &Idp, subject: &str) -> Value {
        json!({ "iss": idp.issuer, "sub": subject, "aud": "taskpass", "nonce": self.took("nonce"), "iat": world.now(),
            "exp": world.now() + 600, "sid": format!("there-{subject}"), "name": "Alice A.", "email": "alice@example.com",
            "groups": ["support"] })
    }

    /// Comes back with this answer.
    async fn back(&mut self, answer: &[(&str, &str)]) -> Page {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(answer).finish();
        let to = self.browser.path(&format!("/sign-in/callback/{}?{query}", self.id));
        self.browser.get(&to).await
    }

    /// Comes back as a provider sends it.
    async fn properly(&mut self, idp: &Idp) -> Page {
        let state = self.took("state");
        self.back(&[("code", "a-code"), ("state", &state), ("iss", &idp.issuer)]).await
    }
}

/// Chooses a provider on the page, or is sent on at once.
async fn depart(browser: &mut Browser, id: &str) -> Page {
    let path = browser.path("/sign-in");
    let page = browser.get(&path).await;
    if page.status == 303 {
        return page;
    }
    led_on(browser.submit(&page, &path, &[("identity_provider", id)]).await)
}

/// A page that leads on, as a browser takes it: a form itself may only lead to this server.
fn led_on(page: Page) -> Page {
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("form-action 'self';"), "{policy}");
    let (_, to) = page.html.split_once("http-equiv=\"refresh\" content=\"0; url=").unwrap_or_default();
    let to = to.split('"').next().unwrap().replace("&#38;", "&").replace("&amp;", "&");
    Page { location: to, ..page }
}

async fn sessions(world: &World) -> i64 {
    world.number("SELECT count(*) FROM sessions").await
}

/// Signs somebody in.
async fn enters(world: &World, idp: &Idp, id: &'static str, subject: &str) -> Browser {
    let mut away = Away::to(world, "main", id).await;
    idp.gives(Tokens::Id(idp.key.sign("JWT", &away.claims(world, idp, subject))));
    let page = away.properly(idp).await;
    assert_eq!((page.status, page.location.as_str()), (303, "/account"), "{}", page.html);
    away.browser
}

/// Whether the browser is signed in.
async fn is_in(world: &World, browser: &Browser) -> bool {
    let server = &world.app().server;
    let tenant = server.tenant(browser.tenant).unwrap();
    match browser.jar.get(&format!("taskpass-session-{}", browser.tenant)) {
        Some(cookie) => taskpass::flows::sessions::find(server, &tenant, cookie).await.unwrap().is_some(),
        None => false,
    }
}

/// The person stays outside: an error page names the rule, one audit row does, and there is no session.
async fn stays_out(world: &World, tenant: &str, page: impl Future<Output = Page>, rule: &str) -> Page {
    let (rows, tokens, before) =
        (world.audit(tenant).await.len(), world.token_records().await, sessions(world).await);
    let page = page.await;
    page.assert_error(rule);
    world.assert_audited(tenant, rows, tokens, rule).await;
    assert_eq!(sessions(world).await, before, "a session was opened");
    page
}

async fn somebody_signs_in(world: &mut World) {
    let idp = home(world).await;
    let mut away = Away::to(world, "main", "home").await;
    assert!(away.sent.location.starts_with(&format!("{}/authorize?", idp.issuer)), "{}", away.sent.location);
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "taskpass"),
        ("scope", "openid profile email"),
        ("code_challenge_method", "S256"),
        ("redirect_uri", &format!("{}/sign-in/callback/home", world.issuer)),
    ] {
        assert_eq!(away.took(name), value);
    }
    idp.gives(Tokens::Id(idp.key.sign("JWT", &away.claims(world, &idp, "alice"))));
    let rows = world.audit("main").await.len();
    let page = away.properly(&idp).await;
    assert_eq!((page.status, page.location.as_str()), (303, "/account"));
    assert!(is_in(world, &away.browser).await);
    // The code went out with the verifier of the challenge, and without a secret.
    let (head, form) = idp.last();
    let sent = |name: &str| form.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone());
    assert!(!head.to_lowercase().contains("authorization:"), "{head}");
    assert_eq!(sent("code").as_deref(), Some("a-code"));
    assert_eq!(sent("redirect_uri").unwrap(), away.took("redirect_uri"));
    assert_eq!(
        taskpass::protocol::pkce::challenge(&sent("code_verifier").unwrap()),
        away.took("code_challenge")
    );
    // One row says who, and through whom; the person is known by issuer and subject.
    let user = user_id("main", &idp.issuer, "alice");
    let rows: Vec<_> = world.audit("main").await.split_off(rows).into_iter().map(|row| row.event).collect();
    assert_eq!(rows.len(), 1);
    assert_eq!(
        (&rows[0]["event"], &rows[0]["sub"], &rows[0]["granted"]),
        (&json!("sign_in"), &json!(user), &json!(true))
    );
    assert_eq!(rows[0]["detail"]["identity_provider"], "home");
    assert_eq!(world.number("SELECT count(*) FROM users WHERE subject = 'alice'").await, 1);
    // Metadata and keys were read once for both.
    let hits = idp.hits();
    enters(world, &idp, "home", "alice").await;
    assert_eq!(idp.hits(), hits + 1);
    // The browser asks again after half a day.
    world.advance(12 * 3600).await;
    assert!(!is_in(world, &away.browser).await);
}

/// Everything that is wrong with an ID token whose signature is right: a change to its claims.
fn wrong_claims(world: &World, idp: &Idp) -> Vec<(&'static str, Value)> {
    let now = world.now();
    vec![
        ("iss", json!("https://elsewhere.example")),
        ("iss", json!(format!("{}/", idp.issuer))),
        ("iss", Value::Null),
        ("aud", json!("another-client")),
        ("aud", json!([])),
        ("aud", json!(["taskpass", "somebody-else"])),
        ("aud", Value::Null),
        ("azp", json!("another-client")),
        ("nonce", json!("another")),
        ("nonce", Value::Null),
        ("nonce", json!(1)),
        ("exp", json!(now)),
        ("exp", json!(now - 1)),
        ("exp", json!((now + 60).to_string())),
        ("exp", Value::Null),
        ("iat", json!(now + 31)),
        ("iat", json!(now - 601)),
        ("iat", Value::Null),
        ("nbf", json!(now + 31)),
        ("sub", json!("")),
        ("sub", json!("a\u{0}b")),
        ("sub", json!("a".repeat(256))),
        ("sub", Value::Null),
        ("sub", json!(7)),
        ("sid", json!("")),
        ("events", json!({ "http://schemas.openid.net/event/backchannel-logout": {} })),
        ("typ", json!("Refresh")),
        ("act", json!({ "sub": "somebody" })),
    ]
}

type Forge<'a> = Box<dyn Fn(&Value) -> String + 'a>;

/// By another's key, by none, by the public key as a secret, cut off, with a header that chooses its own rules, or with a payload
/// that says two things.
fn wrong_signatures<'a>(idp: &'a Idp, other: &'a Idp) -> Vec<Forge<'a>> {
    let with = move |change: Value| -> Forge<'a> {
        Box::new(move |claims| {
            let mut header = idp.key.header("JWT");
            change.as_object().unwrap().iter().for_each(|(name, value)| header[name] = value.clone());
            idp.key.sign_with(&header, claims)
        })
    };
    let as_ours = json!({ "alg": "ES256", "kid": idp.key.kid, "typ": "JWT" });
    vec![
        Box::new(move |claims| other.key.sign("JWT", claims)),
        Box::new(move |claims| other.key.sign_with(&as_ours, claims)),
        Box::new(move |claims| {
            other.key.sign_with(&json!({ "alg": "ES256", "jwk": other.key.public }), claims)
        }),
        Box::new(move |claims| format!("{}.{}.", b64(r#"{"alg":"none"}"#), b64(claims.to_string()))),
        Box::new(move |claims| idp.key.hmac("JWT", claims)),
        Box::new(move |claims| idp.key.sign("JWT", claims).split_at(80).0.to_owned()),
        Box::new(move |claims| format!("{}.x", idp.key.sign("JWT", claims))),
        Box::new(move |claims| {
            let twice = format!("{{\"sub\":\"eve\",{}", &claims.to_string()[1..]);
            idp.key.sign_text(&idp.key.header("JWT").to_string(), &twice)
        }),
        Box::new(|_| "not a token".to_owned()),
        Box::new(|_| String::new()),
        with(json!({ "alg": "RS256" })),
        with(json!({ "alg": "ES384" })),
        with(json!({ "typ": "at+jwt" })),
        with(json!({ "typ": "logout+jwt" })),
        with(json!({ "crit": ["x"] })),
        with(json!({ "kid": "another" })),
    ]
}

async fn refuses_an_id_token_that_proves_nothing(world: &mut World) {
    let idp = home(world).await;
    let (other, rule) = (Idp::start(json!({})).await, "id_token_not_accepted");
    for (name, value) in wrong_claims(world, &idp) {
        let mut away = Away::to(world, "main", "home").await;
        let mut claims = away.claims(world, &idp, "alice");
        claims[name] = value.clone();
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        }
        idp.gives(Tokens::Id(idp.key.sign("JWT", &claims)));
        println!("{name} {value}");
        stays_out(world, "main", away.properly(&idp), rule).await;
    }
    // Signatures that aren't, of claims that are right.
    let forgeries = wrong_signatures(&idp, &other);
    for forge in forgeries {
        let mut away = Away::to(world, "main", "home").await;
        idp.gives(Tokens::Id(forge(&away.claims(world, &idp, "alice"))));
        stays_out(world, "main", away.properly(&idp), rule).await;
    }
    // Several audiences are fine if they are known and the token says for which of them it was made.
    let mut trusting = entry("home", &idp);
    trusting["audiences"] = json!(["desktop"]);
    world.apply(json!({ "identity_providers": [trusting] })).await.ok();
    for (azp, fine) in [(None, false), (Some("desktop"), false), (Some("taskpass"), true)] {
        let mut away = Away::to(world, "main", "home").await;
        let mut claims = away.claims(world, &idp, "alice");
        claims["aud"] = json!(["desktop", "taskpass"]);
        azp.iter().for_each(|azp| claims["azp"] = json!(azp));
        idp.gives(Tokens::Id(idp.key.sign("JWT", &claims)));
        if fine {
            assert_eq!(away.properly(&idp).await.location, "/account");
        } else {
            stays_out(world, "main", away.properly(&idp), rule).await;
        }
    }
}

async fn refuses_an_answer_that_was_not_asked_for(world: &mut World) {
    let idp = home(world).await;
    let rule = "sign_in_state_unknown";
    let mut away = Away::to(world, "main", "home").await;
    idp.gives(Tokens::Id(idp.key.sign("JWT", &away.claims(world, &idp, "alice"))));
    let (state, iss) = (away.took("state"), idp.issuer.clone());
    // Without a state, with another one, and with this one in another browser, which nobody was sent away from.
    stays_out(world, "main", away.back(&[("code", "c"), ("iss", &iss)]), rule).await;
    stays_out(world, "main", away.back(&[("code", "c"), ("state", "other"), ("iss", &iss)]), rule).await;
    let answer = [("code", "c"), ("state", state.as_str()), ("iss", iss.as_str())];
    let mut stranger = Away { browser: Browser::new(world), sent: away.sent.clone(), id: "home" };
    stays_out(world, "main", stranger.back(&answer), rule).await;
    let mut victim = Away::to(world, "main", "home").await;
    stays_out(world, "main", victim.back(&answer), rule).await;
    assert_eq!(idp.asked(), 0, "a code was sent to the token endpoint");
    // Named twice it isn't looked at, and doesn't use up what the browser took along.
    let twice = [answer[0], answer[0], answer[1], answer[2]];
    stays_out(world, "main", away.back(&twice), "parameter_repeated").await;
    // The provider's no, and an answer without a code.
    stays_out(
        world,
        "main",
        away.back(&[("error", "access_denied"), answer[1], answer[2]]),
        "sign_in_refused",
    )
    .await;
    let mut again = Away::to(world, "main", "home").await;
    let state = again.took("state");
    stays_out(world, "main", again.back(&[("state", &state), ("iss", &iss)]), "parameter_missing").await;
    assert_eq!(idp.asked(), 0);
    // Used once, and for ten minutes.
    let mut good = Away::to(world, "main", "home").await;
    idp.gives(Tokens::Id(idp.key.sign("JWT", &good.claims(world, &idp, "alice"))));
    assert_eq!(good.properly(&idp).await.location, "/account");
    stays_out(world, "main", good.properly(&idp), rule).await;
    let mut late = Away::to(world, "main", "home").await;
    world.advance(600).await;
    stays_out(world, "main", late.properly(&idp), rule).await;
    assert_eq!(idp.asked(), 1);
    // Another tenant has its own.
    world.acme.apply(json!({ "identity_providers": [entry("home", &idp)] })).await.ok();
    let mut elsewhere = Away::to(world, "main", "home").await;
    let state = elsewhere.took("state");
    let to = format!("/t/acme/sign-in/callback/home?code=c&state={state}&iss={iss}");
    stays_out(world, "acme", elsewhere.browser.get(&to), rule).await;
    let mut acme = Away::to(world, "acme", "home").await;
    idp.gives(Tokens::Id(idp.key.sign("JWT", &acme.claims(world, &idp, "alice"))));
    assert_eq!(acme.properly(&idp).await.location, "/t/acme/account");
    assert!(!acme.browser.jar.contains_key("taskpass-session-main"));
    assert_ne!(user_id("main", &idp.issuer, "alice"), user_id("acme", &idp.issuer, "alice"));
}

async fn refuses_the_answer_of_another_provider(world: &mut World) {
    let (one, two) = (
        Idp::start(json!({})).await,
        Idp::start(json!({ "authorization_response_iss_parameter_supported": false })).await,
    );
    trust(world, &[&one, &two]).await;
    world.apply(json!({ "identity_providers": [entry("one", &one), entry("two", &two)] })).await.ok();
    let rule = "sign_in_issuer_mixed_up";
    // RFC 9207 §2.4: one that says that it names itself must, and nobody may name another.
    for (id, iss) in [
        ("one", None),
        ("one", Some(two.issuer.clone())),
        ("one", Some(format!("{}/", one.issuer))),
        ("two", Some(one.issuer.clone())),
    ] {
        for answer in [("code", "c"), ("error", "access_denied")] {
            let mut away = Away::to(world, "main", id).await;
            let state = away.took("state");
            let mut pairs = vec![answer, ("state", &state)];
            pairs.extend(iss.iter().map(|iss| ("iss", iss.as_str())));
            stays_out(world, "main", away.back(&pairs), rule).await;
        }
    }
    // One that doesn't name itself has an address of its own: a browser that it sent on to another one comes back there.
    for (id, at) in [("two", "/one"), ("one", "/two"), ("two", "")] {
        let mut away = Away::to(world, "main", id).await;
        let state = away.took("state");
        let to = format!("/sign-in/callback{at}?code=c&state={state}");
        stays_out(world, "main", away.browser.get(&to), rule).await;
    }
    assert_eq!((one.asked(), two.asked()), (0, 0), "a code was sent to the token endpoint");
    // A provider can't speak for another one's people.
    let mut away = Away::to(world, "main", "two").await;
    two.gives(Tokens::Id(two.key.sign("JWT", &away.claims(world, &one, "alice"))));
    let state = away.took("state");
    stays_out(world, "main", away.back(&[("code", "c"), ("state", &state)]), "id_token_not_accepted").await;
    let mut good = Away::to(world, "main", "two").await;
    two.gives(Tokens::Id(two.key.sign("JWT", &good.claims(world, &two, "alice"))));
    let state = good.took("state");
    assert_eq!(good.back(&[("code", "c"), ("state", &state)]).await.location, "/account");
}

async fn refuses_when_the_provider_cannot_be_asked(world: &mut World) {
    let idp = home(world).await;
    let tokens = json!({ "access_token": "at", "token_type": "Bearer" });
    let location = format!("location: {}/other\r\n", idp.issuer);
    let pad =
        json!({ "access_token": "at", "token_type": "Bearer", "id_token": "x", "pad": "x".repeat(300_000) });
    let any = |status, more: &str, body: String| Tokens::Any(status, more.to_owned(), body);
    for (tokens, rule) in [
        (any(302, &location, String::new()), "sign_in_failed"),
        (any(307, &location, String::new()), "sign_in_failed"),
        (any(200, "", pad.to_string()), "sign_in_failed"),
        (any(200, "", "<html>".into()), "sign_in_failed"),
        (any(200, "", String::new()), "sign_in_failed"),
        (any(200, "", "[]".into()), "sign_in_failed"),
        (
            any(
                200,
                "",
                r#"{"access_token":"a","token_type":"Bearer","id_token":"x","id_token":"y"}"#.into(),
            ),
            "sign_in_failed",
        ),
        (any(200, "", tokens.to_string()), "sign_in_failed"),
        (any(500, "", "{}".into()), "sign_in_failed"),
        (any(401, "", r#"{"error":"invalid_client"}"#.into()), "sign_in_failed"),
        (any(400, "", r#"{"error":"invalid_grant"}"#.into()), "sign_in_refused"),
        (Tokens::Silence, "sign_in_failed"),
    ] {
        let mut away = Away::to(world, "main", "home").await;
        idp.gives(tokens);
        stays_out(world, "main", away.properly(&idp), rule).await;
    }
    // One that nobody can reach: the person stays here.
    let gone =
        json!({ "id": "home", "issuer": "https://127.0.0.1:1", "sign_in": { "client_id": "taskpass" } });
    world.apply(json!({ "identity_providers": [gone] })).await.ok();
    let mut browser = Browser::new(world);
    stays_out(world, "main", browser.get("/sign-in"), "sign_in_failed").await;
    // Keys that can't be read are not keys that don't fit.
    let broken = Idp::start(json!({ "jwks_uri": "https://127.0.0.1:1/jwks" })).await;
    trust(world, &[&broken]).await;
    world.apply(json!({ "identity_providers": [entry("home", &broken)] })).await.ok();
    let mut away = Away::to(world, "main", "home").await;
    broken.gives(Tokens::Id(broken.key.sign("JWT", &away.claims(world, &broken, "alice"))));
    stays_out(world, "main", away.properly(&broken), "sign_in_failed").await;
}

async fn refuses_metadata_that_is_not_the_issuers(world: &mut World) {
    let changes = [
        json!({ "issuer": "https://elsewhere.example" }),
        json!({ "issuer": "https://127.0.0.1/{tenantid}" }),
        json!({ "authorization_endpoint": "http://idp.example.com/authorize" }),
        json!({ "token_endpoint": "http://idp.example.com/token" }),
        json!({ "jwks_uri": null }),
        json!({ "id_token_signing_alg_values_supported": null }),
    ];
    for change in changes {
        let idp = Idp::start(change).await;
        trust(world, &[&idp]).await;
        world.apply(json!({ "identity_providers": [entry("home", &idp)] })).await.ok();
        let mut browser = Browser::new(world);
        stays_out(world, "main", browser.get("/sign-in"), "sign_in_failed").await;
    }
    // Its keys count for the algorithms that it says it uses.
    let idp = Idp::start(json!({ "id_token_signing_alg_values_supported": ["RS256"] })).await;
    trust(world, &[&idp]).await;
    world.apply(json!({ "identity_providers": [entry("home", &idp)] })).await.ok();
    let mut away = Away::to(world, "main", "home").await;
    idp.gives(Tokens::Id(idp.key.sign("JWT", &away.claims(world, &idp, "alice"))));
    stays_out(world, "main", away.properly(&idp), "id_token_not_accepted").await;
    // And what can't work isn't taken into the registry.
    for entry in [
        json!({ "id": "bad", "issuer": "http://idp.example", "sign_in": { "client_id": "x" } }),
        json!({ "id": "bad", "issuer": "https://idp.example" }),
        json!({ "id": "dev", "issuer": "https://idp.example", "sign_in": { "client_id": "x" } }),
        json!({ "id": "bad", "issuer": format!("{}/dev", world.issuer), "jwks": world.key("corp").set() }),
        json!({ "id": "bad", "issuer": "https://idp.example", "sign_in": { "client_id": "x", "client_secret_file": "wrapping.key" } }),
    ] {
        let reply = world.apply(json!({ "identity_providers": [entry] })).await;
        assert_refused(&reply, 400, "invalid_request", "registry_invalid");
    }
}

async fn keeps_secrets_below_their_folder(world: &mut World) {
    let idp = Idp::start(json!({ "token_endpoint_auth_methods_supported": ["client_secret_post"] })).await;
    let basic = Idp::start(json!({})).await;
    trust(world, &[&idp, &basic]).await;
    let with = |id: &str, idp: &Idp| {
        let mut entry = entry(id, idp);
        entry["sign_in"]["client_secret_file"] = json!("secrets/home");
        entry
    };
    world.apply(json!({ "identity_providers": [with("home", &idp), with("basic", &basic)] })).await.ok();
    // Without the file nobody is sent to the token endpoint as if there were no secret.
    let mut away = Away::to(world, "main", "home").await;
    stays_out(world, "main", away.properly(&idp), "sign_in_failed").await;
    assert_eq!(idp.asked(), 0);
    let folder = world.config.data_dir.join("secrets");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("home"), "hunter2 & more\n").unwrap();
    enters(world, &idp, "home", "alice").await;
    let (_, form) = idp.last();
    assert!(form.contains(&("client_secret".into(), "hunter2 & more".into())), "{form:?}");
    enters(world, &basic, "basic", "alice").await;
    let (head, form) = basic.last();
    assert!(head.to_lowercase().contains("authorization: basic "), "{head}");
    assert!(form.iter().all(|(name, _)| name != "client_secret"));
}

async fn people_are_not_linked_by_email(world: &mut World) {
    let (one, two) = (Idp::start(json!({})).await, Idp::start(json!({})).await);
    trust(world, &[&one, &two]).await;
    world.apply(json!({ "identity_providers": [entry("one", &one), entry("two", &two)] })).await.ok();
    // The same subject and the same address at two providers are two people.
    enters(world, &one, "one", "alice").await;
    enters(world, &two, "two", "alice").await;
    let users =
        world.number("SELECT count(DISTINCT user_id) FROM sessions WHERE email = 'alice@example.com'").await;
    assert_eq!(users, 2);
}

async fn a_disabled_provider_ends_everything(world: &mut World) {
    let idp = home(world).await;
    let mut browser = enters(world, &idp, "home", "alice").await;
    let bought = grants(world, &mut browser).await;
    let consent = json!({ "consent": "alice-home", "user": { "issuer": idp.issuer, "subject": "alice" },
        "agent": "triage", "resource": TICKETS, "scopes": ["tickets.read"], "expires_at": 1_900_000_000 });
    world.apply(json!({ "consents": [consent] })).await.ok();
    let token = world.post(&exchange(world, &idp, "alice")).await.ok().token();
    let other = world.alices().await;
    assert!(world.is_active(&token).await && world.is_active(&other).await);
    let mut away = Away::to(world, "main", "home").await;
    idp.gives(Tokens::Id(idp.key.sign("JWT", &away.claims(world, &idp, "alice"))));
    let (mut off, mut elsewhere) = (entry("home", &idp), Browser::new(world));
    off["status"] = json!("suspended");
    world.apply(json!({ "identity_providers": [off] })).await.ok();
    assert!(!is_in(world, &browser).await);
    assert!(!world.is_active(&token).await, "a token outlives the provider that it came through");
    assert!(world.is_active(&other).await, "another provider's people were cut");
    assert!(is_over(world, &bought).await);
    stays_out(world, "main", away.properly(&idp), "identity_provider_disabled").await;
    let page = elsewhere.get("/sign-in").await;
    assert_eq!(page.status, 200, "nobody is sent to it: {}", page.location);
    world
        .refuses(&exchange(world, &idp, "alice"), 400, "invalid_request", "identity_provider_disabled")
        .await;
    // Trusted again, it starts new things, and brings nothing back.
    world.apply(json!({ "identity_providers": [entry("home", &idp)] })).await.ok();
    assert!(!is_in(world, &browser).await && !world.is_active(&token).await);
    assert!(is_over(world, &bought).await, "a grant came back with the provider");
    let browser = enters(world, &idp, "home", "alice").await;
    // One that people no longer sign in with has nobody signed in.
    let closed = json!({ "id": "home", "issuer": idp.issuer, "jwks": idp.key.set() });
    world.apply(json!({ "identity_providers": [closed] })).await.ok();
    assert!(!is_in(world, &browser).await);
}

/// An exchange by the triage agent of an ID token that the provider made for it.
fn exchange(world: &World, idp: &Idp, subject: &str) -> Form {
    let claims = json!({ "iss": idp.issuer, "sub": subject, "aud": "triage", "iat": world.now(), "exp": world.now() + 600,
        "sid": format!("there-{subject}") });
    world.exchange("triage", &idp.key.sign("JWT", &claims), TokenType::IdToken).add("scope", "tickets.read")
}

async fn a_disabled_person_is_out(world: &mut World) {
    let idp = home(world).await;
    let browser = enters(world, &idp, "home", "alice").await;
    let other = enters(world, &idp, "home", "bert").await;
    let mut away = Away::to(world, "main", "home").await;
    idp.gives(Tokens::Id(idp.key.sign("JWT", &away.claims(world, &idp, "alice"))));
    let user = user_id("main", &idp.issuer, "alice");
    world.cut("user", user.as_str()).await.ok();
    assert!(!is_in(world, &browser).await && is_in(world, &other).await);
    stays_out(world, "main", away.properly(&idp), "user_disabled").await;
    world.reinstate("user", &user).await.ok();
    assert!(!is_in(world, &browser).await, "a session came back");
    assert!(is_in(world, &enters(world, &idp, "home", "alice").await).await);
    // A session at the provider, revoked, ends here too.
    world.cut("session", upstream_session_id("main", &idp.issuer, "there-bert")).await.ok();
    assert!(!is_in(world, &other).await);
}

async fn an_old_sign_in_is_none_where_a_new_one_is_asked_for(world: &mut World) {
    let idp = home(world).await;
    for (auth_time, accepted) in [(Some(-31), false), (Some(-30), true), (Some(5), true), (None, true)] {
        let mut browser = Browser::new(world);
        let asked = authorize(&browser, &asking_with(&[("prompt", "login")]));
        let to = browser.get(&asked).await.location;
        let sent = browser.get(&to).await;
        assert_eq!(sent.parameter("prompt").as_deref(), Some("login"), "{}", sent.location);
        assert_eq!(sent.parameter("max_age").as_deref(), Some("0"));
        let mut away = Away { browser, sent, id: "home" };
        let mut claims = away.claims(world, &idp, "alice");
        if let Some(seconds) = auth_time {
            claims["auth_time"] = json!(world.now() + seconds);
        }
        idp.gives(Tokens::Id(idp.key.sign("JWT", &claims)));
        let page = away.properly(&idp).await;
        if accepted {
            assert!(page.location.starts_with("/consent?request="), "{} {}", page.location, page.html);
            assert_eq!(away.browser.get(&page.location).await.status, 200, "it was asked for again");
        } else {
            page.assert_error("id_token_not_accepted");
        }
    }
}

async fn signing_out_takes_nothing_back(world: &mut World) {
    let idp = home(world).await;
    let mut browser = enters(world, &idp, "home", "alice").await;
    let cookie = browser.jar.get("taskpass-session-main").unwrap().clone();
    let forged = browser.post("/sign-out", &[]).await;
    forged.assert_error("form_forged");
    assert!(is_in(world, &browser).await);
    let page = browser.get("/account").await;
    let page = browser.submit(&page, "/sign-out", &[]).await;
    assert_eq!(page.status, 200, "{}", page.html);
    assert!(!browser.jar.contains_key("taskpass-session-main"));
    // Whoever has kept the cookie has nothing; what was granted in the session goes on.
    browser.jar.insert("taskpass-session-main".into(), cookie);
    assert!(!is_in(world, &browser).await);
    assert_eq!(world.number("SELECT count(*) FROM sessions WHERE ended_at IS NULL").await, 1);
}

/// Grants the public client of the tests something: its tokens.
async fn grants(world: &World, browser: &mut Browser) -> Value {
    let code = browser.code(&asking()).await;
    let bought = world.post(&world.redeem(&code)).await.ok().json;
    assert!(world.is_active(bought["access_token"].as_str().unwrap()).await);
    bought
}

/// Whether the tokens that a grant has bought are good for nothing any more.
async fn is_over(world: &World, bought: &Value) -> bool {
    let refreshed = world.post(&world.refresh(bought["refresh_token"].as_str().unwrap())).await;
    let dead = !world.is_active(bought["access_token"].as_str().unwrap()).await;
    if dead {
        assert_refused(&refreshed, 400, "invalid_grant", "session_ended");
    }
    dead
}

async fn what_was_granted_ends_with_the_session_at_the_provider(world: &mut World) {
    let idp = home(world).await;
    let (mut alice, mut bert) =
        (enters(world, &idp, "home", "alice").await, enters(world, &idp, "home", "bert").await);
    let (alices, berts) = (grants(world, &mut alice).await, grants(world, &mut bert).await);
    // Signed out here, the client goes on; logged out there, it doesn't.
    let page = alice.get("/account").await;
    alice.submit(&page, "/sign-out", &[]).await;
    let alices = world.post(&world.refresh(alices["refresh_token"].as_str().unwrap())).await.ok().json;
    let mut claims = logout_claims(world, &idp);
    claims["sid"] = json!("there-alice");
    world.post(&logout(world, &idp.key.sign("logout+jwt", &claims))).await.ok();
    assert!(is_over(world, &alices).await);
    assert!(!is_over(world, &berts).await);
}

async fn an_address_chooses_the_provider(world: &mut World) {
    let (one, two) = (Idp::start(json!({})).await, Idp::start(json!({})).await);
    trust(world, &[&one, &two]).await;
    let (mut first, mut second) = (entry("one", &one), entry("two", &two));
    first["sign_in"]["domains"] = json!(["one.example"]);
    second["sign_in"]["domains"] = json!(["two.example"]);
    world.apply(json!({ "identity_providers": [first, second] })).await.ok();
    let mut browser = Browser::new(world);
    let page = browser.get("/sign-in").await;
    assert_eq!(page.status, 200);
    for (address, idp) in [("a@one.example", &one), ("b@TWO.example", &two)] {
        let sent = led_on(browser.submit(&page, "/sign-in", &[("login_hint", address)]).await);
        assert!(sent.location.starts_with(&format!("{}/authorize?", idp.issuer)), "{}", sent.location);
        assert_eq!(sent.parameter("login_hint").as_deref(), Some(address));
        let sent = browser.get(&format!("/sign-in?login_hint={address}")).await;
        assert!(sent.location.starts_with(&idp.issuer));
    }
    for address in ["a@three.example", "one.example", "a@one.example.evil.example"] {
        let again = browser.submit(&page, "/sign-in", &[("login_hint", address)]).await;
        assert_eq!((again.status, again.location.as_str()), (200, ""), "{address}");
    }
    let unknown = browser.submit(&page, "/sign-in", &[("identity_provider", "three")]).await;
    unknown.assert_error("entry_unknown");
}

async fn agents_exchange_what_a_discovered_provider_signs(world: &mut World) {
    let idp = home(world).await;
    let consent = json!({ "consent": "alice-home", "user": { "issuer": idp.issuer, "subject": "alice" },
        "agent": "triage", "resource": TICKETS, "scopes": ["tickets.read"], "expires_at": 1_900_000_000 });
    world.apply(json!({ "consents": [consent] })).await.ok();
    let reply = world.post(&exchange(world, &idp, "alice")).await.ok();
    assert_eq!(reply.claims()["sub"], user_id("main", &idp.issuer, "alice"));
    // Another key of a provider that is asked where its keys are.
    let forged = world.key("stranger").sign(
        "JWT",
        &json!({ "iss": idp.issuer, "sub": "alice", "aud": "triage",
        "iat": world.now(), "exp": world.now() + 600 }),
    );
    let form = world.exchange("triage", &forged, TokenType::IdToken);
    world.refuses(&form, 400, "invalid_request", "subject_token_signature_wrong").await;
}

/// The claims of a logout token.
fn logout_claims(world: &World, idp: &Idp) -> Value {
    json!({ "iss": idp.issuer, "aud": "taskpass", "iat": world.now(), "exp": world.now() + 120, "jti": world.unique("out"),
        "events": { "http://schemas.openid.net/event/backchannel-logout": {} } })
}

fn logout(world: &World, token: &str) -> Form {
    world.bare("/sign-in/logout/home").add("logout_token", token)
}

/// Alice's and Bert's agents at work through the provider `home`.
async fn at_work(world: &World, idp: &Idp) -> (String, String) {
    let consent = |name: &str| {
        json!({ "consent": format!("{name}-home"), "user": { "issuer": idp.issuer, "subject": name },
            "agent": "triage", "resource": TICKETS, "scopes": ["tickets.read"], "expires_at": 1_900_000_000 })
    };
    world.apply(json!({ "consents": [consent("alice"), consent("bert")] })).await.ok();
    let alices = world.post(&exchange(world, idp, "alice")).await.ok().token();
    (alices, world.post(&exchange(world, idp, "bert")).await.ok().token())
}

async fn the_provider_logs_somebody_out(world: &mut World) {
    let idp = home(world).await;
    let alice = enters(world, &idp, "home", "alice").await;
    let bert = enters(world, &idp, "home", "bert").await;
    let (alices, berts) = at_work(world, &idp).await;
    let mut claims = logout_claims(world, &idp);
    claims["sid"] = json!("there-alice");
    claims["sub"] = json!("alice");
    let token = idp.key.sign("logout+jwt", &claims);
    let reply = world.post(&logout(world, &token)).await.ok();
    assert_eq!((reply.status, reply.header("cache-control")), (200, "no-store"));
    assert!(!is_in(world, &alice).await && is_in(world, &bert).await);
    assert!(!world.is_active(&alices).await, "a token of the session that was logged out is alive");
    assert!(world.is_active(&berts).await);
    // The provider's own tokens of that session start nothing new; those of a new session do.
    world.refuses(&exchange(world, &idp, "alice"), 400, "invalid_request", "subject_token_revoked").await;
    let rows = world.audit("main").await;
    let cut = rows.iter().rev().find(|row| row.event["event"] == "revocation").unwrap();
    let scopes: Vec<_> =
        cut.event["detail"]["cutoffs"].as_array().unwrap().iter().map(|cut| &cut["scope_kind"]).collect();
    assert_eq!(scopes, ["session", "session"]);
    // Once.
    world.refuses(&logout(world, &token), 400, "invalid_request", "logout_token_replayed").await;
}

async fn the_provider_logs_out_everywhere(world: &mut World) {
    let idp = home(world).await;
    let (first, second) =
        (enters(world, &idp, "home", "alice").await, enters(world, &idp, "home", "alice").await);
    let bert = enters(world, &idp, "home", "bert").await;
    let (alices, berts) = at_work(world, &idp).await;
    let mut claims = logout_claims(world, &idp);
    claims["sub"] = json!("alice");
    // What providers wrote before there was a name for it.
    world.post(&logout(world, &idp.key.sign("JWT", &claims))).await.ok();
    assert!(!is_in(world, &first).await && !is_in(world, &second).await && is_in(world, &bert).await);
    assert!(!world.is_active(&alices).await && world.is_active(&berts).await);
    world.refuses(&exchange(world, &idp, "alice"), 400, "invalid_request", "subject_token_revoked").await;
    // Nor do those of a session that was never seen here, or of none; one that came later does.
    let asks = |iat: i64, sid: Option<&str>| {
        let mut claims = json!({ "iss": idp.issuer, "sub": "alice", "aud": "triage", "iat": iat, "exp": world.now() + 900 });
        if let Some(sid) = sid {
            claims["sid"] = json!(sid);
        }
        let token = idp.key.sign("JWT", &claims);
        world.exchange("triage", &token, TokenType::IdToken).add("scope", "tickets.read")
    };
    let logged_out_at = world.now();
    for sid in [None, Some("elsewhere")] {
        let form = asks(logged_out_at, sid);
        world.refuses(&form, 400, "invalid_request", "subject_token_revoked").await;
    }
    world.advance(1).await;
    world.post(&asks(logged_out_at + 1, None)).await.ok();
    // The person may come back.
    let mut away = Away::to(world, "main", "home").await;
    let mut claims = away.claims(world, &idp, "alice");
    claims["sid"] = json!("another-session");
    idp.gives(Tokens::Id(idp.key.sign("JWT", &claims)));
    assert_eq!(away.properly(&idp).await.location, "/account");
}

async fn a_logout_ends_nothing_of_another_provider(world: &mut World) {
    let (idp, other) = (Idp::start(json!({})).await, Idp::start(json!({})).await);
    trust(world, &[&idp, &other]).await;
    let both = json!({ "identity_providers": [entry("home", &idp), entry("other", &other)] });
    world.apply(both).await.ok();
    // Both call the session of an Alice the same.
    let alice = enters(world, &other, "other", "alice").await;
    let (alices, _) = at_work(world, &other).await;
    let ours = upstream_session_id("main", &other.issuer, "there-alice");
    for sid in ["there-alice", ours.as_str()] {
        let mut claims = logout_claims(world, &idp);
        claims["sid"] = json!(sid);
        world.post(&logout(world, &idp.key.sign("logout+jwt", &claims))).await.ok();
        assert!(is_in(world, &alice).await && world.is_active(&alices).await);
        world.post(&exchange(world, &other, "alice")).await.ok();
    }
}

async fn refuses_a_logout_token_that_proves_nothing(world: &mut World) {
    let idp = home(world).await;
    let alice = enters(world, &idp, "home", "alice").await;
    let now = world.now();
    let good = |world: &World| {
        let mut claims = logout_claims(world, &idp);
        claims["sub"] = json!("alice");
        claims
    };
    let rule = "logout_token_not_accepted";
    for (name, value) in [
        ("iss", json!("https://elsewhere.example")),
        ("aud", json!("another-client")),
        ("aud", json!(["taskpass", "another-client"])),
        ("iat", json!(now + 31)),
        ("iat", Value::Null),
        ("exp", json!(now)),
        ("exp", json!(now + 3601)),
        ("exp", Value::Null),
        ("jti", Value::Null),
        ("jti", json!("")),
        ("sub", Value::Null),
        ("sub", json!("")),
        ("sid", json!("")),
        ("nonce", json!("n")),
        ("events", Value::Null),
        ("events", json!({})),
        ("events", json!({ "http://schemas.openid.net/event/backchannel-logout": true })),
        ("events", json!("http://schemas.openid.net/event/backchannel-logout")),
    ] {
        let mut claims = good(world);
        claims[name] = value.clone();
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        }
        println!("{name} {value}");
        world
            .refuses(&logout(world, &idp.key.sign("logout+jwt", &claims)), 400, "invalid_request", rule)
            .await;
    }
    let claims = good(world);
    for token in [
        world.key("stranger").sign("logout+jwt", &claims),
        idp.key.sign("at+jwt", &claims),
        idp.key.sign("secevent+jwt", &claims),
        idp.key.hmac("logout+jwt", &claims),
        format!("{}.{}.", b64(r#"{"alg":"none","typ":"logout+jwt"}"#), b64(claims.to_string())),
        "junk".into(),
    ] {
        world.refuses(&logout(world, &token), 400, "invalid_request", rule).await;
    }
    // An ID token isn't one, and the other way round; a provider that nobody signs in with has no say.
    let away = Away::to(world, "main", "home").await;
    let id_token = idp.key.sign("JWT", &away.claims(world, &idp, "alice"));
    world.refuses(&logout(world, &id_token), 400, "invalid_request", rule).await;
    let token = idp.key.sign("logout+jwt", &claims);
    for other in ["corp", "nobody"] {
        let form = world.bare(&format!("/sign-in/logout/{other}")).add("logout_token", &token);
        world.refuses(&form, 404, "not_found", "entry_unknown").await;
    }
    world.refuses(&world.bare("/sign-in/logout/home"), 400, "invalid_request", "parameter_missing").await;
    assert!(is_in(world, &alice).await);
    world.post(&logout(world, &token)).await.ok();
    assert!(!is_in(world, &alice).await);
}

fn people() -> Value {
    json!({ "people": [{ "subject": "carol", "name": "Carol", "groups": ["support"] }] })
}

async fn development_is_off_by_default(world: &mut World) {
    world.apply(people()).await.ok();
    let mut browser = Browser::new(world);
    let page = browser.get("/sign-in").await;
    assert!(!page.html.contains("carol"), "{}", page.html);
    // Whoever makes a form of it gets nowhere.
    let idp = home(world).await;
    let inside = enters(world, &idp, "home", "alice").await;
    let mut browser = inside;
    let page = browser.get("/account").await;
    let mut fields = page.hidden("/sign-out");
    fields.push(("subject".into(), "carol".into()));
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    browser.post("/sign-in", &fields).await.assert_error("entry_unknown");
}

async fn development_signs_in_by_a_click(world: &mut World) {
    world.apply(people()).await.ok();
    world.config.dev = true;
    world.restart().await;
    let mut browser = Browser::new(world);
    let page = browser.get("/sign-in").await;
    assert!(page.html.contains("carol") && page.html.contains("No passwords"), "{}", page.html);
    browser.submit(&page, "/sign-in", &[("subject", "nobody")]).await.assert_error("entry_unknown");
    let entered = browser.submit(&page, "/sign-in", &[("subject", "carol")]).await;
    assert_eq!((entered.status, entered.location.as_str()), (303, "/account"));
    assert!(is_in(world, &browser).await);
    // Without the flag the sessions are over.
    world.config.dev = false;
    world.restart().await;
    assert!(!is_in(world, &browser).await);
}
