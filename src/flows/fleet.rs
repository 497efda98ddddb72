//! The enforcers as all nodes together know them, and when a revocation is in force at every one of them.
//!
//! Each node reports how far its view had come and which of its leases may still run without what it had seen by then.
//! A node that doesn't report is waited for as long as the longest lease, by our own clock; by then all of its leases
//! have run out. So nothing here compares the clocks of two machines.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use super::feed::{lock, sign};
use super::revocation::Revoked;
use super::{FlowError, Server, Tenant};
use crate::domain::audit::{Event, EventKind};
use crate::domain::cutoff::Cut;
use crate::domain::feed::{LONGEST_LEASE, RECEIPT_TYP, Receipt};
use crate::domain::lease::{InstanceId, Lease, Position, Standing, standing};
use crate::protocol::claims::Rev;
use crate::storage::leases::{self, LeaseRow, NodeRow, Report};
use crate::storage::{audit, tenants};
use crate::time::Uptime;

/// How often a node that waits looks at what the others report.
const LOOK: Duration = Duration::from_millis(50);
/// No lease runs longer than this after the commit of what it doesn't know; a second is for clocks that drift.
const LONGEST: Duration = Duration::from_secs(LONGEST_LEASE + 1);

/// How long a node may go on granting leases without a report.
const MAY_BE_SILENT: Duration = Duration::from_mins(1);

/// When each other node was last heard of: its beat, and since when it hasn't changed.
pub(super) type Peers = HashMap<(String, String), (i64, Uptime)>;

/// Tells the other nodes what this one knows, and hears which of them live.
pub async fn exchange(server: &Server) -> Result<(), FlowError> {
    report(server).await?;
    watch(server).await
}

/// Tells the other nodes what this one knows of its enforcers.
pub async fn report(server: &Server) -> Result<(), FlowError> {
    // One at a time: an older look at a lease must not be written over a newer one.
    let _turn = server.reporting.lock().await;
    for tenant in server.tenants() {
        // Before the leases are looked at: one that is granted afterwards carries at least this, and is in the next report.
        let (looked, rev) = (server.clock.uptime(), tenant.view.rev());
        let rows = changed(server, &tenant, &rev, looked);
        // Where no other node can be, only what has changed is worth a write.
        let registered = lock(&tenant.reported).is_some();
        if rows.is_empty() && registered && !server.db.is_shared() {
            continue;
        }
        let beat = server.beat.fetch_add(1, Ordering::Relaxed) + 1;
        let report = Report { tenant: &tenant.name, node: &server.node, beat, rev: &rev, leases: &rows };
        let mut tx = server.db.control().await?;
        leases::report(&mut tx, &report, server.clock.now()).await?;
        tx.commit().await?;
        // From when it was looked, however long the write took: others count from when they saw it.
        *lock(&tenant.reported) = Some(looked);
    }
    Ok(())
}

/// The leases that have been renewed, or have run out, since the last report.
fn changed(server: &Server, tenant: &Tenant, rev: &Rev, now: Uptime) -> Vec<LeaseRow> {
    let since = *lock(&tenant.reported);
    let mut leases = lock(&tenant.leases);
    leases.forget(now);
    let moved = |renewed: Uptime, lease: Duration| {
        since.is_none_or(|since| {
            renewed >= since || (renewed.plus(lease) >= since && renewed.plus(lease) <= now)
        })
    };
    let row = |(id, lease): (&InstanceId, &Lease)| LeaseRow {
        enforcer: id.enforcer.clone(),
        instance: id.instance.clone(),
        node: server.node.clone(),
        version: lease.version.clone(),
        generation: rev.generation.clone(),
        applied_seq: lease.applied.cast_signed(),
        pending_head: lease.pending_head(now).map(u64::cast_signed),
        lease_seconds: lease.lease.as_secs().cast_signed(),
        renewed_at: server.clock.now().0 - now.since(lease.renewed).as_secs().cast_signed(),
    };
    leases.iter().filter(|(_, lease)| moved(lease.renewed, lease.lease)).map(row).collect()
}

