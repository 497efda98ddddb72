//! `taskpass guard`: the reverse proxy before an unchanged MCP server (design section 7). It lets through what a token
//! allows and nothing else, and takes it back when the token dies.
//!
//! A request's way is in [`proxy`]; what is refused, and how that looks, in [`refusal`].

mod bearer;
mod body;
mod canonical;
mod challenge;
mod evidence;
mod files;
mod headers;
mod judge;
mod limits;
mod local;
mod message;
mod methods;
mod pins;
mod proxy;
mod refusal;
mod respond;
mod serve;
mod sessions;
mod spool;
mod sse;
mod stream;
mod tls;
mod tool_list;
mod upstream;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

pub use pins::{NotAccepted, Pin, PinFile, SHORTEST_HASH};
pub use serve::Running;

use challenge::Challenges;
use evidence::Evidence;
use limits::Limits;
use pins::Pins;
use refusal::Refusal;
use sessions::Sessions;
use spool::Spool;
use upstream::Upstream;

use crate::config::{Allowed, GuardConfig, Stale};
use crate::enforcer::{self, Credentials, Enforcer, StalePolicy, TokenRefusal, VerifiedToken, metadata};
use crate::protocol::claims::AccessTokenClaims;
use crate::protocol::resource::{MalformedResource, ResourceUri};
use crate::secret::Secret;
use crate::time::{Clock, Timestamp};

