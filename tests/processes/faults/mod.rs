//! Real servers, guards and databases, and everything that can happen to them: killed, stopped, cut off, set back, out of
//! disk, out of time. Whatever happens, the promise holds: nothing revoked is accepted later than `B` after its
//! acknowledgement, nothing acknowledged is lost, and all goes on by itself afterwards.
//!
//! It takes minutes: only `conformance/run faults` plays it (`TASKPASS_FAULTS=short` or `long`).

mod checker;
mod clocks;
mod cluster;
mod disk;
mod enforcer;
mod enforcers;
mod history;
mod planted;
mod play;
mod postgres;
mod proxy;
mod restored;
mod servers;
mod stage;

/// Whether the faults are to be played.
fn wanted(test: &str) -> bool {
    let wanted = crate::setting("TASKPASS_FAULTS").is_some();
    if !wanted {
        eprintln!("SKIP {test}: TASKPASS_FAULTS is not set; run conformance/run faults");
    }
    wanted
}

/// Nothing was violated; otherwise what happened is written down.
fn assert_clean(report: &checker::Report, stage: &stage::Stage) {
    let violations = &report.violations;
    if violations.is_empty() {
        return;
    }
    let file = std::env::temp_dir().join(format!("taskpass-history-{}.jsonl", stage.world.id("run")));
    std::fs::write(&file, &report.evidence).unwrap();
    eprintln!("{}", stage.last_words());
    let shown = &violations[..violations.len().min(8)];
    panic!("{} violations, such as {shown:#?}\nthe history is in {}", violations.len(), file.display());
}
