//! A guard, a server behind it, an issuer, and an agent with a token.

use std::path::PathBuf;
use std::time::Duration;

use http::HeaderMap;
use serde_json::{Value, json};
use taskpass::config::{GuardArgs, GuardConfig};
use taskpass::guard::{Guard, Running};

use super::server::{Seen, Server};
use crate::harness::{Engine, Reply, TICKETS, World, search, tools as details};

/// The protocol version whose headers repeat the body.
pub(crate) const MODERN: &str = "2026-07-28";

/// Everything a test of the guard needs.
pub(crate) struct Place {
    pub(crate) server: Server,
    pub(crate) config: GuardConfig,
    pub(crate) http: reqwest::Client,
    /// Held for as long as the guard's files are.
    _folder: tempfile::TempDir,
    running: Option<Running>,
}

/// Runs a test with a guard that is set as `set` says.
pub(crate) fn guarded(set: impl FnOnce(&mut GuardArgs), test: impl AsyncFnOnce(&mut World, &mut Place)) {
    crate::harness::run(Engine::Sqlite, async |world| {
        let mut place = Place::start(world, set).await;
        test(world, &mut place).await;
        place.stop().await;
    });
}

impl Place {
    async fn start(world: &World, set: impl FnOnce(&mut GuardArgs)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start().await;
        let credentials: PathBuf = folder.path().join("tickets-guard.json");
        let file = json!({ "issuer": world.issuer, "client_id": "tickets-guard",
            "private_jwk": world.key("tickets-guard").private() });
        std::fs::write(&credentials, file.to_string()).unwrap();
        let mut args = GuardArgs {
            issuer: Some(world.issuer.clone()),
            resource: Some(TICKETS.to_owned()),
            upstream: Some(format!("http://{}", server.address)),
            listen: Some("127.0.0.1:0".parse().unwrap()),
            local: Some("127.0.0.1:0".parse().unwrap()),
            credentials: Some(credentials),
            data_dir: Some(folder.path().join("guard")),
            ..GuardArgs::default()
        };
        set(&mut args);
        let config = args.complete().unwrap();
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let mut place = Self { server, config, http, _folder: folder, running: None };
        place.resume(world).await;
        place
    }

    /// Starts the guard again, after [`Place::stop_guard`].
    pub(crate) async fn resume(&mut self, world: &World) {
        let guard = Guard::new(&self.config, world.clock.clone()).unwrap();
        let enforcer = guard.enforcer().clone();
        self.running = Some(Running::start(guard, &self.config, None).await.unwrap());
        tokio::time::timeout(Duration::from_secs(10), enforcer.ready())
            .await
            .expect("the guard becomes ready");
    }

    /// Stops the guard and leaves its files.
    pub(crate) async fn stop_guard(&mut self) {
        self.running.take().unwrap().stop().await;
    }

    async fn stop(mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }

    fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    /// Where clients reach the server.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.config.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/mcp", self.running().address)
    }

    /// A path at the guard.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("http://{}{path}", self.running().address)
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.running().address
    }

    /// A local endpoint.
    pub(crate) fn local(&self, path: &str) -> String {
        format!("http://{}{path}", self.running().local)
    }

    /// A POST with these headers, which replace the usual ones.
    pub(crate) async fn send(
        &self,
        token: &str,
        body: impl Into<reqwest::Body>,
        headers: &[(&str, &str)],
    ) -> Reply {
        let mut all = HeaderMap::new();
        all.insert("content-type", "application/json".parse().unwrap());
        all.insert("accept", "application/json, text/event-stream".parse().unwrap());
        let mut replaced = HeaderMap::new();
        for (name, value) in headers {
            replaced.append(name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap());
        }
        let mut request = self.http.post(self.url()).headers(all).headers(replaced).body(body);
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        Reply::read(request.send().await.unwrap()).await
    }

    /// A message of a version with sessions.
    pub(crate) async fn post(&self, token: &str, message: &Value) -> Reply {
        self.send(token, message.to_string(), &[]).await
    }

    /// A message of 2026-07-28, with proper headers.
    pub(crate) async fn modern(&self, token: &str, message: &Value) -> Reply {
        let message = modern(message.clone());
        let method = message["method"].as_str().unwrap();
        let name = message["params"]["name"].as_str();
        let mut headers = vec![("mcp-protocol-version", MODERN), ("mcp-method", method)];
        headers.extend(name.map(|name| ("mcp-name", name)));
        self.send(token, message.to_string(), &headers).await
    }

    /// How many requests reached the server while `work` was done.
    pub(crate) async fn reaching<T>(&self, work: impl Future<Output = T>) -> (T, Vec<Seen>) {
        let before = self.server.seen().len();
        let done = work.await;
        (done, self.server.seen().split_off(before))
    }
}

/// A request.
pub(crate) fn request(method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params })
}

/// A call of a tool.
pub(crate) fn call(tool: &str, arguments: Value) -> Value {
    request("tools/call", json!({ "name": tool, "arguments": arguments }))
}

/// The same in the form of 2026-07-28.
pub(crate) fn modern(mut message: Value) -> Value {
    message["params"]["_meta"] = json!({ "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {} });
    message
}

/// A token of the triage agent in Alice's name: searches of at most `limit` tickets.
pub(crate) async fn searcher(world: &World, limit: i64) -> String {
    token(world, &search(limit)).await
}

/// A token of the triage agent in Alice's name with these details.
pub(crate) async fn token(world: &World, granted: &Value) -> String {
    let form = world.for_person("triage", "alice").add("scope", "tickets.read");
    world.post(&form.add("authorization_details", granted.to_string())).await.ok().token()
}

/// Details for whole tools.
pub(crate) fn whole(names: &[&str]) -> Value {
    details(&json!(names.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>()))
}

/// A JSON-RPC error with this status, code and rule.
#[track_caller]
pub(crate) fn assert_rpc(reply: &Reply, status: u16, code: i64, rule: &str) {
    let error = &reply.json["error"];
    let found = (reply.status, error["code"].as_i64(), error["data"]["rule"].as_str());
    assert_eq!(found, (status, Some(code), Some(rule)), "{}", reply.text);
    assert_eq!(reply.header("cache-control"), "no-store");
    assert!(!reply.text.contains("eyJ"), "a refusal repeats a token: {}", reply.text);
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    for _ in 0..400 {
        if so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("not within ten seconds: {what}");
}
