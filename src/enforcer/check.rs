//! Whether a token is let in, and whether it is still good: by its claims, and by what is known of the revocation log.

use std::sync::Arc;
use std::time::Duration;

use super::binding::Presented;
use super::feed::Feed;
use super::introspection::{Introspected, Introspector};
use super::verifier::{Genuine, TokenText};
use super::view::Decision;
use super::{
    EnforcementError, Enforcer, Source, StalePolicy, TokenRefusal, Unavailable, VerifiedToken, Verifier,
};
use crate::domain::cutoff::{ScopeKind, Verdict};
use crate::protocol::claims::AccessTokenClaims;
use crate::time::Timestamp;

/// For how long after the question an introspection answer holds. A process that stood still meanwhile reads an answer
/// about the past, however promptly it was given.
const ANSWER_HOLDS: Duration = Duration::from_secs(10);

impl Enforcer {
    /// The time by which tokens are judged: the issuer's, as told with the lease and carried on by a clock that only runs
    /// forward; the machine's own where no issuer has told it.
    fn now(&self) -> Timestamp {
        match &self.source {
            Source::Feed(feed, _) => feed.follower().now(&self.config.clock),
            Source::None | Source::Introspection(_) => self.config.clock.now(),
        }
    }

    /// Checks a bearer token: its form, signature and claims, and that nothing has cut it. Refuses when that can't be
    /// known.
    ///
    /// # Errors
    /// The rule that the token breaks, or that nobody can tell.
    pub async fn check(&self, token: &str) -> Result<VerifiedToken, EnforcementError> {
        self.check_under(token, StalePolicy::Deny).await
    }

    /// The same, for a route with its own answer to a view that is stale.
    ///
    /// # Errors
    /// The rule that the token breaks, or that nobody can tell.
    pub async fn check_under(
        &self,
        token: &str,
        policy: StalePolicy,
    ) -> Result<VerifiedToken, EnforcementError> {
        self.examine(token, &Presented::bearer(), policy).await
    }

    /// Checks a token that came with a proof: a DPoP proof, a client certificate, or both. It must be bound to just what
    /// was shown to be used so, and a token that is bound opens nothing without.
    ///
    /// A proof is spent by this, whatever becomes of the token: RFC 9449 §7.3 wants another one for each attempt. It is
    /// remembered by this enforcer only; a process beside it, or after it, knows nothing of it.
    ///
    /// # Errors
    /// The rule that the token or its proof breaks, or that nobody can tell.
    pub async fn check_presented(
        &self,
        token: &str,
        presented: &Presented<'_>,
    ) -> Result<VerifiedToken, EnforcementError> {
        self.examine(token, presented, StalePolicy::Deny).await
    }

    async fn examine(
        &self,
        token: &str,
        presented: &Presented<'_>,
        policy: StalePolicy,
    ) -> Result<VerifiedToken, EnforcementError> {
        presented.check_form()?;
        let token = TokenText::new(token)?;
        // What was proven before, under keys that are still young, needs neither parsing nor a signature.
        let known = self.jwks.fresh().and_then(|keys| self.verifier.recall(token, &keys, self.now()));
        let genuine = match known {
            Some(known) => known?,
            None => match self.prove(token).await {
                Ok(genuine) => genuine,
                Err(EnforcementError::Refused(TokenRefusal::TokenNotAJwt)) => {
                    return self.check_opaque(token, presented).await;
                }
                Err(error) => return Err(error),
            },
        };
        // Before the issuer is asked anything: that costs more.
        let verified = self.binding.check(genuine, token.digest(), presented, self.now())?;
        match &self.source {
            Source::None => Ok(verified),
            Source::Introspection(introspector) => {
                self.introspect(introspector, token.text(), verified).await
            }
            Source::Feed(feed, introspector) => {
                self.admit((feed, introspector), (token.text(), verified), policy).await
            }
        }
    }

