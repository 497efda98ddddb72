//! The world: virtual time, a network that misbehaves, processes that pause, and the events between them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use taskpass::time::Uptime;

use super::chance::Chance;
use super::database::Database;
use super::enforcer::{Enforcer, EnforcerStep};
use super::history::{History, Ms};
use super::node::{Node, NodeStep};
use super::planted::Planted;
use super::queries::Query;
use super::workload::{Chore, Workload};

/// Where a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Process {
    Node(usize),
    Enforcer(usize),
}

/// A clock that only runs forward, from its own beginning and at its own pace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Skew {
    offset_us: u64,
    /// Millionths; a thousand at most.
    drift: i64,
}

impl Skew {
    pub(crate) fn new(offset: Ms, chance: &mut Chance) -> Self {
        Self { offset_us: offset * 1_000, drift: chance.below(2_001).cast_signed() - 1_000 }
    }

    pub(crate) fn uptime(self, now: Ms) -> Uptime {
        let drifted = now.cast_signed() * self.drift / 1_000;
        Uptime::at(Duration::from_micros((self.offset_us + now * 1_000).saturating_add_signed(drifted)))
    }
}

/// A process as the world treats it: which of its lives it leads, and until when it stands still.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub(crate) number: u64,
    pub(crate) paused_until: Ms,
    pub(crate) clock: Skew,
}

pub(crate) enum Event {
    Node(usize, u64, NodeStep),
    Enforcer(usize, u64, EnforcerStep),
    /// What a node asked of the database arrives there.
    Query(usize, u64, Query),
    World(Chore),
}

struct Scheduled(Reverse<(Ms, u64)>, Event);

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

/// How bad the network is in this schedule: how often, in one of how many messages, something happens to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    pub(crate) lost: u64,
    pub(crate) slow: u64,
    pub(crate) doubled: u64,
    pub(crate) stall: u64,
    pub(crate) db_slow: u64,
}

pub(crate) struct World {
    pub(crate) now: Ms,
    pub(crate) chance: Chance,
    queue: BinaryHeap<Scheduled>,
    order: u64,
    pub(crate) weather: Weather,
    /// Whether faults may still happen, and until when they may last.
    pub(crate) stormy: bool,
    pub(crate) storm: Ms,
    /// Until when an enforcer and a node don't reach each other.
    pub(crate) cuts: BTreeMap<(usize, usize), Ms>,
    /// Until when a node doesn't reach the database.
    pub(crate) db_cuts: BTreeMap<usize, Ms>,
    pub(crate) db: Database,
    pub(crate) nodes: Vec<Node>,
    pub(crate) enforcers: Vec<Enforcer>,
    pub(crate) workload: Workload,
    pub(crate) history: History,
    pub(crate) planted: Option<Planted>,
    trace: Option<Vec<String>>,
}

/// Events of one schedule at most; a usual one has some ten thousand.
const MOST_EVENTS: u64 = 2_000_000;

impl World {
    pub(crate) fn empty(seed: u64, planted: Option<Planted>, traced: bool) -> Self {
        let mut chance = Chance::new(seed);
        let weather = Weather {
            lost: chance.pick(&[8, 30, 200]),
            slow: chance.pick(&[4, 20, 100]),
            doubled: chance.pick(&[10, 60]),
            stall: chance.pick(&[150, 600, 3_000]),
            db_slow: chance.pick(&[2, 10, 100]),
        };
        Self {
            now: 0,
            queue: BinaryHeap::new(),
            order: 0,
            weather,
            stormy: true,
            storm: chance.within(60_000, 220_000),
            cuts: BTreeMap::new(),
            db_cuts: BTreeMap::new(),
            db: Database::new(),
            nodes: Vec::new(),
            enforcers: Vec::new(),
            workload: Workload::default(),
            history: History::default(),
            planted,
            trace: traced.then(Vec::new),
            chance,
        }
    }

    pub(crate) fn is(&self, planted: Planted) -> bool {
        self.planted == Some(planted)
    }

