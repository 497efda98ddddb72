//! A server behind the guard that does what a test tells it, and remembers what reached it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, Method, Uri};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// What reached the server.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// `Null` where the body is no JSON.
    pub(crate) json: Value,
}

type Script = Box<dyn Fn(&Seen) -> Response + Send + Sync>;

#[derive(Clone)]
struct Inner {
    seen: Arc<Mutex<Vec<Seen>>>,
    script: Arc<Mutex<Script>>,
}

/// The server.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    inner: Inner,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The tools of the tests' server.
pub(crate) fn tools() -> Value {
    let tool = |name: &str| json!({ "name": name, "description": format!("does {name}"), "inputSchema": { "type": "object" } });
    json!([tool("search_tickets"), tool("get_ticket"), tool("close_ticket")])
}

/// An answer of JSON.
pub(crate) fn answer(body: &Value) -> Response {
    Response::builder().header("content-type", "application/json").body(Body::from(body.to_string())).unwrap()
}

/// An answer as a stream of these bytes, which ends with the sender.
pub(crate) fn stream() -> (mpsc::Sender<&'static str>, Response) {
    let (sender, receiver) = mpsc::channel::<&'static str>(16);
    let body = futures_util::stream::unfold(receiver, |mut receiver| async {
        let piece = receiver.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(Bytes::from_static(piece.as_bytes())), receiver))
    });
    let response =
        Response::builder().header("content-type", "text/event-stream").body(Body::from_stream(body));
    (sender, response.unwrap())
}

/// What a plain server answers.
pub(crate) fn plain(seen: &Seen) -> Response {
    let id = &seen.json["id"];
    match seen.json["method"].as_str().unwrap_or_default() {
        "tools/list" => answer(&json!({ "jsonrpc": "2.0", "id": id, "result": { "tools": tools() } })),
        method if method.starts_with("notifications/") => {
            Response::builder().status(202).body(Body::empty()).unwrap()
        }
        _ => answer(
            &json!({ "jsonrpc": "2.0", "id": id, "result": { "content": [{ "type": "text", "text": "done" }] } }),
        ),
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Inner { seen: Arc::default(), script: Arc::new(Mutex::new(Box::new(plain))) };
        let app = axum::Router::new().fallback(take).with_state(inner.clone());
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, inner, task }
    }

    /// From now on it answers so.
    pub(crate) fn answers(&self, script: impl Fn(&Seen) -> Response + Send + Sync + 'static) {
        *self.inner.script.lock().unwrap() = Box::new(script);
    }

    /// From now on it answers once so, and then plainly.
    pub(crate) fn answers_once(&self, response: Response) {
        let response = Mutex::new(Some(response));
        self.answers(move |seen| response.lock().unwrap().take().unwrap_or_else(|| plain(seen)));
    }

    /// Everything that has reached it.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.inner.seen.lock().unwrap().clone()
    }

    /// The last that reached it.
    pub(crate) fn last(&self) -> Seen {
        self.seen().pop().expect("something reached the server")
    }
}

async fn take(
    State(inner): State<Inner>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let json = serde_json::from_slice(&body).unwrap_or_default();
    let seen = Seen { method, uri, headers, body, json };
    inner.seen.lock().unwrap().push(seen.clone());
    let script = inner.script.lock().unwrap();
    script(&seen)
}
