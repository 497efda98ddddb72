//! The challenge that tells a client which token would do (RFC 6750 §3, RFC 9728 §5.1, RFC 9396 §5).

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::StatusCode;
use serde_json::{Value, json};

use super::refusal::Refusal;
use crate::domain::feed::ScopeAdvice;
use crate::domain::narrowing::{CallRefusal, MCP_TOOL_CALL};
use crate::domain::scope_tools::scope_for_call;
use crate::enforcer::metadata;
use crate::protocol::resource::ResourceUri;

/// The longest challenge; proxies and clients give up on headers of more than about 8 KB in all.
const LONGEST: usize = 4000;
/// The longest argument that a challenge repeats, in bytes of JSON.
const LONGEST_ARGUMENT: usize = 512;

/// What every challenge of this guard says.
#[derive(Debug)]
pub(super) struct Challenges {
    resource: String,
    metadata_url: String,
    scopes: Vec<String>,
    advice: ArcSwap<ScopeAdvice>,
}

/// What one request needs beside what all of them do.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Needed {
    /// Scopes; for a call the one that stands for it, for clients that can ask for scopes only.
    pub(super) scopes: Vec<String>,
    /// What a call needs in detail.
    pub(super) details: Option<Value>,
}

impl Challenges {
    /// Challenges for `resource`, whose requests all need `scopes`.
    pub(super) fn new(resource: &ResourceUri, scopes: &[String]) -> Self {
        let (metadata_url, _) = metadata::location(resource);
        let advice = ArcSwap::default();
        Self { resource: resource.as_str().to_owned(), metadata_url, scopes: scopes.to_vec(), advice }
    }

    /// Takes what the issuer says that clients should ask for.
    pub(super) fn advise(&self, advice: ScopeAdvice) {
        if **self.advice.load() != advice {
            tracing::info!(scope = %advice.scope, "the issuer says what clients should ask for");
            self.advice.store(Arc::new(advice));
        }
    }

    /// What a client that knows nothing should ask for: what every request needs, and what the issuer says.
    ///
    /// MCP, Authorization, Scope Selection Strategy: `scopes_supported` is "the minimal set of scopes necessary for basic
    /// functionality", and the rest is asked for when it is needed.
    pub(super) fn first_scopes(&self) -> Vec<String> {
        let advice = self.advice.load();
        let all: BTreeSet<_> = self.scopes.iter().map(String::as_str).chain(advice.scope.iter()).collect();
        all.into_iter().map(str::to_owned).collect()
    }

    /// The tools that some scope stands for: what a client could come back for.
    pub(super) fn within_reach(&self) -> BTreeSet<String> {
        let advice = self.advice.load();
        let entries = advice.scope_tools.values().flatten();
        entries.filter_map(|entry| entry.get("name")?.as_str().map(str::to_owned)).collect()
    }

    /// MCP, Authorization: all scopes of the operation at once, so that one new token is enough.
    fn scopes_for(&self, refusal: &Refusal, needed: Option<&Needed>) -> String {
        // Whoever has no token at all learns what is worth having at first.
        let mut all = match refusal.status() {
            StatusCode::UNAUTHORIZED => self.first_scopes(),
            _ => self.scopes.clone(),
        };
        for scope in needed.iter().flat_map(|needed| &needed.scopes) {
            if !all.contains(scope) {
                all.push(scope.clone());
            }
        }
        all.join(" ")
    }

    /// The scopes that every request needs.
    pub(super) fn scopes(&self) -> &[String] {
        &self.scopes
    }

    /// The `WWW-Authenticate` of a refusal; `needed` is what a token would have to say in detail.
    pub(super) fn header(&self, refusal: &Refusal, needed: Option<&Needed>) -> Option<String> {
        if !refusal.challenges() {
            return None;
        }
        let mut text = format!("Bearer resource_metadata=\"{}\"", self.metadata_url);
        // RFC 6750 §3.1: "If the request lacks any authentication information …, the resource server SHOULD NOT include an
        // error code or other error information."
        if let Some(code) = refusal.oauth_code() {
            let _ = write!(
                text,
                ", error=\"{}\", error_description=\"{}\"",
                code.as_str(),
                quoted(&refusal.description())
            );
        }
        let scopes = self.scopes_for(refusal, needed);
        if !scopes.is_empty() {
            let _ = write!(text, ", scope=\"{}\"", quoted(&scopes));
        }
        if let Some(details) = needed.and_then(|needed| needed.details.as_ref()) {
            let details = quoted(&ascii(details));
            let with_details = format!("{text}, authorization_details=\"{details}\"");
            if with_details.len() <= LONGEST {
                text = with_details;
            }
        }
        Some(text)
    }

    /// The same for readers of JSON.
    pub(super) fn json(&self, refusal: &Refusal, needed: Option<&Needed>) -> Option<Value> {
        let code = refusal.oauth_code()?;
        let mut challenge = json!({ "error": code.as_str(), "resource_metadata": self.metadata_url });
        let scopes = self.scopes_for(refusal, needed);
        if !scopes.is_empty() {
            challenge["scope"] = scopes.into();
        }
        if let Some(details) = needed.and_then(|needed| needed.details.as_ref()) {
            challenge["authorization_details"] = details.clone();
        }
        Some(challenge)
    }