    /// Decides by what is known of the revocation log.
    async fn admit(
        &self,
        (feed, introspector): (&Feed, &Introspector),
        (token, verified): (&str, VerifiedToken),
        policy: StalePolicy,
    ) -> Result<VerifiedToken, EnforcementError> {
        match self.decide(feed, &verified) {
            Decision::Known(Verdict::Alive) => return Ok(verified),
            Decision::Known(Verdict::Cut(_)) => return Err(TokenRefusal::TokenRevoked.into()),
            Decision::Known(Verdict::Behind | Verdict::OtherLog) | Decision::Stale => {}
        }
        // It may be we who are behind: ask once, and decide anew.
        let asked = feed.catch_up().await;
        match (self.decide(feed, &verified), asked) {
            (Decision::Known(Verdict::Alive), _) => Ok(verified),
            (Decision::Known(Verdict::Cut(_)), _) | (Decision::Known(Verdict::OtherLog), Ok(())) => {
                Err(TokenRefusal::TokenRevoked.into())
            }
            (Decision::Known(Verdict::Behind), Ok(())) => Err(Unavailable::Ahead.into()),
            (Decision::Stale, Ok(())) => Err(Unavailable::ViewStale.into()),
            (_, Err(error)) => {
                self.check_stale((feed, introspector), (token, verified), (policy, error)).await
            }
        }
    }

    /// The view is stale and the issuer's log can't be had: the route's own policy decides.
    async fn check_stale(
        &self,
        (feed, introspector): (&Feed, &Introspector),
        (token, mut verified): (&str, VerifiedToken),
        (policy, error): (StalePolicy, Unavailable),
    ) -> Result<VerifiedToken, EnforcementError> {
        verified.admitted = policy;
        match policy {
            StalePolicy::Deny => Err(error.into()),
            StalePolicy::Introspect => self.introspect(introspector, token, verified).await,
            // What is known to be cut stays cut, however old the knowledge is.
            StalePolicy::TtlOnly => match feed.follower().view().verdict(verified.claims(), verified.kid()) {
                Verdict::Cut(_) | Verdict::OtherLog => Err(TokenRefusal::TokenRevoked.into()),
                Verdict::Alive | Verdict::Behind => Ok(verified),
            },
        }
    }

    /// Whose a token was that has just been refused as revoked: for the record, since nothing may be decided by it. Nobody's if
    /// its key is what was revoked: then anybody may have written it.
    pub fn claims_of_revoked(&self, token: &str) -> Option<Arc<AccessTokenClaims>> {
        let Source::Feed(feed, _) = &self.source else { return None };
        let (claims, kid) = self.verifier.remembered(TokenText::new(token).ok()?)?;
        let verdict = feed.follower().view().verdict(&claims, Some(&kid));
        matches!(verdict, Verdict::Cut(scope) if scope != ScopeKind::Key).then_some(claims)
    }

    /// Checks again, without asking anybody, that a token which was let in is still good: it hasn't expired, nothing that
    /// is known cuts it, and the knowledge is no older than the lease. Call it before releasing an answer that was
    /// buffered.
    ///
    /// # Errors
    /// It is not good any more, or nobody can tell.
    pub fn recheck(&self, token: &VerifiedToken) -> Result<(), EnforcementError> {
        if self.now() >= token.claims().exp {
            return Err(TokenRefusal::TokenExpired.into());
        }
        let Source::Feed(feed, _) = &self.source else { return Ok(()) };
        let known = feed.follower().view().verdict(token.claims(), token.kid());
        match (self.decide(feed, token), token.admitted) {
            (Decision::Known(Verdict::Alive), _) => Ok(()),
            // What is known to be cut is cut, however old the knowledge is.
            _ if matches!(known, Verdict::Cut(_)) => Err(TokenRefusal::TokenRevoked.into()),
            // It was let in although the view was stale: by the issuer's own word, while that holds, or by none.
            (_, StalePolicy::Introspect)
                if token.vouched_until.is_some_and(|until| until >= self.config.clock.uptime()) =>
            {
                Ok(())
            }
            (Decision::Stale | Decision::Known(Verdict::Behind), StalePolicy::TtlOnly) => Ok(()),
            (Decision::Known(Verdict::OtherLog), _) => Err(TokenRefusal::TokenRevoked.into()),
            (_, _) => Err(Unavailable::ViewStale.into()),
        }
    }

