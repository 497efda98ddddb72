//! Lists of tools, as the holder of one token may see them (MCP, Tools; 2026-07-28, Caching).

use std::sync::Arc;

use serde_json::{Map, Value};

use super::Guard;
use super::headers::Era;
use super::refusal::Refusal;
use crate::enforcer::VerifiedToken;
use crate::protocol::strict_json;
use crate::time::Timestamp;

/// How deep an answer of the server may nest.
const DEPTH: usize = 64;

/// Filters the answers to one request.
#[derive(Clone)]
pub(super) struct ListFilter {
    pub(super) guard: Arc<Guard>,
    pub(super) token: VerifiedToken,
    pub(super) era: Era,
}

impl ListFilter {
    /// Filters one text: a message, or several in an array, as servers of 2025-03-26 answered batches.
    pub(super) fn apply(&self, text: &[u8]) -> Result<Value, Refusal> {
        let malformed = |error| {
            tracing::warn!(%error, "an answer of the server behind can't be read, so it is withheld");
            Refusal::UpstreamMalformed
        };
        let mut value = strict_json::value(text, DEPTH).map_err(malformed)?;
        match &mut value {
            Value::Object(message) => self.filter(message)?,
            Value::Array(messages) => {
                messages.iter_mut().filter_map(Value::as_object_mut).try_for_each(|one| self.filter(one))?;
            }
            _ => return Err(Refusal::UpstreamMalformed),
        }
        // What was read may have taken its time: nothing leaves under a token that died meanwhile.
        self.guard.enforcer.recheck(&self.token)?;
        Ok(value)
    }

    fn filter(&self, message: &mut Map<String, Value>) -> Result<(), Refusal> {
        let Some(result) = message.get_mut("result").and_then(Value::as_object_mut) else { return Ok(()) };
        let tools = match result.get_mut("tools") {
            None => return Ok(()),
            Some(Value::Array(tools)) => tools,
            Some(_) => return Err(Refusal::UpstreamMalformed),
        };
        let shown = self.guard.pins.review(tools);
        let allowed = self.guard.visible_tools(&self.token);
        let before = tools.len();
        let mut shown = shown.into_iter();
        // The order stays: MCP asks for a stable one, for the sake of caches.
        tools.retain(|tool| {
            let name = tool.get("name").and_then(Value::as_str);
            shown.next().unwrap_or_default() && name.is_some_and(|name| allowed.contains(name))
        });
        metrics::counter!("taskpass_guard_hidden_tools_total").increment((before - tools.len()) as u64);
        bound_caching(result, self.era, &self.token, self.guard.now());
        Ok(())
    }
}

/// MCP 2026-07-28, Caching: `cacheScope` "private" for what depends on who asks, `ttlMs` for how long it may be kept. What
/// one token may see, nobody else may, and not longer than the token lives.
fn bound_caching(result: &mut Map<String, Value>, era: Era, token: &VerifiedToken, now: Timestamp) {
    if era == Era::Modern || result.contains_key("cacheScope") {
        result.insert("cacheScope".to_owned(), "private".into());
    }
    let left = u64::try_from(token.claims().exp.since(now)).unwrap_or_default().saturating_mul(1000);
    if era == Era::Modern || result.contains_key("ttlMs") {
        let ttl = result.get("ttlMs").and_then(Value::as_u64).unwrap_or_default();
        result.insert("ttlMs".to_owned(), ttl.min(left).into());
    }
}
