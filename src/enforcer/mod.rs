//! Enforcement at a resource, as a library that needs no server of ours beside it: verify the access token offline,
//! follow the issuer's revocation log under a lease, and decide each call by the token's authorization details.
//!
//! An rmcp server with it, in ten lines; its tool handlers find the [`VerifiedToken`] among the request's extensions and
//! ask [`Enforcer::authorize`]:
//!
//! ```no_run
//! # use rmcp::transport::streamable_http_server::{StreamableHttpService, session::local::LocalSessionManager};
//! # async fn example<S>(service: StreamableHttpService<S, LocalSessionManager>) -> Result<(), Box<dyn std::error::Error>>
//! # where S: rmcp::ServerHandler {
//! use taskpass::enforcer::{Config, Credentials, Enforcer};
//! use taskpass::protocol::resource::ResourceUri;
//!
//! let credentials = Credentials::parse(&std::fs::read_to_string("tickets-guard.json")?)?;
//! let resource = ResourceUri::parse("https://tickets.example.com/mcp")?;
//! let enforcer = Enforcer::new(Config::new("https://id.example.com", resource).follow(credentials))?;
//! let _following = enforcer.start();
//! enforcer.ready().await;
//! let app = axum::Router::new().nest_service("/mcp", service).layer(enforcer.layer());
//! let listener = tokio::net::TcpListener::bind("0.0.0.0:8443").await?;
//! axum::serve(listener, app.merge(enforcer.metadata_routes())).await?;
//! # Ok(()) }
//! ```

mod bearer;
pub mod binding;
mod check;
mod config;
pub mod credentials;
pub mod decision;
mod feed;
pub mod follower;
mod http;
pub mod introspection;
pub mod jwks;
pub mod layer;
pub mod metadata;
mod opaque;
mod refusal;
mod sse;
mod status;
pub mod verifier;
pub mod view;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

pub use binding::{ClientCertificate, Presented};
pub use config::{Config, ConfigError};
pub use credentials::Credentials;
pub use http::Unavailable;
pub use layer::EnforcerLayer;
pub use refusal::TokenRefusal;
pub use status::{Following, Status};
pub use verifier::{LIFETIME_CEILING, VerifiedToken, Verifier};

use crate::domain::feed::ScopeAdvice;
use crate::domain::narrowing::CallRefusal;
use crate::protocol::claims::Rev;
use crate::protocol::resource::ResourceUri;
use binding::Binding;
use feed::Feed;
use introspection::Introspector;
use jwks::JwksCache;
use opaque::Opaque;
use tokio::sync::watch;

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

/// What an enforcer does when its knowledge of the revocation log is older than its lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StalePolicy {
    /// Refuses, with 503.
    #[default]
    Deny,
    /// Asks the issuer about this token, and refuses if there is no answer.
    Introspect,
    /// Lets a token in until it expires, unless a cutoff that is known hits it. For tools that only read.
    TtlOnly,
}

/// How an enforcer learns of revocations.
enum Source {
    /// Not at all: tokens live until they expire.
    None,
    /// By asking the issuer about each token on each request.
    Introspection(Introspector),
    /// By following the issuer's revocation log.
    Feed(Arc<Feed>, Introspector),
}

/// The enforcer of one resource. Cheap to share behind an [`Arc`].
pub struct Enforcer {
    config: Config,
    verifier: Verifier,
    binding: Binding,
    jwks: Arc<JwksCache>,
    source: Source,
    /// Opaque tokens that the issuer is asked about.
    opaque: Opaque,
}

impl Enforcer {
    /// Builds an enforcer; nothing is fetched until the first request.
    pub fn new(config: Config) -> Result<Arc<Self>, ConfigError> {
        let this_machine = config::check_issuer(&config)?;
        config::check_public_base(&config)?;
        let client = match &config.client {
            Some(client) => client.clone(),
            None => http::client(config.timeout, this_machine)?,
        };
        let foreign = |own: &Credentials| own.issuer() != config.issuer;
        if config.credentials.as_ref().is_some_and(|(own, _)| foreign(own)) {
            return Err(ConfigError::ForeignCredentials);
        }
        let jwks = Arc::new(JwksCache::new(
            client.clone(),
            format!("{}/oauth/jwks", config.issuer),
            config.clock.clone(),
        ));
        let introspector = |credentials| Introspector::new(client.clone(), credentials, config.clock.clone());
        let source = match &config.credentials {
            None => Source::None,
            Some((credentials, None)) => Source::Introspection(introspector(credentials.clone())),
            Some((credentials, Some(lease))) => {
                let feed = Feed::new(feed::Parts {
                    client: client.clone(),
                    credentials: credentials.clone(),
                    resource: config.resource.clone(),
                    jwks: Arc::clone(&jwks),
                    clock: config.clock.clone(),
                    lease: *lease,
                });
                Source::Feed(Arc::new(feed), introspector(credentials.clone()))
            }
        };
        let verifier = Verifier::new(&config.issuer, config.resource.clone(), config.lifetime_ceiling);
        let (binding, opaque) = (Binding::default(), Opaque::new());
        Ok(Arc::new(Self { config, verifier, binding, jwks, source, opaque }))
    }

