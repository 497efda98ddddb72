use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};

use ::http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use ::http::{Request, StatusCode};
use axum::body::Body;
use axum::extract::State;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::jose::{Algorithm, JwkSet, PrivateJwk, SigningKey};
use crate::time::Clock;
use crate::time::Timestamp;

mod bound;

const NOW: i64 = 1_800_000_000;
const RESOURCE: &str = "https://tickets.example.com/mcp";

static KEY: LazyLock<SigningKey> =
    LazyLock::new(|| PrivateJwk::generate(Algorithm::ES256).unwrap().signing_key().unwrap());

/// An issuer that answers introspection as it is told, and counts.
#[derive(Default)]
struct Issuer {
    answer: Mutex<Option<Value>>,
    bearers: AtomicUsize,
    refuse_bearer: AtomicUsize,
}

async fn token(State(issuer): State<Arc<Issuer>>, body: String) -> Json<Value> {
    assert!(body.contains("grant_type=client_credentials") && body.contains("scope=introspect"));
    let number = issuer.bearers.fetch_add(1, Ordering::SeqCst);
    Json(json!({"access_token": format!("bearer-{number}"), "token_type": "Bearer", "expires_in": 240}))
}

async fn introspect(
    State(issuer): State<Arc<Issuer>>,
    headers: ::http::HeaderMap,
) -> (StatusCode, Json<Value>) {
    assert!(headers[AUTHORIZATION].to_str().unwrap().starts_with("Bearer bearer-"));
    if issuer.refuse_bearer.swap(0, Ordering::SeqCst) > 0 {
        return (StatusCode::UNAUTHORIZED, Json(json!({"error": "invalid_token"})));
    }
    let answer = issuer.answer.lock().unwrap().clone();
    match answer {
        Some(answer) => (StatusCode::OK, Json(answer)),
        None => (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({"error": "server_error"}))),
    }
}

struct World {
    issuer: Arc<Issuer>,
    url: String,
    clock: Clock,
    app: Router,
}

