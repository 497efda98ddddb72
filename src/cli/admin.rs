//! `taskpass admin`: make the first administrator, with a key that never leaves this machine.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::admin_api::{answer, client, default_credentials, server_url};
use super::error::CliError;
use super::output;
use crate::jose::{Algorithm, PrivateJwk};
use crate::secret::Secret;

/// Make the first administrator.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  taskpass admin enroll --server http://127.0.0.1:8080 --bootstrap-token-file ./bootstrap-token\n  taskpass serve … prints the one-time token at its first start"
)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Enroll the first administrator: make a key, register its public half, write the credentials file.
    Enroll(EnrollArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  taskpass admin enroll --server http://127.0.0.1:8080 --bootstrap-token-file ./bootstrap-token
  pbpaste | taskpass admin enroll --server https://id.example.com --bootstrap-token-file - --out ops.json
  TASKPASS_BOOTSTRAP_TOKEN=… taskpass admin enroll --server https://id.example.com

The token works once. Further administrators are clients with `administrator:` in the registry (taskpass apply).")]
struct EnrollArgs {
    /// The server's public URL (its issuer).
    #[arg(long, value_name = "URL", env = "TASKPASS_SERVER")]
    server: String,
    /// A file that holds the one-time token that the server printed at its first start; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    bootstrap_token_file: Option<PathBuf>,
    /// The token itself. Other users of this machine see it in `ps`, and the shell keeps it in its history: prefer
    /// the file or the variable.
    #[arg(long, value_name = "TOKEN", env = "TASKPASS_BOOTSTRAP_TOKEN", hide_env_values = true, value_parser = secret)]
    bootstrap_token: Option<Secret>,
    /// The new administrator's client id.
    #[arg(long, value_name = "NAME", default_value = "admin")]
    client: String,
    /// Where to write the credentials [default: ~/.config/taskpass/credentials.json].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace credentials that are already there; whatever they opened stays shut without them.
    #[arg(long)]
    force: bool,
    /// Give up after this many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
    /// Print JSON: {"client", "issuer", "credentials"}.
    #[arg(long)]
    json: bool,
}

#[expect(clippy::unnecessary_wraps, reason = "clap's parsers return a Result")]
fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text.trim().to_owned()))
}

/// Runs `taskpass admin`.
pub async fn run(args: Args) -> Result<(), CliError> {
    match args.command {
        Command::Enroll(args) => enroll(args).await,
    }
}

async fn enroll(args: EnrollArgs) -> Result<(), CliError> {
    let token = bootstrap_token(&args)?;
    let server = args.server.trim_end_matches('/');
    let url = server_url(server)?;
    let out = args.out.clone().map_or_else(default_credentials, Ok)?;
    let unusable = |error| CliError::new(format!("can't make a key: {error}"));
    let key = PrivateJwk::generate(Algorithm::ES256).map_err(unusable)?;
    let public = key.public().map_err(unusable)?.to_json();

    // The file is there before the token is spent: a full disk must not cost the only way in.
    let draft = Draft::create(&out, args.force)?;
    draft.write(server, &args.client, &key)?;
    let body =
        json!({ "bootstrap_token": token.expose(), "client": args.client, "jwks": { "keys": [public] } });
    let request = client(&url, args.timeout)?.post(format!("{server}/admin/v1/bootstrap")).json(&body);
    let response = match request.send().await {
        Ok(response) => answer(response, "").await,
        // Nothing is known once the request is out: the server may have spent the token on this very key.
        Err(error) if !error.is_connect() && !error.is_builder() => {
            let kept = draft.keep();
            return Err(CliError::from(error).hint(format!(
                "the server may have enrolled this key, so it is kept in {kept}; try it with --credentials {kept}"
            )));
        }
        Err(error) => Err(error.into()),
    };
    let response = response.map_err(|error| match error.exit_code {
        CliError::REFUSED => CliError {
            hint: Some("the token works once, and only as the server printed it at its first start; after that, an administrator registers further ones by `taskpass apply`".into()),
            ..error
        },
        _ => error,
    })?;
    let text = |name: &str| response.get(name).and_then(Value::as_str);
    let (issuer, name) = (text("issuer").unwrap_or(server), text("client").unwrap_or(&args.client));
    if (issuer, name) != (server, &args.client) {
        draft.write(issuer, name, &key)?;
    }
    draft.place()?;
    report(&args, issuer, name, &out);
    Ok(())
}

