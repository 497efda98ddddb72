use super::*;
use crate::domain::cutoff::{Cut, ScopeKind, Verdict};
use crate::protocol::authorization_details::AuthorizationDetails;
use crate::protocol::resource::ResourceUri;
use crate::protocol::scope::Scope;

const LEASE: Duration = Duration::from_secs(30);

fn at(seconds: u64) -> Uptime {
    Uptime::at(Duration::from_secs(seconds))
}

fn cut(seq: u64, id: &str) -> Cut {
    Cut { seq, scope_kind: ScopeKind::Token, scope_id: id.into() }
}

fn snapshot(generation: &str, seq: u64, cutoffs: Vec<Cut>) -> Snapshot {
    Snapshot {
        iss: "https://id.example".into(),
        aud: "guard".into(),
        iat: Timestamp(0),
        tenant: "main".into(),
        generation: generation.into(),
        floor: 0,
        seq,
        cutoffs,
    }
}

fn answer(to: &LeaseRequest, head_seq: u64, cutoffs: Vec<Cut>) -> LeaseAnswer {
    LeaseAnswer {
        nonce: to.nonce.clone(),
        tenant: "main".into(),
        at: Timestamp(1_000),
        generation: to.generation.clone(),
        head_seq,
        cutoffs,
        ack_within_ms: 0,
        head_proof: None,
    }
}

fn token(jti: &str, generation: &str, seq: u64) -> AccessTokenClaims {
    AccessTokenClaims {
        iss: "https://id.example".into(),
        aud: ResourceUri::parse("https://a.example/mcp").unwrap(),
        sub: "usr".into(),
        exp: Timestamp(2_000),
        iat: Timestamp(1_900),
        jti: jti.into(),
        client_id: "agent".into(),
        act: None,
        may_act: None,
        scope: Scope::default(),
        authorization_details: AuthorizationDetails::default(),
        cnf: None,
        task: None,
        task_ancestors: Vec::new(),
        rev: Rev { generation: generation.into(), seq },
        consent: None,
        sid: None,
        tenant: "main".into(),
    }
}

/// A follower with a lease asked for at 10.
fn fresh() -> Follower {
    let follower = Follower::new("i".into(), LEASE);
    assert!(follower.ask("too early".into(), at(9)).is_none());
    follower.start_over(snapshot("g", 4, vec![cut(3, "dead")]), at(9)).unwrap();
    let asked = follower.ask("n".into(), at(10)).unwrap();
    follower.answered(&answer(&asked, 4, vec![]), at(15)).unwrap();
    follower
}

fn decide(follower: &Follower, claims: &AccessTokenClaims, now: u64) -> Decision {
    follower.decide(claims, None, at(now))
}

#[test]
fn a_snapshot_alone_makes_nothing_fresh() {
    let follower = Follower::new("i".into(), LEASE);
    follower.start_over(snapshot("g", 4, vec![]), at(9)).unwrap();
    assert_eq!(decide(&follower, &token("t", "g", 4), 9), Decision::Stale);
}

#[test]
fn freshness_counts_from_when_the_question_was_sent() {
    let follower = fresh();
    let live = token("t", "g", 4);
    assert_eq!(decide(&follower, &live, 40), Decision::Known(Verdict::Alive));
    // The answer came at 15; had it counted from there, 41 would still be fresh.
    assert_eq!(decide(&follower, &live, 41), Decision::Stale);
    assert_eq!(
        decide(&follower, &token("dead", "g", 2), 40),
        Decision::Known(Verdict::Cut(ScopeKind::Token))
    );
}

#[test]
fn the_stream_brings_news_and_no_freshness() {
    let follower = fresh();
    let stretch = Stretch { prev: 4, seq: 6, cutoffs: vec![cut(6, "t")] };
    follower.streamed("g", &stretch, at(39)).unwrap();
    assert_eq!(decide(&follower, &token("t", "g", 4), 40), Decision::Known(Verdict::Cut(ScopeKind::Token)));
    assert_eq!(decide(&follower, &token("u", "g", 6), 41), Decision::Stale);
}

#[test]
fn an_answer_overtaken_by_the_stream_takes_nothing_back() {
    let follower = fresh();
    let asked = follower.ask("m".into(), at(20)).unwrap();
    let stretch = Stretch { prev: 4, seq: 5, cutoffs: vec![cut(5, "t")] };
    follower.streamed("g", &stretch, at(21)).unwrap();
    follower.answered(&answer(&asked, 4, vec![]), at(22)).unwrap();
    assert_eq!(decide(&follower, &token("t", "g", 4), 50), Decision::Known(Verdict::Cut(ScopeKind::Token)));
}

#[test]
fn refuses_answers_that_were_replayed_or_never_asked_for() {
    let follower = fresh();
    let asked = follower.ask("m".into(), at(20)).unwrap();
    let good = answer(&asked, 4, vec![]);
    follower.answered(&good, at(21)).unwrap();
    assert_eq!(follower.answered(&good, at(22)), Err(FollowError::Unasked));
    let other = LeaseAnswer {
        tenant: "acme".into(),
        ..answer(&follower.ask("o".into(), at(23)).unwrap(), 4, vec![])
    };
    assert_eq!(follower.answered(&other, at(24)), Err(FollowError::OtherTenant));
    assert_eq!(
        follower.start_over(Snapshot { tenant: "acme".into(), ..snapshot("h", 0, vec![]) }, at(25)),
        Err(FollowError::OtherTenant)
    );
}

