//! `taskpass reinstate`: allow again what a revocation disabled. What was cut stays cut.

use super::admin_api::{AdminApi, Connection};
use super::cutoff_scope::ScopeArgs;
use super::error::CliError;
use super::output;
use super::revoke::way_back;

/// Allow again what a revocation disabled; what was cut stays cut.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "taskpass reinstate <--agent ID | --user SUB | --task ID | … exactly one> [OPTIONS]"
)]
#[command(after_help = "Examples:
  taskpass reinstate --agent triage --reason 'ticket 4711 closed'
  taskpass reinstate --tool 'https://tickets.example.com/mcp#close_ticket'

Agents, clients, users, sessions, consents, resources and tools can be reinstated. Tokens from before the revocation stay dead;
the next exchange gives a new one.")]
pub struct Args {
    #[command(flatten)]
    scope: ScopeArgs,
    /// Why; kept in the audit trail.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Print the server's answer as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Runs `taskpass reinstate`.
pub async fn run(args: Args) -> Result<(), CliError> {
    let (kind, _) = args.scope.wire();
    let after = way_back(kind).map_err(|instead| {
        CliError::new(format!("a {kind} can't be reinstated")).hint(instead).exit_code(CliError::USAGE)
    })?;
    let api = AdminApi::connect(&args.connection, "revoke").await?;
    let answer = api.post("reinstatements", &args.scope.body(args.reason.as_deref())).await;
    let answer = answer.map_err(|error| {
        if error.message.contains("entry_unknown") {
            return error.hint(format!("{} is not switched off by a revocation", args.scope.words()));
        }
        error
    })?;
    if args.json {
        output::json(&answer);
    } else {
        output::line(format!("Reinstated {}: {after}.", args.scope.words()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;
    use crate::cli::fake_server::FakeServer;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    #[tokio::test]
    async fn says_that_there_is_nothing_to_lift() {
        let refusal = json!({"error": "not_found", "error_description": "no", "rule": "entry_unknown"});
        let server = FakeServer::start(move |_| (404, refusal.clone())).await;
        let credentials = server.connection().credentials.unwrap();
        let args = ["x", "--agent", "triage", "--credentials", credentials.to_str().unwrap()];
        let error = run(Cli::parse_from(args).args).await.unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("agent triage is not switched off by a revocation"));
    }

    #[tokio::test]
    async fn asks_for_the_same_scope_and_refuses_what_is_final() {
        let server = FakeServer::start(|_| (200, json!({}))).await;
        let credentials = server.connection().credentials.unwrap();
        let parse =
            |flag, id| Cli::parse_from(["x", flag, id, "--credentials", credentials.to_str().unwrap()]).args;
        run(parse("--agent", "triage")).await.unwrap();
        let body = json!({"scope_kind": "agent", "scope_id": "triage"});
        assert_eq!(server.calls(), [("POST".into(), "/admin/v1/reinstatements".into(), body)]);
        run(parse("--session", "ses_1")).await.unwrap();
        run(parse("--consent", "con_1")).await.unwrap();
        for flag in ["--key", "--tenant", "--task", "--token"] {
            assert_eq!(run(parse(flag, "x")).await.unwrap_err().exit_code, CliError::USAGE, "{flag}");
        }
        assert_eq!(server.calls().len(), 3);
    }
}