fn report(args: &EnrollArgs, issuer: &str, name: &str, out: &Path) {
    if args.json {
        return output::json(&json!({ "client": name, "issuer": issuer, "credentials": out }));
    }
    output::line(format!("Enrolled administrator {name} at {issuer}."));
    output::line(format!("The private key is in {} (mode 0600): it is the only copy.", out.display()));
    if issuer != args.server.trim_end_matches('/') {
        output::line(format!("note: the server calls itself {issuer}; later commands go there."));
    }
    let flag = args.out.as_ref().map(|out| format!(" --credentials {}", out.display())).unwrap_or_default();
    output::line(format!("Next: taskpass apply -f registry.yaml --dry-run{flag}"));
}

fn bootstrap_token(args: &EnrollArgs) -> Result<Secret, CliError> {
    let token = match (&args.bootstrap_token_file, &args.bootstrap_token) {
        (Some(path), _) if path == Path::new("-") => {
            let mut text = String::new();
            std::io::stdin().lock().take(4096).read_to_string(&mut text)?;
            Secret::new(text.trim().to_owned())
        }
        (Some(path), _) => {
            let text = std::fs::read_to_string(path);
            let text = text.map_err(|error| CliError::new(format!("can't read {}: {error}", path.display())));
            Secret::new(text.map_err(|error| error.exit_code(CliError::USAGE))?.trim().to_owned())
        }
        (None, Some(token)) => token.clone(),
        (None, None) => Secret::new(String::new()),
    };
    if token.expose().is_empty() {
        return Err(CliError::new("there is no bootstrap token")
            .hint("the server printed it at its first start; give it by --bootstrap-token-file FILE (- for standard input) or TASKPASS_BOOTSTRAP_TOKEN")
            .exit_code(CliError::USAGE));
    }
    Ok(token)
}

/// A credentials file in the making: beside its final place, readable by its owner only, gone unless placed or kept.
struct Draft {
    path: PathBuf,
    place: PathBuf,
    force: bool,
    keep: std::cell::Cell<bool>,
}

impl Draft {
    fn create(place: &Path, force: bool) -> Result<Self, CliError> {
        if !force && std::fs::symlink_metadata(place).is_ok() {
            return Err(exists(place));
        }
        let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut path = place.as_os_str().to_owned();
        path.push(".new");
        let path = PathBuf::from(path);
        let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        opened.map_err(|error| {
            let failed = CliError::new(format!("can't write {}: {error}", path.display()));
            match error.kind() {
                std::io::ErrorKind::AlreadyExists => failed.hint(
                    "an enrollment that was cut short left it: try it with --credentials, or delete it",
                ),
                _ => failed,
            }
        })?;
        Ok(Self { path, place: place.to_owned(), force, keep: std::cell::Cell::new(false) })
    }

    fn write(&self, issuer: &str, client: &str, key: &PrivateJwk) -> Result<(), CliError> {
        let mut file = std::fs::OpenOptions::new().write(true).truncate(true).open(&self.path)?;
        let (issuer, client, key) = (json!(issuer), json!(client), key.to_text());
        writeln!(
            file,
            "{{\"issuer\": {issuer}, \"client_id\": {client}, \"private_jwk\": {}}}",
            key.as_str()
        )?;
        file.sync_all()?;
        Ok(())
    }

    /// Puts the file in its place; without `force` whatever appeared there meanwhile wins.
    fn place(&self) -> Result<(), CliError> {
        let placed = if self.force {
            std::fs::rename(&self.path, &self.place)
        } else {
            std::fs::hard_link(&self.path, &self.place)
        };
        placed.map_err(|error| {
            CliError::new(format!("enrolled, but can't write {}: {error}", self.place.display()))
                .hint(format!("the credentials are in {}", self.keep()))
        })
    }

