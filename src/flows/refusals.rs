//! Refusals that leave no other row: each is written down, durably, before the caller hears of it.

use serde_json::Value;

use super::{FlowError, Server, Tenant};
use crate::domain::audit::{Event, EventKind};
use crate::domain::refusal::Refusal;
use crate::protocol::error_code::ErrorCode;
use crate::storage::journal::{Entry, Outcome};

/// How often a row is handed in again when the registry moves under it.
const ATTEMPTS: usize = 4;

/// Where the refusals of one kind of request to one tenant are written down.
pub struct Recorder<'a> {
    server: &'a Server,
    tenant: &'a Tenant,
    kind: EventKind,
}

impl<'a> Recorder<'a> {
    /// A recorder of what is decided about `kind`.
    pub fn new(server: &'a Server, tenant: &'a Tenant, kind: EventKind) -> Self {
        Self { server, tenant, kind }
    }

    /// What was decided about somebody who hasn't proved who it is, and perhaps claims to be `claimed`.
    pub async fn stranger<T, E: Into<FlowError>>(
        &self,
        claimed: Option<String>,
        decided: Result<T, E>,
    ) -> Result<T, FlowError> {
        match decided.map_err(Into::into) {
            Err(FlowError::Refused(refusal)) => Err(self.refused(refusal, "strangers", claimed).await?),
            decided => decided,
        }
    }

    /// What was decided about a client that has proved who it is.
    pub async fn client<T, E: Into<FlowError>>(
        &self,
        client: &str,
        decided: Result<T, E>,
    ) -> Result<T, FlowError> {
        match decided.map_err(Into::into) {
            Err(FlowError::Refused(refusal)) => {
                let bucket = format!("client {client}");
                Err(self.refused(refusal, &bucket, Some(client.to_owned())).await?)
            }
            decided => decided,
        }
    }

    /// What was decided about a person on the way in, or out again; `detail` says by which identity provider. That one can't
    /// be asked is a decision here: the person stays outside.
    pub async fn about<T>(&self, detail: Value, decided: Result<T, FlowError>) -> Result<T, FlowError> {
        match decided {
            Err(FlowError::Refused(refusal))
                if !is_temporary(refusal) || refusal == Refusal::SignInFailed =>
            {
                let mut event = Event::new(self.kind, false).refused(refusal.rule());
                event.detail = Some(detail);
                Err(self.write(refusal, "strangers", event).await?)
            }
            decided => decided,
        }
    }

    /// Writes a refusal down, and hands it back to be told. Rows are limited, because each costs a write; what is only
    /// temporary is no decision.
    async fn refused(
        &self,
        refusal: Refusal,
        bucket: &str,
        client_id: Option<String>,
    ) -> Result<FlowError, FlowError> {
        if is_temporary(refusal) {
            return Ok(refusal.into());
        }
        let mut event = Event::new(self.kind, false).refused(refusal.rule());
        event.client_id = client_id;
        self.write(refusal, bucket, event).await
    }

    async fn write(&self, refusal: Refusal, bucket: &str, mut event: Event) -> Result<FlowError, FlowError> {
        self.server.limits.strangers.take(&self.tenant.name, bucket)?;
        for _ in 0..ATTEMPTS {
            let rev = self.tenant.view.rev();
            event.rev = Some(rev.clone());
            let entry = Entry {
                tenant: self.tenant.name.clone(),
                rev,
                registry_version: self.tenant.state().registry.version,
                mark: None,
                mint: None,
                event: event.clone(),
                more: Vec::new(),
            };
            match self.server.journal.record(entry).await? {
                Outcome::Committed | Outcome::Repeated | Outcome::Refused(_) => return Ok(refusal.into()),
                Outcome::Moved => self.server.refresh().await?,
            }
        }
        Err(Refusal::Overloaded.into())
    }
}

fn is_temporary(refusal: Refusal) -> bool {
    matches!(refusal.wire().code, ErrorCode::TemporarilyUnavailable | ErrorCode::SlowDown)
}