/// Waits until a revocation is in force at every enforcer, and signs that it is. Takes milliseconds when all are there,
/// and never longer than the longest lease.
pub async fn effective(server: &Server, tenant: &Tenant, revoked: &Revoked) -> Result<String, FlowError> {
    Ok(effective_receipt(server, tenant, revoked).await?.1)
}

/// The same, with the receipt beside its signed form.
pub(super) async fn effective_receipt(
    server: &Server,
    tenant: &Tenant,
    revoked: &Revoked,
) -> Result<(Receipt, String), FlowError> {
    let committed = server.clock.uptime();
    let rev = Rev { generation: revoked.generation.clone(), seq: revoked.seq };
    let standing = loop {
        let standing = stands(server, tenant, &rev).await?;
        if standing.waiting == 0 || server.clock.uptime().since(committed) > LONGEST {
            break standing;
        }
        // Our own enforcers' words wake us; the other nodes' reports don't.
        let heard = tenant.acknowledged.notified();
        let _ = tokio::time::timeout(LOOK, heard).await;
    };
    let now = server.clock.now();
    let after = server.clock.uptime().since(committed);
    let receipt = Receipt {
        iss: tenant.issuer.clone(),
        iat: now,
        tenant: tenant.name.to_string(),
        generation: rev.generation,
        seq: rev.seq,
        cutoffs: revoked.cutoffs.iter().map(Cut::from).collect(),
        acknowledged_at: revoked.at,
        effective_at: now,
        effective_after_ms: u64::try_from(after.as_millis()).unwrap_or(u64::MAX),
        acknowledged: standing.acknowledged,
        leases_expired: standing.expired + standing.waiting,
    };
    let signed = sign(server, tenant, RECEIPT_TYP, &receipt)?;
    let actor = revoked.cutoffs.first().map(|first| first.actor.clone());
    record(server, tenant, &receipt, actor).await?;
    Ok((receipt, signed))
}

/// When it took effect is evidence too.
async fn record(
    server: &Server,
    tenant: &Tenant,
    receipt: &Receipt,
    actor: Option<String>,
) -> Result<(), FlowError> {
    let mut tx = server.db.control().await?;
    let mut head = tenants::lock(&mut tx, &tenant.name).await?;
    let mut event = Event::new(EventKind::Revocation, true);
    event.client_id = actor;
    event.rev = Some(Rev { generation: receipt.generation.clone(), seq: receipt.seq });
    event.detail = Some(json!({ "effective": {
        "after_ms": receipt.effective_after_ms,
        "acknowledged": receipt.acknowledged,
        "leases_expired": receipt.leases_expired,
    }}));
    audit::append(&mut tx, &mut head, &[&event], server.clock.now()).await?;
    tenants::save(&mut tx, &head).await?;
    Ok(tx.commit().await?)
}

/// How an entry stands at the enforcers of all nodes.
pub(super) async fn stands(server: &Server, tenant: &Tenant, rev: &Rev) -> Result<Standing, FlowError> {
    let mut tx = server.db.control_read().await?;
    let heads = tenants::heads(&mut tx).await?;
    let nodes = leases::nodes(&mut tx, &tenant.name).await?;
    let rows = leases::of_others(&mut tx, &tenant.name, &server.node).await?;
    tx.commit().await?;
    // A database that was set back to before this entry tells of the leases of that time.
    let head = heads.iter().find(|head| *head.tenant == *tenant.name).map(|head| &head.rev);
    if head.is_none_or(|head| head.generation == rev.generation && head.seq < rev.seq) {
        return Ok(Standing { waiting: 1, ..Standing::default() });
    }
    let alive: HashMap<_, _> = nodes
        .iter()
        .filter(|node| node.node != server.node && is_alive(server, tenant, node))
        .map(|node| (node.node.as_str(), node))
        .collect();
    // A node that hasn't looked at its leases since this entry reached it may know of one that lacks it.
    let silent = |node: &&&NodeRow| node.generation != rev.generation || node.seq < rev.seq.cast_signed();
    let silent = alive.values().filter(silent).count();
    let others = rows.iter().filter(|row| alive.contains_key(row.node.as_str())).map(|row| Position {
        id: (&row.enforcer, &row.instance),
        applied: if row.generation == rev.generation { row.applied_seq.unsigned_abs() } else { 0 },
        pending_head: row
            .pending_head
            .map(i64::unsigned_abs)
            .map(|head| if row.generation == rev.generation { head } else { 0 }),
    });
    let own = lock(&tenant.leases);
    let known = standing(own.positions(server.clock.uptime()).chain(others), rev.seq);
    Ok(Standing { waiting: known.waiting + silent, ..known })
}

