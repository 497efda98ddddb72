//! Signing keys: `prepared → active → retiring → revoked`, published before use, wrapped at rest.

use serde_json::Value;

use super::{FlowError, Server, Tenant};
use crate::domain::access_token::{LEEWAY, LIFETIME_CEILING};
use crate::domain::audit::{Event, EventKind};
use crate::jose::{Algorithm, JwkSet, PrivateJwk, SigningKey};
use crate::storage::keys::{self, KeyRecord};
use crate::storage::{StorageError, Tx, audit, tenants};
use crate::time::Timestamp;

/// A tenant's keys, ready for use.
#[derive(Debug, Default)]
pub struct KeyRing {
    signing: Vec<(SigningKey, Timestamp)>,
    published: JwkSet,
    /// The records, for administrators.
    pub records: Vec<KeyRecord>,
}

impl KeyRing {
    /// Reads and unwraps a tenant's keys.
    pub(super) async fn load(server: &Server, tx: &mut Tx, tenant: &str) -> Result<Self, FlowError> {
        let records = keys::all(tx, tenant).await?;
        let (mut signing, mut published) = (Vec::new(), Vec::new());
        for record in records.iter().filter(|record| record.state != "revoked") {
            let key = unwrap(server, tenant, record)?;
            published.push(key.public().clone());
            if record.state == "prepared" || record.state == "active" {
                signing.push((key, record.activates_at));
            }
        }
        Ok(Self { signing, published: JwkSet::of_all(published), records })
    }

    /// The key that signs with this algorithm now: the newest whose time has come.
    pub fn signer(&self, algorithm: Algorithm, now: Timestamp) -> Option<&SigningKey> {
        let ready = self.signing.iter().filter(|(key, from)| key.algorithm() == algorithm && *from <= now);
        ready.max_by_key(|(_, from)| *from).map(|(key, _)| key)
    }

    /// The keys to publish: prepared, active and retiring ones.
    pub fn published(&self) -> &JwkSet {
        &self.published
    }
}

fn context<'a>(tenant: &'a str, record: &'a KeyRecord) -> [&'a str; 4] {
    [tenant, &record.kid, &record.alg, &record.state]
}

fn unwrap(server: &Server, tenant: &str, record: &KeyRecord) -> Result<SigningKey, FlowError> {
    let damaged =
        |what: &dyn std::fmt::Display| StorageError::Damaged(format!("signing key {}: {what}", record.kid));
    let text =
        server.wrapping.unwrap(&record.wrapped, &context(tenant, record)).map_err(|error| damaged(&error))?;
    let jwk: Value = serde_json::from_str(&text).map_err(|error| damaged(&error))?;
    let key = PrivateJwk::parse(jwk).and_then(|jwk| jwk.signing_key());
    key.map_err(|error| FlowError::from(damaged(&error)))
}

/// Moves the stored key to `state`, wrapped for that state.
async fn transition(
    server: &Server,
    tx: &mut Tx,
    tenant: &str,
    record: &KeyRecord,
    (state, retires_at): (&str, Option<Timestamp>),
) -> Result<(), FlowError> {
    let damaged =
        |what: &dyn std::fmt::Display| StorageError::Damaged(format!("signing key {}: {what}", record.kid));
    let secret =
        server.wrapping.unwrap(&record.wrapped, &context(tenant, record)).map_err(|error| damaged(&error))?;
    let mut moved = KeyRecord { state: state.to_owned(), retires_at, ..record.clone() };
    moved.wrapped = server
        .wrapping
        .wrap(&secret, &context(tenant, &moved), &server.entropy)
        .map_err(|error| damaged(&error))?;
    Ok(keys::set_state(tx, tenant, &moved).await?)
}

fn failed(what: &dyn std::fmt::Display) -> StorageError {
    StorageError::Damaged(format!("no key could be made: {what}"))
}

/// Makes a key. RSA takes a second or so: it must not hold up the other tasks of this thread, nor be waited for inside a
/// transaction, which would hold up everybody's.
async fn generate(algorithm: Algorithm) -> Result<PrivateJwk, FlowError> {
    let made = tokio::task::spawn_blocking(move || PrivateJwk::generate(algorithm)).await;
    Ok(made.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?)
}

