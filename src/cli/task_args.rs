//! The flags that say what is asked for, and on whose behalf.

use std::io::Read as _;
use std::path::PathBuf;

use serde_json::Value;

use super::error::CliError;
use crate::agent::{ExchangeRequest, TaskRequest, TokenRequest};
use crate::protocol::resource::ResourceUri;
use crate::protocol::scope::Scope;
use crate::protocol::strict_json;
use crate::protocol::token_type::TokenType;
use crate::secret::Secret;

/// The variable that may hold the subject token. There is no flag for the token itself: command lines can be read by
/// every user of a machine.
pub const SUBJECT_TOKEN_VARIABLE: &str = "TASKPASS_SUBJECT_TOKEN";

/// The most bytes that are read of a subject token or of details.
const MOST: u64 = 64 * 1024;

/// What is asked for, and on whose behalf.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Task")]
pub struct TaskArgs {
    /// The one MCP server or API at which the token is to work: its registered URI
    #[arg(long, env = "TASKPASS_RESOURCE", value_name = "URI")]
    pub resource: String,
    /// Scopes, separated by spaces; without it the largest that may be given
    #[arg(long, value_name = "SCOPE")]
    pub scope: Option<String>,
    /// The authorization_details: a JSON array (or one object), or @FILE
    #[arg(long, value_name = "JSON|@FILE")]
    pub details: Option<String>,
    /// Act on behalf of the person (or agent) that the token in this file speaks of
    #[arg(long, value_name = "FILE", conflicts_with = "subject_token_stdin")]
    pub subject_token_file: Option<PathBuf>,
    /// Read the subject token from standard input; it may also be in the variable TASKPASS_SUBJECT_TOKEN
    #[arg(long)]
    pub subject_token_stdin: bool,
    /// What kind of token the subject token is; a JWT-SVID is a jwt
    #[arg(long, value_enum, default_value = "access_token", value_name = "TYPE")]
    pub subject_token_type: SubjectTokenType,
    /// What the task is for, in words: shown to people and audited
    #[arg(long, value_name = "TEXT")]
    pub task_purpose: Option<String>,
    /// The task's length in seconds; the server may allow less
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub task_lifetime: Option<u64>,
}

/// The declared type of a subject token, in the short words of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum SubjectTokenType {
    /// A token of this server.
    AccessToken,
    /// An ID token of a trusted identity provider.
    IdToken,
    /// A JWT of a trusted identity provider, or a JWT-SVID.
    Jwt,
}

impl From<SubjectTokenType> for TokenType {
    fn from(kind: SubjectTokenType) -> Self {
        match kind {
            SubjectTokenType::AccessToken => Self::AccessToken,
            SubjectTokenType::IdToken => Self::IdToken,
            SubjectTokenType::Jwt => Self::Jwt,
        }
    }
}

impl TaskArgs {
    /// The request that these flags describe: an exchange where there is a subject token, else the agent for itself.
    pub fn request(&self) -> Result<TokenRequest, CliError> {
        let task = self.task()?;
        Ok(match self.subject_token()? {
            Some(token) => {
                TokenRequest::Exchange(ExchangeRequest::new(token, self.subject_token_type.into(), task))
            }
            None => TokenRequest::ClientCredentials(task),
        })
    }

    fn task(&self) -> Result<TaskRequest, CliError> {
        let resource = ResourceUri::parse(&self.resource).map_err(|error| usage("--resource", error))?;
        let scope = self.scope.as_deref().map(Scope::parse).transpose();
        Ok(TaskRequest {
            scope: scope.map_err(|error| usage("--scope", error))?,
            authorization_details: self.details.as_deref().map(details).transpose()?,
            task_purpose: self.task_purpose.clone(),
            task_lifetime: self.task_lifetime,
            ..TaskRequest::at(resource)
        })
    }

    fn subject_token(&self) -> Result<Option<Secret>, CliError> {
        let text = if let Some(path) = &self.subject_token_file {
            let file = std::fs::File::open(path)
                .map_err(|error| CliError::new(format!("{}: {error}", path.display())))?;
            read_token(file)?
        } else if self.subject_token_stdin {
            read_token(std::io::stdin())?
        } else {
            match subject_token_variable() {
                Some(token) => Secret::new(token.trim().to_owned()),
                None => return Ok(None),
            }
        };
        // An empty subject must not turn a request for somebody into one for nobody.
        if text.expose().is_empty() {
            return Err(CliError::new("the subject token is empty").exit_code(2));
        }
        Ok(Some(text))
    }
}

#[expect(clippy::disallowed_methods, reason = "a secret has no flag for clap to read a variable into")]
fn subject_token_variable() -> Option<String> {
    std::env::var(SUBJECT_TOKEN_VARIABLE).ok()
}

fn read_token(source: impl std::io::Read) -> Result<Secret, CliError> {
    let mut text = zeroize::Zeroizing::new(String::new());
    source.take(MOST).read_to_string(&mut text)?;
    Ok(Secret::new(text.trim().to_owned()))
}

fn details(argument: &str) -> Result<Value, CliError> {
    let text = match argument.strip_prefix('@') {
        None => argument.to_owned(),
        Some(path) => {
            let mut text = String::new();
            let file =
                std::fs::File::open(path).map_err(|error| CliError::new(format!("{path}: {error}")))?;
            file.take(MOST).read_to_string(&mut text)?;
            text
        }
    };
    let value = strict_json::value(text.as_bytes(), 32).map_err(|error| usage("--details", error))?;
    let list = if value.is_object() { Value::Array(vec![value]) } else { value };
    match list.as_array() {
        Some(items) if !items.is_empty() && items.iter().all(Value::is_object) => Ok(list),
        _ => Err(usage("--details", "not a JSON array of objects")),
    }
}

fn usage(flag: &str, error: impl std::fmt::Display) -> CliError {
    CliError::new(format!("{flag}: {error}")).exit_code(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn details_are_a_list_of_objects_from_the_command_line_or_a_file() {
        assert_eq!(details(r#"{"type":"a"}"#).unwrap(), json!([{"type": "a"}]));
        assert_eq!(details(r#"[{"type":"a"},{"type":"b"}]"#).unwrap().as_array().unwrap().len(), 2);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), r#"[{"type":"a"}]"#).unwrap();
        assert_eq!(details(&format!("@{}", file.path().display())).unwrap(), json!([{"type": "a"}]));
        for bad in ["", "[]", "1", "[1]", r#"{"type":"a","type":"b"}"#, "@/nonexistent"] {
            assert!(details(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_empty_subject_token_is_an_error_and_never_means_nobody() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let args = TaskArgs {
            resource: "https://a.example/mcp".into(),
            scope: None,
            details: None,
            subject_token_file: Some(file.path().to_owned()),
            subject_token_stdin: false,
            subject_token_type: SubjectTokenType::Jwt,
            task_purpose: None,
            task_lifetime: None,
        };
        std::fs::write(file.path(), " \n").unwrap();
        assert_eq!(args.request().unwrap_err().exit_code, 2);
        std::fs::write(file.path(), "a.b.c\n").unwrap();
        assert!(matches!(args.request().unwrap(), TokenRequest::Exchange(_)));
    }
}
