//! Protected resource metadata (RFC 9728): where a client learns which issuer's tokens open this resource.

use std::sync::Arc;

use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::Enforcer;
use crate::domain::narrowing::MCP_TOOL_CALL;
use crate::protocol::resource::ResourceUri;

/// The well-known name (RFC 9728 §3).
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// Where the metadata of `resource` is found: the URL, and its path.
///
/// RFC 9728 §3.1: the well-known string is inserted "into the protected resource's resource identifier between the host
/// component and the path and/or query components".
pub fn location(resource: &ResourceUri) -> (String, String) {
    let origin = origin(resource);
    let path = &resource.as_str()[origin.len()..];
    let path = format!("{WELL_KNOWN}{path}");
    (format!("{origin}{path}"), path)
}

/// Scheme, host and port of `resource`.
pub(super) fn origin(resource: &ResourceUri) -> &str {
    let text = resource.as_str();
    let after_scheme = text.find("://").map_or(0, |at| at + 3);
    let path_at = text[after_scheme..].find('/').map_or(text.len(), |at| after_scheme + at);
    &text[..path_at]
}

impl Enforcer {
    /// The protected resource metadata document (RFC 9728 §2).
    pub fn metadata(&self) -> Value {
        let config = &self.config;
        let mut document = json!({
            "resource": config.resource,
            "authorization_servers": [config.issuer],
            "bearer_methods_supported": ["header"],
            "authorization_details_types_supported": [MCP_TOOL_CALL],
        });
        if !config.scopes.is_empty() {
            document["scopes_supported"] = json!(config.scopes);
        }
        if let Some(name) = &config.name {
            document["resource_name"] = json!(name);
        }
        document
    }

    /// The route that serves the document, to be merged beside the protected routes, not under the layer.
    pub fn metadata_routes<S: Clone + Send + Sync + 'static>(self: &Arc<Self>) -> Router<S> {
        let document = self.metadata();
        let (_, path) = location(self.resource());
        Router::new().route(&path, get(move || async move { Json(document) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_well_known_name_stands_between_host_and_path() {
        for (resource, url) in [
            ("https://a.example", "https://a.example/.well-known/oauth-protected-resource"),
            ("https://a.example/mcp", "https://a.example/.well-known/oauth-protected-resource/mcp"),
            ("http://127.0.0.1:81/a/b/", "http://127.0.0.1:81/.well-known/oauth-protected-resource/a/b/"),
        ] {
            assert_eq!(location(&ResourceUri::parse(resource).unwrap()).0, url);
        }
    }
}
