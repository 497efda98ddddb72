//! The server's side of the revocation feed: snapshots, leases, and what goes down the streams.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde::Serialize;

use super::{FlowError, Recorder, Server, Tenant, TenantState, fleet, restore, verify_own_token};
use crate::domain::audit::EventKind;
use crate::domain::cutoff::Verdict;
use crate::domain::feed::{
    HEAD_TYP, HeadProof, LONGEST_LEASE, LeaseAnswer, LeaseRequest, SNAPSHOT_TYP, ScopeAdvice, Snapshot,
    Visibility,
};
use crate::domain::lease::InstanceId;
use crate::domain::refusal::Refusal;
use crate::domain::registry::{PrincipalKind, Status};
use crate::jose::{Algorithm, Unverified};
use crate::protocol::claims::{AccessTokenClaims, Rev};
use crate::storage::StorageError;

/// The built-in resource of the feed below the issuer, and its scope.
pub const RESOURCE: &str = "revocation";

/// Enforcers whose acknowledgements are awaited within a second: the fleet spreads them so that they don't come at once.
const ACKS_PER_SECOND: u64 = 4_000;
/// The longest time over which acknowledgements are spread, in milliseconds.
const LONGEST_SPREAD: u64 = 2_000;
/// The longest names of instances and versions that are kept, in bytes.
const LONGEST_NAME: usize = 64;

/// A piece of the log as it goes down a stream: after which entry, up to where, and for whose eyes.
pub(super) type Piece = (u64, Rev, Arc<Visibility>);

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An enforcer that has proved who it is.
#[derive(Clone, Debug)]
pub struct Subscriber {
    /// The enforcer as it is registered.
    pub id: String,
    /// What of the log it may see.
    pub sees: Arc<Visibility>,
    claims: Arc<super::Verified>,
}

impl Subscriber {
    /// Whether it may still listen: registered as it was, and neither it nor its token cut. That its token has expired
    /// doesn't matter to a stream that is open; whoever holds one renews its lease with a fresh token all the time.
    pub fn may_go_on(&self, tenant: &Tenant) -> bool {
        let known = subscriber(&tenant.state(), &self.claims.claims);
        let same = known.is_ok_and(|sees| sees == *self.sees);
        same && tenant.view.verdict(&self.claims.claims, self.claims.kid.as_deref()) == Verdict::Alive
    }
}

/// Authenticates an enforcer by its token for the feed.
pub async fn subscribe(server: &Server, tenant: &Tenant, token: &str) -> Result<Subscriber, FlowError> {
    let state = tenant.state();
    let proved = prove(server, tenant, &state, token).await;
    Recorder::new(server, tenant, EventKind::Revocation).stranger(None, proved).await
}

async fn prove(
    server: &Server,
    tenant: &Tenant,
    state: &TenantState,
    token: &str,
) -> Result<Subscriber, FlowError> {
    let verified = verify_own_token(server, tenant, state, token, server.clock.now()).await?;
    let claims = verified.ok_or(Refusal::AccessTokenNotAccepted)?;
    // Only a token that was minted for the feed, whatever else its bearer may do.
    let path = claims.claims.aud.as_str().strip_prefix(tenant.issuer.as_str());
    if path.and_then(|path| path.strip_prefix('/')) != Some(RESOURCE) {
        return Err(Refusal::AccessTokenNotAccepted.into());
    }
    if !claims.claims.scope.contains(RESOURCE) {
        return Err(Refusal::AccessTokenLacksScope.into());
    }
    let sees = Arc::new(subscriber(state, &claims.claims)?);
    Ok(Subscriber { id: claims.claims.client_id.clone(), sees, claims })
}

/// What the registry says now counts, not what it said when the token was minted.
fn subscriber(state: &TenantState, claims: &AccessTokenClaims) -> Result<Visibility, Refusal> {
    let principal = state.registry.principal(&claims.client_id).ok_or(Refusal::AccessTokenNotAccepted)?;
    if principal.kind != PrincipalKind::Enforcer {
        return Err(Refusal::CallerNotEnforcer);
    }
    if principal.status != Status::Active {
        return Err(Refusal::ClientSuspended);
    }
    Ok(Visibility::of(&principal.resources))
}