async fn world() -> World {
    let issuer = Arc::new(Issuer::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let jwks = JwkSet::of(KEY.public().clone()).to_json();
    let routes = Router::new()
        .route("/oauth/jwks", get(move || async move { Json(jwks) }))
        .route("/oauth/token", post(token))
        .route("/oauth/introspect", post(introspect))
        .with_state(Arc::clone(&issuer));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let clock = Clock::manual(Timestamp(NOW));
    let guard = PrivateJwk::generate(Algorithm::ES256).unwrap().signing_key().unwrap();
    let config = Config::new(&url, ResourceUri::parse(RESOURCE).unwrap())
        .clock(clock.clone())
        .scopes(&["tickets.read"])
        .introspect(Credentials::new(&url, "tickets-guard", guard));
    let enforcer = Enforcer::new(config).unwrap();
    let who = |Extension(token): Extension<VerifiedToken>| async move { token.claims().sub.clone() };
    let app = Router::new()
        .route("/mcp", get(who))
        .layer(enforcer.layer().require_scope("tickets.read"))
        .merge(enforcer.metadata_routes());
    World { issuer, url, clock, app }
}

impl World {
    fn claims(&self) -> Value {
        json!({
            "iss": self.url, "aud": RESOURCE, "sub": "usr_1", "exp": NOW + 240, "iat": NOW, "jti": "tok_1",
            "client_id": "triage", "scope": "tickets.read", "rev": "g.1", "tenant": "main",
        })
    }

    fn answers(&self, mut claims: Value, active: bool) {
        claims["active"] = json!(active);
        *self.issuer.answer.lock().unwrap() = Some(claims);
    }

    async fn call(&self, authorization: &[&str]) -> (StatusCode, String, Value) {
        let mut request = Request::get("/mcp");
        for value in authorization {
            request = request.header(AUTHORIZATION, *value);
        }
        let response = self.app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let status = response.status();
        let challenge =
            response.headers().get(WWW_AUTHENTICATE).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(status == StatusCode::SERVICE_UNAVAILABLE, response.headers().contains_key(RETRY_AFTER));
        let body = axum::body::to_bytes(response.into_body(), 65536).await.unwrap();
        let body = serde_json::from_slice(&body).unwrap_or_else(|_| json!(String::from_utf8_lossy(&body)));
        (status, challenge.unwrap_or_default(), body)
    }

    async fn call_with(&self, token: &str) -> (StatusCode, String, Value) {
        self.call(&[&format!("Bearer {token}")]).await
    }
}

#[tokio::test]
async fn lets_an_active_token_through_and_asks_each_time() {
    let world = world().await;
    let token = KEY.sign("at+jwt", &world.claims()).unwrap();
    world.answers(world.claims(), true);
    assert_eq!(world.call_with(&token).await, (StatusCode::OK, String::new(), json!("usr_1")));
    assert_eq!(world.call(&[&format!("bEaReR {token}")]).await.0, StatusCode::OK);
    assert_eq!(world.issuer.bearers.load(Ordering::SeqCst), 1, "one bearer serves many questions");

    world.answers(json!({}), false);
    let (status, challenge, body) = world.call_with(&token).await;
    assert_eq!((status, &body["rule"]), (StatusCode::UNAUTHORIZED, &json!("token_not_active")));
    assert!(challenge.starts_with(
        "Bearer resource_metadata=\"https://tickets.example.com/.well-known/oauth-protected-resource/mcp\""
    ));
    assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_closes_the_door_with_503() {
    let world = world().await;
    let token = KEY.sign("at+jwt", &world.claims()).unwrap();
    let (status, _, body) = world.call_with(&token).await;
    assert_eq!(
        (status, &body["error"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("temporarily_unavailable"))
    );
    let mut other = world.claims();
    other["jti"] = json!("tok_2");
    world.answers(other, true);
    assert_eq!(
        world.call_with(&token).await.0,
        StatusCode::SERVICE_UNAVAILABLE,
        "an answer about another token"
    );
    world.answers(world.claims(), true);
    assert_eq!(world.call_with(&token).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_refused_bearer_is_replaced_once() {
    let world = world().await;
    let token = KEY.sign("at+jwt", &world.claims()).unwrap();
    world.answers(world.claims(), true);
    assert_eq!(world.call_with(&token).await.0, StatusCode::OK);
    world.issuer.refuse_bearer.store(1, Ordering::SeqCst);
    assert_eq!(world.call_with(&token).await.0, StatusCode::OK);
    assert_eq!(world.issuer.bearers.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn no_token_is_401_without_an_error_and_two_are_400() {
    let world = world().await;
    for headers in [&[][..], &["Basic YTpi"], &["DPoPx abc"]] {
        let (status, challenge, _) = world.call(headers).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        assert!(challenge.contains("resource_metadata=") && !challenge.contains("error="), "{challenge}");
    }
    for headers in [&["Bearer a", "Bearer b"][..], &["Bearer"], &["Bearer "], &["Bearer a b"], &["Bearer  a"]]
    {
        assert_eq!(world.call(headers).await.0, StatusCode::BAD_REQUEST, "{headers:?}");
    }
}

#[tokio::test]
async fn a_token_without_the_scope_is_403() {
    let world = world().await;
    let mut claims = world.claims();
    claims["scope"] = json!("tickets.write");
    world.answers(claims.clone(), true);
    let (status, challenge, _) = world.call_with(&KEY.sign("at+jwt", &claims).unwrap()).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(
        challenge.contains("error=\"insufficient_scope\"") && challenge.contains("scope=\"tickets.read\"")
    );
}

#[tokio::test]
async fn an_opaque_token_is_as_good_as_its_introspection() {
    let world = world().await;
    world.answers(world.claims(), true);
    assert_eq!(world.call_with("tp_opaque").await.0, StatusCode::OK);
    let mut foreign = world.claims();
    foreign["aud"] = json!("https://other.example.com/mcp");
    world.answers(foreign, true);
    assert_eq!(world.call_with("tp_opaque").await.2["rule"], "audience_not_this_resource");
    world.answers(world.claims(), true);
    world.clock.advance(240);
    assert_eq!(world.call_with("tp_opaque").await.2["rule"], "token_expired");
}

#[tokio::test]
async fn serves_the_metadata_without_a_token() {
    let world = world().await;
    let request = Request::get("/.well-known/oauth-protected-resource/mcp").body(Body::empty()).unwrap();
    let response = world.app.clone().oneshot(request).await.unwrap();
    let body = axum::body::to_bytes(response.into_body(), 65536).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["resource"], RESOURCE);
    assert_eq!(body["authorization_servers"], json!([world.url]));
}

#[test]
fn an_issuer_without_tls_is_this_machine_or_allowed_on_purpose() {
    let build = |issuer: &str| Enforcer::new(Config::new(issuer, ResourceUri::parse(RESOURCE).unwrap()));
    for issuer in
        ["https://id.example.com", "http://127.0.0.1:8080", "http://localhost:8080/t/a", "http://[::1]:8080"]
    {
        assert!(build(issuer).is_ok(), "{issuer}");
    }
    for issuer in
        ["http://id.example.com", "id.example.com", "", "http://127.0.0.1.example.com", "ftp://localhost"]
    {
        assert!(build(issuer).is_err(), "{issuer}");
    }
    let resource = ResourceUri::parse(RESOURCE).unwrap();
    assert!(Enforcer::new(Config::new("http://taskpass", resource).allow_plain_http()).is_ok());
}

#[test]
fn decisions_follow_the_details_of_the_token() {
    let verifier = Verifier::new("https://id.example.com", ResourceUri::parse(RESOURCE).unwrap(), 300);
    let keys = Arc::new(JwkSet::of(KEY.public().clone()));
    let token = KEY
        .sign("at+jwt", &json!({
            "iss": "https://id.example.com", "aud": RESOURCE, "sub": "usr_1", "exp": NOW + 240, "iat": NOW, "jti": "t",
            "client_id": "triage", "rev": "g.1", "tenant": "main",
            "authorization_details": [{
                "type": "mcp_tool_call", "locations": [RESOURCE],
                "tools": [{"name": "search_tickets", "arguments": {"/limit": {"maximum": 50}}}],
            }],
        }))
        .unwrap();
    let token = verifier.verify(&token, &keys, Timestamp(NOW)).unwrap();
    assert!(decision::authorize(&token, "search_tickets", &json!({"query": "a", "limit": 50})).is_ok());
    assert!(decision::authorize(&token, "search_tickets", &json!({"query": "a", "limit": 51})).is_err());
    assert!(decision::authorize(&token, "close_ticket", &json!({"id": 1})).is_err());
    assert_eq!(decision::tools_for(&token).into_iter().collect::<Vec<_>>(), ["search_tickets"]);
}
