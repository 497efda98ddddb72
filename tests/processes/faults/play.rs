//! One fault: tokens are presented all the while, some are cut, something breaks and is mended; then the checker judges.

use std::collections::VecDeque;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Scope;
use std::time::Duration;

use taskpass::time::monotonic;

use super::checker::{Report, judge, unsettled};
use super::history::{History, Journal, Moment, Ordeal, Presented, Revoked, Spell};
use super::stage::{Member, Stage, lease_seconds, presentation};
use crate::wire::{Answer, Connection};
use crate::world::{ADMINISTRATOR, AGENTS, Bearer, Issued};

/// Between two presentations of one token to one enforcer.
const PACE: Duration = Duration::from_millis(40);
/// How long all may take to be as it should be once everything is mended: long, since a busy machine is no fault.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it is then watched.
const WATCH: Duration = Duration::from_millis(1_200);
/// Everybody, where somebody is asked for.
pub(super) const EVERYBODY: &[&Member] = &[];

/// A token and the name that it has in the history.
#[derive(Clone)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) issued: Issued,
}

/// One fault under way.
pub(super) struct Play<'scope, 'env> {
    pub(super) stage: &'env Stage,
    pub(super) journal: &'env Journal,
    scope: &'scope Scope<'scope, 'env>,
    over: &'env AtomicBool,
    /// What can still be cut.
    victims: Mutex<VecDeque<Named>>,
    bearer: Mutex<Bearer>,
    /// The node that is talked to.
    node: std::sync::atomic::AtomicUsize,
}

/// What was done to somebody, and lasts until this is ended.
pub(super) struct Begun {
    ordeal: Ordeal,
    /// Nobody means everybody.
    enforcers: Vec<Option<String>>,
    /// The moments around the deed.
    done: (Moment, Moment),
}

impl Stage {
    /// Mints a token.
    pub(super) fn mint(&self, node: usize, name: &str) -> io::Result<Named> {
        let mut connection = Connection::patient(self.recipes[node].address, Duration::from_secs(15));
        let agent = AGENTS[usize::try_from(self.world.random(4)).unwrap()];
        let answer = connection.ask(&self.world.client_credentials(&self.world.assertion(agent)))?;
        let issued = Issued::read(&answer).ok_or_else(|| io::Error::other(format!("{answer:?}")))?;
        Ok(Named { name: name.to_owned(), issued })
    }

    /// Plays a fault with so many tokens to be cut, and says what the checker finds.
    pub(super) fn play(
        &self,
        name: &str,
        victims: usize,
        fault: impl for<'scope, 'env> FnOnce(&Play<'scope, 'env>),
    ) -> Report {
        let journal = Journal::new(lease_seconds());
        let over = AtomicBool::new(false);
        let victims: VecDeque<_> =
            (0..victims).map(|index| self.mint(0, &format!("victim-{index}")).unwrap()).collect();
        let control = self.mint(0, "control").unwrap();
        self.wait_until_enforced(&control.issued.token);
        std::thread::scope(|scope| {
            // However the fault's own part ends.
            let _over = Over(&over, self);
            let mut bearer = Bearer::of(ADMINISTRATOR);
            bearer.get(&self.world, &mut Connection::new(self.recipes[0].address)).unwrap();
            let play = Play {
                stage: self,
                journal: &journal,
                scope,
                over: &over,
                victims: Mutex::new(victims.clone()),
                bearer: Mutex::new(bearer),
                node: Default::default(),
            };
            for named in &victims {
                play.present(named);
            }
            play.present_control(&control);
            fault(&play);
            let mended = journal.now();
            journal.change(|history| history.mended = mended);
            play.settle();
            std::thread::sleep(WATCH);
        });
        let took = Duration::from_micros(journal.now());
        let history = journal.history.into_inner().unwrap();
        let mut report = judge(&history);
        print(name, &report, &history, took);
        if !report.violations.is_empty() {
            report.evidence = history.lines();
        }
        report
    }
}

struct Over<'a>(&'a AtomicBool, &'a Stage);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        if std::thread::panicking() {
            eprintln!("{}", self.1.last_words());
        }
    }
}

