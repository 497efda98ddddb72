//! What makes a registry hold together; each error says where and what.

use std::sync::Arc;

use serde_json::Value;

use super::{
    Agent, Client, Consent, Grantee, Identity, KeySource, Principal, PrincipalKind, Registration, Registry,
    RegistryError, Resource, Status, TenantSection,
};
use crate::domain::client_metadata::{DYNAMIC_PREFIX, host_of};
use crate::domain::exchange::names_other_location;
use crate::domain::narrowing::{DetailTypes, OperatorType};
use crate::domain::scope_tools;
use crate::jose::{Algorithm, JwkSet};
use crate::protocol::redirect_uri;
use crate::protocol::scope::Scope;

pub(super) fn detail_types(section: &TenantSection) -> Result<DetailTypes, RegistryError> {
    let mut operator = Vec::new();
    for kind in &section.detail_types {
        let place = format!("detail_type {}", kind.name);
        let wrong = |error: &dyn std::fmt::Display| RegistryError::new(&place, error);
        let narrowing =
            serde_json::from_value(Value::Object(kind.narrowing.clone())).map_err(|error| wrong(&error))?;
        operator.push(OperatorType::new(&kind.name, &kind.schema, narrowing).map_err(|error| wrong(&error))?);
    }
    DetailTypes::with(operator).map_err(|error| RegistryError::new("detail_types", error))
}

/// Ids stand in tokens, logs, file names and log scopes: a small alphabet keeps them apart from user ids (`usr_…`), the ids of
/// clients that register themselves (`dyn_…`), URLs and SPIFFE IDs (`threats.md`: a client id must never pass for a user id).
pub(super) fn check_id(place: &str, id: &str) -> Result<(), RegistryError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let anothers = ["usr_", DYNAMIC_PREFIX].iter().any(|prefix| id.starts_with(prefix));
    if id.is_empty() || id.len() > 128 || !id.bytes().all(plain) || anothers {
        return Err(RegistryError::new(
            place,
            "an id is 1 to 128 of A-Z a-z 0-9 - _ . and doesn't start with usr_ or dyn_",
        ));
    }
    Ok(())
}

pub(super) fn check_resource(resource: &Resource, section: &TenantSection) -> Result<(), RegistryError> {
    let place = format!("resource {}", resource.resource);
    if !(1..=300).contains(&resource.token.lifetime_seconds) {
        return Err(RegistryError::new(place, "token.lifetime_seconds is 1 to 300"));
    }
    if !matches!(
        resource.token.alg,
        Algorithm::ES256 | Algorithm::EdDSA | Algorithm::RS256 | Algorithm::PS256
    ) {
        return Err(RegistryError::new(place, "token.alg is ES256, EdDSA, RS256 or PS256"));
    }
    let known =
        |name: &String| name == "mcp_tool_call" || section.detail_types.iter().any(|kind| kind.name == *name);
    if let Some(unknown) = resource.detail_types.iter().find(|name| !known(name)) {
        return Err(RegistryError::new(place, format!("detail type {unknown} isn't declared")));
    }
    if let Some(tool) =
        resource.tools.iter().find(|tool| tool.name.is_empty() || tool.name.contains(['#', '*']))
    {
        return Err(RegistryError::new(
            place,
            format!("tool name {:?} is empty or has # or * in it", tool.name),
        ));
    }
    check_scopes(&place, resource)?;
    if let Some(way) = resource.downstream.iter().find(|way| resource.tool(&way.tool).is_none()) {
        return Err(RegistryError::new(place, format!("downstream names the unknown tool {:?}", way.tool)));
    }
    Ok(())
}

/// What scopes stand for: scopes and tools that the resource declares, written as in a detail.
fn check_scopes(place: &str, resource: &Resource) -> Result<(), RegistryError> {
    let declared = |token: &str| resource.scopes.contains(token);
    let mut named = resource.default_scopes.iter().chain(resource.scope_tools.keys().map(String::as_str));
    if let Some(unknown) = named.find(|token| !declared(token)) {
        return Err(RegistryError::new(
            place,
            format!("default_scopes or scope_tools has scope {unknown:?}, which scopes doesn't declare"),
        ));
    }
    // All of them at once, so that what any request can ask for is a detail that can be written.
    let all = scope_tools::details(resource.resource.as_str(), resource.scope_tools.values().flatten());
    let all = all.map_err(|error| RegistryError::new(place, format!("scope_tools: {error}")))?;
    DetailTypes::builtin()
        .check(&all, &resource.detail_types)
        .map_err(|error| RegistryError::new(place, format!("scope_tools: {}", error.in_full())))?;
    let tools = DetailTypes::builtin().tools_for(&all, resource.resource.as_str());
    match tools.iter().find(|tool| resource.tool(tool).is_none()) {
        Some(unknown) => {
            Err(RegistryError::new(place, format!("scope_tools names the undeclared tool {unknown:?}")))
        }
        None => Ok(()),
    }
}

pub(super) fn check_agent(
    agent: &Agent,
    registry: &Registry,
    section: &TenantSection,
) -> Result<(), RegistryError> {
    let place = format!("agent {}", agent.agent);
    check_id(&place, &agent.agent)?;
    if !(1..=3).contains(&agent.tier) {
        return Err(RegistryError::new(place, "tier is 1, 2 or 3"));
    }
    for ceiling in &agent.ceiling {
        let uri = &ceiling.resource;
        let resource = section.resources.iter().find(|resource| resource.resource == *uri);
        let resource = resource
            .ok_or_else(|| RegistryError::new(&place, format!("ceiling names the unknown resource {uri}")))?;
        check_bound(
            &place,
            "ceiling",
            (&ceiling.scopes, &ceiling.authorization_details),
            resource,
            &registry.detail_types,
        )?;
    }
    for other in &agent.may_delegate_to {
        if *other == agent.agent || !section.agents.iter().any(|agent| agent.agent == *other) {
            return Err(RegistryError::new(
                place,
                format!("may_delegate_to names {other:?}, which is not another agent"),
            ));
        }
    }
    Ok(())
}