/// A signed snapshot of what the enforcer may see.
pub fn snapshot(server: &Server, tenant: &Tenant, subscriber: &Subscriber) -> Result<String, FlowError> {
    let floor = tenant.view.floor();
    let (rev, stretch) = tenant.view.after(floor, &subscriber.sees);
    // Entries were forgotten between the two looks: the next attempt sees the new floor.
    let stretch = stretch.ok_or(Refusal::Overloaded)?;
    let snapshot = Snapshot {
        iss: tenant.issuer.clone(),
        aud: subscriber.id.clone(),
        iat: server.clock.now(),
        tenant: tenant.name.to_string(),
        generation: rev.generation,
        floor,
        seq: stretch.seq,
        cutoffs: stretch.cutoffs,
    };
    sign(server, tenant, SNAPSHOT_TYP, &snapshot)
}

/// What the enforcer of this resource tells clients to ask for.
pub fn advice(tenant: &Tenant, subscriber: &Subscriber, resource: &str) -> Result<ScopeAdvice, Refusal> {
    let state = tenant.state();
    let resource = state.registry.resource(resource).filter(|_| subscriber.sees.covers(resource));
    resource.map(ScopeAdvice::of).ok_or(Refusal::ResourceOfOtherEnforcer)
}

/// Signs a statement of the tenant's.
pub(super) fn sign(
    server: &Server,
    tenant: &Tenant,
    typ: &str,
    statement: &impl Serialize,
) -> Result<String, FlowError> {
    let state = tenant.state();
    let key = state.keys.signer(Algorithm::ES256, server.clock.now());
    let key = key.ok_or_else(|| StorageError::Damaged("there is no active signing key".into()))?;
    Ok(key.sign(typ, statement).map_err(|error| StorageError::Damaged(format!("{typ}: {error}")))?)
}

/// Grants a lease: everything that was committed before the request arrived is in the answer.
pub async fn lease(
    server: &Server,
    tenant: &Tenant,
    subscriber: &Subscriber,
    request: &LeaseRequest,
) -> Result<LeaseAnswer, FlowError> {
    if !(1..=LONGEST_LEASE).contains(&request.lease_seconds) {
        return Err(Refusal::LeaseTooLong.into());
    }
    let short = |text: &str| text.len() <= LONGEST_NAME && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !short(&request.instance) || !short(&request.version) || request.instance.is_empty() {
        return Err(Refusal::RequestMalformed.into());
    }
    let arrived = server.clock.uptime();
    if !fleet::may_grant(server, tenant, arrived) {
        return Err(Refusal::Overloaded.into());
    }
    let id = InstanceId { enforcer: subscriber.id.clone(), instance: request.instance.clone() };
    if request.generation != tenant.view.rev().generation {
        // It may be this node that hasn't heard of the log yet.
        server.refresh().await?;
    }
    let known = tenant.view.rev();
    if request.generation != known.generation {
        return Err(Refusal::LogReplaced.into());
    }
    // Before the head is read: whoever commits a cutoff after that read then finds the lease. A lease that isn't noted is
    // never granted: nobody would wait for it.
    let noted = lock(&tenant.leases).arrive(&id, request, known.seq, arrived);
    noted.map_err(|_| Refusal::TooManyRequests)?;
    server.refresh().await?;
    let (rev, stretch) = tenant.view.after(request.applied_seq, &subscriber.sees);
    if request.generation != rev.generation {
        set_back(server, tenant, request, &rev).await?;
        return Err(Refusal::LogReplaced.into());
    }
    if request.applied_seq > rev.seq {
        set_back(server, tenant, request, &rev).await?;
        return Err(Refusal::LogSetBack.into());
    }
    let stretch = stretch.ok_or(Refusal::LogReplaced)?;
    let fleet = {
        let mut leases = lock(&tenant.leases);
        leases.acknowledge(&id, &rev.generation, request.applied_seq);
        leases.len()
    };
    tenant.acknowledged.notify_waiters();
    Ok(LeaseAnswer {
        nonce: request.nonce.clone(),
        tenant: tenant.name.to_string(),
        at: server.clock.now(),
        head_seq: stretch.seq,
        cutoffs: stretch.cutoffs,
        ack_within_ms: (fleet as u64 * 1000 / ACKS_PER_SECOND).min(LONGEST_SPREAD),
        head_proof: Some(head_proof(server, tenant, &rev)?),
        generation: rev.generation,
    })
}

