//! Whether a verified token allows one call (RFC 9396): decided anew for every call, never remembered.

use std::collections::BTreeSet;

use serde_json::Value;

use super::verifier::VerifiedToken;
use crate::domain::narrowing::{CallRefusal, DetailTypes};

/// Whether `token` allows a call of `tool` with `arguments` at its own resource.
///
/// `arguments` must be the value that the tool itself will read: two readings of one text may differ.
///
/// # Errors
/// What was not granted: this server, this tool, or these arguments.
pub fn authorize(token: &VerifiedToken, tool: &str, arguments: &Value) -> Result<(), CallRefusal> {
    let claims = token.claims();
    DetailTypes::builtin().allows_call(&claims.authorization_details, claims.aud.as_str(), tool, arguments)
}

/// The tools that `token` could ever call at its resource: what a tool list shows to its holder.
pub fn tools_for(token: &VerifiedToken) -> BTreeSet<String> {
    let claims = token.claims();
    DetailTypes::builtin().tools_for(&claims.authorization_details, claims.aud.as_str())
}
