//! The verifier alone: [`Enforcer::check`] in this process, on tokens that it has proven before and on tokens that are new
//! to it, under a view of many cutoffs. The issuer here exists only to hand out its key, a snapshot and a lease.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Handle;

use super::busy;
use super::proc::thread_time;
use super::world::{ENFORCER, Key, World};
use crate::cli::error::CliError;
use crate::domain::cutoff::{Cut, ScopeKind};
use crate::domain::feed::{LONGEST_LEASE, LeaseAnswer, LeaseRequest, SNAPSHOT_TYP, Snapshot};
use crate::enforcer::{Config, Enforcer};
use crate::entropy::Entropy;
use crate::time::{Clock, Timestamp};

/// Batches that are timed; the figure is the median of them.
const BATCHES: usize = 7;
/// Checks of proven tokens in one batch, and how many such tokens there are.
const HITS: usize = 10_000;
const PROVEN: usize = 500;
/// Checks of new tokens in one batch.
const MISSES: usize = 400;
/// The log's name, and the enforcer's tenant.
const LOG: &str = "benchbenchbe";
const TENANT: &str = "main";

/// Processor time of one check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verified {
    /// The token was proven before.
    pub(super) hit: Duration,
    /// It wasn't: the signature is verified and the claims are read.
    pub(super) miss: Duration,
}

/// Measures, under a view of this many cutoffs.
pub(super) async fn run(world: &Arc<World>, cutoffs: u32) -> Result<Verified, CliError> {
    let key = Arc::new(Key::generate()?);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let issuer = format!("http://{}", listener.local_addr()?);
    let snapshot = snapshot(&issuer, cutoffs);
    let serving = tokio::spawn(axum::serve(listener, routes(&key, &snapshot)?).into_future());
    let enforcer = enforcer(world, &issuer).await?;
    serving.abort();
    let (world, runtime) = (Arc::clone(world), Handle::current());
    busy(move || {
        let mint = |count| mint(&world, &key, (&issuer, cutoffs), count);
        let check = |tokens: &[String], rounds: usize| {
            let before = thread_time()?;
            for token in tokens.iter().cycle().take(rounds) {
                let checked = runtime.block_on(enforcer.check(token));
                checked.map_err(|error| CliError::new(format!("a good token was refused: {error}")))?;
            }
            let rounds = u32::try_from(rounds).unwrap_or(u32::MAX);
            Ok(thread_time()?.saturating_sub(before) / rounds)
        };
        let proven = mint(PROVEN)?;
        check(&proven, PROVEN)?;
        let hit = median((0..BATCHES).map(|_| check(&proven, HITS)))?;
        let fresh = (0..BATCHES).map(|_| mint(MISSES)).collect::<Result<Vec<_>, _>>()?;
        let miss = median(fresh.iter().map(|tokens| check(tokens, MISSES)))?;
        Ok(Verified { hit, miss })
    })
    .await
}

fn median(batches: impl Iterator<Item = Result<Duration, CliError>>) -> Result<Duration, CliError> {
    let mut batches = batches.collect::<Result<Vec<_>, _>>()?;
    batches.sort_unstable();
    Ok(batches[batches.len() / 2])
}

/// Different tokens of the newest state of the log.
fn mint(
    world: &World,
    key: &Key,
    (issuer, cutoffs): (&str, u32),
    count: usize,
) -> Result<Vec<String>, CliError> {
    let token = |_| {
        let mut claims = world.access_token_claims(issuer);
        claims["rev"] = json!(format!("{LOG}.{cutoffs}"));
        key.sign("at+jwt", &claims)
    };
    (0..count).map(token).collect()
}

/// A log in which as much was cut of each kind that there can be many of.
fn snapshot(issuer: &str, cutoffs: u32) -> Snapshot {
    let (entropy, now) = (Entropy::default(), Clock::default().now());
    let kinds = [
        (ScopeKind::Token, "tok"),
        (ScopeKind::Task, "tsk"),
        (ScopeKind::User, "usr"),
        (ScopeKind::Agent, "agt"),
        (ScopeKind::Client, "cli"),
        (ScopeKind::Consent, "con"),
        (ScopeKind::Session, "ses"),
    ];
    let cut = |(seq, (scope_kind, prefix)): (u32, &(ScopeKind, &str))| Cut {
        seq: seq.into(),
        scope_kind: *scope_kind,
        scope_id: entropy.ordered_id(prefix, now).into(),
    };
    Snapshot {
        iss: issuer.to_owned(),
        aud: ENFORCER.to_owned(),
        iat: now,
        tenant: TENANT.to_owned(),
        generation: LOG.to_owned(),
        floor: 0,
        seq: cutoffs.into(),
        cutoffs: (1..=cutoffs).zip(kinds.iter().cycle()).map(cut).collect(),
    }
}

/// What an enforcer asks an issuer before it decides.
fn routes(key: &Key, snapshot: &Snapshot) -> Result<Router, CliError> {
    let (keys, signed, seq) = (key.set(), key.sign(SNAPSHOT_TYP, snapshot)?, snapshot.seq);
    let lease = async move |Json(request): Json<LeaseRequest>| {
        let at: Timestamp = Clock::default().now();
        Json(LeaseAnswer {
            nonce: request.nonce,
            tenant: TENANT.to_owned(),
            at,
            generation: LOG.to_owned(),
            head_seq: seq,
            cutoffs: Vec::new(),
            ack_within_ms: 0,
            head_proof: None,
        })
    };
    let bearer: Value = json!({ "access_token": "bench", "token_type": "Bearer", "expires_in": 300 });
    Ok(Router::new()
        .route("/oauth/jwks", get(async move || Json(keys)))
        .route("/oauth/token", post(async move || Json(bearer)))
        .route("/revocation/snapshot", get(async move || signed))
        .route("/revocation/lease", post(lease)))
}

/// An enforcer with a lease that outlives the measurement.
async fn enforcer(world: &World, issuer: &str) -> Result<Arc<Enforcer>, CliError> {
    let failed = |error: &dyn std::fmt::Display| CliError::new(format!("the verifier can't start: {error}"));
    let credentials = world.enforcer_credentials(issuer);
    let config = Config::new(issuer, world.resource()).follow_within(credentials, LONGEST_LEASE);
    let enforcer = Enforcer::new(config).map_err(|error| failed(&error))?;
    let ready = tokio::time::timeout(Duration::from_secs(10), enforcer.ready()).await;
    ready.map_err(|_| failed(&"it never learnt what is revoked"))?;
    Ok(enforcer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_proven_token_costs_less() {
        let verified = run(&Arc::new(World::new(true).unwrap()), 70).await.unwrap();
        assert!(Duration::ZERO < verified.hit && verified.hit < verified.miss, "{verified:?}");
    }
}
