//! Judges a history, and knows nothing of how it came about.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::history::{History, Moment, Ordeal, Presented, Revoked};

/// What the promise adds to the lease: the second in `B = min(token lifetime, S) + 1 s`. The tokens here live longer than
/// any lease, so the lease decides.
const MARGIN: Moment = 1_000_000;
/// Between an answer and the moment at which the driver, on a busy machine, has read it.
const READING: Moment = 500_000;
/// How long an enforcer may ask once more before it says that it can't know.
const ASKING: Moment = 4_000_000;
/// For how long a good token may be kept out at a stretch although nothing is wrong, or is wrong any more. A request that was
/// swallowed is given up after three seconds; the rest is for a machine that is busy with other work.
const PATIENCE: Moment = 10_000_000;

/// What one enforcer answered, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) accepted: usize,
    pub(super) refused: usize,
    /// 503: it can't know.
    pub(super) unavailable: usize,
    /// No answer at all.
    pub(super) unanswered: usize,
    /// The longest time from an acknowledgement to a request that was accepted all the same, in microseconds.
    pub(super) worst: Option<Moment>,
}

/// The judgement.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    pub(super) counts: BTreeMap<String, Count>,
    pub(super) violations: Vec<String>,
    /// The history as JSON lines, of whoever keeps it.
    pub(super) evidence: String,
}

impl Report {
    fn violated(&mut self, rule: &str, by: &Presented, what: &str) {
        let Presented { enforcer, token, sent, answered, status } = by;
        self.violations.push(format!(
            "{rule}: {enforcer} answered {status} to {token}, sent {} ms, answered {} ms; {what}",
            sent / 1000,
            answered / 1000
        ));
    }
}

/// Holds a history to the promise.
pub(super) fn judge(history: &History) -> Report {
    let mut report = Report::default();
    let revoked: HashMap<&str, &Revoked> =
        history.revoked.iter().map(|revoked| (revoked.token.as_str(), revoked)).collect();
    for presented in &history.presented {
        count(&mut report, presented, revoked.get(presented.token.as_str()).copied());
        if presented.status == 200 {
            if let Some(revoked) = revoked.get(presented.token.as_str()) {
                check_bound(&mut report, history, presented, revoked);
            }
            check_apart(&mut report, history, presented);
            let perished = history.perished.iter().find(|(token, _)| *token == presented.token);
            if let Some((_, at)) = perished.filter(|(_, at)| presented.sent > *at) {
                report.violated(
                    "perished",
                    presented,
                    &format!("it had to be dead from {} ms on", at / 1000),
                );
            }
        }
    }
    check_controls(&mut report, history);
    let enforcers: Vec<_> = report.counts.keys().cloned().collect();
    report.violations.extend(unsettled(history, &enforcers));
    check_silence(&mut report, history, &enforcers);
    report
}

fn count(report: &mut Report, presented: &Presented, revoked: Option<&Revoked>) {
    let count = report.counts.entry(presented.enforcer.clone()).or_default();
    match presented.status {
        200 => count.accepted += 1,
        503 => count.unavailable += 1,
        0 => count.unanswered += 1,
        _ => count.refused += 1,
    }
    if let Some(revoked) = revoked.filter(|_| presented.status == 200) {
        let late = presented.sent.checked_sub(revoked.acknowledged);
        count.worst = count.worst.max(late);
    }
}

/// Nothing revoked is accepted later than `B` after its acknowledgement, nor at all once a receipt says that it is in force.
fn check_bound(report: &mut Report, history: &History, presented: &Presented, revoked: &Revoked) {
    let bound = revoked.acknowledged + history.lease + MARGIN;
    let acknowledged = format!("it was cut at {} ms", revoked.acknowledged / 1000);
    if presented.sent > bound {
        report.violated("bound", presented, &acknowledged);
    }
    // An answer that lay finished in a process that was stopped is no decision of afterwards.
    let stopped = history.spells.iter().any(|spell| {
        spell.ordeal == Ordeal::Stopped
            && spell.enforcer.as_ref().is_none_or(|name| *name == presented.enforcer)
            && spell.from <= presented.answered
            && spell.to >= presented.sent
    });
    if presented.sent <= bound && presented.answered > bound + READING && !stopped {
        report.violated("answered late", presented, &acknowledged);
    }
    if let Some(effective) = revoked.effective.filter(|effective| presented.sent > *effective) {
        report.violated(
            "receipt",
            presented,
            &format!("a receipt of {} ms says that this is over", effective / 1000),
        );
    }
}

