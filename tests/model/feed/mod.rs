//! The feed: cutoffs reach enforcers by stream, snapshot and lease, through faults of every kind.

pub(crate) mod bounds;
pub(crate) mod enforcer;
pub(crate) mod log;
pub(crate) mod network;
pub(crate) mod property;
pub(crate) mod server;
pub(crate) mod state;

use std::sync::atomic::{AtomicU8, Ordering};

use stateright::{Model, Property};

use crate::planted::Planted;
use crate::run::Judged;
use bounds::{Bounds, LEEWAY, LIFETIME, Part};
use log::Entry;
use network::Message;
use state::State;

/// How a clock moves while true time moves by one tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As it should.
    Steady,
    /// Not at all.
    Stands,
    /// Twice as far.
    Leaps,
}

impl Pace {
    /// How a clock moves other than steadily: one that lags by as much as it may can only catch up.
    pub(crate) fn other(lags: bool) -> Self {
        if lags { Self::Leaps } else { Self::Stands }
    }

    /// By how many ticks.
    pub(crate) fn ticks(self) -> u8 {
        match self {
            Self::Steady => 1,
            Self::Stands => 0,
            Self::Leaps => 2,
        }
    }
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// True time moves by a tick. Whoever does nothing meanwhile is paused, slow, or has nothing to do.
    Tick { enforcer: Pace, server: Pace },
    /// The token is minted.
    Mint,
    /// Something is cut off, which is acknowledged at once.
    Revoke(Entry),
    /// An entry is forgotten.
    Forget,
    /// The node reads the log.
    NodeReads,
    /// The server dies and comes back.
    ServerRestarts,
    /// The database is set back to an older copy.
    Restore(u8),
    /// The server says that everything so far is in force everywhere.
    Claim,
    /// The node sends what came after `prev` down the stream.
    Push(u8),
    /// The enforcer asks for a lease.
    Ask,
    /// The enforcer gets a snapshot, which may take its time on the way.
    Fetch,
    /// The enforcer's process dies and comes back.
    EnforcerRestarts,
    /// The enforcer lets the token pass a first look, and holds the response back.
    Hold,
    /// The enforcer accepts another token, minted just now.
    ShowAnother,
    /// A message comes.
    Deliver(Message),
    /// A message comes, and will come again.
    Repeat(Message),
    /// A message is lost.
    Lose(Message),
}

/// The model.
#[derive(Debug)]
pub(crate) struct Feed {
    /// Its size.
    pub(crate) bounds: Bounds,
    /// The latest accept after a revocation's acknowledgement, in ticks.
    pub(crate) worst: AtomicU8,
}

