//! What a person has given, and has taken back.

use super::consents::{consent, hostile_consent};
use super::*;

fn holder(id: &str, name: &str, kind: HolderKind) -> Holder {
    Holder { id: id.into(), name: name.into(), kind }
}

fn editor() -> Holder {
    holder("https://editor.example/oauth/client.json", "Editor", HolderKind::Client)
}

fn triage() -> Holder {
    holder("triage", "Triage agent", HolderKind::Agent)
}

fn account() -> Account {
    let task = |id: &str, holder: Holder, purpose: &str, below| RunningTask {
        id: id.into(),
        holder,
        purpose: purpose.into(),
        resources: vec![tickets()],
        started: NOW.plus(-720),
        deadline: NOW.plus(2_900),
        below,
    };
    let summarizer = task("tsk_c", holder("summarizer", "", HolderKind::Agent), "", vec![]);
    let second =
        task("tsk_d", holder("translator", "Translator", HolderKind::Agent), "Translates them", vec![]);
    let below = task("tsk_b", triage(), "Close the duplicates of this week", vec![summarizer, second]);
    Account {
        frame: frame(),
        person: person(),
        consents: vec![
            GivenConsent {
                id: "cns_1".into(),
                holder: editor(),
                agent: Some(triage()),
                resource: tickets(),
                permissions: consent().asked,
                given_by: GivenBy::Person,
                since: Some(NOW.plus(-90_000)),
                until: NOW.plus(2_000_000),
                changed: Some(NOW.plus(-4_000)),
                may_withdraw: true,
            },
            GivenConsent {
                id: "triage-for-support".into(),
                holder: triage(),
                resource: tickets(),
                permissions: Permissions { scopes: vec!["tickets.read".into()], details: vec![] },
                given_by: GivenBy::AdministratorForGroup("support".into()),
                until: NOW.plus(90_000),
                ..GivenConsent::default()
            },
        ],
        tasks: vec![
            task("tsk_a", editor(), "", vec![below]),
            task("tsk_e", triage(), "Nightly report", vec![]),
        ],
        now: NOW,
    }
}

pub(super) fn accounts() -> Vec<(&'static str, String)> {
    let hostile = Account {
        person: hostile_person(),
        consents: vec![GivenConsent {
            id: HOSTILE.into(),
            holder: holder(HOSTILE, HOSTILE, HolderKind::Client),
            resource: Target { name: HOSTILE.into(), uri: HOSTILE.into(), ..Target::default() },
            permissions: hostile_consent().asked,
            given_by: GivenBy::AdministratorForGroup(HOSTILE.into()),
            may_withdraw: true,
            ..GivenConsent::default()
        }],
        tasks: vec![RunningTask {
            id: HOSTILE.into(),
            holder: holder(HOSTILE, "", HolderKind::Agent),
            purpose: HOSTILE.repeat(20),
            ..RunningTask::default()
        }],
        ..account()
    };
    vec![
        ("account", account().render()),
        (
            "account-tenant-empty",
            Account { frame: tenant_frame(), consents: vec![], tasks: vec![], ..account() }.render(),
        ),
        ("account-hostile", hostile.render()),
    ]
}

pub(super) fn withdrawals() -> Vec<(&'static str, String)> {
    let done = Withdrawn {
        frame: frame(),
        what: What::Consent { holder: editor(), resource: tickets() },
        at: NOW,
        progress: Progress::InForce { since: Some((NOW, 43)), enforcers: 3 },
        again: "/account/withdrawn?task=tsk_1&seq=7&at=1".into(),
    };
    let waiting = Withdrawn {
        what: What::Task { holder: triage(), purpose: "Close the duplicates of this week".into(), below: 2 },
        progress: Progress::Waiting { applied: 2, waiting: 1, latest: NOW.plus(31) },
        ..done.clone()
    };
    let hostile = Withdrawn {
        what: What::Task {
            holder: holder(HOSTILE, HOSTILE, HolderKind::Agent),
            purpose: HOSTILE.into(),
            below: 0,
        },
        progress: Progress::InForce { since: Some((NOW, 12_345)), enforcers: 0 },
        ..done.clone()
    };
    let unwatched = Withdrawn { progress: Progress::InForce { since: None, enforcers: 3 }, ..done.clone() };
    vec![
        ("withdrawn-unwatched", unwatched.render()),
        ("withdrawn", done.render()),
        ("withdrawn-waiting", waiting.render()),
        ("withdrawn-hostile", hostile.render()),
    ]
}
