//! Consent pages.

use super::*;

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

pub(super) fn consent() -> Consent {
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

pub(super) fn consents() -> Vec<(&'static str, String)> {
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

pub(super) fn hostile_consent() -> Consent {
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