impl Feed {
    /// The model of this size.
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self { bounds, worst: AtomicU8::new(0) }
    }

    fn ticks(&self, state: &State, actions: &mut Vec<Action>) {
        if self.bounds.has(Part::Standstill) {
            return;
        }
        let sleeps = self.bounds.planted == Planted::ClockStopsInSleep;
        let enforcer = [Pace::Steady, Pace::other(state.enforcer.clock_lags && !sleeps)];
        let mut server = vec![Pace::Steady];
        if self.bounds.has(Part::Effective) {
            server.push(if state.server.clock_leads { Pace::Stands } else { Pace::Leaps });
        }
        for enforcer in enforcer {
            actions.extend(server.iter().map(|server| Action::Tick { enforcer, server: *server }));
        }
    }

    fn tick(&self, state: &mut State, enforcer: Pace, server: Pace) {
        let bounds = &self.bounds;
        state.enforcer.tick(enforcer.ticks(), bounds);
        state.enforcer.clock_lags ^= enforcer != Pace::Steady;
        if bounds.has(Part::Effective) {
            state.server.tick(server.ticks(), bounds);
            state.server.clock_leads ^= server != Pace::Steady;
        }
        state.dead_for = state.dead_for.map(|age| (age + 1).min(bounds.horizon()));
        if bounds.has(Part::Expiry)
            && let Some(token) = &mut state.token
        {
            token.age = (token.age + 1).min(LIFETIME + LEEWAY + 1);
        }
    }

    fn at_server(&self, state: &State, actions: &mut Vec<Action>) {
        let bounds = &self.bounds;
        if state.token.is_none() {
            actions.push(Action::Mint);
        }
        if state.log.seq() < bounds.cutoffs {
            actions.extend(Entry::CUTS.map(Action::Revoke));
        }
        if bounds.has(Part::Forgetting) && state.log.floor < state.log.seq() {
            actions.push(Action::Forget);
        }
        if state.restores < bounds.restores {
            actions.extend((0..=state.log.seq()).map(Action::Restore));
        }
        if bounds.node_lags() && state.server.node != state.log {
            actions.push(Action::NodeReads);
        }
        if bounds.has(Part::Stream) && !state.network.is_full(bounds.in_flight) {
            actions.extend((state.server.node.floor..state.server.node.seq()).map(Action::Push));
        }
        if bounds.has(Part::Effective) {
            actions.push(Action::ServerRestarts);
            if state.server.is_effective(state.log.seq(), bounds) {
                actions.push(Action::Claim);
            }
        }
    }

    fn at_enforcer(&self, state: &State, actions: &mut Vec<Action>) {
        let bounds = &self.bounds;
        if !state.network.is_full(bounds.in_flight) {
            if state.enforcer.view.is_none() || bounds.has(Part::StartOver) {
                actions.push(Action::Fetch);
            }
            actions.push(Action::Ask);
        }
        if state.enforcer.view.is_some() {
            actions.push(Action::EnforcerRestarts);
        }
        if bounds.has(Part::Buffering)
            && state.token.is_some_and(|token| state.enforcer.passes(token, bounds))
        {
            actions.push(Action::Hold);
        }
        if bounds.has(Part::CatchUp) {
            actions.push(Action::ShowAnother);
        }
    }

    fn deliver(&self, state: &mut State, message: Message) {
        let bounds = &self.bounds;
        match message {
            Message::Request { nonce, generation, applied } => {
                server::arrive(state, (nonce, generation, applied), bounds);
            }
            Message::Noted { .. } | Message::HeadRead { .. } => server::answer(state, message, bounds),
            Message::Lease { nonce, applied, log } => {
                state.enforcer.take_lease(nonce, applied, log, bounds);
            }
            Message::Gone { generation } => {
                if state.enforcer.view.is_some_and(|view| view.generation == generation) {
                    state.enforcer.forget();
                }
            }
            Message::Snapshot { log } => state.enforcer.start_over(log, bounds),
            Message::Event { prev, log } => state.enforcer.take_event(prev, log),
        }
    }

    /// Another token, minted under the whole log, is shown to the enforcer.
    fn show_another(&self, state: &mut State) {
        let rev = state.log.seq();
        let caught_up = |view: log::Log| {
            let far_enough = view.seq() >= rev || self.bounds.planted == Planted::NoCatchUp;
            view.generation == state.log.generation && far_enough
        };
        if state.enforcer.lease.is_some() && state.enforcer.view.is_some_and(caught_up) {
            state.enforcer.shown = rev;
        }
    }

    fn act(&self, state: &mut State, action: Action) {
        match action {
            Action::Tick { enforcer, server } => self.tick(state, enforcer, server),
            Action::Mint => state.mint(),
            Action::Revoke(entry) => state.revoke(entry),
            Action::Forget => state.log.forget(),
            Action::NodeReads => state.server.node = state.log,
            Action::ServerRestarts => {
                state.server.restart(state.log);
                server::drop_work(&mut state.network);
            }
            Action::Restore(seq) => {
                let keeps = [Planted::ReuseGenAfterRestore, Planted::RestoreNoticedLate]
                    .contains(&self.bounds.planted);
                state.restore(seq, !keeps);
            }
            Action::Claim => {
                state.claimed |= state.token.is_some_and(|token| state.log.hits(token.rev, state.log.seq()));
            }
            Action::Push(prev) => state.network.send(Message::Event { prev, log: state.server.node }),
            Action::Ask => {
                state.enforcer.ask(&mut state.network, &self.bounds);
            }
            Action::Fetch => {
                let node = if self.bounds.node_lags() { state.server.node } else { state.log };
                state.network.send(Message::Snapshot { log: node });
            }
            Action::EnforcerRestarts => state.enforcer.forget(),
            Action::Hold => state.enforcer.holds = true,
            Action::ShowAnother => self.show_another(state),
            Action::Deliver(message) => {
                state.network.drop_where(|other| *other == message);
                self.deliver(state, message);
            }
            Action::Repeat(message) => self.deliver(state, message),
            Action::Lose(message) => state.network.drop_where(|other| *other == message),
        }
    }
}

impl Judged for Feed {
    fn worst(&self) -> u8 {
        self.worst.load(Ordering::Relaxed)
    }
}

impl Model for Feed {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(&self.bounds)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.ticks(state, actions);
        self.at_server(state, actions);
        self.at_enforcer(state, actions);
        for message in state.network.iter() {
            actions.extend([Action::Deliver(message), Action::Lose(message)]);
            // The server's own work isn't a message, and a second answer needs room beside what brings it.
            let own = matches!(message, Message::Noted { .. } | Message::HeadRead { .. });
            let brings = matches!(message, Message::Request { .. });
            let no_room = brings && state.network.is_full(self.bounds.in_flight);
            if !own && !no_room {
                actions.push(Action::Repeat(message));
            }
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = *before;
        self.act(&mut state, action);
        state.normalise(&self.bounds);
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        property::of(&self.bounds)
    }
}
