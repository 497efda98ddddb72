//! The registry of the tests: who is who.

use serde_json::{Value, json};

use super::Tenant;

/// When the clock of every test stands at first.
pub(crate) const START: i64 = 1_800_000_000;
/// An MCP server.
pub(crate) const TICKETS: &str = "https://tickets.example.com/mcp";
/// A resource with opaque tokens.
pub(crate) const ARCHIVE: &str = "https://archive.example.com";
/// The API behind the MCP server.
pub(crate) const API: &str = "https://api.example.com";
/// A resource with a type of details of its own.
pub(crate) const BANK: &str = "https://bank.example.com";
/// A resource that is switched off.
pub(crate) const CLOSED: &str = "https://closed.example.com";
/// A resource that takes bound tokens only.
pub(crate) const VAULT: &str = "https://vault.example.com";
/// The identity provider.
pub(crate) const CORP: &str = "https://idp.example.com";
/// One that is switched off.
pub(crate) const OLD: &str = "https://old.example.com";

/// Everybody who has a key. `corp` is the identity provider, `spire` the trust domain, `elsewhere` another one.
pub(crate) const NAMES: [&str; 17] = [
    "corp",
    "spire",
    "elsewhere",
    "triage",
    "summarizer",
    "relay",
    "echo",
    "tickets-server",
    "stranger",
    "orphan",
    "dormant",
    "admin",
    "auditor",
    "editor",
    "tickets-guard",
    "api-guard",
    "archive-guard",
];

/// `mcp_tool_call` details at the tickets server.
pub(crate) fn tools(tools: &Value) -> Value {
    json!([{ "type": "mcp_tool_call", "locations": [TICKETS], "tools": tools }])
}

/// A search of at most so many tickets.
pub(crate) fn search(limit: i64) -> Value {
    tools(&json!([{ "name": "search_tickets", "arguments": { "/limit": { "maximum": limit } } }]))
}

/// A payment of at most so much.
pub(crate) fn payment(amount: i64, currency: &str) -> Value {
    json!([{ "type": "payment", "currency": currency, "amount": amount }])
}

/// The tenant's section of the registry.
pub(crate) fn section(tenant: &Tenant) -> Value {
    let keys = |name: &str| json!([{ "jwks": tenant.key(name).set() }]);
    json!({
        "tenant": tenant.name,
        "trust_domains": [
            { "trust_domain": "demo.example", "bundle": tenant.key("spire").bundle() },
            { "trust_domain": "other.example", "bundle": tenant.key("elsewhere").bundle() },
        ],
        "identity_providers": [
            { "id": "corp", "issuer": CORP, "jwks": tenant.key("corp").set(), "audiences": ["desktop"] },
            { "id": "old", "issuer": OLD, "jwks": tenant.key("corp").set(), "status": "suspended" },
        ],
        "resources": resources(),
        "detail_types": [{
            "type": "payment",
            "schema": { "type": "object", "required": ["type", "currency", "amount"], "additionalProperties": false,
                "properties": { "type": { "const": "payment" }, "currency": { "type": "string" },
                    "amount": { "type": "integer", "minimum": 0 } } },
            "narrowing": { "currency": "equal", "amount": "at_most" },
        }],
        "agents": agents(tenant),
        "clients": [
            { "client": "admin", "identities": keys("admin"),
              "administrator": ["registry:read", "registry:write", "revoke", "explain", "audit:read"] },
            { "client": "auditor", "identities": keys("auditor"), "administrator": ["audit:read"] },
            { "client": "editor", "identities": keys("editor"), "redirect_uris": ["https://editor.example.com/callback"] },
            { "client": "desk", "name": "Desk", "redirect_uris": ["http://127.0.0.1/callback", "https://desk.example.com/cb?x=1"] },
            { "client": "narrow", "redirect_uris": ["https://narrow.example.com/cb"], "resources": [ARCHIVE] },
        ],
        "enforcers": [
            { "enforcer": "tickets-guard", "resources": [TICKETS], "identities": keys("tickets-guard") },
            { "enforcer": "api-guard", "resources": [API, BANK], "identities": keys("api-guard") },
            { "enforcer": "archive-guard", "resources": [ARCHIVE], "identities": keys("archive-guard") },
        ],
        "consents": consents(),
    })
}

