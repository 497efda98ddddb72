//! `taskpass bench revocation`: how long after its acknowledgement a revocation is applied at every enforcer.
//!
//! The enforcers are the library's own, each with its own client, stream, lease and view, all in this process; so their
//! work shares the machine with the server's, which in production it doesn't.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::value_parser;
use futures_util::future::join_all;
use hdrhistogram::Histogram;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::proc::Memory;
use super::server::{Server, Start};
use super::world::World;
use crate::cli::error::CliError;
use crate::cli::output;
use crate::enforcer::{Config, Enforcer, Following};
use crate::secret::Secret;
use crate::time::monotonic;

/// How long every enforcer may take to be connected, and to apply one revocation.
const PATIENCE: Duration = Duration::from_mins(2);

/// The longest latency that is told apart, in microseconds.
const HOUR_US: u64 = 3_600_000_000;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How many enforcers follow the log
    #[arg(long, default_value_t = 1000, value_parser = value_parser!(u32).range(1..=50_000))]
    enforcers: u32,
    /// How many revocations are measured
    #[arg(long, default_value_t = 50, value_parser = value_parser!(u32).range(1..=10_000))]
    revocations: u32,
    /// How long to wait between two of them, in milliseconds
    #[arg(long, default_value_t = 200, value_parser = value_parser!(u32).range(0..=60_000))]
    pause_ms: u32,
    /// An empty PostgreSQL database to measure on; without it, SQLite with full durability
    #[arg(long, value_name = "URL", value_parser = super::postgres_url)]
    database_url: Option<Secret>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// The server's program, when it isn't this one
    #[arg(long, value_name = "PATH")]
    server_binary: Option<std::path::PathBuf>,
}

/// The figures of one run; the JSON object has exactly these members.
#[derive(Clone, Debug, Serialize)]
struct Figures {
    enforcers: u32,
    revocations: u32,
    /// From the acknowledgement to the application at an enforcer, over all enforcers and revocations.
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    /// From the order to the acknowledgement.
    acknowledged_p50_ms: f64,
    /// From the order until the server knows that it is in force everywhere, and signs it.
    effective_ms: f64,
    /// Until every enforcer was connected and fresh.
    connected_s: f64,
    server_rss_mib: f64,
    server_peak_rss_mib: f64,
    /// What each enforcer adds to the server's memory.
    server_kib_per_enforcer: f64,
    database: &'static str,
    durable: bool,
}

/// When an enforcer had applied which entry.
type Applied = (u64, Instant);

/// Starts everything, measures, prints.
pub(super) async fn run(args: &Args) -> Result<(), CliError> {
    let idle = idle_connections(args.enforcers)?;
    crate::tls::install_provider();
    let world = World::new(false)?;
    let start = Start {
        binary: args.server_binary.as_deref(),
        parent: None,
        database_url: args.database_url.as_ref(),
    };
    let server = Server::start(&start, &world).await?;
    let administrator = Administrator::new(&world, &server).await?;
    let (sender, mut applied) = mpsc::unbounded_channel();
    let began = monotonic();
    let fleet = Fleet::connect((&world, &server), (args.enforcers, idle), &sender).await?;
    let connected = monotonic().duration_since(began);
    // Let the connecting fade away.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut latencies =
        Histogram::<u64>::new_with_bounds(1, HOUR_US, 3).map_err(|error| CliError::new(error.to_string()))?;
    let mut acknowledged = latencies.clone();
    for number in 0..args.revocations {
        let ordered = monotonic();
        let seq = administrator.revoke(number, false).await?;
        let at = monotonic();
        record(&mut acknowledged, at.duration_since(ordered));
        for _ in 0..args.enforcers {
            let next = tokio::time::timeout(PATIENCE, next_of(&mut applied, seq)).await;
            let moment =
                next.map_err(|_| CliError::new(format!("entry {seq} didn't reach every enforcer")))??;
            // Some have it before the administrator has his answer.
            record(&mut latencies, moment.saturating_duration_since(at));
        }
        tokio::time::sleep(Duration::from_millis(args.pause_ms.into())).await;
    }
    let ordered = monotonic();
    administrator.revoke(args.revocations, true).await?;
    let effective = monotonic().duration_since(ordered);
    let now = server.memory_mib(Memory::Now)?;
    let figures = Figures {
        enforcers: args.enforcers,
        revocations: args.revocations,
        p50_ms: milliseconds(&latencies, 0.5),
        p99_ms: milliseconds(&latencies, 0.99),
        max_ms: milliseconds(&latencies, 1.0),
        acknowledged_p50_ms: milliseconds(&acknowledged, 0.5),
        effective_ms: rounded(effective.as_secs_f64() * 1000.0),
        connected_s: rounded(connected.as_secs_f64()),
        server_rss_mib: rounded(now),
        server_peak_rss_mib: rounded(server.memory_mib(Memory::Peak)?),
        server_kib_per_enforcer: rounded((now - server.idle_mib) * 1024.0 / f64::from(args.enforcers)),
        database: server.database,
        durable: server.durable,
    };
    if args.json {
        output::json(&figures);
    } else {
        table(&figures).into_iter().for_each(output::line);
    }
    drop(fleet);
    server.stop().await
}

