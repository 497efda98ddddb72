//! On the way to an identity provider.

use askama::Template;

use super::frame::Frame;

/// The page that leads a browser on to an identity provider. Browsers hold the whole way of a form against the page that it is on,
/// and the way through a company's sign-in is long: so the form ends here, and this page leads on.
#[derive(Clone, Debug, Default, Template)]
#[template(path = "leaving.html")]
pub struct Leaving {
    /// What surrounds it.
    pub frame: Frame,
    /// What people call the identity provider.
    pub provider: String,
    /// Where it is.
    pub to: String,
}

impl Leaving {
    /// The page.
    pub fn render(&self) -> String {
        super::render(self)
    }
}
