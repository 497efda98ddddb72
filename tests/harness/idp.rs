//! An identity provider over real TLS, in this process: metadata, keys, and a token endpoint that says what the test wants.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use super::Key;
use super::tls::certificate;

/// What the token endpoint answers.
#[derive(Clone)]
pub(crate) enum Tokens {
    /// An ID token.
    Id(String),
    /// Any status, further headers and body.
    Any(u16, String, String),
    /// Nothing, for ever.
    Silence,
}

struct State {
    metadata: Value,
    keys: Value,
    tokens: Tokens,
    /// What came to the token endpoint: headers and body.
    asked: Vec<(String, String)>,
    /// Requests of any kind.
    hits: usize,
}

/// An identity provider, for as long as the test's runtime.
pub(crate) struct Idp {
    pub(crate) issuer: String,
    pub(crate) ca_pem: String,
    pub(crate) key: Key,
    state: Arc<Mutex<State>>,
}

impl Idp {
    /// Starts one, with whatever is changed about its metadata.
    pub(crate) async fn start(changes: Value) -> Self {
        let (config, ca_pem) = certificate();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("https://{}", listener.local_addr().unwrap());
        let mut metadata = json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/jwks"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "authorization_response_iss_parameter_supported": true,
        });
        for (name, value) in changes.as_object().unwrap() {
            metadata[name] = value.clone();
        }
        let key = Key::generate();
        let state = State {
            metadata,
            keys: key.set(),
            tokens: Tokens::Any(400, String::new(), json!({ "error": "invalid_grant" }).to_string()),
            asked: Vec::new(),
            hits: 0,
        };
        let state = Arc::new(Mutex::new(state));
        let (acceptor, shared) = (TlsAcceptor::from(Arc::new(config)), state.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, shared) = (acceptor.clone(), shared.clone());
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let Some((head, body)) = read(&mut stream).await else { return };
                    if let Some(answer) = answer(&shared, &head, body) {
                        let _ = stream.write_all(answer.as_bytes()).await;
                        let _ = stream.shutdown().await;
                    } else {
                        tokio::time::sleep(Duration::from_secs(60)).await;
                    }
                });
            }
        });
        Self { issuer, ca_pem, key, state }
    }

    /// The token endpoint gives this from now on.
    pub(crate) fn gives(&self, tokens: Tokens) {
        self.state.lock().unwrap().tokens = tokens;
    }

    /// How often the token endpoint was asked.
    pub(crate) fn asked(&self) -> usize {
        self.state.lock().unwrap().asked.len()
    }

    /// What the token endpoint was asked last: headers and body.
    pub(crate) fn last(&self) -> (String, Vec<(String, String)>) {
        let (head, body) = self.state.lock().unwrap().asked.last().unwrap().clone();
        (head, form_urlencoded::parse(body.as_bytes()).into_owned().collect())
    }

    /// How often it was asked for anything.
    pub(crate) fn hits(&self) -> usize {
        self.state.lock().unwrap().hits
    }
}

async fn read(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Option<(String, String)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let length =
        head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length:").map(str::to_owned));
    let length = length.map_or(0, |length| length.trim().parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((head, String::from_utf8(body).unwrap()))
}

fn answer(state: &Mutex<State>, head: &str, body: String) -> Option<String> {
    let mut state = state.lock().unwrap();
    state.hits += 1;
    let with = |status: u16, more: &str, body: &str| {
        let length = body.len();
        format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {length}\r\n{more}\r\n{body}"
        )
    };
    Some(match head.split(' ').nth(1).unwrap_or_default() {
        "/.well-known/openid-configuration" => with(200, "", &state.metadata.to_string()),
        "/jwks" => with(200, "", &state.keys.to_string()),
        "/token" => {
            state.asked.push((head.to_owned(), body));
            match &state.tokens {
                Tokens::Id(token) => {
                    let tokens = json!({ "access_token": "at", "token_type": "Bearer", "expires_in": 60, "id_token": token });
                    with(200, "", &tokens.to_string())
                }
                Tokens::Any(status, more, body) => with(*status, more, body),
                Tokens::Silence => return None,
            }
        }
        _ => with(404, "", "{}"),
    })
}
