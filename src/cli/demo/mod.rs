//! `taskpass demo`: the whole story on this machine, with nothing faked. A real server in a child process, a real MCP
//! server and client, real JWT-SVIDs; every line that is printed comes from an answer.

mod audit_rows;
mod authority;
mod mcp_client;
mod mcp_server;
mod narrator;
mod registry;
mod server;
mod steps;
mod trust_domain;

use serde_json::json;

use self::narrator::{Failure, Narrator};
use self::steps::{Hand, Running, Stage};
use super::error::CliError;
use super::output;

/// Play a task from its start to its revocation, on this machine
///
/// Starts a server on SQLite in a temporary folder and an MCP server behind the enforcer, and lets an agent, a
/// sub-agent and an administrator do their work. Needs no network and leaves nothing behind.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  taskpass demo\n  taskpass demo --json | jq '.steps[] | {name, ms}'")]
pub struct Args {
    /// Print one JSON object at the end instead of the story
    #[arg(long)]
    json: bool,
    /// Keep the temporary folder (database, registry, server log) and say where it is
    #[arg(long)]
    keep: bool,
}

/// Plays the demo; an error when any step went otherwise than it must.
pub async fn run(args: Args) -> Result<(), CliError> {
    let mut narrator = Narrator::new(args.json);
    narrator.say("An agent works for Alice at an MCP server, for one task, until an administrator stops it.");
    let stage = Stage::set(args.keep).map_err(|failure| CliError::new(failure.to_string()))?;
    let mut running = None;
    let outcome = tokio::select! {
        outcome = play(&mut narrator, &stage, &mut running) => outcome,
        _ = tokio::signal::ctrl_c() => Err(Failure::new("interrupted")),
    };
    if let Some(running) = running {
        running.stop().await?;
    }
    let ok = outcome.is_ok();
    if args.json {
        output::json(&json!({ "ok": ok, "steps": narrator.steps() }));
    } else if ok {
        narrator.say("\nEvery step went as it must.");
    }
    if args.keep {
        // Standard error, so that --json stays one object.
        eprintln!("kept: {}", stage.folder().path().display());
    }
    let hint = "run it again with --keep and read server.log in the folder that it names";
    outcome.map_err(|failure| CliError::new(format!("the demo stopped: {failure}")).hint(hint))
}

async fn play(narrator: &mut Narrator, stage: &Stage, running: &mut Option<Running>) -> Result<(), Failure> {
    narrator.step("start", "The servers start", stage.start(running)).await?;
    let running: &Running = running.as_ref().ok_or_else(|| Failure::new("the server doesn't run"))?;
    let mut hand = None;
    narrator
        .step(
            "exchange",
            "The task starts: the agent exchanges Alice's token",
            stage.exchange(running, &mut hand),
        )
        .await?;
    let mut agent = hand.ok_or_else(|| Failure::new("no token"))?;
    narrator.step("allowed_call", "A tool call within the grant", agent.allowed_call()).await?;
    narrator.step("tool_not_granted", "A tool that was not granted", agent.tool_not_granted()).await?;
    narrator
        .step("argument_beyond_limit", "An argument beyond its limit", agent.argument_beyond_limit())
        .await?;
    let mut hand = None;
    narrator.step("delegation", "A sub-agent gets less", stage.delegate(running, &agent, &mut hand)).await?;
    let child = hand.ok_or_else(|| Failure::new("no token for the sub-agent"))?;
    narrator.step("wider_delegation", "The sub-agent asks for more", stage.widen(running, &child)).await?;
    narrator.step("renewal", "The agent renews its token", stage.renew(running, &mut agent)).await?;
    aftermath(narrator, stage, running, &[&agent, &child]).await
}

/// The administrator steps in, and what remains.
async fn aftermath(
    narrator: &mut Narrator,
    stage: &Stage,
    running: &Running,
    hands: &[&Hand; 2],
) -> Result<(), Failure> {
    let mut bearer = None;
    narrator
        .step("revocation", "The administrator revokes the agent", stage.revoke(running, &mut bearer))
        .await?;
    let bearer = bearer.ok_or_else(|| Failure::new("no token for the administrator"))?;
    let [agent, child] = hands;
    narrator.step("call_after_revocation", "The agent's next call", agent.call_after_revocation()).await?;
    narrator
        .step("sub_agent_after_revocation", "The sub-agent's next call", child.call_after_revocation())
        .await?;
    let again = stage.exchange_after_revocation(running);
    narrator.step("exchange_after_revocation", "The agent asks for a new token", again).await?;
    narrator.step("audit_trail", "Who did what for whom", running.audit(&bearer, hands.as_slice())).await?;
    narrator.step("audit_verified", "The audit trail is whole", stage.verify_audit()).await
}
