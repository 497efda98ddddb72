//! The identity provider logs a person out (OpenID Connect Back-Channel Logout 1.0 §2.4 to §2.8): the sessions here end, and so
//! does everything that was granted in them or made from the provider's tokens of that session.

use serde::Deserialize as _;
use serde_json::{Map, Value, json};

use super::id_token::check_audience;
use super::{Usable, usable};
use crate::domain::audit::EventKind;
use crate::domain::cutoff::ScopeKind;
use crate::domain::refusal::Refusal;
use crate::domain::user::{upstream_session_id, user_id};
use crate::flows::upstream_token::{Claims, SKEW, Unproved, is_unfit, verify_signature};
use crate::flows::{FlowError, Recorder, Server, Tenant, in_the_last_room, revocation};
use crate::jose::Unverified;
use crate::secret::Digest;
use crate::storage::marks::{self, Mark};
use crate::storage::{Tx, registry, sessions, tenants};
use crate::time::Timestamp;

/// The member of `events` that makes a security event token a logout token.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How long a logout token may be valid, in seconds: as long as its mark is kept. §4 recommends two minutes at most.
const LONGEST: i64 = 3600;

/// Who is logged out.
struct Logout {
    issued_at: Timestamp,
    sub: Option<String>,
    sid: Option<String>,
    mark: Mark,
}

/// Takes a logout token from an identity provider. When this returns the sessions have ended and their tokens are cut.
pub async fn back_channel_logout(
    server: &Server,
    tenant: &Tenant,
    idp: &str,
    logout_token: &str,
) -> Result<(), FlowError> {
    let now = server.clock.now();
    let state = tenant.state();
    let recorder = Recorder::new(server, tenant, EventKind::SignIn);
    let usable = match usable(&state, idp) {
        Ok(usable) => usable,
        refused => return recorder.stranger(None, refused.map(|_| ())).await,
    };
    let logged_out = match verify(server, &usable, logout_token, now).await {
        Ok(logout) => in_the_last_room(server, || Box::pin(end(server, tenant, &usable, &logout, now))).await,
        Err(error) => Err(error),
    };
    recorder.about(json!({ "identity_provider": idp }), logged_out).await
}

async fn verify(
    server: &Server,
    usable: &Usable<'_>,
    token: &str,
    now: Timestamp,
) -> Result<Logout, FlowError> {
    let wrong = |why: &'static str| {
        tracing::warn!(identity_provider = usable.idp.id, why, "a logout token was not accepted");
        FlowError::from(Refusal::LogoutTokenNotAccepted)
    };
    let unverified =
        Unverified::parse(token).map_err(|_| wrong("it is not a JWT, or its header isn't accepted"))?;
    // §2.4: `logout+jwt` is recommended; providers from before it write `JWT` or nothing, and `events` tells the kind.
    if !matches!(unverified.header().typ.as_deref(), None | Some("jwt" | "logout+jwt")) {
        return Err(wrong("its typ is that of another kind of token"));
    }
    match verify_signature(server, usable.keys, &unverified).await {
        Ok(()) => {}
        Err(Unproved::NoKeys) => return Err(Refusal::SignInFailed.into()),
        Err(Unproved::NotSigned) => return Err(wrong("no key of its issuer signed it")),
    }
    let others = unverified.peek().ok_or_else(|| wrong("its payload is not a JSON object"))?;
    let claims = Claims::deserialize(&others).map_err(|_| wrong("a claim is missing or malformed"))?;
    check(&claims, &others, usable, now).map_err(wrong)?;
    let jti = others.get("jti").and_then(Value::as_str).filter(|jti| !is_unfit(jti));
    let jti = jti.ok_or_else(|| wrong("its jti is missing or can't be one"))?;
    let mark = Mark {
        kind: "logout_token",
        digest: Digest::of_parts(&[b"logout_token", usable.idp.issuer.as_bytes(), jti.as_bytes()]),
        expires_at: claims.exp.0.plus(SKEW),
        refusal: Some(Refusal::LogoutTokenReplayed),
    };
    let issued_at = claims.iat.map_or(now, |iat| iat.0);
    Ok(Logout { issued_at, sub: claims.sub, sid: claims.sid, mark })
}

