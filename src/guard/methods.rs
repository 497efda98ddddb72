//! Which methods are let through, and what must be true for each: a table. What isn't in it is refused.

use serde_json::Value;

use super::message::{Kind, Message};
use super::refusal::Refusal;
use crate::config::Allowed;

/// What is done with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Treatment {
    /// It carries no authority: any good token will do.
    Harmless,
    /// A tool is called: the token must allow it.
    Call,
    /// Tools are listed: the answer is filtered.
    List,
}

/// Harmless for whoever has a token for this resource: how sessions begin, what the server is, what is shown.
const HARMLESS: [&str; 5] =
    ["initialize", "ping", "server/discover", "logging/setLevel", "subscriptions/listen"];
/// What clients tell servers. Anything else without an id is no notification of the protocol.
const TOLD: [&str; 6] = [
    "notifications/initialized",
    "notifications/cancelled",
    "notifications/progress",
    "notifications/roots/list_changed",
    "notifications/elicitation/response",
    "notifications/message",
];

/// What to do with a message, or that it isn't let through.
pub(super) fn treatment(message: &Message, allow: &[Allowed]) -> Result<Treatment, Refusal> {
    let method = match &message.kind {
        // The session, to which every response is bound, is looked at elsewhere.
        Kind::Response => return Ok(Treatment::Harmless),
        Kind::Notification { method } if TOLD.contains(&method.as_str()) => return Ok(Treatment::Harmless),
        // A call without an id is a call all the same to a server that doesn't look.
        Kind::Notification { .. } => return Err(Refusal::RpcMethodNotAllowed),
        Kind::Request { method, .. } => method.as_str(),
    };
    match method {
        "tools/call" => Ok(Treatment::Call),
        "tools/list" => Ok(Treatment::List),
        "subscriptions/listen" if listens_to_more_than_tools(message, allow) => {
            Err(Refusal::RpcMethodNotAllowed)
        }
        method if HARMLESS.contains(&method) => Ok(Treatment::Harmless),
        method if allow.iter().any(|allowed| opens(*allowed, method)) => Ok(Treatment::Harmless),
        _ => Err(Refusal::RpcMethodNotAllowed),
    }
}

fn opens(allowed: Allowed, method: &str) -> bool {
    let methods: &[&str] = match allowed {
        Allowed::Resources => &[
            "resources/list",
            "resources/templates/list",
            "resources/read",
            "resources/subscribe",
            "resources/unsubscribe",
            "resources/directory/read",
        ],
        Allowed::Prompts => &["prompts/list", "prompts/get"],
        Allowed::Completion => &["completion/complete"],
        Allowed::Tasks => &["tasks/get", "tasks/update", "tasks/cancel", "tasks/list", "tasks/result"],
    };
    methods.contains(&method)
}

/// News that anybody with a good token may listen to.
const ANYBODYS: [&str; 2] = ["toolsListChanged", "promptsListChanged"];

/// MCP 2026-07-28, Subscriptions: the filter names what is listened to. News of resources are for those who may read them.
fn listens_to_more_than_tools(message: &Message, allow: &[Allowed]) -> bool {
    if allow.contains(&Allowed::Resources) {
        return false;
    }
    let empty = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        _ => false,
    };
    match message.params.get("notifications") {
        None => false,
        // What isn't known to be harmless isn't listened to.
        Some(Value::Object(filter)) => {
            filter.iter().any(|(name, value)| !ANYBODYS.contains(&name.as_str()) && !empty(value))
        }
        Some(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn treated(method: &str, allow: &[Allowed]) -> Result<Treatment, Refusal> {
        let text = json!({"jsonrpc": "2.0", "id": 1, "method": method}).to_string();
        treatment(&Message::parse(text.as_bytes()).unwrap(), allow)
    }

    #[test]
    fn what_is_not_known_is_not_let_through() {
        assert_eq!(treated("tools/call", &[]), Ok(Treatment::Call));
        assert_eq!(treated("tools/list", &[]), Ok(Treatment::List));
        for method in HARMLESS {
            assert_eq!(treated(method, &[]), Ok(Treatment::Harmless), "{method}");
        }
        for method in [
            "Tools/call",
            "tools/call ",
            "tools/call\0",
            "tools/callX",
            "tools/run",
            "resources/read",
            "prompts/get",
            "completion/complete",
            "tasks/result",
            "notifications/initialized",
            "skills/get",
            "",
            "sampling/createMessage",
        ] {
            assert_eq!(treated(method, &[]), Err(Refusal::RpcMethodNotAllowed), "{method}");
        }
        assert!(treated("resources/read", &[Allowed::Resources]).is_ok());
        assert!(treated("prompts/get", &[Allowed::Resources]).is_err());
    }

    #[test]
    fn a_call_without_an_id_is_no_notification() {
        for method in
            ["tools/call", "tools/list", "resources/read", "notifications/tools/call", "notifications/x"]
        {
            let text = json!({"jsonrpc": "2.0", "method": method}).to_string();
            let message = Message::parse(text.as_bytes()).unwrap();
            assert_eq!(
                treatment(&message, &[Allowed::Resources]),
                Err(Refusal::RpcMethodNotAllowed),
                "{method}"
            );
        }
    }

    #[test]
    fn listening_to_resources_needs_resources() {
        let listen = |filter: Value| {
            let text = json!({"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": {"notifications": filter}});
            Message::parse(text.to_string().as_bytes()).unwrap()
        };
        let tools = listen(json!({"toolsListChanged": true, "resourceSubscriptions": []}));
        assert!(treatment(&tools, &[]).is_ok());
        let resources = listen(json!({"resourceSubscriptions": ["file:///secret"]}));
        assert!(treatment(&resources, &[]).is_err());
        assert!(treatment(&resources, &[Allowed::Resources]).is_ok());
        for filter in [json!({"taskIds": ["tsk_of_others"]}), json!(["resourceSubscriptions"]), json!("all")]
        {
            assert!(treatment(&listen(filter.clone()), &[]).is_err(), "{filter}");
        }
    }
}
