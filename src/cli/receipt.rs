//! `taskpass receipt`: the signed word that a revocation is in force everywhere, checked by anybody.

use std::io::Read as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::admin_api::{client, server_url};
use super::error::CliError;
use super::moment::utc;
use super::output;
use crate::domain::feed::{RECEIPT_TYP, Receipt};
use crate::jose::{JwkSet, Unverified};

/// Check a receipt that `taskpass revoke --wait` gave out.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  taskpass revoke --agent triage --wait --receipt triage.receipt
  taskpass receipt verify triage.receipt --issuer https://id.example.com
  taskpass receipt verify triage.receipt --jwks kept-keys.json --json")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Verify the signature, and say what the receipt says.
    #[command(after_help = "Examples:
  taskpass receipt verify triage.receipt --issuer https://id.example.com
  curl -s https://id.example.com/oauth/jwks > kept-keys.json      (keep the keys: the one that signed retires)
  taskpass receipt verify triage.receipt --jwks kept-keys.json --issuer https://id.example.com

Exit codes: 0 genuine, 1 not genuine, 2 usage, 4 the issuer can't be reached.")]
    Verify(Verify),
}

#[derive(Debug, clap::Args)]
struct Verify {
    /// The receipt; `-` reads it from standard input.
    file: PathBuf,
    /// The issuer that must have signed it; its keys are fetched.
    #[arg(long, value_name = "URL", required_unless_present = "jwks")]
    issuer: Option<String>,
    /// Public keys kept elsewhere, instead of fetching them: also for keys that have been retired since.
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
    /// Print the receipt as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs `taskpass receipt`.
pub async fn run(args: Args) -> Result<(), CliError> {
    let Command::Verify(verify) = args.command;
    let text = read(&verify.file)?;
    let keys = match (&verify.jwks, &verify.issuer) {
        (Some(file), _) => {
            serde_json::from_str(&read(file)?).map_err(|_| wrong("the key file is not JSON"))?
        }
        (None, Some(issuer)) => fetch(issuer).await?,
        (None, None) => return Err(wrong("name the issuer with --issuer, or its keys with --jwks")),
    };
    let keys = JwkSet::parse(&keys).map_err(|_| wrong("the keys are not a JWK set"))?;
    let receipt = check(text.trim(), &keys, verify.issuer.as_deref())?;
    if verify.json {
        output::json(&receipt);
    } else {
        tell(&receipt).into_iter().for_each(output::line);
    }
    Ok(())
}

fn wrong(why: &str) -> CliError {
    CliError::new(why).exit_code(CliError::USAGE)
}

fn read(path: &PathBuf) -> Result<String, CliError> {
    let at = |error| CliError::new(format!("{}: {error}", path.display())).exit_code(CliError::USAGE);
    if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().take(1 << 20).read_to_string(&mut text).map_err(at)?;
        return Ok(text);
    }
    std::fs::read_to_string(path).map_err(at)
}

async fn fetch(issuer: &str) -> Result<Value, CliError> {
    let url = server_url(issuer)?;
    let http = client(&url, 30)?;
    Ok(http.get(format!("{issuer}/oauth/jwks")).send().await?.error_for_status()?.json().await?)
}

fn check(text: &str, keys: &JwkSet, issuer: Option<&str>) -> Result<Receipt, CliError> {
    let refused = |why: &str| CliError::new(format!("this is not a genuine receipt: {why}"));
    let unverified = Unverified::parse_document(text).map_err(|error| refused(&error.to_string()))?;
    // RFC 8725 §3.11: a token of one kind must not pass for another.
    if unverified.header().typ.as_deref() != Some(RECEIPT_TYP) {
        return Err(refused("it is a signed statement of another kind"));
    }
    let payload = unverified.verify(keys).map_err(|error| {
        refused(&error.to_string()).hint(
            "a key that was retired since is no longer published; verify with --jwks and the keys you kept",
        )
    })?;
    let receipt: Receipt = serde_json::from_slice(payload).map_err(|error| refused(&error.to_string()))?;
    match issuer {
        Some(issuer) if issuer != receipt.iss => Err(refused(&format!("it was signed by {}", receipt.iss))),
        _ => Ok(receipt),
    }
}

