//! The client: one server, one identity.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::OnceCell;

use super::discovery::{self, Endpoints, Reach};
use super::error::Error;
use super::identity::Identity;
use super::request::{ExchangeRequest, Form, TaskRequest, TokenRequest};
use super::token::{Asked, Sent, Token};
use super::transport::{Failure, Transport};
use crate::entropy::Entropy;
use crate::protocol::scope::Scope;
use crate::protocol::token_type::TokenType;
use crate::time::{Clock, Timestamp};

const TOKEN_ENDPOINT: &str = "the token endpoint";
const REVOCATION_ENDPOINT: &str = "the revocation endpoint";

/// How often one request is sent, the first time included.
const ATTEMPTS: u32 = 3;
/// The longest `Retry-After` that is waited for; beyond it the refusal is handed to the caller, who knows better.
const PATIENCE: Duration = Duration::from_secs(30);

/// An agent's client for one Taskpass server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    issuer: String,
    identity: Identity,
    reach: Reach,
    clock: Clock,
    entropy: Entropy,
    transport: Transport,
    endpoints: OnceCell<Endpoints>,
}

/// Builds a [`Client`] with other than the usual settings.
#[derive(Clone, Debug)]
pub struct ClientBuilder {
    issuer: String,
    identity: Identity,
    allow_http: bool,
    clock: Clock,
}

impl ClientBuilder {
    /// Allows plain HTTP to another machine, for networks that encrypt below (a service mesh) and for trials.
    #[must_use]
    pub fn allow_http(mut self, allow: bool) -> Self {
        self.allow_http = allow;
        self
    }

    /// Takes the time from `clock`.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The client. Nothing is sent yet.
    ///
    /// # Errors
    /// When the issuer isn't a URL that credentials may be sent to, or the key file belongs to another server.
    pub fn build(self) -> Result<Client, Error> {
        let reach = Reach { allow_http: self.allow_http };
        let url = reach.check(&self.issuer).map_err(|why| Error::Request(format!("the issuer {why}")))?;
        // RFC 8414 §2: the issuer "has no query or fragment components".
        if url.query().is_some() {
            return Err(Error::Request("the issuer has a query component".into()));
        }
        if let Identity::KeyFile(file) = &self.identity
            && let Some(own) = file.issuer()
            && own != self.issuer
        {
            return Err(Error::Request(format!("the key file is for {own}, not for {}", self.issuer)));
        }
        let transport = Transport::new(discovery::is_loopback(&url))?;
        Ok(Client(Arc::new(Inner {
            issuer: self.issuer,
            identity: self.identity,
            reach,
            clock: self.clock,
            entropy: Entropy::default(),
            transport,
            endpoints: OnceCell::new(),
        })))
    }
}

impl Client {
    /// A client for the server `issuer`, with the usual settings.
    ///
    /// # Errors
    /// As [`ClientBuilder::build`].
    pub fn new(issuer: impl Into<String>, identity: Identity) -> Result<Self, Error> {
        Self::builder(issuer, identity).build()
    }

    /// A builder for a client with other settings.
    pub fn builder(issuer: impl Into<String>, identity: Identity) -> ClientBuilder {
        ClientBuilder { issuer: issuer.into(), identity, allow_http: false, clock: Clock::default() }
    }