/// Stores a key that was made before the transaction began.
async fn store(
    server: &Server,
    tx: &mut Tx,
    tenant: &str,
    (algorithm, jwk): (Algorithm, &PrivateJwk),
    from: Timestamp,
) -> Result<String, FlowError> {
    let public = jwk.public().map_err(|error| failed(&error))?;
    let now = server.clock.now();
    let mut record = KeyRecord {
        kid: public.kid().unwrap_or_default().to_owned(),
        alg: algorithm.as_str().to_owned(),
        state: if from <= now { "active" } else { "prepared" }.to_owned(),
        public_jwk: public.to_json().to_string(),
        wrapped: String::new(),
        created_at: now,
        activates_at: from,
        retires_at: None,
    };
    record.wrapped = server
        .wrapping
        .wrap(&jwk.to_text(), &context(tenant, &record), &server.entropy)
        .map_err(|error| failed(&error))?;
    keys::insert(tx, tenant, &record).await?;
    Ok(record.kid)
}

/// Makes sure that each algorithm in use has a key, and that time moves keys on: a prepared one becomes active when its
/// time comes, its predecessor retires and stays published until its last token has expired, and the next one is
/// prepared a publication period before the active one is due.
pub async fn keep(server: &Server, tenant: &str) -> Result<(), FlowError> {
    let Some(state) = server.tenant(tenant).map(|tenant| tenant.state()) else {
        return Ok(());
    };
    let now = server.clock.now();
    let algorithms = algorithms(&state.registry.section.resources);
    if !algorithms.iter().any(|algorithm| is_due(server, &state.keys, *algorithm, now)) {
        return Ok(());
    }
    let mut spares = Vec::new();
    for algorithm in &algorithms {
        if wants_new(server, newest(&state.keys.records, *algorithm), now).is_some() {
            spares.push((*algorithm, generate(*algorithm).await?));
        }
    }
    let mut tx = server.db.write_in_any_room().await?;
    let mut head = tenants::lock(&mut tx, tenant).await?;
    // Read again under the lock: another node may have done it.
    let ring = KeyRing::load(server, &mut tx, tenant).await?;
    let mut done = Vec::new();
    for algorithm in algorithms {
        let newest = newest(&ring.records, algorithm);
        for record in ring.records.iter().filter(|key| key.alg == algorithm.as_str()) {
            let next = newest.and_then(|newest| next_state(server, record, newest, now));
            if let Some(next) = next {
                transition(server, &mut tx, tenant, record, next).await?;
                done.push(format!("{} is {}", record.kid, next.0));
            }
        }
        // Without a spare this node hadn't seen that one is wanted; the next round has it.
        let spare = spares.iter().find(|(of, _)| *of == algorithm);
        if let (Some(from), Some((_, spare))) = (wants_new(server, newest, now), spare) {
            let kid = store(server, &mut tx, tenant, (algorithm, spare), from).await?;
            done.push(format!("{} {kid}", if from <= now { "created" } else { "prepared" }));
        }
    }
    finish(tx, &mut head, done, "schedule", now).await?;
    server.refresh().await
}

