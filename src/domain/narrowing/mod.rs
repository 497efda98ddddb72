//! How authority narrows: when one list of authorization details lies within another, what two lists have in common, and
//! which tool calls a list allows (RFC 9396 section 9 leaves this to each type).
//!
//! A list is a union: a call is allowed if any one detail allows it, and an empty list allows none. The laws, tested in
//! `tests/properties/narrowing.rs`:
//!
//! - if a child is within a parent, every call that the child allows the parent allows;
//! - every call that the meet of two lists allows, both allow;
//! - a well-formed list is within itself.
//!
//! "Within" is decided detail by detail and tool entry by tool entry: two parent entries that together cover a child's
//! entry, but neither alone, don't count. All comparison of names and strings is byte for byte: no case folding, no
//! Unicode normalization, no resolving of URIs.

mod arguments;
mod constraint;
mod json;
mod mcp_tool_call;
mod operator_type;
mod pointer;
mod reason;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

pub use self::mcp_tool_call::{MCP_TOOL_CALL, McpToolCall, ToolGrants};
pub use self::operator_type::{NarrowingRule, OperatorType, OperatorTypeError};
pub use self::reason::{CallRefusal, DetailsError, Reason};
use crate::protocol::authorization_details::{AuthorizationDetail, AuthorizationDetails, MAX_DETAILS};

/// The detail types that a tenant knows: the built-in one, and those that its operator registered.
#[derive(Clone, Debug, Default)]
pub struct DetailTypes {
    registered: BTreeMap<String, OperatorType>,
}

/// A detail that has passed the checks of its type.
struct Entry<'a> {
    detail: Cow<'a, AuthorizationDetail>,
    checked: Checked<'a>,
}

enum Checked<'a> {
    McpToolCall(McpToolCall),
    Registered(&'a OperatorType),
}

impl DetailTypes {
    /// Only `mcp_tool_call`.
    pub fn builtin() -> Self {
        Self::default()
    }

    /// The built-in type and these. Two of one name are refused.
    pub fn with(types: Vec<OperatorType>) -> Result<Self, OperatorTypeError> {
        let mut registered = BTreeMap::new();
        for operator_type in types {
            let kind = operator_type.kind().to_owned();
            if registered.insert(kind.clone(), operator_type).is_some() {
                return Err(OperatorTypeError::Name(kind));
            }
        }
        Ok(Self { registered })
    }

    /// Whether a type of this name is known.
    pub fn knows(&self, kind: &str) -> bool {
        kind == MCP_TOOL_CALL || self.registered.contains_key(kind)
    }

    /// Every detail is of a known type that the resource accepts, and well formed.
    pub fn check(
        &self,
        details: &AuthorizationDetails,
        allowed_types: &[String],
    ) -> Result<(), DetailsError> {
        for (index, detail) in details.iter().enumerate() {
            // RFC 9396 section 5: "The AS MUST refuse to process any unknown authorization details type or authorization
            // details not conforming to the respective type definition."
            let checked = self.checked(index, Cow::Borrowed(detail));
            if let Err(unknown @ DetailsError::UnknownType { .. }) = checked {
                return Err(unknown);
            }
            if !allowed_types.iter().any(|kind| kind == detail.kind()) {
                return Err(DetailsError::TypeNotAccepted { index });
            }
            checked?;
        }
        Ok(())
    }

    /// Every detail of the child lies within what the parent grants. A malformed parent detail grants nothing.
    pub fn within(
        &self,
        child: &AuthorizationDetails,
        parent: &AuthorizationDetails,
    ) -> Result<(), DetailsError> {
        let parents = self.well_formed(parent);
        for (index, detail) in child.iter().enumerate() {
            let entry = self.checked(index, Cow::Borrowed(detail))?;
            entry.within(&parents).map_err(|reason| DetailsError::Exceeds { index, reason })?;
        }
        Ok(())
    }

