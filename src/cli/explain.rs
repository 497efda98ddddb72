//! `taskpass explain`: what an exchange would be answered, rule by rule, without minting anything.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::admin_api::{AdminApi, Connection};
use super::error::CliError;
use super::output;
use crate::protocol::strict_json;
use crate::protocol::token_type::{CLIENT_CREDENTIALS, TOKEN_EXCHANGE, TokenType};

/// Show rule by rule how an exchange would be answered, without minting anything.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  taskpass explain --client triage --resource https://tickets.example.com/mcp --scope tickets.read
  taskpass explain --client triage --resource https://tickets.example.com/mcp --subject-token-file alice.jwt \\
      --subject-token-type id_token --details '[{\"type\": \"mcp_tool_call\", …}]'
  taskpass explain --client triage --resource https://tickets.example.com/mcp --details @details.json --json

Without a subject token the agent acts for nobody (client_credentials). Nothing is minted, and the subject token isn't used up.
Exit codes: 0 it would be granted, 2 usage, 3 it would be refused, 4 unreachable.")]
pub struct Args {
    /// The agent or client that would ask.
    #[arg(long, value_name = "ID")]
    client: String,
    /// The resource that the token would be for.
    #[arg(long, value_name = "URI")]
    resource: String,
    /// The scope that would be asked for; omitted means the largest possible.
    #[arg(long, value_name = "SCOPES")]
    scope: Option<String>,
    /// The authorization_details that would be asked for: JSON, or @FILE.
    #[arg(long, value_name = "JSON|@FILE")]
    details: Option<String>,
    /// A file with the subject token; `-` is standard input. (Tokens don't belong into argument lists.)
    #[arg(long, value_name = "FILE")]
    subject_token_file: Option<PathBuf>,
    /// What the subject token is: access_token, id_token, jwt, or the whole URN [default: access_token].
    #[arg(long, value_name = "TYPE", value_parser = token_type, requires = "subject_token_file")]
    subject_token_type: Option<String>,
    /// The task's lifetime that would be asked for, in seconds.
    #[arg(long, value_name = "SECONDS")]
    task_lifetime: Option<u32>,
    /// Print the server's answer as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

fn token_type(text: &str) -> Result<String, String> {
    let urn = format!("urn:ietf:params:oauth:token-type:{text}");
    let known = TokenType::parse(text).or_else(|| TokenType::parse(&urn));
    known.map(|known| known.as_str().to_owned()).ok_or_else(|| "it is access_token, id_token or jwt".into())
}

/// Runs `taskpass explain`.
pub async fn run(args: Args) -> Result<(), CliError> {
    let body = question(&args)?;
    let api = AdminApi::connect(&args.connection, "explain").await?;
    let answer = api.post("explain", &body).await?;
    if args.json {
        output::json(&answer);
    } else {
        table(&answer).into_iter().for_each(output::line);
        if let Some(claims) = answer.get("would_issue").filter(|claims| claims.is_object()) {
            output::line("\nThe token would say:");
            output::json(claims);
        }
    }
    if answer.get("granted").and_then(Value::as_bool) == Some(true) { Ok(()) } else { Err(refused(&answer)) }
}

fn question(args: &Args) -> Result<Value, CliError> {
    let mut body = Map::new();
    let grant = if args.subject_token_file.is_some() { TOKEN_EXCHANGE } else { CLIENT_CREDENTIALS };
    body.insert("grant_type".into(), json!(grant));
    body.insert("client_id".into(), json!(args.client));
    body.insert("resource".into(), json!(args.resource));
    if let Some(path) = &args.subject_token_file {
        let kind = args.subject_token_type.as_deref().unwrap_or(TokenType::AccessToken.as_str());
        body.insert("subject_token".into(), json!(text_of(path)?.trim()));
        body.insert("subject_token_type".into(), json!(kind));
    }
    if let Some(scope) = &args.scope {
        body.insert("scope".into(), json!(scope));
    }
    if let Some(text) = &args.details {
        body.insert("authorization_details".into(), details(text)?);
    }
    if let Some(seconds) = args.task_lifetime {
        body.insert("task_lifetime".into(), json!(seconds));
    }
    Ok(Value::Object(body))
}

/// One detail may stand without its list.
fn details(text: &str) -> Result<Value, CliError> {
    let text = text.strip_prefix('@').map_or_else(|| Ok(text.to_owned()), |path| text_of(Path::new(path)))?;
    match strict_json::value(text.as_bytes(), 32) {
        Ok(list @ Value::Array(_)) => Ok(list),
        Ok(one @ Value::Object(_)) => Ok(json!([one])),
        Ok(_) => {
            Err(CliError::new("--details: a JSON list of objects, each with a `type`")
                .exit_code(CliError::USAGE))
        }
        Err(error) => Err(CliError::new(format!("--details: {error}")).exit_code(CliError::USAGE)),
    }
}

fn text_of(path: &Path) -> Result<String, CliError> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(1 << 20).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(1 << 20).read_to_string(&mut text))
    };
    let unreadable =
        |error| CliError::new(format!("can't read {}: {error}", path.display())).exit_code(CliError::USAGE);
    read.map_err(unreadable).map(|_| text)
}

