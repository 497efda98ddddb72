//! Eight processes on one PostgreSQL.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use taskpass::time::monotonic;

use crate::database::Postgres;
use crate::node::{Node, Recipe, audit_rows, free_addresses, verify_audit, write_registry};
use crate::wire::{Answer, Connection};
use crate::world::{ADMINISTRATOR, AGENTS, Bearer, ENFORCER, Issued, SUSPECT, World};

const NODES: usize = 8;
/// Rounds under way at the same time.
const RACERS: usize = 6;
const MINTERS: usize = 4;
/// How long anything may take that should happen at once.
const PATIENCE: Duration = Duration::from_secs(20);

/// Eight nodes, and their database.
struct Cluster {
    world: World,
    nodes: Vec<Node>,
    database: Postgres,
    _folder: tempfile::TempDir,
}

impl Cluster {
    /// Starts all nodes at the same moment on an empty database, as a deployment does.
    fn start(test: &str) -> Option<Self> {
        let database = Postgres::create(test)?;
        let folder = tempfile::tempdir().unwrap();
        let random = || u64::from_le_bytes(taskpass::entropy::Entropy::default().bytes());
        let addresses = free_addresses(NODES, random);
        // One issuer, whichever node answers: they stand behind one name.
        let world = World::new(format!("http://{}", addresses[0]));
        write_registry(folder.path(), &world);
        let start = |address: &std::net::SocketAddr| {
            let (issuer, database_url) = (world.issuer.clone(), database.url.clone());
            Recipe { address: *address, issuer, database_url, folder: folder.path().to_owned() }.spawn()
        };
        let mut nodes: Vec<_> = addresses.iter().map(start).collect();
        nodes.iter_mut().for_each(|node| node.wait_until_ready(&world));
        Some(Self { world, nodes, database, _folder: folder })
    }

    fn connections(&self) -> Vec<Connection> {
        self.nodes.iter().map(|node| Connection::new(node.address)).collect()
    }

    fn last_words(&self) -> String {
        self.nodes
            .iter()
            .map(Node::last_words)
            .filter(|words| !words.is_empty())
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// Sends all requests, and only then reads the answers; the order of the connections turns with `turn`.
fn all_at_once(connections: &mut [Connection], requests: &[Vec<u8>], turn: usize) -> Vec<Answer> {
    let order: Vec<_> = (0..connections.len()).map(|index| (index + turn) % connections.len()).collect();
    for index in &order {
        connections[*index].send(&requests[*index]).unwrap();
    }
    connections.iter_mut().map(|connection| connection.receive().unwrap()).collect()
}

// --- One assertion, eight nodes -----------------------------------------------------------------------------

/// The requests of one round: one assertion, eight ways to spend it.
fn round(world: &World, number: usize) -> Vec<Vec<u8>> {
    let agent = AGENTS[number % AGENTS.len()];
    let shape = number / AGENTS.len() % 4;
    let assertion = world.assertion(if shape == 2 { ENFORCER } else { agent });
    let request = |node: usize| match (shape, node % 2) {
        (0, _) | (3, 0) => world.client_credentials(&assertion),
        (1, _) => world.exchange(agent, &assertion),
        // What one endpoint has taken, no other takes.
        (2, 0) => world.own_token(ENFORCER, &assertion),
        (2, _) => world.introspection("unknown", None, Some(&assertion)),
        _ => world.hand_back("unknown", &assertion),
    };
    (0..NODES).map(request).collect()
}

#[test]
fn one_winner_among_eight_nodes() {
    let Some(cluster) = Cluster::start("races") else { return };
    let rounds = crate::rounds("TASKPASS_TEST_REDEEM_ROUNDS", 200);
    let (next, started) = (AtomicUsize::new(0), monotonic());
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..RACERS {
            scope.spawn(|| race(&cluster, rounds, &next, &wrong));
        }
        // The trail is whole at every moment, also while eight nodes write it.
        while next.load(Ordering::Relaxed) < rounds && wrong.lock().unwrap().is_empty() {
            if let Err(said) = verify_audit(&cluster.database.url) {
                wrong.lock().unwrap().push(format!("audit verify while rows are written: {said}"));
            }
            std::thread::sleep(Duration::from_secs(5));
        }
    });
    let took = monotonic().duration_since(started);
    let wrong = wrong.into_inner().unwrap();
    assert!(
        wrong.is_empty(),
        "{} rounds went wrong, first: {}\n{}",
        wrong.len(),
        wrong[0],
        cluster.last_words()
    );
    let (granted, replayed) = tally(&audit_rows(&cluster.database.url));
    assert_eq!(
        (granted, replayed),
        (rounds, rounds * (NODES - 1)),
        "audit rows that granted, and that refused a replay"
    );
    verify_audit(&cluster.database.url).unwrap();
    eprintln!("{rounds} rounds, {NODES} nodes, one winner each; {:.1} s", took.as_secs_f64());
}