    /// Notes what happens, if anybody reads it.
    pub(crate) fn note(&mut self, text: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>8.3} s  {}", Duration::from_millis(now).as_secs_f64(), text()));
        }
    }

    fn last(&self, lines: usize) -> String {
        let all: Vec<_> = self.trace.iter().flatten().map(String::as_str).collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    pub(crate) fn trace(&self) -> String {
        self.trace.iter().flatten().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn life(&mut self, process: Process) -> &mut Life {
        match process {
            Process::Node(n) => &mut self.nodes[n].life,
            Process::Enforcer(e) => &mut self.enforcers[e].life,
        }
    }

    pub(crate) fn schedule(&mut self, delay: Ms, event: Event) {
        self.order += 1;
        self.queue.push(Scheduled(Reverse((self.now + delay, self.order)), event));
    }

    /// A node's next step. Between any two steps the process may stand still.
    pub(crate) fn node_after(&mut self, n: usize, delay: Ms, step: NodeStep) {
        let life = self.nodes[n].life.number;
        self.may_stall(Process::Node(n));
        self.schedule(delay, Event::Node(n, life, step));
    }

    /// An enforcer's next step. Between any two steps the process may stand still.
    pub(crate) fn enforcer_after(&mut self, e: usize, delay: Ms, step: EnforcerStep) {
        let life = self.enforcers[e].life.number;
        self.may_stall(Process::Enforcer(e));
        self.schedule(delay, Event::Enforcer(e, life, step));
    }

    fn may_stall(&mut self, process: Process) {
        if self.stormy && self.chance.once_in(self.weather.stall) {
            let short = self.chance.once_in(2);
            let length = self.chance.within(1, if short { 5_000 } else { 90_000 });
            self.pause(process, length);
        }
    }

    pub(crate) fn pause(&mut self, process: Process, length: Ms) {
        self.note(|| format!("{process:?} stands still for {length} ms"));
        let until = (self.now + length).min(self.storm);
        let life = self.life(process);
        life.paused_until = life.paused_until.max(until);
    }

    /// How long a message between two processes takes; nothing if it is lost.
    pub(crate) fn transit(&mut self, enforcer: usize, node: usize) -> Option<Ms> {
        if self.cuts.get(&(enforcer, node)).is_some_and(|until| *until > self.now) {
            return None;
        }
        if !self.stormy {
            return Some(self.chance.within(1, 40));
        }
        if self.chance.once_in(self.weather.lost) {
            return None;
        }
        let slow = self.chance.once_in(self.weather.slow);
        Some(self.chance.within(1, if slow { 20_000 } else { 40 }))
    }

    /// How long the way to the database takes, or back.
    pub(crate) fn db_transit(&mut self) -> Ms {
        let slow = self.stormy && self.chance.once_in(self.weather.db_slow);
        self.chance.within(1, if slow { 3_000 } else { 8 })
    }

    pub(crate) fn doubled(&mut self) -> bool {
        self.stormy && self.chance.once_in(self.weather.doubled)
    }

    /// Runs until `end`.
    pub(crate) fn run(&mut self, end: Ms) {
        while let Some(Scheduled(Reverse((at, _)), event)) = self.queue.pop() {
            if at > end {
                break;
            }
            // Whoever asks again and again without waiting has a bug, and would go on for ever here.
            assert!(self.history.events < MOST_EVENTS, "no end at {at} ms\n{}", self.last(40));
            self.now = at;
            self.history.events += 1;
            self.dispatch(event);
        }
    }

    fn dispatch(&mut self, event: Event) {
        let (process, number) = match &event {
            Event::Node(n, number, _) => (Process::Node(*n), *number),
            Event::Enforcer(e, number, _) => (Process::Enforcer(*e), *number),
            // What was sent arrives, whatever has become of the sender.
            Event::Query(..) => return self.query(event),
            Event::World(chore) => return self.chore(chore.clone()),
        };
        let (now, life) = (self.now, *self.life(process));
        if life.number != number {
            return;
        }
        if life.paused_until > now {
            return self.schedule(life.paused_until - now, event);
        }
        match event {
            Event::Node(n, _, step) => self.node_step(n, step),
            Event::Enforcer(e, _, step) => self.enforcer_step(e, step),
            Event::Query(..) | Event::World(_) => {}
        }
    }
}
