//! What an enforcer is told before it begins.

use std::time::Duration;

use super::credentials::Credentials;
use super::verifier::LIFETIME_CEILING;
use crate::domain::feed::{DEFAULT_LEASE, LONGEST_LEASE};
use crate::protocol::http_uri::HttpUri;
use crate::protocol::resource::ResourceUri;
use crate::time::Clock;

/// What an enforcer must know.
#[derive(Clone, Debug)]
pub struct Config {
    pub(super) issuer: String,
    pub(super) resource: ResourceUri,
    pub(super) public_base: Option<String>,
    pub(super) name: Option<String>,
    pub(super) scopes: Vec<String>,
    pub(super) lifetime_ceiling: i64,
    pub(super) timeout: Duration,
    pub(super) plain_http: bool,
    pub(super) clock: Clock,
    /// And the lease, if the revocation log is followed.
    pub(super) credentials: Option<(Credentials, Option<Duration>)>,
    pub(super) client: Option<reqwest::Client>,
}

impl Config {
    /// Tokens of `issuer` for `resource`, verified offline only.
    pub fn new(issuer: &str, resource: ResourceUri) -> Self {
        Self {
            issuer: issuer.to_owned(),
            resource,
            public_base: None,
            name: None,
            scopes: Vec::new(),
            lifetime_ceiling: LIFETIME_CEILING,
            timeout: Duration::from_secs(3),
            plain_http: false,
            clock: Clock::System,
            credentials: None,
            client: None,
        }
    }

    /// Introspects every token on every request, as this enforcer: revocations are seen at once.
    #[must_use]
    pub fn introspect(mut self, credentials: Credentials) -> Self {
        self.credentials = Some((credentials, None));
        self
    }

    /// Follows the revocation log as this enforcer, with a lease of 30 seconds: revocations are seen within milliseconds,
    /// and nothing is accepted longer than the lease after one, whatever breaks. Needs [`Enforcer::start`].
    #[must_use]
    pub fn follow(self, credentials: Credentials) -> Self {
        self.follow_within(credentials, DEFAULT_LEASE)
    }

    /// The same with a lease of its own, in seconds: 1 to 120.
    #[must_use]
    pub fn follow_within(mut self, credentials: Credentials, lease_seconds: u64) -> Self {
        let lease = Duration::from_secs(lease_seconds.clamp(1, LONGEST_LEASE));
        self.credentials = Some((credentials, Some(lease)));
        self
    }

    /// Sends its own requests through this client, which several enforcers may share. It should follow no redirect.
    #[must_use]
    pub fn client(mut self, client: reqwest::Client) -> Self {
        self.client = Some(client);
        self
    }

    /// What stands before a request's path in the URL that clients use, without a slash at its end: DPoP proofs name that
    /// URL. Unless set it is the resource's scheme, host and port. Never taken from what a client sends.
    #[must_use]
    pub fn public_base(mut self, base: &str) -> Self {
        self.public_base = Some(base.to_owned());
        self
    }

    /// A name for people, in the metadata document.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// The scopes that this resource knows, in the metadata document.
    #[must_use]
    pub fn scopes(mut self, scopes: &[&str]) -> Self {
        self.scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        self
    }

    /// The longest `exp - iat` in seconds; [`LIFETIME_CEILING`] is the most.
    #[must_use]
    pub fn lifetime_ceiling(mut self, seconds: i64) -> Self {
        self.lifetime_ceiling = seconds;
        self
    }

    /// How long the issuer may take to answer; 3 seconds unless set.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Allows an issuer that is reached without TLS beyond this machine: whoever is on the wire can then name the keys.
    #[must_use]
    pub fn allow_plain_http(mut self) -> Self {
        self.plain_http = true;
        self
    }

    /// Where the time comes from.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }
}

/// Why an enforcer can't be built from its configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The issuer isn't an absolute URL, or is plain http beyond this machine.
    #[error("the issuer must be an https URL (plain http only on this machine, or where allowed)")]
    Issuer,
    /// The public base isn't an absolute http(s) URL, or has a query, a fragment or a slash at its end.
    #[error("the public base must be an http(s) URL without query, fragment and trailing slash")]
    PublicBase,
    /// The credentials are for another issuer.
    #[error("the credentials belong to another issuer")]
    ForeignCredentials,
    /// The HTTP client can't be built.
    #[error("the HTTP client can't be built: {0}")]
    Client(#[from] reqwest::Error),
}

/// Whether paths can be put behind the public base.
pub(super) fn check_public_base(config: &Config) -> Result<(), ConfigError> {
    let Some(base) = &config.public_base else { return Ok(()) };
    let acceptable = !base.ends_with('/') && !base.contains(['?', '#']) && HttpUri::parse(base).is_ok();
    if acceptable { Ok(()) } else { Err(ConfigError::PublicBase) }
}

/// Whether the issuer is on this machine; an error when it isn't and would be reached without TLS.
pub(super) fn check_issuer(config: &Config) -> Result<bool, ConfigError> {
    let url = url::Url::parse(&config.issuer).map_err(|_| ConfigError::Issuer)?;
    let this_machine = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    let acceptable =
        url.scheme() == "https" || (url.scheme() == "http" && (this_machine || config.plain_http));
    if acceptable && !config.issuer.ends_with('/') { Ok(this_machine) } else { Err(ConfigError::Issuer) }
}