fn resources() -> Value {
    json!([
        { "resource": TICKETS, "owner": "o@example.com", "scopes": ["tickets.read", "tickets.write"],
          "detail_types": ["mcp_tool_call"], "served_by": ["tickets-server"],
          "tools": [{ "name": "search_tickets", "impact": "read" }, { "name": "get_ticket", "impact": "read" },
              { "name": "close_ticket", "impact": "external_write" }],
          "downstream": [
              { "tool": "search_tickets", "resource": API, "scopes": ["api.read"] },
              { "tool": "close_ticket", "resource": API, "scopes": ["api.write"] },
          ] },
        { "resource": ARCHIVE, "scopes": ["archive.read"], "token": { "format": "opaque" } },
        { "resource": API, "scopes": ["api.read", "api.write"] },
        { "resource": BANK, "scopes": [], "detail_types": ["payment"] },
        { "resource": CLOSED, "scopes": ["closed.read"], "status": "suspended" },
        { "resource": VAULT, "scopes": ["vault.read"], "token": { "sender_constraint": "required" } },
    ])
}

/// What the triage agent may have at the tickets server.
fn all_tools() -> Value {
    tools(&json!([
        { "name": "search_tickets", "arguments": { "/limit": { "maximum": 50 } } },
        { "name": "get_ticket" }, { "name": "close_ticket" },
    ]))
}

fn agents(tenant: &Tenant) -> Value {
    let identities = |name: &str| json!([{ "jwks": tenant.key(name).set() }, { "spiffe_id": format!("spiffe://demo.example/agent/{name}") }]);
    let agent = |name: &str, ceiling: Value, to: Value| {
        json!({ "agent": name, "owner": "alice@example.com", "tier": 2, "identities": identities(name),
            "ceiling": ceiling, "may_delegate_to": to })
    };
    let reader = |limit: i64| json!([{ "resource": TICKETS, "scopes": ["tickets.read"], "authorization_details": search(limit) }]);
    let mut orphan = agent("orphan", reader(50), json!([]));
    orphan["owner"] = json!("");
    let mut dormant = agent("dormant", reader(50), json!([]));
    dormant["status"] = json!("suspended");
    json!([
        agent(
            "triage",
            json!([
                { "resource": TICKETS, "scopes": ["tickets.read", "tickets.write"], "authorization_details": all_tools() },
                { "resource": ARCHIVE, "scopes": ["archive.read"] },
                { "resource": BANK, "authorization_details": payment(100, "EUR") },
                { "resource": CLOSED, "scopes": ["closed.read"] },
                { "resource": VAULT, "scopes": ["vault.read"] },
            ]),
            json!(["summarizer"])
        ),
        agent("summarizer", reader(20), json!(["relay"])),
        agent("relay", reader(50), json!(["echo"])),
        agent("echo", reader(50), json!(["stranger"])),
        agent("stranger", reader(50), json!([])),
        agent("tickets-server", json!([{ "resource": API, "scopes": ["api.read", "api.write"] }]), json!([])),
        orphan,
        dormant,
    ])
}

fn consents() -> Value {
    let alice = json!({ "issuer": CORP, "subject": "alice" });
    let later = START + 86_400;
    json!([
        { "consent": "alice-tickets", "user": alice, "agent": "triage", "resource": TICKETS,
          "scopes": ["tickets.read", "tickets.write"], "authorization_details": all_tools(), "expires_at": later },
        { "consent": "alice-archive", "user": alice, "agent": "triage", "resource": ARCHIVE,
          "scopes": ["archive.read"], "expires_at": later },
        { "consent": "alice-bank", "user": alice, "agent": "triage", "resource": BANK,
          "authorization_details": payment(100, "EUR"), "expires_at": later },
        { "consent": "alice-closed", "user": alice, "agent": "triage", "resource": CLOSED, "scopes": ["closed.read"],
          "expires_at": later },
        { "consent": "alice-vault", "user": alice, "agent": "triage", "resource": VAULT, "scopes": ["vault.read"],
          "expires_at": later },
        { "consent": "alice-orphan", "user": alice, "agent": "orphan", "resource": TICKETS,
          "scopes": ["tickets.read"], "expires_at": later },
        { "consent": "support", "group": { "issuer": CORP, "group": "support" }, "agent": "triage",
          "resource": TICKETS, "scopes": ["tickets.read"], "expires_at": later },
        { "consent": "olga-tickets", "user": { "issuer": CORP, "subject": "olga" }, "agent": "triage",
          "resource": TICKETS, "scopes": ["tickets.read"], "expires_at": START - 1 },
        { "consent": "brief", "user": { "issuer": CORP, "subject": "bert" }, "agent": "triage",
          "resource": TICKETS, "scopes": ["tickets.read"], "expires_at": START + 100 },
    ])
}