/// Whether a node has reported within the longest lease, as far as this one has watched. A node that was not watched
/// before counts from now: so a restarted server waits for the leases of its former self.
fn is_alive(server: &Server, tenant: &Tenant, node: &NodeRow) -> bool {
    let now = server.clock.uptime();
    let mut peers = lock(&server.peers);
    let seen = peers.entry((tenant.name.to_string(), node.node.clone())).or_insert((node.beat, now));
    if seen.0 != node.beat {
        *seen = (node.beat, now);
    }
    now.since(seen.1) <= LONGEST + MAY_BE_SILENT
}

/// Whether this node may grant leases: the others must know that it does. One that can't report stops granting long
/// before they take it for dead: `arrived` is when the lease counts from. Where no others can be, nobody needs to know.
pub(super) fn may_grant(server: &Server, tenant: &Tenant, arrived: Uptime) -> bool {
    let heard = || lock(&tenant.reported).is_some_and(|at| arrived.since(at) < MAY_BE_SILENT);
    !server.db.is_shared() || heard()
}

/// Watches the other nodes, so that it is known how long each has been silent.
async fn watch(server: &Server) -> Result<(), FlowError> {
    let mut tx = server.db.control_read().await?;
    for tenant in server.tenants() {
        let nodes = leases::nodes(&mut tx, &tenant.name).await?;
        for node in &nodes {
            is_alive(server, &tenant, node);
        }
        let known = |name: &String| nodes.iter().any(|node| node.node == *name);
        lock(&server.peers).retain(|(other, node), _| *other != *tenant.name || known(node));
    }
    Ok(tx.commit().await?)
}

/// One instance of an enforcer, for the fleet view.
#[derive(Clone, Debug, Serialize)]
pub struct Member {
    /// The enforcer as it is registered.
    pub enforcer: String,
    /// The process.
    pub instance: String,
    /// Its version.
    pub version: String,
    /// The last entry it says it has applied.
    pub applied_seq: u64,
    /// How many entries it lacks of the head.
    pub behind: u64,
    /// How long ago its lease was renewed, in seconds.
    pub lease_age_seconds: i64,
    /// How long its lease runs, in seconds.
    pub lease_seconds: i64,
    /// Whether it decides, or answers 503.
    pub state: &'static str,
}

/// Every instance of every enforcer of the tenant that was heard of within a day.
pub async fn members(server: &Server, tenant: &Tenant) -> Result<Vec<Member>, FlowError> {
    report(server).await?;
    let mut tx = server.db.control_read().await?;
    let rows = leases::of_others(&mut tx, &tenant.name, "").await?;
    tx.commit().await?;
    let (rev, now) = (tenant.view.rev(), server.clock.now());
    // Rows come in the order of their instances, the newest last: what another node knew before is older news.
    let mut newest: HashMap<(String, String), LeaseRow> = HashMap::new();
    for row in rows {
        newest.insert((row.enforcer.clone(), row.instance.clone()), row);
    }
    let member = |row: LeaseRow| {
        let same_log = row.generation == rev.generation;
        let applied_seq = if same_log { row.applied_seq.unsigned_abs() } else { 0 };
        let lease_age_seconds = now.0.saturating_sub(row.renewed_at).max(0);
        let state = if lease_age_seconds > row.lease_seconds { "stale" } else { "enforcing" };
        Member {
            enforcer: row.enforcer,
            instance: row.instance,
            version: row.version,
            applied_seq,
            behind: rev.seq.saturating_sub(applied_seq),
            lease_age_seconds,
            lease_seconds: row.lease_seconds,
            state,
        }
    };
    let mut members: Vec<_> = newest.into_values().map(member).collect();
    members.sort_by(|a, b| (&a.enforcer, &a.instance).cmp(&(&b.enforcer, &b.instance)));
    Ok(members)
}
