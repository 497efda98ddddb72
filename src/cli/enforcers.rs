//! `taskpass enforcers`: every enforcer, and how far it has come.

use serde_json::Value;

use super::admin_api::{AdminApi, Connection};
use super::error::CliError;
use super::output;

/// List every enforcer: what it has applied of the revocation log, and whether its lease runs.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  taskpass enforcers
  taskpass enforcers --json | jq '.enforcers[] | select(.behind > 0)'

An enforcer that is `stale` answers 503 until it reaches the server again, unless it was told otherwise with --stale.
One that stops is shown as stale for a day. BEHIND counts what it has not yet said that it applied: with a young lease,
it says so with its next request.")]
pub struct Args {
    /// Print the server's answer as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Runs `taskpass enforcers`.
pub async fn run(args: Args) -> Result<(), CliError> {
    let api = AdminApi::connect(&args.connection, "revoke").await?;
    let fleet = api.get("enforcers").await?;
    if args.json {
        output::json(&fleet);
    } else {
        table(&fleet).into_iter().for_each(output::line);
    }
    Ok(())
}

fn table(fleet: &Value) -> Vec<String> {
    let cell = |of: &Value, name: &str| of.get(name).map_or_else(|| "-".into(), output::cell);
    let members: Vec<_> = fleet.get("enforcers").and_then(Value::as_array).into_iter().flatten().collect();
    let head = format!("The log stands at {}.{}.", cell(fleet, "gen"), cell(fleet, "head_seq"));
    if members.is_empty() {
        return vec![head, "No enforcer has asked for a lease in the last day.".into()];
    }
    let titles = ["ENFORCER", "INSTANCE", "STATE", "APPLIED", "BEHIND", "LEASE", "VERSION"];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    for member in members {
        let lease = format!("{} s of {} s", cell(member, "lease_age_seconds"), cell(member, "lease_seconds"));
        let mut row: Vec<_> = ["enforcer", "instance", "state", "applied_seq", "behind"]
            .map(|name| cell(member, name))
            .to_vec();
        row.extend([lease, cell(member, "version")]);
        rows.push(row);
    }
    std::iter::once(head).chain(output::columns(&rows)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn shows_who_is_behind_and_who_is_silent() {
        let fleet = json!({ "gen": "g", "head_seq": 7, "enforcers": [
            { "enforcer": "tickets", "instance": "enf_1", "version": "0.1.0", "applied_seq": 7, "behind": 0,
              "lease_age_seconds": 3, "lease_seconds": 30, "state": "enforcing" },
            { "enforcer": "wiki", "instance": "enf_2", "version": "0.1.0", "applied_seq": 5, "behind": 2,
              "lease_age_seconds": 90, "lease_seconds": 30, "state": "stale" }] });
        assert_eq!(
            table(&fleet),
            [
                "The log stands at g.7.",
                "ENFORCER  INSTANCE  STATE      APPLIED  BEHIND  LEASE         VERSION",
                "tickets   enf_1     enforcing  7        0       3 s of 30 s   0.1.0",
                "wiki      enf_2     stale      5        2       90 s of 30 s  0.1.0",
            ]
        );
        assert_eq!(table(&json!({ "gen": "g", "head_seq": 0, "enforcers": [] })).len(), 2);
    }
}
