//! The wires of the revocation feed: a lease that is renewed, a stream that brings news sooner, and a snapshot to start
//! from. What any of it means is decided in `follower`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{ACCEPT, AUTHORIZATION};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{Mutex, Notify};

use super::bearer::Bearers;
use super::credentials::Credentials;
use super::follower::{FollowError, Follower};
use super::http::{self as wire, Unavailable};
use super::jwks::JwksCache;
use super::sse::{Event, Reader};
use crate::domain::cutoff::Stretch;
use crate::domain::feed::{ENFORCED_RESOURCE, HEARTBEAT, LeaseAnswer, SNAPSHOT_TYP, Snapshot};
use crate::entropy::Entropy;
use crate::jose::Unverified;
use crate::protocol::claims::Rev;
use crate::protocol::resource::ResourceUri;
use crate::time::{Clock, Uptime};

/// The longest snapshot and lease answer that are read, in bytes: a million cutoffs.
const LONGEST: usize = 128 * 1024 * 1024;
/// The longest other document that is read, in bytes.
const LONGEST_DOCUMENT: usize = 1024 * 1024;
/// After a failure, the time until a request may be the cause of another attempt.
const REST: Duration = Duration::from_millis(200);
/// The longest time between two attempts while the issuer doesn't answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// A stream that is silent for this long is dead, whatever TCP says.
const SILENCE: Duration = Duration::from_secs(3 * HEARTBEAT);

/// One enforcer's feed.
pub(super) struct Feed {
    client: reqwest::Client,
    issuer: String,
    enforcer: String,
    resource: ResourceUri,
    bearers: Bearers,
    jwks: Arc<JwksCache>,
    follower: Follower,
    clock: Clock,
    entropy: Entropy,
    /// Numbers what comes and what is sent: whoever came before a question was sent is served by its answer.
    order: AtomicU64,
    /// Held while a lease is asked for.
    turn: Mutex<Turn>,
    /// There is something to acknowledge or to ask for before the next renewal is due.
    kick: Notify,
    /// Over how many milliseconds to spread acknowledgements.
    ack_within: AtomicU64,
}

#[derive(Default)]
struct Turn {
    /// The number of the last question that was answered.
    sent: u64,
    /// When the last attempt failed, if it did.
    failed: Option<Uptime>,
}

/// What a feed is made of.
pub(super) struct Parts {
    pub(super) client: reqwest::Client,
    pub(super) credentials: Credentials,
    pub(super) resource: ResourceUri,
    pub(super) jwks: Arc<JwksCache>,
    pub(super) clock: Clock,
    pub(super) lease: Duration,
}