    /// What this call would need: as details the tool, and where one argument was the reason, that argument as it is; and
    /// the scope that stands for the least that would do. What else the token already allows is the client's to keep.
    pub(super) fn needed(&self, refusal: &Refusal, tool: &str, arguments: &Value) -> Option<Needed> {
        let Refusal::Call(refusal) = refusal else { return None };
        if *refusal == CallRefusal::ToolSwitchedOff {
            return None;
        }
        let mut entry = json!({ "name": tool });
        if let CallRefusal::ArgumentRefused(reason) = refusal
            && let Some(value @ (Value::String(_) | Value::Number(_) | Value::Bool(_))) =
                arguments.pointer(&reason.at)
            && value.to_string().len() <= LONGEST_ARGUMENT
        {
            entry["arguments"] = json!({ &*reason.at: { "const": value } });
        }
        let details = json!([{ "type": MCP_TOOL_CALL, "locations": [self.resource], "tools": [entry] }]);
        let advice = self.advice.load();
        let scope = scope_for_call(&advice.scope_tools, &self.resource, tool, arguments);
        Some(Needed { scopes: scope.map(str::to_owned).into_iter().collect(), details: Some(details) })
    }
}

/// RFC 9110 §5.6.4: in a quoted string, quotes and backslashes are escaped. Everything else here is printable ASCII.
fn quoted(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, letter| {
        if matches!(letter, '"' | '\\') {
            out.push('\\');
        }
        out.push(if matches!(letter, ' '..='~') { letter } else { '?' });
        out
    })
}

/// JSON whose every character is printable ASCII.
fn ascii(value: &Value) -> String {
    value.to_string().chars().fold(String::new(), |mut out, letter| {
        if matches!(letter, ' '..='~') {
            out.push(letter);
        } else {
            let mut units = [0; 2];
            for unit in letter.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::narrowing::CallRefusal;

    fn challenges(scopes: &[&str]) -> Challenges {
        let scopes: Vec<_> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        Challenges::new(&ResourceUri::parse("https://a.example/mcp").unwrap(), &scopes)
    }

    #[test]
    fn the_first_challenge_names_no_error() {
        let header = challenges(&["a", "b"]).header(&Refusal::TokenMissing, None).unwrap();
        let url = "https://a.example/.well-known/oauth-protected-resource/mcp";
        assert_eq!(header, format!("Bearer resource_metadata=\"{url}\", scope=\"a b\""));
        assert_eq!(challenges(&[]).header(&Refusal::Stale, None), None);
    }

    #[test]
    fn what_a_call_needs_crosses_a_header_whole() {
        let refusal = Refusal::Call(CallRefusal::ToolNotGranted);
        let needed = challenges(&[]).needed(&refusal, "caf\u{e9}\"\\\u{1f600}\n", &Value::Null).unwrap();
        let header = challenges(&[]).header(&refusal, Some(&needed)).unwrap();
        assert!(header.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        let (_, details) = header.split_once("authorization_details=\"").unwrap();
        let unescaped = details.strip_suffix('"').unwrap().replace("\\\\", "\u{0}").replace("\\\"", "\"");
        let read: Value = serde_json::from_str(&unescaped.replace('\u{0}', "\\")).unwrap();
        assert_eq!(Some(read), needed.details);
    }

    #[test]
    fn a_challenge_names_the_scope_that_would_open_the_call() {
        let challenges = challenges(&["base"]);
        let advice = json!({ "scope": "read", "scope_tools": {
            "read": [{ "name": "search", "arguments": { "/limit": { "maximum": 50 } } }],
            "bulk": [{ "name": "search" }], "write": [{ "name": "close" }] } });
        challenges.advise(serde_json::from_value(advice).unwrap());
        let scope = |header: Option<String>| {
            let header = header.unwrap();
            header.split_once("scope=\"").map(|(_, rest)| rest.split('"').next().unwrap().to_owned())
        };
        assert_eq!(scope(challenges.header(&Refusal::TokenMissing, None)).unwrap(), "base read");
        let refusal = Refusal::Call(CallRefusal::ToolNotGranted);
        let asked = |tool: &str, arguments: Value| {
            let needed = challenges.needed(&refusal, tool, &arguments);
            let json = challenges.json(&refusal, needed.as_ref()).unwrap();
            assert_eq!(
                json["scope"].as_str(),
                scope(challenges.header(&refusal, needed.as_ref())).as_deref()
            );
            json["scope"].as_str().unwrap().to_owned()
        };
        assert_eq!(asked("close", json!({})), "base write");
        assert_eq!(asked("search", json!({ "limit": 900 })), "base bulk");
        assert_eq!(asked("unknown", json!({})), "base");
    }

    #[test]
    fn a_challenge_stays_short() {
        let refusal = Refusal::Call(CallRefusal::ToolNotGranted);
        let needed = challenges(&[]).needed(&refusal, &"x".repeat(9000), &Value::Null).unwrap();
        assert!(challenges(&[]).header(&refusal, Some(&needed)).unwrap().len() < 4096);
    }
}