async fn next_of(applied: &mut mpsc::UnboundedReceiver<Applied>, wanted: u64) -> Result<Instant, CliError> {
    loop {
        match applied.recv().await {
            Some((seq, at)) if seq == wanted => return Ok(at),
            Some((seq, _)) if seq > wanted => return Err(CliError::new("an enforcer skipped an entry")),
            Some(_) => {}
            None => return Err(CliError::new("the enforcers have stopped")),
        }
    }
}

fn record(histogram: &mut Histogram<u64>, took: Duration) {
    histogram.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of a benchmark")]
fn milliseconds(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    rounded(histogram.value_at_quantile(quantile) as f64 / 1000.0)
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// How many idle connections an enforcer keeps beside its stream: one for its leases, which the server sees too, or none
/// where the limit of open files leaves no room for so many.
fn idle_connections(enforcers: u32) -> Result<usize, CliError> {
    let (streams, spare) = (u64::from(enforcers), 1000);
    let limit = getrlimit(Resource::Nofile);
    let wanted = streams * 2 + spare;
    let maximum = limit.maximum.map(|maximum| maximum.max(wanted));
    let enough = limit.current.is_none_or(|current| current >= wanted);
    if enough || setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_ok() {
        return Ok(1);
    }
    if limit.current.is_some_and(|current| current >= streams + 4 * spare) {
        eprintln!("the limit of open files is low: enforcers close their lease connections after each use");
        return Ok(0);
    }
    Err(CliError::new(format!("{enforcers} enforcers need {wanted} open files, and the limit is lower"))
        .hint(format!("ulimit -n {wanted}")))
}

/// The enforcers, connected and fresh.
struct Fleet {
    following: Vec<Following>,
    watchers: Vec<tokio::task::AbortHandle>,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.following.clear();
        self.watchers.iter().for_each(tokio::task::AbortHandle::abort);
    }
}

impl Fleet {
    async fn connect(
        (world, server): (&World, &Server),
        (count, idle): (u32, usize),
        sender: &mpsc::UnboundedSender<Applied>,
    ) -> Result<Self, CliError> {
        /// How many connect at the same time; a fleet that restarts does so by itself, by its own back-off.
        const AT_ONCE: usize = 64;
        let mut fleet = Self { following: Vec::new(), watchers: Vec::new() };
        let mut waiting: Vec<Arc<Enforcer>> = Vec::new();
        for number in 0..count {
            let enforcer = enforcer(world, server, idle)?;
            fleet.following.push(enforcer.start());
            let (mut news, sender) = (enforcer.news(), sender.clone());
            let watch = async move {
                while news.changed().await.is_ok() {
                    let seq = news.borrow_and_update().seq;
                    if sender.send((seq, monotonic())).is_err() {
                        return;
                    }
                }
            };
            fleet.watchers.push(tokio::spawn(watch).abort_handle());
            waiting.push(enforcer);
            if waiting.len() == AT_ONCE || number + 1 == count {
                let ready = join_all(waiting.iter().map(|enforcer| enforcer.ready()));
                let ready = tokio::time::timeout(PATIENCE, ready).await;
                ready.map_err(|_| CliError::new("the enforcers couldn't connect"))?;
                waiting.clear();
            }
        }
        Ok(fleet)
    }
}

/// An enforcer with a client of its own, as if it were alone in its process.
fn enforcer(world: &World, server: &Server, idle: usize) -> Result<Arc<Enforcer>, CliError> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .pool_max_idle_per_host(idle)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(30))
        .build()?;
    let config = Config::new(&server.issuer, world.resource()).client(client);
    let config = config.follow(world.enforcer_credentials(&server.issuer));
    Enforcer::new(config).map_err(|error| CliError::new(error.to_string()))
}

