//! The state of the feed: the database, the server, an enforcer, what is under way between them, and the truth.

use super::bounds::{Bounds, Part};
use super::enforcer::{Enforcer, MOST_REQUESTS};
use super::log::{Entry, Log, Token};
use super::network::Network;
use super::server::Server;

/// Everything there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// The log in the database.
    pub(crate) log: Log,
    /// Restores so far.
    pub(crate) restores: u8,
    /// The server's memory.
    pub(crate) server: Server,
    /// The enforcer.
    pub(crate) enforcer: Enforcer,
    /// What is under way.
    pub(crate) network: Network,
    /// The token, once it is minted.
    pub(crate) token: Option<Token>,
    /// True time since the first acknowledged cutoff that hits the token, or the restore that left its log behind.
    pub(crate) dead_for: Option<u8>,
    /// The server has said that a cutoff that hits the token is in force everywhere.
    pub(crate) claimed: bool,
}

impl State {
    /// Nothing was ever revoked; the enforcer knows nothing.
    pub(crate) fn new(bounds: &Bounds) -> Self {
        Self {
            log: Log::default(),
            restores: 0,
            server: Server::new(bounds),
            enforcer: Enforcer::default(),
            network: Network::default(),
            token: None,
            dead_for: None,
            claimed: false,
        }
    }

    /// A cutoff is committed and acknowledged. The acknowledgement can't be earlier than this.
    pub(crate) fn revoke(&mut self, entry: Entry) {
        self.log.push(entry);
        self.settle();
    }

    /// Takes note of whether the token has died.
    fn settle(&mut self) {
        let dead = self.token.is_some_and(|token| {
            token.generation != self.log.generation || self.log.hits(token.rev, self.log.seq())
        });
        if dead {
            self.dead_for.get_or_insert(0);
        }
    }

    /// The token is minted, under everything that was committed so far.
    pub(crate) fn mint(&mut self) {
        self.token = Some(Token { generation: self.log.generation, rev: self.log.seq(), age: 0 });
    }

    /// The database is set back to its first `seq` entries, and the server starts on it.
    pub(crate) fn restore(&mut self, seq: u8, renamed: bool) {
        self.log.set_back(seq);
        self.restores += 1;
        if renamed {
            self.rename_log();
        }
        self.server.restart(self.log);
        super::server::drop_work(&mut self.network);
    }

    /// The log gets a new name.
    pub(crate) fn rename_log(&mut self) {
        self.log.generation += 1;
        self.enforcer.shown = 0;
        self.settle();
    }

    /// States that differ in what can't matter any more are made one.
    pub(crate) fn normalise(&mut self, bounds: &Bounds) {
        for nonce in 0..MOST_REQUESTS {
            let under_way =
                self.network.iter().any(|message| message.nonce().map(usize::from) == Some(nonce));
            if !under_way {
                // Its answer can't come any more.
                self.enforcer.asked[nonce] = None;
            }
        }
        if !bounds.has(Part::Effective) && bounds.planted != crate::planted::Planted::IgnoreNonce {
            // What belongs to a request that was given up changes nothing when it comes.
            let asked = self.enforcer.asked;
            self.network.drop_where(|message| {
                message.nonce().is_some_and(|nonce| asked[usize::from(nonce)].is_none())
            });
        }
    }
}
