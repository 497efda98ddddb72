//! Histories written by hand. Times are in milliseconds here.

use super::*;
use crate::faults::history::Spell;

const S: Moment = 3_000;

fn presented(token: &str, sent: Moment, answered: Moment, status: u16) -> Presented {
    Presented {
        enforcer: "e".into(),
        token: token.into(),
        sent: sent * 1000,
        answered: answered * 1000,
        status,
    }
}

/// A token `dead` that is cut at 1000, and `alive`; both are answered as they should be from 10000 on.
fn history(more: impl IntoIterator<Item = Presented>) -> History {
    let mut history = History {
        lease: S * 1000,
        controls: vec!["alive".into()],
        revoked: vec![Revoked { token: "dead".into(), acknowledged: 1_000_000, effective: None }],
        mended: 10_000_000,
        ..History::default()
    };
    history
        .presented
        .extend([presented("alive", 10_001, 10_002, 200), presented("dead", 10_001, 10_002, 401)]);
    history.presented.extend(more);
    history
}

fn rules(history: &History) -> Vec<String> {
    let report = judge(history);
    report.violations.iter().map(|violation| violation.split(':').next().unwrap().to_owned()).collect()
}

fn spell(ordeal: Ordeal, from: Moment, to: Moment) -> Spell {
    Spell { ordeal, enforcer: Some("e".into()), from: from * 1000, to: to * 1000 }
}

#[test]
fn an_accept_within_the_bound_is_counted_and_allowed() {
    let report = judge(&history([presented("dead", 4_999, 5_100, 200)]));
    assert!(report.violations.is_empty(), "{:?}", report.violations);
    let wanted = Count { accepted: 2, refused: 1, worst: Some(3_999_000), ..Count::default() };
    assert_eq!(report.counts["e"], wanted);
}

#[test]
fn an_accept_beyond_the_bound_is_found() {
    assert_eq!(rules(&history([presented("dead", 5_001, 5_002, 200)])), ["bound"]);
}

#[test]
fn an_answer_beyond_the_bound_is_found_unless_the_process_stood_still() {
    let mut late = history([presented("dead", 900, 6_000, 200)]);
    assert_eq!(rules(&late), ["answered late"]);
    late.spells.push(spell(Ordeal::Stopped, 950, 5_990));
    assert!(rules(&late).is_empty());
    // But what is sent to it afterwards counts.
    late.presented.push(presented("dead", 5_995, 6_000, 200));
    assert_eq!(rules(&late), ["bound"]);
}

#[test]
fn nothing_is_accepted_after_a_receipt() {
    let mut history = history([presented("dead", 1_200, 1_201, 200)]);
    history.revoked[0].effective = Some(1_199_000);
    assert_eq!(rules(&history), ["receipt"]);
    history.revoked[0].effective = Some(1_200_000);
    assert!(rules(&history).is_empty());
}

#[test]
fn an_enforcer_that_hears_nothing_accepts_nothing_and_says_why() {
    let mut apart = history([presented("alive", 5_100, 5_101, 503)]);
    apart.spells.push(spell(Ordeal::Apart, 2_000, 8_000));
    assert!(rules(&apart).is_empty());
    apart.presented.push(presented("alive", 5_001, 5_002, 200));
    assert_eq!(rules(&apart), ["apart"]);
    let mut silent = history([presented("alive", 4_900, 4_901, 200)]);
    silent.spells.push(spell(Ordeal::Apart, 2_000, 9_900));
    assert_eq!(rules(&silent), ["apart"], "it never answered 503");
}

#[test]
fn a_good_token_is_let_in_when_nothing_is_wrong() {
    let kept_out =
        |status| (10_100..=20_200).step_by(100).map(move |at| presented("alive", at, at + 1, status));
    for status in [0, 503] {
        let found = rules(&history(kept_out(status)));
        assert!(!found.is_empty() && found.iter().all(|rule| rule == "unavailable"), "{found:?}");
        // A machine that is busy may make it late once; what counts is how long it is kept out at a stretch.
        let mut late = history(kept_out(status));
        late.presented.insert(50, presented("alive", 14_000, 14_001, 200));
        assert!(rules(&late).is_empty());
    }
    let mut troubled = history(kept_out(503));
    troubled.spells.push(spell(Ordeal::Troubled, 10_050, 15_000));
    assert!(rules(&troubled).is_empty());
    // Trouble is no reason to call it bad: its holder would sign in again.
    troubled.presented.push(presented("alive", 11_000, 11_001, 401));
    assert_eq!(rules(&troubled), ["refused"]);
    // And it is no excuse for what comes long after.
    troubled.presented.push(presented("alive", 25_100, 25_101, 503));
    assert_eq!(rules(&troubled), ["refused", "unavailable"]);
}

#[test]
fn a_lost_revocation_and_a_guard_that_stays_down_are_found() {
    let mut lost = history([]);
    lost.presented[1].status = 503;
    assert_eq!(rules(&lost), ["lost"]);
    let mut down = history([]);
    down.presented[0].status = 503;
    assert_eq!(rules(&down), ["not recovered"]);
}

#[test]
fn what_a_restore_killed_stays_dead() {
    let mut restored = history([presented("old", 5_000, 5_001, 200), presented("old", 10_500, 10_501, 401)]);
    restored.perished.push(("old".into(), 6_000_000));
    assert!(rules(&restored).is_empty());
    restored.presented.push(presented("old", 6_001, 6_002, 200));
    assert_eq!(rules(&restored), ["perished"]);
}
