//! The commands, one file each. A command is `Args` (its `--help`) and `run`.

pub mod admin;
pub mod admin_api;
pub mod apply;
pub mod audit;
pub mod bench;
pub mod demo;
pub mod enforcers;
pub mod error;
pub mod explain;
pub mod guard;
pub mod identity_args;
pub mod keys;
pub mod output;
pub mod receipt;
pub mod registry_file;
pub mod reinstate;
pub mod restored;
pub mod revoke;
pub mod run;
pub mod serve;
pub mod task_args;
pub mod token;
pub mod tokens;

mod agent_error;
mod cutoff_scope;
mod moment;

#[cfg(test)]
mod fake_server;

use clap::{Parser, Subcommand};

use error::CliError;

/// Per-task tokens for AI agents: minted short, bound to one audience, taken back everywhere.
#[derive(Debug, Parser)]
#[command(
    name = "taskpass",
    version,
    after_help = "Start here:\n  taskpass demo\n  taskpass serve --registry registry.yaml
  taskpass guard --help"
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the authorization server.
    Serve(Box<serve::Args>),
    /// Guard an MCP server that stays as it is.
    Guard(Box<guard::Args>),
    /// Play the whole story on this machine, for real, and tell it.
    Demo(demo::Args),
    /// Apply a registry file: agents, resources, consents, policies.
    Apply(apply::Args),
    /// Take something back: an agent, a person, a task, a token, a resource, a tool, a key.
    Revoke(revoke::Args),
    /// Lift what a revocation switched off.
    Reinstate(reinstate::Args),
    /// List every enforcer, and how far each has come.
    Enforcers(enforcers::Args),
    /// Verify the signed receipt of a revocation.
    Receipt(receipt::Args),
    /// Say that the database was put back from an older copy.
    Restored(restored::Args),
    /// Say what a token request would come to, rule by rule.
    Explain(explain::Args),
    /// Get a token for a task.
    Token(token::Args),
    /// List what tokens an agent holds.
    Tokens(tokens::Args),
    /// Run a command with a fresh token for as long as it runs.
    Run(run::Args),
    /// List or rotate signing keys.
    Keys(keys::Args),
    /// Become the first administrator.
    Admin(admin::Args),
    /// Verify or export the audit trail.
    Audit(audit::Args),
    /// Measure exchanges, introspections or revocations over real HTTP.
    Bench(bench::Args),
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// What went wrong, what to do about it, and the exit code.
    pub async fn run(self) -> Result<(), CliError> {
        match self.command {
            Command::Serve(args) => Box::pin(serve::run(*args)).await,
            Command::Guard(args) => Box::pin(guard::run(*args)).await,
            Command::Demo(args) => Box::pin(demo::run(args)).await,
            Command::Apply(args) => Box::pin(apply::run(args)).await,
            Command::Revoke(args) => Box::pin(revoke::run(args)).await,
            Command::Reinstate(args) => Box::pin(reinstate::run(args)).await,
            Command::Enforcers(args) => Box::pin(enforcers::run(args)).await,
            Command::Receipt(args) => Box::pin(receipt::run(args)).await,
            Command::Restored(args) => Box::pin(restored::run(args)).await,
            Command::Explain(args) => Box::pin(explain::run(args)).await,
            Command::Token(args) => Box::pin(token::run(args)).await,
            Command::Tokens(args) => Box::pin(tokens::run(args)).await,
            Command::Run(args) => Box::pin(run::run(args)).await,
            Command::Keys(args) => Box::pin(keys::run(args)).await,
            Command::Admin(args) => Box::pin(admin::run(args)).await,
            Command::Audit(args) => Box::pin(audit::run(args)).await,
            Command::Bench(args) => Box::pin(bench::run(args)).await,
        }
    }
}
