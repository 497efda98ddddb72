//! `taskpass audit`: verify or export the trail, straight from the database.

use std::collections::HashSet;
use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};

use super::error::CliError;
use super::output;
use crate::flows::audit_trail;
use crate::jose::JwkSet;
use crate::storage::{Db, audit, tenants};

/// Verify or export the audit trail.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  taskpass audit verify --database-url sqlite:taskpass-data/taskpass.sqlite
  taskpass audit verify --jwks trusted-keys.json --json
  taskpass audit export --after 1000 > audit.jsonl
  taskpass audit export --agent triage > triage.jsonl")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Args)]
struct Source {
    /// The database [default: sqlite:DATA_DIR/taskpass.sqlite].
    #[arg(long, env = "TASKPASS_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Where the server keeps its data.
    #[arg(long, env = "TASKPASS_DATA_DIR", default_value = "taskpass-data")]
    data_dir: PathBuf,
    /// Only this tenant.
    #[arg(long)]
    tenant: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check every row against its hash, the chain against its head, and the signed checkpoints. Names the first bad row.
    #[command(after_help = "Examples:
  taskpass audit verify --data-dir /var/lib/taskpass
  taskpass audit verify --jwks kept-keys.json --json

Exit codes: 0 whole, 1 not as it was written.")]
    Verify {
        #[command(flatten)]
        source: Source,
        /// Public keys kept elsewhere, for checkpoints; without them the database's own are used.
        #[arg(long)]
        jwks: Option<PathBuf>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Print the rows as JSON lines.
    #[command(after_help = "Examples:
  taskpass audit export --data-dir /var/lib/taskpass --after 1000 > audit.jsonl
  taskpass audit export --agent triage --agent spiffe://demo.example/agent/triage > triage.jsonl
  taskpass audit export --agent triage | jq -r 'select(.granted).sub' | sort | uniq -c")]
    Export {
        #[command(flatten)]
        source: Source,
        /// Only rows after this number.
        #[arg(long, default_value_t = 0)]
        after: u64,
        /// Only rows that name this agent: as client, in the chain of actors, or as what was changed or revoked;
        /// repeatable.
        #[arg(long = "agent", value_name = "ID")]
        agents: Vec<String>,
    },
}

/// Runs the command.
pub async fn run(args: Args) -> Result<(), CliError> {
    match args.command {
        Command::Verify { source, jwks, json } => verify(&source, jwks, json).await,
        Command::Export { source, after, agents } => export(&source, after, agents).await,
    }
}

async fn open(source: &Source) -> Result<(Db, Vec<String>), CliError> {
    let default = || format!("sqlite:{}", source.data_dir.join("taskpass.sqlite").display());
    let url = source.database_url.clone().unwrap_or_else(default);
    let db = Db::open_existing(&url).await.map_err(|error| {
        CliError::new(format!("{url}: {error}")).hint("name the database with --database-url or --data-dir")
    })?;
    let failed = |error: crate::storage::StorageError| CliError::new(error.to_string());
    let mut tx = db.read().await.map_err(failed)?;
    let all = tenants::heads(&mut tx).await.map_err(failed)?.into_iter().map(|head| head.tenant);
    let wanted: Vec<_> = all.filter(|name| source.tenant.as_ref().is_none_or(|only| only == name)).collect();
    if wanted.is_empty() {
        return Err(CliError::new("there is no such tenant").exit_code(CliError::USAGE));
    }
    Ok((db, wanted))
}

async fn verify(source: &Source, jwks: Option<PathBuf>, as_json: bool) -> Result<(), CliError> {
    let trusted = jwks.map(|path| read_keys(&path)).transpose()?;
    let (db, tenants) = open(source).await?;
    let failed = |error: crate::storage::StorageError| CliError::new(error.to_string());
    let mut reports = Vec::new();
    for tenant in tenants {
        // One transaction: rows written meanwhile don't tear the picture.
        let mut tx = db.snapshot().await.map_err(failed)?;
        reports.push(audit_trail::verify(&mut tx, &tenant, trusted.clone()).await.map_err(failed)?);
    }
    let whole = reports.iter().all(|report| report.first_bad.is_none());
    if as_json {
        output::json(&json!({ "ok": whole, "tenants": reports }));
    } else {
        for report in &reports {
            let verdict = match &report.first_bad {
                None => "whole".to_owned(),
                Some((seq, why)) => format!("BROKEN at row {seq}: {why}"),
            };
            println!(
                "{}: {} rows, {} signed checkpoints, {verdict}",
                report.tenant, report.rows, report.checkpoints
            );
        }
    }
    if whole { Ok(()) } else { Err(CliError::new("the audit trail is not as it was written")) }
}

fn read_keys(path: &PathBuf) -> Result<JwkSet, CliError> {
    let wrong = |error: &dyn std::fmt::Display| {
        CliError::new(format!("{}: {error}", path.display())).exit_code(CliError::USAGE)
    };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
    let value: Value = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
    JwkSet::parse(&value).map_err(|error| wrong(&error))
}

/// Which rows are wanted: all, or those that name one of these agents.
struct Wanted {
    agents: Vec<String>,
    /// Revocations of these agents: a later row says when each took effect, and names nobody.
    revocations: HashSet<String>,
}

impl Wanted {
    fn takes(&mut self, row: &Value) -> bool {
        let rev = row.get("rev").and_then(Value::as_str);
        let revocation = row.get("event").and_then(Value::as_str) == Some("revocation");
        let named = self.agents.is_empty() || self.names(row);
        if let Some(rev) = rev.filter(|_| revocation) {
            if named {
                self.revocations.insert(rev.to_owned());
            }
            return named || (row.pointer("/detail/effective").is_some() && self.revocations.contains(rev));
        }
        named
    }

