//! Enforcers of our own, as processes: the test program starts itself. One is the library as it is; one only polls, as
//! where streams can't pass. Others have a bug planted in them, and only to be found out.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use taskpass::domain::cutoff::{ScopeKind, Verdict};
use taskpass::domain::feed::{LeaseAnswer, Snapshot};
use taskpass::enforcer::follower::{FollowError, Follower};
use taskpass::enforcer::view::Decision;
use taskpass::enforcer::{Config, Credentials, EnforcementError, Enforcer, StalePolicy, TokenRefusal};
use taskpass::entropy::Entropy;
use taskpass::jose::ClientKey;
use taskpass::protocol::resource::ResourceUri;
use taskpass::time::{Clock, Uptime, monotonic};
use tokio::sync::watch;

use url::form_urlencoded;

use crate::world::RESOURCE;

/// What a process of ours is told, in the variable of this name.
pub(super) const ORDERS: &str = "TASKPASS_TEST_ENFORCER";
/// Where the test program finds itself.
pub(super) const ENTRY: &str = "faults::enforcer::an_enforcer_when_it_is_told_to_be_one";

/// How an enforcer of ours learns of revocations, and what is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Nature {
    /// `taskpass::enforcer` as it is.
    Library,
    /// The protocol's rules (`Follower`), by leases alone.
    Polling,
    /// Planted: goes on by what it knows when the lease has run out.
    IgnoresTheLease,
    /// Planted: counts freshness from when an answer came.
    FreshFromReceipt,
    /// Planted: looks at cutoffs of tokens only.
    OneScopeOnly,
    /// Planted: asks about each token, and keeps what it was told for ten seconds.
    CachesIntrospection,
    /// Planted: starts over without a word when the log was set back.
    ForgetsWhatItKnew,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Orders {
    pub(super) nature: Nature,
    pub(super) listen: std::net::SocketAddr,
    /// The text of its key file.
    pub(super) credentials: String,
    pub(super) lease_seconds: u64,
}

/// Whether a token is let in: the status.
enum Mind {
    Library(Arc<Enforcer>, StalePolicy),
    Caching(Arc<Enforcer>, Mutex<Vec<(String, std::time::Instant)>>),
    Polling(Arc<Polling>),
}

#[test]
fn an_enforcer_when_it_is_told_to_be_one() {
    let Some(orders) = crate::setting(ORDERS) else { return };
    let orders: Orders = serde_json::from_str(&orders).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(serve(orders));
}

async fn serve(orders: Orders) {
    let credentials = Credentials::parse(&orders.credentials).unwrap();
    let issuer = credentials.issuer().to_owned();
    let config = Config::new(&issuer, ResourceUri::parse(RESOURCE).unwrap());
    let build = |config| Enforcer::new(config).unwrap();
    let lease = orders.lease_seconds;
    let mind = match orders.nature {
        Nature::Library => Mind::Library(build(config.follow_within(credentials, lease)), StalePolicy::Deny),
        Nature::IgnoresTheLease => {
            Mind::Library(build(config.follow_within(credentials, lease)), StalePolicy::TtlOnly)
        }
        Nature::CachesIntrospection => Mind::Caching(build(config.introspect(credentials)), Mutex::default()),
        Nature::Polling | Nature::FreshFromReceipt | Nature::OneScopeOnly | Nature::ForgetsWhatItKnew => {
            Mind::Polling(Polling::start(&orders, build(config)))
        }
    };
    let following = match &mind {
        Mind::Library(enforcer, _) => Some(enforcer.start()),
        Mind::Caching(..) | Mind::Polling(_) => None,
    };
    let listener = tokio::net::TcpListener::bind(orders.listen).await.unwrap();
    let app = axum::Router::new().fallback(answer).with_state(Arc::new(mind));
    axum::serve(listener, app).await.unwrap();
    drop(following);
}