impl Feed {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { client, credentials, resource, jwks, clock, lease } = parts;
        let entropy = Entropy::default();
        let instance = entropy.ordered_id("enf", clock.now());
        Self {
            issuer: credentials.issuer().to_owned(),
            enforcer: credentials.client_id().to_owned(),
            resource,
            bearers: Bearers::new(client.clone(), credentials, clock.clone(), ("revocation", "revocation")),
            client,
            jwks,
            follower: Follower::new(instance, lease),
            clock,
            entropy,
            order: AtomicU64::new(0),
            turn: Mutex::default(),
            kick: Notify::new(),
            ack_within: AtomicU64::new(0),
        }
    }

    pub(super) fn follower(&self) -> &Follower {
        &self.follower
    }

    /// Posts a JSON document to another of the feed's endpoints.
    pub(super) async fn post(&self, path: &str, body: &impl Serialize) -> Result<(), Unavailable> {
        let url = format!("{}/{path}", self.bearers.url());
        let body = serde_json::to_vec(body).map_err(|_| Unavailable::Malformed("our own document"))?;
        let body = Bytes::from(body);
        let request = || {
            let request = self.client.post(&url).body(body.clone());
            request.header(::http::header::CONTENT_TYPE, "application/json")
        };
        wire::read_text(self.send(request).await?, LONGEST).await.map(drop)
    }

    /// Reads a short JSON document from another of the feed's endpoints.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Unavailable> {
        let url = format!("{}/{path}", self.bearers.url());
        let answer = self.send(|| self.client.get(&url).header(ACCEPT, "application/json")).await?;
        wire::read(answer, LONGEST_DOCUMENT).await.map(Value::Object)
    }

    /// Asks the issuer what has happened until now. Whoever waits while another asks shares the next answer.
    ///
    /// # Errors
    /// There is no answer; what is known stays as old as it was.
    pub(super) async fn catch_up(&self) -> Result<(), Unavailable> {
        let number = || self.order.fetch_add(1, Ordering::SeqCst) + 1;
        let came = number();
        let mut turn = self.turn.lock().await;
        if turn.sent > came {
            return Ok(());
        }
        if turn.failed.is_some_and(|at| self.clock.uptime().since(at) < REST) {
            return Err(Unavailable::Resting);
        }
        let sent = number();
        match self.renew().await {
            Ok(()) => {
                *turn = Turn { sent, failed: None };
                Ok(())
            }
            Err(error) => {
                turn.failed = Some(self.clock.uptime());
                Err(error)
            }
        }
    }

    /// One renewal: from a snapshot if there is nothing to renew, and once more after one that came too late.
    async fn renew(&self) -> Result<(), Unavailable> {
        if !self.follower.has_begun() {
            self.start_over().await?;
        }
        match self.ask().await {
            Err(Unavailable::Status { status: 410, .. }) => {
                self.start_over().await?;
                self.ask().await
            }
            answer => answer,
        }
    }

    async fn ask(&self) -> Result<(), Unavailable> {
        let sent = self.clock.uptime();
        let nonce = self.entropy.secret("n").expose().to_owned();
        let request = self.follower.ask(nonce, sent).ok_or(Unavailable::Malformed("no snapshot yet"))?;
        let body = serde_json::to_string(&request).map_err(|_| Unavailable::Malformed("our own question"))?;
        let answer = self.send(|| {
            let lease = self.client.post(format!("{}/lease", self.bearers.url()));
            lease.header(::http::header::CONTENT_TYPE, "application/json").body(body.clone())
        });
        let answer = wire::read(answer.await?, LONGEST).await?;
        let answer: LeaseAnswer = serde_json::from_value(Value::Object(answer))
            .map_err(|_| Unavailable::Malformed("it is not a lease"))?;
        self.ack_within.store(answer.ack_within_ms.min(10_000), Ordering::Relaxed);
        Ok(self.follower.answered(&answer, self.clock.uptime())?)
    }

    async fn start_over(&self) -> Result<(), Unavailable> {
        let url = format!("{}/snapshot", self.bearers.url());
        let answer = self.send(|| self.client.get(&url).header(ACCEPT, "application/jwt")).await?;
        let text = wire::read_text(answer, LONGEST).await?;
        let snapshot = self.verify(&text).await?;
        self.follower.start_over(snapshot, self.clock.uptime())?;
        tracing::info!(rev = %self.follower.view().rev(), "the revocation log was read anew");
        Ok(())
    }

    async fn verify(&self, text: &str) -> Result<Snapshot, Unavailable> {
        const WRONG: Unavailable = Unavailable::Malformed("it is not a snapshot signed for us");
        let unverified = Unverified::parse_document(text).map_err(|_| WRONG)?;
        // RFC 8725 §3.11: a token of one kind must not pass for another.
        let header = unverified.header();
        let (Some(SNAPSHOT_TYP), Some(kid)) = (header.typ.as_deref(), &header.kid) else {
            return Err(WRONG);
        };
        let keys = self.jwks.keys_for(kid).await?;
        let payload = unverified.verify(&keys).map_err(|_| WRONG)?;
        let snapshot: Snapshot = serde_json::from_slice(payload).map_err(|_| WRONG)?;
        if snapshot.iss == self.issuer && snapshot.aud == self.enforcer { Ok(snapshot) } else { Err(WRONG) }
    }

    /// Sends a request with our token, and once more with another one if the issuer has taken that back.
    async fn send(
        &self,
        request: impl Fn() -> reqwest::RequestBuilder,
    ) -> Result<reqwest::Response, Unavailable> {
        // What of the log is shown depends on the resources that this enforcer is registered for. If ours isn't one of them,
        // its kill switch would never be heard: better to be told so than to follow such a log.
        let request = || request().header(ENFORCED_RESOURCE, self.resource.as_str());
        let bearer = self.bearers.bearer().await?;
        let answer = request().header(AUTHORIZATION, bearer.header()).send().await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        self.bearers.forget(&bearer);
        let bearer = self.bearers.bearer().await?;
        Ok(request().header(AUTHORIZATION, bearer.header()).send().await?)
    }

    /// Keeps the lease renewed, for as long as it is polled.
    pub(super) async fn keep_lease(&self) {
        let third = self.follower.lease() / 3;
        let mut failures = 0_u32;
        loop {
            match self.catch_up().await {
                Ok(()) => failures = 0,
                Err(error) => {
                    failures = failures.saturating_add(1);
                    if failures.is_power_of_two() {
                        tracing::warn!(%error, failures, "the revocation lease was not renewed");
                    }
                }
            }
            let wait = match failures {
                0 => third,
                _ => (REST * 2_u32.saturating_pow(failures.min(6))).min(PATIENCE),
            };
            tokio::select! {
                () = tokio::time::sleep(self.jitter(wait)) => {}
                () = self.kick.notified() => {
                    let within = Duration::from_millis(self.ack_within.load(Ordering::Relaxed));
                    tokio::time::sleep(within.mul_f64(self.chance())).await;
                }
            }
        }
    }

    /// Between three quarters of `wait` and all of it: a fleet that started together doesn't stay together.
    fn jitter(&self, wait: Duration) -> Duration {
        wait.mul_f64(1.0 - self.chance() / 4.0)
    }

    fn chance(&self) -> f64 {
        f64::from(u16::from_le_bytes(self.entropy.bytes())) / 65_536.0
    }

    /// Reads the stream, for as long as it is polled.
    pub(super) async fn keep_stream(&self) {
        let mut failures = 0_u32;
        loop {
            if self.follower.has_begun() {
                match self.read_stream().await {
                    Ok(()) => failures = 0,
                    Err(error) => {
                        failures = failures.saturating_add(1);
                        tracing::debug!(%error, failures, "the revocation stream broke; the lease goes on without it");
                    }
                }
            }
            let wait = REST * 2_u32.saturating_pow(failures.min(5));
            tokio::time::sleep(self.jitter(wait)).await;
        }
    }

    async fn read_stream(&self) -> Result<(), Unavailable> {
        let url = format!("{}/stream", self.bearers.url());
        let rev = self.follower.view().rev().to_string();
        let request = || {
            let stream = self.client.get(&url).timeout(Duration::from_hours(24));
            stream.header(ACCEPT, "text/event-stream").header("last-event-id", &rev)
        };
        let mut response = tokio::time::timeout(SILENCE, self.send(request))
            .await
            .map_err(|_| Unavailable::Malformed("the stream never began"))??;
        if response.status() == StatusCode::GONE {
            self.kick.notify_one();
        }
        if response.status() != StatusCode::OK {
            return Err(Unavailable::Status { status: response.status().as_u16(), error: None });
        }
        let mut reader = Reader::default();
        loop {
            let chunk = tokio::time::timeout(SILENCE, response.chunk()).await;
            let chunk = chunk.map_err(|_| Unavailable::Malformed("the stream is silent"))??;
            let Some(chunk) = chunk else { return Ok(()) };
            let events =
                reader.read(&chunk).map_err(|_| Unavailable::Malformed("the stream is unreadable"))?;
            for event in events {
                self.take(&event)?;
            }
        }
    }

    fn take(&self, event: &Event) -> Result<(), Unavailable> {
        let applied = match event.name.as_str() {
            "cutoffs" => self.take_cutoffs(event),
            // A heartbeat says how far the log has come: an event that went missing shows at once.
            "heartbeat" => match event.data.parse::<u64>() {
                Ok(seq) if seq <= self.follower.view().rev().seq => return Ok(()),
                _ => Err(Unavailable::Malformed("the stream has a gap")),
            },
            _ => Err(Unavailable::Malformed("the stream was ended by the server")),
        };
        self.kick.notify_one();
        applied
    }

    fn take_cutoffs(&self, event: &Event) -> Result<(), Unavailable> {
        const WRONG: Unavailable = Unavailable::Malformed("an event is not of the revocation log");
        let rev: Rev = event.id.parse().map_err(|_| WRONG)?;
        let stretch: Stretch = serde_json::from_str(&event.data).map_err(|_| WRONG)?;
        if rev.seq != stretch.seq {
            return Err(WRONG);
        }
        Ok(self.follower.streamed(&rev.generation, &stretch, self.clock.uptime())?)
    }
}

impl From<FollowError> for Unavailable {
    fn from(error: FollowError) -> Self {
        tracing::warn!(%error, "a message of the revocation feed was not accepted");
        match error {
            FollowError::SetBack => Self::SetBack,
            _ => Self::Malformed("it doesn't follow on what is known of the revocation log"),
        }
    }
}
