//! A real MCP client (Streamable HTTP), and what came back from a call.

use std::error::Error as StdError;

use rmcp::RoleClient;
use rmcp::model::{CallToolRequestParams, ProtocolVersion};
use rmcp::service::{ClientLifecycleMode, RunningService, ServiceError, serve_client_with_lifecycle};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::{
    AuthRequiredError, HttpStatusError, InsufficientScopeError, StreamableHttpClientTransportConfig,
};
use serde_json::Value;

use super::narrator::Failure;

/// How one call ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The tool answered with this text.
    Answered(String),
    /// The server refused the call with a JSON-RPC error: its code, message and data.
    NotGranted {
        /// The error code.
        code: i32,
        /// The message.
        message: String,
        /// What stands beside it: the rule, and where.
        data: Value,
    },
    /// 401 or 403: the challenge of the answer.
    Challenged(String),
}

/// An MCP client with one access token.
pub(super) struct McpClient(RunningService<RoleClient, ()>);

impl McpClient {
    /// Connects to `resource` with `token` as the bearer.
    pub(super) async fn connect(
        client: reqwest::Client,
        resource: &str,
        token: &str,
    ) -> Result<Self, Failure> {
        let config = StreamableHttpClientTransportConfig::with_uri(resource).auth_header(token);
        let transport = StreamableHttpClientTransport::with_client(client, config);
        let lifecycle =
            ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] };
        let running = serve_client_with_lifecycle((), transport, lifecycle).await;
        running.map(Self).map_err(|error| match error.auth_challenge() {
            Some(challenge) => Failure(format!("the MCP server refused the token: {challenge}")),
            None => Failure(format!("the MCP client could not connect: {error}")),
        })
    }

    /// The names of the tools that the server shows.
    pub(super) async fn tools(&self) -> Result<Vec<String>, Failure> {
        let tools = self.0.list_all_tools().await.map_err(|error| Failure(error.to_string()))?;
        let mut names: Vec<String> = tools.into_iter().map(|tool| tool.name.into_owned()).collect();
        names.sort();
        Ok(names)
    }

    /// Calls a tool.
    pub(super) async fn call(&self, tool: &'static str, arguments: Value) -> Result<Outcome, Failure> {
        let mut request = CallToolRequestParams::new(tool);
        if let Value::Object(arguments) = arguments {
            request = request.with_arguments(arguments);
        }
        match self.0.call_tool(request).await {
            Ok(result) => {
                let text =
                    result.content.iter().filter_map(|block| block.as_text()).map(|text| text.text.as_str());
                let text = text.collect::<Vec<_>>().join("\n");
                if result.is_error == Some(true) {
                    return Err(Failure(format!("the tool failed: {text}")));
                }
                Ok(Outcome::Answered(text))
            }
            Err(ServiceError::McpError(error)) => Ok(Outcome::NotGranted {
                code: error.code.0,
                message: error.message.into_owned(),
                data: error.data.unwrap_or_default(),
            }),
            Err(ServiceError::TransportSend(error)) => challenge(error.error.as_ref())
                .map(Outcome::Challenged)
                .map_err(|text| Failure(format!("the call failed: {text}"))),
            Err(error) => Err(Failure(format!("the call failed: {error}"))),
        }
    }
}

/// The challenge of a 401 or 403, found among the causes of a transport error; else what the causes say.
fn challenge(error: &(dyn StdError + 'static)) -> Result<String, String> {
    let mut told = Vec::new();
    let mut cause = Some(error);
    while let Some(current) = cause {
        if let Some(required) = current.downcast_ref::<AuthRequiredError>() {
            return Ok(format!("401 {}", required.www_authenticate_header));
        }
        if let Some(insufficient) = current.downcast_ref::<InsufficientScopeError>() {
            return Ok(format!("403 {}", insufficient.www_authenticate_header));
        }
        if let Some(status) = current.downcast_ref::<HttpStatusError>() {
            return Err(format!("the MCP server answered {}", status.status));
        }
        told.push(current.to_string());
        cause = current.source();
    }
    Err(told.join(": "))
}
