//! One JSON-RPC message, read strictly: what is judged here is what the server will read, so every text that two readers
//! could read differently is refused (JSON-RPC 2.0; MCP 2026-07-28 and 2025-11-25, Streamable HTTP).

use serde_json::{Map, Value};

use super::refusal::Refusal;
use crate::protocol::strict_json;

/// How deep a message may nest.
const DEPTH: usize = 64;
/// The member of `_meta` that names the protocol version (MCP 2026-07-28, Versioning).
const VERSION_META: &str = "io.modelcontextprotocol/protocolVersion";
/// What a message may consist of. Other spellings of these would be the same member to readers that ignore case.
const MEMBERS: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];
/// The members of `params` that say what is called, in the only spelling in which they count.
const PARAMS: [&str; 6] = ["name", "arguments", "uri", "_meta", "taskId", "cursor"];

/// A message from a client.
#[derive(Debug)]
pub(super) struct Message {
    /// What it is.
    pub(super) kind: Kind,
    /// Its `params`, empty where there are none.
    pub(super) params: Map<String, Value>,
}

/// The three kinds of message.
#[derive(Debug, PartialEq)]
pub(super) enum Kind {
    /// Wants an answer, under this id.
    Request {
        /// The request's id: a string or an integer.
        id: Value,
        /// What is asked.
        method: String,
    },
    /// Wants none.
    Notification {
        /// What is told.
        method: String,
    },
    /// Answers a request of the server.
    Response,
}

impl Message {
    /// Reads a body.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        // MCP 2026-07-28, Streamable HTTP: "The body of the HTTP POST MUST be a single JSON-RPC request or notification."
        // Batches were removed in 2025-06-18, and some servers still take them.
        let value = strict_json::value(body, DEPTH).map_err(|_| Refusal::JsonMalformed)?;
        let mut message = match value {
            Value::Object(message) => message,
            Value::Array(_) => return Err(Refusal::BatchNotAllowed),
            _ => return Err(Refusal::MessageMalformed),
        };
        let known = message.keys().all(|name| MEMBERS.contains(&name.as_str()));
        if !known || message.get("jsonrpc") != Some(&Value::from("2.0")) {
            return Err(Refusal::MessageMalformed);
        }
        let params = match message.remove("params") {
            None => Map::new(),
            Some(Value::Object(params)) => params,
            Some(_) => return Err(Refusal::MessageMalformed),
        };
        check_spelling(&params)?;
        let answers =
            usize::from(message.contains_key("result")) + usize::from(message.contains_key("error"));
        let kind = match (message.remove("method"), message.remove("id"), answers) {
            (Some(Value::String(method)), Some(id), 0) if is_id(&id) => Kind::Request { id, method },
            (Some(Value::String(method)), None, 0) => Kind::Notification { method },
            (None, Some(id), 1) if is_id(&id) && params.is_empty() => Kind::Response,
            _ => return Err(Refusal::MessageMalformed),
        };
        Ok(Self { kind, params })
    }

    /// The id of a request.
    pub(super) fn id(&self) -> Option<&Value> {
        match &self.kind {
            Kind::Request { id, .. } => Some(id),
            Kind::Notification { .. } | Kind::Response => None,
        }
    }

    /// What is asked or told.
    pub(super) fn method(&self) -> Option<&str> {
        match &self.kind {
            Kind::Request { method, .. } | Kind::Notification { method } => Some(method),
            Kind::Response => None,
        }
    }

    /// The protocol version that the body names, from 2026-07-28 on.
    pub(super) fn version(&self) -> Option<&Value> {
        self.params.get("_meta")?.get(VERSION_META)
    }

    /// What the `Mcp-Name` header repeats (MCP 2026-07-28, Standard Request Headers): where it comes from, and whether the
    /// header is required.
    pub(super) fn name(&self) -> Option<(&Value, bool)> {
        let (member, required) = match self.method()? {
            "tools/call" | "prompts/get" => ("name", true),
            "resources/read" => ("uri", true),
            "resources/subscribe" | "resources/unsubscribe" => ("uri", false),
            "tasks/get" | "tasks/update" | "tasks/cancel" | "tasks/result" => ("taskId", false),
            _ => return None,
        };
        self.params.get(member).map(|value| (value, required))
    }
}

/// MCP, Requests: ids are strings or integers, and "MUST NOT be null".
fn is_id(id: &Value) -> bool {
    id.is_string() || id.is_i64() || id.is_u64()
}

/// Refuses members that a reader which ignores case would take for another one: twins, and known names spelt differently.
fn check_spelling(params: &Map<String, Value>) -> Result<(), Refusal> {
    check_twins(params)?;
    let disguised = |name: &&String| {
        !PARAMS.contains(&name.as_str()) && PARAMS.iter().any(|known| fold(known) == fold(name))
    };
    match params.keys().find(disguised) {
        Some(name) => Err(Refusal::MemberDisguised { at: format!("/{}", escape(name)) }),
        None => Ok(()),
    }
}