/// The signed word on how far the log has come, made once for each entry.
fn head_proof(server: &Server, tenant: &Tenant, rev: &Rev) -> Result<String, FlowError> {
    if let Some(held) = tenant.head_proof.load().as_ref().filter(|held| held.0 == *rev) {
        return Ok(held.1.clone());
    }
    let proof = HeadProof {
        iss: tenant.issuer.clone(),
        iat: server.clock.now(),
        tenant: tenant.name.to_string(),
        generation: rev.generation.clone(),
        seq: rev.seq,
    };
    let proof = sign(server, tenant, HEAD_TYP, &proof)?;
    tenant.head_proof.store(Some(Arc::new((rev.clone(), proof.clone()))));
    Ok(proof)
}

/// An enforcer has come further than this log, or follows another. If it holds our own signed word for it, the database was
/// set back, and the log gets another name. An enforcer's word alone renames nothing: it would kill every token.
async fn set_back(
    server: &Server,
    tenant: &Tenant,
    request: &LeaseRequest,
    rev: &Rev,
) -> Result<(), FlowError> {
    if request.generation == rev.generation {
        tracing::error!(
            tenant = %tenant.name, applied = request.applied_seq, head = %rev, enforcer_instance = %request.instance,
            "an enforcer has applied more of the revocation log than the database has; if it was restored, run `taskpass restored`"
        );
    }
    let Some(proof) = request.head_proof.as_deref().and_then(|text| proven(tenant, text)) else {
        return Ok(());
    };
    if proof.generation != rev.generation || proof.seq > rev.seq {
        let known = Rev { generation: proof.generation, seq: proof.seq };
        restore::rename_if_set_back(server, &tenant.name, &known).await?;
        server.refresh().await?;
    }
    Ok(())
}

fn proven(tenant: &Tenant, text: &str) -> Option<HeadProof> {
    let unverified = Unverified::parse(text).ok()?;
    // RFC 8725 §3.11: a token of one kind must not pass for another.
    let ours = unverified.header().typ.as_deref() == Some(HEAD_TYP) && unverified.header().kid.is_some();
    let state = tenant.state();
    let payload = unverified.verify(state.keys.published()).ok().filter(|_| ours)?;
    let proof: HeadProof = serde_json::from_slice(payload).ok()?;
    (proof.iss == tenant.issuer && *proof.tenant == *tenant.name).then_some(proof)
}

/// What goes down a stream next.
#[derive(Clone, Debug)]
pub enum News {
    /// An event; the stream has then come to this entry.
    Event(u64, Bytes),
    /// Nothing.
    Nothing,
    /// The log has another name, or has forgotten what is lacking: the enforcer must start over.
    StartOver,
}

/// The piece of log `generation` after entry `seq` that the subscriber may see, as a server-sent event.
pub fn news(tenant: &Tenant, sees: &Arc<Visibility>, generation: &str, seq: u64) -> News {
    let rev = tenant.view.rev();
    if rev.generation != generation || seq > rev.seq {
        return News::StartOver;
    }
    if rev.seq == seq {
        return News::Nothing;
    }
    let piece: Piece = (seq, rev, Arc::clone(sees));
    if let Some(bytes) = tenant.rendered.get(&piece) {
        return News::Event(piece.1.seq, bytes);
    }
    let (rev, stretch) = tenant.view.after(seq, sees);
    let Some(stretch) = stretch.filter(|_| rev.generation == generation) else {
        return News::StartOver;
    };
    let Ok(data) = serde_json::to_string(&stretch) else {
        return News::StartOver;
    };
    let bytes = Bytes::from(format!("event: cutoffs\nid: {rev}\ndata: {data}\n\n"));
    tenant.rendered.insert((seq, rev, Arc::clone(sees)), bytes.clone());
    News::Event(stretch.seq, bytes)
}