type Next = (&'static str, Option<Timestamp>);

fn next_state(server: &Server, record: &KeyRecord, newest: &KeyRecord, now: Timestamp) -> Option<Next> {
    let due = newest.activates_at <= now;
    match record.state.as_str() {
        "prepared" if record.kid == newest.kid && due => Some(("active", None)),
        "prepared" | "active" if record.kid != newest.kid && due => {
            // Published until the last token that it signed has expired and caches have forgotten.
            Some(("retiring", Some(now.plus(LIFETIME_CEILING + LEEWAY + server.settings.key_publication))))
        }
        "retiring" if record.retires_at.is_some_and(|at| at <= now) => Some(("revoked", record.retires_at)),
        _ => None,
    }
}

/// The key of this algorithm that signs last.
fn newest(records: &[KeyRecord], algorithm: Algorithm) -> Option<&KeyRecord> {
    let usable = |key: &&KeyRecord| {
        key.alg == algorithm.as_str() && matches!(key.state.as_str(), "prepared" | "active")
    };
    records.iter().filter(usable).max_by_key(|key| key.activates_at)
}

/// From when a new key should sign, if one is wanted beside the newest: at once where there is none.
fn wants_new(server: &Server, newest: Option<&KeyRecord>, now: Timestamp) -> Option<Timestamp> {
    let Some(newest) = newest else { return Some(now) };
    let (lifetime, publication) = (server.settings.key_lifetime, server.settings.key_publication);
    (newest.activates_at.plus(lifetime - publication) <= now).then(|| now.plus(publication))
}

fn is_due(server: &Server, ring: &KeyRing, algorithm: Algorithm, now: Timestamp) -> bool {
    let newest = newest(&ring.records, algorithm);
    let moves = |newest: &KeyRecord| {
        let mut of_kind = ring.records.iter().filter(|key| key.alg == algorithm.as_str());
        of_kind.any(|key| next_state(server, key, newest, now).is_some())
    };
    wants_new(server, newest, now).is_some() || newest.is_some_and(moves)
}

/// The algorithms that resources ask for; ES256 always, for the server's own tokens and checkpoints.
fn algorithms(resources: &[crate::domain::registry::Resource]) -> Vec<Algorithm> {
    let mut list = vec![Algorithm::ES256];
    for resource in resources {
        if !list.contains(&resource.token.alg) {
            list.push(resource.token.alg);
        }
    }
    list
}

/// Prepares a new key by command. It signs after one publication period.
pub async fn rotate(
    server: &Server,
    tenant: &str,
    algorithm: Algorithm,
    actor: &str,
) -> Result<String, FlowError> {
    let now = server.clock.now();
    let jwk = generate(algorithm).await?;
    let mut tx = server.db.write_in_any_room().await?;
    let mut head = tenants::lock(&mut tx, tenant).await?;
    let from = now.plus(server.settings.key_publication);
    let kid = store(server, &mut tx, tenant, (algorithm, &jwk), from).await?;
    finish(tx, &mut head, vec![format!("prepared {kid}")], actor, now).await?;
    server.refresh().await?;
    Ok(kid)
}

/// A key made ahead of the transaction that revokes another.
pub(super) type Successor = Option<(Algorithm, PrivateJwk)>;

/// Makes the key that will follow the key `kid` when that is revoked, if it will need one.
pub(super) async fn successor(tenant: &Tenant, kid: &str) -> Result<Successor, FlowError> {
    let state = tenant.state();
    let records = &state.keys.records;
    let Some(record) = records.iter().find(|key| key.kid == kid && key.state != "revoked") else {
        return Ok(None);
    };
    let lasts = |key: &KeyRecord| key.kid != kid && key.alg == record.alg && key.state == "active";
    match Algorithm::parse(&record.alg).filter(|_| !records.iter().any(lasts)) {
        Some(algorithm) => Ok(Some((algorithm, generate(algorithm).await?))),
        None => Ok(None),
    }
}

/// Takes a key out of use at once, and stores its successor; the caller adds the cutoff in the same transaction.
pub(super) async fn revoke(
    server: &Server,
    tx: &mut Tx,
    tenant: &str,
    (kid, successor): (&str, Successor),
    now: Timestamp,
) -> Result<bool, FlowError> {
    let records = keys::all(tx, tenant).await?;
    let Some(record) = records.iter().find(|key| key.kid == kid && key.state != "revoked") else {
        return Ok(false);
    };
    transition(server, tx, tenant, record, ("revoked", Some(now))).await?;
    let active = |key: &&KeyRecord| {
        key.kid != kid && key.alg == record.alg && key.state == "active" && key.activates_at <= now
    };
    if !records.iter().any(|key| active(&key)) {
        let algorithm =
            Algorithm::parse(&record.alg).ok_or_else(|| StorageError::Damaged(format!("alg of {kid}")))?;
        let jwk = match successor.filter(|(of, _)| *of == algorithm) {
            Some((_, jwk)) => jwk,
            // Another node's key that this one hadn't read yet: late is better than not at all.
            None => generate(algorithm).await?,
        };
        // No publication period: a gap in service would be worse than a cache that has to fetch again.
        store(server, tx, tenant, (algorithm, &jwk), now).await?;
    }
    Ok(true)
}

async fn finish(
    mut tx: Tx,
    head: &mut tenants::Head,
    done: Vec<String>,
    actor: &str,
    now: Timestamp,
) -> Result<(), FlowError> {
    if !done.is_empty() {
        let mut event = Event::new(EventKind::Administration, true);
        event.client_id = Some(actor.to_owned());
        event.detail = Some(serde_json::json!({ "signing_keys": done }));
        head.registry_version += 1;
        audit::append(&mut tx, head, &[&event], now).await?;
        tenants::save(&mut tx, head).await?;
    }
    Ok(tx.commit().await?)
}