    /// The resource that is enforced.
    pub fn resource(&self) -> &ResourceUri {
        &self.config.resource
    }

    /// Follows the revocation log in the background for as long as the answer is held. Without credentials for it there
    /// is nothing to do.
    pub fn start(&self) -> Following {
        let Source::Feed(feed, _) = &self.source else {
            return Following(Vec::new());
        };
        let (lease, stream) = (Arc::clone(feed), Arc::clone(feed));
        Following(vec![
            tokio::spawn(async move { lease.keep_lease().await }).abort_handle(),
            tokio::spawn(async move { stream.keep_stream().await }).abort_handle(),
        ])
    }

    /// Waits until the revocation log is known. An enforcer that doesn't follow it is ready at once.
    pub async fn ready(&self) {
        let Source::Feed(feed, _) = &self.source else { return };
        while feed.catch_up().await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Changes whenever the enforcer learns of entries of the revocation log. Without the feed it never does.
    pub fn news(&self) -> watch::Receiver<Rev> {
        match &self.source {
            Source::Feed(feed, _) => feed.follower().view().news(),
            Source::None | Source::Introspection(_) => {
                watch::Sender::new(Rev { generation: String::new(), seq: 0 }).subscribe()
            }
        }
    }

    /// Hands the issuer a batch of decisions for its audit trail: `{"batch", "events"}`. The same batch may be handed in
    /// again; it counts once.
    ///
    /// # Errors
    /// It isn't known to have arrived; or this enforcer doesn't follow the log, and so has no token for it.
    pub async fn deliver(&self, decisions: &impl serde::Serialize) -> Result<(), Unavailable> {
        match &self.source {
            Source::Feed(feed, _) => feed.post("decisions", decisions).await,
            Source::None | Source::Introspection(_) => Err(Unavailable::Malformed("no credentials")),
        }
    }

    /// Asks the issuer what clients should be told to ask for at this resource.
    ///
    /// # Errors
    /// There is no answer; or this enforcer doesn't follow the log, and so has no token to ask with.
    pub async fn advice(&self) -> Result<ScopeAdvice, Unavailable> {
        let Source::Feed(feed, _) = &self.source else {
            return Err(Unavailable::Malformed("no credentials"));
        };
        let answer = feed.get("advice").await?;
        serde_json::from_value(answer).map_err(|_| Unavailable::Malformed("it says nothing about scopes"))
    }

    /// What is known of the revocation log.
    pub fn status(&self) -> Status {
        let Source::Feed(feed, _) = &self.source else {
            return Status { rev: None, lease_age_ms: None, lease_seconds: None, fresh: true, cutoffs: 0 };
        };
        let (view, now) = (feed.follower().view(), self.config.clock.uptime());
        let lease = feed.follower().lease();
        Status {
            rev: feed.follower().has_begun().then(|| view.rev()),
            lease_age_ms: view.age(now).map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            lease_seconds: Some(lease.as_secs()),
            fresh: view.is_fresh(lease, now),
            cutoffs: view.len(),
        }
    }

    /// Whether a call of `tool` with `arguments` is allowed by the token's details, and the tool isn't cut.
    ///
    /// # Errors
    /// What was not granted: this server, this tool, or these arguments.
    pub fn authorize(
        &self,
        token: &VerifiedToken,
        tool: &str,
        arguments: &serde_json::Value,
    ) -> Result<(), CallRefusal> {
        if self.is_tool_cut(token, tool) {
            return Err(CallRefusal::ToolSwitchedOff);
        }
        decision::authorize(token, tool, arguments)
    }

    /// The tools that `token` could call now: what a tool list shows to its holder.
    pub fn tools_for(&self, token: &VerifiedToken) -> BTreeSet<String> {
        let mut tools = decision::tools_for(token);
        tools.retain(|tool| !self.is_tool_cut(token, tool));
        tools
    }

    /// Whether the tool was switched off after the token was minted.
    pub(crate) fn is_tool_cut(&self, token: &VerifiedToken, tool: &str) -> bool {
        match &self.source {
            Source::Feed(feed, _) => feed.follower().view().is_tool_cut(token.claims(), tool),
            Source::None | Source::Introspection(_) => false,
        }
    }
}

#[cfg(test)]
mod tests;
