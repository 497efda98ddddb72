//! The judge. It knows the history in true time and the promise, and nothing of how the promise is kept.

use std::collections::HashMap;

use taskpass::domain::cutoff::ScopeKind;
use taskpass::protocol::claims::Actor;

use super::database::TENANTS;
use super::history::{Accept, History, Ms, Owner, Revocation, Token};

/// The second beside the lease. Clocks here drift by a thousandth at most, which over the longest lease is 0.12 s of it.
const MARGIN: Ms = 1_000;

/// What a history shows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    /// The first promise that was broken.
    pub(crate) broken: Option<String>,
    /// When that was; nothing if it showed at the end.
    pub(crate) broken_at: Option<Ms>,
    /// The latest accept of a revoked token after the acknowledgement.
    pub(crate) worst: Option<Ms>,
    /// How much of its bound the latest accept used up, in thousandths.
    pub(crate) used: u64,
}

/// Judges a history.
pub(crate) fn judge(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    for accept in &history.accepts {
        accepted(history, accept, &mut verdict);
    }
    let fail = |verdict: &mut Verdict, why: String| verdict.broken = verdict.broken.take().or(Some(why));
    let leak =
        history.sights.iter().find(|(enforcer, kind, id)| !may_see(&history.owners[*enforcer], *kind, id));
    if let Some(leak) = leak {
        fail(&mut verdict, format!("an enforcer was shown what is not its own: {leak:?}"));
    }
    // A mark is spent once; a database that was set back has forgotten marks, and says so.
    let mut spent = HashMap::new();
    for (number, token) in history.tokens.iter().enumerate() {
        let Some(mark) = token.mark else { continue };
        if let Some(first) = spent.insert((token.tenant, mark, token.restores), number) {
            fail(&mut verdict, format!("mark {mark} was spent twice, for tokens {first} and {number}"));
        }
    }
    if let Some(who) = history.not_recovered.first() {
        fail(&mut verdict, format!("not recovered after everything had healed: {who}"));
    }
    verdict
}

fn accepted(history: &History, accept: &Accept, verdict: &mut Verdict) {
    let token = &history.tokens[accept.token];
    let late = |limit: Ms| accept.at > limit + MARGIN;
    // By the issuer's time, carried on by a clock that drifts for as long as the lease runs.
    let mut broken =
        late(token.expires + accept.bound / 1_000).then(|| "an expired token was accepted".to_owned());
    let owner = &history.owners[accept.enforcer];
    if token.tenant != owner.tenant || token.claims.aud.as_str() != owner.resource {
        broken = Some("a token was accepted by whom it isn't for".to_owned());
    }
    for revocation in history.revocations.iter().filter(|revocation| covers(revocation, token, accept.tool)) {
        let Some(acknowledged) = revocation.acknowledged else { continue };
        // A tool that is cut leaves tokens alive: the issuer calls them active, and doesn't hear which tool is called.
        if accept.introspected.is_some() && revocation.kind == ScopeKind::Tool {
            continue;
        }
        if accept.at > acknowledged {
            let after = accept.at - acknowledged;
            verdict.worst = verdict.worst.max(Some(after));
            verdict.used = verdict.used.max(after * 1_000 / (accept.bound + MARGIN));
        }
        if late(acknowledged + accept.bound) {
            broken = Some(format!("accepted after acknowledgement + B of {revocation:?}"));
        }
        if revocation
            .effective
            .is_some_and(|effective| accept.at > effective + accept.introspected.unwrap_or(0))
        {
            broken = broken.or(Some(format!("accepted after the receipt of {revocation:?}")));
        }
    }
    if let Some(broken) = broken {
        verdict.broken_at.get_or_insert(accept.at);
        verdict.broken.get_or_insert_with(|| format!("{broken}\n  {accept:?}\n  {token:?}"));
    }
}

/// Whether a revocation must kill a token: it hits one of its scopes, and was not known when the token was decided on.
/// Logs that came later know nothing of earlier ones, so whatever was cut in a later log is newer than the token.
fn covers(revocation: &Revocation, token: &Token, tool: usize) -> bool {
    let (claims, id) = (&token.claims, revocation.id.as_str());
    let chain: Vec<&str> = claims.act.iter().flat_map(Actor::chain).collect();
    let hits = match revocation.kind {
        ScopeKind::Tenant => claims.tenant == id,
        ScopeKind::Key => token.kid == id,
        ScopeKind::Resource => claims.aud.as_str() == id,
        ScopeKind::Tool => format!("{}#tool{tool}", claims.aud) == id,
        ScopeKind::Agent => chain.contains(&id) || claims.client_id == id || claims.sub == id,
        ScopeKind::Client => claims.client_id == id,
        ScopeKind::User => claims.sub == id,
        ScopeKind::Session => claims.sid.as_deref() == Some(id),
        ScopeKind::Consent => claims.consent.as_deref() == Some(id),
        ScopeKind::Task => {
            claims.task.as_deref() == Some(id) || claims.task_ancestors.iter().any(|task| task == id)
        }
        ScopeKind::Token => claims.jti == id,
    };
    token.tenant == revocation.tenant && hits && token.knew < revocation.place
}

/// An enforcer sees what its tenant cut, and of resources and tools only its own.
fn may_see(owner: &Owner, kind: ScopeKind, id: &str) -> bool {
    let own_tenant = id.contains(TENANTS[owner.tenant]);
    let own_resource = match kind {
        ScopeKind::Resource => id == owner.resource,
        ScopeKind::Tool => id.strip_prefix(&owner.resource).is_some_and(|rest| rest.starts_with('#')),
        _ => true,
    };
    own_tenant && own_resource
}