    /// Waits until [`Enforcer::recheck`] refuses the token: to cut what was opened with it. Without the feed that is when
    /// it expires.
    pub async fn until_refused(&self, token: &VerifiedToken) -> EnforcementError {
        let mut news = match &self.source {
            Source::Feed(feed, _) => Some(feed.follower().view().news()),
            Source::None | Source::Introspection(_) => None,
        };
        loop {
            if let Err(error) = self.recheck(token) {
                return error;
            }
            let expires = u64::try_from(token.claims().exp.since(self.now())).unwrap_or_default();
            let learnt = async {
                match &mut news {
                    // The sender lives as long as the feed.
                    Some(news) => drop(news.changed().await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(expires).min(self.stale_in())) => {}
                () = learnt => {}
            }
        }
    }

    /// How long until the view is stale unless it is renewed; if it is already, how long until the next look.
    fn stale_in(&self) -> Duration {
        const MOMENT: Duration = Duration::from_millis(5);
        const NEXT_LOOK: Duration = Duration::from_secs(1);
        let Source::Feed(feed, _) = &self.source else { return Duration::MAX };
        let age = feed.follower().view().age(self.config.clock.uptime());
        match age.and_then(|age| feed.follower().lease().checked_sub(age)) {
            Some(left) => left + MOMENT,
            None => NEXT_LOOK,
        }
    }

    fn decide(&self, feed: &Feed, token: &VerifiedToken) -> Decision {
        feed.follower().decide(token.claims(), token.kid(), self.config.clock.uptime())
    }

    async fn prove(&self, token: TokenText<'_>) -> Result<Genuine, EnforcementError> {
        let unverified = token.parse()?;
        let kid = Verifier::check_header(unverified.header())?;
        let keys = self.jwks.keys_for(kid).await?;
        let now = self.now();
        // Keys that are not fresh, but kept, have proven it perhaps.
        let genuine = match self.verifier.recall(token, &keys, now) {
            Some(known) => known,
            None => self.verifier.prove(token, &unverified, &keys, now),
        };
        Ok(genuine?)
    }

    /// Asks the issuer about a token; an answer that is old by the time it is read is none.
    async fn ask_issuer(
        &self,
        introspector: &Introspector,
        token: &str,
    ) -> Result<Introspected, Unavailable> {
        let asked = self.config.clock.uptime();
        let answer = introspector.introspect(token).await?;
        let age = self.config.clock.uptime().since(asked);
        if age > ANSWER_HOLDS {
            Err(Unavailable::Malformed("an answer that came too late"))
        } else {
            Ok(answer)
        }
    }

    async fn introspect(
        &self,
        introspector: &Introspector,
        token: &str,
        mut verified: VerifiedToken,
    ) -> Result<VerifiedToken, EnforcementError> {
        match self.ask_issuer(introspector, token).await? {
            Introspected::Inactive => Err(TokenRefusal::TokenNotActive.into()),
            Introspected::Active(claims, _) if claims.jti != verified.claims().jti => {
                Err(Unavailable::Malformed("an answer about another token").into())
            }
            // The answer took its time: what was good when it was asked may have run out or been cut since.
            Introspected::Active(_, until) => {
                verified.vouched_until = Some(until);
                self.recheck(&verified).map(|()| verified)
            }
        }
    }

    /// An opaque token says nothing by itself: its claims come from the issuer, under the same rules.
    async fn check_opaque(
        &self,
        token: TokenText<'_>,
        presented: &Presented<'_>,
    ) -> Result<VerifiedToken, EnforcementError> {
        let introspector = match &self.source {
            Source::None => return Err(TokenRefusal::TokenNotAJwt.into()),
            Source::Introspection(introspector) | Source::Feed(_, introspector) => introspector,
        };
        // Anybody can make up such a token, and each costs the issuer a question: only so many at a time.
        let Some(_place) = self.opaque.place(token.digest()) else { return Err(Unavailable::Busy.into()) };
        let answer = self.ask_issuer(introspector, token.text()).await?;
        self.opaque.remember(token.digest(), matches!(answer, Introspected::Active(..)));
        match answer {
            Introspected::Inactive => Err(TokenRefusal::TokenNotActive.into()),
            Introspected::Active(claims, until) => {
                let genuine = self.verifier.check_claims(Arc::new(*claims), None, self.now())?;
                // RFC 9449 §6.2, RFC 8705 §3.2: the issuer's answer says what the token is bound to.
                let mut verified = self.binding.check(genuine, token.digest(), presented, self.now())?;
                verified.admitted = StalePolicy::Introspect;
                verified.vouched_until = Some(until);
                // An event that overtook the answer wins.
                self.recheck(&verified).map(|()| verified)
            }
        }
    }
}
