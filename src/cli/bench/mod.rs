//! `taskpass bench`: starts a server, drives it over real HTTP, and says how fast it is, how much memory it takes, and
//! how much of its processor time is signatures that the operation can't avoid.
//!
//! The generator runs in this process, on one thread, and shares the machine with the server: what it takes is taken
//! from the server's figures. Requests are signed before the clock starts.

mod exchange;
mod guard;
mod introspect;
mod load;
mod proc;
mod process;
mod report;
mod revocation;
mod server;
mod upstream;
mod verify;
mod world;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::value_parser;

use self::load::{Load, Measurement};
use self::report::Report;
use self::server::{Server, Start};
use self::world::World;
use crate::cli::error::CliError;
use crate::cli::output;
use crate::secret::Secret;

/// Measure a server of its own on this machine.
///
/// Starts a server in a temporary folder, drives it over HTTP with ES256 everywhere and a durable audit row for each
/// decision, prints what it measured, and removes everything. Any request that fails makes the command fail. Linux only.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  taskpass bench exchange
  taskpass bench exchange --requests 50000 --json
  taskpass bench exchange --database-url postgres://localhost/bench
  taskpass bench introspect --connections 16 --seconds 30
  taskpass bench introspect --live-tokens 100000
  taskpass bench revocation --enforcers 1000
  taskpass bench guard --rate 1000")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Token exchange: each request proves the agent anew, brings its own ID token and opens its own task.
    #[command(after_help = "Examples:
  taskpass bench exchange
  taskpass bench exchange --details --seconds 30
  taskpass bench exchange --requests 50000 --json | jq .per_second
  taskpass bench exchange --database-url postgres://localhost/bench")]
    Exchange(Options),
    /// Introspection of tokens picked at random, by an enforcer with a bearer token.
    #[command(after_help = "Examples:
  taskpass bench introspect
  taskpass bench introspect --connections 16 --seconds 30 --json
  taskpass bench introspect --live-tokens 100000")]
    Introspect(introspect::Args),
    /// Revocation: from the acknowledgement until every one of many enforcers has applied it.
    #[command(after_help = "Examples:
  taskpass bench revocation --enforcers 1000
  taskpass bench revocation --enforcers 10000 --revocations 20 --pause-ms 2000 --json")]
    Revocation(revocation::Args),
    /// What the guard adds to a call of a tool, against the bare server in the same run; and its verifier alone.
    ///
    /// Calls are sent at a fixed rate, in alternation through the guard and to the server itself.
    #[command(after_help = "Examples:
  taskpass bench guard
  taskpass bench guard --rate 2000 --duration 30
  taskpass bench guard --json | jq '.added_p50_us, .verify_hit_us'")]
    Guard(guard::Args),
}

#[derive(Debug, clap::Args)]
struct Options {
    /// Connections kept open, each with one request under way
    #[arg(long, default_value_t = 64, value_parser = value_parser!(u16).range(1..=1024))]
    connections: u16,
    /// How long to measure
    #[arg(long, default_value_t = 10, value_parser = value_parser!(u16).range(1..=120))]
    seconds: u16,
    /// Measure this many requests instead, however long they take
    #[arg(long, conflicts_with = "seconds", value_parser = value_parser!(u32).range(1..=1_000_000))]
    requests: Option<u32>,
    /// How long to drive the server before measuring, in seconds
    #[arg(long, default_value_t = 2, value_parser = value_parser!(u16).range(0..=60))]
    warmup: u16,
    /// Let the tokens carry `authorization_details` too, not only a scope
    #[arg(long)]
    details: bool,
    /// An empty PostgreSQL database to measure on, which keeps what was written; without it, SQLite with full durability
    #[arg(long, value_name = "URL", value_parser = postgres_url)]
    database_url: Option<Secret>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// The server's program, when it isn't this one
    #[arg(long, value_name = "PATH")]
    server_binary: Option<PathBuf>,
    /// Where to make the temporary folder; SQLite's durability costs nothing where that is in memory
    #[arg(long, value_name = "FOLDER")]
    directory: Option<PathBuf>,
}

impl Options {
    fn connections(&self) -> usize {
        usize::from(self.connections)
    }

    fn seconds(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }

    fn warmup(&self) -> Duration {
        Duration::from_secs(self.warmup.into())
    }

    /// The measured load's time, unless the number of its requests was given.
    fn duration(&self) -> Option<Duration> {
        self.requests.is_none().then(|| self.seconds())
    }
}

fn postgres_url(text: &str) -> Result<Secret, String> {
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return Ok(Secret::new(text.to_owned()));
    }
    Err("expected postgres://…; SQLite is what is measured without this option".to_owned())
}

/// Runs the measurement and prints its report.
///
/// # Errors
/// When the server doesn't start or stop well, or any request fails.
pub async fn run(args: Args) -> Result<(), CliError> {
    let measure = async {
        match &args.what {
            What::Exchange(options) => {
                measure(options, async |world, server| exchange::run(world, server, options).await).await
            }
            What::Introspect(args) => {
                measure(&args.options, async |world, server| introspect::run(world, server, args).await).await
            }
            What::Revocation(args) => revocation::run(args).await,
            What::Guard(args) => guard::run(args).await,
        }
    };
    tokio::select! {
        outcome = measure => outcome,
        // Children are killed and their folder removed as the other future is dropped.
        _ = tokio::signal::ctrl_c() => Err(CliError::new("interrupted").exit_code(130)),
    }
}

async fn measure(
    options: &Options,
    run: impl AsyncFnOnce(&Arc<World>, &Server) -> Result<Report, CliError>,
) -> Result<(), CliError> {
    let world = Arc::new(World::new(options.details)?);
    let start = Start {
        binary: options.server_binary.as_deref(),
        parent: options.directory.as_deref(),
        database_url: options.database_url.as_ref(),
    };
    let server = Server::start(&start, &world).await?;
    let report = run(&world, &server).await?;
    if options.json {
        output::json(&report.figures);
    } else {
        print!("{report}");
    }
    server.stop().await?;
    report.verdict()
}

/// A load, and the processor time that the server spent meanwhile.
#[derive(Debug)]
struct Sample {
    measurement: Measurement,
    server_time: Duration,
}

async fn sample(server: &Server, load: Load) -> Result<Sample, CliError> {
    let before = server.processor_time()?;
    let measurement = load::drive(load).await?;
    let server_time = server.processor_time()?.saturating_sub(before);
    Ok(Sample { measurement, server_time })
}

/// Runs what keeps a processor busy outside the runtime's own threads.
async fn busy<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CliError> + Send + 'static,
) -> Result<T, CliError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| CliError::new(error.to_string()))?
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
