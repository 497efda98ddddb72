//! The same application as `../../python/client.py`, which says what it reads and prints, with the official Rust SDK.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use rmcp::model::{CallToolRequestParams, ProgressNotificationParam, ProtocolVersion};
use rmcp::service::{
    ClientInitializeError, ClientLifecycleMode, NotificationContext, RunningService, ServiceError,
    serve_client_with_lifecycle,
};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::auth::{
    AuthClient, AuthorizationCallback, AuthorizationRequest, OAuthHttpClient, OAuthHttpClientFuture,
    OAuthHttpRequest, OAuthState, WWWAuthenticateParams, default_oauth_http_client,
};
use rmcp::transport::streamable_http_client::{
    AuthRequiredError, InsufficientScopeError, StreamableHttpClientTransportConfig,
};
use rmcp::{ClientHandler, RoleClient};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines, Stdin};
use tokio::net::TcpListener;
use url::Url;

type Failure = Box<dyn Error>;

fn say(event: &Value) {
    println!("{event}");
}

/// What the token endpoint was asked for.
type Grants = Arc<Mutex<Vec<Value>>>;

/// The SDK's own way out for OAuth, watched.
struct Watched<C> {
    inner: C,
    grants: Grants,
}

impl<C: OAuthHttpClient> OAuthHttpClient for Watched<C> {
    fn execute(&self, request: OAuthHttpRequest) -> OAuthHttpClientFuture<'_> {
        Box::pin(async move {
            let grant = url::form_urlencoded::parse(request.request.body())
                .find_map(|(name, value)| (name == "grant_type").then(|| value.into_owned()));
            let response = self.inner.execute(request).await?;
            if let Some(grant) = grant {
                let answer: Value = serde_json::from_slice(response.body()).unwrap_or_default();
                let status = response.status().as_u16();
                self.grants
                    .lock()
                    .unwrap()
                    .push(json!({"grant": grant, "status": status, "error": answer["error"]}));
            }
            Ok(response)
        })
    }
}

/// Counts the progress of a call that is watched.
#[derive(Clone, Default)]
struct Progress(Arc<AtomicU32>);

impl ClientHandler for Progress {
    async fn on_progress(&self, _: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        if self.0.fetch_add(1, Ordering::Relaxed) == 2 {
            say(&json!({"watching": true}));
        }
    }
}

struct Application {
    given: Value,
    lines: Lines<BufReader<Stdin>>,
    listener: TcpListener,
    redirect_uri: String,
    grants: Grants,
    progress: Progress,
    auth: Option<AuthClient<reqwest::Client>>,
    client: Option<RunningService<RoleClient, Progress>>,
}

impl Application {
    async fn new() -> Result<Self, Failure> {
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        let given = serde_json::from_str(&lines.next_line().await?.ok_or("nothing was given")?)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let redirect_uri = format!("http://{}/callback", listener.local_addr()?);
        let (grants, progress) = Default::default();
        Ok(Self { given, lines, listener, redirect_uri, grants, progress, auth: None, client: None })
    }

    async fn command(&mut self) -> Result<Value, Failure> {
        Ok(match self.lines.next_line().await? {
            Some(line) => serde_json::from_str(&line)?,
            None => json!({"do": "end"}),
        })
    }

    fn url(&self) -> &str {
        self.given["url"].as_str().unwrap_or_default()
    }

