//! A token endpoint to test the client against: it follows the RFCs, counts, and says what it is told to say.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

use super::{Client, Identity, KeyFile, TaskRequest, TokenRequest};
use crate::jose::{Algorithm, JwkSet, PrivateJwk, PublicJwk, Unverified};
use crate::protocol::resource::ResourceUri;
use crate::time::{Clock, Timestamp};

pub(crate) struct Peer {
    pub(crate) issuer: String,
    pub(crate) clock: Clock,
    jwk: PrivateJwk,
    shared: Arc<Mutex<Shared>>,
}

pub(crate) struct Shared {
    issuer: String,
    public: PublicJwk,
    used: HashSet<String>,
    /// What the next answers are, instead of tokens.
    pub(crate) script: VecDeque<Reply>,
    /// Every form that came with a fresh and valid proof.
    pub(crate) requests: Vec<HashMap<String, String>>,
    /// How many seconds its tokens live.
    pub(crate) expires_in: i64,
    /// When its tasks end.
    pub(crate) task_deadline: Option<i64>,
    tasks: HashMap<String, String>,
    /// Tasks that are over.
    pub(crate) over: HashSet<String>,
}

/// A scripted answer: status, headers, body.
pub(crate) struct Reply(pub(crate) u16, pub(crate) Vec<(&'static str, &'static str)>, pub(crate) Value);

impl Peer {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        Self::on(listener, issuer)
    }

    /// Serves on a socket that exists already.
    pub(crate) fn on(listener: tokio::net::TcpListener, issuer: String) -> Self {
        let jwk = PrivateJwk::generate(Algorithm::ES256).unwrap();
        let shared = Arc::new(Mutex::new(Shared {
            issuer: issuer.clone(),
            public: jwk.public().unwrap(),
            used: HashSet::new(),
            script: VecDeque::new(),
            requests: Vec::new(),
            expires_in: 240,
            task_deadline: None,
            tasks: HashMap::new(),
            over: HashSet::new(),
        }));
        let router = Router::new()
            .route("/.well-known/oauth-authorization-server", get(metadata))
            .route("/oauth/token", post(token))
            .route("/oauth/revoke", post(revoke))
            .with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { issuer, clock: Clock::default(), jwk, shared }
    }

    /// The same peer for clients whose clock stands still until it is moved.
    pub(crate) fn at(mut self, start: i64) -> Self {
        self.clock = Clock::manual(Timestamp(start));
        self
    }

    pub(crate) fn private_jwk(&self) -> Value {
        serde_json::from_str(&self.jwk.to_text()).unwrap()
    }

    pub(crate) fn client(&self) -> Client {
        let file = KeyFile::new("triage".into(), None, self.private_jwk()).unwrap();
        Client::builder(&self.issuer, Identity::KeyFile(file)).clock(self.clock.clone()).build().unwrap()
    }

    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Shared) -> T) -> T {
        look(&mut self.shared.lock().unwrap())
    }

    pub(crate) fn script(&self, replies: impl IntoIterator<Item = Reply>) {
        self.with(|shared| shared.script.extend(replies));
    }

    pub(crate) fn requests(&self) -> usize {
        self.with(|shared| shared.requests.len())
    }
}

pub(crate) fn refusal(status: u16, error: &str, rule: &str) -> Reply {
    Reply(status, vec![], json!({"error": error, "error_description": "no", "rule": rule}))
}

pub(crate) fn task() -> TaskRequest {
    TaskRequest::at(ResourceUri::parse("https://tickets.example.com/mcp").unwrap())
}

pub(crate) fn alone(name: &str) -> TokenRequest {
    TokenRequest::ClientCredentials(TaskRequest { task: Some(name.into()), ..task() })
}

type Handle = State<Arc<Mutex<Shared>>>;

fn answer(status: u16, body: &Value) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (StatusCode::from_u16(status).unwrap(), kind, body.to_string()).into_response()
}

async fn metadata(State(shared): Handle) -> Response {
    let issuer = shared.lock().unwrap().issuer.clone();
    let document = json!({
        "issuer": issuer,
        "token_endpoint": format!("{issuer}/oauth/token"),
        "revocation_endpoint": format!("{issuer}/oauth/revoke"),
    });
    answer(200, &document)
}

impl Shared {
    /// The form, once its proof of identity is checked; a proof used twice is refused.
    fn admit(&mut self, body: &str) -> Result<HashMap<String, String>, Box<Response>> {
        let form: HashMap<String, String> =
            form_urlencoded::parse(body.as_bytes()).into_owned().collect::<HashMap<_, _>>();
        let genuine = Unverified::parse(&form["client_assertion"]).ok().is_some_and(|jws| {
            let Ok(payload) = jws.verify(&JwkSet::of(self.public.clone())) else {
                return false;
            };
            let claims: Value = serde_json::from_slice(payload).unwrap();
            claims["aud"] == self.issuer.as_str() && self.used.insert(claims["jti"].to_string())
        });
        if !genuine {
            let body = json!({"error": "invalid_client", "rule": "assertion_replayed"});
            return Err(Box::new(answer(401, &body)));
        }
        self.requests.push(form.clone());
        match self.script.pop_front() {
            None => Ok(form),
            Some(Reply(status, headers, body)) => {
                let mut response = answer(status, &body);
                for (name, value) in headers {
                    response.headers_mut().insert(name, value.parse().unwrap());
                }
                Err(Box::new(response))
            }
        }
    }
}

async fn token(State(shared): Handle, body: String) -> Response {
    // Long enough for callers at the same time to meet.
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    let mut shared = shared.lock().unwrap();
    let form = match shared.admit(&body) {
        Ok(form) => form,
        Err(response) => return *response,
    };
    let number = shared.tasks.len() + 1;
    let known = form.get("subject_token").and_then(|subject| shared.tasks.get(subject).cloned());
    let task = known.unwrap_or_else(|| format!("tsk_{number}"));
    if shared.over.contains(&task) {
        let body = json!({"error": "invalid_request", "error_description": "over", "rule": "task_is_over"});
        return answer(400, &body);
    }
    let token = format!("tok_{number}");
    shared.tasks.insert(token.clone(), task.clone());
    let mut body = json!({
        "access_token": token, "token_type": "Bearer", "expires_in": shared.expires_in, "scope": "tickets.read",
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token", "task": task,
    });
    if let Some(deadline) = shared.task_deadline {
        body["task_deadline"] = deadline.into();
    }
    answer(200, &body)
}

async fn revoke(State(shared): Handle, body: String) -> Response {
    let mut shared = shared.lock().unwrap();
    match shared.admit(&body) {
        Err(response) => *response,
        Ok(form) => {
            let task = shared.tasks.get(&form["token"]).cloned();
            shared.over.extend(task);
            StatusCode::OK.into_response()
        }
    }
}
