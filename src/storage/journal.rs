//! Group commit: the decisions of concurrent requests become durable together, and only then are answered.
//!
//! The journal is also where a decision meets what has happened since it was made. It holds the tenant's lock, so that
//! under it the log, the registry and the marks stand still: a registry that has moved sends the request back to be
//! decided again, a new cutoff that hits the token refuses it, and a mark that is already there refuses it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::grants::Redemption;
use super::macros::execute;
use super::marks::{self, Mark};
use super::room::Level;
use super::tasks::NewTask;
use super::tenants::{self, Head};
use super::tokens::NewToken;
use super::{Db, StorageError, Tx, audit, cutoffs, sql};
use crate::domain::audit::Event;
use crate::domain::cutoff::{Cutoff, ScopeKind, scopes};
use crate::domain::refusal::Refusal;
use crate::protocol::claims::{AccessTokenClaims, Rev};
use crate::time::{Clock, Timestamp};

/// What a mint writes beside its audit row.
#[derive(Clone, Debug)]
pub struct Mint {
    /// The token's record.
    pub token: NewToken,
    /// The task, if one is opened.
    pub task: Option<NewTask>,
    /// The person, if not seen before: id, issuer, subject, now.
    pub user: Option<(String, String, String, Timestamp)>,
    /// What the token says, to find the cutoffs that hit it.
    pub claims: Arc<AccessTokenClaims>,
    /// The key that signed it.
    pub kid: Option<String>,
    /// The code or refresh token that it redeems.
    pub redemption: Option<Redemption>,
    /// The tokens that it was made from, each with its key: what cuts them, cuts it.
    pub rests_on: Vec<(Arc<AccessTokenClaims>, Option<String>)>,
}

/// One decision on its way to the disk.
#[derive(Debug)]
pub struct Entry {
    /// The tenant.
    pub tenant: Arc<str>,
    /// The revocation log as it was before the first check.
    pub rev: Rev,
    /// The registry under which it was decided.
    pub registry_version: i64,
    /// What it spends.
    pub mark: Option<Mark>,
    /// What it mints, if it was granted.
    pub mint: Option<Mint>,
    /// Its audit row.
    pub event: Event,
    /// Further rows, written with the first or not at all.
    pub more: Vec<Event>,
}

/// What became of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is durable as it was decided.
    Committed,
    /// It was refused at the last moment, and that is durable.
    Refused(Refusal),
    /// It was committed before, and nothing was written now.
    Repeated,
    /// The registry or the log has been replaced since: decide again. Nothing was written.
    Moved,
}

type Envelope = (Entry, oneshot::Sender<Result<Outcome, Arc<StorageError>>>);

/// The way to the journal task.
#[derive(Clone, Debug)]
pub struct Journal(mpsc::Sender<Envelope>, Db);

/// Why an entry was not even tried, or failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// The queue is full.
    #[error("the journal's queue is full")]
    Full,
    /// The server is stopping.
    #[error("the journal has stopped")]
    Stopped,
    /// There is no room on the disk for what this is.
    #[error("the disk is nearly full")]
    NoRoom,
    /// The database failed; nothing of the batch was written.
    #[error("{0}")]
    Storage(Arc<StorageError>),
}

/// Entries waiting at most; more are refused rather than queued without end.
const QUEUE: usize = 4096;
/// Entries in one transaction at most.
const BATCH: usize = 512;

impl Mint {
    /// Whether the token opens this server's own endpoints only: to revoke, to be told of revocations, to introspect.
    fn is_for_us(&self) -> bool {
        let path = self.claims.aud.as_str().strip_prefix(self.claims.iss.as_str());
        path.is_some_and(|path| path.starts_with('/'))
    }
}

impl Entry {
    /// How much room there must be for it. Without the tokens of administrators and enforcers revocation would end too.
    fn needs(&self) -> Level {
        match &self.mint {
            Some(mint) if mint.is_for_us() => Level::Revocations,
            Some(_) => Level::Everything,
            None => Level::Evidence,
        }
    }
}

