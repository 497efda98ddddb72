//! Who sits at a browser.

use super::{FlowError, Server, Tenant};
use crate::secret::Digest;
use crate::storage::sessions::{self, Session};

/// The session of that cookie, as long as it goes on: it has neither run out nor been ended, and the person and the
/// identity provider are still let in.
pub async fn find(server: &Server, tenant: &Tenant, cookie: &str) -> Result<Option<Session>, FlowError> {
    let mut tx = server.db.read().await?;
    let session = sessions::find_by_secret(&mut tx, &tenant.name, &Digest::of(cookie.as_bytes())).await?;
    let (now, state) = (server.clock.now(), tenant.state());
    let goes_on = |session: &Session| {
        session.ended_at.is_none()
            && now < session.expires_at
            && state.trusts(&session.idp, server.settings.development)
            && !state.registry.is_disabled(&session.user)
            && !state.registry.is_session_ended(&session.id)
    };
    Ok(session.filter(goes_on))
}