fn race(cluster: &Cluster, rounds: usize, next: &AtomicUsize, wrong: &Mutex<Vec<String>>) {
    let mut connections = cluster.connections();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= rounds || !wrong.lock().unwrap().is_empty() {
            return;
        }
        let answers = all_at_once(&mut connections, &round(&cluster.world, number), number);
        let winners = answers.iter().filter(|answer| answer.status == 200).count();
        let replays = answers.iter().filter(|answer| answer.is_replay()).count();
        if (winners, replays) != (1, NODES - 1) {
            let shown: Vec<_> =
                answers.iter().map(|answer| (answer.status, answer.text("rule").to_owned())).collect();
            wrong
                .lock()
                .unwrap()
                .push(format!("round {number}: {winners} winners, {replays} replays refused: {shown:?}"));
        }
    }
}

/// How many rows of agents and the enforcer granted something, and how many refused a replay.
fn tally(rows: &[Value]) -> (usize, usize) {
    let of_round = |row: &&Value| row["client_id"] != ADMINISTRATOR && row["event"] != "administration";
    let granted = rows.iter().filter(of_round).filter(|row| row["granted"] == true).count();
    let replayed =
        rows.iter().filter(of_round).filter(|row| row["rule"] == "client_assertion_replayed").count();
    (granted, replayed)
}

// --- Suspensions while others mint --------------------------------------------------------------------------

/// One request for a token for the suspect.
struct Mint {
    sent: Instant,
    answered: Instant,
    node: usize,
    outcome: Result<Issued, String>,
}

/// One suspension: in force from `acknowledged` on, at least until `lifted` was sent.
struct Suspension {
    seq: u64,
    acknowledged: Instant,
    lifted: Instant,
}

struct Trial {
    cluster: Cluster,
    mints: Mutex<Vec<Mint>>,
    over: AtomicBool,
}

/// Ends the minting however the administrator's part ends.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn nothing_minted_after_an_acknowledged_suspension() {
    let Some(cluster) = Cluster::start("suspensions") else { return };
    let rounds = crate::rounds("TASKPASS_TEST_REVOKE_ROUNDS", 20);
    let trial = Trial { cluster, mints: Mutex::default(), over: AtomicBool::new(false) };
    let started = monotonic();
    let suspensions = std::thread::scope(|scope| {
        for minter in 0..MINTERS {
            let trial = &trial;
            scope.spawn(move || trial.mint(minter));
        }
        let _over = Over(&trial.over);
        let mut administrator = Administrator::new(&trial);
        (0..rounds).map(|round| administrator.suspend_and_reinstate(round)).collect::<Vec<_>>()
    });
    let took = monotonic().duration_since(started);
    let Trial { cluster, mints, .. } = trial;
    let mints = mints.into_inner().unwrap();
    let rules = check_mints(&mints, &suspensions);
    let granted = mints.iter().filter(|mint| mint.outcome.is_ok()).count();
    check_trail(&audit_rows(&cluster.database.url), rounds);
    verify_audit(&cluster.database.url).unwrap();
    eprintln!(
        "{rounds} suspensions while {MINTERS} minters had {granted} tokens and {rules:?} refusals; {:.1} s",
        took.as_secs_f64()
    );
}

