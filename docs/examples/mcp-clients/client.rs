//! A person's MCP client with the official Rust SDK: discovers, signs the person in, calls one tool.
//!
//! ```toml
//! [dependencies]
//! reqwest = { version = "0.13", default-features = false } # and a TLS feature, for servers on https
//! rmcp = { version = "3.9", default-features = false, features = ["auth", "client", "transport-streamable-http-client-reqwest"] }
//! serde_json = "1"
//! tokio = { version = "1", features = ["io-util", "macros", "net", "rt", "time"] }
//! url = "2"
//! ```
//!
//! ```sh
//! cargo run -- SERVER_URL CLIENT_ID TOOL '{"argument": …}'
//! ```
//!
//! `CLIENT_ID` is what the administrator has registered, or the URL of the client's own metadata document.

use std::error::Error;

use rmcp::RoleClient;
use rmcp::model::{CallToolRequestParams, ProtocolVersion};
use rmcp::service::{
    ClientInitializeError, ClientLifecycleMode, RunningService, serve_client_with_lifecycle,
};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::auth::{AuthClient, AuthorizationRequest, OAuthState};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use url::Url;

type Failure = Box<dyn Error>;
type Running = RunningService<RoleClient, ()>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let [server_url, client_id, tool, arguments] =
        <[String; 4]>::try_from(std::env::args().skip(1).collect::<Vec<_>>())
            .map_err(|_| "usage: client SERVER_URL CLIENT_ID TOOL ARGUMENTS")?;

    // Without a token the server says where one is to be had.
    let client = match connect(&server_url, None).await {
        Ok(client) => client,
        Err(error) => {
            let challenge = error.auth_challenge().map(str::to_owned).ok_or(error)?;
            let auth = sign_in(&server_url, &client_id, &challenge).await?;
            connect(&server_url, Some(auth)).await?
        }
    };
    let arguments = serde_json::from_str(&arguments)?;
    let result = client.call_tool(CallToolRequestParams::new(tool).with_arguments(arguments)).await?;
    if let Some(text) = result.content.first().and_then(|block| block.as_text()) {
        println!("{}", text.text);
    }
    client.cancel().await?;
    Ok(())
}

async fn connect(
    url: &str,
    auth: Option<AuthClient<reqwest::Client>>,
) -> Result<Running, ClientInitializeError> {
    let config = StreamableHttpClientTransportConfig::with_uri(url);
    let lifecycle = ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] };
    match auth {
        Some(auth) => {
            let transport = StreamableHttpClientTransport::with_client(auth, config);
            serve_client_with_lifecycle((), transport, lifecycle).await
        }
        None => {
            let transport = StreamableHttpClientTransport::with_client(reqwest::Client::new(), config);
            serve_client_with_lifecycle((), transport, lifecycle).await
        }
    }
}

/// Discovery, the client's identity, the browser, the exchange of the code.
async fn sign_in(
    server_url: &str,
    client_id: &str,
    challenge: &str,
) -> Result<AuthClient<reqwest::Client>, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let redirect_uri = format!("http://{}/callback", listener.local_addr()?);
    let request =
        AuthorizationRequest::new(&redirect_uri).with_initial_scope_selection().with_challenge(challenge);
    let request = if client_id.starts_with("https://") {
        request.with_client_metadata_url(client_id)
    } else {
        request.with_preregistered_client(client_id)
    };
    let mut state = OAuthState::new(server_url, None).await?;
    state.start_authorization(request).await?;
    eprintln!("Sign in: {}", state.get_authorization_url().await?);
    state.handle_callback_url(&callback(&listener).await?).await?;
    let manager = state.into_authorization_manager().ok_or("not signed in")?;
    Ok(AuthClient::new(reqwest::Client::new(), manager))
}

/// The URL with which the browser comes back.
async fn callback(listener: &TcpListener) -> Result<String, Failure> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        let mut request = vec![0; 16 * 1024];
        let length = stream.read(&mut request).await?;
        let head = String::from_utf8_lossy(&request[..length]).into_owned();
        let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/plain\r\n\r\nYou can close this window.";
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        // A browser also asks for an icon.
        let target = head.split(' ').nth(1).unwrap_or_default();
        if target.starts_with("/callback?") {
            let url = Url::parse("http://127.0.0.1")?.join(target)?;
            return match url.query_pairs().find(|(name, _)| name == "error") {
                Some((_, error)) => Err(format!("Not allowed: {error}").into()),
                None => Ok(url.into()),
            };
        }
    }
}