#[test]
fn refuses_gaps_disorder_and_entries_outside_of_their_stretch() {
    let follower = fresh();
    for (stretch, error) in [
        (Stretch { prev: 5, seq: 6, cutoffs: vec![cut(6, "t")] }, LogError::Gap(4)),
        (Stretch { prev: 4, seq: 6, cutoffs: vec![cut(6, "t"), cut(5, "u")] }, LogError::Disordered),
        (Stretch { prev: 4, seq: 5, cutoffs: vec![cut(6, "t")] }, LogError::Disordered),
        (Stretch { prev: 4, seq: 5, cutoffs: vec![cut(4, "t")] }, LogError::Disordered),
        (Stretch { prev: 4, seq: 3, cutoffs: vec![] }, LogError::Disordered),
    ] {
        assert_eq!(follower.streamed("g", &stretch, at(11)), Err(FollowError::Log(error)), "{stretch:?}");
    }
    assert_eq!(follower.view().rev().seq, 4);
}

#[test]
fn a_log_that_was_set_back_makes_nothing_fresh_and_takes_nothing_back() {
    let follower = fresh();
    let asked = follower.ask("m".into(), at(20)).unwrap();
    assert_eq!(follower.answered(&answer(&asked, 3, vec![]), at(21)), Err(FollowError::SetBack));
    assert_eq!(follower.start_over(snapshot("g", 3, vec![]), at(22)), Err(FollowError::SetBack));
    assert_eq!(
        decide(&follower, &token("dead", "g", 2), 40),
        Decision::Known(Verdict::Cut(ScopeKind::Token))
    );
    assert_eq!(decide(&follower, &token("t", "g", 4), 41), Decision::Stale);
}

#[test]
fn under_another_log_everything_minted_before_is_dead() {
    let follower = fresh();
    follower.start_over(snapshot("h", 0, vec![]), at(20)).unwrap();
    assert_eq!(decide(&follower, &token("t", "g", 4), 21), Decision::Stale);
    let asked = follower.ask("m".into(), at(22)).unwrap();
    follower.answered(&answer(&asked, 0, vec![]), at(23)).unwrap();
    assert_eq!(decide(&follower, &token("t", "g", 4), 24), Decision::Known(Verdict::OtherLog));
    assert_eq!(decide(&follower, &token("t", "h", 0), 24), Decision::Known(Verdict::Alive));
}

#[test]
fn an_answer_to_a_question_about_the_old_log_confirms_nothing_about_the_new_one() {
    let follower = fresh();
    let asked = follower.ask("m".into(), at(20)).unwrap();
    follower.start_over(snapshot("h", 9, vec![]), at(21)).unwrap();
    assert_eq!(follower.answered(&answer(&asked, 9, vec![]), at(22)), Err(FollowError::Unasked));
    assert_eq!(decide(&follower, &token("t", "h", 9), 22), Decision::Stale);
}

#[test]
fn the_issuers_time_counts_and_not_this_machines() {
    let follower = fresh();
    let clock = Clock::manual(Timestamp(50));
    // The manual clock's uptime begins at 1,000 s; the question was sent at 10 s, when the issuer's clock said 1,000.
    clock.step(-40);
    assert_eq!(follower.now(&clock), Timestamp(1_000 + 990));
    assert_eq!(Follower::new("i".into(), LEASE).now(&clock), Timestamp(10));
}

#[test]
fn a_second_of_the_issuers_that_has_begun_counts() {
    let follower = Follower::new("i".into(), LEASE);
    follower.start_over(snapshot("g", 4, vec![]), at(9)).unwrap();
    let sent = Uptime::at(Duration::from_millis(999_100));
    let asked = follower.ask("n".into(), sent).unwrap();
    follower.answered(&answer(&asked, 4, vec![]), at(1_000)).unwrap();
    // 0.9 s have passed since the issuer's clock said 1,000, and had perhaps just become 1,001.
    assert_eq!(follower.now(&Clock::manual(Timestamp(0))), Timestamp(1_001));
}

#[test]
fn an_answer_that_was_long_on_its_way_does_not_put_the_time_ahead() {
    let follower = fresh();
    // Sent at 20, answered at 120 when the issuer's clock said 1,110: taken as of 20, it would now be 1,210.
    let asked = follower.ask("m".into(), at(20)).unwrap();
    follower.answered(&LeaseAnswer { at: Timestamp(1_110), ..answer(&asked, 4, vec![]) }, at(120)).unwrap();
    assert_eq!(follower.now(&clock_at(120)), Timestamp(1_110));
    let asked = follower.ask("o".into(), at(130)).unwrap();
    follower.answered(&LeaseAnswer { at: Timestamp(1_121), ..answer(&asked, 4, vec![]) }, at(131)).unwrap();
    assert_eq!(follower.now(&clock_at(131)), Timestamp(1_122));
}

/// A clock whose uptime is this many seconds; a manual one begins at 1,000, so the test's own moments are earlier.
fn clock_at(seconds: u64) -> Clock {
    Clock::manual_at(Timestamp(0), at(seconds))
}
