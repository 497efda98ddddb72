//! `taskpass token`: get one token, and print it or what it means.

mod explanation;

use serde_json::{Map, Value, json};

use super::error::CliError;
use super::identity_args::IdentityArgs;
use super::task_args::TaskArgs;
use super::{moment, output};
use crate::agent::{Client, Error, Token};
use explanation::Explanation;

/// Get a token for one task at one MCP server or API
///
/// With a subject token the task is on behalf of the person whose token it is (RFC 8693); without one, the agent acts
/// for nobody. The token alone is printed on standard output. Exit codes: 0 a token, 2 wrong usage, 3 refused by the
/// server, 4 unreachable or temporarily refused.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    identity: IdentityArgs,
    #[command(flatten)]
    task: TaskArgs,
    /// Print one JSON object with everything that the server said, instead of the token alone
    #[arg(long, help_heading = "Output")]
    json: bool,
    /// Print what the token would mean (what it may do, for whom, until when, in which task) instead of the token, and
    /// hand it back at once
    #[arg(long, help_heading = "Output")]
    explain: bool,
}

const EXAMPLES: &str = r#"Examples:
  A token for the agent itself, with its private key:
    taskpass token --key-file triage.json --resource https://tickets.example.com/mcp

  On behalf of the person whose ID token is in a file, for one tool:
    taskpass token --issuer https://id.example.com --spiffe-socket unix:///run/spire/agent.sock \
      --resource https://tickets.example.com/mcp \
      --subject-token-file id_token.jwt --subject-token-type id_token \
      --details '{"type":"mcp_tool_call","locations":["https://tickets.example.com/mcp"],
                  "tools":[{"name":"search_tickets"}]}'

  What would that token be allowed?
    taskpass token --key-file triage.json --resource https://tickets.example.com/mcp --explain

  Use it at once:
    export TASKPASS_KEY_FILE=triage.json TASKPASS_RESOURCE=https://api.example.com
    curl -H "Authorization: Bearer $(taskpass token)" https://api.example.com/…"#;

/// Runs the command.
pub async fn run(args: Args) -> Result<(), CliError> {
    let (client, request) = (args.identity.client()?, args.task.request()?);
    let token = match client.request(&request).await {
        Ok(token) => token,
        Err(error) => {
            if args.json {
                output::json(&failure(&error));
            }
            return Err(error.into());
        }
    };
    if args.explain {
        return explain(&client, &token, args.json).await;
    }
    if args.json {
        output::json(&everything(&token));
    } else {
        println!("{}", token.access_token.expose());
    }
    Ok(())
}

/// Nobody will use this token, so the task ends here: an explanation leaves no authority lying about.
async fn explain(client: &Client, token: &Token, as_json: bool) -> Result<(), CliError> {
    let explanation = Explanation::of(token, client.now());
    if as_json {
        output::json(&explanation.claims());
    } else {
        print!("{explanation}");
    }
    if let Err(error) = client.hand_back(token).await {
        let until = moment::utc(token.expires_at);
        eprintln!("taskpass: the token could not be handed back; it stays valid until {until}: {error}");
    }
    Ok(())
}

/// The members that the server sent, and when the token ends on this machine's clock.
fn everything(token: &Token) -> Map<String, Value> {
    let mut members = Map::new();
    members.insert("access_token".into(), token.access_token.expose().into());
    members.insert("token_type".into(), "Bearer".into());
    members.extend(described(token));
    members
}

/// Everything about a token except the token.
fn described(token: &Token) -> Map<String, Value> {
    let mut members = Map::new();
    members.insert("resource".into(), token.resource.as_str().into());
    members.insert("expires_in".into(), token.expires_in.into());
    members.insert("expires_at".into(), token.expires_at.0.into());
    let optional = [
        ("scope", token.scope.as_ref().map(|scope| scope.to_string().into())),
        ("authorization_details", token.authorization_details.clone()),
        ("task", token.task.clone().map(Value::from)),
        ("task_deadline", token.task_deadline.map(|deadline| deadline.0.into())),
    ];
    members
        .extend(optional.into_iter().filter_map(|(name, value)| value.map(|value| (name.to_owned(), value))));
    members
}

fn failure(error: &Error) -> Value {
    match error {
        Error::Refused(refused) => json!({
            "error": refused.error,
            "error_description": refused.description,
            "rule": refused.rule,
            "status": refused.status,
            "retry_after": refused.retry_after.map(|wait| wait.as_secs()),
        }),
        other => json!({ "error": null, "error_description": other.to_string() }),
    }
}
