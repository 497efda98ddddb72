//! `taskpass tokens`: what an agent holds.

use serde_json::Value;

use super::admin_api::{AdminApi, Connection};
use super::error::CliError;
use super::moment::utc;
use super::output;
use crate::time::Timestamp;

/// As many as the server lists.
const MOST: usize = 1000;

/// List the tokens of an agent that haven't expired: for whom, in which task, until when. Never the tokens themselves.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  taskpass tokens --agent triage
  taskpass tokens --agent triage --json | jq -r '.tokens[].sub' | sort | uniq -c
  taskpass revoke --task tsk_…      (one of the tasks, with everything below it)

A token that was revoked stands here until it expires: this is what was given, not what is still accepted.
Tokens of sub-agents are listed under the sub-agent; revoking an agent kills those that it passed on as well.")]
pub struct Args {
    /// The agent, by its id.
    #[arg(long, value_name = "ID")]
    agent: String,
    /// Print the server's answer as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Runs `taskpass tokens`.
pub async fn run(args: Args) -> Result<(), CliError> {
    let api = AdminApi::connect(&args.connection, "registry:read").await?;
    let agent = form_urlencoded::byte_serialize(args.agent.as_bytes()).collect::<String>();
    let answer = api.get(&format!("tokens?agent={agent}")).await?;
    if args.json {
        output::json(&answer);
    } else {
        table(&args.agent, &answer).into_iter().for_each(output::line);
    }
    Ok(())
}

fn table(agent: &str, answer: &Value) -> Vec<String> {
    let tokens: Vec<_> = answer.get("tokens").and_then(Value::as_array).into_iter().flatten().collect();
    if tokens.is_empty() {
        return vec![format!("{} holds no token that hasn't expired.", output::printable(agent))];
    }
    let mut rows = vec![["TOKEN", "TASK", "FOR", "EXPIRES"].map(str::to_owned).to_vec()];
    for token in &tokens {
        let text = |name: &str| token.get(name).map_or_else(|| "-".into(), output::cell);
        let expires = token.get("exp").and_then(Value::as_i64);
        let expires = expires.map_or_else(|| "-".into(), |at| utc(Timestamp(at)));
        rows.push(vec![text("jti"), text("task"), text("sub"), expires]);
    }
    let mut lines = output::columns(&rows);
    if tokens.len() >= MOST {
        lines.push(format!("There may be more: these are the newest {MOST}."));
    }
    lines
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
    async fn asks_for_one_agents_tokens() {
        let server = FakeServer::start(|_| (200, json!({"tokens": []}))).await;
        let credentials = server.connection().credentials.unwrap();
        let args = ["x", "--agent", "a&b=c", "--credentials", credentials.to_str().unwrap()];
        run(Cli::parse_from(args).args).await.unwrap();
        assert_eq!(server.scopes(), ["registry:read"]);
        let path = "/admin/v1/tokens?agent=a%26b%3Dc".to_owned();
        assert_eq!(server.calls(), [("GET".into(), path, Value::Null)]);
    }

    #[test]
    fn shows_for_whom_and_until_when() {
        let answer = json!({"tokens": [
            {"jti": "tok_1", "task": "tsk_1", "client_id": "triage", "sub": "usr_1", "exp": 86_400},
            {"jti": "tok_2", "task": null, "client_id": "triage", "sub": "triage", "exp": 86_401}]});
        assert_eq!(
            table("triage", &answer),
            [
                "TOKEN  TASK   FOR     EXPIRES",
                "tok_1  tsk_1  usr_1   1970-01-02 00:00:00 UTC",
                "tok_2  -      triage  1970-01-02 00:00:01 UTC",
            ]
        );
        assert_eq!(table("triage", &json!({"tokens": []})), ["triage holds no token that hasn't expired."]);
    }
}