/// One line of numbers.
fn print(name: &str, report: &Report, history: &History, took: Duration) {
    let sum = |of: fn(&super::checker::Count) -> usize| report.counts.values().map(of).sum::<usize>();
    let effective = history.revoked.iter().filter(|revoked| revoked.effective.is_some()).count();
    eprintln!(
        "{name}: {} enforcers, {} accepted, {} refused, {} answered 503, {} not answered; {} cut ({effective} with a receipt), worst accept {} after acknowledgement (allowed {} ms); {:.1} s",
        report.counts.len(),
        sum(|count| count.accepted),
        sum(|count| count.refused),
        sum(|count| count.unavailable),
        sum(|count| count.unanswered),
        history.revoked.len(),
        report
            .counts
            .values()
            .filter_map(|count| count.worst)
            .max()
            .map_or("none".to_owned(), |worst| format!("{} ms", worst / 1000)),
        history.lease / 1000 + 1000,
        took.as_secs_f64()
    );
    for (enforcer, count) in &report.counts {
        eprintln!(
            "    {enforcer}: {} accepted, {} refused, {} answered 503, {} not answered, worst {}",
            count.accepted,
            count.refused,
            count.unavailable,
            count.unanswered,
            count.worst.map_or("none".to_owned(), |worst| format!("{} ms", worst / 1000))
        );
    }
}

impl<'scope, 'env> Play<'scope, 'env> {
    pub(super) fn present_control(&self, named: &Named) {
        self.journal.change(|history| history.controls.push(named.name.clone()));
        self.present(named);
    }

    /// Presents a token to every enforcer until all is over.
    pub(super) fn present(&self, named: &Named) {
        for member in &self.stage.members {
            let (journal, over, named) = (self.journal, self.over, named.clone());
            self.scope.spawn(move || present(journal, over, member, &named));
        }
    }

    pub(super) fn sleep(&self, seconds: f64) {
        std::thread::sleep(Duration::from_secs_f64(seconds));
    }

    /// Waits for so many leases, and a bit.
    pub(super) fn outlast(&self, leases: f64) {
        self.sleep(leases * lease_seconds() as f64 + 1.2);
    }

    /// From now on requests are made of this node.
    pub(super) fn talk_to(&self, node: usize) {
        self.node.store(node, Ordering::Relaxed);
    }

    fn address(&self) -> std::net::SocketAddr {
        self.stage.recipes[self.node.load(Ordering::Relaxed)].address
    }

    /// Does something to these enforcers, or to everybody.
    pub(super) fn begin(&self, ordeal: Ordeal, whom: &[&Member], deed: impl FnOnce()) -> Begun {
        let before = self.journal.now();
        deed();
        let enforcers = match whom {
            [] => vec![None],
            members => members.iter().map(|member| Some(member.name.clone())).collect(),
        };
        Begun { ordeal, enforcers, done: (before, self.journal.now()) }
    }

    /// Mends it. Between the two readings of the clock this thread may have to wait long for a processor, while others go
    /// on: what is held against an enforcer ends before the mending, what excuses it afterwards.
    pub(super) fn end(&self, begun: Begun, mending: impl FnOnce()) {
        let before = self.journal.now();
        mending();
        let after = self.journal.now();
        let Begun { ordeal, enforcers, done } = begun;
        let spell = |ordeal, enforcer: &Option<String>| {
            let (from, to) = if ordeal == Ordeal::Apart { (done.1, before) } else { (done.0, after) };
            Spell { ordeal, enforcer: enforcer.clone(), from, to }
        };
        self.journal.change(|history| {
            for enforcer in &enforcers {
                history.spells.push(spell(Ordeal::Troubled, enforcer));
                if ordeal != Ordeal::Troubled {
                    history.spells.push(spell(ordeal, enforcer));
                }
            }
        });
    }

    /// Waits until all is as it should be, of those who can be expected to come to that; the checker says what isn't.
    fn settle(&self) {
        let sound = self.stage.members.iter().filter(|member| !member.is_planted());
        let sound: Vec<_> = sound.map(|member| member.name.clone()).collect();
        self.wait(PATIENCE, |history| unsettled(history, &sound).is_empty());
    }

