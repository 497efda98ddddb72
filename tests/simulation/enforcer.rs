//! An enforcer: the real follower, taken through the steps of `enforcer::{feed, check}`. Whatever is awaited there ends a
//! step here; between any two steps the process may stand still.

use std::rc::Rc;
use std::time::Duration;

use taskpass::domain::feed::Visibility;
use taskpass::enforcer::follower::Follower;
use taskpass::protocol::resource::ResourceUri;
use taskpass::time::{Clock, Timestamp, Uptime};

use super::history::{Ms, Owner};
use super::planted::Planted;
use super::wire::{Answer, Body};
use super::world::{Life, World};

/// How long an answer is waited for.
pub(crate) const TIMEOUT: Ms = 3_000;
/// A stream that is silent for this long is dead.
const SILENCE: Ms = 15_000;
/// A call on its way through an enforcer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) token: usize,
    pub(crate) tool: usize,
    /// How long the answer is in the making, and buffered.
    pub(crate) work: Ms,
    /// Whether the log was asked once already.
    pub(crate) asked: bool,
    /// Whether it was let in by introspection, and with what bound.
    pub(crate) introspected: Option<Ms>,
    /// Whether this call shows that all is well again.
    pub(crate) exam: bool,
}

impl Call {
    pub(crate) fn new(token: usize, tool: usize, work: Ms) -> Self {
        Self { token, tool, work, asked: false, introspected: None, exam: false }
    }

    /// A call that must be let through, of a tool that nobody has cut.
    pub(crate) fn exam(token: usize) -> Self {
        Self { exam: true, ..Self::new(token, 9, 0) }
    }
}

#[derive(Debug)]
pub(crate) enum EnforcerStep {
    /// The timer; only the last one that was set counts.
    Renew {
        due: u64,
    },
    Ask {
        sent: Uptime,
    },
    Timeout {
        number: u64,
    },
    Answer {
        number: u64,
        answer: Answer,
    },
    Take {
        number: u64,
        answer: Answer,
    },
    OpenStream,
    Silence {
        number: u64,
        heard: u64,
    },
    Read(Call),
    Decide(Call, Uptime),
    Release(Call, Uptime),
}

/// What the process waits for.
#[derive(Default)]
pub(crate) struct Turn {
    /// The question that is under way.
    number: Option<u64>,
    /// Calls that wait for its answer.
    pub(crate) calls: Vec<Call>,
    /// Whether this is the attempt after a new snapshot.
    again: bool,
}

pub(crate) struct Enforcer {
    pub(crate) life: Life,
    pub(crate) tenant: usize,
    pub(crate) sees: Rc<Visibility>,
    pub(crate) owner: Owner,
    pub(crate) follower: Follower,
    pub(crate) lease: Duration,
    pub(crate) clock: Clock,
    /// Whether calls are introspected when the view is stale.
    pub(crate) introspects: bool,
    clock_read: u64,
    pub(crate) turn: Turn,
    due: u64,
    numbers: u64,
    failures: u32,
    stream: u64,
    heard: u64,
    pub(crate) asked_about: Vec<(u64, Call, Uptime)>,
    /// Tokens of which an answer is kept, where that is the planted bug.
    pub(crate) kept: Vec<usize>,
}

impl Enforcer {
    pub(crate) fn new(e: usize, life: Life, owner: Owner, lease: Duration, introspects: bool) -> Self {
        let resource = ResourceUri::parse(&owner.resource).expect("it is a URI");
        Self {
            tenant: owner.tenant,
            sees: Rc::new(Visibility::of(&[resource])),
            owner,
            follower: Follower::new(format!("enf{e}.{}", life.number), lease),
            lease,
            clock: Clock::manual(Timestamp(0)),
            introspects,
            clock_read: 1_000,
            turn: Turn::default(),
            due: 0,
            kept: Vec::new(),
            numbers: life.number * 1_000_000,
            failures: 0,
            stream: 0,
            heard: 0,
            asked_about: Vec::new(),
            life,
        }
    }

    pub(crate) fn bound(&self) -> Ms {
        u64::try_from(self.lease.as_millis()).unwrap()
    }
}

impl World {
    pub(crate) fn start_enforcer(&mut self, e: usize) {
        self.enforcer_after(e, 0, EnforcerStep::Renew { due: 0 });
        self.enforcer_after(e, 50, EnforcerStep::OpenStream);
    }

    /// Reads the clock that only runs forward, and moves the real clock along with it.
    pub(crate) fn enforcer_uptime(&mut self, e: usize) -> Uptime {
        let now = self.now;
        let enforcer = &mut self.enforcers[e];
        let uptime = enforcer.life.clock.uptime(now);
        // That one counts in whole seconds, the real one doesn't: it is never behind.
        let seconds = (uptime.seconds() + 1).saturating_sub(enforcer.clock_read);
        enforcer.clock.advance(u32::try_from(seconds).unwrap());
        enforcer.clock_read += seconds;
        uptime
    }

    pub(crate) fn enforcer_step(&mut self, e: usize, step: EnforcerStep) {
        let now = self.enforcer_uptime(e);
        match step {
            EnforcerStep::Renew { due } => {
                if self.enforcers[e].due == due {
                    self.renew(e);
                }
            }
            EnforcerStep::Ask { sent } => self.ask(e, sent),
            EnforcerStep::Timeout { number } => {
                self.enforcers[e].asked_about.retain(|(asked, ..)| *asked != number);
                self.turn_over(e, number, false);
            }
            // Between the arrival of an answer and its reading the process may stand still.
            EnforcerStep::Answer { number, answer } => {
                self.enforcer_after(e, 0, EnforcerStep::Take { number, answer });
            }
            EnforcerStep::Take { number, answer } => self.take(e, number, answer, now),
            EnforcerStep::OpenStream => self.open_stream(e),
            EnforcerStep::Silence { number, heard } => {
                if self.enforcers[e].stream == number && self.enforcers[e].heard == heard {
                    self.reopen(e);
                }
            }
            EnforcerStep::Read(call) => self.enforcer_after(e, 0, EnforcerStep::Decide(call, now)),
            EnforcerStep::Decide(call, at) => self.admit(e, call, at),
            EnforcerStep::Release(call, decided) => self.release(e, call, decided, now),
        }
    }