    /// The largest common part that details can express; it is within both sides. Details of either side that lie within the
    /// other side stay exactly as they are, `a`'s first and in its order; then come the parts that pairs have in common.
    /// Malformed details have no part in it, and one that lies within another is dropped. Empty means nothing in common.
    pub fn meet(&self, a: &AuthorizationDetails, b: &AuthorizationDetails) -> AuthorizationDetails {
        let (left, right) = (self.well_formed(a), self.well_formed(b));
        let split = |own: &[Entry<'_>], other: &[Entry<'_>]| {
            (0..own.len()).partition::<Vec<usize>, _>(|&i| own[i].within(other).is_ok())
        };
        let (whole_left, part_left) = split(&left, &right);
        let (whole_right, part_right) = split(&right, &left);

        let mut common = Vec::new();
        let whole = whole_left.iter().map(|&i| &left[i]).chain(whole_right.iter().map(|&j| &right[j]));
        for entry in whole {
            self.add(&mut common, entry.detail.clone().into_owned());
        }
        for &i in &part_left {
            for &j in &part_right {
                if let Some(detail) = left[i].meet(&right[j]) {
                    self.add(&mut common, detail);
                }
            }
        }
        let details = common.into_iter().map(|entry| entry.detail.into_owned()).collect();
        // Never more than a list may hold, so this is never the default.
        AuthorizationDetails::from_details(details).unwrap_or_default()
    }

    /// Whether a call is allowed: see [`ToolGrants::allows`], which is quicker for many calls under the same details.
    pub fn allows_call(
        &self,
        details: &AuthorizationDetails,
        location: &str,
        tool: &str,
        arguments: &Value,
    ) -> Result<(), CallRefusal> {
        ToolGrants::of(details).allows(location, tool, arguments)
    }

    /// The tools of one server that the details could ever allow.
    pub fn tools_for(&self, details: &AuthorizationDetails, location: &str) -> BTreeSet<String> {
        ToolGrants::of(details).tools_for(location)
    }

    /// Adds to a meet what isn't in it yet, and drops what the addition covers.
    fn add<'a>(&'a self, common: &mut Vec<Entry<'a>>, detail: AuthorizationDetail) {
        // What came out malformed, say with too many tools, is left out, and a full list takes no more: the meet
        // then has less than both sides grant, never more.
        let Ok(entry) = self.checked(0, Cow::Owned(detail)) else {
            return;
        };
        if common.len() >= MAX_DETAILS || entry.within(common).is_ok() {
            return;
        }
        let entry = [entry];
        common.retain(|kept| kept.within(&entry).is_err());
        common.extend(entry);
    }

    fn checked<'a>(
        &'a self,
        index: usize,
        detail: Cow<'a, AuthorizationDetail>,
    ) -> Result<Entry<'a>, DetailsError> {
        let malformed = |reason| DetailsError::Malformed { index, reason };
        let checked = if detail.kind() == MCP_TOOL_CALL {
            Checked::McpToolCall(McpToolCall::parse(&detail).map_err(malformed)?)
        } else {
            let registered = self.registered.get(detail.kind()).ok_or(DetailsError::UnknownType { index })?;
            registered.check(&detail).map_err(malformed)?;
            Checked::Registered(registered)
        };
        Ok(Entry { detail, checked })
    }

    fn well_formed<'a>(&'a self, details: &'a AuthorizationDetails) -> Vec<Entry<'a>> {
        details.iter().filter_map(|detail| self.checked(0, Cow::Borrowed(detail)).ok()).collect()
    }
}

impl Entry<'_> {
    fn within(&self, parents: &[Entry<'_>]) -> Result<(), Reason> {
        match &self.checked {
            Checked::McpToolCall(child) => {
                let parents: Vec<&McpToolCall> = parents
                    .iter()
                    .filter_map(|parent| match &parent.checked {
                        Checked::McpToolCall(parent) => Some(parent),
                        Checked::Registered(_) => None,
                    })
                    .collect();
                child.within(&parents)
            }
            Checked::Registered(own) => {
                let mut reason = Reason::new("nothing of this type was granted", self.detail.kind());
                let fits = parents.iter().filter(|parent| parent.detail.kind() == self.detail.kind()).any(
                    |parent| own.within(&self.detail, &parent.detail).map_err(|why| reason = why).is_ok(),
                );
                if fits { Ok(()) } else { Err(reason) }
            }
        }
    }

    fn meet(&self, other: &Entry<'_>) -> Option<AuthorizationDetail> {
        match (&self.checked, &other.checked) {
            (Checked::McpToolCall(a), Checked::McpToolCall(b)) => AuthorizationDetail::new(a.meet(b)?).ok(),
            (Checked::Registered(own), Checked::Registered(_))
                if self.detail.kind() == other.detail.kind() =>
            {
                own.meet(&self.detail, &other.detail)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