    /// Waits until these enforcers have refused everything that was cut until now, as cut.
    pub(super) fn wait_until_known(&self, to: &[&Member]) {
        let known = self.wait(PATIENCE, |history| {
            let refuses = |member: &Member, revoked: &Revoked| {
                history.presented.iter().any(|presented| {
                    presented.status == 401
                        && presented.enforcer == member.name
                        && presented.token == revoked.token
                })
            };
            to.iter().all(|member| history.revoked.iter().all(|revoked| refuses(member, revoked)))
        });
        assert!(known, "a revocation hasn't arrived");
    }

    /// Waits for something to be seen in the history; whether it was.
    fn wait(&self, patience: Duration, seen: impl Fn(&History) -> bool) -> bool {
        let started = monotonic();
        while !self.journal.change(|history| seen(history)) {
            if monotonic().duration_since(started) > patience {
                return false;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        true
    }

    fn ask_to_revoke(&self, victim: &Named, wait: bool) -> io::Result<Answer> {
        let mut connection =
            Connection::patient(self.address(), Duration::from_secs(if wait { 150 } else { 30 }));
        let world = &self.stage.world;
        // By its task or by itself, in turn.
        let by_task = victim.name.ends_with(['0', '2', '4', '6', '8']);
        let (kind, id) = if by_task { ("task", &victim.issued.task) } else { ("token", &victim.issued.jti) };
        let body = serde_json::json!({ "scope_kind": kind, "scope_id": id, "reason": "a test" });
        let path = if wait { "/revocations?wait=effective" } else { "/revocations" };
        let mut held = self.bearer.lock().unwrap();
        let bearer = held.get(world, &mut connection)?;
        let answer = connection.ask(&world.admin(path, bearer, Some(&body)))?;
        if answer.status != 401 {
            return Ok(answer);
        }
        // A log with another name has killed the administrator's token too.
        *held = Bearer::of(ADMINISTRATOR);
        let bearer = held.get(world, &mut connection)?;
        connection.ask(&world.admin(path, bearer, Some(&body)))
    }

    /// Cuts the next token; whether that was acknowledged. Otherwise nothing is said of the token.
    pub(super) fn revoke(&self) -> bool {
        let victim = self.victims.lock().unwrap().pop_front().expect("a token is left");
        match self.ask_to_revoke(&victim, false) {
            Ok(answer) if answer.status == 201 => {
                self.note_revoked(&victim, false);
                return true;
            }
            other => eprintln!("    not acknowledged: {other:?}"),
        }
        false
    }

    fn note_revoked(&self, victim: &Named, effective: bool) {
        let now = self.journal.now();
        let effective = effective.then_some(now);
        self.journal.change(|history| {
            history.revoked.push(Revoked { token: victim.name.clone(), acknowledged: now, effective });
        });
    }

    /// Cuts the next token and waits for the receipt that it is in force everywhere.
    pub(super) fn revoke_effectively(&self) {
        let victim = self.victims.lock().unwrap().pop_front().expect("a token is left");
        self.wait_for_receipt(&victim);
    }

    fn wait_for_receipt(&self, victim: &Named) {
        let started = monotonic();
        let answer = self.ask_to_revoke(victim, true).expect("an answer to a revocation that waits");
        assert_eq!(answer.status, 201, "{answer:?}");
        assert!(!answer.text("receipt").is_empty(), "{answer:?}");
        self.note_revoked(victim, true);
        eprintln!("    receipt after {} ms", monotonic().duration_since(started).as_millis());
    }
}

fn present(journal: &Journal, over: &AtomicBool, member: &Member, named: &Named) {
    let request = presentation(&named.issued.token);
    let patience = Duration::from_secs(3 * lease_seconds() + 15);
    let mut connection = Connection::patient(member.address, patience);
    while !over.load(Ordering::Relaxed) {
        let sent = journal.now();
        let status = connection.ask(&request).map_or(0, |answer| answer.status);
        let answered = journal.now();
        let (enforcer, token) = (member.name.clone(), named.name.clone());
        let presented = Presented { enforcer, token, sent, answered, status };
        journal.change(|history| history.presented.push(presented));
        std::thread::sleep(PACE);
    }
}
