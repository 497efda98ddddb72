//! What can go wrong between an agent and the server (RFC 6749 §5.2), in kinds that call for different actions.

use std::time::Duration;

use serde_json::{Map, Value};

/// Why the agent has no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The server understood the request and said no. Asking again unchanged gets the same answer, unless
    /// [`Refused::is_temporary`].
    #[error("{0}")]
    Refused(Box<Refused>),
    /// No answer came, or one that no OAuth server gave (a proxy's 502). Asking again later may help.
    #[error("{what} can't be reached: {cause}")]
    Unreachable {
        /// What was asked: "the token endpoint", …
        what: &'static str,
        /// What happened instead.
        cause: String,
    },
    /// The answer breaks the rules of its RFC, so nothing in it is trusted.
    #[error("{what} gave a malformed answer: {cause}")]
    Malformed {
        /// What was asked.
        what: &'static str,
        /// Which rule the answer breaks.
        cause: String,
    },
    /// The agent's own credential could not be had: a missing file, an expired SVID, no workload API.
    #[error("the agent's identity can't be used: {0}")]
    Identity(String),
    /// The client was asked for something that it would never send.
    #[error("{0}")]
    Request(String),
}

/// A refusal, as it stood on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The HTTP status.
    pub status: u16,
    /// The `error` code (RFC 6749 §5.2).
    pub error: String,
    /// The `error_description`.
    pub description: Option<String>,
    /// Taskpass's name for the rule that refused.
    pub rule: Option<String>,
    /// How long the server wants to be left alone.
    pub retry_after: Option<Duration>,
}

impl Refused {
    /// Whether the server refused for a reason of its own that passes: too many requests, overload, a fault.
    pub fn is_temporary(&self) -> bool {
        self.status == 429 || self.status >= 500
    }

    /// Reads an error response; `None` when there is no `error` in it.
    pub(super) fn read(
        status: u16,
        retry_after: Option<Duration>,
        members: &Map<String, Value>,
    ) -> Option<Self> {
        let text = |name: &str| members.get(name).and_then(Value::as_str).map(printable);
        Some(Self {
            status,
            error: text("error")?,
            description: text("error_description"),
            rule: text("rule"),
            retry_after,
        })
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "refused with {} ({})", self.error, self.status)?;
        if let Some(rule) = &self.rule {
            write!(f, ", rule {rule}")?;
        }
        match &self.description {
            Some(description) => write!(f, ": {description}"),
            None => Ok(()),
        }
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::Refused(Box::new(refused))
    }
}

impl Error {
    pub(super) fn unreachable(what: &'static str, cause: impl Into<String>) -> Self {
        Self::Unreachable { what, cause: cause.into() }
    }

    pub(super) fn malformed(what: &'static str, cause: impl Into<String>) -> Self {
        Self::Malformed { what, cause: cause.into() }
    }

    /// Whether the same request may succeed later, with nobody having changed anything.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Refused(refused) => refused.is_temporary(),
            Self::Unreachable { .. } | Self::Malformed { .. } | Self::Identity(_) => true,
            Self::Request(_) => false,
        }
    }
}

/// RFC 6749 §5.2: "Values for the "error" parameter MUST NOT include characters outside the set %x20-21 / %x23-5B /
/// %x5D-7E." They end up in terminals and logs, so whatever else comes is replaced, and the length is bounded.
fn printable(text: &str) -> String {
    let allowed = |c: char| matches!(c, ' '..='!' | '#'..='[' | ']'..='~');
    text.chars().take(500).map(|c| if allowed(c) { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_refusal_says_code_status_rule_and_reason_without_control_characters() {
        let body = json!({"error": "invalid_target", "error_description": "no\u{1b}[2Jsuch", "rule": "resource_unknown"});
        let refused = Refused::read(400, None, body.as_object().unwrap()).unwrap();
        assert_eq!(
            refused.to_string(),
            "refused with invalid_target (400), rule resource_unknown: no?[2Jsuch"
        );
        assert!(!refused.is_temporary());
        assert!(Refused::read(400, None, json!({"rule": "x"}).as_object().unwrap()).is_none());
    }
}
