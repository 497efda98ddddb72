//! The MCP server of the demo: three tools over a handful of tickets, behind the enforcer.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::tool::ToolCallContext;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ErrorCode, ErrorData, Implementation, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{RoleServer, ServerHandler, tool, tool_router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::domain::narrowing::CallRefusal;
use crate::enforcer::{Enforcer, VerifiedToken, decision};

/// The JSON-RPC error code of a call that the token doesn't allow; the range is the one for servers' own codes.
pub(super) const CALL_NOT_GRANTED: i32 = -32_003;

#[derive(Deserialize, schemars::JsonSchema)]
struct Search {
    /// Words that the title must contain.
    query: String,
    /// The most tickets to return.
    limit: usize,
}

#[derive(Deserialize, schemars::JsonSchema)]
struct Pick {
    /// The ticket's id.
    id: u64,
}

struct Ticket {
    id: u64,
    title: &'static str,
    open: bool,
}

/// The tool server; one is made for each request, all share the tickets.
#[derive(Clone)]
struct Tickets {
    tickets: Arc<Mutex<Vec<Ticket>>>,
    tool_router: ToolRouter<Self>,
}

#[tool_router]
impl Tickets {
    fn new() -> Self {
        let titles = [
            "Printer on floor 3 prints blank pages",
            "VPN login loops after password change",
            "Printer driver missing on new laptops",
            "Invoice export fails for March",
        ];
        let tickets = (101..).zip(titles).map(|(id, title)| Ticket { id, title, open: true }).collect();
        Self { tickets: Arc::new(Mutex::new(tickets)), tool_router: Self::tool_router() }
    }

    #[tool(description = "Find open tickets by words in their title")]
    fn search_tickets(&self, Parameters(Search { query, limit }): Parameters<Search>) -> String {
        let query = query.to_lowercase();
        let found = self.with(|tickets| {
            let hits =
                tickets.iter().filter(|ticket| ticket.open && ticket.title.to_lowercase().contains(&query));
            hits.take(limit).map(Ticket::to_json).collect::<Vec<_>>()
        });
        json!({ "tickets": found }).to_string()
    }

    #[tool(description = "Read one ticket")]
    fn get_ticket_by_id(&self, Parameters(Pick { id }): Parameters<Pick>) -> Result<String, ErrorData> {
        self.with(|tickets| {
            tickets.iter().find(|ticket| ticket.id == id).map(|ticket| ticket.to_json().to_string())
        })
        .ok_or_else(|| ErrorData::invalid_params("no such ticket", None))
    }

    #[tool(description = "Close a ticket and tell its reporter")]
    fn close_ticket(&self, Parameters(Pick { id }): Parameters<Pick>) -> Result<String, ErrorData> {
        self.with(|tickets| {
            let ticket = tickets.iter_mut().find(|ticket| ticket.id == id);
            let ticket = ticket.ok_or_else(|| ErrorData::invalid_params("no such ticket", None))?;
            ticket.open = false;
            Ok(ticket.to_json().to_string())
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Vec<Ticket>) -> T) -> T {
        work(&mut self.tickets.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

impl Ticket {
    fn to_json(&self) -> Value {
        json!({ "id": self.id, "title": self.title, "open": self.open })
    }
}

impl ServerHandler for Tickets {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("tickets", env!("CARGO_PKG_VERSION")))
    }

    /// Shows only the tools that the token could ever call.
    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let allowed = decision::tools_for(verified(&context)?);
        let mut tools = self.tool_router.list_all();
        tools.retain(|tool| allowed.contains(tool.name.as_ref()));
        Ok(ListToolsResult::with_all_items(tools))
    }

    /// Checks the tool and its arguments against the token before the tool sees them.
    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = request.arguments.clone().map_or(Value::Null, Value::Object);
        decision::authorize(verified(&context)?, &request.name, &arguments)
            .map_err(|refusal| not_granted(&refusal))?;
        self.tool_router.call(ToolCallContext::new(self, request, context)).await
    }
}

/// The token that the enforcer verified for this request.
fn verified(context: &RequestContext<RoleServer>) -> Result<&VerifiedToken, ErrorData> {
    let parts = context.extensions.get::<http::request::Parts>();
    let token = parts.and_then(|parts| parts.extensions.get::<VerifiedToken>());
    token.ok_or_else(|| ErrorData::internal_error("the request did not come through the enforcer", None))
}

fn not_granted(refusal: &CallRefusal) -> ErrorData {
    let (rule, at) = (refusal.rule(), refusal.at());
    ErrorData::new(ErrorCode(CALL_NOT_GRANTED), refusal.to_string(), Some(json!({ "rule": rule, "at": at })))
}

/// The running MCP server; it stops when this is dropped.
pub(super) struct McpServer(JoinHandle<()>);

impl Drop for McpServer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Serves the tools on `listener` below `/mcp`, behind the enforcer, with its metadata beside them.
pub(super) fn serve(listener: TcpListener, enforcer: &Arc<Enforcer>) -> McpServer {
    let config =
        StreamableHttpServerConfig::default().with_legacy_session_mode(false).with_json_response(true);
    let tickets = Tickets::new();
    let service = StreamableHttpService::new(
        move || Ok(tickets.clone()),
        Arc::new(LocalSessionManager::default()),
        config,
    );
    let guarded = Router::new()
        .nest_service("/mcp", service)
        .layer(enforcer.layer().require_scope(super::registry::SCOPE));
    let app = guarded.merge(enforcer.metadata_routes());
    McpServer(tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, app).await {
            tracing::error!(%error, "the MCP server stopped");
        }
    }))
}

/// The URI under which the MCP server at `address` is registered.
pub(super) fn resource(address: SocketAddr) -> String {
    format!("http://{address}/mcp")
}
