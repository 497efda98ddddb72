//! `taskpass bench guard`: what the guard adds to a call of a tool, against the same server asked directly in the same run;
//! and what its verifier costs alone.
//!
//! Server and guard are processes of their own; the server behind the guard and the load are threads of this one.

use std::fmt;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::value_parser;
use serde::Serialize;
use serde_json::json;

use super::introspect::mint;
use super::load::pace::Pace;
use super::load::{self, Check, Measurement, Request};
use super::proc::Memory;
use super::process::{Process, command, free_address};
use super::report::{self, number, over, rounded};
use super::server::{Server, Start};
use super::upstream::Upstream;
use super::verify::{self, Verified};
use super::world::World;
use crate::cli::error::CliError;
use crate::cli::output;

/// How many tokens call.
const TOKENS: usize = 500;
/// How many connections mint them.
const MINTING: usize = 16;
/// The tool that they call, and the protocol version of the calls.
const TOOL: &str = "search_tickets";
const VERSION: &str = "2026-07-28";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Calls a second through the guard, and as many to the bare server; each is timed from when it was due
    #[arg(long, default_value_t = 1000, value_parser = value_parser!(u32).range(1..=20_000))]
    rate: u32,
    /// How long to measure, in seconds
    #[arg(long, default_value_t = 10, value_parser = value_parser!(u32).range(1..=120))]
    duration: u32,
    /// How long to call before measuring, in seconds
    #[arg(long, default_value_t = 2, value_parser = value_parser!(u32).range(0..=60))]
    warmup: u32,
    /// Connections kept open on each way
    #[arg(long, default_value_t = 16, value_parser = value_parser!(u32).range(1..=256))]
    connections: u32,
    /// Cutoffs in the view under which the verifier alone decides
    #[arg(long, default_value_t = 10_000, value_parser = value_parser!(u32).range(0..=500_000))]
    cutoffs: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// The program of server and guard, when it isn't this one
    #[arg(long, value_name = "PATH")]
    server_binary: Option<PathBuf>,
    /// Where to make the temporary folder, in which the guard keeps its evidence
    #[arg(long, value_name = "FOLDER")]
    directory: Option<PathBuf>,
}

/// Measures the verifier, starts everything, measures the calls, and prints the report.
pub(super) async fn run(args: &Args) -> Result<(), CliError> {
    let world = Arc::new(World::new(true)?);
    let verified = verify::run(&world, args.cutoffs).await?;
    let (binary, parent) = (args.server_binary.as_deref(), args.directory.as_deref());
    let server = Server::start(&Start { binary, parent, database_url: None }, &world).await?;
    let upstream = Upstream::start()?;
    let (guard, guarded) = start_guard(args, &world, &server, upstream.address).await?;
    let tokens = mint(&world, &server, MINTING, TOKENS).await?;
    let requests: Arc<Vec<Request>> = Arc::new(tokens.iter().map(|token| call(token)).collect());
    let pace = |seconds| Pace {
        ways: [upstream.address, guarded],
        connections: args.connections,
        requests: Arc::clone(&requests),
        per_second: args.rate,
        seconds,
        check: is_result,
    };
    for warmed in pace(args.warmup).keep().await? {
        warmed.without_failure("warming up")?;
    }
    let before = guard.processor_time()?;
    let ways = pace(args.duration).keep().await?;
    let guard_time = guard.processor_time()?.saturating_sub(before);
    let figures = Figures::new(args, (&ways, guard_time), verified, guard.memory_mib(Memory::Peak)?);
    if args.json {
        output::json(&figures);
    } else {
        print!("{figures}");
    }
    guard.stop().await?;
    server.stop().await?;
    for way in ways {
        way.without_failure("calling the tool")?;
    }
    Ok(())
}

/// Starts the guard in the server's folder and waits until it decides; and where it listens.
async fn start_guard(
    args: &Args,
    world: &World,
    server: &Server,
    upstream: SocketAddr,
) -> Result<(Process, SocketAddr), CliError> {
    let folder = server.folder();
    let credentials = folder.join("guard.json");
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&credentials)?;
    file.write_all(world.enforcer_file(&server.issuer).as_bytes())?;
    let (listen, local) = (free_address()?, free_address()?);
    let mut command = command(args.server_binary.as_deref())?;
    command.args(["guard", "--issuer", &server.issuer, "--resource", world.resource().as_str()]);
    command.args(["--upstream", &format!("http://{upstream}")]);
    command.args(["--listen", &listen.to_string(), "--local", &local.to_string()]);
    command.arg("--credentials").arg(credentials).arg("--data-dir").arg(folder.join("guard"));
    let mut guard = Process::start("guard", command, folder.join("guard.log"))?;
    guard.wait_until_ready(local).await?;
    Ok((guard, listen))
}