fn member<'a>(rule: &'a Value, name: &str) -> &'a str {
    rule.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn rules(answer: &Value) -> impl Iterator<Item = &Value> {
    answer.get("rules").and_then(Value::as_array).into_iter().flatten()
}

/// A line per rule: number, verdict, name, detail; then the verdict on all.
fn table(answer: &Value) -> Vec<String> {
    let row = |rule: &Value| {
        let (mark, detail) = match member(rule, "verdict") {
            "pass" => ("✓", member(rule, "detail")),
            "refuse" => ("✗", member(rule, "detail")),
            "not_reached" => ("·", "not reached"),
            other => ("?", other),
        };
        let number = rule.get("number").map_or_else(|| "-".into(), output::cell);
        vec![number, mark.to_owned(), member(rule, "rule").to_owned(), detail.to_owned()]
    };
    let rows: Vec<_> = rules(answer).map(row).collect();
    let mut lines = output::columns(&rows);
    let granted = answer.get("granted").and_then(Value::as_bool) == Some(true);
    lines.push(if granted { "It would be granted.".into() } else { "It would be refused.".into() });
    lines
}

fn refused(answer: &Value) -> CliError {
    let rule = rules(answer).find(|rule| member(rule, "verdict") == "refuse");
    let message = rule.map_or_else(
        || "the exchange would be refused".to_owned(),
        |rule| {
            let number = rule.get("number").map_or_else(|| "?".into(), output::cell);
            format!(
                "the exchange would be refused by rule {number} ({}): {}",
                member(rule, "rule"),
                member(rule, "detail")
            )
        },
    );
    CliError::new(message).exit_code(CliError::REFUSED)
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

    fn parse(extra: &[&str]) -> Args {
        let fixed = ["x", "--client", "triage", "--resource", "https://t.example/mcp"];
        Cli::parse_from(fixed.iter().chain(extra)).args
    }

    #[test]
    fn asks_only_what_was_given() {
        let plain = question(&parse(&[])).unwrap();
        let expected = json!({"grant_type": "client_credentials", "client_id": "triage", "resource": "https://t.example/mcp"});
        assert_eq!(plain, expected);
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(path("token"), "eyJ.a.b\n").unwrap();
        std::fs::write(path("details"), r#"{"type": "t"}"#).unwrap();
        let full = question(&parse(&[
            "--subject-token-file",
            &path("token"),
            "--subject-token-type",
            "id_token",
            "--scope",
            "a b",
            "--details",
            &format!("@{}", path("details")),
            "--task-lifetime",
            "60",
        ]))
        .unwrap();
        assert_eq!(full["grant_type"], TOKEN_EXCHANGE);
        assert_eq!((&full["subject_token"], &full["scope"]), (&json!("eyJ.a.b"), &json!("a b")));
        assert_eq!(full["subject_token_type"], "urn:ietf:params:oauth:token-type:id_token");
        assert_eq!(
            (&full["authorization_details"], &full["task_lifetime"]),
            (&json!([{"type": "t"}]), &json!(60))
        );
    }

    #[test]
    fn refuses_details_and_types_that_cannot_be_asked() {
        for text in ["1", "[", r#"{"a":1,"a":2}"#, "@/nonexistent"] {
            assert_eq!(
                question(&parse(&["--details", text])).unwrap_err().exit_code,
                CliError::USAGE,
                "{text}"
            );
        }
        let fixed = ["x", "--client", "a", "--resource", "b"];
        for extra in [["--subject-token-type", "jwt"], ["--subject-token-type", "saml2"]] {
            assert!(Cli::try_parse_from(fixed.iter().chain(&extra)).is_err());
        }
    }

    #[tokio::test]
    async fn a_refusal_shows_its_rule_and_exits_with_3() {
        let answer = json!({"granted": false, "rules": [
            {"number": 1, "rule": "client", "verdict": "pass", "detail": "agent triage, tier 2"},
            {"number": 5, "rule": "target", "verdict": "refuse", "detail": "not in the ceiling"},
            {"number": 6, "rule": "rights", "verdict": "not_reached", "detail": ""}]});
        assert_eq!(
            table(&answer),
            [
                "1  ✓  client  agent triage, tier 2",
                "5  ✗  target  not in the ceiling",
                "6  ·  rights  not reached",
                "It would be refused.",
            ]
        );
        let server = FakeServer::start(move |_| (200, answer.clone())).await;
        let credentials = server.connection().credentials.unwrap();
        let error = run(parse(&["--credentials", credentials.to_str().unwrap()])).await.unwrap_err();
        assert_eq!(error.exit_code, CliError::REFUSED);
        assert_eq!(error.message, "the exchange would be refused by rule 5 (target): not in the ceiling");
        assert_eq!(server.scopes(), ["explain"]);
    }

    #[tokio::test]
    async fn a_grant_exits_with_0() {
        let server =
            FakeServer::start(|_| (200, json!({"granted": true, "rules": [], "would_issue": {"aud": "x"}})))
                .await;
        let credentials = server.connection().credentials.unwrap();
        run(parse(&["--credentials", credentials.to_str().unwrap()])).await.unwrap();
    }
}
