//! Scopes that stand for tools (decision 0011): what a client asks for that can name scopes only, written out as the
//! details that everything else is decided by (RFC 9396 §3: scope and details are processed "in combination").

use serde_json::{Value, json};

use super::narrowing::{DetailTypes, MCP_TOOL_CALL, ToolGrants};
use super::registry::{Resource, ScopeTools};
use crate::protocol::authorization_details::{AuthorizationDetail, AuthorizationDetails, ParseError};
use crate::protocol::scope::Scope;

/// What each scope stands for now: without the tools that are switched off.
pub fn standing(resource: &Resource) -> ScopeTools {
    let mut all = resource.scope_tools.clone();
    for entries in all.values_mut() {
        entries.retain(|entry| is_on(resource, entry));
    }
    all
}

/// What these scopes stand for at `resource`: one detail with the tools of each, or none. Tools that are switched off are
/// left out: the rest of a scope outlives them.
pub fn details_of_scopes(resource: &Resource, scope: &Scope) -> AuthorizationDetails {
    let entries = scope.iter().filter_map(|token| resource.scope_tools.get(token)).flatten();
    let entries = entries.filter(|entry| is_on(resource, entry));
    // A registry whose scopes don't make a detail isn't stored.
    details(resource.resource.as_str(), entries).unwrap_or_default()
}

/// What a client asks for that names nothing at all: what the first scopes stand for, or, where no scope stands for
/// anything, every tool that is on. The person is shown each of them.
pub fn details_of_nothing_named(resource: &Resource) -> AuthorizationDetails {
    let speaks_of_tools = resource.detail_types.iter().any(|kind| kind == MCP_TOOL_CALL);
    if !resource.scope_tools.is_empty() || !speaks_of_tools {
        return details_of_scopes(resource, resource.first_scopes());
    }
    let on = resource.tools.iter().filter(|tool| !tool.disabled);
    let entries: Vec<_> = on.map(|tool| json!({ "name": tool.name })).collect();
    let all = details(resource.resource.as_str(), &entries).unwrap_or_default();
    // More tools than a detail can hold have to be named.
    let whole = DetailTypes::builtin().check(&all, &resource.detail_types).is_ok();
    if whole { all } else { AuthorizationDetails::default() }
}

/// The details that a request for both asks for: those that it names, and what its scopes stand for beside them. `None`
/// if that is more than one list can hold.
pub fn in_combination(
    resource: &Resource,
    scope: &Scope,
    named: &AuthorizationDetails,
) -> Option<AuthorizationDetails> {
    let meant = details_of_scopes(resource, scope);
    // What the named ones say already isn't said twice.
    if DetailTypes::builtin().within(&meant, named).is_ok() {
        return Some(named.clone());
    }
    AuthorizationDetails::from_details(named.iter().chain(meant.iter()).cloned().collect()).ok()
}

/// The scope that would open a call: of those whose tools allow it, the one that stands for the least.
pub fn scope_for_call<'a>(
    scope_tools: &'a ScopeTools,
    resource: &str,
    tool: &str,
    arguments: &Value,
) -> Option<&'a str> {
    let allows = |entries: &Vec<Value>| {
        let details = details(resource, entries).unwrap_or_default();
        ToolGrants::of(&details).allows(resource, tool, arguments).is_ok()
    };
    let fitting = scope_tools.iter().filter(|(_, entries)| allows(entries));
    fitting.min_by_key(|(_, entries)| entries.len()).map(|(token, _)| token.as_str())
}

/// One detail with these tool entries at `resource`; an entry that lies within another is left out. Without entries there
/// is no detail.
pub(crate) fn details<'a>(
    resource: &str,
    entries: impl IntoIterator<Item = &'a Value>,
) -> Result<AuthorizationDetails, ParseError> {
    let mut kept: Vec<&Value> = Vec::new();
    for entry in entries {
        let covers =
            |wide: &Value, narrow: &Value| name(wide) == name(narrow) && within(resource, narrow, wide);
        if !kept.iter().any(|other| covers(other, entry)) {
            kept.retain(|other| !covers(entry, other));
            kept.push(entry);
        }
    }
    if kept.is_empty() { Ok(AuthorizationDetails::default()) } else { detail(resource, &kept) }
}

fn within(resource: &str, narrow: &Value, wide: &Value) -> bool {
    match (detail(resource, &[narrow]), detail(resource, &[wide])) {
        (Ok(narrow), Ok(wide)) => DetailTypes::builtin().within(&narrow, &wide).is_ok(),
        _ => false,
    }
}

