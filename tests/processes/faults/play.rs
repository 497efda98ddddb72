//! One fault: tokens are presented all the while, some are cut, something breaks and is mended; then the checker judges.

use std::collections::VecDeque;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Scope;
use std::time::Duration;

use taskpass::time::monotonic;

use super::checker::{Report, judge};
use super::history::{Journal, Moment, Ordeal, Presented, Revoked, Spell};
use super::stage::{Member, Stage, lease_seconds, presentation};
use crate::wire::{Answer, Connection};
use crate::world::{ADMINISTRATOR, AGENTS, Bearer, Issued};

/// Between two presentations of one token to one enforcer.
const PACE: Duration = Duration::from_millis(25);
/// From when something was mended until it must be as it should be: enough for a request that was swallowed to be given up
/// (three seconds), and for the next.
const RECOVERY: Duration = Duration::from_millis(4_500);
/// Where connections broke, or processes ended, and nobody waits for what was swallowed.
const SOON: Duration = Duration::from_millis(2_500);
/// How long it is then watched.
const WATCH: Duration = Duration::from_millis(1_200);

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

/// A moment that lasts until this is ended.
pub(super) struct Begun {
    ordeal: Ordeal,
    enforcer: Option<String>,
    from: Moment,
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
            let trouble = journal.change(|history| history.spells.iter().map(|spell| spell.to).max());
            let rest = trouble.unwrap_or_default().saturating_sub(journal.now());
            std::thread::sleep(Duration::from_micros(rest).max(WATCH));
            let now = journal.now();
            journal.change(|history| history.recovered = now);
            std::thread::sleep(WATCH);
        });
        let history = journal.history.into_inner().unwrap();
        let mut report = judge(&history);
        print(name, &report, &history, Duration::from_micros(history.recovered));
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
fn print(name: &str, report: &Report, history: &super::history::History, took: Duration) {
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

    /// Begins what an enforcer, or everybody, goes through.
    pub(super) fn begin(&self, ordeal: Ordeal, member: Option<&Member>) -> Begun {
        Begun { ordeal, enforcer: member.map(|member| member.name.clone()), from: self.journal.now() }
    }

    /// Ends it. Trouble goes on for a while: clients, and connections, have to find out.
    pub(super) fn end(&self, begun: Begun) {
        let Begun { ordeal, enforcer, from } = begun;
        let to = self.journal.now();
        let recovery = if ordeal == Ordeal::Troubled { SOON } else { RECOVERY };
        let over = to + u64::try_from(recovery.as_micros()).unwrap();
        self.journal.change(|history| {
            history.spells.push(Spell {
                ordeal: Ordeal::Troubled,
                enforcer: enforcer.clone(),
                from,
                to: over,
            });
            if ordeal != Ordeal::Troubled {
                history.spells.push(Spell { ordeal, enforcer, from, to });
            }
        });
    }

    fn ask_to_revoke(&self, victim: &Named, wait: bool) -> io::Result<Answer> {
        let mut connection =
            Connection::patient(self.address(), Duration::from_secs(if wait { 150 } else { 12 }));
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
    let mut presented = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let sent = journal.now();
        let status = connection.ask(&request).map_or(0, |answer| answer.status);
        let answered = journal.now();
        let (enforcer, token) = (member.name.clone(), named.name.clone());
        presented.push(Presented { enforcer, token, sent, answered, status });
        std::thread::sleep(PACE);
    }
    journal.change(|history| history.presented.append(&mut presented));
}
