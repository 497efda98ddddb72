//! Every page in every state that it can be in, among them what strangers would like it to be.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::domain::registry::{Registry, TenantSection};
use crate::protocol::authorization_details::AuthorizationDetails;
use crate::time::Timestamp;
use crate::ui::pages::*;
use crate::ui::words;

const NOW: Timestamp = Timestamp(1_795_236_336);
/// Markup, a turned direction, letters without ink, marks that pile up, and a word without an end.
const HOSTILE: &str = "</bdi></title><script>alert(1)</script>\" onload=\"x \u{202e}drawkcab\u{2066} in\u{200b}visible\u{feff} \
                       Z\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301} {{ 7*7 }} &lt;b&gt;";

/// Names of states, and their pages.
pub(crate) fn samples() -> Vec<(&'static str, String)> {
    let mut all = sign_ins();
    all.extend(consents());
    all.extend(accounts());
    all.extend(withdrawals());
    all.extend(errors());
    all
}

/// The registry of the samples.
pub(crate) fn registry() -> Registry {
    let section: TenantSection = serde_json::from_value(json!({
        "tenant": "main",
        "resources": [
            {
                "resource": "https://tickets.example.com/mcp", "name": "Tickets", "owner": "dana@example.com",
                "data_class": "internal", "scopes": ["tickets.read", "tickets.write"],
                "detail_types": ["mcp_tool_call", "document_access"],
                "tools": [
                    {"name": "search_tickets", "impact": "read"},
                    {"name": "read_customer", "impact": "read_sensitive"},
                    {"name": "add_label", "impact": "reversible_write"},
                    {"name": "close_ticket", "impact": "external_write"},
                    {"name": "reply_to_customer", "impact": "external_write", "disabled": true}
                ],
                "downstream": [{"tool": "reply_to_customer", "resource": "https://mail.example.com", "scopes": ["mail.send"]}]
            },
            {"resource": "https://mail.example.com", "name": "Mail", "scopes": ["mail.send"]}
        ],
        "detail_types": [{
            "type": "document_access",
            "narrowing": {"folder": "prefix", "actions": "subset", "pages": "at_most", "filter": "equal"},
            "schema": {
                "title": "Open documents", "description": "Documents in the archive of the support team.",
                "properties": {
                    "folder": {"title": "Folder", "description": "With everything that lies below it."},
                    "actions": {"title": "What may be done"},
                    "pages": {"title": "Pages of each document"}
                }
            }
        }]
    }))
    .unwrap();
    Registry::compile(1, section, HashSet::new()).unwrap()
}

/// Reads details.
pub(crate) fn details(value: Value) -> AuthorizationDetails {
    AuthorizationDetails::from_value(value).unwrap()
}

fn frame() -> Frame {
    Frame {
        issuer: "https://id.example.com".into(),
        tenant: "main".into(),
        csrf: "csrf-of-this-browser".into(),
        ..Frame::default()
    }
}

fn tenant_frame() -> Frame {
    Frame {
        base: "/t/acme".into(),
        issuer: "https://id.example.com/t/acme".into(),
        tenant: "acme".into(),
        ..frame()
    }
}

fn person() -> Person {
    Person {
        name: "Alice Liddell".into(),
        email: Some("alice@example.com".into()),
        provider: "Example Corp".into(),
    }
}

fn hostile_person() -> Person {
    Person { name: HOSTILE.into(), email: Some(HOSTILE.into()), provider: HOSTILE.into() }
}

fn tickets() -> Target {
    registry().resource("https://tickets.example.com/mcp").unwrap().into()
}

#[expect(clippy::too_many_lines, reason = "a list of samples")]
fn sign_ins() -> Vec<(&'static str, String)> {
    let provider = |id: &str, name: &str, issuer: &str| Provider {
        id: id.into(),
        name: name.into(),
        issuer: issuer.into(),
    };
    let plain = SignIn {
        frame: frame(),
        waiting: Some(Waiting {
            request: "req_1".into(),
            client: "Editor".into(),
            client_host: "editor.example".into(),
            resource: "Tickets".into(),
            resource_uri: "https://tickets.example.com/mcp".into(),
        }),
        providers: vec![
            provider("corp", "Example Corp", "https://idp.example.com"),
            provider("partner", "Partner Ltd", "https://login.partner.example/realms/staff"),
            provider("unnamed", "", "https://sso.third.example:8443"),
        ],
        by_email: true,
        ..SignIn::default()
    };
    let people = ["alice", "bob", "carol"].map(|subject| DevelopmentPerson {
        subject: subject.into(),
        name: subject[..1].to_uppercase() + &subject[1..],
        groups: if subject == "carol" { vec![] } else { vec!["support".into(), "staff".into()] },
    });
    let development = SignIn {
        frame: Frame { development: true, issuer: "http://127.0.0.1:8080".into(), ..frame() },
        providers: vec![],
        by_email: false,
        people: Some(Development { people: people.to_vec() }),
        ..plain.clone()
    };
    let hostile = SignIn {
        waiting: Some(Waiting {
            request: "req_1".into(),
            client: HOSTILE.into(),
            client_host: "x".repeat(300),
            resource: HOSTILE.into(),
            resource_uri: format!("https://a.example/{}", "y".repeat(300)),
        }),
        login_hint: HOSTILE.into(),
        problem: Some(HOSTILE.into()),
        providers: vec![provider(HOSTILE, HOSTILE, HOSTILE)],
        people: Some(Development {
            people: vec![DevelopmentPerson {
                subject: HOSTILE.into(),
                name: HOSTILE.into(),
                groups: vec![HOSTILE.into()],
            }],
        }),
        ..plain.clone()
    };
    let wrong = SignIn {
        frame: tenant_frame(),
        waiting: None,
        providers: vec![],
        login_hint: "alice@nowhere.example".into(),
        problem: Some("No identity provider is known for that domain. Look for a typing error, or ask your administrator.".into()),
        ..plain.clone()
    };
    let nobody = Development::default();
    vec![
        ("sign-in", plain.render()),
        ("sign-in-development", development.render()),
        ("sign-in-development-nobody", SignIn { people: Some(nobody), ..development.clone() }.render()),
        ("sign-in-tenant-unknown-domain", wrong.render()),
        ("sign-in-empty", SignIn { frame: frame(), ..SignIn::default() }.render()),
        ("sign-in-hostile", hostile.render()),
    ]
}

