//! The challenge that tells a client which token would do (RFC 6750 §3, RFC 9728 §5.1, RFC 9396 §5).

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::refusal::Refusal;
use crate::domain::narrowing::{CallRefusal, MCP_TOOL_CALL};
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
}

impl Challenges {
    /// Challenges for `resource`, whose requests all need `scopes`.
    pub(super) fn new(resource: &ResourceUri, scopes: &[String]) -> Self {
        let (metadata_url, _) = metadata::location(resource);
        Self { resource: resource.as_str().to_owned(), metadata_url, scopes: scopes.to_vec() }
    }

    /// The scopes that every request needs.
    pub(super) fn scopes(&self) -> &[String] {
        &self.scopes
    }

    /// The `WWW-Authenticate` of a refusal; `needed` is what a token would have to say in detail.
    pub(super) fn header(&self, refusal: &Refusal, needed: Option<&Value>) -> Option<String> {
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
        // MCP, Authorization: all scopes of the operation at once, so that one new token is enough.
        if !self.scopes.is_empty() {
            let _ = write!(text, ", scope=\"{}\"", quoted(&self.scopes.join(" ")));
        }
        if let Some(details) = needed {
            let with_details = format!("{text}, authorization_details=\"{}\"", quoted(&ascii(details)));
            if with_details.len() <= LONGEST {
                text = with_details;
            }
        }
        Some(text)
    }

    /// The same for readers of JSON.
    pub(super) fn json(&self, refusal: &Refusal, needed: Option<&Value>) -> Option<Value> {
        let code = refusal.oauth_code()?;
        let mut challenge = json!({ "error": code.as_str(), "resource_metadata": self.metadata_url });
        if !self.scopes.is_empty() {
            challenge["scope"] = self.scopes.join(" ").into();
        }
        if let Some(details) = needed {
            challenge["authorization_details"] = details.clone();
        }
        Some(challenge)
    }

    /// The authorization details that this call would need: the tool, and where one argument was the reason, that argument
    /// as it is. What else the token already allows is the client's to keep.
    pub(super) fn needed(&self, refusal: &Refusal, tool: &str, arguments: &Value) -> Option<Value> {
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
        Some(json!([{ "type": MCP_TOOL_CALL, "locations": [self.resource], "tools": [entry] }]))
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
        assert_eq!(read, needed);
    }

    #[test]
    fn a_challenge_stays_short() {
        let refusal = Refusal::Call(CallRefusal::ToolNotGranted);
        let needed = challenges(&[]).needed(&refusal, &"x".repeat(9000), &Value::Null).unwrap();
        assert!(challenges(&[]).header(&refusal, Some(&needed)).unwrap().len() < 4096);
    }
}
