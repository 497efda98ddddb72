//! Signed out.

use askama::Template;

use super::frame::Frame;

/// The page after signing out.
#[derive(Clone, Debug, Default, Template)]
#[template(path = "signed_out.html")]
pub struct SignedOut {
    /// What surrounds it.
    pub frame: Frame,
    /// The name of the identity provider, at which the person may still be signed in.
    pub provider: Option<String>,
}

impl SignedOut {
    /// The page.
    pub fn render(&self) -> String {
        super::render(self)
    }
}