pub(super) fn check_client(client: &Client, section: &TenantSection) -> Result<(), RegistryError> {
    let place = format!("client {}", client.client);
    for uri in &client.redirect_uris {
        redirect_uri::check(uri)
            .map_err(|error| RegistryError::new(&place, format!("redirect_uris: {uri:?}: {error}")))?;
    }
    for uri in &client.resources {
        if !section.resources.iter().any(|resource| resource.resource == *uri) {
            return Err(RegistryError::new(place, format!("resources names the unknown resource {uri}")));
        }
    }
    Ok(())
}

/// A host that is written in another spelling than a URL's would never be found, and shut its clients out.
pub(super) fn check_registration(registration: &Registration) -> Result<(), RegistryError> {
    let is_host = |host: &String| {
        let url = format!("https://{host}/");
        redirect_uri::check(&url).is_ok() && host_of(&url).as_ref() == Some(host)
    };
    match registration.metadata_document_hosts.iter().find(|host| !is_host(host)) {
        Some(host) => Err(RegistryError::new(
            "registration",
            format!("metadata_document_hosts: {host:?} is not a host in lower case, without scheme and port"),
        )),
        None => Ok(()),
    }
}

pub(super) fn check_consent(consent: &Consent, section: &TenantSection) -> Result<(), RegistryError> {
    let place = format!("consent {}", consent.consent);
    check_id(&place, &consent.consent)?;
    let one = matches!(
        (&consent.user, &consent.group),
        (Some(Grantee::User { .. }), None) | (None, Some(Grantee::Group { .. }))
    );
    if !one {
        return Err(RegistryError::new(
            place,
            "needs exactly one of `user: {issuer, subject}` and `group: {issuer, group}`",
        ));
    }
    if !section.agents.iter().any(|agent| agent.agent == consent.agent) {
        return Err(RegistryError::new(place, format!("names the unknown agent {:?}", consent.agent)));
    }
    let resource = section.resources.iter().find(|resource| resource.resource == consent.resource);
    let resource = resource.ok_or_else(|| {
        RegistryError::new(&place, format!("names the unknown resource {}", consent.resource))
    })?;
    let types = detail_types(section)?;
    check_bound(&place, "consent", (&consent.scopes, &consent.authorization_details), resource, &types)
}

/// A bound that names what its resource doesn't know is a typing error, and would silently grant less than was meant.
pub(super) fn check_bound(
    place: &str,
    what: &str,
    (scopes, details): (&Scope, &crate::protocol::authorization_details::AuthorizationDetails),
    resource: &Resource,
    types: &DetailTypes,
) -> Result<(), RegistryError> {
    if let Some(unknown) = scopes.iter().find(|token| !resource.scopes.contains(token)) {
        return Err(RegistryError::new(
            place,
            format!("{what} has scope {unknown:?}, which {} doesn't declare", resource.resource),
        ));
    }
    types
        .check(details, &resource.detail_types)
        .map_err(|error| RegistryError::new(place, format!("{what}: {error}")))?;
    // Only what speaks of this very resource can ever be granted there.
    match details.iter().find(|detail| names_other_location(detail.object(), resource.resource.as_str())) {
        Some(_) => Err(RegistryError::new(
            place,
            format!("{what}: a detail's locations must be [{}]", resource.resource),
        )),
        None => Ok(()),
    }
}

pub(super) fn principal(
    place: &str,
    id: &str,
    kind: PrincipalKind,
    status: Status,
    identities: &[Identity],
) -> Result<Principal, RegistryError> {
    check_id(place, id)?;
    let mut principal = Principal {
        id: id.to_owned(),
        kind,
        status,
        keys: Vec::new(),
        spiffe_ids: Vec::new(),
        administrator: Vec::new(),
        resources: Vec::new(),
    };
    for identity in identities {
        match identity {
            Identity::Spiffe { spiffe_id } => {
                let spiffe_id = crate::protocol::spiffe_id::SpiffeId::parse(spiffe_id)
                    .map_err(|error| RegistryError::new(place, format!("{spiffe_id:?}: {error}")))?;
                principal.spiffe_ids.push(spiffe_id.as_str().to_owned());
            }
            Identity::Jwks { jwks } => principal.keys.push(inline(place, jwks)?),
            Identity::JwksUri { jwks_uri } => principal.keys.push(remote(place, jwks_uri)?),
        }
    }
    Ok(principal)
}

pub(super) fn inline(place: &str, jwks: &Value) -> Result<KeySource, RegistryError> {
    JwkSet::parse(jwks)
        .map(|set| KeySource::Inline(Arc::new(set)))
        .map_err(|error| RegistryError::new(place, error))
}

pub(super) fn remote(place: &str, url: &str) -> Result<KeySource, RegistryError> {
    match url::Url::parse(url) {
        Ok(parsed) if parsed.scheme() == "https" && parsed.has_host() => {
            Ok(KeySource::Remote(url.to_owned()))
        }
        _ => Err(RegistryError::new(place, format!("{url:?} is not an https URL"))),
    }
}
