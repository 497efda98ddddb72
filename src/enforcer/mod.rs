//! Enforcement at a resource, as a library that needs no server of ours beside it: verify the access token offline, ask
//! the issuer whether it is still active, and decide each call by the token's authorization details.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use taskpass::enforcer::{Config, Credentials, Enforcer};
//! use taskpass::protocol::resource::ResourceUri;
//!
//! let resource = ResourceUri::parse("https://tickets.example.com/mcp")?;
//! let key_file = std::fs::read_to_string("tickets-guard.json")?;
//! let config = Config::new("https://id.example.com", resource).introspect(Credentials::parse(&key_file)?);
//! let enforcer = Enforcer::new(config)?;
//! let app: axum::Router = axum::Router::new().layer(enforcer.layer()).merge(enforcer.metadata_routes());
//! # Ok(()) }
//! ```

pub mod credentials;
pub mod decision;
mod http;
pub mod introspection;
pub mod jwks;
pub mod layer;
pub mod metadata;
pub mod verifier;
pub mod view;

use std::sync::Arc;
use std::time::Duration;

pub use credentials::Credentials;
pub use http::Unavailable;
pub use layer::EnforcerLayer;
pub use verifier::{LIFETIME_CEILING, TokenRefusal, VerifiedToken, Verifier};

use crate::jose::{JwsError, Unverified};
use crate::protocol::resource::ResourceUri;
use crate::time::Clock;
use introspection::{Introspected, Introspector};
use jwks::JwksCache;

/// What an enforcer must know.
#[derive(Clone, Debug)]
pub struct Config {
    issuer: String,
    resource: ResourceUri,
    name: Option<String>,
    scopes: Vec<String>,
    lifetime_ceiling: i64,
    timeout: Duration,
    plain_http: bool,
    clock: Clock,
    credentials: Option<Credentials>,
}

impl Config {
    /// Tokens of `issuer` for `resource`, verified offline only.
    pub fn new(issuer: &str, resource: ResourceUri) -> Self {
        Self {
            issuer: issuer.to_owned(),
            resource,
            name: None,
            scopes: Vec::new(),
            lifetime_ceiling: LIFETIME_CEILING,
            timeout: Duration::from_secs(3),
            plain_http: false,
            clock: Clock::System,
            credentials: None,
        }
    }

    /// Introspects every token on every request, as this enforcer: revocations are seen at once.
    #[must_use]
    pub fn introspect(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
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
    /// The credentials are for another issuer.
    #[error("the credentials belong to another issuer")]
    ForeignCredentials,
    /// The HTTP client can't be built.
    #[error("the HTTP client can't be built: {0}")]
    Client(#[from] reqwest::Error),
}

/// Why a request isn't let through.
#[derive(Debug, thiserror::Error)]
pub enum EnforcementError {
    /// 401: the token doesn't open this resource.
    #[error(transparent)]
    Refused(#[from] TokenRefusal),
    /// 503: we can't know whether it does, so it doesn't. Never 401: clients would sign in again in a loop.
    #[error("it can't be told whether the token is still good: {0}")]
    Stale(#[from] Unavailable),
}

/// The enforcer of one resource. Cheap to share behind an [`Arc`].
pub struct Enforcer {
    config: Config,
    verifier: Verifier,
    jwks: JwksCache,
    introspector: Option<Introspector>,
}

impl Enforcer {
    /// Builds an enforcer; nothing is fetched until the first request.
    pub fn new(config: Config) -> Result<Arc<Self>, ConfigError> {
        let this_machine = check_issuer(&config)?;
        let client = http::client(config.timeout, this_machine)?;
        if config.credentials.as_ref().is_some_and(|own| own.issuer() != config.issuer) {
            return Err(ConfigError::ForeignCredentials);
        }
        let introspector = config
            .credentials
            .clone()
            .map(|credentials| Introspector::new(client.clone(), credentials, config.clock.clone()));
        Ok(Arc::new(Self {
            verifier: Verifier::new(&config.issuer, config.resource.clone(), config.lifetime_ceiling),
            jwks: JwksCache::new(client, format!("{}/oauth/jwks", config.issuer)),
            introspector,
            config,
        }))
    }

    /// The resource that is enforced.
    pub fn resource(&self) -> &ResourceUri {
        &self.config.resource
    }

    /// Checks a bearer token: its form, signature and claims, and with the issuer whether it is still active.
    ///
    /// # Errors
    /// The rule that the token breaks, or that nobody can tell.
    pub async fn check(&self, token: &str) -> Result<VerifiedToken, EnforcementError> {
        if token.len() > verifier::LONGEST_TOKEN {
            return Err(TokenRefusal::TokenTooLong.into());
        }
        let header = match Unverified::parse(token) {
            Ok(unverified) => unverified.header().clone(),
            Err(JwsError::NotCompact) => return self.check_opaque(token).await,
            Err(error) => return Err(TokenRefusal::from(error).into()),
        };
        let kid = Verifier::check_header(&header)?;
        let keys = self.jwks.keys_for(kid).await?;
        let verified = self.verifier.verify(token, &keys, self.config.clock.now())?;
        let Some(introspector) = &self.introspector else {
            return Ok(verified);
        };
        match introspector.introspect(token).await? {
            Introspected::Inactive => Err(TokenRefusal::TokenNotActive.into()),
            Introspected::Active(claims) if claims.jti != verified.claims().jti => {
                Err(Unavailable::Malformed("an answer about another token").into())
            }
            // The answer took its time: what was good when it was asked may have run out.
            Introspected::Active(_) => {
                Ok(self.verifier.check_claims(verified.into_claims(), self.config.clock.now())?)
            }
        }
    }

    /// An opaque token says nothing by itself: its claims come from the issuer, under the same rules.
    async fn check_opaque(&self, token: &str) -> Result<VerifiedToken, EnforcementError> {
        let introspector = self.introspector.as_ref().ok_or(TokenRefusal::TokenNotAJwt)?;
        match introspector.introspect(token).await? {
            Introspected::Inactive => Err(TokenRefusal::TokenNotActive.into()),
            Introspected::Active(claims) => {
                Ok(self.verifier.check_claims(Arc::new(*claims), self.config.clock.now())?)
            }
        }
    }
}

/// Whether the issuer is on this machine; an error when it isn't and would be reached without TLS.
fn check_issuer(config: &Config) -> Result<bool, ConfigError> {
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

#[cfg(test)]
mod tests;