    fn names(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.agents.contains(text),
            Value::Array(items) => items.iter().any(|item| self.names(item)),
            Value::Object(members) => members.values().any(|member| self.names(member)),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }
}

async fn export(source: &Source, after: u64, agents: Vec<String>) -> Result<(), CliError> {
    let (db, tenants) = open(source).await?;
    let failed = |error: crate::storage::StorageError| CliError::new(error.to_string());
    for tenant in tenants {
        let mut wanted = Wanted { agents: agents.clone(), revocations: HashSet::new() };
        let mut last = after;
        loop {
            let mut tx = db.read().await.map_err(failed)?;
            let rows = audit::after(&mut tx, &tenant, last, 5_000).await.map_err(failed)?;
            let Some(end) = rows.last() else { break };
            last = end.seq;
            for row in &rows {
                let shown = json!(audit_trail::show(row));
                if !wanted.takes(&shown) {
                    continue;
                }
                let mut line = json!({ "tenant": tenant });
                if let (Some(line), Value::Object(row)) = (line.as_object_mut(), shown) {
                    line.extend(row);
                }
                println!("{line}");
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agents_rows_are_those_that_name_it_and_when_its_end_took_effect() {
        let mut wanted = Wanted { agents: vec!["triage".into()], revocations: HashSet::new() };
        for row in [
            json!({ "event": "token", "client_id": "triage" }),
            json!({ "event": "token", "client_id": "other", "act": { "sub": "other", "act": { "sub": "triage" } } }),
            json!({ "event": "administration", "detail": { "reinstated": { "scope_id": "triage" } } }),
            json!({ "event": "revocation", "rev": "g.4", "detail": { "cutoffs": [{ "scope_id": "triage" }] } }),
            json!({ "event": "revocation", "rev": "g.4", "detail": { "effective": {} } }),
        ] {
            assert!(wanted.takes(&row), "{row}");
        }
        for row in [
            json!({ "event": "token", "client_id": "triage2", "task_purpose": "ask triage" }),
            json!({ "event": "revocation", "rev": "g.5", "detail": { "cutoffs": [{ "scope_id": "wiki" }] } }),
            json!({ "event": "revocation", "rev": "g.5", "detail": { "effective": {} } }),
            json!({ "event": "enforcement", "rev": "g.4", "rule": "token_missing" }),
        ] {
            assert!(!wanted.takes(&row), "{row}");
        }
        wanted.agents.clear();
        assert!(wanted.takes(&json!({ "event": "token", "client_id": "triage2" })));
    }
}
