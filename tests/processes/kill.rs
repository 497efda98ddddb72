//! A server that is killed at random moments, and what must be left of everything that it acknowledged.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, RwLock};
use std::time::Duration;

use serde_json::Value;
use taskpass::time::monotonic;

use crate::database::Postgres;
use crate::node::{Node, Recipe, audit_rows, free_addresses, verify_audit, write_registry};
use crate::wire::{Answer, Connection};
use crate::world::{ADMINISTRATOR, AGENTS, Bearer, ENFORCER, Issued, SUSPECT, World};

/// What was acknowledged between two kills, at the least on average.
const OPERATIONS_PER_KILL: usize = 45;
const WORKERS: usize = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Live,
    /// The revocation was acknowledged.
    Revoked,
    /// The revocation was sent, and its answer never came: either is right.
    Unknown,
}

/// An acknowledged exchange.
struct Entry {
    agent: &'static str,
    issued: Issued,
    assertion: String,
    state: State,
}

/// What the clients remember; the server is held to it.
#[derive(Default)]
struct Ledger {
    entries: Vec<Entry>,
    /// Assertions whose answer never came, with their agent.
    unanswered: Vec<(&'static str, String)>,
    /// Exchanges that were granted without anybody hearing of it.
    unheard: usize,
    /// Answers that were neither what was asked for nor a temporary error.
    wrong: Vec<String>,
}

struct Trial {
    world: World,
    recipe: Recipe,
    ledger: Mutex<Ledger>,
    acknowledged: AtomicUsize,
    /// Workers hold it for one operation; who checks holds it alone.
    turn: RwLock<()>,
    over: AtomicBool,
}

#[test]
fn kill_nine_loses_nothing_acknowledged_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("taskpass.sqlite").display());
    run(url, folder);
}

#[test]
fn kill_nine_loses_nothing_acknowledged_on_postgres() {
    let Some(database) = Postgres::create("kills") else { return };
    run(database.url.clone(), tempfile::tempdir().unwrap());
}

fn run(database_url: String, folder: tempfile::TempDir) {
    let kills = crate::rounds("TASKPASS_TEST_KILLS", 5);
    let random = || u64::from_le_bytes(taskpass::entropy::Entropy::default().bytes());
    let address = free_addresses(1, random)[0];
    let issuer = format!("http://{address}");
    let world = World::new(issuer.clone());
    write_registry(folder.path(), &world);
    let trial = Trial {
        world,
        recipe: Recipe { address, issuer, database_url, folder: folder.path().to_owned() },
        ledger: Mutex::default(),
        acknowledged: AtomicUsize::new(0),
        turn: RwLock::default(),
        over: AtomicBool::new(false),
    };
    let started = monotonic();
    trial.play(kills);
    let took = monotonic().duration_since(started);
    let ledger = trial.ledger.into_inner().unwrap();
    let revoked = ledger.entries.iter().filter(|entry| entry.state == State::Revoked).count();
    eprintln!(
        "{kills} kills, {} exchanges and {revoked} revocations acknowledged, {} exchanges granted unheard; {:.1} s",
        ledger.entries.len(),
        ledger.unheard,
        took.as_secs_f64()
    );
}

