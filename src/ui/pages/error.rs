//! Something can't go on, and nobody may be redirected.

use askama::Template;

use super::frame::Frame;

/// An error page. Its sentences are ours: nothing of the request belongs into them.
#[derive(Clone, Debug, Default, Template)]
#[template(path = "error.html")]
pub struct Error {
    /// What surrounds it.
    pub frame: Frame,
    /// In a few words.
    pub title: String,
    /// What happened.
    pub happened: String,
    /// What the person can do now.
    pub to_do: String,
    /// The rule that refused, by its name in `docs/errors.md`.
    pub rule: Option<String>,
    /// What an administrator finds this by in the logs.
    pub correlation: Option<String>,
    /// Whether to offer the way to the account page.
    pub account_link: bool,
}

impl Error {
    /// The page.
    pub fn render(&self) -> String {
        super::render(self)
    }
}
