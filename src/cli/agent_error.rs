//! What a person at a terminal should do about what the agent's client reports.

use super::error::CliError;
use crate::agent::{Error, Refused};

impl From<Error> for CliError {
    fn from(error: Error) -> Self {
        let exit_code = match &error {
            Error::Refused(refused) if !refused.is_temporary() => 3,
            Error::Refused(_) | Error::Unreachable { .. } => 4,
            Error::Request(_) => 2,
            Error::Malformed { .. } | Error::Identity(_) => 1,
        };
        let failure = Self::new(error.to_string()).exit_code(exit_code);
        match hint(&error) {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

fn hint(error: &Error) -> Option<String> {
    match error {
        Error::Refused(refused) => refused_hint(refused),
        Error::Unreachable { .. } => Some(
            "Is the server running, and is the issuer's URL the right one? Trying again may help.".into(),
        ),
        Error::Malformed { .. } => Some(
            "Is the issuer's URL really that of a Taskpass server, written as the server writes it?".into(),
        ),
        Error::Identity(_) => {
            Some("Give one of --key-file, --svid-file and --spiffe-socket that works for this agent.".into())
        }
        Error::Request(_) => None,
    }
}

fn refused_hint(refused: &Refused) -> Option<String> {
    let hint = match refused.error.as_str() {
        "invalid_client" => {
            "The server doesn't accept this identity: is the agent registered and active, is this its registered key \
             or SPIFFE ID, and is this machine's clock right?"
        }
        "invalid_target" => {
            "Is the resource written exactly as it is registered, enabled, and in the agent's ceiling? See `taskpass \
             explain`."
        }
        "invalid_scope" => {
            "Ask for less: the scope must be within the subject token, the consent, the agent's ceiling and the \
             resource's own scopes. `taskpass explain` shows which of them is the bound."
        }
        "invalid_authorization_details" => {
            "Ask for less, or for a type that the resource knows: the details must be within the subject token, the \
             consent and the agent's ceiling. `taskpass explain` shows which of them is the bound."
        }
        "invalid_request" => {
            "Is the subject token alive, of the type given with --subject-token-type, and may this agent act for its \
             subject? `taskpass explain` goes through the rules one by one."
        }
        "unauthorized_client" | "access_denied" => {
            "An administrator decides this: `taskpass explain` names the rule and its bound."
        }
        _ if refused.is_temporary() => {
            return Some(match refused.retry_after {
                Some(wait) => format!("The server asks to be left alone for {} s.", wait.as_secs()),
                None => "Try again in a moment.".into(),
            });
        }
        _ => return None,
    };
    Some(hint.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_exits_with_3_and_what_passes_with_4() {
        let refused = |status, error: &str| {
            let refused = Refused {
                status,
                error: error.into(),
                description: None,
                rule: Some("some_rule".into()),
                retry_after: None,
            };
            CliError::from(Error::from(refused))
        };
        for error in ["invalid_client", "invalid_target", "invalid_scope", "invalid_request", "access_denied"]
        {
            let failure = refused(400, error);
            assert_eq!(failure.exit_code, 3);
            assert!(failure.hint.is_some() && failure.message.contains("some_rule"), "{failure:?}");
        }
        assert_eq!(refused(429, "slow_down").exit_code, 4);
        assert_eq!(refused(503, "temporarily_unavailable").exit_code, 4);
        assert_eq!(CliError::from(Error::Request("x".into())).exit_code, 2);
    }
}