fn tell(receipt: &Receipt) -> Vec<String> {
    let cut = receipt.cutoffs.iter().map(|cut| format!("  {} {}", cut.scope_kind.as_str(), cut.scope_id));
    let mut lines = vec![format!("Genuine: signed by {} for tenant {}.", receipt.iss, receipt.tenant)];
    lines.push(format!("Revoked at {}.{}:", receipt.generation, receipt.seq));
    lines.extend(cut);
    lines.push(format!("Acknowledged {}.", utc(receipt.acknowledged_at)));
    lines.push(format!(
        "In force everywhere {}, {} ms later.",
        utc(receipt.effective_at),
        receipt.effective_after_ms
    ));
    lines.push(reach(receipt.acknowledged as u64, receipt.leases_expired as u64));
    lines
}

/// At how many enforcers a revocation is in force, and why.
pub(super) fn reach(applied: u64, expired: u64) -> String {
    let applied = match applied {
        0 => None,
        1 => Some("1 enforcer has applied it".to_owned()),
        many => Some(format!("{many} enforcers have applied it")),
    };
    let gone = match expired {
        1 => "its lease has run out, and it accepts nothing",
        _ => "their leases have run out, and they accept nothing",
    };
    match (applied, expired) {
        (Some(applied), 0) => format!("{applied}."),
        (Some(applied), 1) => format!("{applied}; 1 has not, {gone}."),
        (Some(applied), many) => format!("{applied}; {many} have not, {gone}."),
        (None, 1) => format!("1 enforcer has not applied it: {gone}."),
        (None, many @ 2..) => format!("{many} enforcers have not applied it: {gone}."),
        (None, 0) => {
            "No enforcer follows the log: one that introspects asks anew, one that verifies offline \
                         accepts tokens until they expire."
                .to_owned()
        }
    }
}

/// What the text of a receipt says, unproven: for whoever has it from the server itself.
pub(super) fn peek(text: &str) -> Option<Value> {
    let members = Unverified::parse_document(text).ok()?.peek()?;
    Some(json!(members))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::cutoff::{Cut, ScopeKind};
    use crate::jose::{Algorithm, PrivateJwk};
    use crate::time::Timestamp;

    fn receipt() -> Receipt {
        Receipt {
            iss: "https://id.example.com".into(),
            iat: Timestamp(1_800_000_000),
            tenant: "main".into(),
            generation: "g".into(),
            seq: 4,
            cutoffs: vec![Cut { seq: 4, scope_kind: ScopeKind::Agent, scope_id: "triage".into() }],
            acknowledged_at: Timestamp(1_800_000_000),
            effective_at: Timestamp(1_800_000_000),
            effective_after_ms: 12,
            acknowledged: 3,
            leases_expired: 1,
        }
    }

    #[test]
    fn only_a_genuine_receipt_of_this_issuer_passes() {
        let private = PrivateJwk::generate(Algorithm::ES256).unwrap();
        let (key, keys) = (private.signing_key().unwrap(), JwkSet::of(private.public().unwrap()));
        let good = key.sign(RECEIPT_TYP, &receipt()).unwrap();
        assert_eq!(check(&good, &keys, Some("https://id.example.com")).unwrap(), receipt());
        assert!(check(&good, &keys, Some("https://other.example.com")).is_err());
        assert!(check(&key.sign("at+jwt", &receipt()).unwrap(), &keys, None).is_err());
        let stranger = PrivateJwk::generate(Algorithm::ES256).unwrap().signing_key().unwrap();
        assert!(check(&stranger.sign(RECEIPT_TYP, &receipt()).unwrap(), &keys, None).is_err());
        assert!(check(&good[..good.len() - 2], &keys, None).is_err());
        assert_eq!(peek(&good).unwrap()["acknowledged"], 3);
        assert!(tell(&receipt()).join("\n").contains("3 enforcers have applied it; 1 has not"));
    }

    #[test]
    fn says_where_it_is_in_force_and_why() {
        assert_eq!(reach(1, 0), "1 enforcer has applied it.");
        assert_eq!(
            reach(2, 3),
            "2 enforcers have applied it; 3 have not, their leases have run out, and they accept nothing."
        );
        assert_eq!(
            reach(0, 1),
            "1 enforcer has not applied it: its lease has run out, and it accepts nothing."
        );
        assert!(reach(0, 0).starts_with("No enforcer follows the log"));
    }
}