/// Why a guard doesn't start.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// A file can't be used.
    #[error("{0}: {1}")]
    File(PathBuf, std::io::Error),
    /// The resource isn't one.
    #[error("--resource: {0}")]
    Resource(#[from] MalformedResource),
    /// The credentials can't be used.
    #[error("{0}: {1}")]
    Credentials(PathBuf, enforcer::credentials::CredentialsError),
    /// The enforcer can't be built.
    #[error("{0}")]
    Enforcer(#[from] enforcer::ConfigError),
    /// The server behind can't be called.
    #[error("--upstream: {0}")]
    Upstream(String),
    /// The certificate or its key can't be used.
    #[error("{0}")]
    Tls(String),
    /// An address can't be listened on.
    #[error("can't listen on {0}: {1}")]
    Listen(std::net::SocketAddr, std::io::Error),
}

/// What of the settings a request asks for.
struct Settings {
    issuer: String,
    path: String,
    metadata_path: String,
    metadata: serde_json::Value,
    max_body: usize,
    allow: Vec<Allowed>,
    dry_run: bool,
    step_up: bool,
    origins: Vec<String>,
    local_token: Option<Secret>,
    stale: StalePolicy,
    stale_tools: HashMap<String, StalePolicy>,
}

/// One guard.
pub struct Guard {
    enforcer: Arc<Enforcer>,
    upstream: Upstream,
    settings: Settings,
    challenges: Challenges,
    sessions: Sessions,
    pins: Pins,
    limits: Limits,
    evidence: Arc<Evidence>,
    clock: Clock,
}

impl Guard {
    /// Builds a guard; it serves once it is [started](Running::start).
    pub fn new(config: &GuardConfig, clock: Clock) -> Result<Arc<Self>, GuardError> {
        let at = |path: &PathBuf| {
            let path = path.clone();
            move |error| GuardError::File(path, error)
        };
        let resource = ResourceUri::parse(&config.resource)?;
        let enforcer = build_enforcer(config, &resource, clock.clone())?;
        files::private_folder(&config.data_dir).map_err(at(&config.data_dir))?;
        let spooled = config.data_dir.join("evidence");
        let spool = Spool::open(&spooled, config.spool_bytes).map_err(at(&spooled))?;
        let session_key = config.data_dir.join("session.key");
        let url = url::Url::parse(resource.as_str()).map_err(|_| MalformedResource)?;
        let mut origins = config.allow_origins.clone();
        origins.push(url.origin().ascii_serialization());
        let local_token = match &config.local_token_file {
            None => None,
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(at(path))?;
                Some(Secret::new(text.trim().to_owned()))
            }
        };
        Ok(Arc::new(Self {
            upstream: Upstream::new(&config.upstream, url.path()).map_err(GuardError::Upstream)?,
            settings: Settings {
                issuer: config.issuer.clone(),
                path: url.path().to_owned(),
                metadata_path: metadata::location(&resource).1,
                metadata: enforcer.metadata(),
                max_body: config.max_body,
                allow: config.allow.clone(),
                dry_run: config.dry_run,
                step_up: config.step_up,
                origins,
                local_token,
                stale: policy(config.stale),
                stale_tools: config
                    .stale_tools
                    .iter()
                    .map(|(tool, what)| (tool.clone(), policy(*what)))
                    .collect(),
            },
            challenges: Challenges::new(&resource, &config.scopes),
            sessions: Sessions::open(&session_key).map_err(at(&session_key))?,
            pins: Pins::open(config.pins.clone(), config.strict_pins).map_err(at(&config.pins))?,
            limits: Limits::new(config.agent_limit, config.task_limit),
            evidence: Arc::new(Evidence::new(spool, Arc::clone(&enforcer), clock.clone(), config.dry_run)),
            enforcer,
            clock,
        }))
    }

    /// The enforcer that decides.
    pub fn enforcer(&self) -> &Arc<Enforcer> {
        &self.enforcer
    }

    /// How stale the view may be for a call of `tool`, or for what calls none.
    fn stale_policy(&self, tool: Option<&str>) -> StalePolicy {
        let own = tool.and_then(|tool| self.settings.stale_tools.get(tool));
        own.copied().unwrap_or(self.settings.stale)
    }

    /// The tools that a list shows to the holder of `token`: those that it could call; and, where clients step up, those that
    /// a person's own client could come back for. What nobody shows it, it never calls. An agent is shown nothing that it
    /// can't call: nobody sits beside it who could be asked.
    fn visible_tools(&self, token: &VerifiedToken) -> BTreeSet<String> {
        let mut tools = self.enforcer.tools_for(token);
        if self.settings.step_up && token.claims().act.is_none() {
            let within_reach = self.challenges.within_reach();
            tools.extend(within_reach.into_iter().filter(|tool| !self.enforcer.is_tool_cut(token, tool)));
        }
        tools
    }

    /// Whose token was refused as revoked, for the record.
    fn whose(&self, token: &str, refused: &Refusal) -> Option<Arc<AccessTokenClaims>> {
        let revoked = *refused == Refusal::Token(TokenRefusal::TokenRevoked);
        if revoked { self.enforcer.claims_of_revoked(token) } else { None }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

fn policy(stale: Stale) -> StalePolicy {
    match stale {
        Stale::Deny => StalePolicy::Deny,
        Stale::Introspect => StalePolicy::Introspect,
        Stale::TtlOnly => StalePolicy::TtlOnly,
    }
}

fn build_enforcer(
    config: &GuardConfig,
    resource: &ResourceUri,
    clock: Clock,
) -> Result<Arc<Enforcer>, GuardError> {
    let at = |error| GuardError::File(config.credentials.clone(), error);
    let key_file = std::fs::read_to_string(&config.credentials).map_err(at)?;
    let credentials = Credentials::parse(&key_file)
        .map_err(|error| GuardError::Credentials(config.credentials.clone(), error))?;
    let scopes: Vec<_> = config.scopes.iter().map(String::as_str).collect();
    let mut settings = enforcer::Config::new(&config.issuer, resource.clone())
        .follow_within(credentials, config.lease_seconds)
        .scopes(&scopes)
        .clock(clock);
    if let Some(name) = &config.name {
        settings = settings.name(name);
    }
    if config.allow_plain_http {
        settings = settings.allow_plain_http();
    }
    Ok(Enforcer::new(settings)?)
}