fn check_twins(members: &Map<String, Value>) -> Result<(), Refusal> {
    let mut folded: Vec<_> = members.keys().map(|name| fold(name)).collect();
    folded.sort_unstable();
    if folded.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Refusal::MembersAlike);
    }
    Ok(())
}

/// Checks the spelling of a call's arguments, at every depth: no two members that differ in case only, and none that is
/// one of `constrained` but for its case. Servers in some languages match members to fields without looking at case,
/// and would read `Limit` where the token bounds `limit`.
pub(super) fn check_arguments(arguments: &Value, constrained: &[String]) -> Result<(), Refusal> {
    let folded: Vec<_> = constrained.iter().map(|name| fold(name)).collect();
    walk(arguments, &mut String::new(), &|name| {
        folded.iter().zip(constrained).any(|(known, exact)| *known == fold(name) && exact != name)
            && !constrained.iter().any(|exact| exact == name)
    })
}

fn walk(value: &Value, path: &mut String, disguised: &impl Fn(&str) -> bool) -> Result<(), Refusal> {
    let below = |path: &mut String, step: &str, value: &Value| {
        let length = path.len();
        path.push('/');
        path.push_str(step);
        let walked = walk(value, path, disguised);
        path.truncate(length);
        walked
    };
    match value {
        Value::Object(members) => {
            check_twins(members)?;
            for (name, member) in members {
                if disguised(name) {
                    return Err(Refusal::MemberDisguised { at: format!("{path}/{}", escape(name)) });
                }
                below(path, &escape(name), member)?;
            }
            Ok(())
        }
        Value::Array(items) => {
            items.iter().enumerate().try_for_each(|(index, item)| below(path, &index.to_string(), item))
        }
        _ => Ok(()),
    }
}

/// The same for all spellings that differ in case only, the long s and the Kelvin sign among them.
fn fold(name: &str) -> String {
    name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// A member's name as a step of a JSON Pointer (RFC 6901 §3).
fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(text: &str) -> String {
        Message::parse(text.as_bytes())
            .map_or_else(|refusal| refusal.rule().to_owned(), |_| "accepted".to_owned())
    }

    #[test]
    fn reads_the_three_kinds() {
        let request = Message::parse(br#"{"jsonrpc":"2.0","id":"a","method":"ping"}"#).unwrap();
        assert_eq!((request.method(), request.id()), (Some("ping"), Some(&json!("a"))));
        let told = Message::parse(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).unwrap();
        assert_eq!((told.method(), told.id()), (Some("notifications/initialized"), None));
        let answer = Message::parse(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#).unwrap();
        assert_eq!(answer.kind, Kind::Response);
    }

    #[test]
    fn refuses_what_two_readers_read_differently() {
        for (text, expected) in [
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}"#, "json_malformed"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping","m\u0065thod":"tools/call"}"#, "json_malformed"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}"#, "message_malformed"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"name":"a","Name":"b"}}"#, "members_alike"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"Name":"b"}}"#, "member_disguised"),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"argument\u017f":{}}}"#,
                "member_disguised",
            ),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping"}{}"#, "json_malformed"),
            ("\u{feff}{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}", "json_malformed"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"\ud800"}"#, "json_malformed"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":1e999}}"#, "json_malformed"),
            (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, "batch_not_allowed"),
            ("[]", "batch_not_allowed"),
            ("7", "message_malformed"),
            (r#"{"id":1,"method":"ping"}"#, "message_malformed"),
            (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, "message_malformed"),
            (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, "message_malformed"),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, "message_malformed"),
            (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, "message_malformed"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#, "message_malformed"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#, "message_malformed"),
            (r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#, "message_malformed"),
            (r#"{"jsonrpc":"2.0","id":1}"#, "message_malformed"),
        ] {
            assert_eq!(rule(text), expected, "{text}");
        }
        let deep = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"x":{}{}}}}}"#,
            "[".repeat(100),
            "]".repeat(100)
        );
        assert_eq!(rule(&deep), "json_malformed");
    }

    #[test]
    fn arguments_have_one_spelling() {
        let bounded = ["limit".to_owned(), "filter".to_owned()];
        assert!(check_arguments(&json!({"limit": 1, "Other": {"x": [{"y": 1}]}}), &bounded).is_ok());
        assert!(check_arguments(&Value::Null, &bounded).is_ok());
        for (arguments, rule) in [
            (json!({"Limit": 1000}), "member_disguised"),
            (json!({"x": [{"LIMIT": 1000}]}), "member_disguised"),
            (json!({"a": 1, "A": 2}), "members_alike"),
            (json!({"x": {"k": 1, "\u{212a}": 2}}), "members_alike"),
        ] {
            assert_eq!(check_arguments(&arguments, &bounded).unwrap_err().rule(), rule, "{arguments}");
        }
        let refusal = check_arguments(&json!({"a/b": [{"FILTER": 1}]}), &bounded).unwrap_err();
        assert_eq!(refusal.at(), Some("/a~1b/0/FILTER"));
    }
}
