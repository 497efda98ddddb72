//! `taskpass guard`: the proxy before an MCP server.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::error::CliError;
use super::output;
use crate::config::{GuardArgs, GuardConfig};
use crate::guard::{Guard, PinFile, Running, SHORTEST_HASH};
use crate::telemetry::Telemetry;
use crate::time::Clock;

/// Guard an MCP server that stays as it is: tokens are checked, tools filtered, calls judged, streams cut.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  taskpass guard --issuer https://id.example.com --resource https://tickets.example.com/mcp \\
      --upstream http://127.0.0.1:8000 --credentials tickets-guard.json \\
      --listen 0.0.0.0:8443 --tls-cert cert.pem --tls-key key.pem
  taskpass guard --config guard.toml --dry-run
  taskpass guard pins list
  taskpass guard pins accept search_tickets@5b1d…")]
pub struct Args {
    #[command(flatten)]
    guard: GuardArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Look at pinned tool definitions, and accept changed ones.
    Pins(PinsArgs),
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  taskpass guard pins list\n  taskpass guard pins accept search_tickets@5b1d… --pins /var/lib/taskpass-guard/pins.json"
)]
struct PinsArgs {
    #[command(subcommand)]
    command: PinsCommand,
}

#[derive(Debug, Subcommand)]
enum PinsCommand {
    /// Show every tool that was seen, and what waits for a decision.
    List {
        #[command(flatten)]
        file: PinsPath,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Accept a definition that waits: agents see and call the tool again within a second.
    Accept {
        /// The tools, each with the hash of the definition that you have read, as `pins list` shows them: NAME@HASH.
        #[arg(required = true, value_name = "NAME@HASH", value_parser = parse_read)]
        tools: Vec<(String, String)>,
        #[command(flatten)]
        file: PinsPath,
    },
}

#[derive(Debug, clap::Args)]
struct PinsPath {
    /// The guard's file of pins.
    #[arg(long, env = "TASKPASS_PINS", default_value = "taskpass-guard/pins.json")]
    pins: PathBuf,
}

/// Guards until SIGTERM or SIGINT, then lets requests under way end.
pub async fn run(args: Args) -> Result<(), CliError> {
    match args.command {
        Some(Command::Pins(pins)) => run_pins(pins.command),
        None => guard(args.guard).await,
    }
}

async fn guard(args: GuardArgs) -> Result<(), CliError> {
    let usage = |error: &dyn std::fmt::Display| {
        CliError::new(error.to_string())
            .hint("`taskpass guard --help` shows a whole command line")
            .exit_code(CliError::USAGE)
    };
    let config = args.complete().map_err(|error| usage(&error))?;
    let telemetry = Telemetry::start(&config.log, None).map_err(|error| usage(&error))?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let failed = |error: &dyn std::fmt::Display| CliError::new(error.to_string());
    let guard = Guard::new(&config, Clock::System).map_err(|error| failed(&error))?;
    let enforcer = guard.enforcer().clone();
    let metrics = crate::http::install_metrics();
    let running = Running::start(guard, &config, metrics).await.map_err(|error| failed(&error))?;
    banner(&config, &running);
    let ready = tokio::spawn(async move {
        enforcer.ready().await;
        tracing::info!("the guard knows what is revoked, and decides");
    });
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping: requests under way may end");
    ready.abort();
    running.stop().await;
    telemetry.stop();
    Ok(())
}

/// To whoever started it: what stands where, and what to do next.
fn banner(config: &GuardConfig, running: &Running) {
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let resource = output::printable(&config.resource);
    eprintln!(
        "\ntaskpass guard: {resource}\n  clients   {scheme}://{} (must be reachable as {resource})\n  server    {}\n  issuer    {}\n  local     http://{} (/introspect /v1/authorize /forward-auth /readyz /metrics)\n  evidence  {}",
        running.address,
        config.upstream,
        output::printable(&config.issuer),
        running.local,
        config.data_dir.join("evidence").display(),
    );
    eprintln!(
        "\nNext:\n  curl http://{}/readyz\n  curl -i -X POST {scheme}://{}{}   # 401, and where to get a token",
        running.local,
        running.address,
        path_of(&config.resource)
    );
    if config.dry_run {
        eprintln!(
            "\n  *** DRY RUN: everything is let through, with or without a token. Nothing is protected. ***"
        );
        tracing::warn!("dry run: refusals are recorded and let through; nothing is protected");
    }
    if !config.allow.is_empty() {
        eprintln!("\n  Let through for every token of this resource: {:?}", config.allow);
    }
    eprintln!();
}

fn path_of(resource: &str) -> String {
    url::Url::parse(resource).map(|url| url.path().to_owned()).unwrap_or_default()
}

fn run_pins(command: PinsCommand) -> Result<(), CliError> {
    match command {
        PinsCommand::List { file, json } => {
            let pins = PinFile::read(&file.pins).map_err(|error| at(&file.pins, &error))?;
            if json {
                output::json(&json!(pins));
                return Ok(());
            }
            let mut rows = vec![["TOOL", "STATE", "DESCRIPTION THAT WAITS"].map(str::to_owned).to_vec()];
            for (tool, pin) in &pins.tools {
                let state = match (&pin.accepted, &pin.quarantined) {
                    (_, None) => "accepted",
                    (Some(_), Some(_)) => "changed",
                    (None, Some(_)) => "new",
                };
                let waits =
                    pin.definition.as_ref().map(|definition| output::cell(&definition["description"]));
                // As `accept` takes it: what it names is what is shown here, whatever the server shows meanwhile.
                let hash = pin.quarantined.as_deref().and_then(|hash| hash.get(..SHORTEST_HASH));
                let tool = hash.map_or_else(|| tool.clone(), |hash| format!("{tool}@{hash}"));
                rows.push(vec![tool, state.to_owned(), waits.unwrap_or_default()]);
            }
            output::columns(&rows).iter().for_each(output::line);
            Ok(())
        }
        PinsCommand::Accept { tools, file } => {
            let accept = |pins: &mut PinFile| {
                let accepted = tools.iter().map(|(tool, read)| (tool, pins.accept(tool, read)));
                accepted.collect::<Vec<_>>()
            };
            let (_, outcomes) =
                PinFile::change(&file.pins, accept).map_err(|error| at(&file.pins, &error))?;
            let mut refused = Vec::new();
            for (tool, outcome) in outcomes {
                match outcome {
                    Ok(()) => output::line(format!("accepted: {tool}")),
                    Err(why) => refused.push(format!("{tool}: {why}")),
                }
            }
            if refused.is_empty() {
                return Ok(());
            }
            Err(CliError::new(refused.join("; "))
                .hint("`taskpass guard pins list` shows what waits, and its hash"))
        }
    }
}

fn parse_read(text: &str) -> Result<(String, String), String> {
    let read = text.rsplit_once('@').filter(|(tool, hash)| !tool.is_empty() && !hash.is_empty());
    let (tool, hash) = read.ok_or("it is NAME@HASH, as `taskpass guard pins list` shows it")?;
    Ok((tool.to_owned(), hash.to_ascii_lowercase()))
}

fn at(path: &std::path::Path, error: &dyn std::fmt::Display) -> CliError {
    CliError::new(format!("{}: {error}", path.display())).hint("--pins names the guard's file")
}