fn asked() -> AuthorizationDetails {
    details(json!([
        {
            "type": "mcp_tool_call", "locations": ["https://tickets.example.com/mcp"],
            "tools": [
                {"name": "search_tickets", "arguments": {
                    "/limit": {"maximum": 50}, "/filter/status": {"enum": ["open", "waiting"], "required": true}
                }},
                {"name": "read_customer", "arguments": {"/id": {"prefix": "eu-", "maxLength": 12, "required": true}}, "additionalArguments": false},
                {"name": "add_label", "arguments": {"/labels": {"maxItems": 3}}, "additionalArguments": false},
                {"name": "close_ticket", "arguments": {"/reason": {"const": "duplicate"}}},
                {"name": "close_ticket", "arguments": {"/reason": {"const": "solved"}, "/notify": {"const": false, "required": true}}},
                {"name": "reply_to_customer"}
            ]
        },
        {
            "type": "document_access", "locations": ["https://tickets.example.com/mcp"], "folder": "/support/", "actions": ["read", "comment"],
            "pages": 20, "filter": {"language": "en"}
        }
    ]))
}

fn consent() -> Consent {
    let registry = registry();
    Consent {
        frame: frame(),
        request: "req_1".into(),
        shown: "con_1 1800000000".into(),
        person: person(),
        client: Client {
            id: "https://editor.example/oauth/client.json".into(),
            name: "Editor".into(),
            known: Known::MetadataDocument { host: "editor.example".into(), host_allowed: false },
            has_namesake: false,
        },
        returns_to: ReturnsTo::ThisComputer("127.0.0.1:49152".into()),
        agent: Some(Agent {
            id: "triage".into(),
            name: "Triage agent".into(),
            owner: "dana@example.com".into(),
            purpose: "Sorts incoming tickets, and closes what is there twice".into(),
            tier: 2,
            environment: "production".into(),
        }),
        resource: tickets(),
        asked: Permissions {
            scopes: vec!["tickets.read".into(), "tickets.write".into()],
            details: words::details(&asked(), &registry),
        },
        given: None,
        expiries: [
            ("hour", "One hour", 3_600, false),
            ("day", "One day", 86_400, true),
            ("month", "30 days", 2_592_000, false),
        ]
        .map(|(value, label, seconds, checked)| Expiry {
            value: value.into(),
            label: label.into(),
            at: Some(NOW.plus(seconds)),
            checked,
        })
        .to_vec(),
        keeps_access: KeepsAccess::UntilExpiry,
    }
}

fn consents() -> Vec<(&'static str, String)> {
    let registered = Consent {
        frame: tenant_frame(),
        client: Client {
            id: "editor".into(),
            known: Known::Registered { owner: "dana@example.com".into() },
            ..consent().client
        },
        returns_to: ReturnsTo::Host("editor.example".into()),
        agent: None,
        asked: Permissions { scopes: vec!["tickets.read".into()], details: vec![] },
        keeps_access: KeepsAccess::No,
        ..consent()
    };
    let self_registered = Consent {
        client: Client {
            id: "dcr_3kD0".into(),
            known: Known::SelfRegistered { at: NOW.plus(-40) },
            has_namesake: true,
            ..consent().client
        },
        returns_to: ReturnsTo::Scheme("com.example.editor".into()),
        keeps_access: KeepsAccess::Until(NOW.plus(86_400)),
        expiries: vec![],
        ..registered.clone()
    };
    vec![
        ("consent", consent().render()),
        ("consent-registered-tenant", registered.render()),
        ("consent-self-registered-tenant", self_registered.render()),
        ("consent-step-up", step_up().render()),
        ("consent-60-tools", many_tools().render()),
        ("consent-hostile", hostile_consent().render()),
    ]
}

