//! Evidence: one event for each decision, on the disk before the decision takes effect, delivered to the issuer's audit
//! trail however long that takes.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use super::limits::Strangers;
use super::refusal::Refusal;
use super::spool::{SYNC, Spool, SpoolError};
use crate::enforcer::{Enforcer, Unavailable, VerifiedToken};
use crate::protocol::claims::{AccessTokenClaims, Actor, Rev};
use crate::time::{Clock, Timestamp};

/// How long after an event it is sent at the latest, while the issuer answers.
const DELIVER: Duration = Duration::from_millis(500);
/// The longest pause between attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The longest tool name that is written down whole.
const LONGEST_TOOL: usize = 256;

/// One decision, as the issuer's audit trail takes it. Never a token or an argument.
#[derive(Serialize)]
struct Event<'a> {
    #[serde(rename = "event")]
    kind: &'static str,
    granted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<&'a Actor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<&'a str>,
    resource: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rev: Option<Rev>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_age_ms: Option<u64>,
    #[serde(skip_serializing_if = "is_false")]
    dry_run: bool,
    at: Timestamp,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Who was refused.
#[derive(Clone, Copy)]
pub(super) enum Caller<'a> {
    /// Somebody with a good token.
    Known(&'a VerifiedToken),
    /// Somebody without one, perhaps with one that was revoked; then this is whose it was.
    Stranger(Option<&'a AccessTokenClaims>),
}

/// A batch on the wire.
#[derive(Serialize)]
struct Decisions<'a> {
    batch: &'a str,
    events: &'a [Box<RawValue>],
}

/// Writes decisions down.
pub(super) struct Evidence {
    spool: Spool,
    enforcer: Arc<Enforcer>,
    clock: Clock,
    dry_run: bool,
    strangers: Strangers,
}

impl Evidence {
    /// Evidence of this enforcer's decisions.
    pub(super) fn new(spool: Spool, enforcer: Arc<Enforcer>, clock: Clock, dry_run: bool) -> Self {
        Self { spool, enforcer, clock, dry_run, strangers: Strangers::new() }
    }

    /// Writes down that `tool` may be called. An error is a no: what can't be recorded doesn't happen.
    pub(super) fn granted(&self, token: &VerifiedToken, tool: Option<&str>) -> Result<(), Refusal> {
        metrics::counter!("taskpass_guard_decisions_total", "rule" => "granted").increment(1);
        self.write(Some(token.claims()), tool, None).map_err(|error| {
            tracing::error!(%error, "evidence can't be kept, so nothing is granted");
            Refusal::EvidenceFull
        })
    }

    /// Writes down a refusal. It stands whether or not it can be written.
    pub(super) fn refused(&self, caller: Caller<'_>, tool: Option<&str>, rule: &'static str) {
        metrics::counter!("taskpass_guard_decisions_total", "rule" => rule).increment(1);
        // Anybody can be refused without a token. Strangers take no room from those whose calls need evidence.
        let stranger = matches!(caller, Caller::Stranger(_));
        if stranger && (self.spool.fullness() > 0.5 || !self.strangers.take()) {
            metrics::counter!("taskpass_guard_unrecorded_refusals_total").increment(1);
            return;
        }
        let claims = match caller {
            Caller::Known(token) => Some(token.claims()),
            Caller::Stranger(claims) => claims,
        };
        if let Err(error) = self.write(claims, tool, Some(rule)) {
            metrics::counter!("taskpass_guard_unrecorded_refusals_total").increment(1);
            tracing::error!(%error, rule, "a refusal can't be recorded");
        }
    }

    fn write(
        &self,
        claims: Option<&AccessTokenClaims>,
        tool: Option<&str>,
        rule: Option<&str>,
    ) -> Result<(), SpoolError> {
        let status = self.enforcer.status();
        let tool =
            tool.map(|tool| tool.char_indices().nth(LONGEST_TOOL).map_or(tool, |(end, _)| &tool[..end]));
        let event = Event {
            kind: "enforcement",
            granted: rule.is_none(),
            rule,
            jti: claims.map(|claims| claims.jti.as_str()),
            sub: claims.map(|claims| claims.sub.as_str()),
            act: claims.and_then(|claims| claims.act.as_ref()),
            client_id: claims.map(|claims| claims.client_id.as_str()),
            task: claims.and_then(|claims| claims.task.as_deref()),
            tool,
            resource: self.enforcer.resource().as_str(),
            rev: status.rev,
            lease_age_ms: status.lease_age_ms,
            dry_run: self.dry_run,
            at: self.clock.now(),
        };
        let mut line = serde_json::to_vec(&event).map_err(std::io::Error::other)?;
        line.push(b'\n');
        self.spool.append(&line)
    }

    /// How many bytes wait.
    pub(super) fn waiting(&self) -> u64 {
        self.spool.waiting()
    }

    /// How full the spool is, from 0 to 1.
    pub(super) fn fullness(&self) -> f64 {
        self.spool.fullness()
    }

    /// Forces lines to the disk and delivers them until it is told to stop; then tries once more.
    pub(super) async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let syncing = tokio::spawn(Arc::clone(&self).sync_always(stop.clone()));
        let mut pause = DELIVER;
        while !stop.is_cancelled() {
            let all = self.deliver().await;
            pause = if all { DELIVER } else { (pause * 2).min(LONGEST_PAUSE) };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => {}
            }
        }
        let _ = syncing.await;
        self.deliver().await;
        // What could not be delivered waits on the disk for the next start.
        if let Err(error) = self.spool.sync() {
            tracing::error!(%error, "evidence could not be forced to the disk");
        }
    }

    async fn sync_always(self: Arc<Self>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            tokio::time::sleep(SYNC).await;
            let evidence = Arc::clone(&self);
            let synced = tokio::task::spawn_blocking(move || evidence.spool.sync()).await;
            if let Ok(Err(error)) = synced {
                tracing::error!(%error, "evidence could not be forced to the disk");
            }
        }
    }

    /// Sends batch after batch; `false` when the issuer doesn't take them now. What is written meanwhile is the next
    /// round's: a batch for each few lines would cost both sides more than the lines.
    async fn deliver(self: &Arc<Self>) -> bool {
        self.spool.seal();
        loop {
            let evidence = Arc::clone(self);
            let oldest = tokio::task::spawn_blocking(move || evidence.spool.oldest()).await;
            let batch = match oldest.map_err(std::io::Error::other).flatten() {
                Ok(Some(batch)) => batch,
                Ok(None) => return true,
                Err(error) => {
                    tracing::error!(%error, "evidence can't be read");
                    return false;
                }
            };
            let body = Decisions { batch: &batch.id, events: &batch.events };
            let settled = match self.enforcer.deliver(&body).await {
                Ok(()) => self.spool.delivered(&batch),
                // Nothing that is tried again would be taken: the next batches must not wait behind it.
                Err(Unavailable::Status { status: status @ (400 | 413 | 422), .. }) => {
                    tracing::error!(status, batch = %batch.id, "the issuer refuses a batch of evidence; it is kept under rejected/");
                    metrics::counter!("taskpass_guard_rejected_batches_total").increment(1);
                    self.spool.reject(&batch)
                }
                Err(error) => {
                    tracing::warn!(%error, "evidence can't be delivered now; it is kept");
                    return false;
                }
            };
            if let Err(error) = settled {
                tracing::error!(%error, "a delivered batch can't be removed");
                return false;
            }
        }
    }
}