async fn answer(State(mind): State<Arc<Mind>>, headers: HeaderMap) -> StatusCode {
    let bearer = headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let Some(token) = bearer else { return StatusCode::BAD_REQUEST };
    let status = |checked: Result<(), EnforcementError>| match checked {
        Ok(()) => StatusCode::OK,
        Err(EnforcementError::Refused(TokenRefusal::TokenExpired)) => StatusCode::GONE,
        Err(EnforcementError::Refused(_)) => StatusCode::UNAUTHORIZED,
        Err(EnforcementError::Stale(_)) => StatusCode::SERVICE_UNAVAILABLE,
    };
    match &*mind {
        Mind::Library(enforcer, policy) => {
            let checked = enforcer.check_under(token, *policy).await;
            // Once more before anything is let out, as whoever buffers an answer must.
            status(checked.and_then(|verified| enforcer.recheck(&verified)))
        }
        Mind::Caching(enforcer, cache) => {
            let now = monotonic();
            let young = |(known, at): &(String, std::time::Instant)| {
                known == token && now.duration_since(*at) < Duration::from_secs(10)
            };
            if cache.lock().unwrap().iter().any(young) {
                return StatusCode::OK;
            }
            let checked = enforcer.check(token).await;
            if checked.is_ok() {
                cache.lock().unwrap().push((token.to_owned(), now));
            }
            status(checked.map(drop))
        }
        Mind::Polling(polling) => polling.decide(token).await,
    }
}

/// An enforcer that asks for leases and reads no stream.
struct Polling {
    nature: Nature,
    /// Verifies tokens offline, and no more.
    verifier: Arc<Enforcer>,
    follower: Mutex<Arc<Follower>>,
    key: ClientKey,
    issuer: String,
    client: reqwest::Client,
    lease: Duration,
    clock: Clock,
    entropy: Entropy,
    /// How many questions were answered.
    polls: watch::Sender<u64>,
}

/// Why a poll brought nothing; it says no more, since the next one comes soon.
type Failed = Box<dyn std::error::Error + Send + Sync>;