fn step_up() -> Consent {
    let registry = registry();
    let given = details(json!([{
        "type": "mcp_tool_call", "locations": ["https://tickets.example.com/mcp"],
        "tools": [{"name": "search_tickets", "arguments": {"/limit": {"maximum": 10}}}, {"name": "add_label"}]
    }]));
    let asked = details(json!([{
        "type": "mcp_tool_call", "locations": ["https://tickets.example.com/mcp"],
        "tools": [
            {"name": "search_tickets", "arguments": {"/limit": {"maximum": 50}}},
            {"name": "add_label"},
            {"name": "close_ticket", "arguments": {"/reason": {"const": "duplicate"}}}
        ]
    }]));
    Consent {
        asked: Permissions {
            scopes: vec!["tickets.write".into()],
            details: words::news(&asked, &given, &registry),
        },
        given: Some(Permissions {
            scopes: vec!["tickets.read".into()],
            details: words::details(&given, &registry),
        }),
        agent: None,
        client: Client {
            known: Known::MetadataDocument { host: "editor.example".into(), host_allowed: true },
            ..consent().client
        },
        ..consent()
    }
}

fn many_tools() -> Consent {
    let tools: Vec<Value> = (1..=60)
        .map(|number| json!({"name": format!("tool_{number}"), "arguments": {"/limit": {"maximum": number}}}))
        .collect();
    let asked = details(
        json!([{"type": "mcp_tool_call", "locations": ["https://tickets.example.com/mcp"], "tools": tools}]),
    );
    Consent {
        asked: Permissions { scopes: vec![], details: words::details(&asked, &registry()) },
        ..consent()
    }
}

fn hostile_consent() -> Consent {
    let asked = details(json!([
        {
            "type": "mcp_tool_call", "locations": ["https://tickets.example.com/mcp", HOSTILE], HOSTILE: HOSTILE,
            "tools": [
                {"name": HOSTILE, "arguments": {
                    format!("/{HOSTILE}"): {"const": HOSTILE, "prefix": "y".repeat(500)}, "/x": {HOSTILE: HOSTILE}, "no pointer": {}, "/y": 7
                }, HOSTILE: [HOSTILE]},
            ]
        },
        {"type": HOSTILE, HOSTILE: [HOSTILE, 1, null, "1", " spaced ", ""], "list": [[HOSTILE]], "empty": []}
    ]));
    Consent {
        person: hostile_person(),
        client: Client { id: HOSTILE.into(), name: HOSTILE.into(), ..consent().client },
        returns_to: ReturnsTo::Host(HOSTILE.into()),
        agent: Some(Agent {
            id: HOSTILE.into(),
            name: HOSTILE.into(),
            owner: HOSTILE.into(),
            purpose: "y".repeat(3_000),
            tier: 3,
            environment: HOSTILE.into(),
        }),
        resource: Target {
            name: HOSTILE.into(),
            uri: HOSTILE.into(),
            owner: HOSTILE.into(),
            data_class: HOSTILE.into(),
        },
        asked: Permissions { scopes: vec![HOSTILE.into()], details: words::details(&asked, &registry()) },
        given: Some(Permissions::default()),
        expiries: vec![Expiry { value: HOSTILE.into(), label: HOSTILE.into(), at: None, checked: true }],
        ..consent()
    }
}

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

fn accounts() -> Vec<(&'static str, String)> {
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

fn withdrawals() -> Vec<(&'static str, String)> {
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

fn errors() -> Vec<(&'static str, String)> {
    let error = Error {
        frame: frame(),
        title: "This request can’t be answered".into(),
        happened: "The application sent you here with a return address that isn’t registered for it.".into(),
        to_do: "Go back to the application and try again. If it happens again, tell your administrator the reference below.".into(),
        rule: Some("redirect_uri_not_registered".into()),
        correlation: Some("0199f3c2-7d1e-7c44-9b1f-2f1d7d3b6a10".into()),
        account_link: true,
    };
    let hostile = Error {
        frame: Frame { issuer: HOSTILE.into(), tenant: HOSTILE.into(), ..frame() },
        title: HOSTILE.into(),
        happened: HOSTILE.into(),
        to_do: HOSTILE.into(),
        rule: Some(HOSTILE.into()),
        correlation: Some("z".repeat(400)),
        account_link: false,
    };
    let leaving = Leaving {
        frame: frame(),
        provider: "Example Corp".into(),
        to: "https://idp.example.com/authorize?client_id=taskpass&state=x".into(),
    };
    let astray = Leaving {
        provider: HOSTILE.into(),
        to: format!("https://idp.example.com/?{HOSTILE}"),
        ..leaving.clone()
    };
    let out = SignedOut { frame: frame(), provider: Some("Example Corp".into()) };
    vec![
        ("error", error.render()),
        ("error-tenant", Error { frame: tenant_frame(), rule: None, correlation: None, ..error }.render()),
        ("error-hostile", hostile.render()),
        ("leaving", leaving.render()),
        ("leaving-hostile", astray.render()),
        ("signed-out", out.render()),
        ("signed-out-hostile", SignedOut { provider: Some(HOSTILE.into()), ..out }.render()),
    ]
}