    /// Leaves the draft where it is, and says where that is.
    fn keep(&self) -> String {
        self.keep.set(true);
        self.path.display().to_string()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.keep.get() {
            // After a rename there is nothing left to remove.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn exists(place: &Path) -> CliError {
    CliError::new(format!("{} is already there", place.display()))
        .hint("--out FILE writes elsewhere; --force replaces it")
        .exit_code(CliError::USAGE)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use clap::Parser;

    use super::*;
    use crate::cli::admin_api::Credentials;
    use crate::cli::fake_server::FakeServer;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    async fn enroll_at(server: &FakeServer, out: &Path, extra: &[&str]) -> Result<(), CliError> {
        let token = server.folder().join("token");
        std::fs::write(&token, "boot_1\n").unwrap();
        let (token, out) = (token.to_str().unwrap(), out.to_str().unwrap());
        let fixed =
            ["x", "enroll", "--server", server.issuer(), "--bootstrap-token-file", token, "--out", out];
        run(Cli::parse_from(fixed.iter().chain(extra)).args).await
    }

    #[tokio::test]
    async fn registers_the_public_half_and_keeps_the_private_one() {
        let server = FakeServer::start(|(_, _, body)| {
            (201, json!({"client": body["client"], "issuer": "https://id.example"}))
        })
        .await;
        let out = server.folder().join("new/folder/ops.json");
        enroll_at(&server, &out, &["--client", "ops"]).await.unwrap();
        let (method, path, body) = server.calls().remove(0);
        assert_eq!((method.as_str(), path.as_str()), ("POST", "/admin/v1/bootstrap"));
        assert_eq!((&body["bootstrap_token"], &body["client"]), (&json!("boot_1"), &json!("ops")));
        let key = &body["jwks"]["keys"][0];
        assert!(key.get("d").is_none() && key["alg"] == "ES256");
        let credentials = Credentials::read(&out).unwrap();
        assert_eq!(
            (credentials.issuer.as_str(), credentials.client_id.as_str()),
            ("https://id.example", "ops")
        );
        assert_eq!(std::fs::metadata(&out).unwrap().mode() & 0o777, 0o600);
        assert!(!out.with_extension("json.new").exists());
    }

    #[tokio::test]
    async fn never_overwrites_without_force() {
        let server = FakeServer::start(|_| (201, json!({"client": "admin"}))).await;
        let out = server.folder().join("ops.json");
        std::fs::write(&out, "mine").unwrap();
        let error = enroll_at(&server, &out, &[]).await.unwrap_err();
        assert!(error.message.contains("already there") && server.calls().is_empty(), "{error}");
        assert_eq!(std::fs::read_to_string(&out).unwrap(), "mine");
        enroll_at(&server, &out, &["--force"]).await.unwrap();
        assert_eq!(Credentials::read(&out).unwrap().issuer, server.issuer());
    }

    #[tokio::test]
    async fn a_refusal_leaves_nothing_behind() {
        let server = FakeServer::start(|_| (401, json!({"error": "access_denied"}))).await;
        let out = server.folder().join("ops.json");
        let error = enroll_at(&server, &out, &[]).await.unwrap_err();
        assert_eq!(error.exit_code, CliError::REFUSED);
        assert!(error.hint.unwrap().contains("works once"));
        assert!(!out.exists() && !out.with_extension("json.new").exists());
    }

    #[tokio::test]
    async fn asks_for_a_token_and_never_prints_it() {
        let args = Cli::parse_from(["x", "enroll", "--server", "http://127.0.0.1:9"]).args;
        assert_eq!(run(args).await.unwrap_err().exit_code, CliError::USAGE);
        let args =
            Cli::parse_from(["x", "enroll", "--server", "http://127.0.0.1:9", "--bootstrap-token", "boot_9"])
                .args;
        assert!(!format!("{args:?}").contains("boot_9"));
    }
}
