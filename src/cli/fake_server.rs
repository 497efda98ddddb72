//! A server for the tests of the commands: real HTTP, answers by the test's own function.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::admin_api::Connection;
use crate::jose::{Algorithm, JwkSet, PrivateJwk, PublicJwk, Unverified};
use crate::protocol::params::Params;

/// One call of the admin API as the server saw it: method, path with query, body.
pub(super) type Call = (String, String, Value);
type Answer = dyn Fn(&Call) -> (u16, Value) + Send + Sync;

struct State {
    issuer: String,
    key: Mutex<Option<PublicJwk>>,
    calls: Mutex<Vec<Call>>,
    tokens: Mutex<Vec<String>>,
    answer: Box<Answer>,
}

/// A server in this process; it stops when the test's runtime does.
pub(super) struct FakeServer {
    state: Arc<State>,
    folder: tempfile::TempDir,
}

impl FakeServer {
    /// Starts a server whose admin API answers by `answer`.
    pub(super) async fn start(answer: impl Fn(&Call) -> (u16, Value) + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let state = Arc::new(State {
            issuer: format!("http://{}", listener.local_addr().unwrap()),
            key: Mutex::default(),
            calls: Mutex::default(),
            tokens: Mutex::default(),
            answer: Box::new(answer),
        });
        let shared = Arc::clone(&state);
        let app =
            axum::Router::new().fallback(move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
                let state = Arc::clone(&shared);
                async move { state.respond(&method, &uri, &headers, &body) }
            });
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { state, folder: tempfile::tempdir().unwrap() }
    }

    /// The server's issuer.
    pub(super) fn issuer(&self) -> &str {
        &self.state.issuer
    }

    /// A folder that lives as long as the server.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Credentials that this server knows.
    pub(super) fn connection(&self) -> Connection {
        self.connection_to(self.issuer())
    }

    /// Credentials with this server's key, for another issuer.
    pub(super) fn connection_to(&self, issuer: &str) -> Connection {
        let key = PrivateJwk::generate(Algorithm::ES256).unwrap();
        *self.state.key.lock().unwrap() = Some(key.public().unwrap());
        let jwk: Value = serde_json::from_str(&key.to_text()).unwrap();
        let file = json!({ "issuer": issuer, "client_id": "ops", "private_jwk": jwk });
        let path = self.folder.path().join("credentials.json");
        let mut options = std::fs::OpenOptions::new();
        let mut opened = options.write(true).create(true).truncate(true).mode(0o600).open(&path).unwrap();
        std::io::Write::write_all(&mut opened, file.to_string().as_bytes()).unwrap();
        Connection { credentials: Some(path), timeout: 5 }
    }

    /// The calls of the admin API so far.
    pub(super) fn calls(&self) -> Vec<Call> {
        self.state.calls.lock().unwrap().clone()
    }

    /// The scopes that tokens were asked for.
    pub(super) fn scopes(&self) -> Vec<String> {
        self.state.tokens.lock().unwrap().clone()
    }
}

impl State {
    fn respond(&self, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Response {
        let path = uri.path();
        if path.starts_with("/.well-known/oauth-authorization-server") {
            let endpoint = format!("{}/oauth/token", self.issuer);
            return axum::Json(json!({ "issuer": self.issuer, "token_endpoint": endpoint })).into_response();
        }
        if path == "/oauth/token" {
            return self.token(body);
        }
        let bearer = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap());
        if bearer != Some("Bearer granted") && !path.ends_with("/bootstrap") {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        let body = serde_json::from_slice(body).unwrap_or_default();
        let path = uri.path_and_query().unwrap().to_string();
        let call = (method.to_string(), path, body);
        let (status, value) = (self.answer)(&call);
        self.calls.lock().unwrap().push(call);
        let mut response = axum::Json(value).into_response();
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        response.headers_mut().insert("retry-after", "7".parse().unwrap());
        response
    }

    fn token(&self, body: &[u8]) -> Response {
        let form = Params::parse(body).unwrap();
        let one = |name| form.one(name).unwrap().unwrap().to_owned();
        assert_eq!(one("grant_type"), "client_credentials");
        assert_eq!(one("resource"), format!("{}/admin/v1", self.issuer));
        let assertion = one("client_assertion");
        let unverified = Unverified::parse(&assertion).unwrap();
        let key = self.key.lock().unwrap().clone().unwrap();
        let claims: Value = serde_json::from_slice(unverified.verify(&JwkSet::of(key)).unwrap()).unwrap();
        assert_eq!((&claims["aud"], &claims["iss"]), (&json!(self.issuer), &claims["sub"]));
        assert!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap() <= 300);
        self.tokens.lock().unwrap().push(one("scope"));
        let answer = json!({ "access_token": "granted", "token_type": "Bearer", "expires_in": 60 });
        axum::Json(answer).into_response()
    }
}