/// §2.6, in its order.
fn check(
    claims: &Claims,
    others: &Map<String, Value>,
    usable: &Usable<'_>,
    now: Timestamp,
) -> Result<(), &'static str> {
    if others.get("iss").and_then(Value::as_str) != Some(usable.idp.issuer.as_str()) {
        return Err("its iss is another one");
    }
    check_audience(claims, usable)?;
    if claims.is_out_of_time(now) || claims.iat.is_none() || claims.exp.0 > now.plus(LONGEST) {
        return Err("it has expired, is from the future, or lives too long");
    }
    // 5: "Verify that the Logout Token contains a `sub` Claim, a `sid` Claim, or both."
    if (claims.sub.is_none() && claims.sid.is_none())
        || claims.sub.as_deref().is_some_and(is_unfit)
        || claims.sid.as_deref().is_some_and(is_unfit)
    {
        return Err("it has neither sub nor sid, or one that can't be one");
    }
    // 6: `events` has "JSON object value containing the member name `http://schemas.openid.net/event/backchannel-logout`".
    if !others.get("events").and_then(|events| events.get(EVENT)).is_some_and(Value::is_object) {
        return Err("its events don't say that somebody is logged out");
    }
    // 7: "Verify that the Logout Token does not contain a `nonce` Claim."
    if others.contains_key("nonce") { Err("it has a nonce, as ID tokens have") } else { Ok(()) }
}

/// Ends and cuts, in one transaction.
async fn end(
    server: &Server,
    tenant: &Tenant,
    usable: &Usable<'_>,
    logout: &Logout,
    now: Timestamp,
) -> Result<(), FlowError> {
    let mut tx = server.db.control().await?;
    let mut head = tenants::lock(&mut tx, &tenant.name).await?;
    // 8: "verify that another Logout Token with the same `jti` value has not been recently received". The same one again would
    // end what the person has begun since.
    if marks::spend(&mut tx, &tenant.name, &[&logout.mark]).await?.is_empty() {
        return Err(Refusal::LogoutTokenReplayed.into());
    }
    let next = head.rev.seq + 1;
    let (scopes, upstream) = reached(&mut tx, tenant, usable, logout, now).await?;
    // Tokens of the provider that carry this `sid` may still be exchanged: they start nothing new.
    for sid in &upstream {
        registry::suspend(&mut tx, &tenant.name, (ScopeKind::Session, sid), next, now).await?;
    }
    // And so do all from before of a person who is logged out of everything, whichever session they name, or none. The two clocks
    // may differ.
    for (_, user) in scopes.iter().filter(|(kind, _)| *kind == ScopeKind::User) {
        let at = now.max(logout.issued_at);
        registry::suspend(&mut tx, &tenant.name, (ScopeKind::Session, user), next, at).await?;
    }
    head.registry_version += 1;
    let actor = format!("identity provider {}", usable.idp.id);
    revocation::cut(&mut tx, &mut head, &scopes, ("back-channel logout", &actor), now).await?;
    tx.commit().await?;
    server.refresh().await
}

/// What a logout reaches: the scopes to cut, and the sessions at the provider. With a `sid`, that session; without, every one of
/// the person.
async fn reached(
    tx: &mut Tx,
    tenant: &Tenant,
    usable: &Usable<'_>,
    logout: &Logout,
    now: Timestamp,
) -> Result<(Vec<(ScopeKind, String)>, Vec<String>), FlowError> {
    let name = &tenant.name;
    let (mut scopes, mut upstream) = (Vec::new(), Vec::new());
    let ended = if let Some(sid) = &logout.sid {
        let sid = upstream_session_id(name, &usable.idp.issuer, sid);
        let found = sessions::of_upstream_sid(tx, name, &sid).await?;
        scopes.push((ScopeKind::Session, sid.clone()));
        upstream.push(sid);
        found
    } else {
        let user = user_id(name, &usable.idp.issuer, logout.sub.as_deref().unwrap_or_default());
        let found = sessions::of_user(tx, name, &user).await?;
        scopes.push((ScopeKind::User, user));
        found
    };
    for session in ended {
        sessions::end(tx, name, &session.id, now).await?;
        if logout.sid.is_some() {
            scopes.push((ScopeKind::Session, session.id));
        } else {
            // The cutoff of the person reaches their tokens; what isn't exchanged yet, only this does.
            upstream.extend(session.upstream_sid);
        }
    }
    upstream.sort();
    upstream.dedup();
    Ok((scopes, upstream))
}