    /// The server's issuer identifier.
    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }

    /// The time by which the client judges its tokens.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// The server's endpoints, asked for once (RFC 8414).
    pub async fn endpoints(&self) -> Result<&Endpoints, Error> {
        let inner = &self.0;
        inner
            .endpoints
            .get_or_try_init(|| async {
                let url = discovery::metadata_url(&inner.issuer);
                let mut tries = 0;
                let members = loop {
                    match inner.transport.fetch(discovery::WHAT, &url).await {
                        Ok(members) => break members,
                        Err(failure) => self.pause_or_give_up(failure, &mut tries).await?,
                    }
                };
                Endpoints::read(&members, &inner.issuer, inner.reach)
            })
            .await
    }

    /// Opens a task on behalf of whom the subject token speaks of (RFC 8693).
    pub async fn exchange(&self, request: &ExchangeRequest) -> Result<Token, Error> {
        self.request(&TokenRequest::Exchange(request.clone())).await
    }

    /// Opens a task on behalf of nobody (RFC 6749 §4.4).
    pub async fn client_credentials(&self, request: &TaskRequest) -> Result<Token, Error> {
        self.request(&TokenRequest::ClientCredentials(request.clone())).await
    }

    /// Opens a task either way.
    pub async fn request(&self, request: &TokenRequest) -> Result<Token, Error> {
        check_task(request.task())?;
        let form = request.form();
        let asked = Asked {
            resource: &request.task().resource,
            scope: request.task().scope.as_ref(),
            exchange: matches!(request, TokenRequest::Exchange(_)),
        };
        let url = &self.endpoints().await?.token_endpoint;
        let (members, sent) = self.post(TOKEN_ENDPOINT, url, &form).await?;
        let members = members.ok_or_else(|| Error::malformed(TOKEN_ENDPOINT, "not a JSON object"))?;
        Token::read(members, &asked, sent)
    }

    /// Exchanges a token of this agent, still alive, for a fresh one of the same task: the same authority, a later end.
    pub async fn renew(&self, token: &Token) -> Result<Token, Error> {
        let task = TaskRequest::at(token.resource.clone());
        let subject = token.access_token.clone();
        let renewed = self.exchange(&ExchangeRequest::new(subject, TokenType::AccessToken, task)).await?;
        if renewed.task != token.task {
            return Err(Error::malformed(TOKEN_ENDPOINT, "the renewal belongs to another task"));
        }
        Ok(renewed)
    }

    /// Revokes the token (RFC 7009). Taskpass ends the task of a token that its own holder revokes, and every task
    /// below it.
    pub async fn revoke(&self, token: &Token) -> Result<(), Error> {
        let url = self.endpoints().await?.revocation_endpoint.as_deref();
        let url = url.ok_or_else(|| Error::malformed(discovery::WHAT, "revocation_endpoint is missing"))?;
        let mut form = Form::default();
        form.push("token", token.access_token.expose());
        form.push("token_type_hint", "access_token");
        self.post(REVOCATION_ENDPOINT, url, &form).await.map(|_| ())
    }

    /// Hands the task back: it is done, and nothing that it was given should work any longer.
    pub async fn hand_back(&self, token: &Token) -> Result<(), Error> {
        self.revoke(token).await
    }

    /// Posts a form with a new proof of identity for every attempt: a proof that was sent may have been used up, even
    /// when no answer came back.
    async fn post(
        &self,
        what: &'static str,
        url: &str,
        form: &Form,
    ) -> Result<(Option<Map<String, Value>>, Sent), Error> {
        let mut tries = 0;
        loop {
            match self.post_once(what, url, form).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => self.pause_or_give_up(failure, &mut tries).await?,
            }
        }
    }

    async fn post_once(
        &self,
        what: &'static str,
        url: &str,
        form: &Form,
    ) -> Result<(Option<Map<String, Value>>, Sent), Failure> {
        let inner = &self.0;
        let proof = inner.identity.assertion(&inner.issuer, self.now(), &inner.entropy).await?;
        let mut form = form.clone();
        form.push("client_assertion_type", proof.assertion_type);
        form.push("client_assertion", proof.assertion.expose());
        let sent = Sent::now(&inner.clock);
        Ok((inner.transport.post(what, url, &form).await?, sent))
    }

    /// Waits, where sending again may help and hasn't been done too often; else hands the failure back.
    async fn pause_or_give_up(&self, failure: Failure, tries: &mut u32) -> Result<(), Error> {
        *tries += 1;
        match pause(&failure, *tries) {
            Some(wait) if *tries < ATTEMPTS => {
                tokio::time::sleep(self.jitter(wait)).await;
                Ok(())
            }
            _ => Err(failure.error),
        }
    }

    /// Up to a quarter more, so that agents that were refused together don't return together.
    fn jitter(&self, wait: Duration) -> Duration {
        let [chance] = self.0.entropy.bytes::<1>();
        wait + wait * u32::from(chance) / 1024
    }
}

/// How long to wait before the request is sent again; `None` when it must not be.
fn pause(failure: &Failure, tries: u32) -> Option<Duration> {
    match &failure.error {
        _ if failure.connection => Some(Duration::from_millis(200) * 4_u32.pow(tries - 1)),
        Error::Refused(refused) if matches!(refused.status, 429 | 503) => refused
            .retry_after
            .filter(|wait| *wait <= PATIENCE)
            .map(|wait| wait.max(Duration::from_millis(50))),
        _ => None,
    }
}

fn check_task(task: &TaskRequest) -> Result<(), Error> {
    let details = task.authorization_details.as_ref();
    let is_list = |value: &Value| {
        value.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(Value::is_object))
    };
    if details.is_some_and(|details| !is_list(details)) {
        return Err(Error::Request("authorization_details is a JSON array of at least one object".into()));
    }
    // An empty parameter counts as absent, and absent asks for the most: the opposite of what was meant.
    if task.scope.as_ref().is_some_and(Scope::is_empty) {
        return Err(Error::Request("an empty scope grants nothing".into()));
    }
    if task.task_lifetime == Some(0) {
        return Err(Error::Request("a task lasts at least one second".into()));
    }
    Ok(())
}