impl Polling {
    fn start(orders: &Orders, verifier: Arc<Enforcer>) -> Arc<Self> {
        taskpass::tls::install_provider();
        let key = ClientKey::parse(&orders.credentials).unwrap();
        let lease = Duration::from_secs(orders.lease_seconds);
        let entropy = Entropy::default();
        let polling = Arc::new(Self {
            nature: orders.nature,
            verifier,
            follower: Mutex::new(Arc::new(Self::new_follower(&entropy, lease))),
            issuer: key.issuer().unwrap().to_owned(),
            key,
            client: reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(3)).build().unwrap(),
            lease,
            clock: Clock::System,
            entropy,
            polls: watch::Sender::new(0),
        });
        let endless = Arc::clone(&polling);
        tokio::spawn(async move {
            let mut bearer = String::new();
            loop {
                match endless.poll(&mut bearer).await {
                    Ok(()) => endless.polls.send_modify(|polls| *polls += 1),
                    Err(_) => bearer.clear(),
                }
                tokio::time::sleep(Duration::from_millis(150)).await;
            }
        });
        polling
    }

    fn new_follower(entropy: &Entropy, lease: Duration) -> Follower {
        Follower::new(entropy.secret("i").expose().to_owned(), lease)
    }

    fn follower(&self) -> Arc<Follower> {
        Arc::clone(&self.follower.lock().unwrap())
    }

    fn up(&self) -> Uptime {
        self.clock.uptime()
    }

    /// One question, and what its answer changes.
    async fn poll(&self, bearer: &mut String) -> Result<(), Failed> {
        if bearer.is_empty() {
            *bearer = self.bearer().await?;
        }
        let follower = self.follower();
        if !follower.has_begun() {
            self.start_over(&follower, bearer).await?;
        }
        let nonce = self.entropy.secret("n").expose().to_owned();
        let mut request = follower.ask(nonce, self.up()).ok_or("not begun")?;
        if self.nature == Nature::ForgetsWhatItKnew {
            request.head_proof = None;
        }
        let body = serde_json::to_string(&request)?;
        let request = self.client.post(format!("{}/revocation/lease", self.issuer)).bearer_auth(&bearer);
        let answer = request.header("content-type", "application/json").body(body).send().await?;
        match answer.status().as_u16() {
            200 => {}
            410 => return self.start_over(&follower, bearer).await,
            409 if self.nature == Nature::ForgetsWhatItKnew => {
                *self.follower.lock().unwrap() = Arc::new(Self::new_follower(&self.entropy, self.lease));
                return Ok(());
            }
            status => return Err(status.to_string().into()),
        }
        let mut answer: LeaseAnswer = serde_json::from_str(&answer.text().await?)?;
        if self.nature == Nature::OneScopeOnly {
            answer.cutoffs.retain(|cut| cut.scope_kind == ScopeKind::Token);
        }
        let received = self.up();
        match follower.answered(&answer, received) {
            Ok(()) if self.nature == Nature::FreshFromReceipt => follower.view().confirm(received),
            Ok(()) => {}
            Err(FollowError::OtherLog) => self.start_over(&follower, bearer).await?,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    async fn bearer(&self) -> Result<String, Failed> {
        let assertion = self.key.assertion(&self.issuer, self.clock.now(), &self.entropy)?;
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("resource", &format!("{}/revocation", self.issuer))
            .append_pair("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
            .append_pair("client_assertion", &assertion)
            .finish();
        let request = self.client.post(format!("{}/oauth/token", self.issuer));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        let answer: Value = serde_json::from_str(&request.send().await?.text().await?)?;
        Ok(answer["access_token"].as_str().ok_or_else(|| answer.to_string())?.to_owned())
    }

    async fn start_over(&self, follower: &Follower, bearer: &str) -> Result<(), Failed> {
        let request = self.client.get(format!("{}/revocation/snapshot", self.issuer)).bearer_auth(bearer);
        let text = request.send().await?.error_for_status()?.text().await?;
        // Its signature is the library's business; the way to here is ours alone.
        let payload = URL_SAFE_NO_PAD.decode(text.split('.').nth(1).ok_or("no JWS")?)?;
        let mut snapshot: Snapshot = serde_json::from_slice(&payload)?;
        if self.nature == Nature::OneScopeOnly {
            snapshot.cutoffs.retain(|cut| cut.scope_kind == ScopeKind::Token);
        }
        Ok(follower.start_over(snapshot, self.up())?)
    }

    async fn decide(&self, token: &str) -> StatusCode {
        let verified = match self.verifier.check(token).await {
            Ok(verified) => verified,
            Err(EnforcementError::Refused(TokenRefusal::TokenExpired)) => return StatusCode::GONE,
            Err(EnforcementError::Refused(_)) => return StatusCode::UNAUTHORIZED,
            Err(EnforcementError::Stale(_)) => return StatusCode::SERVICE_UNAVAILABLE,
        };
        let decide = || self.follower().decide(verified.claims(), None, self.up());
        let mut decision = decide();
        if let Decision::Known(Verdict::Behind | Verdict::OtherLog) = decision {
            // It may be we who are behind. The answer to a question that is under way may not know either, the next will.
            let mut polls = self.polls.subscribe();
            let enough = *polls.borrow() + 2;
            let known =
                tokio::time::timeout(Duration::from_secs(3), polls.wait_for(|polls| *polls >= enough)).await;
            match known {
                Ok(_) => decision = decide(),
                Err(_) => return StatusCode::SERVICE_UNAVAILABLE,
            }
        }
        match decision {
            Decision::Known(Verdict::Alive) => StatusCode::OK,
            Decision::Known(Verdict::Cut(_) | Verdict::OtherLog) => StatusCode::UNAUTHORIZED,
            Decision::Known(Verdict::Behind) | Decision::Stale => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}
