//! Detail types that an operator registers: a JSON Schema, and for each member the rule by which it narrows.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jsonschema::{PatternOptions, Validator};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::mcp_tool_call::MCP_TOOL_CALL;
use super::{Reason, json};
use crate::protocol::authorization_details::AuthorizationDetail;

/// How one member of a detail narrows: what a child may have where the parent has a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NarrowingRule {
    /// The same JSON value; objects without regard to order, numbers by value.
    Equal,
    /// An array that isn't empty, all of whose items the parent has. An empty array is refused: readers that take "no
    /// filter" for "everything" would see it widen.
    Subset,
    /// A number that isn't larger. Whether negative numbers make sense is for the schema to say.
    AtMost,
    /// A string that begins with the parent's, code point by code point. Purely textual: end the parent with its
    /// separator (`/docs/`, not `/docs`), and forbid `..` by the schema where strings are paths.
    Prefix,
}

/// Why a registered type can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperatorTypeError {
    /// Not an object with `type`, `schema` and `narrowing`, or something else beside them.
    #[error("a detail type has a type, a schema and narrowing rules, and nothing else")]
    Malformed,
    /// The name is empty, built in, or registered twice.
    #[error("the detail type {0:?} can not be registered under this name")]
    Name(String),
    /// `type` narrows by being equal, and `locations` as a set; neither can be changed.
    #[error("the narrowing rule for the member {0:?} is not one of those possible")]
    Rule(String),
    /// The schema isn't valid, refers to another document, or uses a pattern that can't be matched in linear time.
    #[error("the schema of the detail type {0:?} can not be used: {1}")]
    Schema(String, String),
}

/// A detail type of the operator's own.
///
/// Each member of a detail needs a rule; `locations` has `subset` without being named, and `type` is always equal. A child
/// has exactly the members that its parent has. Leaving one out may lift a limit, and adding one that the parent lacks may
/// switch something on: only the resource knows what absence means, so neither is within.
#[derive(Clone)]
pub struct OperatorType {
    kind: String,
    narrowing: BTreeMap<String, NarrowingRule>,
    schema: Arc<Validator>,
}

impl fmt::Debug for OperatorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperatorType")
            .field("kind", &self.kind)
            .field("narrowing", &self.narrowing)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Registration {
    r#type: String,
    schema: Value,
    narrowing: BTreeMap<String, NarrowingRule>,
}

impl OperatorType {
    /// Takes a type from its parts. `$ref` to other documents isn't followed, it's an error.
    pub fn new(
        kind: &str,
        schema: &Value,
        mut narrowing: BTreeMap<String, NarrowingRule>,
    ) -> Result<Self, OperatorTypeError> {
        if kind.is_empty() || kind == MCP_TOOL_CALL {
            return Err(OperatorTypeError::Name(kind.to_owned()));
        }
        for (member, rule) in &narrowing {
            let possible = match member.as_str() {
                "type" => false,
                "locations" => matches!(rule, NarrowingRule::Equal | NarrowingRule::Subset),
                _ => true,
            };
            if !possible {
                return Err(OperatorTypeError::Rule(member.clone()));
            }
        }
        narrowing.entry("locations".to_owned()).or_insert(NarrowingRule::Subset);
        // The `regex` engine runs in linear time; the default one backtracks, and the texts come from strangers.
        let schema = jsonschema::options()
            .offline()
            .with_pattern_options(PatternOptions::regex())
            .build(schema)
            .map_err(|error| OperatorTypeError::Schema(kind.to_owned(), error.to_string()))?;
        Ok(Self { kind: kind.to_owned(), narrowing, schema: Arc::new(schema) })
    }

