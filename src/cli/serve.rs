//! `taskpass serve`: the authorization server.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use super::error::CliError;
use super::registry_file;
use crate::app::App;
use crate::config::ServeArgs;
use crate::domain::registry::Document;
use crate::telemetry::Telemetry;
use crate::time::Clock;

/// Run the authorization server.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  taskpass serve
  taskpass serve --registry registry.yaml --listen 127.0.0.1:8080
  taskpass serve --registry registry.yaml --dev
  TASKPASS_DATABASE_URL=postgres://db/taskpass taskpass serve --public-url https://id.example.com --listen 0.0.0.0:8080")]
pub struct Args {
    #[command(flatten)]
    serve: ServeArgs,
}

/// Each enforcer holds a connection or two: as many as the system lets this process have.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
}

/// Serves until SIGTERM or SIGINT, then lets requests under way end.
pub async fn run(args: Args) -> Result<(), CliError> {
    let usage = |error: &dyn std::fmt::Display| CliError::new(error.to_string()).exit_code(CliError::USAGE);
    let config = args.serve.complete().map_err(|error| usage(&error))?;
    let telemetry =
        Telemetry::start(&config.log, config.otlp_endpoint.as_deref()).map_err(|error| usage(&error))?;
    let registry = match &config.registry {
        None => None,
        Some(path) => {
            let document = registry_file::read_on_server(path)?;
            let at = |error| usage(&format!("{}: {error}", path.display()));
            Some(serde_json::from_value::<Document>(document).map_err(at)?)
        }
    };
    raise_file_limit();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let app = App::start(&config, Clock::System, registry)
        .await
        .map_err(|error| CliError::new(error.to_string()))?;
    if config.dev {
        tracing::warn!("--dev: anybody on this machine can sign in as anybody, without a password");
        eprintln!(
            "\n*** DEVELOPMENT SIGN-IN *** Anybody on this machine can be anybody in the registry's `people`. Never for real data.\n"
        );
    }
    if let Some(token) = &app.bootstrap {
        // To the terminal of whoever started the server, not to the log.
        eprintln!(
            "\nNo administrator yet. Within an hour, become the first:\n  taskpass admin enroll --server {} --bootstrap-token {}\n",
            config.public_url,
            token.expose()
        );
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping: requests under way may end");
    app.stop().await;
    telemetry.stop();
    Ok(())
}
