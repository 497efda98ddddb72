//! `taskpass apply`: make the registry say what a file says, and show what that changes.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::admin_api::{AdminApi, Connection};
use super::error::CliError;
use super::{output, registry_file};

/// Make the registry say what a file says, and show what that changes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  taskpass apply -f registry.yaml --dry-run
  taskpass apply -f registry.yaml
  taskpass apply -f registry.yaml --tenant main --json
  taskpass apply --schema > registry.schema.json

Applying the same file twice changes nothing the second time. Every section is checked before any is applied.
With `# yaml-language-server: $schema=registry.schema.json` as its first line, editors check the file as you type.")]
pub struct Args {
    /// The registry file; `-` is standard input.
    #[arg(short, long, value_name = "FILE", required_unless_present = "schema")]
    file: Option<PathBuf>,
    /// Apply this tenant's section only.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Show what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON: {"dry_run", "tenants": [{"tenant", "applied", "changes", "notes"}]}.
    #[arg(long)]
    json: bool,
    /// Print the JSON Schema of the registry file, and do nothing else.
    #[arg(long, conflicts_with_all = ["file", "tenant", "dry_run"])]
    schema: bool,
    #[command(flatten)]
    connection: Connection,
}

/// What applying one tenant's section did, or would do.
#[derive(Debug, Serialize, Deserialize)]
#[expect(clippy::struct_field_names, reason = "`applied` is the word on the wire")]
struct Applied {
    #[serde(default)]
    tenant: String,
    applied: bool,
    #[serde(default)]
    changes: Vec<Change>,
    #[serde(default)]
    notes: Vec<String>,
}

/// One entry of the registry and what happens to it.
#[derive(Debug, Serialize, Deserialize)]
struct Change {
    action: String,
    kind: String,
    id: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    fields: Vec<String>,
}

/// Runs `taskpass apply`.
pub async fn run(args: Args) -> Result<(), CliError> {
    let Some(file) = args.file.as_ref().filter(|_| !args.schema) else {
        output::json(&registry_file::json_schema());
        return Ok(());
    };
    let document = registry_file::read(file)?;
    let sections = chosen(&document, args.tenant.as_deref())?;
    let api = AdminApi::connect(&args.connection, "registry:read registry:write").await?;
    check_reach(&api.credentials.issuer, &sections)?;
    let mut results = Vec::with_capacity(sections.len());
    if args.dry_run || sections.len() > 1 {
        results = send(&api, &sections, true).await?;
    }
    if !args.dry_run {
        results = send(&api, &sections, false).await?;
    }
    if args.json {
        output::json(&json!({ "dry_run": args.dry_run, "tenants": results }));
    } else {
        results.iter().flat_map(diff).for_each(output::line);
        output::line(verdict(&results, args.dry_run));
    }
    Ok(())
}

/// The sections to send: all, or the one that was named.
fn chosen<'a>(document: &'a Value, tenant: Option<&str>) -> Result<Vec<(&'a str, &'a Value)>, CliError> {
    let mut sections = registry_file::sections(document);
    if let Some(tenant) = tenant {
        let names = sections.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        sections.retain(|(name, _)| *name == tenant);
        if sections.is_empty() {
            return Err(CliError::new(format!("the file has no section for tenant {tenant}"))
                .hint(format!("it has: {names}"))
                .exit_code(CliError::USAGE));
        }
    }
    Ok(sections)
}

/// An administrator of tenant `main` may send any section; one of another tenant only its own.
fn check_reach(issuer: &str, sections: &[(&str, &Value)]) -> Result<(), CliError> {
    let Some((_, own)) = issuer.rsplit_once("/t/") else {
        return Ok(());
    };
    match sections.iter().find(|(name, _)| *name != own) {
        None => Ok(()),
        Some((other, _)) => {
            Err(CliError::new(format!("these credentials are for tenant {own}, not {other}"))
                .hint(format!("--tenant {own} applies that section only; --credentials FILE names others"))
                .exit_code(CliError::USAGE))
        }
    }
}

async fn send(api: &AdminApi, sections: &[(&str, &Value)], dry_run: bool) -> Result<Vec<Applied>, CliError> {
    let path = if dry_run { "registry?dry_run=true" } else { "registry" };
    let mut results: Vec<Applied> = Vec::with_capacity(sections.len());
    for (tenant, section) in sections {
        let answer = api.put(path, section).await.map_err(|error| in_section(error, tenant, &results))?;
        let applied: Applied = serde_json::from_value(answer)
            .map_err(|error| CliError::new(format!("the server's answer can't be read: {error}")))?;
        results.push(Applied { tenant: (*tenant).to_owned(), ..applied });
    }
    Ok(results)
}

/// Says in which section an error is, and what had been done before it.
fn in_section(error: CliError, tenant: &str, before: &[Applied]) -> CliError {
    let done: Vec<_> =
        before.iter().filter(|result| result.applied).map(|result| result.tenant.as_str()).collect();
    let done = if done.is_empty() {
        "nothing was changed".into()
    } else {
        format!("applied before it: {}", done.join(", "))
    };
    CliError { message: format!("tenant {tenant}: {} ({done})", error.message), ..error }
}