    /// Opens `url` in a browser, and waits for the way back.
    async fn browse(&mut self, url: &str) -> Result<String, Failure> {
        say(&json!({ "authorize": url }));
        // A browser also asks for an icon.
        loop {
            let mut stream = tokio::select! {
                accepted = self.listener.accept() => accepted?.0,
                line = self.lines.next_line() => { line?; return Err("the window was closed".into()) }
            };
            let mut request = vec![0; 16 * 1024];
            let length = stream.read(&mut request).await?;
            let head = String::from_utf8_lossy(&request[..length]).into_owned();
            let target = head.split(' ').nth(1).unwrap_or_default();
            let found = target.starts_with("/callback?");
            let (status, text) = if found {
                ("200 OK", "You can close this window.")
            } else {
                ("404 Not Found", "Nothing here.")
            };
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
                text.len()
            );
            stream.write_all(answer.as_bytes()).await?;
            stream.shutdown().await?;
            if found {
                self.lines.next_line().await?;
                let callback = Url::parse("http://127.0.0.1")?.join(target)?;
                return match callback.query_pairs().find(|(name, _)| name == "error") {
                    Some((_, error)) => Err(error.into_owned().into()),
                    None => Ok(callback.into()),
                };
            }
        }
    }

    /// From a 401 to tokens: discovery, the client's identity, the browser, the exchange of the code.
    async fn authorize(&mut self, challenge: &str) -> Result<(), Failure> {
        let watched = Watched { inner: default_oauth_http_client()?, grants: self.grants.clone() };
        let mut state = OAuthState::new_with_oauth_http_client(self.url(), Arc::new(watched)).await?;
        let mut request = AuthorizationRequest::new(&self.redirect_uri)
            .with_initial_scope_selection()
            .with_challenge(challenge);
        if let Some(url) = self.given["client_metadata_url"].as_str() {
            request = request.with_client_metadata_url(url);
        }
        if let Some(id) = self.given["client_id"].as_str() {
            request = request.with_preregistered_client(id);
        }
        state.start_authorization(request).await?;
        let callback = self.browse(&state.get_authorization_url().await?).await?;
        state.handle_callback_url(&callback).await?;
        let manager = state.into_authorization_manager().ok_or("the SDK has no manager")?;
        self.auth = Some(AuthClient::new(reqwest::Client::new(), manager));
        Ok(())
    }

    /// From a 403 to a wider token.
    async fn step_up(&mut self, challenge: &str) -> Result<(), Failure> {
        let manager = self.auth.as_ref().ok_or("there is no token yet")?.auth_manager.clone();
        let manager = manager.lock().await;
        let asked = WWWAuthenticateParams::parse(challenge, &Url::parse(self.url())?);
        let url = manager.request_scope_upgrade(&asked.scope.unwrap_or_default()).await?;
        let callback = AuthorizationCallback::from_redirect_url(&self.browse(&url).await?)?;
        manager
            .exchange_code_for_token_with_issuer(
                &callback.code,
                &callback.csrf_token,
                callback.issuer.as_deref(),
            )
            .await?;
        Ok(())
    }

    async fn connect(&mut self) -> Result<Value, Failure> {
        if let Some(client) = self.client.take() {
            client.cancel().await?;
        }
        let running = match self.attempt().await {
            Ok(running) => running,
            Err(error) => {
                let challenge = error.auth_challenge().map(str::to_owned).ok_or(error)?;
                self.authorize(&challenge).await?;
                self.attempt().await?
            }
        };
        let version = running.peer_info().map(|info| info.protocol_version.to_string());
        self.client = Some(running);
        Ok(json!({"version": version}))
    }

    async fn attempt(&self) -> Result<RunningService<RoleClient, Progress>, ClientInitializeError> {
        let config = StreamableHttpClientTransportConfig::with_uri(self.url());
        let preferred_versions = vec![ProtocolVersion::V_2026_07_28];
        let lifecycle = ClientLifecycleMode::Discover { preferred_versions };
        let handler = self.progress.clone();
        match &self.auth {
            Some(auth) => {
                let transport = StreamableHttpClientTransport::with_client(auth.clone(), config);
                serve_client_with_lifecycle(handler, transport, lifecycle).await
            }
            None => {
                let transport = StreamableHttpClientTransport::with_client(reqwest::Client::new(), config);
                serve_client_with_lifecycle(handler, transport, lifecycle).await
            }
        }
    }

    async fn call(&self, step: &Value) -> Result<Value, ServiceError> {
        let client = self.client.as_ref().ok_or(ServiceError::TransportClosed)?;
        let tool = step["tool"].as_str().unwrap_or_default().to_owned();
        let mut request = CallToolRequestParams::new(tool);
        if let Value::Object(arguments) = &step["arguments"] {
            request = request.with_arguments(arguments.clone());
        }
        let result = client.call_tool(request).await?;
        let text = result.content.first().and_then(|block| block.as_text()).map(|text| text.text.clone());
        Ok(json!({"text": text, "is_error": result.is_error == Some(true)}))
    }

    async fn take(&mut self, step: &Value) -> Result<Value, Failure> {
        match step["do"].as_str() {
            Some("connect") => return self.connect().await,
            Some("list") => {
                let client = self.client.as_ref().ok_or("not connected")?;
                let tools = client.list_all_tools().await?;
                let names: BTreeSet<_> = tools.into_iter().map(|tool| tool.name.into_owned()).collect();
                return Ok(json!({"tools": names}));
            }
            Some("watch") => self.progress.0.store(0, Ordering::Relaxed),
            _ => self.progress.0.store(u32::MAX / 2, Ordering::Relaxed),
        }
        match self.call(step).await {
            Ok(answer) => Ok(answer),
            Err(error) => match challenge_of(&error) {
                Some(Challenge::Forbidden(challenge)) => {
                    self.step_up(&challenge).await?;
                    Ok(self.call(step).await?)
                }
                Some(Challenge::Unauthorized(challenge)) => {
                    self.authorize(&challenge).await?;
                    self.connect().await?;
                    Ok(self.call(step).await?)
                }
                None => Err(error.into()),
            },
        }
    }
}

enum Challenge {
    Unauthorized(String),
    Forbidden(String),
}

/// The challenge of a 401 or 403 among the causes of an error.
fn challenge_of(error: &ServiceError) -> Option<Challenge> {
    let ServiceError::TransportSend(error) = error else { return None };
    let mut cause: Option<&(dyn Error + 'static)> = Some(error.error.as_ref());
    while let Some(current) = cause {
        if let Some(required) = current.downcast_ref::<AuthRequiredError>() {
            return Some(Challenge::Unauthorized(required.www_authenticate_header.clone()));
        }
        if let Some(insufficient) = current.downcast_ref::<InsufficientScopeError>() {
            return Some(Challenge::Forbidden(insufficient.www_authenticate_header.clone()));
        }
        cause = current.source();
    }
    None
}

fn problem(error: &(dyn Error + 'static)) -> Value {
    if let Some(ServiceError::McpError(error)) = error.downcast_ref::<ServiceError>() {
        return json!({"type": "McpError", "message": error.message, "code": error.code.0, "data": error.data});
    }
    let mut told = Vec::new();
    let mut cause = Some(error);
    while let Some(current) = cause {
        told.push(current.to_string());
        cause = current.source();
    }
    json!({"type": "Failure", "message": told.join(": ")})
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut application = Application::new().await?;
    loop {
        let step = application.command().await?;
        if step["do"] == "end" {
            break;
        }
        application.grants.lock().unwrap().clear();
        let mut event = match application.take(&step).await {
            Ok(outcome) => outcome,
            Err(error) => json!({"error": problem(error.as_ref())}),
        };
        event["done"] = step["do"].clone();
        event["at"] = json!(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64);
        event["grants"] = json!(*application.grants.lock().unwrap());
        say(&event);
    }
    if let Some(client) = application.client.take() {
        client.cancel().await?;
    }
    Ok(())
}