/// From `S` on, an enforcer that hears nothing accepts nothing.
fn check_apart(report: &mut Report, history: &History, presented: &Presented) {
    let apart = history.spells.iter().any(|spell| {
        spell.ordeal == Ordeal::Apart
            && spell.enforcer.as_ref().is_none_or(|name| *name == presented.enforcer)
            && presented.sent > spell.from + history.lease
            && presented.answered < spell.to
    });
    if apart {
        report.violated("apart", presented, "it has heard nothing for longer than its lease");
    }
}

/// What nobody cut is let in: never refused, and kept out only while something is wrong, or soon after.
fn check_controls(report: &mut Report, history: &History) {
    // When each enforcer let a control in last, or was presented with it first.
    let mut good: HashMap<(&str, &str), Moment> = HashMap::new();
    for presented in history.presented.iter().filter(|one| history.controls.contains(&one.token)) {
        let last = good.entry((&presented.enforcer, &presented.token)).or_insert(presented.sent);
        match presented.status {
            200 => *last = presented.sent,
            0 | 503 => {
                let own = history.spells.iter().filter(|spell| {
                    spell.enforcer.as_ref().is_none_or(|name| *name == presented.enforcer)
                        && spell.from <= presented.answered
                });
                let since = own.map(|spell| spell.to).max().unwrap_or_default().max(*last);
                if presented.answered > since + PATIENCE {
                    let what = format!("nothing was wrong since {} ms", since / 1000);
                    report.violated("unavailable", presented, &what);
                }
            }
            _ => report.violated("refused", presented, "nobody cut it"),
        }
    }
}

/// What isn't as it must be after everything was mended: each of these enforcers lets in what it should, and refuses what
/// was cut, as cut.
pub(super) fn unsettled(history: &History, enforcers: &[String]) -> Vec<String> {
    let mut answered: HashSet<(&str, &str, u16)> = HashSet::new();
    for presented in history.presented.iter().filter(|presented| presented.sent >= history.mended) {
        answered.insert((&presented.enforcer, &presented.token, presented.status));
    }
    let mut found = Vec::new();
    for enforcer in enforcers {
        for token in &history.controls {
            if !answered.contains(&(enforcer.as_str(), token.as_str(), 200)) {
                found.push(format!("not recovered: {enforcer} doesn't let {token} in afterwards"));
            }
        }
        let dead = history.revoked.iter().map(|revoked| &revoked.token);
        for token in dead.chain(history.perished.iter().map(|(token, _)| token)) {
            if !answered.contains(&(enforcer.as_str(), token.as_str(), 401)) {
                found.push(format!("lost: {enforcer} doesn't refuse {token} afterwards"));
            }
        }
    }
    found
}

/// An enforcer that heard nothing for long enough has said so.
fn check_silence(report: &mut Report, history: &History, enforcers: &[String]) {
    for spell in history.spells.iter().filter(|spell| spell.ordeal == Ordeal::Apart) {
        let from = spell.from + history.lease;
        for enforcer in enforcers.iter().filter(|name| spell.enforcer.as_ref().is_none_or(|own| own == *name))
        {
            let denied = history.presented.iter().any(|presented| {
                presented.enforcer == *enforcer
                    && presented.status == 503
                    && presented.answered >= from
                    && presented.sent < spell.to
            });
            if spell.to > from + ASKING && !denied {
                report.violations.push(format!("apart: {enforcer} never said that it can't know"));
            }
        }
    }
}

#[cfg(test)]
#[path = "checker_tests.rs"]
mod tests;
