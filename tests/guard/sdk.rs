//! The protocol's own SDK on both sides of the guard, in both versions.

use std::sync::Arc;

use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{CallToolRequestParams, ProtocolVersion};
use rmcp::service::{ClientLifecycleMode, ServiceError, serve_client_with_lifecycle};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::place::{guarded, searcher};

#[derive(Deserialize, schemars::JsonSchema)]
struct Search {
    /// The most tickets to return.
    limit: u64,
}

#[derive(Clone)]
struct Tickets {
    tool_router: ToolRouter<Self>,
}

#[tool_router]
impl Tickets {
    #[tool(description = "Find tickets")]
    fn search_tickets(&self, Parameters(Search { limit }): Parameters<Search>) -> String {
        format!("{limit} tickets")
    }

    #[tool(description = "Close a ticket")]
    fn close_ticket(&self) -> String {
        "closed".to_owned()
    }
}

#[tool_handler(router = self.tool_router)]
impl ServerHandler for Tickets {}

/// A server of this SDK that knows nothing of tokens.
async fn serve(sessions: bool) -> String {
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(sessions)
        .with_json_response(!sessions);
    let service = StreamableHttpService::new(
        || Ok(Tickets { tool_router: Tickets::tool_router() }),
        Arc::new(LocalSessionManager::default()),
        config,
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(
        async move { axum::serve(listener, axum::Router::new().nest_service("/mcp", service)).await },
    );
    format!("http://{address}")
}

fn plays(sessions: bool, lifecycle: ClientLifecycleMode) {
    guarded(
        |_| {},
        async move |world, place| {
            place.stop_guard().await;
            place.config.upstream = serve(sessions).await.parse().unwrap();
            place.resume(world).await;
            let token = searcher(world, 5).await;
            let config = StreamableHttpClientTransportConfig::with_uri(place.url()).auth_header(token);
            let transport = StreamableHttpClientTransport::with_client(place.http.clone(), config);
            let client = serve_client_with_lifecycle((), transport, lifecycle).await.unwrap();
            let names: Vec<_> =
                client.list_all_tools().await.unwrap().into_iter().map(|tool| tool.name).collect();
            assert_eq!(names, ["search_tickets"]);
            let call = |tool: &'static str, arguments: Value| {
                let request =
                    CallToolRequestParams::new(tool).with_arguments(arguments.as_object().unwrap().clone());
                client.call_tool(request)
            };
            let result = call("search_tickets", json!({"limit": 5})).await.unwrap();
            assert_eq!(result.content[0].as_text().unwrap().text, "5 tickets");
            for (tool, arguments, rule) in [
                ("search_tickets", json!({"limit": 6}), "argument_refused"),
                ("close_ticket", json!({}), "tool_not_granted"),
            ] {
                let ServiceError::McpError(error) = call(tool, arguments).await.unwrap_err() else {
                    panic!("not the protocol's own error")
                };
                assert_eq!((error.code.0, &error.data.unwrap()["rule"]), (-32_003, &json!(rule)));
            }
            world.cut("agent", "triage").await.ok();
            super::place::until("the client is out", async || {
                call("search_tickets", json!({"limit": 1})).await.is_err()
            })
            .await;
        },
    );
}

#[test]
fn a_client_of_2026_07_28_works_through_the_guard() {
    plays(false, ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] });
}

#[test]
fn a_client_with_sessions_works_through_the_guard() {
    plays(true, ClientLifecycleMode::Initialize);
}
