//! `taskpass revoke`: one entry in the revocation log, and what it reaches.

use std::time::Duration;

use serde_json::{Value, json};

use super::admin_api::{AdminApi, Connection};
use super::cutoff_scope::ScopeArgs;
use super::error::CliError;
use super::{output, receipt};
use crate::time::monotonic;

/// Seconds to wait for the server's word that it is in force: the longest lease, and a while.
const PATIENCE: u64 = 160;
/// What is waited for when every enforcer that is known has applied it.
const FORMER_LEASES: &str = "leases that a stopped or silent node may have granted (at most two minutes)";

/// Take back an agent, a person, a task, a token, or whatever else the revocation log knows: one entry, durable
/// when this returns.
#[derive(Debug, clap::Args)]
#[command(override_usage = "taskpass revoke <--agent ID | --user SUB | --task ID | … exactly one> [OPTIONS]")]
#[command(after_help = "Examples:
  taskpass revoke --agent triage --reason 'prompt injection, ticket 4711'
  taskpass revoke --user-issuer https://idp.example.com --user-subject 248289761001
  taskpass revoke --tool 'https://tickets.example.com/mcp#close_ticket'
  taskpass revoke --task tsk_… --json
  taskpass revoke --agent triage --wait --receipt triage.receipt
  taskpass revoke --tenant acme --yes

