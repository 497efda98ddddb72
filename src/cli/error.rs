//! How a command fails: what went wrong, what to do about it, and the exit code.

use std::error::Error as _;
use std::fmt;

/// Why a command did not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CliError {
    /// What went wrong, in one sentence.
    pub message: String,
    /// What to try next.
    pub hint: Option<String>,
    /// The exit code: 1 failed, 2 usage, 3 refused by the server, 4 unreachable or temporary.
    pub exit_code: u8,
}

impl CliError {
    /// The command failed: exit code 1.
    pub const FAILED: u8 = 1;
    /// The command was given arguments or files that it can't use: exit code 2.
    pub const USAGE: u8 = 2;
    /// The server said no: exit code 3.
    pub const REFUSED: u8 = 3;
    /// The server can't be reached, or asks to come back later: exit code 4.
    pub const UNREACHABLE: u8 = 4;

    /// A failure with exit code 1 and no hint.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, exit_code: Self::FAILED }
    }

    /// The same, with what to try next.
    #[must_use]
    pub fn hint(mut self, text: impl Into<String>) -> Self {
        self.hint = Some(text.into());
        self
    }

    /// The same, with another exit code.
    #[must_use]
    pub fn exit_code(mut self, code: u8) -> Self {
        self.exit_code = code;
        self
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.hint.iter().try_for_each(|hint| write!(f, "\n  hint: {hint}"))
    }
}

impl std::error::Error for CliError {}

impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl From<reqwest::Error> for CliError {
    fn from(error: reqwest::Error) -> Self {
        let place = error.url().map(|url| format!(" at {}", url.origin().ascii_serialization()));
        let place = place.unwrap_or_default();
        if error.is_timeout() {
            return Self::new(format!("the server{place} did not answer in time"))
                .hint("it may be overloaded or paused; try again, or allow longer with --timeout SECONDS")
                .exit_code(Self::UNREACHABLE);
        }
        if error.is_connect() {
            return Self::new(format!("can't reach the server{place}: {}", root_cause(&error)))
                .hint("is it running there? `taskpass serve` starts it, and the address is the `issuer` in the credentials file")
                .exit_code(Self::UNREACHABLE);
        }
        if error.is_request() || error.is_body() {
            return Self::new(format!("the connection to the server{place} broke: {}", root_cause(&error)))
                .hint("it may be restarting; try again")
                .exit_code(Self::UNREACHABLE);
        }
        Self::new(format!("the request to the server{place} failed: {}", root_cause(&error)))
    }
}

/// The innermost cause, which is the one that says something ("Connection refused").
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    let mut text = error.to_string();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_the_hint_below_the_message() {
        let error = CliError::new("no").hint("yes").exit_code(3);
        assert_eq!(error.to_string(), "no\n  hint: yes");
        assert_eq!(error.exit_code, 3);
    }

    #[tokio::test]
    async fn an_unreachable_server_is_told_from_a_failure() {
        crate::tls::install_provider();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = reqwest::get(format!("http://{address}/secret?x=y")).await.unwrap_err();
        let error = CliError::from(error);
        assert_eq!(error.exit_code, CliError::UNREACHABLE);
        assert!(error.message.contains(&address.to_string()), "{error}");
        assert!(error.message.contains("refused") && !error.message.contains("secret"), "{error}");
        assert!(error.hint.unwrap().contains("is it running"));
    }
}