impl Trial {
    /// Asks for tokens for the suspect without pause, each time at the next node.
    fn mint(&self, minter: usize) {
        let mut connections = self.cluster.connections();
        let mut node = minter * 2;
        while !self.over.load(Ordering::Relaxed) {
            node = (node + 1) % NODES;
            let assertion = self.cluster.world.assertion(SUSPECT);
            let request = self.request(&assertion);
            let sent = monotonic();
            let answer = connections[node].ask(&request).unwrap();
            self.record(sent, node, &answer);
        }
    }

    fn request(&self, assertion: &str) -> Vec<u8> {
        match self.cluster.world.random(2) {
            0 => self.cluster.world.client_credentials(assertion),
            _ => self.cluster.world.exchange(SUSPECT, assertion),
        }
    }

    fn record(&self, sent: Instant, node: usize, answer: &Answer) {
        let outcome = Issued::read(answer).ok_or_else(|| answer.text("rule").to_owned());
        self.mints.lock().unwrap().push(Mint { sent, answered: monotonic(), node, outcome });
    }
}

struct Administrator<'a> {
    trial: &'a Trial,
    connections: Vec<Connection>,
    bearer: Bearer,
    enforcer: Bearer,
    /// How many mints have been looked at.
    seen: usize,
    reinstated: Instant,
}

impl<'a> Administrator<'a> {
    fn new(trial: &'a Trial) -> Self {
        let connections = trial.cluster.connections();
        let (bearer, enforcer) = (Bearer::of(ADMINISTRATOR), Bearer::of(ENFORCER));
        Self { trial, connections, bearer, enforcer, seen: 0, reinstated: monotonic() }
    }

    fn suspend_and_reinstate(&mut self, round: usize) -> Suspension {
        let world = &self.trial.cluster.world;
        let (here, there) = (round % NODES, (round + 3) % NODES);
        let alive = self.wait_for_a_fresh_token();
        assert!(self.is_active(there, &alive.token), "round {round}: a fresh token is inactive");

        let bearer = self.bearer.get(world, &mut self.connections[here]).unwrap().to_owned();
        let answer = self.connections[here].ask(&world.revocation(&bearer, "agent", SUSPECT)).unwrap();
        let acknowledged = monotonic();
        assert_eq!(answer.status, 201, "round {round}: {answer:?}");
        let seq = answer.body["seq"].as_u64().unwrap();

        self.probe(round);
        self.all_dead_everywhere(round, here, seq);

        let lifted = monotonic();
        let answer = self.connections[there].ask(&world.reinstatement(&bearer, SUSPECT)).unwrap();
        assert_eq!(answer.status, 200, "round {round}: {answer:?}");
        self.reinstated = monotonic();
        Suspension { seq, acknowledged, lifted }
    }