    pub(crate) fn next_number(&mut self, e: usize) -> u64 {
        self.enforcers[e].numbers += 1;
        self.enforcers[e].numbers
    }

    /// The lease is due, or somebody wants to know.
    pub(crate) fn renew(&mut self, e: usize) {
        if self.enforcers[e].turn.number.is_some() {
            return;
        }
        let number = self.next_number(e);
        self.enforcers[e].turn.number = Some(number);
        if self.enforcers[e].follower.has_begun() {
            let sent = self.enforcer_uptime(e);
            self.enforcer_after(e, 0, EnforcerStep::Ask { sent });
        } else {
            self.send(e, number, Body::Snapshot);
        }
        self.enforcer_after(e, TIMEOUT, EnforcerStep::Timeout { number });
    }

    fn ask(&mut self, e: usize, sent: Uptime) {
        let nonce = format!("n{}", self.chance.next());
        let Some(request) = self.enforcers[e].follower.ask(nonce, sent) else { return };
        if let Some(number) = self.enforcers[e].turn.number {
            self.send(e, number, Body::Lease(request));
        }
    }

    fn take(&mut self, e: usize, number: u64, answer: Answer, now: Uptime) {
        match answer {
            Answer::Snapshot(snapshot) => {
                if self.enforcers[e].turn.number != Some(number) {
                    return;
                }
                match self.enforcers[e].follower.start_over(snapshot, now) {
                    Ok(()) => self.enforcer_after(e, 0, EnforcerStep::Ask { sent: now }),
                    Err(_) => self.turn_over(e, number, false),
                }
            }
            Answer::Lease(answer) => {
                // Also an answer that comes after its time, or a second time: it must do no harm.
                let known = self.enforcers[e].follower.answered(&answer, now).is_ok();
                self.note(|| {
                    let (head, taken) = (answer.head_seq, if known { "takes" } else { "refuses" });
                    format!("enforcer {e} {taken} a lease at {}.{head}", answer.generation)
                });
                if known && self.is(Planted::FreshFromReceipt) {
                    self.enforcers[e].follower.view().confirm(now);
                }
                self.turn_over(e, number, known);
            }
            Answer::Gone if self.enforcers[e].stream == number => self.reopen(e),
            Answer::Gone if self.enforcers[e].turn.number == Some(number) => {
                if std::mem::replace(&mut self.enforcers[e].turn.again, true) {
                    self.turn_over(e, number, false);
                } else {
                    self.send(e, number, Body::Snapshot);
                }
            }
            Answer::Gone => {}
            Answer::Failed => {
                self.turn_over(e, number, false);
                self.introspected(e, number, None, now);
            }
            Answer::Active(active) => self.introspected(e, number, Some(active), now),
            Answer::News(generation, stretch) => {
                self.enforcers[e].heard += 1;
                let applied = self.enforcers[e].follower.streamed(&generation, &stretch, now);
                self.heard(e, number, applied.is_ok());
                // It acknowledges at once.
                self.renew(e);
            }
            Answer::Heartbeat(seq) => {
                let known = seq <= self.enforcers[e].follower.view().rev().seq;
                self.heard(e, number, known);
            }
        }
    }

    fn heard(&mut self, e: usize, number: u64, well: bool) {
        if self.enforcers[e].stream != number {
            return;
        }
        if !well {
            return self.reopen(e);
        }
        self.enforcers[e].heard += 1;
        let heard = self.enforcers[e].heard;
        self.enforcer_after(e, SILENCE, EnforcerStep::Silence { number, heard });
    }

    fn open_stream(&mut self, e: usize) {
        if !self.enforcers[e].follower.has_begun() {
            return self.enforcer_after(e, 400, EnforcerStep::OpenStream);
        }
        let number = self.next_number(e);
        self.enforcers[e].stream = number;
        let rev = self.enforcers[e].follower.view().rev();
        self.send(e, number, Body::Stream(rev));
        self.heard(e, number, true);
    }

    fn reopen(&mut self, e: usize) {
        self.enforcers[e].stream = 0;
        let wait = self.chance.within(150, 3_000);
        self.enforcer_after(e, wait, EnforcerStep::OpenStream);
    }

    /// The question has been answered, or won't be.
    fn turn_over(&mut self, e: usize, number: u64, known: bool) {
        let enforcer = &mut self.enforcers[e];
        if enforcer.turn.number != Some(number) {
            return;
        }
        let turn = std::mem::take(&mut enforcer.turn);
        enforcer.failures = if known { 0 } else { enforcer.failures + 1 };
        let third = enforcer.bound() / 3;
        let wait = if known { third } else { (200 << enforcer.failures.min(4)).min(2_000) };
        let wait = self.chance.within(wait * 3 / 4, wait);
        self.enforcers[e].due += 1;
        let due = self.enforcers[e].due;
        self.enforcer_after(e, wait, EnforcerStep::Renew { due });
        for call in turn.calls {
            let at = self.enforcer_uptime(e);
            if known {
                self.admit(e, call, at);
            } else {
                self.admit_stale(e, call);
            }
        }
    }
}
