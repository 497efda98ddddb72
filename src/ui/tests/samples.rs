//! Every page in every state that it can be in, among them what strangers would like it to be.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::domain::registry::{Registry, TenantSection};
use crate::protocol::authorization_details::AuthorizationDetails;
use crate::time::Timestamp;
use crate::ui::pages::*;
use crate::ui::words;

mod accounts;
mod consents;

const NOW: Timestamp = Timestamp(1_795_236_336);
/// Markup, a turned direction, letters without ink, marks that pile up, and a word without an end.
const HOSTILE: &str = "</bdi></title><script>alert(1)</script>\" onload=\"x \u{202e}drawkcab\u{2066} in\u{200b}visible\u{feff} \
                       Z\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301} {{ 7*7 }} &lt;b&gt;";

/// Names of states, and their pages.
pub(crate) fn samples() -> Vec<(&'static str, String)> {
    let mut all = sign_ins();
    all.extend(consents::consents());
    all.extend(accounts::accounts());
    all.extend(accounts::withdrawals());
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