    /// Takes a type as the registry writes it: `{type, schema, narrowing: {member: rule}}`.
    pub fn from_value(value: Value) -> Result<Self, OperatorTypeError> {
        let registration: Registration =
            serde_json::from_value(value).map_err(|_| OperatorTypeError::Malformed)?;
        Self::new(&registration.r#type, &registration.schema, registration.narrowing)
    }

    /// The `type` of these details.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Whether a detail is well formed: fits the schema, and has only members with a rule, each of the kind its rule needs.
    pub(super) fn check(&self, detail: &AuthorizationDetail) -> Result<(), Reason> {
        for (member, value) in detail.object() {
            if member == "type" {
                continue;
            }
            let Some(rule) = self.narrowing.get(member) else {
                return Err(Reason::new("a member that has no narrowing rule", member));
            };
            if !rule.applies_to(value) {
                return Err(Reason::new("a member of another kind than its narrowing rule needs", member));
            }
        }
        if !self.schema.is_valid(&Value::Object(detail.object().clone())) {
            return Err(Reason::new("the detail does not fit the schema of its type", ""));
        }
        Ok(())
    }

    /// Both must have passed [`Self::check`].
    pub(super) fn within(
        &self,
        child: &AuthorizationDetail,
        parent: &AuthorizationDetail,
    ) -> Result<(), Reason> {
        let (child, parent) = (child.object(), parent.object());
        if let Some(omitted) = parent.keys().find(|member| !child.contains_key(*member)) {
            return Err(Reason::new("a member that was granted is left out", omitted));
        }
        for (member, value) in child {
            let Some(bound) = parent.get(member) else {
                return Err(Reason::new("a member that was not granted", member));
            };
            let rule = self.narrowing.get(member).copied().unwrap_or(NarrowingRule::Equal);
            if !rule.within(value, bound) {
                return Err(
                    Reason::new("a member exceeds what was granted", member).limited_to(bound.clone())
                );
            }
        }
        Ok(())
    }

    /// The common part, member by member; None if a member has none, or if the schema refuses the outcome.
    pub(super) fn meet(
        &self,
        a: &AuthorizationDetail,
        b: &AuthorizationDetail,
    ) -> Option<AuthorizationDetail> {
        if a.object().len() != b.object().len() {
            return None;
        }
        let mut common = Map::new();
        for (member, value) in a.object() {
            let rule = self.narrowing.get(member).copied().unwrap_or(NarrowingRule::Equal);
            common.insert(member.clone(), rule.meet(value, b.object().get(member)?)?);
        }
        let common = AuthorizationDetail::new(common).ok()?;
        self.check(&common).ok().map(|()| common)
    }
}

impl NarrowingRule {
    fn applies_to(self, value: &Value) -> bool {
        match self {
            // Equal to itself: no number in it that can't be held exactly.
            Self::Equal => json::equal(value, value),
            Self::Subset => {
                value.as_array().is_some_and(|items| !items.is_empty()) && json::equal(value, value)
            }
            Self::AtMost => value.is_number() && json::equal(value, value),
            Self::Prefix => value.is_string(),
        }
    }

    fn within(self, child: &Value, parent: &Value) -> bool {
        if !self.applies_to(child) || !self.applies_to(parent) {
            return false;
        }
        match (self, child, parent) {
            (Self::Equal, ..) => json::equal(child, parent),
            (Self::Subset, Value::Array(child), Value::Array(parent)) => {
                child.iter().all(|item| json::contains(parent, item))
            }
            (Self::AtMost, Value::Number(child), Value::Number(parent)) => {
                json::compare(child, parent).is_le()
            }
            (Self::Prefix, Value::String(child), Value::String(parent)) => child.starts_with(parent.as_str()),
            (Self::Subset | Self::AtMost | Self::Prefix, ..) => false,
        }
    }

    fn meet(self, a: &Value, b: &Value) -> Option<Value> {
        if self.within(a, b) {
            return Some(a.clone());
        }
        if self.within(b, a) {
            return Some(b.clone());
        }
        match (self, a, b) {
            (Self::Subset, Value::Array(a), Value::Array(b)) => {
                let common: Vec<Value> = a.iter().filter(|item| json::contains(b, item)).cloned().collect();
                (!common.is_empty()).then_some(Value::Array(common))
            }
            _ => None,
        }
    }
}