/// Ends the workers however the checks end.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Trial {
    fn play(&self, kills: usize) {
        let mut node = self.recipe.start(&self.world);
        std::thread::scope(|scope| {
            let _over = Over(&self.over);
            for worker in 0..WORKERS {
                scope.spawn(move || self.work(AGENTS[worker % AGENTS.len()]));
            }
            let mut checker = Checker::new(self);
            for kill in 0..kills {
                self.wait_for((kill + 1) * OPERATIONS_PER_KILL, &node);
                std::thread::sleep(Duration::from_millis(self.world.random(60)));
                let suspended = kill % 4 == 3 && checker.suspend();
                node.kill();
                let _alone = self.turn.write().unwrap();
                if kill % 5 == 4 {
                    // Again, while it is starting.
                    let mut starting = self.recipe.spawn();
                    std::thread::sleep(Duration::from_millis(self.world.random(200)));
                    starting.kill();
                }
                node = self.recipe.start(&self.world);
                checker.check_new();
                if suspended {
                    checker.still_suspended();
                }
            }
            let _alone = self.turn.write().unwrap();
            node.kill();
            let rows = verify_audit(&self.recipe.database_url).expect("the trail that a dead server left");
            node = self.recipe.start(&self.world);
            checker.check_all();
            let after = verify_audit(&self.recipe.database_url).expect("the trail after the restart");
            assert!(after >= rows, "the trail had {rows} rows and has {after}");
        });
        drop(node);
    }

    fn wait_for(&self, operations: usize, node: &Node) {
        let started = monotonic();
        while self.acknowledged.load(Ordering::Relaxed) < operations {
            let stuck = monotonic().duration_since(started) > Duration::from_secs(30);
            assert!(!stuck, "the server acknowledges nothing; it wrote:\n{}", node.last_words());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Exchanges, and revokes a part of what it got, without end. What breaks with the connection isn't acknowledged.
    fn work(&self, agent: &'static str) {
        let mut connection = Connection::new(self.recipe.address);
        let mut bearer = Bearer::of(ADMINISTRATOR);
        let mut own = Vec::new();
        while !self.over.load(Ordering::Relaxed) {
            let outcome = {
                let _turn = self.turn.read().unwrap();
                match own.pop() {
                    Some(index) if self.world.random(4) == 0 => {
                        self.revoke(agent, index, &mut connection, &mut bearer)
                    }
                    index => {
                        own.extend(index);
                        self.exchange(agent, &mut connection).map(|issued| own.extend(issued))
                    }
                }
            };
            if outcome.is_err() {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// The index of the new entry, if there is one.
    fn exchange(&self, agent: &'static str, connection: &mut Connection) -> io::Result<Option<usize>> {
        let assertion = self.world.assertion(agent);
        let request = match self.world.random(2) {
            0 => self.world.client_credentials(&assertion),
            _ => self.world.exchange(agent, &assertion),
        };
        let answer = connection.ask(&request);
        let mut ledger = self.ledger.lock().unwrap();
        match answer {
            Ok(answer) => Ok(self.enter(&mut ledger, agent, assertion, &answer)),
            Err(error) => {
                ledger.unanswered.push((agent, assertion));
                Err(error)
            }
        }
    }

    fn enter(
        &self,
        ledger: &mut Ledger,
        agent: &'static str,
        assertion: String,
        answer: &Answer,
    ) -> Option<usize> {
        match Issued::read(answer) {
            Some(issued) => {
                ledger.entries.push(Entry { agent, issued, assertion, state: State::Live });
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
                return Some(ledger.entries.len() - 1);
            }
            None if answer.status == 503 => ledger.unanswered.push((agent, assertion)),
            None => ledger.wrong.push(format!("{answer:?}")),
        }
        None
    }

    /// By the administrator, the task or the token; or by the holder.
    fn revoke(
        &self,
        agent: &str,
        index: usize,
        connection: &mut Connection,
        bearer: &mut Bearer,
    ) -> io::Result<()> {
        let issued = {
            let entry = &mut self.ledger.lock().unwrap().entries[index];
            entry.state = State::Unknown;
            entry.issued.clone()
        };
        let request = match self.world.random(3) {
            0 => self.world.revocation(bearer.get(&self.world, connection)?, "task", &issued.task),
            1 => self.world.revocation(bearer.get(&self.world, connection)?, "token", &issued.jti),
            _ => self.world.hand_back(&issued.token, &self.world.assertion(agent)),
        };
        let answer = connection.ask(&request)?;
        let mut ledger = self.ledger.lock().unwrap();
        match answer.status {
            200 | 201 => {
                ledger.entries[index].state = State::Revoked;
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            503 => {}
            _ => ledger.wrong.push(format!("{answer:?}")),
        }
        Ok(())
    }
}

/// Holds a restarted server to the ledger; the workers wait meanwhile.
struct Checker<'a> {
    trial: &'a Trial,
    connection: Connection,
    bearer: Bearer,
    enforcer: Bearer,
    /// How many entries have been checked.
    checked: usize,
}

impl<'a> Checker<'a> {
    fn new(trial: &'a Trial) -> Self {
        let connection = Connection::new(trial.recipe.address);
        let (bearer, enforcer) = (Bearer::of(ADMINISTRATOR), Bearer::of(ENFORCER));
        Self { trial, connection, bearer, enforcer, checked: 0 }
    }

    fn ask(&mut self, request: &[u8]) -> Answer {
        // The connection of the killed process breaks at its first use.
        self.connection.ask(request).or_else(|_| self.connection.ask(request)).unwrap()
    }

    /// Suspends an agent; whether that was acknowledged. The kill follows at once.
    fn suspend(&mut self) -> bool {
        self.connection = Connection::new(self.trial.recipe.address);
        let world = &self.trial.world;
        let bearer = self.bearer.get(world, &mut self.connection).unwrap();
        let request = world.revocation(bearer, "agent", SUSPECT);
        let answer = self.ask(&request);
        assert_eq!(answer.status, 201, "{answer:?}");
        true
    }

    fn still_suspended(&mut self) {
        let world = &self.trial.world;
        let answer = self.ask(&world.client_credentials(&world.assertion(SUSPECT)));
        assert_eq!(
            answer.text("rule"),
            "client_suspended",
            "after an acknowledged suspension and a kill: {answer:?}"
        );
        let bearer = self.bearer.get(world, &mut self.connection).unwrap();
        let request = world.reinstatement(bearer, SUSPECT);
        let answer = self.ask(&request);
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// What was entered since the last check.
    fn check_new(&mut self) {
        self.connection = Connection::new(self.trial.recipe.address);
        let trial = self.trial;
        let mut ledger = trial.ledger.lock().unwrap();
        assert!(ledger.wrong.is_empty(), "{:?}", ledger.wrong);
        for entry in &ledger.entries[self.checked..] {
            self.check(entry);
            self.refuse_replay(&entry.assertion);
        }
        self.checked = ledger.entries.len();
        self.settle(&mut ledger);
    }

    /// Everything, and the books: nothing acknowledged is without a record, and nothing is recorded twice.
    fn check_all(&mut self) {
        self.check_new();
        let trial = self.trial;
        let ledger = trial.ledger.lock().unwrap();
        let listed = self.listed();
        for entry in &ledger.entries {
            self.check(entry);
            self.refuse_replay(&entry.assertion);
            let known =
                listed[entry.agent].contains(&entry.issued.jti) || trial.world.now() >= entry.issued.exp;
            assert!(known, "{} has no record", entry.issued.jti);
        }
        let rows = audit_rows(&trial.recipe.database_url);
        let of_agent =
            |row: &&Value| row["event"] == "token" && AGENTS.iter().any(|agent| row["client_id"] == *agent);
        let granted: Vec<_> = rows.iter().filter(of_agent).filter(|row| row["granted"] == true).collect();
        let ids: HashSet<_> = granted.iter().filter_map(|row| row["jti"].as_str()).collect();
        assert_eq!(ids.len(), granted.len(), "a token stands twice in the audit trail");
        for entry in &ledger.entries {
            assert!(ids.contains(entry.issued.jti.as_str()), "{} isn't in the audit trail", entry.issued.jti);
        }
        assert_eq!(
            granted.len(),
            ledger.entries.len() + ledger.unheard,
            "granted in the trail, and by the answers"
        );
    }

    fn check(&mut self, entry: &Entry) {
        let world = &self.trial.world;
        let bearer = self.enforcer.get(world, &mut self.connection).unwrap();
        let request = world.introspection(&entry.issued.token, Some(bearer), None);
        let answer = self.ask(&request);
        let active = answer.body["active"].as_bool().unwrap_or_else(|| panic!("{answer:?}"));
        match entry.state {
            State::Live if world.now() < entry.issued.exp => {
                assert!(active, "{} was acknowledged and is dead", entry.issued.jti)
            }
            State::Revoked => assert!(!active, "{} was revoked and lives", entry.issued.jti),
            State::Live | State::Unknown => {}
        }
    }

    fn refuse_replay(&mut self, assertion: &str) {
        let world = &self.trial.world;
        let answer = self.ask(&world.client_credentials(assertion));
        // After 290 s it has expired, which is as good.
        let refused = answer.is_replay() || answer.text("rule") == "client_assertion_expired";
        assert!(refused, "an assertion was taken twice: {answer:?}");
    }

    /// What was sent and never answered is sent again: it was spent, and then its exchange is in the trail; or it wasn't,
    /// and then it works now.
    fn settle(&mut self, ledger: &mut Ledger) {
        let world = &self.trial.world;
        for (agent, assertion) in std::mem::take(&mut ledger.unanswered) {
            let answer = self.ask(&world.client_credentials(&assertion));
            if answer.is_replay() {
                ledger.unheard += 1;
            } else {
                self.trial.enter(ledger, agent, assertion, &answer);
            }
        }
    }

    fn listed(&mut self) -> HashMap<&'static str, HashSet<String>> {
        let mut listed = HashMap::new();
        for agent in AGENTS {
            let world = &self.trial.world;
            let bearer = self.bearer.get(world, &mut self.connection).unwrap();
            let request = world.admin(&format!("/tokens?agent={agent}"), bearer, None);
            let answer = self.ask(&request);
            let tokens = answer.body["tokens"].as_array().unwrap_or_else(|| panic!("{answer:?}"));
            assert!(tokens.len() < 1000, "the list is cut: fewer exchanges, or more agents");
            let ids = tokens.iter().filter_map(|token| token["jti"].as_str()).map(str::to_owned).collect();
            listed.insert(agent, ids);
        }
        listed
    }
}
