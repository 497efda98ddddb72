//! `taskpass keys`: the server's signing keys, and the next one.

use serde_json::{Value, json};

use super::admin_api::{AdminApi, Connection};
use super::error::CliError;
use super::moment::utc;
use super::output;
use crate::jose::{Algorithm, PrivateJwk};
use crate::time::Timestamp;

/// List and rotate the server's signing keys.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  taskpass keys list\n  taskpass keys rotate --alg ES256\n  taskpass revoke --key KID   (for a key that leaked)"
)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a key for an agent, an enforcer or an administrator: the private half into a file, the public half to
    /// standard output, ready for the registry.
    #[command(
        after_help = "Example:\n  taskpass keys generate --issuer http://127.0.0.1:8080 --client triage --out triage.json > triage.jwks.json"
    )]
    Generate {
        /// The server's issuer URL, which goes into the file.
        #[arg(long, value_name = "URL")]
        issuer: String,
        /// The `client_id` that the key is for.
        #[arg(long, value_name = "ID")]
        client: String,
        /// Where the private key goes; never over a file that is there.
        #[arg(long, value_name = "FILE")]
        out: std::path::PathBuf,
        /// The algorithm: ES256, EdDSA, RS256 or PS256.
        #[arg(long, value_name = "ALG", default_value = "ES256", value_parser = ["ES256", "EdDSA", "RS256", "PS256"])]
        alg: String,
    },
    /// List the signing keys with their states: prepared, active, retiring, revoked.
    #[command(after_help = "Example:\n  taskpass keys list --json")]
    List {
        #[command(flatten)]
        shared: Shared,
    },
    /// Prepare the next signing key; it signs once every cache has had the time to learn of it.
    #[command(after_help = "Examples:\n  taskpass keys rotate\n  taskpass keys rotate --alg EdDSA")]
    Rotate {
        /// The algorithm whose key to rotate: ES256, EdDSA, RS256 or PS256 [default: ES256].
        #[arg(long, value_name = "ALG", value_parser = ["ES256", "EdDSA", "RS256", "PS256"])]
        alg: Option<String>,
        #[command(flatten)]
        shared: Shared,
    },
}

#[derive(Debug, clap::Args)]
struct Shared {
    /// Print the server's answer as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Runs `taskpass keys`.
pub async fn run(args: Args) -> Result<(), CliError> {
    match args.command {
        Command::Generate { issuer, client, out, alg } => generate(&issuer, &client, &out, &alg)?,
        Command::List { shared } => {
            let api = AdminApi::connect(&shared.connection, "registry:read").await?;
            let answer = api.get("keys").await?;
            if shared.json {
                output::json(&answer);
            } else {
                table(&answer).into_iter().for_each(output::line);
            }
        }
        Command::Rotate { alg, shared } => {
            let api = AdminApi::connect(&shared.connection, "registry:write").await?;
            let body = alg.map_or_else(|| json!({}), |alg| json!({ "alg": alg }));
            let answer = api.post("keys/rotate", &body).await?;
            if shared.json {
                output::json(&answer);
            } else {
                let member = |name: &str| answer.get(name).map_or_else(|| "?".into(), output::cell);
                output::line(format!("Key {} ({}) is {}.", member("kid"), member("alg"), member("state")));
                output::line(
                    "`taskpass keys list` shows when it takes over; the key before it goes on verifying.",
                );
            }
        }
    }
    Ok(())
}

fn generate(issuer: &str, client: &str, out: &std::path::Path, alg: &str) -> Result<(), CliError> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let algorithm =
        Algorithm::parse(alg).ok_or_else(|| CliError::new("unknown algorithm").exit_code(CliError::USAGE))?;
    let made = PrivateJwk::generate(algorithm)
        .map_err(|error| CliError::new(format!("can't make a key: {error}")))?;
    let public = made.public().map_err(|error| CliError::new(format!("can't make a key: {error}")))?;
    let private: Value = serde_json::from_str(&made.to_text())
        .map_err(|error| CliError::new(format!("can't write the key: {error}")))?;
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(out);
    let mut file = file
        .map_err(|error| CliError::new(format!("{}: {error}", out.display())).exit_code(CliError::USAGE))?;
    writeln!(file, "{}", json!({ "issuer": issuer, "client_id": client, "private_jwk": private }))?;
    file.sync_all()?;
    output::json(&json!({ "keys": [public.to_json()] }));
    Ok(())
}

/// A line per key: what it is, and its times as people read them.
fn table(answer: &Value) -> Vec<String> {
    let keys: Vec<_> = answer.get("keys").and_then(Value::as_array).into_iter().flatten().collect();
    if keys.is_empty() {
        return vec!["There are no keys.".into()];
    }
    let head = ["KID", "ALG", "STATE", "SIGNS FROM", "PUBLISHED UNTIL"].map(str::to_owned).to_vec();
    let rows: Vec<_> = std::iter::once(head).chain(keys.into_iter().map(row)).collect();
    output::columns(&rows)
}

fn row(key: &Value) -> Vec<String> {
    let text = |name: &str| key.get(name).map_or_else(|| "-".into(), output::cell);
    let moment = |name: &str| {
        key.get(name).and_then(Value::as_i64).map_or_else(|| "-".into(), |at| utc(Timestamp(at)))
    };
    vec![text("kid"), text("alg"), text("state"), moment("activates_at"), moment("retires_at")]
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

    #[tokio::test]
    async fn lists_and_rotates() {
        let server = FakeServer::start(|_| (200, json!({"keys": []}))).await;
        let credentials = server.connection().credentials.unwrap();
        let credentials = ["--credentials", credentials.to_str().unwrap()];
        for args in [vec!["x", "list"], vec!["x", "rotate", "--alg", "EdDSA"], vec!["x", "rotate", "--json"]]
        {
            run(Cli::parse_from(args.into_iter().chain(credentials)).args).await.unwrap();
        }
        assert_eq!(server.scopes(), ["registry:read", "registry:write", "registry:write"]);
        let path = || "/admin/v1/keys/rotate".to_owned();
        assert_eq!(
            server.calls()[1..],
            [("POST".into(), path(), json!({"alg": "EdDSA"})), ("POST".into(), path(), json!({})),]
        );
    }

    #[test]
    fn offers_only_algorithms_that_sign_here() {
        assert!(Cli::try_parse_from(["x", "rotate", "--alg", "HS256"]).is_err());
    }

    #[test]
    fn a_table_that_people_can_read() {
        let keys = json!({"keys": [
            {"kid": "k1", "state": "retiring", "alg": "ES256", "activates_at": 1, "retires_at": 86_401, "public_jwk": "{}"},
            {"kid": "k22", "state": "active", "alg": "ES256", "activates_at": 20, "retires_at": null}]});
        assert_eq!(
            table(&keys),
            [
                "KID  ALG    STATE     SIGNS FROM               PUBLISHED UNTIL",
                "k1   ES256  retiring  1970-01-01 00:00:01 UTC  1970-01-02 00:00:01 UTC",
                "k22  ES256  active    1970-01-01 00:00:20 UTC  -",
            ]
        );
        assert_eq!(table(&json!({})), ["There are no keys."]);
    }
}
