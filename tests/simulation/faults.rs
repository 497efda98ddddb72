//! What goes wrong, and that it heals.

use std::time::Duration;

use super::database::Database;
use super::enforcer::Enforcer;
use super::history::{Ms, Owner};
use super::node::Node;
use super::planted::Planted;
use super::workload::{Chore, uri};
use super::world::{Event, Life, Process, Skew, World};

/// How long after the last fault the exam is held.
const CALM: Ms = 35_000;

impl World {
    /// A world as `seed` has it, until when it storms, and when all is over.
    pub(crate) fn new(seed: u64, planted: Option<Planted>, traced: bool) -> (Self, Ms) {
        let mut world = Self::empty(seed, planted, traced);
        for n in 0..=world.chance.index(3) {
            let life = world.first_life();
            world.nodes.push(Node::new(n, life));
            world.start_node(n);
        }
        for e in 0..world.chance.index(5) + 2 {
            // The second tenant has one, now and then.
            let tenant = usize::from(e == 1);
            let resource = world.chance.below(2);
            let owner = Owner { tenant, resource: uri(tenant, resource) };
            let lease = Duration::from_secs(world.chance.pick(&[5, 10, 30, 30, 30, 60, 120]));
            let life = world.first_life();
            let introspects = world.chance.once_in(3);
            world.history.owners.push(owner.clone());
            world.enforcers.push(Enforcer::new(e, life, owner, lease, introspects));
            world.start_enforcer(e);
        }
        for chore in [Chore::Mint, Chore::Call, Chore::Revoke, Chore::Fault, Chore::BackUp] {
            world.schedule(2_000, Event::World(chore));
        }
        let storm = world.storm;
        world.schedule(storm, Event::World(Chore::Heal));
        world.schedule(storm + CALM - 5_000, Event::World(Chore::MintForExam));
        world.schedule(storm + CALM, Event::World(Chore::Exam));
        (world, storm + CALM + 5_000)
    }

    fn first_life(&mut self) -> Life {
        // Enforcers' real clocks begin at 1,000 seconds.
        Life { number: 0, paused_until: 0, clock: Skew::new(1_000_000, &mut self.chance) }
    }

    fn next_life(&mut self, process: Process) -> Life {
        let life = *self.life(process);
        Life { number: life.number + 1, paused_until: self.now + self.chance.within(0, 3_000), ..life }
    }

    pub(crate) fn fault(&mut self) {
        let (n, e) = (self.chance.index(self.nodes.len()), self.chance.index(self.enforcers.len()));
        let long = self.chance.within(1_000, 90_000);
        match self.chance.below(12) {
            0 => self.pause(Process::Node(n), long),
            1 => self.pause(Process::Enforcer(e), long),
            2 | 3 => self.part(long),
            4 => {
                self.note(|| format!("node {n} doesn't reach the database for {long} ms"));
                let until = self.now + long;
                self.db_cuts.insert(n, until);
            }
            5 => self.restart_node(n),
            6 => self.restart_enforcer(e),
            7 | 8 => {
                self.note(|| format!("the streams of node {n} are half-open"));
                self.nodes[n].streams.clear();
            }
            9 => {
                let step = self.chance.below(2_000_000).cast_signed() - 1_000_000;
                self.note(|| format!("the wall clock of enforcer {e} jumps by {step} s"));
                self.enforcers[e].clock.step(step);
            }
            10 if self.history.restores < 2 && self.chance.once_in(2) => self.restore(),
            _ => {}
        }
    }

    fn part(&mut self, long: Ms) {
        let until = self.now + long;
        let all = self.chance.once_in(2);
        let e = self.chance.index(self.enforcers.len());
        for n in 0..self.nodes.len() {
            if all || self.chance.once_in(2) {
                self.note(|| format!("enforcer {e} and node {n} are parted for {long} ms"));
                self.cuts.insert((e, n), until);
            }
        }
    }

    fn restart_node(&mut self, n: usize) {
        self.note(|| format!("node {n} is killed, and started again"));
        let life = self.next_life(Process::Node(n));
        self.nodes[n] = Node::new(n, life);
        self.start_node(n);
    }

    fn restart_enforcer(&mut self, e: usize) {
        self.note(|| format!("enforcer {e} is killed, and started again"));
        let life = self.next_life(Process::Enforcer(e));
        let old = &self.enforcers[e];
        let (owner, lease, introspects) = (old.owner.clone(), old.lease, old.introspects);
        self.enforcers[e] = Enforcer::new(e, life, owner, lease, introspects);
        self.start_enforcer(e);
    }

    /// The database is set back, by an operator who says so; the nodes may know of it or not.
    fn restore(&mut self) {
        let copy = self.chance.index(3);
        let restarts = self.chance.once_in(2);
        self.note(|| format!("the database is set back to copy {copy}; all nodes restart: {restarts}"));
        self.history.restores += 1;
        Database::restore(&mut self.db, copy, self.planted != Some(Planted::ReuseGeneration));
        if restarts {
            (0..self.nodes.len()).for_each(|n| self.restart_node(n));
        }
    }

    pub(crate) fn heal(&mut self) {
        self.note(|| "everything heals".to_owned());
        self.stormy = false;
        self.cuts.clear();
        self.db_cuts.clear();
    }
}
