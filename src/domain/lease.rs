//! The leases that a node has granted, and from when on a cutoff is in force at every enforcer.
//!
//! An enforcer decides under what it has applied, as long as a lease of its runs. So a cutoff is in force at an enforcer
//! once it has said that it applied it, or once every lease has run out that was granted under an older head. A lease
//! granted later carries the cutoff in its answer and counts from nothing before.

use std::collections::HashMap;
use std::time::Duration;

use super::feed::LeaseRequest;
use crate::time::Uptime;

/// Instances of enforcers of one tenant that a node keeps track of at most.
const MOST: usize = 100_000;
/// Instances of one enforcer: none takes the room of all the others.
const MOST_OF_ONE: usize = MOST / 4;
/// Grants of one instance that are told apart; older ones are taken together, to the safe side.
const GRANTS: usize = 8;

/// By how much two clocks may drift apart while a lease runs; the last moment of a lease still counts, too.
pub const DRIFT: Duration = Duration::from_secs(1);

/// One process of one enforcer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceId {
    /// The enforcer as it is registered.
    pub enforcer: String,
    /// The process.
    pub instance: String,
}

/// What is known of an instance.
#[derive(Clone, Debug)]
pub struct Lease {
    /// What it says its version is.
    pub version: String,
    /// The last entry that it says it has applied.
    pub applied: u64,
    /// How long it relies on an answer.
    pub lease: Duration,
    /// When its last request arrived.
    pub renewed: Uptime,
    /// Leases that may still run: the head they were granted under, and when they run out here at the latest.
    grants: Vec<(u64, Uptime)>,
}

impl Lease {
    /// The oldest head under which it may still be deciding, if any lease of its runs.
    pub fn pending_head(&self, now: Uptime) -> Option<u64> {
        let running = self.grants.iter().filter(|(_, end)| *end > now);
        running.map(|(head, _)| (*head).max(self.applied)).min()
    }

    fn grant(&mut self, head: u64, end: Uptime) {
        match self.grants.iter_mut().find(|(other, _)| *other == head) {
            Some((_, until)) => *until = end.max(*until),
            None => self.grants.push((head, end)),
        }
        if self.grants.len() > GRANTS {
            self.grants.sort_unstable();
            let (head, end) = self.grants.remove(0);
            if let Some(next) = self.grants.first_mut() {
                *next = (head, end.max(next.1));
            }
        }
    }
}

/// How a cutoff stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Instances that have applied it.
    pub acknowledged: usize,
    /// Instances that haven't said so, and hold no lease from before it.
    pub expired: usize,
    /// Instances that may not know of it yet.
    pub waiting: usize,
}

/// Where one instance stands, as one node knows it.
#[derive(Clone, Copy, Debug)]
pub struct Position<'a> {
    /// The enforcer and its process.
    pub id: (&'a str, &'a str),
    /// The last entry that it says it has applied.
    pub applied: u64,
    /// The oldest head under which it may still be deciding; nothing when no lease of this node runs.
    pub pending_head: Option<u64>,
}

/// How entry `seq` stands, by what all nodes know. An instance that has told one node that it applied the entry has
/// applied it, whatever leases other nodes have granted it.
pub fn standing<'a>(positions: impl Iterator<Item = Position<'a>>, seq: u64) -> Standing {
    let mut instances: HashMap<(&str, &str), (u64, bool)> = HashMap::new();
    for position in positions {
        let known = instances.entry(position.id).or_default();
        known.0 = known.0.max(position.applied);
        known.1 |= position.pending_head.is_some_and(|head| head < seq);
    }
    let mut standing = Standing::default();
    for (applied, pending) in instances.into_values() {
        match pending {
            _ if applied >= seq => standing.acknowledged += 1,
            true => standing.waiting += 1,
            false => standing.expired += 1,
        }
    }
    standing
}

/// Too many instances hold leases, of this enforcer or of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {MOST_OF_ONE} instances of one enforcer, or {MOST} of all, hold leases")]
pub struct TooManyLeases;

