//! One file per page: its view model, and how it is rendered.

mod account;
mod consent;
mod error;
mod frame;
mod leaving;
mod sign_in;
mod signed_out;
mod withdrawn;

pub use account::{Account, GivenBy, GivenConsent, Holder, HolderKind, RunningTask};
pub use consent::{Agent, Client, Consent, Expiry, KeepsAccess, Known, Permissions, ReturnsTo, Target};
pub use error::Error;
pub use frame::{Frame, Person};
pub use leaving::Leaving;
pub use sign_in::{Development, DevelopmentPerson, Provider, SignIn, Waiting};
pub use signed_out::SignedOut;
pub use withdrawn::{Progress, What, Withdrawn};

use askama::Template;

/// Renders a template. Writing into a `String` can't fail, and neither do the expressions of these templates; were it ever
/// otherwise, half a page would be worse than this one.
fn render(template: &impl Template) -> String {
    template.render().unwrap_or_else(|_| {
        "<!doctype html>\n<html lang=\"en\">\n<title>Error</title>\n<h1>This page could not be shown</h1>\n".into()
    })
}
