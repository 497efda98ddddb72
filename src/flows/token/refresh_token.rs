//! `refresh_token` (RFC 6749 §6, RFC 9700 §4.14): rotated for public clients, with a window in which a token that was used
//! once more leads to its one successor; not rotated for clients that prove who they are.

use super::attempt::Attempt;
use super::authorization_code::{refresh_expiry, successor};
use super::mint::Minted;
use crate::domain::authorization::REPLAY_WINDOW;
use crate::domain::exchange::{Request, Rule};
use crate::domain::refusal::Refusal;
use crate::flows::FlowError;
use crate::flows::clients::KnownClient;
use crate::secret::{Digest, Secret};
use crate::storage::grants::{self, Redemption};
use crate::storage::tasks;

impl Attempt<'_> {
    pub(super) async fn refresh(
        &mut self,
        client: &KnownClient,
        refresh_token: &str,
        request: &Request,
    ) -> Result<Minted, FlowError> {
        let hash = Digest::of(refresh_token.as_bytes());
        let tenant = &self.tenant.name;
        let mut tx = self.server.db.read().await?;
        let found = grants::find_refresh_token(&mut tx, tenant, &hash).await?;
        let found = found.ok_or(Refusal::RefreshTokenUnknown)?;
        let grant = grants::find(&mut tx, tenant, &found.task).await?.ok_or(Refusal::RefreshTokenUnknown)?;
        let task = tasks::find(&mut tx, tenant, &found.task).await?.ok_or(Refusal::RefreshTokenUnknown)?;
        drop(tx);
        // RFC 6749 §6: "the refresh token is bound to the client to which it was issued".
        if grant.client_id != client.id {
            return Err(Refusal::RefreshTokenOfOtherClient.into());
        }
        self.rule = Rule::Subject;
        self.grant_task = Some(grant.task.clone());
        self.note_grant(&grant);
        let over = task.ended_at.is_some() || self.now >= found.expires_at;
        let long_ago = |used: crate::time::Timestamp| self.now.since(used) > REPLAY_WINDOW;
        // It ends the grant, once; what comes after that is limited.
        if !over && !client.confidential && found.used_at.is_some_and(long_ago) {
            return Err(Refusal::RefreshTokenReplayed.into());
        }
        self.server.limits.token.take(tenant, &grant.task)?;
        if over {
            return Err(Refusal::RefreshTokenUnknown.into());
        }
        self.check_grant(&grant).await?;
        // Known conflict of profiles: OAuth 2.1 and MCP have public clients' tokens rotated, FAPI 2.0 forbids it for others.
        let next = (!client.confidential).then(|| successor(self, refresh_token));
        let until = refresh_expiry(&grant, self.now);
        let minted = self.mint_grant((client, &grant), request, false)?;
        let redemption = Redemption::Refresh {
            refresh_token: hash,
            task: grant.task.clone(),
            successor: next.as_ref().map(|next| (next.hash(), until)),
        };
        let answer = next.unwrap_or_else(|| Secret::new(refresh_token.to_owned()));
        Ok(minted.redeeming(redemption).refreshed_by(Some(answer)))
    }
}