/// Every lease of one tenant that this node knows of.
#[derive(Clone, Debug, Default)]
pub struct Leases {
    /// The log that the numbers are of.
    generation: String,
    instances: HashMap<InstanceId, Lease>,
    /// How many of them each enforcer has.
    of_each: HashMap<String, usize>,
}

impl Leases {
    /// Notes a request that has just arrived, at a node whose view has come to `head`. Must come **before** the head is
    /// read that answers it: whoever commits a cutoff after that read then finds the lease here. The answer carries at
    /// least what this node knows already, so whoever decides under this lease has applied `head`.
    ///
    /// # Errors
    /// The table is full.
    pub fn arrive(
        &mut self,
        id: &InstanceId,
        request: &LeaseRequest,
        head: u64,
        now: Uptime,
    ) -> Result<(), TooManyLeases> {
        if !self.instances.contains_key(id) {
            if !self.has_room(&id.enforcer) {
                self.forget(now);
            }
            if !self.has_room(&id.enforcer) {
                return Err(TooManyLeases);
            }
            *self.of_each.entry(id.enforcer.clone()).or_default() += 1;
        }
        let lease = Duration::from_secs(request.lease_seconds);
        let known = self.instances.entry(id.clone()).or_insert_with(|| Lease {
            version: String::new(),
            applied: 0,
            lease,
            renewed: now,
            grants: Vec::new(),
        });
        known.version.clone_from(&request.version);
        known.lease = lease;
        known.renewed = now;
        known.grants.retain(|(_, end)| *end > now);
        known.grant(head, now.plus(lease + DRIFT));
        Ok(())
    }

    fn has_room(&self, enforcer: &str) -> bool {
        let own = self.of_each.get(enforcer).copied().unwrap_or_default();
        self.instances.len() < MOST && own < MOST_OF_ONE
    }

    /// No leases under the log of this name.
    pub fn of(generation: &str) -> Self {
        Self { generation: generation.to_owned(), ..Self::default() }
    }

    /// The instance has applied everything up to entry `seq`, which there is, of this log. If the log has been replaced
    /// meanwhile, its numbers mean nothing here.
    pub fn acknowledge(&mut self, id: &InstanceId, generation: &str, seq: u64) {
        if let Some(known) = self.instances.get_mut(id).filter(|_| generation == self.generation) {
            known.applied = known.applied.max(seq);
        }
    }

    /// The log has been replaced: what was granted under the old one runs on, and knows nothing of the new one.
    pub fn start_over(&mut self, generation: &str) {
        generation.clone_into(&mut self.generation);
        for lease in self.instances.values_mut() {
            lease.applied = 0;
            lease.grants.iter_mut().for_each(|(head, _)| *head = 0);
        }
    }

    /// Where each instance stands at `now`.
    pub fn positions(&self, now: Uptime) -> impl Iterator<Item = Position<'_>> {
        self.instances.iter().map(move |(id, lease)| Position {
            id: (&id.enforcer, &id.instance),
            applied: lease.applied,
            pending_head: lease.pending_head(now),
        })
    }

    /// Forgets instances that have held no lease for ten minutes.
    pub fn forget(&mut self, now: Uptime) {
        const KEPT: Duration = Duration::from_mins(10);
        let before = self.instances.len();
        self.instances.retain(|_, lease| now.since(lease.renewed) < lease.lease + KEPT);
        if self.instances.len() < before {
            self.of_each.clear();
            for id in self.instances.keys() {
                *self.of_each.entry(id.enforcer.clone()).or_default() += 1;
            }
        }
    }

    /// Every instance.
    pub fn iter(&self) -> impl Iterator<Item = (&InstanceId, &Lease)> {
        self.instances.iter()
    }

    /// How many instances are known.
    pub fn len(&self) -> usize {
        self.instances.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.instances.is_empty()
    }
}

#[cfg(test)]
mod tests;
