//! The audit trail: read, checkpointed, and verified from the first row to the last.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{FlowError, Server, Tenant};
use crate::domain::audit::{ChainHead, Row, chain_hash};
use crate::jose::{Algorithm, JwkSet, PublicJwk, Unverified};
use crate::secret::Digest;
use crate::storage::audit::{self, Checkpoint};
use crate::storage::{StorageError, Tx, keys, tenants};

/// A row as it is shown.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// Its number.
    pub seq: u64,
    /// When.
    pub at: i64,
    /// Its hash, hexadecimal.
    pub hash: String,
    /// What was decided.
    #[serde(flatten)]
    pub event: Value,
}

/// The JWT `typ` of a checkpoint.
const CHECKPOINT_TYP: &str = "taskpass-audit-checkpoint+jwt";

#[derive(Serialize, Deserialize)]
struct Statement {
    iss: String,
    tenant: String,
    iat: i64,
    seq: u64,
    hash: String,
}

/// What verification found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The tenant.
    pub tenant: String,
    /// How many rows were read.
    pub rows: u64,
    /// How many checkpoints were checked.
    pub checkpoints: usize,
    /// The first row that is not as it was written, and why.
    pub first_bad: Option<(u64, String)>,
}

/// The rows after `seq`, at most `limit`.
pub async fn read(server: &Server, tenant: &Tenant, seq: u64, limit: i64) -> Result<Vec<Shown>, FlowError> {
    let mut tx = server.db.read().await?;
    let rows = audit::after(&mut tx, &tenant.name, seq, limit).await?;
    Ok(rows.iter().map(show).collect())
}

/// A row as it is shown.
pub fn show(row: &Row) -> Shown {
    let event = serde_json::from_str(&row.body).unwrap_or(Value::Null);
    Shown { seq: row.seq, at: row.at.0, hash: row.hash.hex(), event }
}

/// Signs how far the chain has come, unless that is signed already.
pub async fn checkpoint(server: &Server, tenant: &Tenant) -> Result<(), FlowError> {
    let now = server.clock.now();
    let mut tx = server.db.write().await?;
    let head = tenants::lock(&mut tx, &tenant.name).await?;
    let last = audit::last_checkpoint(&mut tx, &tenant.name).await?;
    let state = tenant.state();
    let Some(key) = state.keys.signer(Algorithm::ES256, now).filter(|_| head.chain.seq > last) else {
        return Ok(());
    };
    let statement = Statement {
        iss: tenant.issuer.clone(),
        tenant: tenant.name.to_string(),
        iat: now.0,
        seq: head.chain.seq,
        hash: head.chain.hash.hex(),
    };
    let statement = key
        .sign(CHECKPOINT_TYP, &statement)
        .map_err(|error| StorageError::Damaged(format!("checkpoint: {error}")))?;
    let seq = head.chain.seq.cast_signed();
    audit::add_checkpoint(&mut tx, &tenant.name, &Checkpoint { seq, at: now, statement }).await?;
    Ok(tx.commit().await?)
}

/// Verifies a tenant's whole chain against itself, its head, and its signed checkpoints. Needs the database and nothing
/// else: public keys are read from it, and may be given from elsewhere in `trusted` by whoever doesn't trust it.
pub async fn verify(tx: &mut Tx, tenant: &str, trusted: Option<JwkSet>) -> Result<Report, StorageError> {
    let keys = match trusted {
        Some(keys) => keys,
        None => published(tx, tenant).await?,
    };
    let checkpoints = audit::checkpoints(tx, tenant).await?;
    let head = tenants::heads(tx).await?.into_iter().find(|head| head.tenant == tenant);
    let mut report =
        Report { tenant: tenant.to_owned(), rows: 0, checkpoints: checkpoints.len(), first_bad: None };
    let mut chain = ChainHead::start();
    let mut pending = checkpoints.iter().peekable();
    loop {
        let rows = audit::after(tx, tenant, chain.seq, 5_000).await?;
        if rows.is_empty() {
            break;
        }
        for row in rows {
            if let Err(why) = check_row(tenant, &chain, &row) {
                report.first_bad = Some((chain.seq + 1, why));
                return Ok(report);
            }
            chain = ChainHead { seq: row.seq, hash: row.hash };
            report.rows += 1;
            while let Some(checkpoint) =
                pending.next_if(|checkpoint| checkpoint.seq.unsigned_abs() == row.seq)
            {
                if let Err(why) = check_statement(tenant, checkpoint, &row.hash, &keys) {
                    report.first_bad = Some((row.seq, why));
                    return Ok(report);
                }
            }
        }
    }
    if let Some(cut) = pending.next() {
        let why = format!("a checkpoint was signed over row {}, and the chain ends before it", cut.seq);
        report.first_bad = Some((chain.seq + 1, why));
    } else if head.is_some_and(|head| head.chain != chain) {
        report.first_bad = Some((chain.seq + 1, "the chain ends before its recorded head".into()));
    }
    Ok(report)
}

fn check_row(tenant: &str, before: &ChainHead, row: &Row) -> Result<(), String> {
    if row.seq != before.seq + 1 {
        return Err(format!("rows {} to {} are missing", before.seq + 1, row.seq - 1));
    }
    let hash = chain_hash(tenant, row.seq, row.at, &row.body, &before.hash);
    if hash.matches(&row.hash) {
        Ok(())
    } else {
        Err("its content is not what its hash was made over".into())
    }
}

fn check_statement(
    tenant: &str,
    checkpoint: &Checkpoint,
    hash: &Digest,
    keys: &JwkSet,
) -> Result<(), String> {
    let unverified =
        Unverified::parse(&checkpoint.statement).map_err(|error| format!("its checkpoint: {error}"))?;
    if unverified.header().typ.as_deref() != Some(CHECKPOINT_TYP) {
        return Err("its checkpoint is another kind of token".into());
    }
    let payload = unverified.verify(keys).map_err(|error| format!("its checkpoint: {error}"))?;
    let statement: Statement =
        serde_json::from_slice(payload).map_err(|error| format!("its checkpoint: {error}"))?;
    let same = statement.tenant == tenant
        && statement.seq == checkpoint.seq.unsigned_abs()
        && statement.hash == hash.hex();
    if same { Ok(()) } else { Err("its checkpoint was signed over another chain".into()) }
}

/// Every public key that the tenant ever had: a checkpoint outlives its key's use.
async fn published(tx: &mut Tx, tenant: &str) -> Result<JwkSet, StorageError> {
    let damaged = |error: &dyn std::fmt::Display| StorageError::Damaged(format!("signing key: {error}"));
    let mut list = Vec::new();
    for record in keys::all(tx, tenant).await? {
        let jwk: Value = serde_json::from_str(&record.public_jwk).map_err(|error| damaged(&error))?;
        let jwk = jwk.as_object().ok_or_else(|| damaged(&"not an object"))?;
        list.push(PublicJwk::parse(jwk).map_err(|error| damaged(&error))?);
    }
    Ok(JwkSet::of_all(list))
}