impl Journal {
    /// Starts the journal task; it ends after the last handle is gone and its queue is written.
    pub fn start(db: Db, clock: Clock) -> (Self, tokio::task::JoinHandle<()>) {
        let (sender, mut receiver) = mpsc::channel::<Envelope>(QUEUE);
        let handle = Self(sender, db.clone());
        let task = tokio::spawn(async move {
            let mut batch = Vec::with_capacity(BATCH);
            while receiver.recv_many(&mut batch, BATCH).await > 0 {
                let (mut entries, replies): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
                let outcomes = match write(&db, &mut entries, clock.now()).await {
                    Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
                    Err(error) if error.is_disk_full() && db.room().give_way() => {
                        one_by_one(&db, &mut entries, &clock).await
                    }
                    // One entry that the database can't take must not cost the others theirs.
                    Err(_) if entries.len() > 1 => one_by_one(&db, &mut entries, &clock).await,
                    Err(error) => vec![Err(Arc::new(error))],
                };
                for (reply, outcome) in replies.into_iter().zip(outcomes) {
                    if let Err(error) = &outcome {
                        tracing::error!(%error, "the journal could not write; nothing was issued");
                    }
                    let _ = reply.send(outcome);
                }
            }
        });
        (handle, task)
    }

    /// Hands in a decision and waits until it is durable.
    pub async fn record(&self, entry: Entry) -> Result<Outcome, JournalError> {
        if entry.needs() > self.1.room().level() {
            return Err(JournalError::NoRoom);
        }
        let (reply, answer) = oneshot::channel();
        self.0.try_send((entry, reply)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => JournalError::Full,
            mpsc::error::TrySendError::Closed(_) => JournalError::Stopped,
        })?;
        answer.await.map_err(|_| JournalError::Stopped)?.map_err(JournalError::Storage)
    }
}

async fn one_by_one(
    db: &Db,
    entries: &mut [Entry],
    clock: &Clock,
) -> Vec<Result<Outcome, Arc<StorageError>>> {
    let mut outcomes = Vec::with_capacity(entries.len());
    for entry in entries {
        if entry.needs() > db.room().level() {
            outcomes.push(Err(Arc::new(StorageError::DiskFull)));
            continue;
        }
        let written = write(db, std::slice::from_mut(entry), clock.now()).await;
        outcomes.push(written.map(|outcomes| outcomes[0]).map_err(Arc::new));
    }
    outcomes
}

/// Writes one batch in one transaction; outcomes in the order of the entries.
async fn write(db: &Db, entries: &mut [Entry], now: Timestamp) -> Result<Vec<Outcome>, StorageError> {
    let mut by_tenant: BTreeMap<Arc<str>, Vec<usize>> = BTreeMap::new();
    for (index, entry) in entries.iter().enumerate() {
        by_tenant.entry(entry.tenant.clone()).or_default().push(index);
    }
    let mut outcomes = vec![Outcome::Moved; entries.len()];
    let mut tx = db.write_in_any_room().await?;
    // Tenants are locked in the order of their names: two nodes can't wait for each other.
    for (tenant, indices) in by_tenant {
        let mut head = tenants::lock(&mut tx, &tenant).await?;
        let current = |entry: &Entry| {
            entry.registry_version == head.registry_version && entry.rev.generation == head.rev.generation
        };
        let indices: Vec<_> = indices.into_iter().filter(|index| current(&entries[*index])).collect();
        let spent = spend(&mut tx, &tenant, &indices, entries).await?;
        let news = news(&mut tx, &head, &indices, entries).await?;
        for (index, spent) in indices.iter().zip(&spent) {
            let entry = &mut entries[*index];
            if *spent == Some(None) {
                outcomes[*index] = Outcome::Repeated;
                continue;
            }
            let refusal =
                spent.flatten().or_else(|| entry.mint.as_ref().and_then(|mint| hit(mint, &entry.rev, &news)));
            let redemption = entry.mint.as_ref().and_then(|mint| mint.redemption.as_ref());
            let refusal = match (refusal, redemption) {
                (None, Some(redemption)) => redemption.redeem(&mut tx, &tenant, now).await?,
                _ => refusal,
            };
            outcomes[*index] = refusal.map_or(Outcome::Committed, Outcome::Refused);
            if let Some(refusal) = refusal {
                entry.mint = None;
                entry.event = entry.event.clone().refused(refusal.rule());
                entry.more.clear();
            }
        }
        let indices: Vec<_> =
            indices.into_iter().filter(|index| outcomes[*index] != Outcome::Repeated).collect();
        insert(&mut tx, &mut head, &indices, entries, now).await?;
    }
    tx.commit().await?;
    Ok(outcomes)
}