    /// The minters are at work again; their newest token.
    fn wait_for_a_fresh_token(&self) -> Issued {
        let started = monotonic();
        loop {
            let mints = self.trial.mints.lock().unwrap();
            let fresh = |mint: &&Mint| mint.sent > self.reinstated && mint.outcome.is_ok();
            if mints.len() > self.seen
                && let Some(mint) = mints[self.seen..].iter().rev().find(fresh)
            {
                return mint.outcome.clone().unwrap();
            }
            drop(mints);
            assert!(
                monotonic().duration_since(started) < PATIENCE && !self.trial.over.load(Ordering::Relaxed),
                "the suspect gets no token although it is reinstated\n{}",
                self.trial.cluster.last_words()
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Directly after the acknowledgement every node is asked, all at once.
    fn probe(&mut self, round: usize) {
        let world = &self.trial.cluster.world;
        let requests: Vec<_> = (0..NODES).map(|_| self.trial.request(&world.assertion(SUSPECT))).collect();
        let sent = monotonic();
        for (node, answer) in all_at_once(&mut self.connections, &requests, round).iter().enumerate() {
            self.trial.record(sent, node, answer);
            assert_ne!(answer.status, 200, "round {round}: node {node} minted after the acknowledgement");
        }
    }

    /// A witness, minted after the suspension for an agent in good standing, says by its `rev` that the suspension was
    /// known. A node that calls it active has applied the suspension, and must call the suspect's tokens dead.
    fn all_dead_everywhere(&mut self, round: usize, here: usize, seq: u64) {
        let world = &self.trial.cluster.world;
        let request = world.client_credentials(&world.assertion(AGENTS[0]));
        let witness = Issued::read(&self.connections[here].ask(&request).unwrap()).unwrap();
        assert!(witness.seq >= seq, "round {round}: the node that cut mints under an older view");
        let dead: Vec<_> = {
            let mints = self.trial.mints.lock().unwrap();
            let new = &mints[self.seen..];
            self.seen = mints.len();
            new.iter().rev().filter_map(|mint| mint.outcome.clone().ok()).take(3).collect()
        };
        for node in 0..NODES {
            assert!(
                self.is_active(node, &witness.token),
                "round {round}: node {node} doesn't know the witness"
            );
            for token in &dead {
                assert!(
                    !self.is_active(node, &token.token),
                    "round {round}: {} lives on node {node}",
                    token.jti
                );
            }
        }
    }

    fn is_active(&mut self, node: usize, token: &str) -> bool {
        let world = &self.trial.cluster.world;
        let bearer = self.enforcer.get(world, &mut self.connections[node]).unwrap();
        let request = world.introspection(token, Some(bearer), None);
        let answer = self.connections[node].ask(&request).unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["active"].as_bool().unwrap()
    }
}

/// Whatever was asked for after an acknowledgement and answered before the reinstatement is refused; a token that came
/// after the reinstatement was minted in knowledge of the suspension. Counts refusals by rule.
fn check_mints(mints: &[Mint], suspensions: &[Suspension]) -> HashMap<String, usize> {
    let mut rules = HashMap::new();
    for mint in mints {
        let before = suspensions.partition_point(|suspension| suspension.acknowledged < mint.sent);
        match (&mint.outcome, before.checked_sub(1).map(|index| &suspensions[index])) {
            (Err(rule), _) => *rules.entry(rule.clone()).or_insert(0) += 1,
            (Ok(token), Some(last)) => assert!(
                mint.answered > last.lifted && token.seq >= last.seq,
                "node {} minted {} (rev {}) after suspension {} was acknowledged",
                mint.node,
                token.jti,
                token.seq,
                last.seq
            ),
            (Ok(_), None) => {}
        }
    }
    let only = ["client_suspended", "revoked_while_deciding"];
    assert!(rules.keys().all(|rule| only.contains(&rule.as_str())), "{rules:?}");
    rules
}

/// The same by the order of the audit trail, which is the order of commits.
fn check_trail(rows: &[Value], rounds: usize) {
    let (mut suspended, mut suspensions) = (false, 0);
    for row in rows {
        match row["event"].as_str().unwrap() {
            "revocation" => {
                suspended = true;
                suspensions += 1;
            }
            "administration" if row["detail"].get("reinstated").is_some() => suspended = false,
            "token" if row["client_id"] == SUSPECT && row["granted"] == true => {
                assert!(!suspended, "audit row {} mints while the agent is suspended", row["seq"]);
            }
            _ => {}
        }
    }
    assert_eq!(suspensions, rounds, "suspensions in the audit trail");
}
