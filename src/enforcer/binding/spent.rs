//! The proofs that were used, for as long as they could be used again (RFC 9449 §11.1).
//!
//! Not a cache: a cache may throw out what it was just told, and its clock isn't the one that proofs are judged by. Here a
//! proof is forgotten only when its time is over, by the same `now`; one that is older than anything forgotten is refused,
//! so a clock that is set back opens nothing; and when no more fit, the answer is no.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use super::PROOF_WINDOW;
use crate::jose::DpopProof;
use crate::secret::Digest;
use crate::time::Timestamp;

/// Proofs that are remembered at most: some 20 MB. Each stays for 10 seconds, for 20 if it was made ahead of its time.
const MOST: usize = 128 * 1024;
/// Proofs of one key that are remembered at most, so that one holder doesn't take the others' room: 800 a second.
const MOST_OF_ONE: usize = 8 * 1024;

/// Why a proof can't be spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It was, or another of the same key with its `jti`.
    Replayed,
    /// It is as old as some that were forgotten, so it may have been.
    Forgotten,
    /// No more can be remembered.
    Full,
}

/// The proofs that were used.
#[derive(Default)]
pub(super) struct Spent(Mutex<Marks>);

#[derive(Default)]
struct Marks {
    /// By the second in which they were made: the hash of key and `jti`, and the key.
    made: BTreeMap<Timestamp, HashMap<Digest, Digest>>,
    /// How many there are of each key.
    of_key: HashMap<Digest, usize>,
    all: usize,
    /// The last second of which something was forgotten.
    forgotten: Option<Timestamp>,
}

impl Spent {
    /// Marks a proof as used. Of many at once with the same key and `jti` one is let through.
    pub(super) fn spend(&self, proof: &DpopProof, now: Timestamp) -> Result<(), Refused> {
        let mark = Digest::of_parts(&[&proof.jkt.0, proof.jti.as_bytes()]);
        let mut marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        marks.forget_before(now.plus(-PROOF_WINDOW));
        if marks.forgotten.is_some_and(|forgotten| proof.iat <= forgotten) {
            return Err(Refused::Forgotten);
        }
        if marks.made.values().any(|second| second.contains_key(&mark)) {
            return Err(Refused::Replayed);
        }
        if marks.all >= MOST || marks.of_key.get(&proof.jkt).is_some_and(|count| *count >= MOST_OF_ONE) {
            return Err(Refused::Full);
        }
        marks.made.entry(proof.iat).or_default().insert(mark, proof.jkt);
        *marks.of_key.entry(proof.jkt).or_default() += 1;
        marks.all += 1;
        Ok(())
    }
}

impl Marks {
    /// Forgets the proofs that were made before `oldest`, the first second that is still accepted.
    fn forget_before(&mut self, oldest: Timestamp) {
        while let Some(second) = self.made.first_entry().filter(|second| *second.key() < oldest) {
            let (made, marks) = second.remove_entry();
            self.forgotten = self.forgotten.max(Some(made));
            self.all -= marks.len();
            for key in marks.into_values() {
                if let Some(count) = self.of_key.get_mut(&key) {
                    *count -= 1;
                    if *count == 0 {
                        self.of_key.remove(&key);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000);

    fn proof(key: u8, jti: &str, iat: Timestamp) -> DpopProof {
        let (htm, htu) = ("GET".to_owned(), "https://a.example".to_owned());
        DpopProof { jkt: Digest([key; 32]), jti: jti.to_owned(), htm, htu, iat, ath: None }
    }

    #[test]
    fn a_clock_that_is_set_back_opens_nothing() {
        let spent = Spent::default();
        assert_eq!(spent.spend(&proof(1, "a", NOW), NOW), Ok(()));
        assert_eq!(spent.spend(&proof(1, "b", NOW.plus(60)), NOW.plus(60)), Ok(()));
        // "a" is forgotten, and its time comes again.
        assert_eq!(spent.spend(&proof(1, "a", NOW), NOW), Err(Refused::Forgotten));
        assert_eq!(spent.spend(&proof(1, "c", NOW.plus(1)), NOW), Ok(()));
    }

    #[test]
    fn a_clock_that_leaps_ahead_and_returns_shuts_nobody_out() {
        let spent = Spent::default();
        assert_eq!(spent.spend(&proof(1, "a", NOW), NOW), Ok(()));
        assert_eq!(spent.spend(&proof(1, "b", NOW.plus(86_400)), NOW.plus(86_400)), Ok(()));
        assert_eq!(spent.spend(&proof(1, "c", NOW.plus(2)), NOW.plus(2)), Ok(()));
    }

    #[test]
    fn one_holder_does_not_take_the_others_room_and_the_room_is_bounded() {
        let spent = Spent::default();
        let fill =
            |key: u8| (0..MOST_OF_ONE).all(|n| spent.spend(&proof(key, &n.to_string(), NOW), NOW).is_ok());
        assert!(fill(0));
        assert_eq!(spent.spend(&proof(0, "more", NOW), NOW), Err(Refused::Full));
        assert_eq!(spent.spend(&proof(0, "7", NOW), NOW), Err(Refused::Replayed), "full or not");
        for key in 1..u8::try_from(MOST / MOST_OF_ONE).unwrap() {
            assert!(fill(key));
        }
        assert_eq!(spent.spend(&proof(200, "a", NOW), NOW), Err(Refused::Full));
        // It empties by itself.
        let later = NOW.plus(PROOF_WINDOW + 1);
        assert_eq!(spent.spend(&proof(200, "a", later), later), Ok(()));
        let marks = spent.0.lock().unwrap();
        assert_eq!((marks.all, marks.of_key.len(), marks.made.len()), (1, 1, 1));
    }
}
