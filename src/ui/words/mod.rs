//! `authorization_details` (RFC 9396) in words that a person understands. Nothing is left out: what has no words here is
//! shown as it is written, and each detail carries its canonical bytes as well.

mod constraint;
mod operator_type;
mod tool_call;

use serde_json::Value;

pub use constraint::Phrase;

use crate::domain::narrowing::MCP_TOOL_CALL;
use crate::domain::registry::{Impact, Registry};
use crate::protocol::authorization_details::{AuthorizationDetail, AuthorizationDetails};

/// One authorization detail as a page shows it. Its texts may come from anybody; the templates make them inert.
#[derive(Clone, Debug, PartialEq)]
pub struct Detail {
    /// The `type`.
    pub kind: String,
    /// What this type of detail is about, in a few words.
    pub title: String,
    /// More about the type, by its operator; empty if there is nothing.
    pub description: String,
    /// Where it holds: for `mcp_tool_call`, each of its locations.
    pub places: Vec<Place>,
    /// For `mcp_tool_call`: its tools, those that can do most first.
    pub groups: Vec<ToolGroup>,
    /// For `mcp_tool_call` on a step-up: those of its tools that the person already allows, just so.
    pub known_groups: Vec<ToolGroup>,
    /// Everything else that the detail has: for other types, all its members but `type`.
    pub members: Vec<Member>,
    /// The canonical JSON (RFC 8785): the bytes as they will stand in the token.
    pub canonical: String,
}

/// An MCP server that a detail names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// What people call it; empty if the registry has no name for it.
    pub name: String,
    /// Its URI.
    pub uri: String,
}

/// The tools of one impact class.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolGroup {
    /// What a call of them can do.
    pub impact: Impact,
    /// The tools.
    pub tools: Vec<Tool>,
}

/// One tool, and how it may be called.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// Its exact name.
    pub name: String,
    /// What a call can do; the worst is assumed of a tool that the registry doesn't know.
    pub impact: Impact,
    /// Whether the server's entry in the registry lists it.
    pub listed: bool,
    /// Whether its calls are switched off at the moment.
    pub disabled: bool,
    /// The ways in which it may be called; a call has to fit one of them. One, nearly always.
    pub ways: Vec<Way>,
    /// On a step-up: the ways in which the person lets it be called so far.
    pub so_far: Vec<Way>,
    /// The servers to which a token for this tool also opens the way.
    pub onward: Vec<Onward>,
}

/// Constraints on the arguments of a tool, all of which hold at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Way {
    /// The arguments that are constrained.
    pub arguments: Vec<Argument>,
    /// Whether no other arguments may be given.
    pub closed: bool,
    /// What has no words: shown as it is written.
    pub verbatim: Vec<Member>,
}

/// One argument and what it may be.
#[derive(Clone, Debug, PartialEq)]
pub struct Argument {
    /// The member names on the way to it, outermost first.
    pub path: Vec<String>,
    /// What it may be; empty if anything.
    pub phrases: Vec<Phrase>,
    /// Whether it has to be given. If not, a call may also leave it out.
    pub required: bool,
}

/// A way on from a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Onward {
    /// Where it leads.
    pub place: Place,
    /// The scopes that may be asked for there.
    pub scopes: Vec<String>,
    /// The details that may be asked for there, as canonical JSON.
    pub details: Vec<String>,
}

/// A member of a detail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What people call it: the `title` of its schema, or else its name.
    pub label: String,
    /// Its name.
    pub name: String,
    /// More about it, by its operator; empty if there is nothing.
    pub description: String,
    /// Its value, or each item of it if it is a list of plain values.
    pub values: Vec<String>,
}

/// All details of a list, in its order.
pub fn details(list: &AuthorizationDetails, registry: &Registry) -> Vec<Detail> {
    list.iter().map(|detail| one(detail, None, registry)).collect()
}

/// The details of `asked` that lie not wholly within what was `given`. Of a detail that was given in part, the tools that the
/// person already allows are set apart, and beside each of the others stands what was allowed of it so far.
pub fn news(asked: &AuthorizationDetails, given: &AuthorizationDetails, registry: &Registry) -> Vec<Detail> {
    let is_new = |detail: &&AuthorizationDetail| !lies_within((*detail).clone(), given, registry);
    asked.iter().filter(is_new).map(|detail| one(detail, Some(given), registry)).collect()
}

fn one(detail: &AuthorizationDetail, given: Option<&AuthorizationDetails>, registry: &Registry) -> Detail {
    if detail.kind() == MCP_TOOL_CALL {
        tool_call::describe(detail, given, registry)
    } else {
        operator_type::describe(detail, registry)
    }
}

fn lies_within(detail: AuthorizationDetail, given: &AuthorizationDetails, registry: &Registry) -> bool {
    AuthorizationDetails::from_details(vec![detail])
        .is_ok_and(|alone| registry.detail_types.within(&alone, given).is_ok())
}

fn place(uri: &str, registry: &Registry) -> Place {
    let name = registry.resource(uri).map(|resource| resource.name.clone()).unwrap_or_default();
    Place { name, uri: uri.to_owned() }
}

/// A member without words: its name, and its value as JSON.
fn verbatim(name: &str, value: &Value) -> Member {
    Member {
        label: name.to_owned(),
        name: name.to_owned(),
        description: String::new(),
        values: vec![value.to_string()],
    }
}

#[cfg(test)]
mod tests;
