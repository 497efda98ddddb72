//! The loopback endpoint: `GET /token` answers the current token to whoever knows this run's secret.

use std::net::Ipv4Addr;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::keeper::Held;
use crate::entropy::Entropy;
use crate::secret::{Digest, Secret};
use crate::time::Clock;

/// A running endpoint; it stops when this is dropped.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// Where the token is.
    pub(super) url: String,
    /// The value of the `Authorization` header that opens it.
    pub(super) authorization: Secret,
    task: AbortHandle,
}

#[derive(Clone)]
struct Shared {
    expected: Digest,
    held: watch::Receiver<Held>,
    clock: Clock,
}

impl Endpoint {
    /// Listens on a free port of 127.0.0.1. Every user of the machine can connect to it, and so can a web page in
    /// a browser, so it answers only to a header that nobody else knows.
    pub(super) async fn start(held: watch::Receiver<Held>, clock: Clock) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let secret = Entropy::default().secret("run");
        let authorization = Secret::new(format!("Bearer {}", secret.expose()));
        let url = format!("http://{}/token", listener.local_addr()?);
        let shared = Shared { expected: authorization.hash(), held, clock };
        let router = Router::new().route("/token", get(token)).with_state(shared);
        let task = tokio::spawn(async move {
            // It only ends with the process or by our hand; the file goes on without it.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { url, authorization, task: task.abort_handle() })
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn token(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    // RFC 9110 §11.1: the scheme ignores case. Hashes are compared, in constant time, so that neither the secret nor
    // its length shows in how long the answer takes.
    let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    let normal = match given.split_at_checked(7) {
        Some((scheme, secret)) if scheme.eq_ignore_ascii_case(b"bearer ") => [b"Bearer ", secret].concat(),
        _ => Vec::new(),
    };
    if !Digest::of(&normal).matches(&shared.expected) {
        let body = json!({"error": "invalid_token", "error_description": "the Authorization header is not this run's"});
        let challenge = (header::WWW_AUTHENTICATE, "Bearer");
        return (StatusCode::UNAUTHORIZED, [NO_STORE, challenge], Json(body)).into_response();
    }
    let held = shared.held.borrow().clone();
    match held {
        Held::Token(token) if token.is_alive(shared.clock.now()) => {
            let body = json!({"access_token": token.access_token.expose(), "expires_at": token.expires_at});
            ([NO_STORE], Json(body)).into_response()
        }
        Held::Token(_) | Held::Expired => {
            let body = json!({"error": "temporarily_unavailable", "error_description": "the token ran out unrenewed"});
            let again = (header::RETRY_AFTER, "1");
            (StatusCode::SERVICE_UNAVAILABLE, [NO_STORE, again], Json(body)).into_response()
        }
        Held::Over(why) => {
            let body = json!({"error": "invalid_grant", "error_description": why.as_str()});
            (StatusCode::GONE, [NO_STORE], Json(body)).into_response()
        }
    }
}

const NO_STORE: (header::HeaderName, &str) = (header::CACHE_CONTROL, "no-store");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::peer::{Peer, task};
    use crate::cli::run::keeper::Ending;

    async fn ask(url: &str, authorization: Option<&str>) -> (u16, serde_json::Value) {
        crate::tls::install_provider();
        let mut request = reqwest::Client::builder().no_proxy().build().unwrap().get(url);
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["cache-control"], "no-store");
        (response.status().as_u16(), response.json().await.unwrap())
    }

    #[tokio::test]
    async fn answers_only_to_this_runs_secret_and_only_with_a_living_token() {
        let peer = Peer::start().await.at(1000);
        let token = peer.client().client_credentials(&task()).await.unwrap();
        let (publish, held) = watch::channel(Held::Token(Box::new(token)));
        let endpoint = Endpoint::start(held, peer.clock.clone()).await.unwrap();
        assert!(endpoint.url.starts_with("http://127.0.0.1:"));
        let right = endpoint.authorization.expose();
        let secret = right.strip_prefix("Bearer ").unwrap();
        for wrong in
            [None, Some(""), Some("Bearer "), Some("Bearer x"), Some(secret), Some(&right[..right.len() - 1])]
        {
            assert_eq!(ask(&endpoint.url, wrong).await.0, 401, "{wrong:?}");
        }
        let (status, body) = ask(&endpoint.url, Some(&format!("bearer {secret}"))).await;
        assert_eq!((status, body), (200, json!({"access_token": "tok_1", "expires_at": 1240})));
        peer.clock.advance(240);
        assert_eq!(ask(&endpoint.url, Some(right)).await.0, 503);
        publish.send(Held::Over(Ending::Revoked)).unwrap();
        assert_eq!(ask(&endpoint.url, Some(right)).await.0, 410);
        assert_eq!(ask(&endpoint.url, None).await.0, 401, "strangers don't learn of it either");
    }
}
