//! Tokens kept for as long as they are fresh, by what they were asked for.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::client::Client;
use super::error::Error;
use super::request::TokenRequest;
use super::token::Token;
use crate::secret::Digest;
use crate::time::Timestamp;

/// How many tokens are kept unless said otherwise.
const CAPACITY: usize = 1024;

/// A bounded cache of tokens. Callers that want the same token at the same time cause one request; a token that is about
/// to expire is renewed within its task.
///
/// Two requests share a token only if everything in them is the same: the subject token, the resource, the scope, the
/// details, the purpose, the lifetime, and [`TaskRequest::task`](super::TaskRequest::task), the program's name for the task.
#[derive(Debug)]
pub struct TokenCache {
    client: Client,
    capacity: usize,
    slots: Mutex<HashMap<Digest, Arc<Slot>>>,
}

#[derive(Debug, Default)]
struct Slot {
    /// How many times the server has been asked; tells a waiter whether an attempt ended while it waited.
    attempts: AtomicU64,
    /// When the token ends, for the choice of whom to evict. 0 while there is none.
    expires_at: AtomicI64,
    state: tokio::sync::Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    token: Option<Token>,
    failed: Option<Error>,
    /// No renewal before this moment, after one that failed.
    rest_until: Timestamp,
}

/// Seconds between attempts to renew a token that still lives, while the server can't be reached.
const REST: i64 = 5;

impl TokenCache {
    /// A cache of 1,024 tokens.
    pub fn new(client: Client) -> Self {
        Self::with_capacity(client, CAPACITY)
    }

    /// A cache of at most `capacity` tokens; when it is full, the one that ends first makes room.
    pub fn with_capacity(client: Client, capacity: usize) -> Self {
        Self { client, capacity: capacity.max(1), slots: Mutex::default() }
    }

    /// The token for `request`: kept, renewed, or new.
    ///
    /// A refused renewal means that the task is over. The token is forgotten and the refusal returned, so that the
    /// caller learns of it; the next call opens a new task. While the server is out of reach, a token that still lives
    /// is returned.
    pub async fn token(&self, request: &TokenRequest) -> Result<Token, Error> {
        let key = request.cache_key();
        let slot = self.slot(key);
        let seen = slot.attempts.load(Ordering::Acquire);
        let mut state = slot.state.lock().await;
        let now = self.client.now();
        if let Some(token) = &state.token {
            let due = token.renew_in(now) == Some(0) && state.rest_until <= now;
            if token.is_alive(now) && !due {
                return Ok(token.clone());
            }
        }
        // Whoever waited for an attempt shares its failure, or a crowd would repeat it one by one.
        if slot.attempts.load(Ordering::Acquire) != seen
            && let Some(error) = &state.failed
        {
            return Err(error.clone());
        }
        let held = state.token.clone().filter(|token| token.is_alive(now));
        let answer = match &held {
            Some(token) => self.client.renew(token).await,
            None => self.client.request(request).await,
        };
        slot.attempts.fetch_add(1, Ordering::AcqRel);
        let answer = match (answer, held) {
            (Err(error), Some(token)) if error.is_temporary() && token.is_alive(self.client.now()) => {
                state.rest_until = self.client.now().plus(REST);
                Ok(token)
            }
            (answer, _) => answer,
        };
        state.token = answer.as_ref().ok().cloned();
        state.failed = answer.as_ref().err().cloned();
        slot.expires_at.store(state.token.as_ref().map_or(0, |token| token.expires_at.0), Ordering::Release);
        if state.token.is_none() {
            self.remove(key, &slot);
        }
        answer
    }

    /// Forgets the token for `request`, because the resource refused it. It is not revoked.
    pub fn forget(&self, request: &TokenRequest) {
        self.lock().remove(&request.cache_key());
    }

    /// How many tokens are kept.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn slot(&self, key: Digest) -> Arc<Slot> {
        let mut slots = self.lock();
        if let Some(slot) = slots.get(&key) {
            return slot.clone();
        }
        if slots.len() >= self.capacity {
            let now = self.client.now().0;
            // Slots without a token are being filled right now, unless their caller went away; those go last.
            slots.retain(|_, slot| !(1..=now).contains(&slot.expires_at.load(Ordering::Acquire)));
            while slots.len() >= self.capacity {
                let ends = |slot: &Slot| match slot.expires_at.load(Ordering::Acquire) {
                    0 => i64::MAX,
                    at => at,
                };
                let first = slots.iter().min_by_key(|(_, slot)| ends(slot)).map(|(key, _)| *key);
                first.and_then(|key| slots.remove(&key));
            }
        }
        slots.entry(key).or_default().clone()
    }

    fn remove(&self, key: Digest, slot: &Arc<Slot>) {
        let mut slots = self.lock();
        if slots.get(&key).is_some_and(|current| Arc::ptr_eq(current, slot)) {
            slots.remove(&key);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
