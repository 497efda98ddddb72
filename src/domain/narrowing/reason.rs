//! Why details or calls are refused.

use std::fmt;

/// What is wrong, and with what. Only `what` is shown by `Display`: `at` repeats the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// A fixed sentence.
    pub what: &'static str,
    /// The JSON Pointer of the argument, or the name of the member, tool or location. It comes from the input: escape it
    /// where it is shown, and keep it out of error descriptions.
    pub at: String,
    /// The tool whose arguments they are, if it is about a tool. Input too.
    pub tool: Option<String>,
    /// The limit that was exceeded, as it was granted.
    pub limit: Option<Box<serde_json::Value>>,
}

impl Reason {
    pub(super) fn new(what: &'static str, at: impl Into<String>) -> Self {
        Self { what, at: at.into(), tool: None, limit: None }
    }

    pub(super) fn limited_to(self, limit: serde_json::Value) -> Self {
        Self { limit: Some(Box::new(limit)), ..self }
    }

    /// Everything, input included: for an administrator, never for the wire of an agent.
    pub fn in_full(&self) -> String {
        let tool = self.tool.iter().map(|tool| format!("tool {tool}, "));
        let limit = self.limit.iter().map(|limit| format!("; the limit is {limit}"));
        format!("{}{}: {}{}", tool.collect::<String>(), self.at, self.what, limit.collect::<String>())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }
}

/// Which detail of a list is refused, by its index, and why. On the wire: `invalid_authorization_details` (RFC 9396 section 5).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DetailsError {
    /// No such type is built in or registered.
    #[error("authorization detail {index} is of an unknown type")]
    UnknownType {
        /// The position in the list, from 0.
        index: usize,
    },
    /// The resource doesn't take details of this type.
    #[error("authorization detail {index} is of a type that the resource does not accept")]
    TypeNotAccepted {
        /// The position in the list, from 0.
        index: usize,
    },
    /// The detail breaks the rules of its type.
    #[error("authorization detail {index} is malformed: {reason}")]
    Malformed {
        /// The position in the list, from 0.
        index: usize,
        /// What is wrong.
        reason: Reason,
    },
    /// The detail reaches beyond everything that was granted.
    #[error("authorization detail {index} exceeds what was granted: {reason}")]
    Exceeds {
        /// The position in the list of the child, from 0.
        index: usize,
        /// The bound that refused it: of the parent that was tried last.
        reason: Reason,
    },
}

impl DetailsError {
    /// Everything, input included: for an administrator, never for the wire of an agent.
    pub fn in_full(&self) -> String {
        match self {
            Self::UnknownType { .. } | Self::TypeNotAccepted { .. } => self.to_string(),
            Self::Malformed { index, reason } | Self::Exceeds { index, reason } => {
                format!("authorization detail {index}: {}", reason.in_full())
            }
        }
    }

    /// The position in the list of the detail that is refused, from 0.
    pub fn index(&self) -> usize {
        match self {
            Self::UnknownType { index }
            | Self::TypeNotAccepted { index }
            | Self::Malformed { index, .. }
            | Self::Exceeds { index, .. } => *index,
        }
    }
}

/// Why a tool call isn't allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallRefusal {
    /// An administrator has switched the tool off.
    #[error("this tool has been switched off")]
    ToolSwitchedOff,
    /// No detail names this server.
    #[error("no tool of this server was granted")]
    LocationNotGranted,
    /// No detail names this tool at this server.
    #[error("this tool was not granted")]
    ToolNotGranted,
    /// The tool is granted, but not with these arguments.
    #[error("the arguments exceed what was granted: {0}")]
    ArgumentRefused(Reason),
}

impl CallRefusal {
    /// The rule's name in answers and records.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::ToolSwitchedOff => "tool_switched_off",
            Self::LocationNotGranted => "location_not_granted",
            Self::ToolNotGranted => "tool_not_granted",
            Self::ArgumentRefused(_) => "argument_refused",
        }
    }

    /// The argument that was refused, as a JSON Pointer.
    pub fn at(&self) -> Option<&str> {
        match self {
            Self::ArgumentRefused(reason) => Some(&reason.at),
            Self::ToolSwitchedOff | Self::LocationNotGranted | Self::ToolNotGranted => None,
        }
    }

    /// The refusal that came closest to a yes says the most.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::ToolSwitchedOff => 3,
            Self::LocationNotGranted => 0,
            Self::ToolNotGranted => 1,
            Self::ArgumentRefused(_) => 2,
        }
    }
}
