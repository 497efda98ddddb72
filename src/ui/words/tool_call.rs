//! The built-in type `mcp_tool_call`: tools by what they can do, and their arguments.

use serde_json::{Map, Value};

use super::constraint::phrases;
use super::{Argument, Detail, Member, Onward, Tool, ToolGroup, Way, lies_within, place, verbatim};
use crate::domain::narrowing::MCP_TOOL_CALL;
use crate::domain::registry::{Impact, Registry};
use crate::protocol::authorization_details::{AuthorizationDetail, AuthorizationDetails};

/// The worst first: whoever stops reading early has read what matters most.
const WORST_FIRST: [Impact; 4] =
    [Impact::ExternalWrite, Impact::ReversibleWrite, Impact::ReadSensitive, Impact::Read];

/// What is known beside one tool entry.
struct Around<'a> {
    locations: &'a [String],
    given: Option<&'a AuthorizationDetails>,
    registry: &'a Registry,
}

pub(super) fn describe(
    detail: &AuthorizationDetail,
    given: Option<&AuthorizationDetails>,
    registry: &Registry,
) -> Detail {
    let mut members = Vec::new();
    let locations = take(detail, "locations", &mut members, |item| item.as_str().map(str::to_owned));
    let entries =
        take(detail, "tools", &mut members, |item| named(item).map(|(name, _)| (name, item.clone())));
    members.extend(
        detail
            .object()
            .iter()
            .filter(|(name, _)| !["type", "locations", "tools"].contains(&name.as_str()))
            .map(|(name, value)| verbatim(name, value)),
    );
    let around = Around { locations: &locations, given, registry };
    let (mut new, mut known) = (Vec::new(), Vec::new());
    for (name, entry) in &entries {
        let tools = if around.already_given(entry) { &mut known } else { &mut new };
        around.add(tools, name, entry);
    }
    Detail {
        kind: detail.kind().to_owned(),
        title: "Use tools".to_owned(),
        description: String::new(),
        places: locations.iter().map(|uri| place(uri, registry)).collect(),
        groups: grouped(&new),
        known_groups: grouped(&known),
        members,
        canonical: detail.canonical(),
    }
}

/// The items of a member that is a list of what `read` understands; what it doesn't is shown as it is written.
fn take<T>(
    detail: &AuthorizationDetail,
    name: &str,
    members: &mut Vec<Member>,
    read: impl Fn(&Value) -> Option<T>,
) -> Vec<T> {
    let value = detail.object().get(name);
    let items =
        value.and_then(Value::as_array).map(|items| items.iter().map(read).collect::<Option<Vec<T>>>());
    match (items, value) {
        (Some(Some(items)), _) => items,
        (_, Some(value)) => {
            members.push(verbatim(name, value));
            Vec::new()
        }
        (_, None) => Vec::new(),
    }
}

fn named(entry: &Value) -> Option<(String, &Map<String, Value>)> {
    let members = entry.as_object()?;
    Some((members.get("name")?.as_str()?.to_owned(), members))
}

fn grouped(tools: &[Tool]) -> Vec<ToolGroup> {
    let group = |impact| {
        let tools: Vec<Tool> = tools.iter().filter(|tool| tool.impact == impact).cloned().collect();
        (!tools.is_empty()).then_some(ToolGroup { impact, tools })
    };
    WORST_FIRST.into_iter().filter_map(group).collect()
}

impl Around<'_> {
    /// Whether this entry alone, at all the locations, lies within what was given.
    fn already_given(&self, entry: &Value) -> bool {
        let Some(given) = self.given else { return false };
        let alone = Map::from_iter([
            ("type".to_owned(), MCP_TOOL_CALL.into()),
            ("locations".to_owned(), self.locations.into()),
            ("tools".to_owned(), Value::Array(vec![entry.clone()])),
        ]);
        AuthorizationDetail::new(alone).is_ok_and(|alone| lies_within(alone, given, self.registry))
    }

    /// Adds an entry to the tool of its name, or that tool.
    fn add(&self, tools: &mut Vec<Tool>, name: &str, entry: &Value) {
        let way = way(entry);
        if let Some(tool) = tools.iter_mut().find(|tool| tool.name == name) {
            tool.ways.push(way);
            return;
        }
        let there = || self.locations.iter().map(|uri| self.registry.resource(uri));
        let known = || there().map(|resource| resource.and_then(|resource| resource.tool(name)));
        tools.push(Tool {
            name: name.to_owned(),
            // At several servers, the worst of what it does there; and of what isn't known, the worst.
            impact: known()
                .map(|tool| tool.map_or(Impact::ExternalWrite, |tool| tool.impact))
                .max()
                .unwrap_or(Impact::ExternalWrite),
            listed: !self.locations.is_empty() && known().all(|tool| tool.is_some()),
            disabled: known().flatten().any(|tool| tool.disabled),
            ways: vec![way],
            so_far: self.so_far(name),
            onward: self.onward(name),
        });
    }

    /// How the person lets a tool be called so far, at any of the locations.
    fn so_far(&self, name: &str) -> Vec<Way> {
        let mut ways = Vec::new();
        for detail in self.given.into_iter().flatten().filter(|detail| detail.kind() == MCP_TOOL_CALL) {
            let list = |member| detail.object().get(member).and_then(Value::as_array).into_iter().flatten();
            if list("locations").any(|uri| self.locations.iter().any(|own| uri == own)) {
                let same = |entry: &&Value| named(entry).is_some_and(|(other, _)| other == name);
                ways.extend(list("tools").filter(same).map(way));
            }
        }
        ways
    }

    fn onward(&self, name: &str) -> Vec<Onward> {
        let there = self.locations.iter().filter_map(|uri| self.registry.resource(uri));
        let ways = there.flat_map(|resource| &resource.downstream).filter(|way| way.tool == name);
        ways.map(|way| Onward {
            place: place(way.resource.as_str(), self.registry),
            scopes: way.scopes.iter().map(str::to_owned).collect(),
            details: way.authorization_details.iter().map(AuthorizationDetail::canonical).collect(),
        })
        .collect()
    }
}

/// The constraints of one entry. The members that have words are taken out; all others are shown as they are written.
fn way(entry: &Value) -> Way {
    let mut way = Way { arguments: Vec::new(), closed: false, verbatim: Vec::new() };
    for (member, value) in entry.as_object().into_iter().flatten() {
        match (member.as_str(), value) {
            ("name", Value::String(_)) => {}
            ("additionalArguments", Value::Bool(open)) => way.closed = !open,
            ("arguments", Value::Object(constraints)) => {
                for (pointer, constraint) in constraints {
                    match argument(pointer, constraint) {
                        Some(argument) => way.arguments.push(argument),
                        None => way.verbatim.push(verbatim(pointer, constraint)),
                    }
                }
            }
            _ => way.verbatim.push(verbatim(member, value)),
        }
    }
    way
}

fn argument(pointer: &str, constraint: &Value) -> Option<Argument> {
    let (phrases, required) = phrases(constraint.as_object()?);
    // RFC 6901 section 4: "first transforming any occurrence of the sequence '~1' to '/', and then […] '~0' to '~'".
    let path = pointer.strip_prefix('/')?.split('/').map(|token| token.replace("~1", "/").replace("~0", "~"));
    Some(Argument { path: path.collect(), phrases, required })
}
