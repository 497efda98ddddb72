//! The built-in detail type `mcp_tool_call`: which tools of which MCP servers may be called, with which arguments.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::arguments::ArgumentRules;
use super::{CallRefusal, Reason};
use crate::protocol::authorization_details::{AuthorizationDetail, AuthorizationDetails};

/// The `type` of these details.
pub const MCP_TOOL_CALL: &str = "mcp_tool_call";
/// The most tool entries of one detail.
const MAX_TOOLS: usize = 256;
/// The most entries of one detail for the same tool.
const MAX_ENTRIES_OF_A_TOOL: usize = 16;

/// A well-formed detail of type `mcp_tool_call`. It grants every one of its tools at every one of its locations. A tool may have
/// several entries: a call is granted if one of them allows it.
#[derive(Clone, Debug)]
pub struct McpToolCall {
    locations: Vec<String>,
    tools: Vec<Tool>,
}

#[derive(Clone, Debug)]
struct Tool {
    name: String,
    rules: ArgumentRules,
    /// The entry as it was sent.
    entry: Value,
}

impl McpToolCall {
    /// Reads a detail; anything that isn't known is refused.
    pub fn parse(detail: &AuthorizationDetail) -> Result<Self, Reason> {
        let (mut locations, mut tools) = (None, None);
        for (member, value) in detail.object() {
            match member.as_str() {
                "type" if detail.kind() == MCP_TOOL_CALL => {}
                "locations" => locations = Some(parse_locations(value)?),
                "tools" => tools = Some(parse_tools(value)?),
                _ => return Err(Reason::new("an unknown member", format!("/{member}"))),
            }
        }
        Ok(Self {
            locations: locations.ok_or(Reason::new("locations are missing", "/locations"))?,
            tools: tools.ok_or(Reason::new("tools are missing", "/tools"))?,
        })
    }

    /// The servers, as they were written.
    pub fn locations(&self) -> &[String] {
        &self.locations
    }

    /// Every tool at every location lies within some entry of some parent.
    pub(super) fn within(&self, parents: &[&Self]) -> Result<(), Reason> {
        for location in &self.locations {
            // Byte for byte: URIs that look or resolve alike are different locations.
            let there: Vec<_> = parents.iter().filter(|parent| parent.locations.contains(location)).collect();
            if there.is_empty() {
                return Err(Reason::new("this location was not granted", location));
            }
            for tool in &self.tools {
                let mut reason = Reason::new("this tool was not granted at this location", &tool.name);
                let mut entries = there.iter().flat_map(|parent| parent.entries(&tool.name));
                if !entries.any(|entry| tool.rules.within(&entry.rules).map_err(|why| reason = why).is_ok()) {
                    let tool = (reason.at != tool.name).then(|| tool.name.clone());
                    return Err(Reason { tool, ..reason });
                }
            }
        }
        Ok(())
    }

    /// The locations and tools that both grant, or nothing. An entry of one side that lies within the other side stays as
    /// it was written.
    pub(super) fn meet(&self, other: &Self) -> Option<Map<String, Value>> {
        let locations: Vec<Value> = self
            .locations
            .iter()
            .filter(|location| other.locations.contains(location))
            .map(|location| location.as_str().into())
            .collect();
        let mut common: Vec<Tool> = Vec::new();
        for tool in &self.tools {
            for entry in other.entries(&tool.name).filter_map(|theirs| tool.meet(theirs)) {
                if !common
                    .iter()
                    .any(|kept| kept.name == entry.name && entry.rules.within(&kept.rules).is_ok())
                {
                    common.retain(|kept| kept.name != entry.name || kept.rules.within(&entry.rules).is_err());
                    common.push(entry);
                }
            }
        }
        if locations.is_empty() || common.is_empty() {
            return None;
        }
        let tools: Vec<Value> = common.into_iter().map(|tool| tool.entry).collect();
        Some(Map::from_iter([
            ("type".to_owned(), MCP_TOOL_CALL.into()),
            ("locations".to_owned(), locations.into()),
            ("tools".to_owned(), tools.into()),
        ]))
    }

    /// Whether this detail grants a call. If arguments are refused, the reason is that of the last entry for the tool.
    fn allows(&self, location: &str, tool: &str, arguments: &Value) -> Result<(), CallRefusal> {
        if !self.locations.iter().any(|own| own == location) {
            return Err(CallRefusal::LocationNotGranted);
        }
        let mut refusal = CallRefusal::ToolNotGranted;
        for entry in self.entries(tool) {
            match entry.rules.allows(arguments) {
                Ok(()) => return Ok(()),
                Err(reason) => refusal = CallRefusal::ArgumentRefused(reason),
            }
        }
        Err(refusal)
    }

