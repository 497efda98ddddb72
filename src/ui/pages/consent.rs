//! Consent: who acts for whom, where, with what, and until when.

use askama::Template;

use super::frame::{Frame, Person, name_or_id};
use crate::domain::registry::{self, Impact};
use crate::time::Timestamp;
use crate::ui::moment::Readable as _;
use crate::ui::words::Detail;

/// The page on which a person says yes or no.
#[derive(Clone, Debug, Template)]
#[template(path = "consent.html")]
pub struct Consent {
    /// What surrounds it.
    pub frame: Frame,
    /// The hidden field `request`.
    pub request: String,
    /// The hidden field `shown`: against what the question is put.
    pub shown: String,
    /// Who is asked.
    pub person: Person,
    /// Who asks.
    pub client: Client,
    /// Where the browser goes with the answer.
    pub returns_to: ReturnsTo,
    /// The agent that may act with what the client gets (`requested_actor`).
    pub agent: Option<Agent>,
    /// Where it would act.
    pub resource: Target,
    /// What is asked. On a step-up only what is new: see [`crate::ui::words::news`].
    pub asked: Permissions,
    /// On a step-up: what the person allows this client already.
    pub given: Option<Permissions>,
    /// Until when the yes may hold: one of these is chosen.
    pub expiries: Vec<Expiry>,
    /// Whether the client goes on while the person is away.
    pub keeps_access: KeepsAccess,
}

/// The application that asks.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its `client_id`.
    pub id: String,
    /// Its name: the registry's, or what it says of itself.
    pub name: String,
    /// How it is known.
    pub known: Known,
    /// Whether the registry has another client or agent of this name, or one that reads like it.
    pub has_namesake: bool,
}

/// How a client came to be known.
#[derive(Clone, Debug)]
pub enum Known {
    /// An administrator registered it.
    Registered {
        /// The person who answers for it; may be empty.
        owner: String,
    },
    /// It describes itself in a document at its `client_id`, whose host alone is certain.
    MetadataDocument {
        /// The host of that URL.
        host: String,
        /// Whether an administrator has named this host as one to trust (`metadata_document_hosts`).
        host_allowed: bool,
    },
    /// It registered itself (RFC 7591): nothing about it is certain.
    SelfRegistered {
        /// When.
        at: Timestamp,
    },
}

/// Where the browser is sent with the answer.
#[derive(Clone, Debug)]
pub enum ReturnsTo {
    /// A site on the web, by its host.
    Host(String),
    /// An application that listens on this computer (a loopback address, RFC 8252 section 7.3), by address and port.
    ThisComputer(String),
    /// An application on this device that has claimed a scheme (RFC 8252 section 7.1).
    Scheme(String),
}

/// An agent that may act, as the registry knows it.
#[derive(Clone, Debug, Default)]
pub struct Agent {
    /// Its id.
    pub id: String,
    /// Its name; the id is shown if this is empty.
    pub name: String,
    /// The person who answers for it.
    pub owner: String,
    /// What it is for.
    pub purpose: String,
    /// Risk tier, 1 to 3.
    pub tier: u8,
    /// Where it runs.
    pub environment: String,
}

/// The resource.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// What people call it; the URI is shown if this is empty.
    pub name: String,
    /// Its canonical URI.
    pub uri: String,
    /// The person who answers for it.
    pub owner: String,
    /// How sensitive its data is, in the operator's own words.
    pub data_class: String,
}

/// What is asked, or was given.
#[derive(Clone, Debug, Default)]
pub struct Permissions {
    /// Scope tokens.
    pub scopes: Vec<String>,
    /// Details: see [`crate::ui::words`].
    pub details: Vec<Detail>,
}

/// One choice of how long the yes holds.
#[derive(Clone, Debug, Default)]
pub struct Expiry {
    /// The value of `expiry`.
    pub value: String,
    /// The choice in words, for example `For 8 hours`.
    pub label: String,
    /// The moment that it comes to, if it is certain already.
    pub at: Option<Timestamp>,
    /// Whether it is chosen to begin with; of one of them.
    pub checked: bool,
}

/// Whether a client gets a refresh token.
#[derive(Clone, Copy, Debug, Default)]
pub enum KeepsAccess {
    /// It doesn't: for more than a few minutes it has to send the person here again.
    #[default]
    No,
    /// For as long as the consent holds.
    UntilExpiry,
    /// Until this moment at the latest.
    Until(Timestamp),
}

impl Consent {
    /// The page.
    pub fn render(&self) -> String {
        super::render(self)
    }
}

impl Client {
    pub(super) fn shown(&self) -> &str {
        name_or_id(&self.name, &self.id)
    }
}

impl Agent {
    pub(super) fn shown(&self) -> &str {
        name_or_id(&self.name, &self.id)
    }

    fn risk(&self) -> &'static str {
        match self.tier {
            1 => "internal, low risk",
            2 => "in production",
            _ => "high risk",
        }
    }
}

impl From<&registry::Agent> for Agent {
    fn from(agent: &registry::Agent) -> Self {
        Self {
            id: agent.agent.clone(),
            name: agent.name.clone(),
            owner: agent.owner.clone(),
            purpose: agent.purpose.clone(),
            tier: agent.tier,
            environment: agent.environment.clone(),
        }
    }
}

impl Target {
    pub(super) fn shown(&self) -> &str {
        name_or_id(&self.name, &self.uri)
    }
}

impl From<&registry::Resource> for Target {
    fn from(resource: &registry::Resource) -> Self {
        Self {
            name: resource.name.clone(),
            uri: resource.resource.as_str().to_owned(),
            owner: resource.owner.clone(),
            data_class: resource.data_class.clone(),
        }
    }
}

impl Permissions {
    pub(super) fn is_empty(&self) -> bool {
        self.scopes.is_empty() && self.details.is_empty()
    }
}