/// A call of the tool (MCP 2026-07-28, Streamable HTTP). The bare server gets the same bytes, and ignores the token.
fn call(token: &str) -> Request {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": VERSION, "io.modelcontextprotocol/clientCapabilities": {},
    });
    let arguments = json!({ "query": "printer", "limit": 20 });
    let params = json!({ "name": TOOL, "arguments": arguments, "_meta": meta });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }).to_string();
    format!(
        "POST /mcp HTTP/1.1\r\nHost: tickets.bench.example\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
         MCP-Protocol-Version: {VERSION}\r\nMcp-Method: tools/call\r\nMcp-Name: {TOOL}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
    .into()
}

fn is_result() -> Check {
    Box::new(|body| if load::contains(body, b"\"result\":{") { Ok(()) } else { Err("is no result") })
}

/// The figures of one run; the JSON object has exactly these members. Latencies and times are in microseconds.
#[derive(Clone, Debug, Serialize)]
struct Figures {
    /// What the guard adds: its percentile less the bare server's.
    added_p50_us: f64,
    added_p99_us: f64,
    /// Processor time of one check of a token that was proven before, and of one that wasn't.
    verify_hit_us: f64,
    verify_miss_us: f64,
    bare_p50_us: f64,
    bare_p99_us: f64,
    guard_p50_us: f64,
    guard_p99_us: f64,
    guard_p999_us: f64,
    /// The guard's processor time a call, with everything it does beside.
    guard_cpu_us: f64,
    /// The most resident memory that the guard ever held, in MiB.
    guard_rss_mib: f64,
    /// Calls a second that were due on each way.
    rate: u32,
    connections: u32,
    cutoffs: u32,
    /// Good answers through the guard, and of the bare server.
    operations: u64,
    bare_operations: u64,
    /// All other answers and broken connections on both ways.
    failures: u64,
}

impl Figures {
    fn new(
        args: &Args,
        ([bare, guarded], guard_time): (&[Measurement; 2], Duration),
        verified: Verified,
        guard_rss_mib: f64,
    ) -> Self {
        let at = |way: &Measurement, quantile| number(way.latencies.value_at_quantile(quantile));
        let added = |quantile| at(guarded, quantile) - at(bare, quantile);
        let microseconds = |time: Duration| rounded(time.as_secs_f64() * 1e6);
        let calls = number(guarded.operations + guarded.failures);
        Self {
            added_p50_us: added(0.5),
            added_p99_us: added(0.99),
            verify_hit_us: microseconds(verified.hit),
            verify_miss_us: microseconds(verified.miss),
            bare_p50_us: at(bare, 0.5),
            bare_p99_us: at(bare, 0.99),
            guard_p50_us: at(guarded, 0.5),
            guard_p99_us: at(guarded, 0.99),
            guard_p999_us: at(guarded, 0.999),
            guard_cpu_us: rounded(over(guard_time.as_secs_f64() * 1e6, calls)),
            guard_rss_mib: rounded(guard_rss_mib),
            rate: args.rate,
            connections: args.connections,
            cutoffs: args.cutoffs,
            operations: guarded.operations,
            bare_operations: bare.operations,
            failures: bare.failures + guarded.failures,
        }
    }

    fn rows(&self) -> Vec<report::Row> {
        let plain = |label, value: f64| (label, format!("{value:.0} µs"), "", None);
        let target =
            |label, value: f64, text, most: f64| (label, format!("{value:.2} µs"), text, Some(value <= most));
        vec![
            plain("bare server p50", self.bare_p50_us),
            plain("bare server p99", self.bare_p99_us),
            plain("through the guard p50", self.guard_p50_us),
            plain("through the guard p99", self.guard_p99_us),
            plain("through the guard p99.9", self.guard_p999_us),
            target("added p50", self.added_p50_us, "≤ 200 µs", 200.0),
            target("added p99", self.added_p99_us, "≤ 1,000 µs", 1000.0),
            plain("guard CPU per call", self.guard_cpu_us),
            target("verifier alone, hit", self.verify_hit_us, "≤ 2 µs", 2.0),
            target("verifier alone, miss", self.verify_miss_us, "≤ 60 µs", 60.0),
        ]
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rate, connections, operations, failures, cutoffs, .. } = self;
        writeln!(f, "guard: {rate} calls/s on each way, {connections} connections, {cutoffs} cutoffs")?;
        writeln!(f, "{operations} calls through the guard, {failures} failures")?;
        report::table(f, &self.rows())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_whole() {
        let request = call("x.y.z");
        let (head, body) = str::from_utf8(&request).unwrap().split_once("\r\n\r\n").unwrap();
        assert!(head.contains("\r\nAuthorization: Bearer x.y.z\r\n"), "{head}");
        assert!(head.ends_with(&format!("\r\nContent-Length: {}", body.len())), "{head}");
        assert!(is_result()(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#).is_ok());
        assert!(is_result()(br#"{"jsonrpc":"2.0","id":1,"error":{}}"#).is_err());
    }
}