    fn entries<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Tool> {
        self.tools.iter().filter(move |tool| tool.name == name)
    }
}

/// What a list of details allows at MCP servers, read once: an enforcer keeps it beside a token's claims and asks it for
/// every call. Details of other types, and malformed ones, grant no call.
#[derive(Clone, Debug, Default)]
pub struct ToolGrants(Vec<McpToolCall>);

impl ToolGrants {
    /// Reads the details of type `mcp_tool_call`.
    pub fn of(details: &AuthorizationDetails) -> Self {
        let ours = details.iter().filter(|detail| detail.kind() == MCP_TOOL_CALL);
        Self(ours.filter_map(|detail| McpToolCall::parse(detail).ok()).collect())
    }

    /// Whether a call of `tool` at `location` is allowed. `arguments` is the object as the server will read it, from a
    /// parser that refuses duplicate members; `null` stands for none.
    pub fn allows(&self, location: &str, tool: &str, arguments: &Value) -> Result<(), CallRefusal> {
        let mut refusal = CallRefusal::LocationNotGranted;
        for detail in &self.0 {
            match detail.allows(location, tool, arguments) {
                Ok(()) => return Ok(()),
                Err(other) if other.rank() > refusal.rank() => refusal = other,
                Err(_) => {}
            }
        }
        Err(refusal)
    }

    /// The tools of one server that could ever be called.
    pub fn tools_for(&self, location: &str) -> BTreeSet<String> {
        let there = self.0.iter().filter(|detail| detail.locations.iter().any(|own| own == location));
        there.flat_map(|detail| &detail.tools).map(|tool| tool.name.clone()).collect()
    }
}

impl Tool {
    fn parse(entry: &Value) -> Result<Self, Reason> {
        let Value::Object(members) = entry else {
            return Err(Reason::new("a tool must be an object", "/tools"));
        };
        if let Some(unknown) =
            members.keys().find(|key| !["name", "arguments", "additionalArguments"].contains(&key.as_str()))
        {
            return Err(Reason::new("an unknown member of a tool", unknown));
        }
        let name = match members.get("name") {
            Some(Value::String(name)) if is_plain(name) => name.clone(),
            Some(Value::String(name)) => {
                return Err(Reason::new("a tool name must be the exact name of one tool", name));
            }
            _ => return Err(Reason::new("a tool has no name", "/tools")),
        };
        let rules = ArgumentRules::parse(members.get("arguments"), members.get("additionalArguments"))?;
        Ok(Self { name, rules, entry: entry.clone() })
    }

    fn meet(&self, other: &Self) -> Option<Self> {
        if self.rules.within(&other.rules).is_ok() {
            return Some(self.clone());
        }
        if other.rules.within(&self.rules).is_ok() {
            return Some(other.clone());
        }
        let rules = self.rules.meet(&other.rules)?;
        let mut entry = Map::from_iter([("name".to_owned(), self.name.as_str().into())]);
        rules.write(&mut entry);
        Some(Self { name: self.name.clone(), rules, entry: entry.into() })
    }
}

fn parse_locations(value: &Value) -> Result<Vec<String>, Reason> {
    let Some(items) = value.as_array().filter(|items| !items.is_empty()) else {
        return Err(Reason::new("locations must be an array that is not empty", "/locations"));
    };
    let mut locations: Vec<String> = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Value::String(location) if is_plain(location) && !locations.contains(location) => {
                locations.push(location.clone());
            }
            _ => {
                return Err(Reason::new(
                    "a location must be the exact URI of one server, named once",
                    "/locations",
                ));
            }
        }
    }
    Ok(locations)
}

fn parse_tools(value: &Value) -> Result<Vec<Tool>, Reason> {
    let Some(items) = value.as_array().filter(|items| !items.is_empty()) else {
        return Err(Reason::new("tools must be an array that is not empty", "/tools"));
    };
    if items.len() > MAX_TOOLS {
        return Err(Reason::new("too many tools", "/tools"));
    }
    let tools = items.iter().map(Tool::parse).collect::<Result<Vec<_>, _>>()?;
    for tool in &tools {
        if tools.iter().filter(|other| other.name == tool.name).count() > MAX_ENTRIES_OF_A_TOOL {
            return Err(Reason::new("too many entries for one tool", &tool.name));
        }
    }
    Ok(tools)
}

/// There are no wildcards, so whoever writes one is told so rather than granted a tool called "*".
fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(|c| c == '*' || c.is_whitespace() || c.is_control())
}