/// The lines that show one tenant's changes.
fn diff(result: &Applied) -> Vec<String> {
    let mut lines = vec![format!("tenant {}", result.tenant)];
    for change in result.changes.iter().filter(|change| change.action != "unchanged") {
        let sign = match change.action.as_str() {
            "create" => '+',
            "update" => '~',
            "delete" | "remove" | "retire" => '-',
            _ => '?',
        };
        let fields =
            if change.fields.is_empty() { String::new() } else { format!(" ({})", change.fields.join(", ")) };
        lines.push(format!("  {sign} {} {}{fields}", change.kind, change.id));
    }
    let unchanged = result.changes.iter().filter(|change| change.action == "unchanged").count();
    if unchanged > 0 || lines.len() == 1 {
        lines.push(format!("  = {unchanged} unchanged"));
    }
    lines.extend(result.notes.iter().map(|note| format!("  note: {note}")));
    lines
}

/// The last line: whether anything was changed.
fn verdict(results: &[Applied], dry_run: bool) -> String {
    let changes = results
        .iter()
        .flat_map(|result| &result.changes)
        .filter(|change| change.action != "unchanged")
        .count();
    let changes = if changes == 1 { "1 change".into() } else { format!("{changes} changes") };
    match (dry_run, changes.as_str()) {
        (true, "0 changes") => "Dry run: nothing would change, and nothing was changed.".into(),
        (true, _) => format!("Dry run: {changes} would be made; nothing was changed."),
        (false, "0 changes") => "Nothing to change.".into(),
        (false, _) => format!("Applied {changes}."),
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

    const TWO: &str =
        "version: 1\ntenants:\n  - {tenant: main, agents: [{agent: triage}]}\n  - {tenant: acme}\n";

    async fn apply(server: &FakeServer, extra: &[&str]) -> Result<(), CliError> {
        let file = server.folder().join("registry.yaml");
        std::fs::write(&file, TWO).unwrap();
        let credentials = server.connection().credentials.unwrap();
        let fixed = ["x", "-f", file.to_str().unwrap(), "--credentials", credentials.to_str().unwrap()];
        run(Cli::parse_from(fixed.iter().chain(extra)).args).await
    }

    #[tokio::test]
    async fn checks_every_section_before_it_changes_one() {
        let server = FakeServer::start(|_| (200, json!({"applied": true, "changes": []}))).await;
        apply(&server, &[]).await.unwrap();
        let calls = server.calls();
        let order: Vec<_> =
            calls.iter().map(|(_, path, body)| (path.as_str(), body["tenant"].as_str().unwrap())).collect();
        let (check, change) = ("/admin/v1/registry?dry_run=true", "/admin/v1/registry");
        assert_eq!(order, [(check, "main"), (check, "acme"), (change, "main"), (change, "acme")]);
        assert_eq!(calls[2].2, json!({"tenant": "main", "agents": [{"agent": "triage"}]}));
    }

    #[tokio::test]
    async fn a_refused_section_stops_all() {
        let server = FakeServer::start(|(_, _, body)| match body["tenant"].as_str() {
            Some("acme") => {
                (400, json!({"error": "invalid_request", "error_description": "agent x has no owner"}))
            }
            _ => (200, json!({"applied": false})),
        })
        .await;
        let error = apply(&server, &[]).await.unwrap_err();
        assert_eq!(error.exit_code, CliError::REFUSED);
        assert!(error.message.starts_with("tenant acme: ") && error.message.contains("no owner"), "{error}");
        assert!(error.message.ends_with("(nothing was changed)"), "{error}");
        assert!(server.calls().iter().all(|(_, path, _)| path.ends_with("dry_run=true")));
    }

    #[tokio::test]
    async fn dry_run_only_asks_and_tenant_picks_one() {
        let server = FakeServer::start(|_| (200, json!({"applied": false}))).await;
        apply(&server, &["--dry-run", "--tenant", "acme", "--json"]).await.unwrap();
        let calls = server.calls();
        assert_eq!((calls.len(), calls[0].1.as_str()), (1, "/admin/v1/registry?dry_run=true"));
        let error = apply(&server, &["--tenant", "beta"]).await.unwrap_err();
        assert_eq!(error.hint.unwrap(), "it has: main, acme");
    }

    #[test]
    fn prints_a_diff() {
        let result: Applied = serde_json::from_value(json!({"tenant": "main", "applied": true, "changes": [
            {"action": "create", "kind": "agent", "id": "triage"},
            {"action": "update", "kind": "resource", "id": "https://t.example/mcp", "fields": ["scopes", "tools"]},
            {"action": "unchanged", "kind": "client", "id": "ops"},
            {"action": "unchanged", "kind": "client", "id": "dev"},
        ], "notes": ["agent old is not in the file"]}))
        .unwrap();
        let expected = [
            "tenant main",
            "  + agent triage",
            "  ~ resource https://t.example/mcp (scopes, tools)",
            "  = 2 unchanged",
            "  note: agent old is not in the file",
        ];
        assert_eq!(diff(&result), expected);
        let results = [result];
        assert_eq!(verdict(&results, true), "Dry run: 2 changes would be made; nothing was changed.");
        assert_eq!(verdict(&results, false), "Applied 2 changes.");
        assert_eq!(verdict(&[], false), "Nothing to change.");
    }

    #[test]
    fn credentials_of_a_tenant_reach_that_tenant() {
        let section = json!({});
        assert!(check_reach("https://id.example", &[("main", &section), ("acme", &section)]).is_ok());
        assert!(check_reach("https://id.example/t/acme", &[("acme", &section)]).is_ok());
        assert!(check_reach("https://id.example/t/acme", &[("acme", &section), ("main", &section)]).is_err());
    }

    #[test]
    fn needs_a_file_or_the_wish_for_the_schema() {
        assert!(Cli::try_parse_from(["x"]).is_err());
        assert!(Cli::try_parse_from(["x", "--schema"]).is_ok());
        assert!(Cli::try_parse_from(["x", "--schema", "-f", "a"]).is_err());
    }
}