fn detail(resource: &str, tools: &[&Value]) -> Result<AuthorizationDetails, ParseError> {
    let detail = json!({ "type": MCP_TOOL_CALL, "locations": [resource], "tools": tools });
    let Value::Object(object) = detail else { return Ok(AuthorizationDetails::default()) };
    AuthorizationDetails::from_details(vec![AuthorizationDetail::new(object)?])
}

fn is_on(resource: &Resource, entry: &Value) -> bool {
    let tool = name(entry).and_then(|name| resource.tool(name));
    tool.is_some_and(|tool| !tool.disabled)
}

fn name(entry: &Value) -> Option<&str> {
    entry.get("name").and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "https://tickets.example.com/mcp";

    fn resource() -> Resource {
        serde_json::from_value(json!({
            "resource": HERE, "scopes": ["read", "bulk", "write", "plain"], "detail_types": ["mcp_tool_call"],
            "tools": [{ "name": "search" }, { "name": "get" }, { "name": "close" }, { "name": "gone", "disabled": true }],
            "scope_tools": {
                "read": [{ "name": "search", "arguments": { "/limit": { "maximum": 50 } } }, { "name": "get" }],
                "bulk": [{ "name": "search" }],
                "write": [{ "name": "close" }, { "name": "get" }, { "name": "gone" }],
            },
        }))
        .unwrap()
    }

    fn tools(scope: &str) -> Value {
        let details = details_of_scopes(&resource(), &Scope::parse(scope).unwrap());
        let all: Vec<_> = details.iter().map(|detail| detail.object()["tools"].clone()).collect();
        match all.as_slice() {
            [] => Value::Null,
            [tools] => tools.clone(),
            _ => panic!("more than one detail"),
        }
    }

    #[test]
    fn a_scope_is_written_out_as_its_tools() {
        let limited = json!({ "name": "search", "arguments": { "/limit": { "maximum": 50 } } });
        assert_eq!(tools("read"), json!([limited, { "name": "get" }]));
        assert_eq!(tools("plain"), Value::Null);
        assert_eq!(tools("unknown"), Value::Null);
        // What one scope grants without a limit isn't shown with one as well; what is switched off isn't shown.
        assert_eq!(
            tools("bulk read write"),
            json!([{ "name": "search" }, { "name": "get" }, { "name": "close" }])
        );
    }

    #[test]
    fn who_names_nothing_asks_for_the_first_scopes_or_for_every_tool() {
        let named = |resource: &Resource| {
            let tools = DetailTypes::builtin().tools_for(&details_of_nothing_named(resource), HERE);
            tools.into_iter().collect::<Vec<_>>()
        };
        let mut resource = resource();
        assert_eq!(named(&resource), ["close", "get", "search"]);
        resource.default_scopes = Scope::parse("read").unwrap();
        assert_eq!(named(&resource), ["get", "search"]);
        resource.scope_tools.clear();
        assert_eq!(named(&resource), ["close", "get", "search"]);
        resource.detail_types.clear();
        assert!(named(&resource).is_empty());
    }

    #[test]
    fn scopes_and_details_are_taken_together() {
        let named = |tools: Value| {
            let detail = json!([{ "type": "mcp_tool_call", "locations": [HERE], "tools": tools }]);
            AuthorizationDetails::parse(&detail.to_string()).unwrap()
        };
        let scope = |text: &str| Scope::parse(text).unwrap();
        let both = in_combination(&resource(), &scope("read"), &named(json!([{ "name": "close" }]))).unwrap();
        let types = DetailTypes::builtin();
        assert_eq!(types.tools_for(&both, HERE).into_iter().collect::<Vec<_>>(), ["close", "get", "search"]);
        let wider = named(json!([{ "name": "search" }, { "name": "get" }]));
        assert_eq!(in_combination(&resource(), &scope("read"), &wider), Some(wider));
    }

    #[test]
    fn the_scope_that_opens_a_call_is_the_one_that_stands_for_the_least() {
        let all = resource().scope_tools;
        let opens = |tool: &str, arguments: Value| scope_for_call(&all, HERE, tool, &arguments);
        assert_eq!(opens("search", json!({ "limit": 10 })), Some("bulk"));
        assert_eq!(opens("search", json!({ "limit": 900 })), Some("bulk"));
        assert_eq!(opens("get", Value::Null), Some("read"));
        assert_eq!(opens("close", Value::Null), Some("write"));
        assert_eq!(opens("delete", Value::Null), None);
        assert_eq!(scope_for_call(&all, "https://other.example", "get", &Value::Null), Some("read"));
    }
}