Exit codes: 0 acknowledged and durable, 2 usage, 3 refused, 4 unreachable (ask again: revoking twice does no harm).")]
pub struct Args {
    #[command(flatten)]
    scope: ScopeArgs,
    /// Why; kept in the log and in the audit trail.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Wait until it is in force at every enforcer: milliseconds if all are reachable, at most their longest lease if not.
    #[arg(long)]
    wait: bool,
    /// Where to put the server's signed word that it is in force, for `taskpass receipt verify`.
    #[arg(long, value_name = "FILE", requires = "wait")]
    receipt: Option<std::path::PathBuf>,
    /// Say yes to what stops a whole tenant.
    #[arg(long)]
    yes: bool,
    /// Print JSON: the server's answer, with `acknowledged_ms`.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Runs `taskpass revoke`.
pub async fn run(args: Args) -> Result<(), CliError> {
    if let Some(tenant) = args.scope.tenant.as_ref().filter(|_| !args.yes) {
        return Err(CliError::new(format!("this kills every token of tenant {tenant}"))
            .hint("if that is meant, add --yes")
            .exit_code(CliError::USAGE));
    }
    let patient = Connection { timeout: args.connection.timeout.max(PATIENCE), ..args.connection.clone() };
    let connection = if args.wait { &patient } else { &args.connection };
    let api = AdminApi::connect(connection, "revoke").await?;
    let body = args.scope.body(args.reason.as_deref());
    let asked = monotonic();
    let mut cutoff =
        if args.wait { wait(&api, &body).await? } else { api.post("revocations", &body).await? };
    let milliseconds = monotonic().saturating_duration_since(asked).as_secs_f64() * 1000.0;
    if args.json {
        if let Some(members) = cutoff.as_object_mut() {
            members.insert("acknowledged_ms".into(), json!((milliseconds * 10.0).round() / 10.0));
        }
        output::json(&cutoff);
    } else {
        report(&args.scope, &cutoff, milliseconds).into_iter().for_each(output::line);
    }
    let receipt = cutoff.get("receipt").and_then(Value::as_str);
    if let (Some(path), Some(receipt)) = (&args.receipt, receipt) {
        keep(path, receipt)?;
        if !args.json {
            let (path, issuer) = (path.display(), &api.credentials.issuer);
            output::line(format!("Prove it: taskpass receipt verify {path} --issuer {issuer}"));
        }
    }
    Ok(())
}

/// Writes the receipt; where that isn't possible it must not be lost, since it can't be had again.
fn keep(path: &std::path::Path, receipt: &str) -> Result<(), CliError> {
    std::fs::write(path, format!("{receipt}\n")).map_err(|error| {
        CliError::new(format!(
            "it is revoked, but the receipt can't be written to {}: {error}",
            path.display()
        ))
        .hint(format!("keep it yourself: {receipt}"))
    })
}

/// Revokes and waits, and tells whoever waits who is waited for.
async fn wait(api: &AdminApi, body: &Value) -> Result<Value, CliError> {
    let answer = api.post("revocations?wait=effective", body);
    tokio::pin!(answer);
    loop {
        tokio::select! {
            answer = &mut answer => return answer,
            () = tokio::time::sleep(Duration::from_secs(2)) => {
                let fleet = api.get("enforcers").await.ok();
                let who = fleet.as_ref().and_then(waited_for);
                eprintln!("Durable. Waiting for {}", who.as_deref().unwrap_or(FORMER_LEASES));
            }
        }
    }
}

/// The enforcers that have not applied the whole log, and how long their leases run on.
fn waited_for(fleet: &Value) -> Option<String> {
    let member = |enforcer: &Value| {
        let number = |name: &str| enforcer.get(name).and_then(Value::as_i64).unwrap_or_default();
        let left = number("lease_seconds") - number("lease_age_seconds");
        let name = |name: &str| enforcer.get(name).map(output::cell).unwrap_or_default();
        let lacks = number("behind") > 0 && left >= 0;
        lacks.then(|| format!("{} {} ({left} s of its lease left)", name("enforcer"), name("instance")))
    };
    let names: Vec<_> = fleet.get("enforcers")?.as_array()?.iter().filter_map(member).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// What was cut, what that means, and the way back.
fn report(scope: &ScopeArgs, cutoff: &Value, milliseconds: f64) -> Vec<String> {
    let seq = cutoff.get("seq").map_or_else(|| "?".into(), output::cell);
    let generation = cutoff.get("gen").map_or_else(|| "?".into(), output::cell);
    let receipt = cutoff.get("receipt").and_then(Value::as_str).and_then(receipt::peek);
    let verb = if receipt.is_some() { "in force everywhere" } else { "acknowledged" };
    let mut lines =
        vec![format!("Revoked {} at {generation}.{seq}, {verb} in {}.", scope.words(), span(milliseconds))];
    if let Some(receipt) = receipt {
        let count = |name: &str| receipt.get(name).and_then(Value::as_u64).unwrap_or_default();
        lines.push(receipt::reach(count("acknowledged"), count("leases_expired")));
    }
    let cascade = cutoff.get("cutoffs").and_then(Value::as_array).into_iter().flatten();
    let mut below = cascade.filter(|entry| entry.get("seq") != cutoff.get("seq")).peekable();
    if below.peek().is_some() {
        lines.push("With it were cut:".into());
    }
    for entry in below {
        let member = |name: &str| entry.get(name).map(output::cell).unwrap_or_default();
        lines.push(format!("  {:>6}  {} {}", member("seq"), member("scope_kind"), member("scope_id")));
    }
    let (kind, _) = scope.wire();
    lines.push(consequence(kind).into());
    lines.push(match way_back(kind) {
        Ok(after) => format!("Undo: taskpass reinstate {}   ({after})", scope.flags()),
        Err(instead) => format!("This is final: {instead}."),
    });
    lines
}

fn span(milliseconds: f64) -> String {
    if milliseconds < 1000.0 {
        format!("{milliseconds:.1} ms")
    } else {
        format!("{:.1} s", milliseconds / 1000.0)
    }
}

/// What a cutoff of this kind means until it is undone.
fn consequence(kind: &str) -> &'static str {
    match kind {
        "tenant" => {
            "Every token of the tenant that was minted before is dead; new ones can be minted at once."
        }
        "key" => "Everything this key signed is dead, and it signs no more.",
        "resource" => "Every token for this resource is dead, and none is minted for it until reinstated.",
        "tool" => {
            "No new token grants this tool, and enforcers that follow the log refuse its calls; the tokens live on."
        }
        "agent" => {
            "Every token with this agent in its chain is dead, and the agent gets none until reinstated."
        }
        "client" => "Every token of this client is dead, and it gets none until reinstated.",
        "user" => "Every token for this person is dead, and none is minted for them until reinstated.",
        "session" => "Every token of this session is dead, and none is minted in it until reinstated.",
        "consent" => {
            "Every token that rests on this consent is dead, and the consent is withdrawn until reinstated."
        }
        "task" => "The task and every task below it are over.",
        "token" => "The token is dead, and so are the child tasks that were opened with it.",
        _ => "",
    }
}

/// Whether a revocation of this kind can be undone: what to know then, or what to do instead.
pub(super) fn way_back(kind: &str) -> Result<&'static str, &'static str> {
    match kind {
        "key" => Err("a revoked key never comes back; `taskpass keys rotate` makes a new one"),
        "tenant" => Err("nothing was switched off, and new tokens can be minted at once"),
        "task" => Err("the agent starts a new task"),
        "token" => Err("the agent asks for a new token"),
        "tool" => Ok("new tokens can have the tool again; those from before the cutoff don't get it back"),
        _ => Ok("tokens from before the cutoff stay dead"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::fake_server::FakeServer;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn parse(args: &[&str]) -> Args {
        Cli::parse_from(std::iter::once("x").chain(args.iter().copied())).args
    }

    #[tokio::test]
    async fn asks_for_the_cutoff_under_the_scope_revoke() {
        let server = FakeServer::start(|_| (201, json!({"gen": "g", "seq": 9}))).await;
        let credentials = server.connection().credentials.unwrap();
        let args =
            parse(&["--agent", "triage", "--reason", "why", "--credentials", credentials.to_str().unwrap()]);
        run(args).await.unwrap();
        assert_eq!(server.scopes(), ["revoke"]);
        let body = json!({"scope_kind": "agent", "scope_id": "triage", "reason": "why"});
        assert_eq!(server.calls(), [("POST".into(), "/admin/v1/revocations".into(), body)]);
    }

    #[tokio::test]
    async fn a_tenant_takes_a_yes() {
        let server = FakeServer::start(|_| (201, json!({"seq": 1}))).await;
        let credentials = server.connection().credentials.unwrap();
        let credentials = credentials.to_str().unwrap();
        let error = run(parse(&["--tenant", "acme", "--credentials", credentials])).await.unwrap_err();
        assert_eq!((error.exit_code, server.calls().len()), (CliError::USAGE, 0));
        run(parse(&["--tenant", "acme", "--yes", "--json", "--credentials", credentials])).await.unwrap();
        assert_eq!(server.calls().len(), 1);
    }

    #[test]
    fn tells_how_long_it_took_as_people_say_it() {
        assert_eq!((span(56.74), span(29_931.6)), ("56.7 ms".into(), "29.9 s".into()));
    }

    #[test]
    fn a_receipt_that_cannot_be_written_is_told() {
        let folder = tempfile::tempdir().unwrap();
        keep(&folder.path().join("a"), "eyJ.a.b").unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join("a")).unwrap(), "eyJ.a.b\n");
        let error = keep(&folder.path().join("missing/a"), "eyJ.a.b").unwrap_err();
        assert!(error.hint.unwrap().contains("eyJ.a.b"));
    }

    #[test]
    fn says_what_was_cut_and_the_way_back() {
        let cutoff = json!({"gen": "g1", "seq": 41, "cutoffs": [
            {"seq": 41, "scope_kind": "agent", "scope_id": "triage"},
            {"seq": 42, "scope_kind": "task", "scope_id": "tsk_1"}]});
        let lines = report(&parse(&["--agent", "triage"]).scope, &cutoff, 3.06);
        assert_eq!(
            lines,
            [
                "Revoked agent triage at g1.41, acknowledged in 3.1 ms.",
                "With it were cut:",
                "      42  task tsk_1",
                "Every token with this agent in its chain is dead, and the agent gets none until reinstated.",
                "Undo: taskpass reinstate --agent triage   (tokens from before the cutoff stay dead)",
            ]
        );
        let lines = report(&parse(&["--task", "tsk_1"]).scope, &json!({"gen": "g1", "seq": 1}), 1.0);
        assert_eq!(lines.last().unwrap(), "This is final: the agent starts a new task.");
    }

    #[test]
    fn every_kind_has_a_consequence() {
        for kind in [
            "tenant", "key", "resource", "tool", "agent", "client", "user", "session", "consent", "task",
            "token",
        ] {
            assert!(!consequence(kind).is_empty(), "{kind}");
        }
    }
}
