//! Sign-in: at which identity provider, and for which application.

use askama::Template;

use super::frame::{Frame, host, name_or_id};

/// The page on which a person chooses how to sign in.
#[derive(Clone, Debug, Default, Template)]
#[template(path = "sign_in.html")]
pub struct SignIn {
    /// What surrounds it.
    pub frame: Frame,
    /// The request of an application that waits for this sign-in, if one does.
    pub waiting: Option<Waiting>,
    /// The identity providers to choose from.
    pub providers: Vec<Provider>,
    /// Whether an e-mail address may be given instead, whose domain chooses.
    pub by_email: bool,
    /// What is filled in as the e-mail address.
    pub login_hint: String,
    /// What was wrong with the last try, as a sentence of ours; for example that no provider is known for the domain.
    pub problem: Option<String>,
    /// People of the registry, to sign in as anyone: `serve --dev` only.
    pub people: Option<Development>,
}

/// An application that waits.
#[derive(Clone, Debug, Default)]
pub struct Waiting {
    /// The hidden field `request`.
    pub request: String,
    /// The client's name, as it tells it or the registry has it.
    pub client: String,
    /// The host that vouches for the client: that of its metadata document, or else where the browser will be sent back to.
    pub client_host: String,
    /// What people call the resource.
    pub resource: String,
    /// The resource's URI.
    pub resource_uri: String,
}

/// An identity provider to choose.
#[derive(Clone, Debug, Default)]
pub struct Provider {
    /// Its id in the registry: the value of `identity_provider`.
    pub id: String,
    /// What people call it; its issuer's host is shown if this is empty.
    pub name: String,
    /// Its issuer URL.
    pub issuer: String,
}

/// Sign-in without passwords, for trying things out.
#[derive(Clone, Debug, Default)]
pub struct Development {
    /// Whom one may sign in as.
    pub people: Vec<DevelopmentPerson>,
}

/// A person of the registry's `people`.
#[derive(Clone, Debug, Default)]
pub struct DevelopmentPerson {
    /// The value of `subject`.
    pub subject: String,
    /// Their name.
    pub name: String,
    /// Their groups.
    pub groups: Vec<String>,
}

impl SignIn {
    /// The page.
    pub fn render(&self) -> String {
        super::render(self)
    }

    fn has_nothing_to_offer(&self) -> bool {
        self.providers.is_empty() && !self.by_email && self.people.is_none()
    }
}

impl Provider {
    fn host(&self) -> String {
        host(&self.issuer)
    }
}

impl DevelopmentPerson {
    fn shown(&self) -> &str {
        name_or_id(&self.name, &self.subject)
    }
}
