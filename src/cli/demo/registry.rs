//! The registry of the demo: one MCP server, two agents, and the yes of one person.

use std::path::Path;

use serde_json::{Value, json};

use super::narrator::Failure;
use super::trust_domain::{IdentityProvider, TrustDomain};
use crate::jose::{JwkSet, SigningKey};
use crate::time::Timestamp;

/// The trust domain of the agents.
pub(super) const TRUST_DOMAIN: &str = "demo.example";
/// The agent that opens the task.
pub(super) const AGENT: &str = "triage";
/// The agent that gets a part of it.
pub(super) const SUB_AGENT: &str = "summarizer";
/// The enforcer at the MCP server.
pub(super) const ENFORCER: &str = "tickets-guard";
/// The administrator's client.
pub(super) const ADMINISTRATOR: &str = "admin";
/// The one scope of the MCP server.
pub(super) const SCOPE: &str = "tickets.read";

/// The keys of those that sign their own assertions.
pub(super) struct Keys<'a> {
    /// The administrator's.
    pub(super) administrator: &'a SigningKey,
    /// The enforcer's.
    pub(super) enforcer: &'a SigningKey,
}

/// `authorization_details` for these tools at `resource` (RFC 9396).
pub(super) fn details(resource: &str, tools: &Value) -> Value {
    json!([{ "type": "mcp_tool_call", "locations": [resource], "tools": tools }])
}

/// What the task needs: searches of up to 50 tickets, and reading one.
pub(super) fn task_details(resource: &str) -> Value {
    let search =
        json!({ "name": "search_tickets", "arguments": { "/limit": { "maximum": 50, "required": true } } });
    details(resource, &json!([search, { "name": "get_ticket_by_id" }]))
}

/// What the sub-agent needs: reading one ticket.
pub(super) fn sub_task_details(resource: &str) -> Value {
    details(resource, &json!([{ "name": "get_ticket_by_id" }]))
}

/// The registry document.
fn document(
    resource: &str,
    provider: &IdentityProvider,
    domain: &TrustDomain,
    keys: &Keys<'_>,
    now: Timestamp,
) -> Value {
    let jwks = |key: &SigningKey| json!([{ "jwks": JwkSet::of(key.public().clone()).to_json() }]);
    let all_tools =
        json!([{ "name": "search_tickets" }, { "name": "get_ticket_by_id" }, { "name": "close_ticket" }]);
    let agent = |id: &str, name: &str, purpose: &str, may_delegate_to: &[&str]| {
        json!({
            "agent": id, "name": name, "owner": "alice@demo.example", "purpose": purpose, "tier": 2,
            "environment": "demo",
            "identities": [{ "spiffe_id": domain.spiffe_id(id) }],
            "ceiling": [{
                "resource": resource, "scopes": [SCOPE], "authorization_details": details(resource, &all_tools),
            }],
            "may_delegate_to": may_delegate_to,
        })
    };
    json!({ "version": 1, "tenants": [{
        "tenant": "main",
        "trust_domains": [{ "trust_domain": TRUST_DOMAIN, "bundle_file": "./bundle.json" }],
        "identity_providers": [{ "id": "corp", "issuer": IdentityProvider::ISSUER, "jwks": provider.jwks() }],
        "resources": [{
            "resource": resource, "name": "Tickets", "owner": "alice@demo.example", "data_class": "internal",
            "scopes": [SCOPE], "detail_types": ["mcp_tool_call"],
            "tools": [
                { "name": "search_tickets", "impact": "read" },
                { "name": "get_ticket_by_id", "impact": "read" },
                { "name": "close_ticket", "impact": "external_write" },
            ],
        }],
        "agents": [
            agent(AGENT, "Triage agent", "sorts the day's tickets", &[SUB_AGENT]),
            agent(SUB_AGENT, "Summarizer", "sums up single tickets", &[]),
        ],
        "clients": [{
            "client": ADMINISTRATOR, "name": "Administrator", "identities": jwks(keys.administrator),
            "administrator": ["registry:read", "registry:write", "revoke", "explain", "audit:read"],
        }],
        "enforcers": [{ "enforcer": ENFORCER, "resources": [resource], "identities": jwks(keys.enforcer) }],
        "consents": [{
            "consent": "alice-triage",
            "user": { "issuer": IdentityProvider::ISSUER, "subject": IdentityProvider::PERSON },
            "agent": AGENT, "resource": resource, "scopes": [SCOPE],
            "authorization_details": task_details(resource), "expires_at": now.plus(86_400),
        }],
    }] })
}

/// Writes `registry.yaml` and `bundle.json` into the demo's folder.
pub(super) fn write(
    folder: &Path,
    resource: &str,
    provider: &IdentityProvider,
    domain: &TrustDomain,
    keys: &Keys<'_>,
    now: Timestamp,
) -> Result<(), Failure> {
    let document = document(resource, provider, domain, keys, now);
    let yaml = serde_saphyr::to_string(&document).map_err(|error| Failure(error.to_string()))?;
    std::fs::write(folder.join("registry.yaml"), yaml)?;
    std::fs::write(folder.join("bundle.json"), domain.bundle().to_string())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::narrowing::DetailTypes;
    use crate::jose::{Algorithm, PrivateJwk};
    use crate::protocol::authorization_details::AuthorizationDetails;

    #[test]
    fn the_yaml_says_what_the_document_says() {
        let key = PrivateJwk::generate(Algorithm::ES256).unwrap().signing_key().unwrap();
        let keys = Keys { administrator: &key, enforcer: &key };
        let domain = TrustDomain::new(TRUST_DOMAIN).unwrap();
        let provider = IdentityProvider::new().unwrap();
        let document = document("http://127.0.0.1:1/mcp", &provider, &domain, &keys, Timestamp(1));
        let yaml = serde_saphyr::to_string(&document).unwrap();
        assert_eq!(serde_saphyr::from_str::<Value>(&yaml).unwrap(), document, "{yaml}");
    }

    #[test]
    fn the_details_are_well_formed_and_narrow() {
        let read = |value: Value| AuthorizationDetails::from_value(value).unwrap();
        let (task, sub) =
            (read(task_details("http://a.example/mcp")), read(sub_task_details("http://a.example/mcp")));
        let types = DetailTypes::builtin();
        assert_eq!(types.check(&task, &["mcp_tool_call".to_owned()]), Ok(()));
        assert_eq!(types.within(&sub, &task), Ok(()));
        assert!(types.within(&task, &sub).is_err());
    }
}