/// Revokes tokens that nobody has, so that nothing but the log changes.
struct Administrator {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Administrator {
    async fn new(world: &World, server: &Server) -> Result<Self, CliError> {
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build()?;
        let form = world.administrator_form(&server.issuer)?;
        let request = http.post(format!("{}/oauth/token", server.issuer)).body(form);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let answer: Value = request.send().await?.error_for_status()?.json().await?;
        let token = answer["access_token"].as_str().unwrap_or_default().to_owned();
        Ok(Self { http, url: format!("{}/admin/v1/revocations", server.issuer), token })
    }

    /// The number of the entry.
    async fn revoke(&self, number: u32, wait: bool) -> Result<u64, CliError> {
        let body =
            json!({ "scope_kind": "task", "scope_id": format!("tsk_bench_{number}"), "reason": "bench" });
        let url = if wait { format!("{}?wait=effective", self.url) } else { self.url.clone() };
        let request = self.http.post(url).bearer_auth(&self.token).json(&body);
        let answer: Value = request.send().await?.error_for_status()?.json().await?;
        answer["seq"].as_u64().ok_or_else(|| CliError::new("the server named no entry"))
    }
}

fn table(figures: &Figures) -> Vec<String> {
    let large = figures.enforcers > 1000;
    let (p99, max) = if large { (1000.0, f64::INFINITY) } else { (100.0, 500.0) };
    let verdict = |met: bool| if met { "met" } else { "MISSED" };
    let row = |label: &str, value: String, target: String| vec![label.to_owned(), value, target];
    let ms = |value: f64| format!("{value:.2} ms");
    let mut rows = vec![
        row("enforcers", figures.enforcers.to_string(), String::new()),
        row("acknowledgement → applied, p50", ms(figures.p50_ms), String::new()),
        row("p99", ms(figures.p99_ms), format!("≤ {p99} ms: {}", verdict(figures.p99_ms <= p99))),
    ];
    let bound = if max.is_finite() {
        format!("≤ {max} ms: {}", verdict(figures.max_ms <= max))
    } else {
        String::new()
    };
    rows.push(row("max", ms(figures.max_ms), bound));
    rows.push(row("order → acknowledgement, p50", ms(figures.acknowledged_p50_ms), String::new()));
    rows.push(row("order → known to be in force everywhere", ms(figures.effective_ms), String::new()));
    rows.push(row("all connected after", format!("{:.2} s", figures.connected_s), String::new()));
    let memory = figures.server_rss_mib;
    let target = if large { format!("≤ 500 MiB: {}", verdict(memory <= 500.0)) } else { String::new() };
    rows.push(row("server memory", format!("{memory:.1} MiB"), target));
    rows.push(row(
        "of it per enforcer",
        format!("{:.1} KiB", figures.server_kib_per_enforcer),
        String::new(),
    ));
    rows.push(row("database", figures.database.to_owned(), String::new()));
    output::columns(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_the_targets_and_whether_they_are_met() {
        let figures = Figures {
            enforcers: 1000,
            revocations: 5,
            p50_ms: 4.0,
            p99_ms: 140.0,
            max_ms: 150.0,
            acknowledged_p50_ms: 2.0,
            effective_ms: 90.0,
            connected_s: 1.0,
            server_rss_mib: 60.0,
            server_peak_rss_mib: 60.0,
            server_kib_per_enforcer: 30.0,
            database: "sqlite",
            durable: true,
        };
        let text = table(&figures).join("\n");
        assert!(text.contains("≤ 100 ms: MISSED") && text.contains("≤ 500 ms: met"), "{text}");
    }
}
