//! The revocation rule: a token is dead if it was decided before a cutoff of any scope that it matches, and only then.

use proptest::prelude::*;
use taskpass::domain::cutoff::{Cutoff, CutoffSet, ScopeKind, Stretch, Verdict, scopes};
use taskpass::protocol::authorization_details::AuthorizationDetails;
use taskpass::protocol::claims::{AccessTokenClaims, Actor, Rev};
use taskpass::protocol::resource::ResourceUri;
use taskpass::protocol::scope::Scope;
use taskpass::time::Timestamp;

/// Ids from a small world, so that cutoffs and tokens meet often.
fn id() -> impl Strategy<Value = String> {
    (0..4_u8).prop_map(|number| format!("https://r.example/{number}"))
}

fn claims() -> impl Strategy<Value = AccessTokenClaims> {
    let chain = proptest::collection::vec(id(), 0..4);
    let tasks = proptest::collection::vec(id(), 0..3);
    (
        (id(), id(), id(), id(), id()),
        chain,
        tasks,
        proptest::option::of(id()),
        proptest::option::of(id()),
        0..30_u64,
    )
        .prop_map(|((aud, sub, client_id, jti, tenant), chain, mut tasks, consent, sid, seq)| {
            AccessTokenClaims {
                iss: "https://issuer.example".into(),
                aud: ResourceUri::parse(&aud).unwrap(),
                sub,
                exp: Timestamp(300),
                iat: Timestamp(0),
                jti,
                client_id,
                act: chain.into_iter().fold(None, |inner, sub| Some(Actor { sub, act: inner.map(Box::new) })),
                may_act: None,
                scope: Scope::default(),
                authorization_details: AuthorizationDetails::default(),
                cnf: None,
                task: tasks.pop(),
                task_ancestors: tasks,
                rev: Rev { generation: "g".into(), seq },
                consent,
                sid,
                tenant,
            }
        })
}

fn log() -> impl Strategy<Value = Vec<Cutoff>> {
    proptest::collection::vec((0..ScopeKind::ALL.len(), id()), 0..30).prop_map(|entries| {
        let numbered = entries.into_iter().zip(1..);
        numbered.map(|((kind, scope_id), seq)| cutoff(seq, ScopeKind::ALL[kind], scope_id)).collect()
    })
}

fn cutoff(seq: u64, scope_kind: ScopeKind, scope_id: String) -> Cutoff {
    let (reason, actor) = (String::new(), String::new());
    Cutoff { seq, at: Timestamp(0), scope_kind, scope_id, reason, actor, expires_at: Timestamp(430) }
}

fn stretch(entry: &Cutoff) -> Stretch {
    Stretch { prev: entry.seq - 1, seq: entry.seq, cutoffs: vec![entry.into()] }
}

fn view(entries: &[Cutoff]) -> CutoffSet {
    let mut set = CutoffSet::new(Rev { generation: "g".into(), seq: 0 });
    for entry in entries {
        set.apply(&stretch(entry), 0).unwrap();
    }
    set
}

/// The rule as the design states it, without any cleverness: look at every entry, compare every scope.
fn dead_by_the_book(token: &AccessTokenClaims, kid: Option<&str>, entries: &[Cutoff]) -> bool {
    let matches = |entry: &Cutoff| match entry.scope_kind {
        ScopeKind::Tenant => token.tenant == entry.scope_id,
        ScopeKind::Key => kid == Some(&entry.scope_id),
        ScopeKind::Resource => token.aud.as_str() == entry.scope_id,
        ScopeKind::Tool => false,
        ScopeKind::Agent => {
            token.actors().any(|actor| actor == entry.scope_id)
                || token.sub == entry.scope_id
                || token.client_id == entry.scope_id
        }
        ScopeKind::Client => token.client_id == entry.scope_id,
        ScopeKind::User => token.sub == entry.scope_id,
        ScopeKind::Session => token.sid.as_deref() == Some(&entry.scope_id),
        ScopeKind::Consent => token.consent.as_deref() == Some(&entry.scope_id),
        ScopeKind::Task => {
            token.task.as_deref() == Some(&entry.scope_id) || token.task_ancestors.contains(&entry.scope_id)
        }
        ScopeKind::Token => token.jti == entry.scope_id,
    };
    let later = |entry: &Cutoff| entry.scope_kind == ScopeKind::Key || token.rev.seq < entry.seq;
    entries.iter().any(|entry| later(entry) && matches(entry))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn every_scope_of_every_entry_is_tested(token in claims(), kid in proptest::option::of(id()), entries in log()) {
        let set = view(&entries);
        let verdict = set.verdict(&token, kid.as_deref());
        let dead = dead_by_the_book(&token, kid.as_deref(), &entries);
        prop_assert_eq!(matches!(verdict, Verdict::Cut(_)), dead);
        if !dead {
            let behind = token.rev.seq > set.rev().seq;
            prop_assert_eq!(verdict, if behind { Verdict::Behind } else { Verdict::Alive });
        }
    }

    #[test]
    fn more_entries_never_bring_a_token_back(token in claims(), entries in log(), cut in 0..30_usize) {
        let fewer = view(&entries[..cut.min(entries.len())]);
        if matches!(fewer.verdict(&token, None), Verdict::Cut(_)) {
            let all_dead = matches!(view(&entries).verdict(&token, None), Verdict::Cut(_));
            prop_assert!(all_dead);
        }
    }

    #[test]
    fn another_log_is_always_dead(token in claims(), entries in log()) {
        let mut stranger = token;
        stranger.rev.generation = "other".into();
        prop_assert_eq!(view(&entries).verdict(&stranger, None), Verdict::OtherLog);
    }

    #[test]
    fn a_cutoff_after_the_decision_kills_by_any_single_scope(token in claims(), pick in any::<prop::sample::Index>()) {
        let all: Vec<_> = scopes(&token, Some("k")).map(|(kind, id)| (kind, id.to_owned())).collect();
        let (kind, id) = pick.get(&all).clone();
        let mut set = CutoffSet::new(token.rev.clone());
        set.apply(&stretch(&cutoff(token.rev.seq + 1, kind, id)), 0).unwrap();
        let verdict = set.verdict(&token, Some("k"));
        prop_assert!(matches!(verdict, Verdict::Cut(_)), "{:?}", verdict);
    }
}

#[test]
fn a_gap_is_refused_and_forgetting_waits_for_the_longest_token() {
    let mut set = view(&[cutoff(1, ScopeKind::Token, "a".into())]);
    assert!(set.apply(&stretch(&cutoff(3, ScopeKind::Token, "b".into())), 0).is_err());
    set.purge(429);
    assert_eq!(set.len(), 1);
    set.purge(430);
    assert!(set.is_empty());
}