/// Spends the entries' marks; for each entry whose mark was spent before, by another batch or by an earlier entry of this
/// one, the rule that it breaks by that, if any.
async fn spend(
    tx: &mut Tx,
    tenant: &str,
    indices: &[usize],
    entries: &[Entry],
) -> Result<Vec<Option<Option<Refusal>>>, StorageError> {
    let marks: Vec<_> = indices.iter().filter_map(|index| entries[*index].mark.as_ref()).collect();
    if marks.is_empty() {
        return Ok(vec![None; indices.len()]);
    }
    let mut fresh = marks::spend(tx, tenant, &marks).await?;
    let refusal = |index: &usize| {
        let mark = entries[*index].mark.as_ref()?;
        // Taken out when found: the first entry with a mark has it, the next one doesn't.
        if fresh.remove(&mark.digest.hex()) { None } else { Some(mark.refusal) }
    };
    Ok(indices.iter().map(refusal).collect())
}

/// The cutoffs that were committed since the oldest of the mints was decided.
async fn news(
    tx: &mut Tx,
    head: &Head,
    indices: &[usize],
    entries: &[Entry],
) -> Result<Vec<Cutoff>, StorageError> {
    let minting = indices.iter().map(|index| &entries[*index]).filter(|entry| entry.mint.is_some());
    match minting.map(|entry| entry.rev.seq).min() {
        Some(seq) if seq < head.rev.seq => {
            cutoffs::after(tx, &head.tenant, &Rev { seq, ..head.rev.clone() }, i64::MAX).await
        }
        _ => Ok(Vec::new()),
    }
}

fn hit(mint: &Mint, rev: &Rev, news: &[Cutoff]) -> Option<Refusal> {
    let hits = |cutoff: &&Cutoff| {
        let of_token = |(kind, id): (ScopeKind, &str)| kind == cutoff.scope_kind && id == cutoff.scope_id;
        let own = scopes(&mint.claims, mint.kid.as_deref());
        let below = mint.rests_on.iter().flat_map(|(claims, kid)| scopes(claims, kid.as_deref()));
        cutoff.seq > rev.seq && own.chain(below).any(of_token)
    };
    news.iter().find(hits).map(|_| Refusal::RevokedWhileDeciding)
}

async fn insert(
    tx: &mut Tx,
    head: &mut Head,
    indices: &[usize],
    entries: &[Entry],
    now: Timestamp,
) -> Result<(), StorageError> {
    if indices.is_empty() {
        return Ok(());
    }
    let mints: Vec<_> = indices.iter().filter_map(|index| entries[*index].mint.as_ref()).collect();
    let users: Vec<_> = mints.iter().filter_map(|mint| mint.user.as_ref()).collect();
    let tasks: Vec<_> = mints.iter().filter_map(|mint| mint.task.as_ref()).collect();
    let tokens: Vec<_> = mints.iter().map(|mint| &mint.token).collect();
    if !users.is_empty() {
        execute!(tx, sql::USERS_INSERT, &head.tenant, json(&users)?)?;
    }
    if !tasks.is_empty() {
        execute!(tx, sql::TASKS_INSERT, &head.tenant, json(&tasks)?)?;
    }
    if !tokens.is_empty() {
        execute!(tx, sql::TOKENS_INSERT, &head.tenant, json(&tokens)?)?;
    }
    let rows = |index: &usize| std::iter::once(&entries[*index].event).chain(&entries[*index].more);
    let events: Vec<_> = indices.iter().flat_map(rows).collect();
    audit::append(tx, head, &events, now).await?;
    tenants::save(tx, head).await
}

fn json(rows: &impl serde::Serialize) -> Result<String, StorageError> {
    serde_json::to_string(rows).map_err(|error| StorageError::Damaged(error.to_string()))
}
