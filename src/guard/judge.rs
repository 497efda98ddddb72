//! One message judged: what its headers and body say, whether it may pass, and what is done with its answer.

use http::HeaderMap;
use serde_json::Value;

use super::Guard;
use super::challenge::Needed;
use super::headers::{self, Era, SESSION};
use super::message::{self, Kind, Message};
use super::methods::{self, Treatment};
use super::refusal::Refusal;
use super::respond::Refused;
use crate::domain::narrowing::MCP_TOOL_CALL;
use crate::enforcer::VerifiedToken;

/// A message that may pass.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) era: Era,
    pub(super) treatment: Treatment,
    pub(super) id: Option<Value>,
    /// The tool that is called.
    pub(super) tool: Option<String>,
    /// The server's own id of the session.
    pub(super) session: Option<String>,
}

/// Judges a message: its form, its headers, its method, its session, and for a call the tool and its arguments.
pub(super) fn judge(
    guard: &Guard,
    headers: &HeaderMap,
    body: &[u8],
    token: &VerifiedToken,
) -> Result<Judged, Box<Refused>> {
    let unread = |refusal: Refusal| Refused { in_message: true, ..refusal.into() };
    headers::check_content(headers).map_err(|refusal| Box::new(refusal.into()))?;
    let message = Message::parse(body).map_err(unread)?;
    let mut judged = Judged {
        era: Era::Sessions,
        treatment: Treatment::Harmless,
        id: message.id().cloned(),
        tool: None,
        session: None,
    };
    let mut needed = None;
    let decided = decide(guard, headers, &message, token, (&mut judged, &mut needed));
    match decided {
        Ok(()) => Ok(judged),
        Err(refusal) => Err(Box::new(Refused {
            refusal,
            in_message: true,
            id: judged.id,
            era: judged.era,
            tool: judged.tool,
            needed,
            whose: None,
        })),
    }
}

fn decide(
    guard: &Guard,
    headers: &HeaderMap,
    message: &Message,
    token: &VerifiedToken,
    (judged, needed): (&mut Judged, &mut Option<Needed>),
) -> Result<(), Refusal> {
    judged.era = headers::check_agreement(headers, message)?;
    judged.treatment = methods::treatment(message, &guard.settings.allow)?;
    judged.session = match judged.era {
        // MCP 2026-07-28, Earlier Streamable HTTP Revisions: "An `Mcp-Session-Id` header on a request: ignore it".
        Era::Modern => None,
        Era::Sessions => session(guard, headers, token)?,
    };
    if message.kind == Kind::Response && judged.session.is_none() {
        // 2026-07-28: "The client MUST NOT send JSON-RPC responses." Before, one without a session could answer what the
        // server asked of somebody else.
        return Err(Refusal::ResponseNotExpected);
    }
    if judged.treatment == Treatment::Call {
        let Some(Value::String(tool)) = message.params.get("name") else {
            return Err(Refusal::ParamsMalformed);
        };
        judged.tool = Some(tool.clone());
        let arguments = message.params.get("arguments").unwrap_or(&Value::Null);
        check_call(guard, token, tool, arguments)
            .inspect_err(|refusal| *needed = guard.challenges.needed(refusal, tool, arguments))?;
    }
    Ok(())
}

/// Whether a call may be made: by the token, by what is cut, and by what is pinned.
pub(super) fn check_call(
    guard: &Guard,
    token: &VerifiedToken,
    tool: &str,
    arguments: &Value,
) -> Result<(), Refusal> {
    if !matches!(arguments, Value::Object(_) | Value::Null) {
        return Err(Refusal::ParamsMalformed);
    }
    guard.enforcer.authorize(token, tool, arguments).map_err(Refusal::Call)?;
    message::check_arguments(arguments, &constrained(token, tool))?;
    guard.pins.check(tool)
}

/// Whether `tool` may be called with any arguments: what must be so where nobody can look at them.
pub(super) fn check_any_call(guard: &Guard, token: &VerifiedToken, tool: &str) -> Result<(), Refusal> {
    check_call(guard, token, tool, &Value::Null)?;
    let unbounded = |entry: &Value| {
        entry.get("arguments").is_none() && entry.get("additionalArguments") != Some(&Value::Bool(false))
    };
    if entries(token, tool).any(unbounded) { Ok(()) } else { Err(Refusal::ArgumentsUnknown) }
}

/// The entries of the token's details that are about this tool here.
fn entries<'a>(token: &'a VerifiedToken, tool: &'a str) -> impl Iterator<Item = &'a Value> {
    let here = token.claims().aud.as_str();
    let details = token.claims().authorization_details.iter().filter(move |detail| {
        let locations = detail.object().get("locations").and_then(Value::as_array);
        detail.kind() == MCP_TOOL_CALL && locations.is_some_and(|all| all.iter().any(|one| one == here))
    });
    details
        .filter_map(|detail| detail.object().get("tools")?.as_array())
        .flatten()
        .filter(move |entry| entry.get("name").and_then(Value::as_str) == Some(tool))
}

/// The names that the token's constraints on this tool's arguments use, at any depth.
fn constrained(token: &VerifiedToken, tool: &str) -> Vec<String> {
    let bounded = entries(token, tool).filter_map(|entry| entry.get("arguments")?.as_object());
    let steps = bounded.flat_map(serde_json::Map::keys).flat_map(|pointer| pointer.split('/').skip(1));
    steps.map(|step| step.replace("~1", "/").replace("~0", "~")).collect()
}

/// The server's id of the session that the request names; one that isn't this identity's is as unknown as one that never was.
pub(super) fn session(
    guard: &Guard,
    headers: &HeaderMap,
    token: &VerifiedToken,
) -> Result<Option<String>, Refusal> {
    match headers::single(headers, &SESSION) {
        Ok(None) => Ok(None),
        Ok(Some(sealed)) => guard.sessions.open_for(sealed, token).map(Some).ok_or(Refusal::SessionUnknown),
        Err(()) => Err(Refusal::SessionUnknown),
    }
}
